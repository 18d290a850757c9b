//! Lanes in shared memory whose readers join one by one, are lapped, follow, and are shut out.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use bytes::BytesMut;

use crate::shm::{
    Admission, LANE_BYTES_MAX, LANE_READERS_MAX, LaneReader, LaneWriter, LossyReader, NextLane,
    ReaderOffer, RegionError, SameUser,
};

const CAPACITY: usize = 64 * 1024;

fn offer() -> ReaderOffer {
    ReaderOffer::new().expect("memory")
}

fn join(writer: &mut LaneWriter, lane: &OwnedFd) -> (LaneReader, Admission) {
    let offer = offer();
    let admission = writer.admit(offer.descriptor()).expect("a good reader");
    let mut reader = offer.join(lane.as_fd(), CAPACITY, admission).expect("a good lane");
    reader.expect_moves();
    (reader, admission)
}

fn join_lossy(writer: &mut LaneWriter, lane: &OwnedFd) -> LossyReader {
    let offer = offer();
    let admission = writer.admit_lossy(offer.descriptor()).expect("a good reader");
    let mut reader = offer.join_lossy(lane.as_fd(), CAPACITY, admission).expect("a good lane");
    reader.expect_moves();
    reader
}

fn put(writer: &mut LaneWriter, number: u64) {
    let bytes = number.to_le_bytes().repeat(1 + number as usize % 50);
    let mut frame = writer.reserve(bytes.len()).expect("room");
    frame.put(&bytes);
    frame.commit();
}

fn number(buffer: &BytesMut) -> u64 {
    let number = u64::from(buffer[0]) | u64::from(buffer[1]) << 8;
    assert_eq!(buffer[..], number.to_le_bytes().repeat(1 + number as usize % 50));
    number
}

#[test]
fn readers_join_late_and_get_what_follows() {
    let (mut writer, lane) = LaneWriter::create(CAPACITY).expect("memory");
    put(&mut writer, 1);
    let (mut first, _) = join(&mut writer, &lane);
    put(&mut writer, 2);
    let (mut second, admission) = join(&mut writer, &lane);
    put(&mut writer, 3);
    assert_eq!((admission.number, admission.frames), (1, 2));
    let mut buffer = BytesMut::new();
    for expected in [2, 3] {
        assert!(first.copy_frame(&mut buffer).expect("honest").is_some());
        assert_eq!(number(&buffer.split()), expected);
    }
    assert!(second.copy_frame(&mut buffer).expect("honest").is_some());
    assert_eq!(number(&buffer), 3);
    assert_eq!(writer.is_drained(), Ok(true));
}

#[test]
fn lapped_reader_counts_what_it_loses() {
    let (mut writer, lane) = LaneWriter::create(CAPACITY).expect("memory");
    let mut reader = join_lossy(&mut writer, &lane);
    (0..10_000).for_each(|number| put(&mut writer, number));
    let (mut got, mut last, mut buffer) = (0, None, BytesMut::new());
    while reader.copy_frame(&mut buffer).expect("an honest writer").is_some() {
        let number = number(&buffer.split());
        got += 1;
        assert_eq!(number + 1, got + reader.lost());
        last = Some(number);
    }
    assert_eq!(last, Some(9999));
    assert!(reader.lost() > 9000 && got > 100, "{got} came, {} were lost", reader.lost());
    assert_eq!(reader.wait(), Ok(true));
    put(&mut writer, 10_000);
    let mut woken = Vec::new();
    writer.sleepers(|number| woken.push(number));
    assert_eq!(woken, [0], "it is woken as others are");
}

