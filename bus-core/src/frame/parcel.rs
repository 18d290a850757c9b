//! A parcel: small messages that were published, or sent to a queue, one behind the other on one
//! channel, still encoded.
//!
//! It is checked when it is taken off the stream: every frame in it is whole, has the short
//! header, no flags and a valid type, the same for all if they were sent, and at least two are in
//! it. It is handed on as it is. To the router it is a number of messages with a cost.

use bytes::{Buf, BufMut, Bytes};

use super::decode::check_parcel;
use super::header::SHORT_BYTES;
use super::{FrameError, Header, Kind, message_of};
use crate::limits::{MESSAGE_OVERHEAD_BYTES, window_charge};
use crate::message::Message;
use crate::message_type::MessageType;

/// A parcel is copied out of a buffer that is so many times as long, for longer keeping.
const SPARE_FACTOR: usize = 4;

/// Messages that are handled as one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parcel {
    bytes: Bytes,
    count: u64,
    /// Length of the longest payload.
    longest: usize,
    /// Length of the buffer that it keeps; unknown for what was read.
    buffer: usize,
}

impl Parcel {
    /// Of frames that were checked.
    pub(super) fn new(bytes: Bytes, count: u64, longest: usize) -> Parcel {
        Parcel { bytes, count, longest, buffer: usize::MAX }
    }

    /// The messages of this kind that a frame bears, of which it says how many there are.
    ///
    /// # Errors
    /// When they are something else.
    pub fn check(kind: Kind, body: Bytes, count: u64) -> Result<Parcel, FrameError> {
        let longest = check_parcel(kind, &body, count)?;
        Ok(Parcel::new(body, count, longest))
    }

    /// How many messages are in it.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Bytes of its frames.
    pub fn frame_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Type of the first message.
    pub fn kind(&self) -> Option<MessageType> {
        let word = self.bytes.get(8..SHORT_BYTES)?;
        MessageType::new(u64::from_le_bytes(word.try_into().ok()?))
    }

    /// Length of the first payload.
    pub fn first_length(&self) -> u64 {
        self.lengths().next().unwrap_or_default() as u64
    }

    /// Length of the longest payload, or of one that has gone.
    pub fn longest(&self) -> u64 {
        self.longest as u64
    }

    /// What its messages count wherever bytes are bounded.
    pub fn cost(&self) -> u64 {
        let payloads = self.bytes.len() as u64 - self.count * SHORT_BYTES as u64;
        payloads + self.count * MESSAGE_OVERHEAD_BYTES as u64
    }

    /// What each of its messages counts there, if that is the same for all.
    pub fn even_cost(&self) -> Option<u64> {
        self.is_even().then_some((self.longest + MESSAGE_OVERHEAD_BYTES) as u64)
    }

    /// What each of its messages counts there.
    pub fn costs(&self) -> impl Iterator<Item = u64> {
        self.lengths().map(|length| (length + MESSAGE_OVERHEAD_BYTES) as u64)
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
        Some(self.split_front(count, end))
    }

    /// Splits off so many messages from the front, at most as many as there are.
    pub fn split_to(&mut self, count: u64) -> Parcel {
        let count = count.min(self.count);
        let end = match self.is_even() {
            true => count as usize * (SHORT_BYTES + self.longest),
            false => {
                let lengths = self.lengths().take(count as usize);
                lengths.map(|length| SHORT_BYTES + length).sum()
            }
        };
        self.split_front(count, end)
    }

    /// How many messages from the front, at most so many, cost no more than this.
    pub fn fitting(&self, cost_max: u64, count_max: u64) -> u64 {
        let cost = |length: usize| (length + MESSAGE_OVERHEAD_BYTES) as u64;
        if self.is_even() {
            return self.count.min(count_max).min(cost_max / cost(self.longest));
        }
        let mut left = cost_max;
        let fits = |length: &usize| match left.checked_sub(cost(*length)) {
            Some(rest) => {
                left = rest;
                true
            }
            None => false,
        };
        let count_max = usize::try_from(count_max).unwrap_or(usize::MAX);
        self.lengths().take(count_max).take_while(fits).count() as u64
    }

    fn split_front(&mut self, count: u64, end: usize) -> Parcel {
        let bytes = self.bytes.split_to(end);
        self.count -= count;
        Parcel { bytes, count, ..*self }
    }

    /// Whether all its messages are of one length.
    fn is_even(&self) -> bool {
        self.bytes.len() as u64 == self.count * (SHORT_BYTES + self.longest) as u64
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

    /// Frees it from a much larger buffer, or the one that it was read in, for longer keeping.
    pub fn compact(&mut self) {
        if self.bytes.len() < self.buffer / SPARE_FACTOR {
            self.bytes = Bytes::copy_from_slice(&self.bytes);
            self.buffer = self.bytes.len();
        }
    }

    /// Appends its messages as frames of this kind on a channel, which must have a short number.
    pub(crate) fn encode_as(&self, kind: Kind, channel: u16, out: &mut impl BufMut) {
        let mut rest = &self.bytes[..];
        // Its frames were checked: short headers without flags, and whole.
        while let Some(head) = rest.first_chunk::<SHORT_BYTES>() {
            let [l0, l1, l2, l3, _, _, _, _, word @ ..] = *head;
            let [c0, c1] = channel.to_le_bytes();
            let end = SHORT_BYTES + u32::from_le_bytes([l0, l1, l2, l3]) as usize;
            out.put_slice(&[l0, l1, l2, l3, kind.code(), 0, c0, c1]);
            out.put_slice(&word);
            out.put_slice(rest.get(SHORT_BYTES..end).unwrap_or_default());
            rest = rest.get(end..).unwrap_or_default();
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
