//! What a session is told, in a form that the router and a model can both produce.
//!
//! Deliveries keep their order within a session; everything else is compared as a set, since
//! no order between, say, a verdict and the end of a channel is promised.

use std::collections::BTreeMap;

use bus_core::ErrorKind;
use bus_core::router::{Answer, Effect, Output, SessionId};

/// One thing told to a session (by its slot in the test).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Event {
    Lease(Delivery),
    Accepted { slot: usize, ticket: u64 },
    Failed { slot: usize, ticket: u64, kind: ErrorKind },
    Settled { slot: usize, lease: u64 },
    Unsettled { slot: usize, lease: u64, kind: ErrorKind },
    Ended { slot: usize, channel: u32, kind: ErrorKind },
    Recall { slot: usize, lease: u64 },
    Done { slot: usize, request: u32 },
    Refused { slot: usize, request: u32, kind: ErrorKind },
    Other { slot: usize, text: String },
}

impl Event {
    /// Whom it was told.
    pub fn slot(&self) -> usize {
        match self {
            Event::Lease(delivery) => delivery.slot,
            Event::Accepted { slot, .. }
            | Event::Failed { slot, .. }
            | Event::Settled { slot, .. }
            | Event::Unsettled { slot, .. }
            | Event::Ended { slot, .. }
            | Event::Recall { slot, .. }
            | Event::Done { slot, .. }
            | Event::Refused { slot, .. }
            | Event::Other { slot, .. } => *slot,
        }
    }
}

/// A delivery from a queue.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Delivery {
    pub slot: usize,
    pub lease: u64,
    pub channel: u32,
    pub message: u64,
    pub attempt: u32,
    pub auto_ack: bool,
    /// The session that sent it, by the number that the sender bears.
    pub from: u64,
}

/// The effects as events; those for sessions that are gone are left out.
pub fn events(effects: Vec<Effect>, slots: &[Option<SessionId>]) -> Vec<Event> {
    let slot = |session| slots.iter().position(|slot| *slot == Some(session));
    effects
        .into_iter()
        .filter_map(|effect| Some(event(slot(effect.session)?, effect.output)))
        .collect()
}

fn event(slot: usize, output: Output) -> Event {
    match output {
        Output::Lease { channel, lease, attempt, auto_ack, sender, message } => {
            let (from, message) = (sender.session, number_of(message.payload()));
            Event::Lease(Delivery { slot, lease, channel, message, attempt, auto_ack, from })
        }
        Output::Accepted { first, .. } => Event::Accepted { slot, ticket: first },
        Output::Failed { ticket, failure } => Event::Failed { slot, ticket, kind: failure.kind() },
        Output::Settled { first, .. } => Event::Settled { slot, lease: first },
        Output::Unsettled { lease, failure } => {
            Event::Unsettled { slot, lease, kind: failure.kind() }
        }
        Output::Ended { channel, failure } => Event::Ended { slot, channel, kind: failure.kind() },
        Output::Recall { lease } => Event::Recall { slot, lease },
        Output::Reply { request, result: Ok(Answer::Done { .. } | Answer::Opened { .. }) } => {
            Event::Done { slot, request }
        }
        Output::Reply { request, result: Err(failure) } => {
            Event::Refused { slot, request, kind: failure.kind() }
        }
        other => Event::Other { slot, text: format!("{other:?}") },
    }
}

/// The number that a test wrote at the beginning of a payload.
pub fn number_of(payload: &[u8]) -> u64 {
    let bytes = payload.get(..8).and_then(|bytes| bytes.try_into().ok());
    bytes.map_or(u64::MAX, u64::from_le_bytes)
}

/// A payload of this length (at least 8) that begins with a number.
pub fn payload(number: u64, length: usize) -> Vec<u8> {
    let mut payload = number.to_le_bytes().to_vec();
    payload.resize(length.max(8), b'.');
    payload
}

/// Says how what happened differs from what should have.
pub fn compare(found: Vec<Event>, expected: Vec<Event>) -> Result<(), String> {
    let (found, expected) = (in_order(found), in_order(expected));
    if found == expected {
        return Ok(());
    }
    let missing: Vec<_> = expected.iter().filter(|event| !found.contains(event)).collect();
    let extra: Vec<_> = found.iter().filter(|event| !expected.contains(event)).collect();
    match missing.is_empty() && extra.is_empty() {
        true => Err(format!("another order: {found:?} instead of {expected:?}")),
        false => Err(format!("missing {missing:?}, unexpected {extra:?}")),
    }
}

/// Deliveries of each session as they came, then the rest, sorted.
fn in_order(events: Vec<Event>) -> Vec<Event> {
    let mut deliveries: BTreeMap<usize, Vec<Event>> = BTreeMap::new();
    let mut rest = Vec::new();
    for event in events {
        match &event {
            Event::Lease(delivery) => deliveries.entry(delivery.slot).or_default().push(event),
            _ => rest.push(event),
        }
    }
    rest.sort();
    deliveries.into_values().flatten().chain(rest).collect()
}
