//! A writer and its readers in threads of their own: what they copy is whole, whoever is ahead.
//! Under miri this looks for data races.

use std::thread;

use bytes::BytesMut;

use crate::shm::heap::parts::Lane;
use crate::shm::{LaneReader, LaneWriter, LossyReader, Refused};

const FRAMES: u64 = if cfg!(miri) { 200 } else { 100_000 };
/// So often the writer goes on in a new lane.
const LANES: usize = 4;

/// A frame tells its number in every word, and its length from its number.
fn payload(number: u64) -> Vec<u8> {
    number.to_le_bytes().repeat(1 + number as usize % 9)
}

fn number_of(bytes: &[u8]) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[..8]);
    let number = u64::from_le_bytes(word);
    assert_eq!(bytes, payload(number), "a torn frame");
    number
}

fn write(writer: &mut LaneWriter, lanes: &[Lane]) {
    let mut lanes = lanes.iter().skip(1);
    for number in 0..FRAMES {
        let bytes = payload(number);
        loop {
            match writer.reserve(bytes.len()) {
                Ok(mut frame) => {
                    frame.put(&bytes);
                    frame.commit();
                    break;
                }
                Err(Refused::Full) => thread::yield_now(),
                Err(other) => panic!("{other}"),
            }
        }
        if number % (FRAMES / LANES as u64) == FRAMES / LANES as u64 / 2
            && let Some(lane) = lanes.next()
        {
            writer.roll_over(lane.next());
        }
    }
}

fn read(mut reader: LaneReader, lanes: &[Lane]) {
    let mut lanes = lanes.iter().skip(1);
    let (mut expected, mut buffer) = (0, BytesMut::new());
    while expected < FRAMES {
        buffer.clear();
        if reader.copy_frame(&mut buffer).expect("an honest writer").is_some() {
            assert_eq!(number_of(&buffer), expected);
            expected += 1;
        } else if reader.has_moved().expect("an honest writer") {
            lanes.next().expect("a lane").follow(&mut reader).expect("it begins there");
        } else {
            thread::yield_now();
        }
    }
}

/// Reads to the last frame, with gaps; returns how many came, and were lost.
fn read_lossy(mut reader: LossyReader, lanes: &[Lane]) -> (u64, u64) {
    let mut lanes = lanes.iter().skip(1);
    let (mut next, mut got, mut buffer) = (0, 0, BytesMut::new());
    while next < FRAMES {
        buffer.clear();
        if reader.copy_frame(&mut buffer).expect("an honest writer").is_some() {
            let number = number_of(&buffer);
            got += 1;
            assert_eq!(number + 1, got + reader.lost(), "the lost ones are counted");
            next = number + 1;
        } else if reader.has_moved().expect("an honest writer") {
            lanes.next().expect("a lane").follow_lossy(&mut reader).expect("it begins there");
        } else {
            thread::yield_now();
        }
    }
    (got, reader.lost())
}

fn run(readers: usize, lossy: usize) {
    let lanes: Vec<Lane> = (0..LANES).map(|at| Lane::new(4096 << (at % 2))).collect();
    let mut writer = lanes[0].writer();
    let all: Vec<LaneReader> = (0..readers).map(|_| lanes[0].reader(&mut writer)).collect();
    let lapped: Vec<LossyReader> = (0..lossy).map(|_| lanes[0].lossy_reader(&mut writer)).collect();
    thread::scope(|scope| {
        let lanes = &lanes;
        for reader in all {
            scope.spawn(move || read(reader, lanes));
        }
        for reader in lapped {
            scope.spawn(move || {
                let (got, lost) = read_lossy(reader, lanes);
                assert_eq!(got + lost, FRAMES);
            });
        }
        scope.spawn(move || write(&mut writer, lanes));
    });
}

#[test]
fn readers_get_every_frame_through_all_lanes() {
    run(2, 0);
}

#[test]
fn lapped_readers_get_whole_frames_and_count_the_others() {
    run(0, 2);
}

#[test]
fn lapped_readers_hold_nobody_up_beside_others() {
    run(1, 1);
}
