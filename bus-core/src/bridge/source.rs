//! One source as a link knows it: what is kept of it, where its relay stands, and how a link comes
//! to know it.
//!
//! Invariant: what was sent on a relay since its last skip bears the numbers from there on, one
//! after the other.

use std::sync::Arc;

use crate::arena::Id;
use crate::error::ErrorKind;
use crate::limits::{LINK_SOURCE_IDLE, LINK_SOURCES_MAX, WINDOW_BYTES_DEFAULT, window_charge};
use crate::name::Name;
use crate::router::{Epoch, Fault, Provenance, RelayState, Stamp};
use crate::time::Time;

use super::holding::Over;
use super::link::Link;
use super::pull::{Action, RelayId};
use super::spool::{Content, Spool};

/// What names a source at a link: origin, publisher there, topic here.
pub(super) type SourceKey = (Epoch, u64, Name);

/// A source.
#[derive(Debug)]
pub(super) struct Source {
    pub key: SourceKey,
    /// How the near broker numbers it.
    pub near_key: u64,
    pub route: usize,
    pub far_topic: Name,
    pub provenance: Arc<Provenance>,
    pub spool: Spool,
    /// Number of the last message that came from the near broker; 0 for none.
    pub last: u64,
    /// What came after the last one in the spool was not taken.
    pub missed: bool,
    /// The highest number ever sent to the far broker, to whichever boot of it.
    pub sent: u64,
    /// The first and last of those of which nobody knows whether they arrived, until the far broker
    /// has been told.
    pub unsure: Option<(u64, u64)>,
    pub relay: Option<Relay>,
    /// It has passed the far broker already, or was refused as if it had: nothing is sent.
    pub muted: bool,
    /// Not opened before then, since it was refused.
    pub retry_at: Option<Time>,
    /// How often it was refused, one time after the other.
    pub refusals: u32,
    /// It was refused for what it is: only its first message is kept, to ask again with.
    pub shut: bool,
    /// The oldest in the spool when that was looked at last.
    pub oldest: Option<u64>,
    pub used_at: Time,
    /// Its spool is over its limit, and holds its topic back.
    pub over: Over,
}

/// Its publisher at the far broker.
#[derive(Debug)]
pub(super) struct Relay {
    pub id: RelayId,
    /// The first number that its source had for it.
    pub reach: u64,
    /// It was asked for: its end must be said as well.
    pub said: bool,
    /// What it was told last; `None` until it is open.
    pub state: Option<RelayState>,
    /// The number that its next message bears; `None` until that was said.
    pub next: Option<u64>,
    /// What it has sent, and what of that was accepted, as windows count.
    pub sent: u64,
    pub credited: u64,
}

impl Relay {
    pub fn new(id: RelayId, reach: u64) -> Relay {
        Relay { id, reach, said: false, state: None, next: None, sent: 0, credited: 0 }
    }
}

impl Source {
    /// Whether it has nothing that would be missed.
    pub fn is_spare(&self) -> bool {
        self.spool.is_empty() || self.shut
    }

    /// How many of those that are kept were sent, and may have arrived.
    pub fn sent_and_kept(&self) -> u64 {
        self.spool.front().map_or(0, |first| (self.sent + 1).saturating_sub(first.sequence))
    }

    /// The relay was told where it stands. Gives how many messages may have got lost or not: they
    /// were sent, and the far broker has forgotten how far it had come.
    pub fn note_state(&mut self, state: RelayState, resume: bool) -> u64 {
        let Some(relay) = &mut self.relay else { return 0 };
        let before = relay.state.replace(state);
        let mut unknown = 0;
        if before.is_none() && !state.known && self.sent > state.mark {
            // Sending them again could show them twice.
            let first = self.spool.front().map_or(self.sent, |first| first.sequence);
            unknown = (self.sent + 1).saturating_sub(first);
            self.spool.trim(self.sent);
            self.spool.note_loss();
            if unknown > 0 {
                let first = self.unsure.map_or(first, |(before, _)| before.min(first));
                self.unsure = Some((first, self.sent));
            }
        }
        // What comes next there knows of them, or another way has brought them.
        self.unsure = self.unsure.filter(|(_, last)| *last > state.mark);
        self.spool.trim(state.mark);
        if before.is_none_or(|before| before.turn != state.turn) {
            relay.next = None;
            if state.active && !resume {
                self.spool.trim(self.last);
            }
        }
        unknown
    }

    /// How many of those between the mark and this number may have arrived.
    fn unconfirmed(&self, mark: u64, sequence: u64) -> u64 {
        let Some((first, last)) = self.unsure else { return 0 };
        (last + 1).min(sequence).saturating_sub(first.max(mark + 1))
    }

    /// The first number that there is something to say of at the far broker, if there is any.
    pub fn reach(&self) -> Option<u64> {
        let front = self.spool.front()?.sequence;
        Some(self.unsure.map_or(front, |(first, _)| first.min(front)))
    }

    /// What a relay that stands by says when it has kept the same message for long: perhaps those
    /// that should bring it do not.
    pub fn hint(&mut self) -> Option<Action> {
        let Relay { id, state, .. } = self.relay.as_ref()?;
        let state = state.filter(|state| !state.active)?;
        let front = self.spool.front()?;
        let same = self.oldest.replace(front.sequence) == Some(front.sequence);
        let (sequence, lost) = (front.sequence, front.lost);
        let (relay, turn) = (*id, state.turn);
        let unconfirmed = self.unconfirmed(state.mark, sequence);
        same.then_some(Action::Skip { relay, turn, sequence, lost, unconfirmed })
    }

