//! What a subscription brings: messages of one's own, and batches to be read where they stand.
//!
//! A message bears its source and number only where they do not follow from the one before.

use std::sync::Arc;

use bus_core::router::Provenance;
use bus_core::session::Origin;
use bus_core::{Header, Headers, Message, MessageType, Name, Run, Sender};
use bytes::Bytes;

/// A message that was published.
#[derive(Clone, Debug)]
pub struct Received {
    pub(crate) message: Message,
    pub(crate) origin: Arc<Origin>,
    pub(crate) sequence: u64,
}

/// Messages that arrived together. They are used up when the batch is dropped.
pub struct Batch<'a> {
    pub(crate) run: Run,
    pub(crate) origins: &'a [(u32, Arc<Origin>)],
    /// Of its first message, unless that names another.
    pub(crate) origin: Arc<Origin>,
    /// The number of the message before it.
    pub(crate) before: u64,
}

/// A message of a batch, where it stands.
#[derive(Clone, Copy)]
pub struct MessageRef<'a> {
    kind: MessageType,
    headers: &'a [u8],
    payload: &'a [u8],
    origin: &'a Origin,
    sequence: u64,
    run: &'a Run,
}

impl Received {
    /// The message itself.
    pub fn message(&self) -> &Message {
        &self.message
    }

    /// Takes the message out.
    pub fn into_message(self) -> Message {
        self.message
    }

    /// Its type.
    pub fn kind(&self) -> MessageType {
        self.message.kind()
    }

    /// Its payload.
    pub fn payload(&self) -> &Bytes {
        self.message.payload()
    }

    /// Its headers.
    pub fn headers(&self) -> &Headers {
        self.message.headers()
    }

    /// The topic that it was published on.
    pub fn topic(&self) -> &str {
        self.origin.topic.as_ref().map_or("", Name::as_str)
    }

    /// Who published it, by the broker's word.
    pub fn sender(&self) -> &Sender {
        &self.origin.sender
    }

    /// Its number among all that this publisher has published, from 1. What is missing before it
    /// was not for this subscription, was published before it began, or was lost to it.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Where it comes from, if bridges have brought it here: the broker on which it was published,
    /// who did that by that broker's word, and the brokers that it has passed. [`Received::sender`] is
    /// the bridge then.
    pub fn provenance(&self) -> Option<&Provenance> {
        self.origin.provenance.as_deref()
    }
}

impl Batch<'_> {
    /// The messages, in order.
    pub fn iter(&self) -> impl Iterator<Item = MessageRef<'_>> {
        let (mut origin, mut sequence): (&Origin, _) = (&self.origin, self.before);
        self.run.views().map_while(Result::ok).filter_map(move |view| {
            if view.header.origin != 0 {
                let found = self.origins.iter().find(|(number, _)| *number == view.header.origin);
                origin = found.map_or(origin, |(_, found)| found);
            }
            sequence = sequence_of(&view.header, sequence);
            let kind = MessageType::new(view.header.word)?;
            Some(MessageRef {
                kind,
                headers: view.headers,
                payload: view.payload,
                origin,
                sequence,
                run: &self.run,
            })
        })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        usize::try_from(self.run.frames).unwrap_or(usize::MAX)
    }

    /// Whether there is none, which does not happen.
    pub fn is_empty(&self) -> bool {
        self.run.frames == 0
    }
}

impl<'a> MessageRef<'a> {
    /// Its type.
    pub fn kind(&self) -> MessageType {
        self.kind
    }

    /// Its payload.
    pub fn payload(&self) -> &'a [u8] {
        self.payload
    }

    /// Its payload to keep: shares the batch's memory.
    pub fn to_bytes(&self) -> Bytes {
        self.run.bytes.slice_ref(self.payload)
    }

    /// Its headers.
    pub fn headers(&self) -> Headers {
        // The broker has checked them; malformed ones would be none.
        Headers::parse(Bytes::copy_from_slice(self.headers)).unwrap_or_default()
    }

    /// The topic that it was published on.
    pub fn topic(&self) -> &'a str {
        self.origin.topic.as_ref().map_or("", Name::as_str)
    }

    /// Who published it, by the broker's word.
    pub fn sender(&self) -> &'a Sender {
        &self.origin.sender
    }

    /// As [`Received::sequence`].
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// As [`Received::provenance`].
    pub fn provenance(&self) -> Option<&'a Provenance> {
        self.origin.provenance.as_deref()
    }
}

pub(crate) fn find(origins: &[(u32, Arc<Origin>)], number: u32) -> Arc<Origin> {
    origins
        .iter()
        .find(|(other, _)| *other == number)
        .map(|(_, origin)| origin.clone())
        .unwrap_or_default()
}

/// The number of a message behind one of that number.
#[inline]
pub(crate) fn sequence_of(header: &Header, before: u64) -> u64 {
    match header.sequence {
        0 => before + 1,
        named => named,
    }
}
