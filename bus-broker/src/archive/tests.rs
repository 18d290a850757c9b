//! What was written comes out, whatever it is and however it is cut; what was damaged does not.
//!
//! Control of the damage: the same bytes, undamaged, are taken.

use std::time::Duration;

use bus_core::{Headers, Message, MessageType, Name};
use proptest::prelude::*;

use super::{
    ArchiveDecoder, ArchiveDescription, ArchiveEncoder, ArchiveEnd, ArchiveEntry, ArchiveError,
    ArchiveGap, ArchivedMessage, ENTRY_HEAD_BYTES,
};

fn description() -> ArchiveDescription {
    ArchiveDescription::of_queue(&Name::new("jobs").expect("a name"))
}

fn message(at: u64, payload: &[u8]) -> ArchivedMessage {
    ArchivedMessage {
        at: Duration::from_micros(at),
        topic: "a.b".into(),
        sender: "bus pub".into(),
        attempt: 3,
        message: Message::new(MessageType::ONE, payload.to_vec())
            .with_header("key", [0xff, 0])
            .expect("short"),
    }
}

/// A file of these entries and an end, and the end.
fn file(entries: &[ArchiveEntry]) -> (Vec<u8>, ArchiveEnd) {
    let (mut encoder, mut bytes) = ArchiveEncoder::begin(&description()).expect("short");
    for entry in entries {
        bytes.extend(match entry.clone() {
            ArchiveEntry::Message(message) => encoder.message(message).expect("short"),
            ArchiveEntry::Gap(gap) => encoder.gap(gap).expect("short"),
            ArchiveEntry::End(_) => unreachable!("made below"),
        });
    }
    let end = ArchiveEnd { whole: true, reason: "done".into(), ..ArchiveEnd::default() };
    let (last, end) = encoder.end(end).expect("short");
    bytes.extend(last);
    (bytes, end)
}

fn sample() -> Vec<u8> {
    let gap = ArchiveGap { at: Duration::ZERO, count: 2, unconfirmed: 1, reason: "slow".into() };
    let entries = [message(0, b"one"), message(9, b"")].map(ArchiveEntry::Message).into_iter();
    file(&entries.chain([ArchiveEntry::Gap(gap)]).collect::<Vec<_>>()).0
}

/// All entries of a file that comes in pieces of this length.
fn read(bytes: &[u8], piece: usize) -> Result<Vec<ArchiveEntry>, ArchiveError> {
    let (mut decoder, mut entries) = (ArchiveDecoder::new(), Vec::new());
    for piece in bytes.chunks(piece) {
        decoder.push(piece);
        while let Some(entry) = decoder.entry()? {
            entries.push(entry);
        }
    }
    decoder.finish()?;
    Ok(entries)
}

fn any_entry() -> impl Strategy<Value = ArchiveEntry> {
    let text = "[a-z.ü]{0,40}";
    let header = ("[a-z]{1,20}", prop::collection::vec(any::<u8>(), 0..60));
    let headers = prop::collection::vec(header, 0..5).prop_map(|pairs| {
        pairs.iter().fold(Headers::default(), |all, (key, value)| {
            all.with(key, value).expect("within the limits")
        })
    });
    let payload = prop::collection::vec(any::<u8>(), 0..3000);
    let kind =
        (1..=MessageType::MAX).prop_map(|number| MessageType::new(number).expect("in range"));
    let message = (any::<u64>(), text, text, any::<u32>(), kind, headers, payload).prop_map(
        |(at, topic, sender, attempt, kind, headers, payload)| {
            let message = Message::new(kind, payload).with_headers(headers);
            let at = Duration::from_micros(at);
            ArchiveEntry::Message(ArchivedMessage { at, topic, sender, attempt, message })
        },
    );
    let gap = (any::<u64>(), any::<u64>(), any::<u64>(), text).prop_map(
        |(at, count, unconfirmed, reason)| {
            let at = Duration::from_micros(at);
            ArchiveEntry::Gap(ArchiveGap { at, count, unconfirmed, reason })
        },
    );
    prop_oneof![4 => message, 1 => gap]
}

proptest! {
    #[test]
    fn what_was_written_comes_out_in_its_order(
        entries in prop::collection::vec(any_entry(), 0..12),
        piece in 1..5000usize,
    ) {
        let (bytes, end) = file(&entries);
        let mut wanted = entries;
        wanted.push(ArchiveEntry::End(end));
        prop_assert_eq!(read(&bytes, piece), Ok(wanted));
    }

    #[test]
    fn no_bytes_at_all_make_it_panic_or_are_taken(
        bytes in prop::collection::vec(any::<u8>(), 0..400),
        behind in any::<bool>(),
    ) {
        let bytes = if behind { [&sample()[..40], &bytes[..]].concat() } else { bytes };
        prop_assert!(read(&bytes, 7).is_err());
    }
}

#[test]
fn a_file_that_is_cut_off_anywhere_is_not_whole() {
    let bytes = sample();
    assert!(read(&bytes, 1).is_ok(), "the control");
    for length in 0..bytes.len() {
        match (read(&bytes[..length], 64), length) {
            (Err(ArchiveError::Foreign), 0..8) | (Err(ArchiveError::CutOff { .. }), _) => {}
            (other, _) => panic!("cut off at {length}: {other:?}"),
        }
    }
}

#[test]
fn a_file_in_which_one_bit_was_changed_is_not_taken() {
    let bytes = sample();
    assert!(read(&bytes, bytes.len()).is_ok(), "the control");
    for bit in 0..bytes.len() * 8 {
        let mut changed = bytes.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert!(read(&changed, changed.len()).is_err(), "bit {bit}");
    }
}

#[test]
fn an_entry_that_was_taken_out_is_missed() {
    let (bytes, _) = file(&[message(1, b"one"), message(2, b"two")].map(ArchiveEntry::Message));
    let (without, _) = file(&[ArchiveEntry::Message(message(2, b"two"))]);
    let one = bytes.len() - without.len();
    let begin = ArchiveEncoder::begin(&description()).expect("short").1.len();
    let cut = [&bytes[..begin], &bytes[begin + one..]].concat();
    assert!(matches!(read(&cut, 64), Err(ArchiveError::Damaged { .. })));
}

#[test]
fn what_stands_behind_the_end_is_refused() {
    let mut bytes = sample();
    let offset = bytes.len() as u64;
    bytes.push(0);
    assert_eq!(read(&bytes, bytes.len()), Err(ArchiveError::Trailing { offset }));
}

#[test]
fn a_later_version_and_another_file_are_told_apart() {
    let mut bytes = sample();
    bytes[8] = 2;
    assert_eq!(read(&bytes, 64), Err(ArchiveError::Version { found: 2, known: 1 }));
    assert_eq!(read(b"{\"not\": \"ours\"}", 64), Err(ArchiveError::Foreign));
    assert_eq!(read(b"", 64), Err(ArchiveError::Foreign));
}

#[test]
fn a_length_that_no_entry_has_is_refused_before_it_is_waited_for() {
    let mut bytes = ArchiveEncoder::begin(&description()).expect("short").1;
    bytes.extend([0xff; 4]);
    bytes.extend([0; ENTRY_HEAD_BYTES - 4]);
    assert!(matches!(read(&bytes, 64), Err(ArchiveError::Damaged { .. })));
}
