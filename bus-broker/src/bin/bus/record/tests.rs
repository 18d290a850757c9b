//! Recording in virtual time: what stands in a file, and when it ends.

use bus_broker::ArchiveEntry;
use bus_client::{Message, MessageType};
use tokio::time::sleep;

use super::*;
use crate::archive_file::Reader;

fn message(payload: &'static str) -> Heard {
    Heard::Message(ArchivedMessage {
        at: Duration::ZERO,
        topic: "a.b".into(),
        sender: "somebody".into(),
        attempt: 0,
        message: Message::new(MessageType::ONE, payload),
    })
}

/// What was heard, each so many milliseconds behind the one before; then nothing.
fn after(heard: Vec<(u64, Heard)>) -> impl Stream<Item = Heard> {
    let timed = stream::iter(heard).then(|(pause_ms, heard)| async move {
        sleep(Duration::from_millis(pause_ms)).await;
        heard
    });
    timed.chain(stream::pending())
}

/// Records that, and gives the entries of the file.
async fn record(heard: Vec<(u64, Heard)>, limits: Limits) -> Vec<ArchiveEntry> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("record.bus");
    let description = ArchiveDescription::of_topics(vec!["a.>".into()]);
    let mut writer = Writer::create(Some(&path), false, &description).await.expect("a file");
    let (end, _) = take(after(heard), limits, &mut writer).await.expect("it can be written");
    writer.end(end).await.expect("it can be written");
    let mut reader = Reader::open(Some(&path), false).await.expect("it is there");
    let mut entries = Vec::new();
    while let Some(entry) = reader.next().await.expect("it is whole") {
        entries.push(entry);
    }
    entries
}

/// The milliseconds at which each entry came.
fn times(entries: &[ArchiveEntry]) -> Vec<u128> {
    let at = |entry: &ArchiveEntry| match entry {
        ArchiveEntry::Message(message) => message.at,
        ArchiveEntry::Gap(gap) => gap.at,
        ArchiveEntry::End(end) => end.at,
    };
    // The file's own thread takes time that is none here.
    entries.iter().map(|entry| at(entry).as_millis()).collect()
}

fn reason(entries: &[ArchiveEntry]) -> &str {
    match entries.last() {
        Some(ArchiveEntry::End(end)) => &end.reason,
        other => panic!("no end: {other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn messages_are_recorded_at_their_times_until_as_many_have_come() {
    let heard = vec![(0, message("a")), (250, message("b")), (1000, message("c"))];
    let limits = Limits { count: Some(3), ..Limits::default() };
    let entries = record(heard, limits).await;
    assert_eq!(times(&entries), [0, 250, 1250, 1250]);
    assert_eq!(reason(&entries), "as many messages as were asked for");
}

#[tokio::test(start_paused = true)]
async fn time_that_is_up_ends_a_record_where_nothing_comes() {
    let limits = Limits { duration: Some(Duration::from_secs(5)), ..Limits::default() };
    let entries = record(vec![(1000, message("a")), (60_000, message("late"))], limits).await;
    assert_eq!(times(&entries), [1000, 5000]);
    assert_eq!(reason(&entries), "as much time as was asked for");
}

#[tokio::test(start_paused = true)]
async fn what_was_missed_stands_where_it_was_missed() {
    let missed = Heard::Missed { count: 7, unconfirmed: 2, reason: "slow".into() };
    let heard = vec![(1, message("a")), (1, missed), (1, message("b")), (1, Heard::Interrupted)];
    let entries = record(heard, Limits::default()).await;
    assert!(
        matches!(&entries[1], ArchiveEntry::Gap(gap) if gap.count == 7 && gap.unconfirmed == 2),
        "{entries:?}"
    );
    assert_eq!(reason(&entries), "interrupted");
}

#[tokio::test(start_paused = true)]
async fn a_record_is_never_longer_than_it_may_be() {
    let heard = (0..1000).map(|_| (0, message("0123456789"))).collect();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("record.bus");
    let description = ArchiveDescription::of_topics(vec!["a.>".into()]);
    let mut writer = Writer::create(Some(&path), false, &description).await.expect("a file");
    let limits = Limits { bytes: Some(4096), ..Limits::default() };
    let (end, _) = take(after(heard), limits, &mut writer).await.expect("it can be written");
    let end = writer.end(end).await.expect("it can be written");
    let length = std::fs::metadata(&path).expect("a file").len();
    assert!(length <= 4096 && length > 3500, "{length} bytes, {end:?}");
}

#[tokio::test(start_paused = true)]
async fn a_first_message_that_does_not_fit_is_an_error_and_the_file_has_its_end() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("record.bus");
    let description = ArchiveDescription::of_topics(vec!["a.>".into()]);
    let mut writer = Writer::create(Some(&path), false, &description).await.expect("a file");
    let limits = Limits { bytes: Some(writer.bytes() + END_BYTES), ..Limits::default() };
    let heard = vec![(0, message("0123456789"))];
    let (end, failed) = take(after(heard), limits, &mut writer).await.expect("it can be written");
    assert_eq!(failed.expect("nothing was recorded").exit(), Exit::Full);
    assert_eq!(writer.end(end).await.expect("it can be written").messages, 0);
}

#[test]
fn patterns_that_overlap_are_refused() {
    let check = |patterns: &[&str]| {
        check(&patterns.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>()).is_ok()
    };
    assert!(check(&["a.*", "b.*", "c"]));
    assert!(!check(&["a.*", "*.b"]));
    assert!(!check(&["a", "a"]));
}
