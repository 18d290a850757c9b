//! The sending half of a session: frames as bytes, kept until the peer confirms them.
//!
//! Small frames are copied one behind the other into chunks, so that many go out in one system
//! call; a large payload stands between chunks by reference. Invariants: every chunk begins
//! with a frame; `segments` holds everything that is unsent or unconfirmed, in order; sequenced
//! frames are numbered from 1 in the order in which they were pushed.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use super::heartbeat::Said;
use crate::frame::{Header, Kind, Parcel, encode_message_head};
use crate::limits::COPY_BYTES_MAX;
use crate::message::Message;

/// The smallest and the largest chunk.
const CHUNK_MIN: usize = 1024;
const CHUNK_MAX: usize = 64 * 1024;

/// Parcels from this length on are kept by reference. A shorter one would keep the whole buffer
/// that it was read in, of 64 KiB mostly.
const SHARE_BYTES_MIN: usize = 32 * 1024;

/// A run of encoded bytes.
#[derive(Debug)]
struct Segment {
    bytes: Bytes,
    /// Number of the last sequenced frame that began before this segment.
    before: u64,
    /// Number of the last sequenced frame that begins in or before it.
    last: u64,
    /// Whether it begins with a frame; else it is the payload of the one before.
    is_chunk: bool,
}

/// The sending half.
#[derive(Debug, Default)]
pub struct Outbound {
    segments: VecDeque<Segment>,
    /// The chunk being filled, and the number before its first frame.
    open: BytesMut,
    open_before: u64,
    /// The first segment with unsent bytes, and how many of its bytes are sent.
    cursor: usize,
    offset: usize,
    last: u64,
    confirmed: u64,
    unsent: usize,
    kept: usize,
    /// Bytes that links have taken, over all connections.
    written: u64,
}

impl Outbound {
    /// Adds a frame with a small body.
    #[inline]
    pub fn push(&mut self, header: &Header, body: &[u8]) {
        self.reserve(header.encoded_len() + body.len());
        header.encode(body.len(), &mut self.open);
        self.open.extend_from_slice(body);
        self.count(header, header.encoded_len() + body.len());
    }

    /// Adds a frame that bears a message.
    pub fn push_message(&mut self, header: &Header, message: &Message) {
        let payload = message.payload();
        let head = header.encoded_len()
            + match message.headers().encoded().len() {
                0 => 0,
                length => 2 + length,
            };
        if payload.len() < COPY_BYTES_MAX {
            self.reserve(head + payload.len());
            encode_message_head(header, message, &mut self.open);
            self.open.extend_from_slice(payload);
            return self.count(header, head + payload.len());
        }
        self.reserve(head);
        encode_message_head(header, message, &mut self.open);
        self.count(header, head + payload.len());
        self.close_chunk();
        let segment =
            Segment { bytes: payload.clone(), before: self.last, last: self.last, is_chunk: false };
        self.segments.push_back(segment);
    }

    /// Adds a frame that bears a parcel's messages: a long one by reference.
    pub fn push_parcel(&mut self, header: &Header, parcel: &Parcel) {
        if parcel.frame_bytes() < SHARE_BYTES_MIN {
            return self.push(header, parcel.bytes());
        }
        self.reserve(header.encoded_len());
        header.encode(parcel.frame_bytes(), &mut self.open);
        self.count(header, header.encoded_len() + parcel.frame_bytes());
        self.close_chunk();
        let (bytes, before, last) = (parcel.bytes().clone(), self.last, self.last);
        self.segments.push_back(Segment { bytes, before, last, is_chunk: false });
    }

    /// Adds a parcel's messages as frames of their own, of this kind and on this channel.
    pub fn push_each(&mut self, kind: Kind, channel: u16, parcel: &Parcel) {
        self.reserve(parcel.frame_bytes());
        parcel.encode_as(kind, channel, &mut self.open);
        self.last += parcel.count();
        self.unsent += parcel.frame_bytes();
        self.kept += parcel.frame_bytes();
    }

    /// Collects unsent bytes in order, up to about `limit` and at most `slices` of them.
    pub fn unsent(&mut self, limit: usize, slices: usize, out: &mut Vec<Bytes>) {
        self.close_chunk();
        let mut left = limit;
        let mut skip = self.offset;
        for segment in self.segments.iter().skip(self.cursor).take(slices) {
            if left == 0 {
                return;
            }
            let end = segment.bytes.len().min(skip.saturating_add(left));
            left -= end - skip;
            out.push(segment.bytes.slice(skip..end));
            skip = 0;
        }
    }

    /// Notes that so many of the unsent bytes are sent.
    pub fn advance(&mut self, mut bytes: usize) {
        self.unsent -= bytes;
        self.written += bytes as u64;
        while let Some(segment) = self.segments.get(self.cursor) {
            let rest = segment.bytes.len() - self.offset;
            if bytes < rest {
                self.offset += bytes;
                break;
            }
            bytes -= rest;
            self.offset = 0;
            self.cursor += 1;
        }
        self.forget();
    }

    /// Notes that the peer has the sequenced frames up to this one. `false` if that cannot be.
    #[must_use]
    pub fn confirm(&mut self, received: u64) -> bool {
        if received > self.last {
            return false;
        }
        self.confirmed = self.confirmed.max(received);
        self.forget();
        true
    }

