//! Publishers and subscribers: what each has published, seen, and been told to have missed.

use std::collections::BTreeMap;

use bus_core::router::SessionId;
use bus_core::session::Outbound;
use bus_core::{Arrival, Decoder, Header, Kind, Message, MessageType, Name, Parcel, Pattern, Time};

use crate::dice::Dice;

/// Somebody who publishes on one topic. Numbers go up by one, as sequences do.
pub struct Publisher {
    pub broker: usize,
    pub epoch: u64,
    pub session: SessionId,
    pub topic: Name,
    pub published: u64,
    /// When it published last.
    pub last_at: Time,
    pub alive: bool,
}

/// Somebody who subscribes to one pattern.
pub struct Subscriber {
    pub broker: usize,
    pub session: SessionId,
    pub pattern: Pattern,
    /// Uses up what it gets only now and then.
    pub slow: bool,
    pub got: u64,
    pub used: u64,
    pub alive: bool,
    /// What each publisher had published by when it subscribed: that is not owed to it, though some of
    /// it may still come out of a topic that was held back.
    pub before: Vec<u64>,
    /// By publisher: the number after which it must see everything, or be told.
    pub seen: BTreeMap<usize, u64>,
    /// It has seen nothing of these yet, but must see all.
    pub owed: BTreeMap<usize, u64>,
    /// Since when every broker knows of it.
    pub known_since: Option<Time>,
    /// How many it has missed, and how many it was told of.
    pub missed: u64,
    pub told: u64,
}

pub const TOPICS: &[&str] = &["a.x", "a.y", "b.x", "b.y.z", "c"];
const PATTERNS: &[&str] = &[">", "a.*", "a.x", "*.x", "b.>", "c"];

pub fn topic(dice: &mut Dice) -> Name {
    Name::new(dice.pick(TOPICS)).expect("a name")
}

pub fn pattern(dice: &mut Dice) -> Pattern {
    Pattern::new(dice.pick(PATTERNS)).expect("a pattern")
}

/// A message that says who published it and which it is.
pub fn message(publisher: usize, number: u64, length: usize) -> Message {
    let mut payload = Vec::with_capacity(16 + length);
    payload.extend_from_slice(&(publisher as u64).to_le_bytes());
    payload.extend_from_slice(&number.to_le_bytes());
    payload.resize(16 + length, 0);
    Message::new(MessageType::ONE, payload)
}

/// So many messages from this number on, published together.
pub fn parcel(publisher: usize, first: u64, count: u64, length: usize) -> Parcel {
    let mut outbound = Outbound::default();
    for number in first..first + count {
        let message = message(publisher, number, length);
        outbound.push_message(&Header::new(Kind::Publish, 0, message.kind().get()), &message);
    }
    let mut slices = Vec::new();
    outbound.unsent(usize::MAX, usize::MAX, &mut slices);
    let mut decoder = Decoder::for_handshake();
    decoder.establish();
    slices.iter().for_each(|slice| decoder.buffer().extend_from_slice(slice));
    match decoder.next_arrival() {
        Ok(Some(Arrival::Parcel { parcel, .. })) if decoder.pending() == 0 => parcel,
        other => panic!("no parcel: {other:?}"),
    }
}

/// Who published a message, and which it is.
pub fn read(message: &Message) -> (usize, u64) {
    let word = |at: usize| {
        let bytes = message.payload()[at..at + 8].try_into().expect("eight bytes");
        u64::from_le_bytes(bytes)
    };
    (word(0) as usize, word(8))
}
