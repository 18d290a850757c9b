//! Long frames: gathered in buffers of their own, which are used again, but never while somebody
//! has them; and no larger than what has arrived allows.

use bytes::Bytes;
use proptest::prelude::*;

use super::super::*;
use super::{encode, established};
use crate::limits::{FRAME_BODY_BYTES_MAX, GATHER_BYTES_MIN, READ_BYTES, ROOM_BYTES_MAX};

const MIB: usize = 1024 * 1024;

/// A frame with so many bytes in its body, of which each tells the frame's number.
fn frame(number: usize, length: usize) -> Frame {
    let kind = [Kind::Deliver, Kind::Send][number % 2];
    let mut header = Header::new(kind, 1, 1 + number as u64);
    // The full form as well as the short one.
    header.origin = [0, 0, 9][number % 3];
    Frame { header, body: Bytes::from(vec![number as u8; length]) }
}

/// Gives the decoder as many of these bytes as it has room for, and at most `limit`, as a link
/// does.
fn feed(decoder: &mut Decoder, buffers: &mut Buffers, bytes: &mut &[u8], limit: usize) {
    let buffer = decoder.room(buffers);
    let spare = buffer.capacity() - buffer.len();
    assert!(spare > 0, "nothing can be read");
    let (now, later) = bytes.split_at(limit.min(spare).min(bytes.len()));
    buffer.extend_from_slice(now);
    *bytes = later;
}

/// What the broker's or the client's way of taking frames yields.
fn take(decoder: &mut Decoder, as_client: bool, found: &mut Vec<Frame>) {
    if !as_client {
        while let Some(frame) = decoder.next_frame().expect("well formed") {
            found.push(frame);
        }
        return;
    }
    while let Some(incoming) = decoder.next_incoming().expect("well formed") {
        match incoming {
            Incoming::Frame(frame) => found.push(frame),
            Incoming::Run(mut run) => {
                let count = run.frames;
                let before = found.len();
                while let Some(message) = run.next_message() {
                    let (header, message) = message.expect("well formed");
                    found.push(Frame { header, body: message.payload().clone() });
                }
                assert_eq!(count, (found.len() - before) as u64);
            }
        }
    }
}

fn lengths() -> impl Strategy<Value = Vec<usize>> {
    let length = prop_oneof![
        0..200usize,
        0..READ_BYTES,
        GATHER_BYTES_MIN - 20..GATHER_BYTES_MIN + 5,
        Just(READ_BYTES),
        Just(READ_BYTES + 1),
        READ_BYTES..3 * READ_BYTES,
    ];
    prop::collection::vec(length, 1..25)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// However the bytes arrive, and whichever frames are held: all come out as they went in,
    /// and those that are held stay as they are.
    #[test]
    fn long_frames_survive_and_are_not_overwritten(
        lengths in lengths(),
        limits in prop::collection::vec(prop_oneof![1..300usize, 1..4 * READ_BYTES], 1..10),
        held in any::<u32>(),
        as_client in any::<bool>(),
    ) {
        let frames: Vec<Frame> =
            lengths.iter().enumerate().map(|(number, length)| frame(number, *length)).collect();
        let bytes = encode(&frames);
        let (mut rest, mut decoder, mut buffers) = (&bytes[..], established(), Buffers::default());
        let (mut kept, mut number) = (Vec::new(), 0);
        for limit in limits.iter().cycle() {
            feed(&mut decoder, &mut buffers, &mut rest, *limit);
            let mut found = Vec::new();
            take(&mut decoder, as_client, &mut found);
            decoder.give_back(&mut buffers);
            for frame in found {
                prop_assert!(frame == frames[number], "frame {number}");
                if held >> (number % 32) & 1 == 1 {
                    kept.push((number, frame));
                }
                number += 1;
            }
            if rest.is_empty() {
                break;
            }
        }
        prop_assert_eq!((number, decoder.pending()), (frames.len(), 0));
        for (number, frame) in kept {
            prop_assert!(frame == frames[number], "frame {number}, which was held");
        }
    }
}

#[test]
fn claim_makes_room_for_a_mebibyte_ahead_of_what_has_arrived() {
    let length = FRAME_BODY_BYTES_MAX;
    let mut bytes = Vec::new();
    Header::new(Kind::Send, 1, 1).encode(length, &mut bytes);
    bytes.resize(bytes.len() + length, 5);
    let (mut rest, mut decoder, mut buffers) = (&bytes[..], established(), Buffers::default());
    while !rest.is_empty() {
        feed(&mut decoder, &mut buffers, &mut rest, 300_000);
        let arrived = bytes.len() - rest.len();
        // The memory doubles at most: what is not written to is not there.
        assert!(decoder.room(&mut buffers).capacity() <= 2 * arrived + ROOM_BYTES_MAX);
    }
    let frame = decoder.next_frame().expect("well formed").expect("whole");
    assert!(frame.body.len() == length && frame.body.iter().all(|byte| *byte == 5));
}

#[test]
fn idle_decoder_keeps_neither_a_buffer_nor_the_last_frame() {
    for length in [10, READ_BYTES, MIB, 8 * MIB] {
        let bytes = encode(&[frame(1, length)]);
        let (mut rest, mut decoder, mut buffers) = (&bytes[..], established(), Buffers::default());
        while !rest.is_empty() {
            feed(&mut decoder, &mut buffers, &mut rest, usize::MAX);
        }
        let found = decoder.next_frame().expect("well formed").expect("whole");
        decoder.give_back(&mut buffers);
        assert_eq!(decoder.buffer().capacity(), 0, "after {length} bytes");
        drop(buffers);
        assert!(found.body.is_unique(), "somebody keeps {length} bytes");
    }
}

#[test]
fn long_frames_of_one_length_are_read_to_one_place() {
    let frames: Vec<Frame> = (0..20).map(|number| frame(number, MIB)).collect();
    let bytes = encode(&frames);
    let (mut rest, mut decoder, mut buffers) = (&bytes[..], established(), Buffers::default());
    let mut places = Vec::new();
    while !rest.is_empty() {
        feed(&mut decoder, &mut buffers, &mut rest, 256 * 1024);
        while let Some(frame) = decoder.next_frame().expect("well formed") {
            places.push(frame.body.as_ptr().addr() / 4096);
        }
    }
    assert_eq!(places.len(), frames.len());
    places.sort_unstable();
    places.dedup();
    assert_eq!(places.len(), 1, "a buffer that is free is used again");
}

#[test]
fn small_frames_behind_a_long_one_are_read_as_many_at_once() {
    let mut frames = vec![frame(0, READ_BYTES)];
    frames.extend((1..2000).map(|number| frame(number, 100)));
    let bytes = encode(&frames);
    let (mut rest, mut decoder, mut buffers) = (&bytes[..], established(), Buffers::default());
    let (mut reads, mut found) = (0, Vec::new());
    while !rest.is_empty() {
        feed(&mut decoder, &mut buffers, &mut rest, usize::MAX);
        take(&mut decoder, true, &mut found);
        decoder.give_back(&mut buffers);
        reads += 1;
    }
    assert_eq!(found.len(), frames.len());
    assert!(reads <= 3 + bytes.len() / READ_BYTES, "{reads} reads");
}
