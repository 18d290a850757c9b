//! A parcel: small messages that were published one behind the other on one channel, still
//! encoded.
//!
//! It is checked when it is taken off the stream: every frame in it is whole, has the short
//! header, no flags and a valid type, and at least two are in it. It is handed on as it is. To the
//! router it is a number of messages with a cost.

use bytes::{Buf, Bytes};

use super::header::SHORT_BYTES;
use super::{Header, message_of};
use crate::limits::{MESSAGE_OVERHEAD_BYTES, window_charge};
use crate::message::Message;

/// Messages that are handled as one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parcel {
    bytes: Bytes,
    count: u64,
    /// Length of the longest payload.
    longest: usize,
    is_compact: bool,
}

impl Parcel {
    /// Of frames that were checked.
    pub(super) fn new(bytes: Bytes, count: u64, longest: usize) -> Parcel {
        Parcel { bytes, count, longest, is_compact: false }
    }

    /// How many messages are in it.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Bytes of its frames.
    pub fn frame_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// What its messages count wherever bytes are bounded.
    pub fn cost(&self) -> u64 {
        let payloads = self.bytes.len() as u64 - self.count * SHORT_BYTES as u64;
        payloads + self.count * MESSAGE_OVERHEAD_BYTES as u64
    }

    /// What its messages take of a window.
    pub fn charge(&self, window_bytes: u64) -> u64 {
        if ((self.longest + MESSAGE_OVERHEAD_BYTES) as u64) < window_bytes / 2 {
            return self.cost();
        }
        self.lengths().map(|length| window_charge(length, window_bytes)).sum()
    }

    /// Splits off the front what takes at most so much of a window, which may be nothing. What
    /// is left may be empty.
    pub fn split_to_fit(&mut self, room: u64, window_bytes: u64) -> Option<Parcel> {
        let (mut count, mut end, mut taken) = (0, 0, 0);
        for length in self.lengths() {
            taken += window_charge(length, window_bytes);
            if taken > room {
                break;
            }
            count += 1;
            end += SHORT_BYTES + length;
        }
        if count == 0 {
            return None;
        }
        let mut front = self.clone();
        front.bytes = self.bytes.split_to(end);
        front.count = count;
        self.count -= count;
        Some(front)
    }

    /// The first message.
    pub fn first(&self) -> Option<Message> {
        self.clone().pop_front()
    }

    /// Takes the first message off.
    pub fn pop_front(&mut self) -> Option<Message> {
        let (header, header_bytes, length) = Header::decode(&self.bytes).ok()??;
        self.bytes.advance(header_bytes);
        self.count -= 1;
        // Its type was checked when the parcel was made.
        message_of(&header, self.bytes.split_to(length)).ok()
    }

    /// Whether nothing is left in it.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The messages, each by itself.
    pub fn messages(mut self) -> impl Iterator<Item = Message> {
        std::iter::from_fn(move || self.pop_front())
    }

    /// Frees it from the larger buffer that it was read in, for longer keeping.
    pub fn compact(&mut self) {
        if !std::mem::replace(&mut self.is_compact, true) {
            self.bytes = Bytes::copy_from_slice(&self.bytes);
        }
    }

    /// Its frames.
    pub(crate) fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Lengths of the payloads.
    fn lengths(&self) -> impl Iterator<Item = usize> {
        let mut rest = &self.bytes[..];
        std::iter::from_fn(move || {
            let head = rest.first_chunk::<4>()?;
            let length = u32::from_le_bytes(*head) as usize;
            rest = rest.get(SHORT_BYTES + length..)?;
            Some(length)
        })
    }
}
