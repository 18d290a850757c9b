//! Deliveries that came together, still encoded.
//!
//! They are decoded where they are used: borrowed where they stand, or taken one by one. What
//! the broker sent may be malformed: that is found here, and never panics.

use bytes::Bytes;

use super::header::{Plain, SHORT_BYTES, plain};
use super::{FrameError, Header, Kind, Parcel, message_of, split_body};
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

    /// Splits off as many of the messages as can be handed on as one parcel, or else the first one.
    ///
    /// # Errors
    /// When what the broker sent is malformed.
    pub fn next_stretch(&mut self) -> Option<Result<Stretch, FrameError>> {
        let (mut end, mut count, mut longest) = (0, 0, 0);
        while let Some(next) = published(&self.bytes[end..])
            && self.bytes.len() >= end + SHORT_BYTES + next.length
        {
            end += SHORT_BYTES + next.length;
            (count, longest) = (count + 1, longest.max(next.length));
        }
        if count < 2 {
            let first = self.next_message()?;
            return Some(first.map(|(header, message)| Stretch::Message(header, message)));
        }
        self.frames = self.frames.saturating_sub(count);
        Some(Ok(Stretch::Parcel(Parcel::new(self.bytes.split_to(end), count, longest))))
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

/// What comes next of a run.
#[derive(Debug)]
pub enum Stretch {
    /// One message, and its header.
    Message(Header, Message),
    /// Messages of which nothing is said but what they are: from the last one's source, with the
    /// numbers that follow.
    Parcel(Parcel),
}

/// The header of a plain message that was delivered, or published and delivered in a parcel.
#[inline]
fn published(bytes: &[u8]) -> Option<Plain> {
    plain(bytes, Kind::Publish).or_else(|| plain(bytes, Kind::Deliver))
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

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::*;
    use crate::message_type::MessageType;

    fn run(frames: &[(Header, &str)]) -> Run {
        let mut bytes = BytesMut::new();
        for (header, payload) in frames {
            header.encode(payload.len(), &mut bytes);
            bytes.extend_from_slice(payload.as_bytes());
        }
        let frames = frames.len() as u64;
        Run { channel: 1, frames, numbered: frames, origins: Vec::new(), bytes: bytes.freeze() }
    }

    #[test]
    fn a_run_comes_apart_into_parcels_and_what_says_more() {
        let plain = |kind| Header::new(kind, 1, 7);
        let named = Header { origin: 3, sequence: 5, ..plain(Kind::Deliver) };
        let mut run = run(&[
            (named, "a"),
            (plain(Kind::Deliver), "bb"),
            (plain(Kind::Publish), "c"),
            (named, "d"),
            (plain(Kind::Deliver), "e"),
        ]);
        let mut found = Vec::new();
        while let Some(stretch) = run.next_stretch() {
            found.push(match stretch.expect("well formed") {
                Stretch::Message(header, message) => {
                    format!("{:?} from {}", message.payload(), header.origin)
                }
                Stretch::Parcel(parcel) => {
                    let of_seven =
                        |message: &Message| message.kind() == MessageType::new(7).expect("a type");
                    let texts = parcel.messages().filter(of_seven);
                    format!(
                        "{:?}",
                        texts.map(|message| message.payload().clone()).collect::<Vec<_>>()
                    )
                }
            });
        }
        let expected = ["b\"a\" from 3", "[b\"bb\", b\"c\"]", "b\"d\" from 3", "b\"e\" from 0"];
        assert_eq!(found, expected);
        assert_eq!(run.frames, 0);
    }
}
