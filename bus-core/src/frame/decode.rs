//! Incremental decoding: bytes in as they come, whole frames out.
//!
//! A claimed length is only a claim: memory grows with the bytes that have really arrived.
//! Neighbouring deliveries for one subscription come out as one [`Run`], to be decoded where
//! they are used.

use bytes::{Bytes, BytesMut};

use super::header::{SHORT_BYTES, plain_publish};
use super::{FrameError, Header, Kind, Parcel, Run};
use crate::limits::{
    CONTROL_BYTES_MAX, COPY_BYTES_MAX, FRAME_BODY_BYTES_MAX, HANDSHAKE_FRAME_BYTES_MAX,
    INLINE_BYTES_MAX, PARCEL_BYTES_MAX,
};

/// One whole frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Its header.
    pub header: Header,
    /// What follows it.
    pub body: Bytes,
}

/// What the decoder yields to a broker.
#[derive(Clone, Debug)]
pub enum Arrival {
    /// A frame.
    Frame(Frame),
    /// Small messages that were published on one channel.
    Parcel {
        /// The publisher's.
        channel: u32,
        /// The messages.
        parcel: Parcel,
    },
}

/// What the decoder yields to a client.
#[derive(Clone, Debug)]
pub enum Incoming {
    /// A frame of any kind but `Deliver`.
    Frame(Frame),
    /// Deliveries.
    Run(Run),
}

/// Turns bytes into frames.
#[derive(Debug)]
pub struct Decoder {
    buffer: BytesMut,
    body_bytes_max: usize,
}

impl Decoder {
    /// A decoder for the handshake: frames of at most 4 KiB.
    pub fn for_handshake() -> Decoder {
        Decoder { buffer: BytesMut::new(), body_bytes_max: HANDSHAKE_FRAME_BYTES_MAX }
    }

    /// Lifts the limit to that of an established session.
    pub fn establish(&mut self) {
        self.body_bytes_max = FRAME_BODY_BYTES_MAX;
    }

    /// The buffer to read into. Bytes are appended, never changed.
    pub fn buffer(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    /// Bytes that wait for the rest of their frame.
    pub fn pending(&self) -> usize {
        self.buffer.len()
    }

    /// How many bytes the frame at the front still lacks, as far as that is known.
    pub fn missing(&self) -> usize {
        match Header::decode(&self.buffer) {
            Ok(Some((_, header, body))) => (header + body).saturating_sub(self.buffer.len()),
            _ => 0,
        }
    }

    /// The next whole frame.
    ///
    /// # Errors
    /// When the bytes are not a frame. The connection is of no use after that.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, FrameError> {
        let Some((header, header_len, body_len)) = self.peek(0)? else { return Ok(None) };
        let mut bytes = self.split(header_len + body_len);
        let body = if body_len == 0 { Bytes::new() } else { bytes.split_off(header_len).freeze() };
        Ok(Some(Frame { header, body }))
    }

    /// The next whole frame, or run of deliveries.
    ///
    /// # Errors
    /// As [`Decoder::next_frame`].
    pub fn next_incoming(&mut self) -> Result<Option<Incoming>, FrameError> {
        match self.peek(0)? {
            Some((header, ..)) if header.kind == Kind::Deliver => {
                self.next_run(header.channel).map(|run| Some(Incoming::Run(run)))
            }
            Some((header, ..)) if header.kind == Kind::DeliverParcel => {
                let Some(Frame { header, body }) = self.next_frame()? else { return Ok(None) };
                if !is_parcel(&body, header.word) {
                    let text = "a parcel whose frames are not what it says";
                    return Err(FrameError::Violation(text.into()));
                }
                let (channel, frames, origins) = (header.channel, header.word, Vec::new());
                Ok(Some(Incoming::Run(Run { channel, frames, numbered: 1, origins, bytes: body })))
            }
            Some(_) => Ok(self.next_frame()?.map(Incoming::Frame)),
            None => Ok(None),
        }
    }

