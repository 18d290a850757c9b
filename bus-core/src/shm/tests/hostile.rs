//! Writers and readers that store what no honest one does: they are found out, and nobody hangs
//! or panics.

use bytes::BytesMut;

use crate::shm::fault::Fault;
use crate::shm::heap::parts::Lane;
use crate::shm::layout::Geometry;
use crate::shm::{LaneReader, LaneWriter, Refused};
use crate::sync::Ordering;

const CAPACITY: usize = 4096;

fn put(writer: &mut LaneWriter, bytes: &[u8]) {
    let mut frame = writer.reserve(bytes.len()).expect("room");
    frame.put(bytes);
    frame.commit();
}

fn lane() -> (Lane, LaneWriter, LaneReader) {
    let lane = Lane::new(CAPACITY);
    let mut writer = lane.writer();
    let reader = lane.reader(&mut writer);
    (lane, writer, reader)
}

#[test]
fn lane_that_begins_elsewhere_is_not_followed() {
    let check = |base: u64, planted: Option<Fault>| {
        let (_lane, mut writer, mut reader) = lane();
        planted.into_iter().for_each(|fault| reader.planted.plant(fault));
        put(&mut writer, b"before");
        let next = Lane::new(CAPACITY);
        writer.roll_over(next.next());
        writer.lane.header().base.store(base, Ordering::Relaxed);
        let mut buffer = BytesMut::with_capacity(100);
        reader.read_into(&mut buffer).expect("honest so far");
        assert_eq!(&buffer[..], b"before");
        (next.follow(&mut reader), reader.has_moved())
    };
    assert_eq!(check(16, None), (Ok(()), Ok(false)));
    for base in [0, 8, 24, u64::MAX] {
        let (followed, stands) = check(base, None);
        assert!(followed.is_err(), "base {base}");
        assert_eq!(stands, Ok(true), "it stands where it stood");
        assert_eq!(check(base, Some(Fault::FollowsAnywhere)).0, Ok(()), "the bug is seen");
    }
}

#[test]
fn move_in_the_middle_of_a_frame_is_found_out() {
    let (_lane, mut writer, mut reader) = lane();
    put(&mut writer, b"a long frame");
    let mut buffer = BytesMut::with_capacity(4);
    reader.read_into(&mut buffer).expect("honest so far");
    let geometry = Geometry::new(CAPACITY);
    for word in [geometry.moved(0), geometry.padding(8), geometry.commit(0, 3), 0] {
        writer.store_word(0, word);
        assert!(reader.has_frame().is_err(), "{word:x}");
        assert!(reader.read_into(&mut BytesMut::with_capacity(4)).is_err(), "{word:x}");
        assert!(reader.copy_frame(&mut BytesMut::new()).is_err(), "{word:x}");
        assert!(reader.wait().is_err(), "{word:x}");
    }
}

#[test]
fn move_that_nobody_expects_is_found_out() {
    let (mut writer, mut all) = crate::shm::heap_lane(CAPACITY, 1);
    writer.roll_over(Lane::new(CAPACITY).next());
    assert!(all[0].has_frame().is_err());
    assert!(all[0].has_moved().is_err());
}

/// Whoever is not handed the next lane knows that it should be, and does not sleep.
#[test]
fn move_without_a_lane_is_told() {
    let (lane, mut writer, mut reader) = lane();
    let mut lossy = lane.lossy_reader(&mut writer);
    writer.roll_over(Lane::new(CAPACITY).next());
    assert_eq!(
        (reader.has_frame(), reader.has_moved(), reader.wait()),
        (Ok(true), Ok(true), Ok(false))
    );
    assert_eq!(reader.read_into(&mut BytesMut::with_capacity(100)), Ok(0));
    assert_eq!(
        (lossy.has_frame(), lossy.has_moved(), lossy.wait()),
        (Ok(true), Ok(true), Ok(false))
    );
    assert_eq!(lossy.copy_frame(&mut BytesMut::new()), Ok(None));
    // The old lane's own memory is no lane that follows, nor is one from before a move.
    put(&mut writer, b"x");
    assert!(Lane::new(CAPACITY).follow(&mut reader).is_ok(), "a new lane begins at 0, as this did");
    assert!(lane.follow_lossy(&mut lossy).is_ok_and(|()| lossy.has_moved() == Ok(true)));
}

/// A move leads on or it does not; following it again and again is in the caller's hands.
#[test]
fn moved_twice_is_followed_twice() {
    let (_lane, mut writer, mut reader) = lane();
    put(&mut writer, b"one");
    let lanes = [Lane::new(CAPACITY), Lane::new(2 * CAPACITY)];
    lanes.iter().for_each(|next| writer.roll_over(next.next()));
    put(&mut writer, b"two");
    let mut buffer = BytesMut::new();
    assert_eq!(reader.copy_frame(&mut buffer), Ok(Some(3)));
    for next in &lanes {
        assert_eq!(reader.copy_frame(&mut buffer), Ok(None));
        assert_eq!(next.follow(&mut reader), Ok(()));
        assert!(next.follow(&mut reader).is_err() || reader.has_moved() == Ok(true));
    }
    assert_eq!(reader.copy_frame(&mut buffer), Ok(Some(3)));
    assert_eq!(&buffer[..], b"onetwo");
}

#[test]
fn padding_cannot_lead_in_circles() {
    let (_lane, writer, mut reader) = lane();
    let geometry = Geometry::new(CAPACITY);
    writer.store_word(0, geometry.padding(0));
    assert!(reader.has_frame().is_err());
}

#[test]
fn floor_that_cannot_be_is_found_out() {
    for (floor, dropped) in [(4, 1), (u64::MAX, 1), (u64::MAX - 7, 1), (1 << 63, 5), (64, 0)] {
        let (lane, mut writer, _reader) = lane();
        let mut lossy = lane.lossy_reader(&mut writer);
        put(&mut writer, b"frame");
        assert_eq!(lossy.copy_frame(&mut BytesMut::new()), Ok(Some(5)));
        let loss = &writer.lane.header().loss;
        for note in &loss.notes {
            note.floor.store(floor, Ordering::Relaxed);
            note.dropped.store(dropped, Ordering::Relaxed);
        }
        loss.floor.store(floor, Ordering::Release);
        let outcome = lossy.copy_frame(&mut BytesMut::new());
        match floor {
            4 => assert_eq!(outcome, Ok(None), "below the cursor it says nothing"),
            _ => assert!(outcome.is_err(), "{floor}, {dropped}: {outcome:?}"),
        }
    }
}

#[test]
fn cursors_that_cannot_be_are_found_out() {
    for cursor in [0, 8, 4096, u64::MAX] {
        let (lane, mut writer, mut reader) = lane();
        put(&mut writer, b"first frame");
        reader.copy_frame(&mut BytesMut::new()).expect("honest");
        assert_eq!(writer.is_drained(), Ok(true));
        put(&mut writer, b"second");
        // A reader that is not there yet stands where it begins.
        let late = lane.reader(&mut writer);
        assert_eq!(writer.is_drained(), Ok(false));
        drop(late);
        reader.store_cursor(cursor);
        assert_eq!(writer.is_drained(), Err(Refused::Tampered(0)), "{cursor}");
        writer.dismiss(0);
        assert_eq!(writer.is_drained(), Ok(true), "the others are not concerned");
    }
}
