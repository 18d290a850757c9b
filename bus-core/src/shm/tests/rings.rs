//! Random operations on a lane and on a queue of bytes, and forged words.

use std::collections::VecDeque;

use bytes::BytesMut;
use proptest::prelude::*;

use crate::shm::fault::Fault;
use crate::shm::layout::{Commit, Geometry};
use crate::shm::{LaneReader, LaneWriter, Refused, heap_lane};

fn put(writer: &mut LaneWriter, bytes: &[u8]) -> Result<(), Refused> {
    let mut reservation = writer.reserve(bytes.len())?;
    let (front, back) = bytes.split_at(bytes.len() / 3);
    reservation.put(front);
    reservation.put(back);
    reservation.commit();
    Ok(())
}

fn read(reader: &mut LaneReader, most: usize) -> Vec<u8> {
    let mut buffer = BytesMut::with_capacity(most);
    reader.read_into(&mut buffer).expect("an honest writer");
    buffer.to_vec()
}

/// Miri is a thousand times slower.
fn config() -> ProptestConfig {
    let cases = if cfg!(miri) { 4 } else { 256 };
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn every_reader_gets_every_byte_in_order(
        steps in prop::collection::vec((0u8..4, 1usize..600), 1..if cfg!(miri) { 60 } else { 400 }),
        readers in 1usize..4,
    ) {
        let (mut writer, mut all) = heap_lane(4096, readers);
        let mut expected = vec![VecDeque::new(); readers];
        let mut number = 0u8;
        for (verb, size) in steps {
            if verb == 0 {
                let which = size % readers;
                let got = read(&mut all[which], size);
                let wanted: Vec<u8> = expected[which].drain(..got.len()).collect();
                prop_assert_eq!(got, wanted);
                continue;
            }
            number = number.wrapping_add(1);
            let bytes = vec![number; size.min(writer.payload_max())];
            let slowest = expected.iter().map(VecDeque::len).max().unwrap_or(0);
            match put(&mut writer, &bytes) {
                Ok(()) => expected.iter_mut().for_each(|one| one.extend(&bytes)),
                // A frame that fits into half of the free ring is never refused.
                Err(Refused::Full) => prop_assert!(slowest > 0),
                Err(other) => prop_assert!(false, "{other}"),
            }
        }
        for (reader, wanted) in all.iter_mut().zip(expected) {
            let mut rest = Vec::new();
            while reader.has_frame().expect("an honest writer") {
                rest.extend(read(reader, 4096));
            }
            prop_assert_eq!(rest, Vec::from(wanted));
        }
        prop_assert_eq!(writer.is_drained(), Ok(true));
    }

    #[test]
    fn no_word_is_believed_that_leads_beyond_its_frame(position in 0u64..1 << 40, word: u64) {
        let geometry = Geometry::new(4096);
        let position = position & !7;
        if let Commit::Frame { length } = geometry.read(position, word) {
            prop_assert!(length <= geometry.payload_max());
            prop_assert!(Geometry::frame_bytes(length) <= geometry.to_end(position));
        }
    }
}

/// Frames of all lengths, full of words that would be good commits one lap later. What the
/// reader makes of them.
fn forge(planted: Option<Fault>) -> Result<(), String> {
    let geometry = Geometry::new(4096);
    let (mut writer, mut all) = heap_lane(4096, 1);
    planted.into_iter().for_each(|fault| writer.planted.plant(fault));
    let (reader, mut position) = (&mut all[0], 0);
    for round in 0..if cfg!(miri) { 400 } else { 20_000u64 } {
        let forged = geometry.commit(position + geometry.capacity(), 8 * (1 + round % 3) as usize);
        let bytes: Vec<u8> = (0..1 + round * 7 % 60).flat_map(|_| forged.to_le_bytes()).collect();
        position += Geometry::frame_bytes(bytes.len());
        put(&mut writer, &bytes).map_err(|error| error.to_string())?;
        let mut got = BytesMut::with_capacity(bytes.len() + 1000);
        reader.read_into(&mut got).map_err(|error| error.to_string())?;
        if got != bytes {
            return Err(format!("round {round}: {} bytes instead of {}", got.len(), bytes.len()));
        }
    }
    Ok(())
}

#[test]
fn commit_words_in_payloads_forge_no_frame() {
    assert_eq!(forge(None), Ok(()));
    // Without the 0 behind each frame they do.
    assert!(forge(Some(Fault::NextNotZeroed)).is_err());
}

#[test]
fn full_lane_refuses_and_goes_on_when_read() {
    let (mut writer, mut all) = heap_lane(4096, 2);
    let bytes = vec![7; writer.payload_max()];
    let mut count = 0;
    while put(&mut writer, &bytes).is_ok() {
        count += 1;
    }
    assert!(count >= 6, "{count} frames of an eighth each");
    assert_eq!(writer.wait_for_room(bytes.len()), Ok(true));
    read(&mut all[0], 4096);
    assert!(!all[0].wants_wake() || writer.wait_for_room(bytes.len()) == Ok(true));
    assert_eq!(put(&mut writer, &bytes), Err(Refused::Full), "the other one has not read");
    read(&mut all[1], 4096);
    assert!(all[1].wants_wake(), "the writer waits for this one");
    assert_eq!(writer.wait_for_room(bytes.len()), Ok(false));
    assert_eq!(put(&mut writer, &bytes), Ok(()));
    assert_eq!(put(&mut writer, &vec![0; 4096]), Err(Refused::TooBig(writer.payload_max())));
}

#[test]
fn only_who_sleeps_is_woken() {
    let (mut writer, mut all) = heap_lane(4096, 2);
    let woken = |writer: &mut LaneWriter| {
        let mut woken = Vec::new();
        writer.sleepers(|number| woken.push(number));
        woken
    };
    assert_eq!(all[1].wait(), Ok(true));
    put(&mut writer, b"first").expect("room");
    assert_eq!(woken(&mut writer), [1]);
    put(&mut writer, b"second").expect("room");
    assert_eq!(woken(&mut writer), [] as [usize; 0], "it was woken already");
    assert_eq!(all[0].wait(), Ok(false), "something is there");
    read(&mut all[1], 4096);
    assert_eq!(all[1].wait(), Ok(true));
    read(&mut all[0], 4096);
    assert_eq!(all[0].wait(), Ok(true));
    put(&mut writer, b"third").expect("room");
    put(&mut writer, b"fourth").expect("room");
    assert_eq!(woken(&mut writer), [0, 1]);
    assert_eq!(woken(&mut writer), [] as [usize; 0]);
}

#[test]
fn reservation_that_is_dropped_was_never_there() {
    let (mut writer, mut all) = heap_lane(4096, 1);
    put(&mut writer, b"one").expect("room");
    writer.reserve(8).expect("room").put(b"nothing!");
    writer.reserve(8).expect("room").commit();
    put(&mut writer, b"two").expect("room");
    assert_eq!(read(&mut all[0], 100), b"onetwo");
}
