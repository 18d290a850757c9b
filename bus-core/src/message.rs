//! A message: a type, a payload, and headers.
//!
//! The payload is shared bytes that nobody in the bus parses. Headers are kept in their wire
//! form, checked once when they are made or arrive.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use crate::error::{ErrorKind, Failure};
use crate::limits::{
    GATHER_BYTES_MIN, HEADERS_BYTES_MAX, HEADERS_COUNT_MAX, MESSAGE_OVERHEAD_BYTES,
};
use crate::message_type::MessageType;
use crate::user_name::UserName;

/// A message: type, payload and headers. Cloning shares the bytes.
#[derive(Clone)]
pub struct Message {
    kind: MessageType,
    headers: Headers,
    payload: Bytes,
    /// Its bytes are in no larger buffer than they need.
    is_compact: bool,
}

impl Message {
    /// A message without headers.
    pub fn new(kind: MessageType, payload: impl Into<Bytes>) -> Message {
        Message { kind, headers: Headers::default(), payload: payload.into(), is_compact: false }
    }

    /// The same message with these headers instead.
    pub fn with_headers(mut self, headers: Headers) -> Message {
        self.headers = headers;
        self.is_compact = false;
        self
    }

    /// The same message with one header more.
    ///
    /// # Errors
    /// When the key is empty, or a limit of the headers is passed.
    pub fn with_header(
        mut self,
        key: &str,
        value: impl AsRef<[u8]>,
    ) -> Result<Message, InvalidHeader> {
        self.headers = self.headers.with(key, value.as_ref())?;
        self.is_compact = false;
        Ok(self)
    }

    /// Its type.
    pub fn kind(&self) -> MessageType {
        self.kind
    }

    /// Its payload.
    pub fn payload(&self) -> &Bytes {
        &self.payload
    }

    /// Its headers.
    pub fn headers(&self) -> &Headers {
        &self.headers
    }

    /// Takes the payload out.
    pub fn into_payload(self) -> Bytes {
        self.payload
    }

    /// Bytes of payload and headers.
    pub fn len(&self) -> usize {
        self.payload.len() + self.headers.encoded.len()
    }

    /// Whether there is neither payload nor header.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What it counts wherever bytes are bounded: its length and a fixed overhead.
    pub fn cost(&self) -> u64 {
        (self.len() + MESSAGE_OVERHEAD_BYTES) as u64
    }

    /// Frees the message from the larger buffer it was read in, for longer keeping. A long payload
    /// has been read into a buffer of its own, or is at least half of what one read brings.
    pub fn compact(&mut self) {
        if std::mem::replace(&mut self.is_compact, true) {
            return;
        }
        if self.payload.len() < GATHER_BYTES_MIN && !self.payload.is_empty() {
            self.payload = Bytes::copy_from_slice(&self.payload);
        }
        if !self.headers.encoded.is_empty() {
            self.headers.encoded = Bytes::copy_from_slice(&self.headers.encoded);
        }
    }
}

impl PartialEq for Message {
    fn eq(&self, other: &Message) -> bool {
        (self.kind, &self.headers, &self.payload) == (other.kind, &other.headers, &other.payload)
    }
}

impl Eq for Message {}

macro_rules! from_payload {
    ($($payload:ty),*) => {$(
        impl From<$payload> for Message {
            /// A message of type 1 without headers.
            fn from(payload: $payload) -> Message {
                Message::new(MessageType::ONE, payload)
            }
        }
    )*};
}

from_payload!(Bytes, Vec<u8>, String, &'static str, &'static [u8]);

impl fmt::Debug for Message {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Message({}, {} bytes, {:?})", self.kind, self.payload.len(), self.headers)
    }
}

/// Headers of a message: keys and values, in order. At most 32, and 4 KiB in all.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Headers {
    /// For each: key length (u8), value length (u16, little-endian), key, value.
    encoded: Bytes,
}

/// Why headers were refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid message header: {0}")]
pub struct InvalidHeader(String);

impl Headers {
    /// These headers and one more.
    ///
    /// # Errors
    /// When the key is empty or above 255 bytes, or a limit of the headers is passed.
    pub fn with(&self, key: &str, value: &[u8]) -> Result<Headers, InvalidHeader> {
        let Ok(key_len @ 1..) = u8::try_from(key.len()) else {
            return Err(InvalidHeader(format!(
                "a key has 1 to 255 bytes, this one has {}",
                key.len()
            )));
        };
        let length = self.encoded.len() + 3 + key.len() + value.len();
        if length > HEADERS_BYTES_MAX {
            return Err(InvalidHeader(format!(
                "with `{key}` the headers have {length} bytes, at most {HEADERS_BYTES_MAX} are allowed"
            )));
        }
        if self.len() == HEADERS_COUNT_MAX {
            return Err(InvalidHeader(format!(
                "`{key}` is one more than the {HEADERS_COUNT_MAX} allowed"
            )));
        }
        let mut encoded = Vec::with_capacity(length);
        encoded.extend_from_slice(&self.encoded);
        encoded.push(key_len);
        // `length` is at most 4 KiB, so the value's length fits.
        encoded.extend_from_slice(&(value.len() as u16).to_le_bytes());
        encoded.extend_from_slice(key.as_bytes());
        encoded.extend_from_slice(value);
        Ok(Headers { encoded: encoded.into() })
    }

