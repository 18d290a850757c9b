//! Control messages: what the domain says, and the protobuf that travels.
//!
//! This is the only place that names the generated types. Every value that comes out of here
//! is well formed; a request is also within the limits. What a request asks for that it may
//! not have is told to its sender; bytes that are no request at all end the connection, and so
//! does everything malformed that is not a request.

mod bounds;
mod bridge;
mod convert;
mod handshake;
mod hosted;
mod notice;
mod reply;
mod request;
mod stat;
mod value;

pub use handshake::{decode_hello, decode_welcome, encode_hello, encode_welcome};
pub use notice::{Notice, decode_failure, encode_failure};
pub use reply::{decode_reply, encode_reply};
pub use request::{RETURN_LEASES_MAX, RequestError, decode_request, encode_request};

pub use crate::router::Answer;

use bytes::Bytes;
use prost::Message;

use super::{FrameError, Kind};
use convert::Convert;

/// The generated message as bytes.
fn encode(message: &impl Message) -> Bytes {
    message.encode_to_vec().into()
}

/// Bytes as the generated message; `kind` is that of their frame.
fn parse<M: Message + Default>(kind: Kind, body: &[u8]) -> Result<M, FrameError> {
    M::decode(body).map_err(|error| malformed(kind, error))
}

/// A value out of a frame whose sender must not get it wrong.
fn accept<T: Convert<W>, W>(kind: Kind, given: W, what: &str) -> Result<T, FrameError> {
    T::from_wire(given, what).map_err(|failure| malformed(kind, failure))
}

fn malformed(kind: Kind, reason: impl ToString) -> FrameError {
    FrameError::Control { kind, reason: reason.to_string() }
}

#[cfg(test)]
mod tests;
