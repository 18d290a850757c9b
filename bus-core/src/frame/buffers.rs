//! Memory that frames are read into, used again.
//!
//! A long frame has a buffer of its own, which goes to whoever keeps the message. A fresh one
//! for each would be given to the process by the kernel page by page, and back to it: so some of
//! them are remembered here, and filled anew once nobody else has them. Nothing here copies, and
//! what is remembered is bounded.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use crate::limits::{BUFFERS_BYTES_MAX, BUFFERS_COUNT_MAX, ROOM_BYTES_MAX};

/// Lengths of buffers are multiples of this.
const STEP_BYTES: usize = 256;

/// What a decoder reads into when it needs more than it has. One process, or thread, has one of
/// these for all of its decoders.
#[derive(Debug, Default)]
pub struct Buffers {
    /// Lent to the decoder that reads just now.
    pub(super) scratch: BytesMut,
    /// Frames that were handed on, the latest last.
    kept: VecDeque<Kept>,
    /// The capacity of all of them.
    bytes: usize,
}

/// A frame in a buffer of its own.
#[derive(Debug)]
pub(super) struct Kept {
    pub frame: Bytes,
    pub capacity: usize,
}

impl Buffers {
    /// A buffer with room for so many bytes and not much more: the last one that has become free,
    /// which the cache may still have.
    pub(super) fn take(&mut self, length: usize) -> BytesMut {
        // So that messages of one length have buffers of one, whatever their headers.
        let length = length.next_multiple_of(STEP_BYTES);
        let fits = |kept: &Kept| {
            (length..=length + length / 4).contains(&kept.capacity) && kept.frame.is_unique()
        };
        let found = self.kept.iter().rposition(fits);
        let Some(kept) = found.and_then(|index| self.kept.remove(index)) else {
            return BytesMut::with_capacity(length);
        };
        self.bytes -= kept.capacity;
        match kept.frame.try_into_mut() {
            Ok(mut buffer) => {
                buffer.clear();
                buffer
            }
            // Nobody else can have come to it meanwhile.
            Err(_) => BytesMut::with_capacity(length),
        }
    }

    /// Remembers a frame's buffer, unless that is longer than most will need.
    pub(super) fn keep(&mut self, kept: Kept) {
        if kept.capacity > ROOM_BYTES_MAX + ROOM_BYTES_MAX / 4 {
            return;
        }
        self.bytes += kept.capacity;
        self.kept.push_back(kept);
        while self.bytes > BUFFERS_BYTES_MAX || self.kept.len() > BUFFERS_COUNT_MAX {
            let Some(oldest) = self.kept.pop_front() else { break };
            self.bytes -= oldest.capacity;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTH: usize = 64 * 1024;

    /// A buffer that was filled, handed on and remembered; and where it is.
    fn hand_on(buffers: &mut Buffers, length: usize) -> (Bytes, *const u8) {
        let mut buffer = buffers.take(length);
        let capacity = buffer.capacity();
        buffer.resize(length, 7);
        let frame = buffer.freeze();
        buffers.keep(Kept { frame: frame.clone(), capacity });
        let place = frame.as_ptr();
        (frame.slice(16..), place)
    }

    #[test]
    fn buffer_is_used_again_when_nobody_has_it() {
        let mut buffers = Buffers::default();
        let (message, first) = hand_on(&mut buffers, LENGTH);
        let (other, second) = hand_on(&mut buffers, LENGTH);
        assert_ne!(first, second, "the first one is still held");
        assert!(message.iter().all(|byte| *byte == 7));
        drop(message);
        let third = hand_on(&mut buffers, LENGTH - 100);
        assert_eq!(third.1, first, "it was free");
        drop((other, third));
        assert_eq!(hand_on(&mut buffers, LENGTH).1, first, "the last one that was handed on");
    }

    #[test]
    fn buffer_much_longer_than_the_frame_is_left_alone() {
        let mut buffers = Buffers::default();
        let (message, first) = hand_on(&mut buffers, LENGTH);
        drop(message);
        assert_ne!(hand_on(&mut buffers, LENGTH / 2).1, first);
        assert!(buffers.take(LENGTH / 2).capacity() < LENGTH);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut buffers = Buffers::default();
        let mut held = Vec::new();
        for length in [LENGTH, 1024 * 1024, 40 * 1024] {
            for _ in 0..200 {
                held.push(hand_on(&mut buffers, length));
                let capacities: usize = buffers.kept.iter().map(|kept| kept.capacity).sum();
                assert_eq!(capacities, buffers.bytes);
                assert!(buffers.bytes <= BUFFERS_BYTES_MAX);
                assert!(buffers.kept.len() <= BUFFERS_COUNT_MAX);
            }
        }
        let (_held, _) = hand_on(&mut buffers, 8 * ROOM_BYTES_MAX);
        assert!(buffers.bytes <= BUFFERS_BYTES_MAX, "a giant is not remembered");
    }
}
