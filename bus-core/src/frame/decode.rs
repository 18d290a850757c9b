//! Incremental decoding: bytes in as they come, whole frames out.
//!
//! A claimed length is only a claim: memory grows with the bytes that have really arrived.
//! Neighbouring deliveries for one subscription come out as one [`Run`], to be decoded where
//! they are used.

use bytes::{Bytes, BytesMut};

use super::header::{Plain, SHORT_BYTES, plain};
use super::{FrameError, Header, Kind, Parcel, message_of, split_body};
use crate::limits::{
    CONTROL_BYTES_MAX, COPY_BYTES_MAX, FRAME_BODY_BYTES_MAX, HANDSHAKE_FRAME_BYTES_MAX,
    INLINE_BYTES_MAX, PARCEL_BYTES_MAX,
};
use crate::message::Message;

/// One whole frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Its header.
    pub header: Header,
    /// What follows it.
    pub body: Bytes,
}

/// Neighbouring `Deliver` frames for one channel, or a parcel for it, still encoded.
#[derive(Clone, Debug)]
pub struct Run {
    /// The subscription.
    pub channel: u32,
    /// How many messages there are.
    pub frames: u64,
    /// In how many numbered frames they came.
    pub numbered: u64,
    /// The sources that they name, in order; mostly none.
    pub origins: Vec<u32>,
    /// The frames.
    pub bytes: Bytes,
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
    /// Small messages of one type that were sent to one queue.
    Sends {
        /// The queue's.
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
                check_parcel(Kind::Publish, &body, header.word)?;
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
        if let Some(first) = plain(&self.buffer, Kind::Publish)
            && let Some(parcel) = self.next_parcel(Kind::Publish, first, |_| true)
        {
            return Ok(Some(Arrival::Parcel { channel: u32::from(first.channel), parcel }));
        }
        if let Some(first) = plain(&self.buffer, Kind::Send)
            && let Some(parcel) =
                self.next_parcel(Kind::Send, first, |next| next.kind == first.kind)
        {
            return Ok(Some(Arrival::Sends { channel: u32::from(first.channel), parcel }));
        }
        Ok(self.next_frame()?.map(Arrival::Frame))
    }

    /// The frames of this kind and on the channel of the first one, from the front on and as far
    /// as they are such, if there is more than one.
    #[inline]
    fn next_parcel(
        &mut self,
        kind: Kind,
        first: Plain,
        is_such: impl Fn(&Plain) -> bool,
    ) -> Option<Parcel> {
        let (mut end, mut count, mut longest) = (0, 0, 0);
        let limit = self.buffer.len().min(PARCEL_BYTES_MAX);
        let mut length = first.length;
        while length < COPY_BYTES_MAX && end + SHORT_BYTES + length <= limit {
            end += SHORT_BYTES + length;
            count += 1;
            longest = longest.max(length);
            match plain(&self.buffer[end..], kind) {
                Some(next) if next.channel == first.channel && is_such(&next) => {
                    length = next.length;
                }
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
            Kind::DeliverParcel | Kind::LeaseParcel => PARCEL_BYTES_MAX.min(self.body_bytes_max),
            _ => CONTROL_BYTES_MAX.min(self.body_bytes_max),
        };
        if body_len > limit {
            return Err(FrameError::TooLong { kind: header.kind, length: body_len, limit });
        }
        Ok((rest.len() >= header_len + body_len).then_some((header, header_len, body_len)))
    }
}

/// Fails unless this is just so many messages of this kind, at least one. Length of the longest.
pub(super) fn check_parcel(kind: Kind, body: &[u8], count: u64) -> Result<usize, FrameError> {
    let (mut rest, mut found, mut longest) = (body, 0, 0);
    while let Some(next) = plain(rest, kind)
        && let Some(behind) = rest.get(SHORT_BYTES + next.length..)
    {
        (rest, found, longest) = (behind, found + 1, longest.max(next.length));
    }
    if rest.is_empty() && found == count && found > 0 {
        return Ok(longest);
    }
    Err(FrameError::Violation("a parcel whose frames are not what it says".into()))
}

impl Run {
    /// Splits the first message off: its header and where headers and payload stand.
    ///
    /// # Errors
    /// When what the broker sent is malformed.
    pub fn next_message(&mut self) -> Option<Result<(Header, Message), FrameError>> {
        if self.bytes.is_empty() {
            return None;
        }
        let (header, header_len, body_len) = match Header::decode(&self.bytes) {
            Ok(Some(found)) => found,
            Ok(None) => return Some(Err(FrameError::Cut)),
            Err(error) => return Some(Err(error)),
        };
        if self.bytes.len() < header_len + body_len {
            return Some(Err(FrameError::Cut));
        }
        let mut bytes = self.bytes.split_to(header_len + body_len);
        self.frames = self.frames.saturating_sub(1);
        let body = bytes.split_off(header_len);
        Some(message_of(&header, body).map(|message| (header, message)))
    }

    /// All messages where they stand: header, encoded user headers, payload.
    ///
    /// # Errors
    /// When what the broker sent is malformed; the iterator ends with that.
    pub fn views(&self) -> impl Iterator<Item = Result<View<'_>, FrameError>> {
        let mut rest = &self.bytes[..];
        std::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            let view = view_at(rest);
            match &view {
                Ok((_, length)) => rest = &rest[*length..],
                Err(_) => rest = &[],
            }
            Some(view.map(|(view, _)| view))
        })
    }
}

/// A message where it stands.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// Its header.
    pub header: Header,
    /// The user's headers, encoded.
    pub headers: &'a [u8],
    /// Its payload.
    pub payload: &'a [u8],
}

/// The message at the front, and the length of its frame.
#[inline]
fn view_at(bytes: &[u8]) -> Result<(View<'_>, usize), FrameError> {
    let Some((header, header_len, body_len)) = Header::decode(bytes)? else {
        return Err(FrameError::Cut);
    };
    let Some(body) = bytes.get(header_len..header_len + body_len) else {
        return Err(FrameError::Cut);
    };
    let (headers, payload) = split_body(&header, body)?;
    Ok((View { header, headers, payload }, header_len + body_len))
}
