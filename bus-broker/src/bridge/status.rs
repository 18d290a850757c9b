//! What an operator sees of a bridge.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use bus_core::bridge::{CarriedStat, ExchangeStat, LinkStat};
use serde_json::{Value, json};
use tokio::time::Instant;

/// Names of services that are shown for one direction.
pub(super) const NAMES_SHOWN_MAX: usize = 256;

/// How a direction of a bridge stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LinkState {
    /// It has no connection, and tries to have one.
    #[default]
    Connecting,
    /// It has one.
    Connected,
    /// An operator has stopped it for a while.
    Paused,
}

impl LinkState {
    /// Its word.
    pub const fn word(self) -> &'static str {
        match self {
            LinkState::Connecting => "connecting",
            LinkState::Connected => "connected",
            LinkState::Paused => "paused",
        }
    }
}

/// One direction of a bridge.
#[derive(Clone, Debug, Default)]
pub struct DirectionStatus {
    /// How it stands.
    pub state: LinkState,
    /// For how long it has stood so.
    pub since: Duration,
    /// How long the other broker takes to answer.
    pub round_trip: Option<Duration>,
    /// What has gone over it, and what has not yet.
    pub link: LinkStat,
    /// The queues that it carries.
    pub queues: Vec<CarriedStat>,
    /// Wishes that the other broker could not tell.
    pub left_out: u64,
    /// Whether it has found that it is part of a loop, or runs beside another one. Each message arrives
    /// once all the same.
    pub in_loop: bool,
    /// Connections that were made again.
    pub reconnects: u64,
    /// What has gone wrong last, and how long ago that was.
    pub last_error: Option<(String, Duration)>,
}

/// Calls over one direction of a bridge.
#[derive(Clone, Debug, Default)]
pub struct CallsStatus {
    /// How it stands.
    pub state: LinkState,
    /// For how long it has stood so.
    pub since: Duration,
    /// How long the other broker takes to answer.
    pub round_trip: Option<Duration>,
    /// Services carried, calls under way, done and failed.
    pub calls: ExchangeStat,
    /// The names of the services that are carried now, the first of them.
    pub services: Vec<String>,
    /// Services that the broker where they are could not tell.
    pub left_out: u64,
    /// Connections that were made again.
    pub reconnects: u64,
    /// What has gone wrong last, and how long ago that was.
    pub last_error: Option<(String, Duration)>,
}

/// A bridge.
#[derive(Clone, Debug)]
pub struct BridgeStatus {
    /// Its name.
    pub name: String,
    /// Where it goes.
    pub url: String,
    /// What goes out over it.
    pub outgoing: Option<DirectionStatus>,
    /// What comes in.
    pub incoming: Option<DirectionStatus>,
    /// Its queues that live here, and those that live there.
    pub queues: [Option<DirectionStatus>; 2],
    /// The topics that go out, and those that come in.
    pub patterns: (Vec<String>, Vec<String>),
    /// Calls of there that are served here.
    pub services_out: Option<CallsStatus>,
    /// Calls of here that are served there.
    pub services_in: Option<CallsStatus>,
    /// Services here that can be called there, and those there that can be called here.
    pub service_patterns: (Vec<String>, Vec<String>),
}

impl BridgeStatus {
    /// As JSON.
    pub fn to_json(&self) -> Value {
        let direction = |status: &Option<DirectionStatus>, topics: &[String]| {
            status.as_ref().map(|status| status.to_json(topics))
        };
        let calls = |status: &Option<CallsStatus>, patterns: &[String]| {
            status.as_ref().map(|status| status.to_json(patterns))
        };
        json!({
            "name": self.name,
            "url": self.url,
            "out": direction(&self.outgoing, &self.patterns.0),
            "in": direction(&self.incoming, &self.patterns.1),
            "out_services": calls(&self.services_out, &self.service_patterns.0),
            "in_services": calls(&self.services_in, &self.service_patterns.1),
            "out_queues": self.queues[0].as_ref().map(DirectionStatus::queues_to_json),
            "in_queues": self.queues[1].as_ref().map(DirectionStatus::queues_to_json),
        })
    }
}