    /// Whether it has something to send now.
    pub fn is_ready(&self) -> bool {
        let Some(Relay { state: Some(state), next, sent, credited, .. }) = &self.relay else {
            return false;
        };
        if !state.active {
            return false;
        }
        // Even with nothing to send it says where it goes on.
        let Some(next) = next else { return true };
        self.spool.from(*next).is_some_and(|entry| {
            sent + entry.content.first_charge() <= credited + WINDOW_BYTES_DEFAULT
        })
    }

    /// What it sends next: where it goes on, or a message.
    pub fn send(&mut self) -> Option<Action> {
        if !self.is_ready() {
            return None;
        }
        let relay = self.relay.as_mut()?;
        let (id, state) = (relay.id, relay.state?);
        let entry = self.spool.from(relay.next.unwrap_or(state.mark + 1));
        let (sequence, lost) = match &entry {
            Some(entry) => (entry.sequence, entry.lost),
            None => (self.last.max(state.mark) + 1, self.missed || self.last > state.mark),
        };
        let goes_on = relay.next == Some(sequence);
        relay.next = Some(sequence);
        let Some(entry) = entry.filter(|_| goes_on) else {
            let unconfirmed = self.unconfirmed(state.mark, sequence);
            let turn = state.turn;
            return Some(Action::Skip { relay: id, turn, sequence, lost, unconfirmed });
        };
        let relay = self.relay.as_mut()?;
        let (content, charge) = match entry.content {
            Content::One(message) => {
                let charge = window_charge(message.len(), WINDOW_BYTES_DEFAULT);
                (Content::One(message), charge)
            }
            Content::Many(mut parcel) => {
                let room = relay.credited + WINDOW_BYTES_DEFAULT - relay.sent;
                let part = parcel.split_to_fit(room, WINDOW_BYTES_DEFAULT)?;
                let charge = part.charge(WINDOW_BYTES_DEFAULT);
                (Content::Many(part), charge)
            }
        };
        let end = sequence + content.count();
        relay.next = Some(end);
        relay.sent += charge;
        self.sent = self.sent.max(end - 1);
        Some(match content {
            Content::One(message) => Action::Publish { relay: id, sequence, message },
            Content::Many(parcel) => Action::PublishParcel { relay: id, sequence, parcel },
        })
    }
}

impl Link {
    /// The source of a message, if somebody beyond wants it and has not had it yet.
    pub(super) fn source(&mut self, now: Time, route: usize, stamp: &Stamp) -> Option<Id<Source>> {
        let near = self.near?;
        let near_key = stamp.source.key;
        let topic = &stamp.source.topic;
        let route = self.home(route, topic)?;
        if let Some(id) = self.by_near.get(&(route, near_key)).copied() {
            self.sources.get_mut(id)?.used_at = now;
            return Some(id);
        }
        let beyond = &self.lanes[route].beyond;
        if !beyond.iter().any(|interest| interest.pattern.matches(topic)) {
            return None;
        }
        let provenance = Arc::new(stamp.source.passed_on(near, &self.near_name));
        let key = (provenance.epoch, provenance.publisher, topic.clone());
        let id = match self.by_key.get(&key).copied() {
            Some(id) => id,
            None => {
                self.make_room(now);
                let far_topic = match self.config.routes[route].to_far(topic) {
                    Ok(far_topic) if self.sources.len() < LINK_SOURCES_MAX => far_topic,
                    Ok(_) => return self.refuse_source(format!(
                        "the bridge has {LINK_SOURCES_MAX} sources already; topic `{topic}` has one more"
                    )),
                    Err(failure) => return self.refuse_source(failure.text().to_owned()),
                };
                let id = self.sources.insert_with(|_| Source {
                    key: key.clone(),
                    near_key,
                    route,
                    far_topic,
                    provenance: provenance.clone(),
                    spool: Spool::default(),
                    last: 0,
                    missed: false,
                    sent: 0,
                    unsure: None,
                    relay: None,
                    muted: false,
                    retry_at: None,
                    refusals: 0,
                    shut: false,
                    oldest: None,
                    used_at: now,
                    over: Over::default(),
                });
                self.by_key.insert(key, id);
                id
            }
        };
        if self.look_at.is_none() {
            self.look_at = Some(now.after(LINK_SOURCE_IDLE));
        }
        self.take_way(id, near_key, provenance);
        Some(id)
    }

    /// A source comes by a way that may be another than before.
    fn take_way(&mut self, id: Id<Source>, near_key: u64, provenance: Arc<Provenance>) {
        let ignored = self.planted(Fault::HopsIgnored);
        let Some(source) = self.sources.get_mut(id) else { return };
        self.by_near.remove(&(source.route, source.near_key));
        self.by_near.insert((source.route, near_key), id);
        source.near_key = near_key;
        let changes = source.provenance.hops != provenance.hops;
        source.provenance = provenance;
        source.muted =
            !ignored && self.far.is_some_and(|far| source.provenance.hops.contains(&far));
        if (changes || source.muted)
            && let Some(relay) = source.relay.take()
        {
            self.close(&relay);
        }
    }

    fn refuse_source(&mut self, text: String) -> Option<Id<Source>> {
        self.stat.refused += 1;
        self.trouble_once(ErrorKind::QuotaExceeded, text);
        None
    }
}