#[test]
fn readers_follow_into_a_larger_and_a_smaller_lane() {
    let (mut writer, lane) = LaneWriter::create(CAPACITY).expect("memory");
    let (mut reader, _) = join(&mut writer, &lane);
    let mut lossy = join_lossy(&mut writer, &lane);
    let sizes = [2 * CAPACITY, CAPACITY / 4, CAPACITY];
    let mut lanes = Vec::new();
    let mut count = 0;
    for size in sizes {
        (0..20).for_each(|more| put(&mut writer, count + more));
        count += 20;
        let (next, descriptor) = NextLane::new(size).expect("memory");
        writer.roll_over(next);
        assert_eq!(writer.payload_max(), size / 8 - 8);
        lanes.push(descriptor);
    }
    let mut buffer = BytesMut::new();
    for (at, (lane, size)) in lanes.iter().zip(sizes).enumerate() {
        for expected in at as u64 * 20..at as u64 * 20 + 20 {
            assert!(reader.copy_frame(&mut buffer).expect("honest").is_some());
            assert_eq!(number(&buffer.split()), expected);
            assert!(lossy.copy_frame(&mut buffer).expect("honest").is_some());
            assert_eq!(number(&buffer.split()), expected);
        }
        assert_eq!((reader.has_moved(), lossy.has_moved()), (Ok(true), Ok(true)));
        let unsafe_lane = |outcome| matches!(outcome, Err(RegionError::Unsafe(_)));
        for wrong in [size * 2, 0, LANE_BYTES_MAX * 2, size + 1] {
            assert!(unsafe_lane(reader.follow(lane.as_fd(), wrong)), "{wrong}");
        }
        if let Some((later, size)) = lanes.get(at + 1).zip(sizes.get(at + 1)) {
            assert!(unsafe_lane(reader.follow(later.as_fd(), *size)), "one is left out");
        }
        reader.follow(lane.as_fd(), size).expect("a good lane");
        lossy.follow(lane.as_fd(), size).expect("a good lane");
    }
    assert_eq!(reader.has_frame(), Ok(false));
    assert_eq!(writer.is_drained(), Ok(true));
}

#[test]
fn dismissed_reader_is_shut_out_by_a_roll_over() {
    let (mut writer, lane) = LaneWriter::create(CAPACITY).expect("memory");
    let (mut cut, admission) = join(&mut writer, &lane);
    let (mut kept, _) = join(&mut writer, &lane);
    put(&mut writer, 1);
    writer.dismiss(admission.number);
    let (next, descriptor) = NextLane::new(CAPACITY).expect("memory");
    writer.roll_over(next);
    (2..5000).for_each(|count| {
        put(&mut writer, count);
        let mut buffer = BytesMut::new();
        if kept.copy_frame(&mut buffer).expect("honest").is_none() {
            panic!("frame {count} is not there");
        }
        if kept.has_moved() == Ok(true) {
            kept.follow(descriptor.as_fd(), CAPACITY).expect("a good lane");
        }
    });
    let mut buffer = BytesMut::new();
    assert!(cut.copy_frame(&mut buffer).expect("honest").is_some());
    assert_eq!(number(&buffer), 1);
    assert_eq!(cut.copy_frame(&mut buffer), Ok(None), "and no more");
}

#[test]
fn readers_are_bounded_and_begin_only_where_the_lane_is() {
    let (mut writer, lane) = LaneWriter::create(CAPACITY).expect("memory");
    let one = offer();
    for _ in 0..LANE_READERS_MAX {
        writer.admit(one.descriptor()).expect("room for it");
    }
    assert!(matches!(writer.admit(one.descriptor()), Err(RegionError::TooManyReaders)));
    assert!(matches!(writer.admit_lossy(lane.as_fd()), Err(RegionError::TooManyReaders)));
    writer.dismiss(7);
    assert!(matches!(writer.admit(lane.as_fd()), Err(RegionError::Unsafe(_))), "it is no region");
    assert_eq!(writer.admit(one.descriptor()).expect("room again").number, 7);
    put(&mut writer, 1);
    let (next, descriptor) = NextLane::new(CAPACITY).expect("memory");
    writer.roll_over(next);
    for position in [0, 9, 1 << 63, u64::MAX] {
        let admission = Admission { number: 0, position, frames: 0 };
        let outcome = offer().join(descriptor.as_fd(), CAPACITY, admission);
        assert!(matches!(outcome, Err(RegionError::Unsafe(_))), "{position}");
    }
}

#[test]
fn same_user_borrows_frames_where_they_stand() {
    let (mut writer, lane) = LaneWriter::create(CAPACITY).expect("memory");
    let (mut reader, _) = join(&mut writer, &lane);
    let (near, _far) = UnixStream::pair().expect("sockets");
    let trust = SameUser::of_peer(near.as_fd()).expect("it is local").expect("it is this process");
    (0..5).for_each(|number| put(&mut writer, number));
    let mut part = BytesMut::with_capacity(3);
    reader.read_into(&mut part).expect("honest");
    let batch = reader.batch(trust);
    let frames: Vec<&[u8]> = batch.take(3).collect();
    assert_eq!(frames[0], [0; 5], "the rest of what was begun");
    assert_eq!(frames[2], 2u64.to_le_bytes().repeat(3));
    assert_eq!(writer.is_drained(), Ok(false), "nothing is given back while it is borrowed");
    drop(batch);
    assert_eq!(reader.batch(trust).count(), 2);
    assert_eq!(writer.is_drained(), Ok(true));
}