impl DirectionStatus {
    fn queues_to_json(&self) -> Value {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let queue = |queue: &CarriedStat| {
            json!({
                "name": queue.name.as_str(),
                "carried": queue.is_carried,
                "leased": queue.leased,
                "receivers": queue.receivers,
                "sends": queue.sends,
                "last_error": queue.last_error.as_ref().map(ToString::to_string),
            })
        };
        json!({
            "state": self.state.word(),
            "since_ms": millis(self.since),
            "round_trip_us": self.round_trip.map(|time| u64::try_from(time.as_micros()).unwrap_or(u64::MAX)),
            "queues": self.queues.iter().map(queue).collect::<Vec<_>>(),
            "reconnects": self.reconnects,
            "last_error": self.last_error.as_ref().map(|(text, _)| text),
            "last_error_ms": self.last_error.as_ref().map(|(_, age)| millis(*age)),
        })
    }

    fn to_json(&self, topics: &[String]) -> Value {
        let link = &self.link;
        json!({
            "state": self.state.word(),
            "since_ms": millis(self.since),
            "topics": topics,
            "round_trip_us": self.round_trip.map(micros),
            "sources": link.sources,
            "lag_messages": link.spooled,
            "lag_bytes": link.spooled_bytes,
            "published": link.published,
            "dropped": link.dropped,
            "refused": link.refused,
            "unknown": link.unknown,
            "abandoned": link.abandoned,
            "missed": link.missed,
            "looped": link.muted,
            "held_topics": link.held,
            "loop": self.in_loop,
            "interest_left_out": self.left_out,
            "reconnects": self.reconnects,
            "last_error": self.last_error.as_ref().map(|(text, _)| text),
            "last_error_ms": self.last_error.as_ref().map(|(_, age)| millis(*age)),
        })
    }
}

impl CallsStatus {
    fn to_json(&self, patterns: &[String]) -> Value {
        json!({
            "state": self.state.word(),
            "since_ms": millis(self.since),
            "patterns": patterns,
            "round_trip_us": self.round_trip.map(micros),
            "carried": self.calls.services,
            "services": self.services,
            "under_way": self.calls.under_way,
            "done": self.calls.done,
            "failed": self.calls.failed,
            "services_left_out": self.left_out,
            "reconnects": self.reconnects,
            "last_error": self.last_error.as_ref().map(|(text, _)| text),
            "last_error_ms": self.last_error.as_ref().map(|(_, age)| millis(*age)),
        })
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// What a direction, or the calls of one, tell while they run.
#[derive(Debug)]
pub(super) struct Board {
    pub state: LinkState,
    pub since: Instant,
    pub round_trip: Option<Duration>,
    pub link: LinkStat,
    pub calls: ExchangeStat,
    /// The names that are served, the first of them, and the version of that list.
    pub services: (u64, Vec<String>),
    pub queues: Vec<CarriedStat>,
    pub left_out: u64,
    pub connections: u64,
    pub in_loop: bool,
    pub last_error: Option<(String, Instant)>,
}

/// Seen by the direction and by whoever asks; both live on the broker's thread.
pub(super) type SharedBoard = Rc<RefCell<Board>>;

impl Board {
    pub fn shared() -> SharedBoard {
        Rc::new(RefCell::new(Board {
            state: LinkState::default(),
            since: Instant::now(),
            round_trip: None,
            link: LinkStat::default(),
            calls: ExchangeStat::default(),
            services: Default::default(),
            queues: Vec::new(),
            left_out: 0,
            connections: 0,
            in_loop: false,
            last_error: None,
        }))
    }

    /// How it stands from now on. Whether that is something new.
    pub fn turn(&mut self, state: LinkState) -> bool {
        let changes = self.state != state;
        if changes {
            (self.state, self.since) = (state, Instant::now());
            self.connections += u64::from(state == LinkState::Connected);
        }
        changes
    }

    pub fn calls_status(&self) -> CallsStatus {
        let DirectionStatus { state, since, round_trip, left_out, reconnects, last_error, .. } =
            self.status();
        let (calls, services) = (self.calls, self.services.1.clone());
        CallsStatus { state, since, round_trip, calls, services, left_out, reconnects, last_error }
    }

    pub fn status(&self) -> DirectionStatus {
        let last_error = self.last_error.as_ref();
        DirectionStatus {
            state: self.state,
            since: self.since.elapsed(),
            round_trip: self.round_trip,
            link: self.link,
            queues: self.queues.clone(),
            left_out: self.left_out,
            in_loop: self.in_loop,
            reconnects: self.connections.saturating_sub(1),
            last_error: last_error.map(|(text, at)| (text.clone(), at.elapsed())),
        }
    }
}
