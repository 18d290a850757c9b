//! Single frames over a link, for the handshake.
//!
//! After it, both sides drive their links in batches by themselves.

use std::future::poll_fn;
use std::io;

use bytes::{Bytes, BytesMut};

use super::Link;
use crate::frame::{Decoder, FRAME_HEADER_BYTES_MAX, Frame, FrameError, Header};
use crate::limits::HANDSHAKE_FRAME_BYTES_MAX;

/// Why a link is of no more use.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The operating system says so.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The peer sends what is not a frame.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The peer has ended the connection.
    #[error("the peer closed the connection")]
    Ended,
}

/// Reads the next frame. Cancelling loses nothing: what has come stays in the decoder.
///
/// # Errors
/// When the link ends, or the peer sends what is not a frame.
pub async fn next_frame(link: &mut dyn Link, decoder: &mut Decoder) -> Result<Frame, LinkError> {
    loop {
        if let Some(frame) = decoder.next_frame()? {
            return Ok(frame);
        }
        poll_fn(|cx| link.poll_readable(cx)).await?;
        let buffer = decoder.buffer();
        // The longest frame of a handshake, and no more: a buffer that grows would double.
        let longest = HANDSHAKE_FRAME_BYTES_MAX + FRAME_HEADER_BYTES_MAX;
        buffer.reserve(longest.saturating_sub(buffer.len()).max(1));
        match link.try_read(buffer) {
            Ok(0) => return Err(LinkError::Ended),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Writes one frame wholly. Not to be cancelled, unless the link is given up.
///
/// # Errors
/// When the link ends.
pub async fn write_frame(
    link: &mut dyn Link,
    header: Header,
    body: &[u8],
) -> Result<(), LinkError> {
    let mut rest = frame_bytes(header, body);
    while !rest.is_empty() {
        poll_fn(|cx| link.poll_writable(cx)).await?;
        match link.try_write(std::slice::from_ref(&rest)) {
            Ok(count) => drop(rest.split_to(count)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// One frame as bytes.
pub fn frame_bytes(header: Header, body: &[u8]) -> Bytes {
    let mut bytes = BytesMut::new();
    header.encode(body.len(), &mut bytes);
    bytes.extend_from_slice(body);
    bytes.freeze()
}
