//! The one frame: header, body, and control messages.
//!
//! This is the only room that sees the generated protobuf types; `control` turns them into
//! the domain's own and back. Nothing here knows what a frame means.

mod buffers;
mod decode;
mod header;
mod parcel;
mod run;

pub mod control;

pub use buffers::Buffers;
pub use control::{Answer, Notice};
pub use decode::{Arrival, Decoder, Frame, Incoming};
#[cfg(feature = "net")]
pub(crate) use header::FULL_BYTES as FRAME_HEADER_BYTES_MAX;
pub use header::{FLAG_AUTO, FLAG_HEADERS, FLAG_RECEIPT, FLAG_REDELIVERED, FLAG_TRY, Header, Kind};
pub use parcel::Parcel;
pub use run::{Run, Stretch, View};

use bytes::{BufMut, Bytes};

use crate::error::{ErrorKind, Failure};
use crate::message::{Headers, Message};
use crate::message_type::MessageType;

/// Why bytes are not a frame.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The kind is unknown.
    #[error("frame of the unknown kind {0}")]
    Kind(u8),
    /// The claimed length passes the limit.
    #[error("{kind:?} frame claims {length} bytes, at most {limit} are allowed here")]
    TooLong {
        /// What the frame is.
        kind: Kind,
        /// What it claims.
        length: usize,
        /// What is allowed.
        limit: usize,
    },
    /// The frame ends too early.
    #[error("frame is cut off")]
    Cut,
    /// A message has the type 0 or one above 2^63-1.
    #[error("message of the invalid type {0}")]
    Type(u64),
    /// The user's headers are malformed.
    #[error("{0}")]
    Headers(#[from] crate::message::InvalidHeader),
    /// A control message is malformed.
    #[error("malformed {kind:?} frame: {reason}")]
    Control {
        /// What the frame is.
        kind: Kind,
        /// What is wrong with it.
        reason: String,
    },
    /// A frame that this side may not send, or not now.
    #[error("unexpected {0:?} frame")]
    Unexpected(Kind),
    /// A frame that contradicts what was agreed.
    #[error("protocol violation: {0}")]
    Violation(String),
}

impl From<FrameError> for Failure {
    fn from(error: FrameError) -> Failure {
        Failure::new(ErrorKind::Protocol, error.to_string())
    }
}

/// The message in a frame: `word` is its type, the body its headers and payload.
pub(crate) fn message_of(header: &Header, mut body: Bytes) -> Result<Message, FrameError> {
    let kind = MessageType::new(header.word).ok_or(FrameError::Type(header.word))?;
    if !header.has(FLAG_HEADERS) {
        return Ok(Message::new(kind, body));
    }
    let Some(&[low, high]) = body.first_chunk::<2>() else { return Err(FrameError::Cut) };
    let length = usize::from(u16::from_le_bytes([low, high]));
    if body.len() < 2 + length {
        return Err(FrameError::Cut);
    }
    let mut headers = body.split_to(2 + length);
    let headers = Headers::parse(headers.split_off(2))?;
    Ok(Message::new(kind, body).with_headers(headers))
}

/// Where the user's headers and the payload of a message frame stand in its body.
#[inline]
fn split_body<'a>(header: &Header, body: &'a [u8]) -> Result<(&'a [u8], &'a [u8]), FrameError> {
    if !header.has(FLAG_HEADERS) {
        return Ok((&[], body));
    }
    let Some((&[low, high], rest)) = body.split_first_chunk::<2>() else {
        return Err(FrameError::Cut);
    };
    rest.split_at_checked(usize::from(u16::from_le_bytes([low, high]))).ok_or(FrameError::Cut)
}

/// Appends header, length of headers and headers of a message frame; the payload follows.
pub(crate) fn encode_message_head(header: &Header, message: &Message, out: &mut impl BufMut) {
    let headers = message.headers().encoded();
    if headers.is_empty() {
        return header.encode(message.payload().len(), out);
    }
    let length = 2 + headers.len() + message.payload().len();
    header.with_flags(FLAG_HEADERS).encode(length, out);
    // Headers are at most 4 KiB (limits.rs).
    out.put_u16_le(headers.len() as u16);
    out.put_slice(headers);
}

#[cfg(test)]
mod tests;