    /// On a new connection: goes back to the frame after `received`, which the peer has.
    /// `false` if that cannot be.
    #[must_use]
    pub fn rewind(&mut self, received: u64) -> bool {
        self.close_chunk();
        if !self.can_rewind(received) {
            return false;
        }
        self.cursor = 0;
        self.offset = 0;
        self.confirmed = received;
        // Whatever was unsent may be sent now, so that whole segments can be forgotten.
        self.cursor = self.segments.iter().take_while(|segment| segment.last <= received).count();
        self.forget();
        if let Some(first) = self.segments.front() {
            self.offset = skip_frames(&first.bytes, received - first.before.min(received));
            // A frame whose payload follows may end this chunk.
            if self.offset >= first.bytes.len() {
                self.offset = 0;
                self.cursor = 1;
                while self.segments.get(self.cursor).is_some_and(|segment| !segment.is_chunk) {
                    self.cursor += 1;
                }
            }
        }
        let sent: usize =
            self.segments.iter().take(self.cursor).map(|segment| segment.bytes.len()).sum();
        self.unsent = self.kept - sent - self.offset;
        true
    }

    /// Whether a new connection can go on after `received`.
    pub fn can_rewind(&self, received: u64) -> bool {
        (self.confirmed..=self.last).contains(&received)
    }

    /// How many frames of this kind are kept: unsent, or not known to have arrived.
    pub fn count_kept(&mut self, kind: Kind) -> u64 {
        self.close_chunk();
        let mut count = 0;
        for segment in self.segments.iter().filter(|segment| segment.is_chunk) {
            let mut number = segment.before;
            let mut rest = &segment.bytes[..];
            // Chunks were encoded here, so their headers are whole.
            while let Ok(Some((header, header_len, body_len))) = Header::decode(rest) {
                number += u64::from(header.kind.is_sequenced());
                count += u64::from(header.kind == kind && number > self.confirmed);
                rest = &rest[(header_len + body_len).min(rest.len())..];
            }
        }
        count
    }

    /// Whether anything is unsent.
    pub fn has_unsent(&self) -> bool {
        self.unsent > 0
    }

    /// Unsent bytes.
    pub fn unsent_bytes(&self) -> usize {
        self.unsent
    }

    /// What there was to say, and how much of it is said. Both grow while a connection lasts.
    pub fn said(&self) -> Said {
        Said { queued: self.written + self.unsent as u64, written: self.written }
    }

    /// Bytes that are unsent or unconfirmed.
    pub fn kept_bytes(&self) -> usize {
        self.kept
    }

    /// The number of the last sequenced frame.
    pub fn last(&self) -> u64 {
        self.last
    }

    #[inline]
    fn reserve(&mut self, length: usize) {
        if self.open.is_empty() {
            self.open_before = self.last;
        }
        if self.open.capacity() - self.open.len() < length {
            self.next_chunk(length);
        }
    }

    /// Makes room for a frame of this length, in this chunk or in a new one.
    #[cold]
    fn next_chunk(&mut self, length: usize) {
        if self.open.len() + length > CHUNK_MAX {
            self.close_chunk();
            self.open_before = self.last;
        }
        let chunk = self.unsent.clamp(CHUNK_MIN, CHUNK_MAX).max(length);
        self.open.reserve(chunk);
    }

    #[inline]
    fn count(&mut self, header: &Header, bytes: usize) {
        self.last += u64::from(header.kind.is_sequenced());
        self.unsent += bytes;
        self.kept += bytes;
    }

    fn close_chunk(&mut self) {
        if !self.open.is_empty() {
            let bytes = self.open.split().freeze();
            let segment =
                Segment { bytes, before: self.open_before, last: self.last, is_chunk: true };
            self.segments.push_back(segment);
        }
    }

    /// Lets go of what is both sent and confirmed.
    fn forget(&mut self) {
        while self.cursor > 0 {
            match self.segments.front() {
                Some(first) if first.last <= self.confirmed => {}
                _ => break,
            }
            // A payload goes with the chunk that bears its header.
            let next_is_payload = self.segments.get(1).is_some_and(|next| !next.is_chunk);
            if next_is_payload && self.cursor < 2 {
                break;
            }
            if let Some(first) = self.segments.pop_front() {
                self.kept -= first.bytes.len();
                self.cursor -= 1;
            }
        }
        if self.segments.is_empty() && self.open.is_empty() && self.open.capacity() > 4 * CHUNK_MIN
        {
            self.open = BytesMut::new();
        }
    }
}

/// The offset behind so many sequenced frames of a chunk.
fn skip_frames(bytes: &[u8], count: u64) -> usize {
    let mut offset = 0;
    let mut left = count;
    while left > 0 {
        // Chunks were encoded here, so their headers are whole.
        let Ok(Some((header, header_len, body_len))) =
            Header::decode(&bytes[offset.min(bytes.len())..])
        else {
            break;
        };
        offset += header_len + body_len;
        left -= u64::from(header.kind.is_sequenced());
    }
    offset
}

/// A header for a frame of this kind that bears nothing but a word.
pub(crate) fn word_frame(kind: Kind, word: u64) -> Header {
    Header::new(kind, 0, word)
}

#[cfg(test)]
mod tests;
