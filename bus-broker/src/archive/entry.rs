//! Entries of a file of messages: a message, a gap, the end; each with its body's bytes.
//!
//! Bodies, in this order, with `text` as a length of two bytes and UTF-8:
//! a message: time (8, microseconds), type (8), attempt (4), length of headers (4), topic (text),
//! sender (text), headers, payload;
//! a gap: time (8), count (8), of those unconfirmed (8), reason (text);
//! the end: time (8), messages (8), payload bytes (8), gaps (8), whole (1), reason (text).
//! What is parsed is checked wholly: a body of another length is refused.

use std::time::Duration;

use bus_core::{HEADERS_BYTES_MAX, Headers, MESSAGE_BYTES_MAX, Message, MessageType};
use bytes::{Buf, BufMut, Bytes};

use super::{ArchiveError, TAG_END, TAG_GAP, TAG_MESSAGE, TEXT_BYTES_MAX};

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ArchiveEntry {
    /// A message.
    Message(ArchivedMessage),
    /// Something is missing here.
    Gap(ArchiveGap),
    /// The end.
    End(ArchiveEnd),
}

/// A message with what is known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchivedMessage {
    /// When it came, from the beginning on; whole microseconds count.
    pub at: Duration,
    /// The topic; empty for a queue.
    pub topic: String,
    /// Who sent it, for people.
    pub sender: String,
    /// How often it had been delivered.
    pub attempt: u32,
    /// The message.
    pub message: Message,
}

/// Messages that are missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchiveGap {
    /// When that was noticed, from the beginning on.
    pub at: Duration,
    /// How many, at the most; 0 is not known.
    pub count: u64,
    /// Of how many of those it is not known whether they are missing.
    pub unconfirmed: u64,
    /// Why.
    pub reason: String,
}

/// What the file comes to. The encoder counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ArchiveEnd {
    /// How long it took.
    pub at: Duration,
    /// Messages in it.
    pub messages: u64,
    /// Bytes of their payloads.
    pub payload_bytes: u64,
    /// Gaps in it.
    pub gaps: u64,
    /// It is all that there was: nothing changed or was missed meanwhile.
    pub whole: bool,
    /// Why it ends here.
    pub reason: String,
}

impl ArchiveEntry {
    pub(super) fn tag(&self) -> u8 {
        match self {
            ArchiveEntry::Message(_) => TAG_MESSAGE,
            ArchiveEntry::Gap(_) => TAG_GAP,
            ArchiveEntry::End(_) => TAG_END,
        }
    }

    pub(super) fn encode(&self) -> Result<Vec<u8>, ArchiveError> {
        let mut body = Vec::new();
        match self {
            ArchiveEntry::Message(archived) => archived.encode(&mut body)?,
            ArchiveEntry::Gap(gap) => {
                body.put_u64_le(microseconds(gap.at));
                body.put_u64_le(gap.count);
                body.put_u64_le(gap.unconfirmed);
                put_text(&mut body, &gap.reason, "the reason of a gap")?;
            }
            ArchiveEntry::End(end) => {
                body.put_u64_le(microseconds(end.at));
                body.put_u64_le(end.messages);
                body.put_u64_le(end.payload_bytes);
                body.put_u64_le(end.gaps);
                body.put_u8(u8::from(end.whole));
                put_text(&mut body, &end.reason, "the reason of the end")?;
            }
        }
        Ok(body)
    }

    /// What a body says; the error is for people.
    pub(super) fn parse(tag: u8, mut body: Bytes) -> Result<ArchiveEntry, &'static str> {
        let entry = match tag {
            TAG_MESSAGE => return ArchivedMessage::parse(body).map(ArchiveEntry::Message),
            TAG_GAP => ArchiveEntry::Gap(ArchiveGap {
                at: take_time(&mut body)?,
                count: take_number(&mut body)?,
                unconfirmed: take_number(&mut body)?,
                reason: take_text(&mut body)?,
            }),
            TAG_END => ArchiveEntry::End(ArchiveEnd {
                at: take_time(&mut body)?,
                messages: take_number(&mut body)?,
                payload_bytes: take_number(&mut body)?,
                gaps: take_number(&mut body)?,
                whole: match body.try_get_u8() {
                    Ok(0) => false,
                    Ok(1) => true,
                    _ => return Err("an end is neither whole nor not"),
                },
                reason: take_text(&mut body)?,
            }),
            _ => return Err("an entry of an unknown kind"),
        };
        match body.is_empty() {
            true => Ok(entry),
            false => Err("an entry is longer than what stands in it"),
        }
    }
}

impl ArchivedMessage {
    fn encode(&self, body: &mut Vec<u8>) -> Result<(), ArchiveError> {
        let headers = self.message.headers().encoded();
        let payload = self.message.payload();
        if payload.len() > MESSAGE_BYTES_MAX {
            return Err(ArchiveError::TooLong { what: "a payload" });
        }
        body.reserve(64 + self.topic.len() + self.sender.len() + self.message.len());
        body.put_u64_le(microseconds(self.at));
        body.put_u64_le(self.message.kind().get());
        body.put_u32_le(self.attempt);
        // Headers have at most `HEADERS_BYTES_MAX` bytes.
        body.put_u32_le(headers.len() as u32);
        put_text(body, &self.topic, "a topic")?;
        put_text(body, &self.sender, "a sender")?;
        body.put_slice(headers);
        body.put_slice(payload);
        Ok(())
    }

    fn parse(mut body: Bytes) -> Result<ArchivedMessage, &'static str> {
        let at = take_time(&mut body)?;
        let kind = MessageType::new(take_number(&mut body)?).ok_or("a type that there is not")?;
        let attempt = body.try_get_u32_le().map_err(|_| SHORT)?;
        let headers_len = body.try_get_u32_le().map_err(|_| SHORT)? as usize;
        let (topic, sender) = (take_text(&mut body)?, take_text(&mut body)?);
        if headers_len > HEADERS_BYTES_MAX || headers_len > body.len() {
            return Err("headers are longer than they may be");
        }
        let headers =
            Headers::parse(body.split_to(headers_len)).map_err(|_| "headers that are none")?;
        if body.len() > MESSAGE_BYTES_MAX {
            return Err("a payload is longer than the bus allows");
        }
        let message = Message::new(kind, body).with_headers(headers);
        Ok(ArchivedMessage { at, topic, sender, attempt, message })
    }
}

const SHORT: &str = "an entry is shorter than what stands in it";

/// As it stands in a file: what takes longer than 500,000 years is shortened to that.
fn microseconds(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

fn put_text(body: &mut Vec<u8>, text: &str, what: &'static str) -> Result<(), ArchiveError> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(ArchiveError::TooLong { what });
    }
    // `TEXT_BYTES_MAX` fits.
    body.put_u16_le(text.len() as u16);
    body.put_slice(text.as_bytes());
    Ok(())
}

fn take_text(body: &mut Bytes) -> Result<String, &'static str> {
    let length = usize::from(body.try_get_u16_le().map_err(|_| SHORT)?);
    if length > TEXT_BYTES_MAX {
        return Err("a text is longer than it may be");
    }
    if length > body.len() {
        return Err(SHORT);
    }
    let text = body.split_to(length);
    std::str::from_utf8(&text).map(str::to_owned).map_err(|_| "a text is not UTF-8")
}

fn take_number(body: &mut Bytes) -> Result<u64, &'static str> {
    body.try_get_u64_le().map_err(|_| SHORT)
}

fn take_time(body: &mut Bytes) -> Result<Duration, &'static str> {
    take_number(body).map(Duration::from_micros)
}