    /// Checks the wire form.
    pub fn parse(encoded: Bytes) -> Result<Headers, InvalidHeader> {
        if encoded.len() > HEADERS_BYTES_MAX {
            return Err(InvalidHeader(format!("{} bytes of headers", encoded.len())));
        }
        let headers = Headers { encoded };
        let mut rest = &headers.encoded[..];
        let mut count = 0;
        while !rest.is_empty() {
            let Some((key, _, tail)) = split_header(rest) else {
                return Err(InvalidHeader(
                    "the encoded headers are cut off or have an empty key".into(),
                ));
            };
            if std::str::from_utf8(key).is_err() {
                return Err(InvalidHeader("a key is not UTF-8".into()));
            }
            count += 1;
            rest = tail;
        }
        if count > HEADERS_COUNT_MAX {
            return Err(InvalidHeader(format!(
                "{count} headers, at most {HEADERS_COUNT_MAX} are allowed"
            )));
        }
        Ok(headers)
    }

    /// The wire form.
    pub fn encoded(&self) -> &Bytes {
        &self.encoded
    }

    /// The first value of this key.
    pub fn get(&self, key: &str) -> Option<&[u8]> {
        self.iter().find(|(name, _)| *name == key).map(|(_, value)| value)
    }

    /// Keys and values in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let mut rest = &self.encoded[..];
        std::iter::from_fn(move || {
            let (key, value, tail) = split_header(rest)?;
            rest = tail;
            Some((std::str::from_utf8(key).unwrap_or_default(), value))
        })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.encoded.is_empty()
    }
}

/// Splits the first header off: key, value and what follows.
fn split_header(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (&[key_len, low, high], rest) = bytes.split_first_chunk::<3>()?;
    let value_len = usize::from(u16::from_le_bytes([low, high]));
    let (key, rest) = rest.split_at_checked(usize::from(key_len))?;
    let (value, rest) = rest.split_at_checked(value_len)?;
    (!key.is_empty()).then_some((key, value, rest))
}

impl fmt::Debug for Headers {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.iter().map(|(key, value)| (key, String::from_utf8_lossy(value)));
        out.debug_map().entries(shown).finish()
    }
}

impl From<InvalidHeader> for Failure {
    fn from(error: InvalidHeader) -> Failure {
        Failure::new(ErrorKind::InvalidArgument, error.to_string())
    }
}

/// Who sent a message, by the broker's word: one session of a client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sender {
    /// Serial number of the session at its broker.
    pub session: u64,
    /// The name that the client gave itself.
    pub name: String,
    /// Process, if the kernel told it.
    pub pid: Option<u32>,
    /// User, if the kernel told it; `None` is anonymous.
    pub uid: Option<u32>,
    /// Group, if the kernel told it.
    pub gid: Option<u32>,
    /// User of the broker's configuration, if its credentials have shown it to be one. Such a user
    /// may bring a uid and a gid along.
    pub user: Option<UserName>,
}

impl fmt::Display for Sender {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = if self.name.is_empty() { "client" } else { &self.name };
        match (self.uid, self.pid, &self.user) {
            (Some(uid), Some(pid), None) => write!(out, "{name} (uid {uid}, pid {pid})"),
            (Some(uid), None, None) => write!(out, "{name} (uid {uid})"),
            (None, _, None) => write!(out, "{name} (anonymous)"),
            (Some(uid), Some(pid), Some(user)) => {
                write!(out, "{name} (user {user}, uid {uid}, pid {pid})")
            }
            (Some(uid), None, Some(user)) => write!(out, "{name} (user {user}, uid {uid})"),
            (None, _, Some(user)) => write!(out, "{name} (user {user})"),
        }
    }
}

/// A sender that many messages share.
pub type SharedSender = Arc<Sender>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_round_trip_and_are_bounded() {
        let mut headers = Headers::default();
        for index in 0..HEADERS_COUNT_MAX {
            headers = headers.with(&format!("key{index}"), b"value").expect("within the limits");
        }
        assert!(headers.with("one-more", b"").is_err());
        let parsed = Headers::parse(headers.encoded().clone()).expect("well formed");
        assert_eq!(parsed.get("key7"), Some(&b"value"[..]));
        assert!(Headers::default().with("k", &[0; HEADERS_BYTES_MAX]).is_err());
        assert!(Headers::default().with("", b"x").is_err());
        for bad in [&[1u8][..], &[1, 0], &[1, 0, 0], &[0, 0, 0], &[1, 1, 0, b'k'], &[1, 0, 0, 0xff]]
        {
            assert!(Headers::parse(Bytes::copy_from_slice(bad)).is_err(), "{bad:?} was taken");
        }
    }
}
