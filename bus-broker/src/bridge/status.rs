//! What an operator sees of a bridge.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use bus_core::Name;
use bus_core::bridge::{CarriedStat, ExchangeStat, LinkStat};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::denied::DeniedStatus;
use super::last_error::{Cause, LastError, Trouble};
use super::said::Said;

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
    /// The other broker is there and does not let it carry anything: it is tried again, at least every
    /// few seconds.
    Refused,
    /// An operator has stopped it for a while.
    Paused,
}

impl LinkState {
    /// Its word.
    pub const fn word(self) -> &'static str {
        match self {
            LinkState::Connecting => "connecting",
            LinkState::Connected => "connected",
            LinkState::Refused => "refused",
            LinkState::Paused => "paused",
        }
    }

    /// Whether it carries as soon as the other broker lets it.
    pub(super) const fn is_waiting(self) -> bool {
        matches!(self, LinkState::Connecting | LinkState::Refused)
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
    /// Topics that are held back now, the first of them.
    pub held_topics: Vec<String>,
    /// What the other broker does not let it carry.
    pub denied: Vec<DeniedStatus>,
    /// Connections that were made again.
    pub reconnects: u64,
    /// What has gone wrong last, and whether it still does.
    pub last_error: Option<LastError>,
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
    /// What the other broker does not let it carry.
    pub denied: Vec<DeniedStatus>,
    /// Connections that were made again.
    pub reconnects: u64,
    /// What has gone wrong last, and whether it still does.
    pub last_error: Option<LastError>,
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
        let queue = |queue: &CarriedStat| {
            json!({
                "name": queue.name.as_str(),
                "carried": queue.is_carried,
                "leased": queue.leased,
                "receivers": queue.receivers,
                "sends": queue.sends,
                "sent": queue.sent,
                "delivered": queue.delivered,
                "last_error": queue.last_error.as_ref().map(ToString::to_string),
            })
        };
        let mut told = json!({
            "state": self.state.word(),
            "since_ms": millis(self.since),
            "round_trip_us": self.round_trip.map(micros),
            "queues": self.queues.iter().map(queue).collect::<Vec<_>>(),
            "under_way": self.queues.iter().map(|queue| queue.sends).sum::<u64>(),
            "done": self.queues.iter().map(|queue| queue.sent + queue.delivered).sum::<u64>(),
            "reconnects": self.reconnects,
        });
        LastError::add_to(&mut told, self.last_error.as_ref());
        told
    }

    fn to_json(&self, topics: &[String]) -> Value {
        let link = &self.link;
        let mut told = json!({
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
            "held_names": self.held_topics,
            "denied": self.denied.iter().map(DeniedStatus::to_json).collect::<Vec<_>>(),
            "loop": link.in_loop,
            "interest_left_out": self.left_out,
            "reconnects": self.reconnects,
        });
        LastError::add_to(&mut told, self.last_error.as_ref());
        told
    }
}

impl CallsStatus {
    fn to_json(&self, patterns: &[String]) -> Value {
        let mut told = json!({
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
            "denied": self.denied.iter().map(DeniedStatus::to_json).collect::<Vec<_>>(),
            "reconnects": self.reconnects,
        });
        LastError::add_to(&mut told, self.last_error.as_ref());
        told
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
    /// Names of topics that are held back, the first of them.
    held_topics: Vec<String>,
    pub denied: Vec<DeniedStatus>,
    /// Why there is no connection, or was none.
    pub last_error: Option<Trouble>,
    /// What was said of each queue.
    queues_said: Vec<Said>,
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
            held_topics: Vec::new(),
            denied: Vec::new(),
            last_error: None,
            queues_said: Vec::new(),
        }))
    }

    /// Which topics are held back now. Most often there are none, and else the same ones.
    pub fn note_held<'a>(&mut self, topics: impl Iterator<Item = &'a Name> + Clone) {
        let first = topics.take(NAMES_SHOWN_MAX);
        if !first.clone().map(Name::as_str).eq(self.held_topics.iter().map(String::as_str)) {
            self.held_topics = first.map(ToString::to_string).collect();
        }
    }

    /// Where the queues stand now. What is new of what is wrong with them, each with its name.
    pub fn note_queues(&mut self, queues: Vec<CarriedStat>) -> Vec<(Name, String)> {
        self.queues_said.resize_with(queues.len(), Said::default);
        let each = queues.iter().zip(&mut self.queues_said);
        let fresh = each.filter_map(|(queue, said)| Some((queue.name.clone(), said.note(queue)?)));
        let fresh = fresh.collect();
        self.queues = queues;
        fresh
    }

    /// What has gone wrong last, and before all what still does. Without a connection that is why there is none,
    /// whatever its queues say.
    fn last_error(&self) -> Option<&Trouble> {
        let connection = self.last_error.as_ref();
        let queues = self.queues_said.iter().filter_map(Said::trouble);
        match self.state {
            LinkState::Connected => {
                connection.into_iter().chain(queues).max_by_key(|it| it.weight())
            }
            _ => connection.or_else(|| queues.max_by_key(|it| it.weight())),
        }
    }

    /// How it stands from now on. Whether that is something new.
    pub fn turn(&mut self, state: LinkState) -> bool {
        let changes = self.state != state;
        if changes {
            (self.state, self.since) = (state, Instant::now());
        }
        let connection = |error: &&mut Trouble| error.cause == Cause::Connection;
        if let Some(error) = self.last_error.as_mut().filter(connection) {
            match state {
                LinkState::Connected => error.set_over(true),
                // Nobody tries: what was over stays so.
                LinkState::Paused => {}
                _ => error.set_over(false),
            }
        }
        changes
    }

    pub fn calls_status(&self) -> CallsStatus {
        let DirectionStatus { state, since, round_trip, left_out, denied, reconnects, .. } =
            self.status();
        let last_error = self.last_error().map(Trouble::told);
        let (calls, services) = (self.calls, self.services.1.clone());
        CallsStatus {
            state,
            since,
            round_trip,
            calls,
            services,
            left_out,
            denied,
            reconnects,
            last_error,
        }
    }

    pub fn status(&self) -> DirectionStatus {
        DirectionStatus {
            state: self.state,
            since: self.since.elapsed(),
            round_trip: self.round_trip,
            link: self.link,
            queues: self.queues.clone(),
            left_out: self.left_out,
            held_topics: self.held_topics.clone(),
            denied: self.denied.clone(),
            reconnects: self.connections.saturating_sub(1),
            last_error: self.last_error().map(Trouble::told),
        }
    }
}

#[cfg(test)]
mod tests;
