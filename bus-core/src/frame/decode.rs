//! Incremental decoding: bytes in as they come, whole frames out.
//!
//! A claimed length is only a claim: memory grows with the bytes that have really arrived.
//! Neighbouring deliveries for one subscription come out as one [`Run`], to be decoded where
//! they are used. A long frame is gathered in a buffer of its own, into which most of it is read
//! at once: it is not copied again, and whoever keeps it keeps nothing else.

use bytes::{Bytes, BytesMut};

use super::buffers::{Buffers, Kept};
use super::header::{FULL_BYTES, Plain, SHORT_BYTES, plain};
use super::{FrameError, Header, Kind, Parcel, Run};
use crate::limits::{
    CONTROL_BYTES_MAX, COPY_BYTES_MAX, FRAME_BODY_BYTES_MAX, GATHER_BYTES_MIN,
    HANDSHAKE_FRAME_BYTES_MAX, INLINE_BYTES_MAX, PARCEL_BYTES_MAX, READ_BYTES, ROOM_BYTES_MAX,
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

/// Behind a long frame only so much is read at once: the next one's header, so that its body can
/// be read to where it stays.
const AHEAD_BYTES: usize = FULL_BYTES + 16;

/// Turns bytes into frames.
#[derive(Debug)]
pub struct Decoder {
    buffer: BytesMut,
    body_bytes_max: usize,
    /// A long frame. What is read goes there, and `buffer` is empty.
    gathered: Option<Gathered>,
    /// The last long frame, for its buffer.
    last: Option<Kept>,
    /// A long frame was just taken: another may follow.
    after_long: bool,
}

/// A frame that is read into a buffer of its own.
#[derive(Debug)]
struct Gathered {
    buffer: BytesMut,
    /// The length of the whole frame.
    length: usize,
}

impl Decoder {
    /// A decoder for the handshake: frames of at most 4 KiB.
    pub fn for_handshake() -> Decoder {
        Decoder {
            buffer: BytesMut::new(),
            body_bytes_max: HANDSHAKE_FRAME_BYTES_MAX,
            gathered: None,
            last: None,
            after_long: false,
        }
    }

    /// Lifts the limit to that of an established session.
    pub fn establish(&mut self) {
        self.body_bytes_max = FRAME_BODY_BYTES_MAX;
    }

    /// The buffer to read into. Bytes are appended, never changed.
    pub fn buffer(&mut self) -> &mut BytesMut {
        match &mut self.gathered {
            Some(gathered) => &mut gathered.buffer,
            None => &mut self.buffer,
        }
    }

    /// The buffer to read into, with as much room as should be read now. To be asked for when
    /// there is no whole frame.
    pub fn room(&mut self, buffers: &mut Buffers) -> &mut BytesMut {
        self.hand_over_last(buffers);
        if self.gathered.is_none() {
            self.gather(buffers);
        }
        if self.gathered.is_none() {
            self.make_short_room(buffers);
        }
        match &mut self.gathered {
            Some(Gathered { buffer, length }) => {
                if buffer.len() == buffer.capacity() {
                    let missing = length.saturating_sub(buffer.len()) + AHEAD_BYTES;
                    buffer.reserve(missing.min(ROOM_BYTES_MAX));
                }
                buffer
            }
            None => &mut self.buffer,
        }
    }

    /// Gives back what is not needed while nothing is pending, so that whoever is idle has
    /// nothing. To be called when frames were taken.
    pub fn give_back(&mut self, buffers: &mut Buffers) {
        self.hand_over_last(buffers);
        if !self.buffer.is_empty() {
            return;
        }
        let buffer = std::mem::take(&mut self.buffer);
        // One that is used up may become whole again when its frames are gone.
        if buffers.scratch.capacity() <= buffer.capacity() {
            buffers.scratch = buffer;
        }
    }

    /// Bytes that wait for the rest of their frame.
    pub fn pending(&self) -> usize {
        let gathered = self.gathered.as_ref().map_or(0, |gathered| gathered.buffer.len());
        self.buffer.len() + gathered
    }

    /// Whether the frame at the front is there wholly, or cannot be one.
    #[inline]
    pub fn has_frame(&self) -> bool {
        match &self.gathered {
            Some(gathered) => gathered.buffer.len() >= gathered.length,
            None => !matches!(self.peek(0), Ok(None)),
        }
    }

    /// The next whole frame.
    ///
    /// # Errors
    /// When the bytes are not a frame. The connection is of no use after that.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, FrameError> {
        if self.gathered.is_some() {
            let Some(bytes) = self.take_gathered() else { return Ok(None) };
            let Some((header, header_len, _)) = Header::decode(&bytes)? else { return Ok(None) };
            return Ok(Some(Frame { header, body: bytes.slice(header_len..) }));
        }
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
        match self.front()? {
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
        if let Some(bytes) = self.take_gathered() {
            if let Some((header, ..)) = Header::decode(&bytes)?
                && header.origin != 0
            {
                origins.push(header.origin);
            }
            return Ok(Run { channel, frames: 1, numbered: 1, origins, bytes });
        }
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

    /// Goes on in a buffer of its own, if the frame at the front is long and not there wholly.
    fn gather(&mut self, buffers: &mut Buffers) {
        let Ok(Some((header, header_len, body_len))) = Header::decode(&self.buffer) else { return };
        let length = header_len + body_len;
        let is_allowed = body_len <= self.limit(header.kind);
        if length < GATHER_BYTES_MIN || length <= self.buffer.len() || !is_allowed {
            return;
        }
        // Of a frame that is longer, no more than this ahead of what has arrived.
        let mut buffer = buffers.take((length + AHEAD_BYTES).min(ROOM_BYTES_MAX));
        buffer.extend_from_slice(&self.buffer);
        self.buffer.clear();
        self.give_back(buffers);
        self.gathered = Some(Gathered { buffer, length });
    }

    /// The long frame, if it is there wholly. What was read behind it is few bytes mostly.
    fn take_gathered(&mut self) -> Option<Bytes> {
        let Gathered { mut buffer, length } =
            self.gathered.take_if(|gathered| gathered.buffer.len() >= gathered.length)?;
        self.buffer.extend_from_slice(&buffer[length..]);
        self.after_long = true;
        buffer.truncate(length);
        let capacity = buffer.capacity();
        let frame = buffer.freeze();
        self.last = Some(Kept { frame: frame.clone(), capacity });
        Some(frame)
    }

    /// Its buffer is remembered.
    fn hand_over_last(&mut self, buffers: &mut Buffers) {
        if let Some(last) = self.last.take() {
            buffers.keep(last);
        }
    }

    /// Room for short frames; behind a long one for a header alone, since another may follow.
    fn make_short_room(&mut self, buffers: &mut Buffers) {
        if std::mem::take(&mut self.after_long) && self.buffer.is_empty() {
            self.give_back(buffers);
            return self.buffer.reserve(AHEAD_BYTES);
        }
        let scratch = &mut buffers.scratch;
        if self.buffer.is_empty() && scratch.capacity() >= self.buffer.capacity() {
            std::mem::swap(&mut self.buffer, scratch);
        } else if self.buffer.capacity() <= AHEAD_BYTES && scratch.capacity() >= READ_BYTES {
            scratch.extend_from_slice(&self.buffer);
            self.buffer = std::mem::take(scratch);
        }
        self.buffer.reserve(READ_BYTES);
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

    /// The header at the front, if its whole frame is there.
    #[inline]
    fn front(&self) -> Result<Option<(Header, usize, usize)>, FrameError> {
        match &self.gathered {
            None => self.peek(0),
            Some(gathered) if gathered.buffer.len() < gathered.length => Ok(None),
            Some(gathered) => Header::decode(&gathered.buffer),
        }
    }

    /// The header at `at`, if its whole frame is there.
    #[inline]
    fn peek(&self, at: usize) -> Result<Option<(Header, usize, usize)>, FrameError> {
        let rest = &self.buffer[at..];
        let Some((header, header_len, body_len)) = Header::decode(rest)? else { return Ok(None) };
        let limit = self.limit(header.kind);
        if body_len > limit {
            return Err(FrameError::TooLong { kind: header.kind, length: body_len, limit });
        }
        Ok((rest.len() >= header_len + body_len).then_some((header, header_len, body_len)))
    }

    /// The longest body of a frame of this kind.
    #[inline]
    fn limit(&self, kind: Kind) -> usize {
        match kind {
            Kind::Publish
            | Kind::Send
            | Kind::Granted
            | Kind::Call
            | Kind::CallReply
            | Kind::Deliver
            | Kind::Lease
            | Kind::Invoke
            | Kind::HomeLease
            | Kind::HomePeeked
            | Kind::HomeSend
            | Kind::Result => self.body_bytes_max,
            // A reply may bear a message that was peeked at, and who sent it.
            Kind::Reply if self.body_bytes_max > HANDSHAKE_FRAME_BYTES_MAX => {
                self.body_bytes_max + HANDSHAKE_FRAME_BYTES_MAX
            }
            Kind::DeliverParcel
            | Kind::LeaseParcel
            | Kind::HomeLeaseParcel
            | Kind::HomeSendParcel => PARCEL_BYTES_MAX.min(self.body_bytes_max),
            _ => CONTROL_BYTES_MAX.min(self.body_bytes_max),
        }
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
