//! One of the two routers that are compared in `batches`, with what its sessions were told.

use std::collections::BTreeMap;
use std::time::Duration;

use bus_core::router::{
    Command, Fault, ObjectKind, OpenMode, Output, QueueOptions, Router, RouterConfig, SessionId,
};
use bus_core::{Arrival, Kind, Message, Parcel, Pattern, Time};

use crate::bus::{arrival, name, user};
use crate::events::number_of;

/// Sessions of a router.
pub const SESSIONS: usize = 3;

/// One of the two routers, and what its sessions were told.
pub struct Side {
    pub router: Router,
    pub sessions: Vec<SessionId>,
    /// By session and what it is about: no order is promised across those.
    pub told: BTreeMap<(usize, String), Vec<String>>,
    /// Leases that are not settled, and the channel that bore each, by session.
    pub leases: Vec<BTreeMap<u64, u32>>,
    pub tickets: Vec<u64>,
    pub grants: Vec<(usize, u64, u64, u64)>,
    pub offers: BTreeMap<(usize, u64), (u64, u64)>,
    pub away: Vec<bool>,
    pub as_one: bool,
}

impl Side {
    pub fn new(as_one: bool, fault: Option<Fault>) -> Side {
        let config = RouterConfig {
            unwritten_bytes_max: 60_000,
            parked_bytes_max: 20_000,
            ..RouterConfig::default()
        };
        let mut router = Router::new(config);
        fault.into_iter().for_each(|fault| router.plant(fault));
        let mut side = Side {
            router,
            sessions: Vec::new(),
            told: BTreeMap::new(),
            leases: vec![BTreeMap::new(); SESSIONS],
            tickets: vec![0; SESSIONS],
            grants: Vec::new(),
            offers: BTreeMap::new(),
            away: vec![false; SESSIONS],
            as_one,
        };
        for slot in 0..SESSIONS {
            let session = side.open(Time::ZERO, slot);
            side.sessions.push(session);
        }
        side
    }

    /// Begins a session that has the queue open.
    pub fn open(&mut self, now: Time, slot: usize) -> SessionId {
        let grace = Duration::from_secs(3600);
        let session = self.router.open_session(now, user(1, 1), grace).expect("a session");
        let options = QueueOptions {
            count_max: 100,
            bytes_max: 20_000,
            lease: Duration::from_secs(1),
            deliveries_max: 3,
            ..QueueOptions::default()
        };
        let (name, open) = (name("jobs"), OpenMode::OpenOrCreate);
        let command = Command::OpenQueue { request: 0, channel: 0, name, open, options };
        self.router.handle(now, session, command);
        (self.tickets[slot], self.away[slot]) = (0, false);
        self.leases[slot].clear();
        self.grants.retain(|(other, ..)| *other != slot);
        session
    }

    pub fn act(&mut self, now: Time, session: usize, command: Command) {
        self.router.handle(now, self.sessions[session], command);
        self.note();
    }

    pub fn note(&mut self) {
        for effect in self.router.take_effects(Vec::new()) {
            let slot = self.sessions.iter().position(|session| *session == effect.session);
            // A session that has ended is of no concern.
            let Some(slot) = slot else { continue };
            match effect.output {
                Output::Lease { channel, lease, attempt, auto_ack, message, sender } => {
                    let from = sender.session;
                    self.lease(slot, channel, lease, &message, (attempt, auto_ack, from));
                }
                Output::LeaseParcel { channel, first, auto_ack, parcel, sender } => {
                    let what = (0, auto_ack, sender.session);
                    for (lease, message) in (first..).zip(parcel.messages()) {
                        self.lease(slot, channel, lease, &message, what);
                    }
                }
                Output::Accepted { first, count } => {
                    for ticket in first..first + u64::from(count) {
                        self.tell(slot, "tickets", format!("accepted {ticket}"));
                    }
                }
                Output::Failed { ticket, failure } => {
                    self.tell(slot, "tickets", format!("failed {ticket}: {failure}"));
                }
                Output::Settled { first, count } => {
                    for lease in first..first + u64::from(count) {
                        self.tell(slot, "acks", format!("settled {lease}"));
                    }
                }
                Output::Unsettled { lease, failure } => {
                    self.tell(slot, "acks", format!("unsettled {lease}: {failure}"));
                }
                Output::Grant { ticket } => {
                    let (kind, length) = self.offers[&(slot, ticket)];
                    self.grants.push((slot, ticket, kind, length));
                    self.tell(slot, "grants", format!("{ticket}"));
                }
                other => self.tell(slot, "others", format!("{other:?}")),
            }
        }
    }

    fn tell(&mut self, slot: usize, what: &str, text: String) {
        self.told.entry((slot, what.to_owned())).or_default().push(text);
    }

    fn lease(
        &mut self,
        slot: usize,
        channel: u32,
        lease: u64,
        message: &Message,
        what: (u32, bool, u64),
    ) {
        let number = number_of(message.payload());
        let text = format!("{number} on {channel} as {lease}: {} {what:?}", message.kind());
        self.tell(slot, "leases", text);
        self.leases[slot].insert(lease, channel);
    }

    pub fn send(&mut self, now: Time, session: usize, messages: &[Message]) {
        let first = self.tickets[session] + 1;
        if self.as_one && messages.len() > 1 {
            self.tickets[session] += messages.len() as u64;
            let id = self.sessions[session];
            self.router.send_parcel(now, id, 0, first, parcel(messages));
            return self.note();
        }
        for message in messages {
            self.tickets[session] += 1;
            let (ticket, message) = (self.tickets[session], message.clone());
            self.act(now, session, Command::Send { channel: 0, ticket, message, no_wait: false });
        }
    }

    /// Acknowledges neighbours; the last ones may have ended before.
    pub fn ack(&mut self, now: Time, session: usize, first: u64, count: u64) {
        self.leases[session].retain(|lease, _| !(first..first + count).contains(lease));
        self.act(now, session, Command::Ack { first, count: count as u32 });
    }

    pub fn nth_lease(&self, session: usize, index: u64) -> Option<u64> {
        self.leases[session].keys().nth(index as usize).copied()
    }

    pub fn state(&mut self, now: Time) -> String {
        let (pattern, object) = (Pattern::new(">").expect("a pattern"), ObjectKind::Queue);
        let list =
            |object| Command::List { request: 9, pattern: pattern.clone(), object, after: None };
        let mut text = String::new();
        for object in [object, ObjectKind::Client] {
            self.router.handle(now, self.sessions[0], list(object));
            text += &format!("{:?}", self.router.take_effects(Vec::new()));
        }
        format!("{text} {:?}", self.router.next_deadline())
    }
}

/// These messages as they arrive when they were sent together.
pub fn parcel(messages: &[Message]) -> Parcel {
    match arrival(Kind::Send, messages) {
        Some(Arrival::Sends { parcel, .. }) => parcel,
        other => panic!("no parcel of {}: {other:?}", messages.len()),
    }
}
