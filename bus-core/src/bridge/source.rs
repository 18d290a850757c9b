//! One source as a link knows it: what is kept of it, and where its relay stands.
//!
//! Invariant: what was sent on a relay since its last skip bears the numbers from there on, one
//! after the other.

use std::sync::Arc;

use crate::limits::WINDOW_BYTES_DEFAULT;
use crate::limits::window_charge;
use crate::name::Name;
use crate::router::{Epoch, Provenance, RelayState};
use crate::time::Time;

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
    /// The highest number ever sent to this boot of the far broker.
    pub sent: u64,
    pub relay: Option<Relay>,
    /// It has passed the far broker already, or was refused as if it had: nothing is sent.
    pub muted: bool,
    /// Not opened before then, since it was refused.
    pub retry_at: Option<Time>,
    /// The oldest in the spool when that was looked at last.
    pub oldest: Option<u64>,
    pub used_at: Time,
    /// Its spool is over its limit, and holds its route back.
    pub over: bool,
}

/// Its publisher at the far broker.
#[derive(Debug)]
pub(super) struct Relay {
    pub id: RelayId,
    /// What it was told last; `None` until it is open.
    pub state: Option<RelayState>,
    /// The number that its next message bears; `None` until that was said.
    pub next: Option<u64>,
    /// What it has sent, and what of that was accepted, as windows count.
    pub sent: u64,
    pub credited: u64,
}

impl Relay {
    pub fn new(id: RelayId) -> Relay {
        Relay { id, state: None, next: None, sent: 0, credited: 0 }
    }
}

impl Source {
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
        }
        self.spool.trim(state.mark);
        if before.is_none_or(|before| before.turn != state.turn) {
            relay.next = None;
            if state.active && !resume {
                self.spool.trim(self.last);
            }
        }
        unknown
    }

    /// What a relay that stands by says when it has kept the same message for long: perhaps those
    /// that should bring it do not.
    pub fn hint(&mut self) -> Option<Action> {
        let Relay { id, state, .. } = self.relay.as_ref()?;
        let state = state.filter(|state| !state.active)?;
        let front = self.spool.front()?;
        let same = self.oldest.replace(front.sequence) == Some(front.sequence);
        let (sequence, lost) = (front.sequence, front.lost);
        same.then_some(Action::Skip { relay: *id, turn: state.turn, sequence, lost })
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
        let Some(entry) = entry else {
            let sequence = self.last.max(state.mark) + 1;
            relay.next = Some(sequence);
            let lost = self.missed || self.last > state.mark;
            return Some(Action::Skip { relay: id, turn: state.turn, sequence, lost });
        };
        let sequence = entry.sequence;
        if relay.next != Some(sequence) {
            relay.next = Some(sequence);
            let lost = entry.lost;
            return Some(Action::Skip { relay: id, turn: state.turn, sequence, lost });
        }
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