    /// The next whole frame, or parcel of what was published.
    ///
    /// # Errors
    /// As [`Decoder::next_frame`].
    #[inline]
    pub fn next_arrival(&mut self) -> Result<Option<Arrival>, FrameError> {
        if let Some((channel, length)) = plain_publish(&self.buffer)
            && let Some(parcel) = self.next_parcel(channel, length)
        {
            return Ok(Some(Arrival::Parcel { channel: u32::from(channel), parcel }));
        }
        Ok(self.next_frame()?.map(Arrival::Frame))
    }

    /// What is published on this channel from the front on, if that is more than one message;
    /// the first payload has so many bytes.
    fn next_parcel(&mut self, channel: u16, mut length: usize) -> Option<Parcel> {
        let (mut end, mut count, mut longest) = (0, 0, 0);
        let limit = self.buffer.len().min(PARCEL_BYTES_MAX);
        while length < COPY_BYTES_MAX && end + SHORT_BYTES + length <= limit {
            end += SHORT_BYTES + length;
            count += 1;
            longest = longest.max(length);
            match plain_publish(&self.buffer[end..]) {
                Some((other, next)) if other == channel => length = next,
                _ => break,
            }
        }
        (count > 1).then(|| Parcel::new(self.buffer.split_to(end).freeze(), count, longest))
    }

    fn next_run(&mut self, channel: u32) -> Result<Run, FrameError> {
        let (mut length, mut frames, mut origins) = (0, 0, Vec::new());
        while let Some((header, header_len, body_len)) = self.peek(length)? {
            if header.kind != Kind::Deliver || header.channel != channel {
                break;
            }
            if header.origin != 0 {
                origins.push(header.origin);
            }
            length += header_len + body_len;
            frames += 1;
        }
        let bytes = self.buffer.split_to(length).freeze();
        Ok(Run { channel, frames, numbered: frames, origins, bytes })
    }

    /// Takes a frame off the front. A long one takes its buffer along: else whatever is read
    /// behind it, and kept, would keep all of that.
    fn split(&mut self, length: usize) -> BytesMut {
        if length <= INLINE_BYTES_MAX {
            return self.buffer.split_to(length);
        }
        let rest = BytesMut::from(&self.buffer[length..]);
        let mut piece = std::mem::replace(&mut self.buffer, rest);
        piece.truncate(length);
        piece
    }

    /// The header at `at`, if its whole frame is there.
    #[inline]
    fn peek(&self, at: usize) -> Result<Option<(Header, usize, usize)>, FrameError> {
        let rest = &self.buffer[at..];
        let Some((header, header_len, body_len)) = Header::decode(rest)? else { return Ok(None) };
        let limit = match header.kind {
            Kind::Publish
            | Kind::Send
            | Kind::Granted
            | Kind::Call
            | Kind::CallReply
            | Kind::Deliver
            | Kind::Lease
            | Kind::Invoke
            | Kind::Result => self.body_bytes_max,
            // A reply may bear a message that was peeked at, and who sent it.
            Kind::Reply if self.body_bytes_max > HANDSHAKE_FRAME_BYTES_MAX => {
                self.body_bytes_max + HANDSHAKE_FRAME_BYTES_MAX
            }
            Kind::DeliverParcel => PARCEL_BYTES_MAX.min(self.body_bytes_max),
            _ => CONTROL_BYTES_MAX.min(self.body_bytes_max),
        };
        if body_len > limit {
            return Err(FrameError::TooLong { kind: header.kind, length: body_len, limit });
        }
        Ok((rest.len() >= header_len + body_len).then_some((header, header_len, body_len)))
    }
}

/// Whether this is just so many published messages, at least one.
fn is_parcel(body: &[u8], count: u64) -> bool {
    let (mut rest, mut found) = (body, 0);
    while let Some((_, length)) = plain_publish(rest) {
        let Some(behind) = rest.get(SHORT_BYTES + length..) else { return false };
        (rest, found) = (behind, found + 1);
    }
    rest.is_empty() && found == count && found > 0
}
