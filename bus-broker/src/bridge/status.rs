//! What an operator sees of a bridge.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use bus_core::bridge::{CarriedStat, LinkStat};
use serde_json::{Value, json};
use tokio::time::Instant;

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
}

impl BridgeStatus {
    /// As JSON.
    pub fn to_json(&self) -> Value {
        let direction = |status: &Option<DirectionStatus>, topics: &[String]| {
            status.as_ref().map(|status| status.to_json(topics))
        };
        json!({
            "name": self.name,
            "url": self.url,
            "out": direction(&self.outgoing, &self.patterns.0),
            "in": direction(&self.incoming, &self.patterns.1),
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
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let link = &self.link;
        json!({
            "state": self.state.word(),
            "since_ms": millis(self.since),
            "topics": topics,
            "round_trip_us": self.round_trip.map(|time| u64::try_from(time.as_micros()).unwrap_or(u64::MAX)),
            "sources": link.sources,
            "lag_messages": link.spooled,
            "lag_bytes": link.spooled_bytes,
            "published": link.published,
            "dropped": link.dropped,
            "refused": link.refused,
            "unknown": link.unknown,
            "abandoned": link.abandoned,
            "looped": link.muted,
            "interest_left_out": self.left_out,
            "reconnects": self.reconnects,
            "last_error": self.last_error.as_ref().map(|(text, _)| text),
            "last_error_ms": self.last_error.as_ref().map(|(_, age)| millis(*age)),
        })
    }
}

/// What a direction tells while it runs.
#[derive(Debug)]
pub(super) struct Board {
    pub state: LinkState,
    pub since: Instant,
    pub round_trip: Option<Duration>,
    pub link: LinkStat,
    pub queues: Vec<CarriedStat>,
    pub left_out: u64,
    pub connections: u64,
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
            queues: Vec::new(),
            left_out: 0,
            connections: 0,
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

    pub fn status(&self) -> DirectionStatus {
        let last_error = self.last_error.as_ref();
        DirectionStatus {
            state: self.state,
            since: self.since.elapsed(),
            round_trip: self.round_trip,
            link: self.link,
            queues: self.queues.clone(),
            left_out: self.left_out,
            reconnects: self.connections.saturating_sub(1),
            last_error: last_error.map(|(text, at)| (text.clone(), at.elapsed())),
        }
    }
}
