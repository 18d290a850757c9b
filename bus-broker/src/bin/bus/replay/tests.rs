//! Replaying in virtual time: everything comes at its moment, and what is late delays nothing else.

use bus_broker::{ArchiveEnd, ArchiveGap};
use bus_client::{ClientEvent, Message, MessageType};
use tokio::time::sleep;

use super::*;

/// A record of messages at these milliseconds.
fn record(times_ms: &[u64]) -> Vec<ArchiveEntry> {
    let message = |at_ms: &u64| {
        ArchiveEntry::Message(ArchivedMessage {
            at: Duration::from_millis(*at_ms),
            topic: "a".into(),
            sender: String::new(),
            attempt: 0,
            message: Message::new(MessageType::ONE, "x"),
        })
    };
    let at = Duration::from_millis(times_ms.last().copied().unwrap_or_default());
    let end = ArchiveEntry::End(ArchiveEnd { at, ..ArchiveEnd::default() });
    times_ms.iter().map(message).chain([end]).collect()
}

/// The milliseconds at which messages are published, each of which takes so long.
async fn played(entries: Vec<ArchiveEntry>, speed: Speed, takes_ms: u64) -> Vec<u128> {
    let begun = Instant::now();
    let (mut entries, mut times) = (entries.into_iter(), Vec::new());
    let put = async |_| {
        times.push(begun.elapsed().as_millis());
        sleep(Duration::from_millis(takes_ms)).await;
        Ok(())
    };
    let mut count = Played::default();
    play(async || Ok(entries.next()), (speed, 0), put, &mut count).await.expect("it goes well");
    assert_eq!(count.messages, times.len() as u64);
    times
}

#[tokio::test(start_paused = true)]
async fn messages_come_at_their_times() {
    let times = [0, 250, 250, 90_000];
    assert_eq!(played(record(&times), Speed::Times(1.0), 0).await, [0, 250, 250, 90_000]);
    assert_eq!(played(record(&times), Speed::Times(2.0), 0).await, [0, 125, 125, 45_000]);
    assert_eq!(played(record(&times), Speed::Times(0.5), 0).await, [0, 500, 500, 180_000]);
    assert_eq!(played(record(&times), Speed::Max, 0).await, [0, 0, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn what_was_late_delays_nothing_that_is_due_later() {
    let times = played(record(&[0, 10, 20, 1000]), Speed::Times(1.0), 100).await;
    assert_eq!(times, [0, 100, 200, 1000]);
}

#[tokio::test(start_paused = true)]
async fn behind_what_is_passed_over_the_next_one_comes_at_once_and_the_others_at_their_distance() {
    let mut entries = record(&[5000, 6000, 7000, 7500]).into_iter();
    let (begun, mut times) = (Instant::now(), Vec::new());
    let put = async |_| {
        times.push(begun.elapsed().as_millis());
        Ok(())
    };
    let mut played = Played::default();
    let next = async || Ok(entries.next());
    play(next, (Speed::Times(1.0), 2), put, &mut played).await.expect("it goes well");
    assert_eq!(times, [0, 500]);
    assert_eq!(played, Played { messages: 2, gaps: 0, position: 4 });
}

#[test]
fn how_far_it_came_is_said_with_the_way_to_go_on() {
    let played = Played { messages: 1, gaps: 0, position: 3 };
    let told = so_far(&played, Some(9), true, &Unknown::default());
    assert!(told.contains("3 of 9 messages published; next is record 4: --skip 3"), "{told}");
    let unsure = so_far(&played, None, false, &Unknown::default());
    assert!(unsure.contains("3 messages published; the last of them may not have"), "{unsure}");
    let mut unknown = Unknown::default();
    let lost =
        |count| ClientEvent::Restarted { reason: "x".into(), unknown: 0, publishes_unknown: count };
    unknown.note(&lost(100));
    unknown.note(&lost(30));
    assert!(so_far(&played, None, true, &unknown).contains("; of 130 of them it is not known"));
    unknown.note(&ClientEvent::Missed { count: 7 });
    assert!(unknown.told().is_some_and(|told| told.contains("130 or more")), "{unknown:?}");
}

#[tokio::test(start_paused = true)]
async fn the_silence_before_the_end_is_played_too() {
    let mut entries = record(&[0]);
    entries.pop();
    let at = Duration::from_secs(7);
    entries.push(ArchiveEntry::End(ArchiveEnd { at, ..ArchiveEnd::default() }));
    let begun = Instant::now();
    played(entries, Speed::Times(1.0), 0).await;
    assert_eq!(begun.elapsed().as_secs(), 7);
}

#[tokio::test(start_paused = true)]
async fn a_gap_is_counted_and_a_time_that_never_comes_is_an_error() {
    let gap = ArchiveGap { at: Duration::ZERO, count: 3, unconfirmed: 0, reason: "slow".into() };
    let mut entries = vec![ArchiveEntry::Gap(gap)].into_iter();
    let mut count = Played::default();
    let none = async |_| Ok(());
    play(async || Ok(entries.next()), (Speed::Max, 0), none, &mut count)
        .await
        .expect("it goes well");
    assert_eq!(count, Played { gaps: 1, ..Played::default() });
    let slow = Speed::Times(1e-6);
    let mut entries = record(&[u64::MAX / 1000]).into_iter();
    let failed = play(async || Ok(entries.next()), (slow, 0), none, &mut count).await;
    assert_eq!(failed.expect_err("it never comes").exit(), Exit::File);
}

#[test]
fn topics_are_renamed_by_whole_tokens() {
    let name = |text| Name::new(text).expect("a name");
    let renamings = [(name("a"), name("b.c")), (name("a.x"), name("never"))];
    assert_eq!(mapped("a.x", &renamings, None), "b.c.x");
    assert_eq!(mapped("ab", &renamings, None), "ab");
    assert_eq!(mapped("a", &renamings, Some(&name("t"))), "t.b.c");
}

#[test]
fn speeds_are_parsed_and_refused() {
    assert_eq!("max".parse(), Ok(Speed::Max));
    assert_eq!("0.5".parse(), Ok(Speed::Times(0.5)));
    for bad in ["0", "-1", "NaN", "inf", "fast", ""] {
        assert!(bad.parse::<Speed>().is_err(), "{bad}");
    }
}
