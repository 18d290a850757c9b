//! Deliveries that came together, still encoded.
//!
//! They are decoded where they are used: borrowed where they stand, or taken one by one. What
//! the broker sent may be malformed: that is found here, and never panics.

use bytes::Bytes;

use super::{FrameError, Header, message_of, split_body};
use crate::message::Message;

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
