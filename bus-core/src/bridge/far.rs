//! What a link learns from the far broker: who wants what, where relays stand, what has arrived.

use crate::arena::Id;
use crate::error::{ErrorKind, Failure};
use crate::router::{Epoch, Fault, Interest, RelayState};
use crate::time::Time;

use super::link::Link;
use super::near::RETRY;
use super::pull::{Action, RelayId};
use super::source::{Relay, Source};

impl Link {
    /// There is a session at the far broker, another one than before. What it wants is told
    /// afterwards; until then it is taken to want what it did.
    pub fn far_up(&mut self, epoch: Epoch) {
        let restarted = self.far.replace(epoch).is_some_and(|before| before != epoch);
        self.far_is_up = true;
        self.linger_until = None;
        self.wanted.clear();
        self.to_far.clear();
        self.by_relay.clear();
        let ignored = self.planted(Fault::HopsIgnored);
        let ids: Vec<_> = self.sources.iter().map(|(id, _)| id).collect();
        for id in ids {
            let Some(source) = self.sources.get_mut(id) else { continue };
            source.relay = None;
            if restarted {
                // Nothing is known there, and nobody there has had anything yet.
                source.sent = 0;
            }
            source.muted = !ignored && source.provenance.hops.contains(&epoch);
            match source.muted {
                true => self.mute(id),
                false => self.open(id),
            }
        }
    }

    /// The same session at the far broker is connected again: all that was said arrives.
    pub fn far_resumed(&mut self) {
        self.far_is_up = true;
        self.linger_until = None;
        // If it stayed away for long, its wishes were given up meanwhile.
        self.apply_wishes();
    }

    /// The far broker cannot be reached.
    pub fn far_down(&mut self, now: Time) {
        if std::mem::replace(&mut self.far_is_up, false) {
            self.linger_until = Some(now.after(self.config.linger));
        }
    }

    /// The far broker was asked anew what is wanted: what it tells next is all of it.
    pub fn far_tells_anew(&mut self) {
        self.wanted.clear();
    }

    /// What the far broker tells this bridge's near broker: what is wanted there and beyond, since
    /// it was told last in this session. It counts when it is complete.
    pub fn far_wanted(&mut self, added: Vec<Interest>, removed: Vec<Interest>, complete: bool) {
        self.wanted.extend(added);
        for interest in &removed {
            self.wanted.remove(interest);
        }
        if complete {
            self.wishes = self.wanted.iter().cloned().collect();
            self.apply_wishes();
        }
    }

    fn apply_wishes(&mut self) {
        for route in 0..self.lanes.len() {
            let near = self.near;
            let wishes = self.wishes.iter();
            let mut beyond: Vec<_> = wishes
                .filter(|interest| near.is_none_or(|near| !interest.path.contains(&near)))
                .filter_map(|interest| self.config.routes[route].to_near(interest))
                .collect();
            beyond.sort();
            beyond.dedup();
            self.set_beyond(route, beyond);
        }
    }

    fn set_beyond(&mut self, route: usize, beyond: Vec<Interest>) -> u64 {
        if self.lanes[route].beyond == beyond {
            return 0;
        }
        // Only what something gone matches can be unwanted now.
        let gone: Vec<Interest> = self.lanes[route]
            .beyond
            .iter()
            .filter(|interest| beyond.binary_search(interest).is_err())
            .cloned()
            .collect();
        let matches = |interests: &[Interest], source: &Source| {
            interests.iter().any(|interest| interest.pattern.matches(&source.key.2))
        };
        let unwanted = |source: &Source| {
            source.route == route && matches(&gone, source) && !matches(&beyond, source)
        };
        let ids: Vec<_> =
            self.sources.iter().filter(|(_, source)| unwanted(source)).map(|(id, _)| id).collect();
        self.lanes[route].beyond = beyond;
        self.want(route);
        ids.into_iter().map(|id| self.forget(id)).sum()
    }

    /// The far broker has stayed away for too long.
    pub(super) fn give_up(&mut self) {
        for route in 0..self.lanes.len() {
            self.stat.abandoned += self.set_beyond(route, Vec::new());
        }
    }

    /// A relay could not be opened, or has ended from the other side.
    pub fn relay_ended(&mut self, now: Time, relay: RelayId, failure: Failure) {
        let Some(id) = self.by_relay.remove(&relay) else { return };
        let Some(source) = self.sources.get_mut(id) else { return };
        source.relay = None;
        if failure.kind() == ErrorKind::Loop {
            // It has passed there on a way that was not known here.
            self.mute(id);
        } else {
            let at = now.after(RETRY);
            source.retry_at = Some(at);
            self.retries.insert((at, id));
        }
        self.to_near.push_back(Action::Trouble { failure });
    }

    /// A relay was told where it stands.
    pub fn relay_state(&mut self, relay: RelayId, state: RelayState) {
        let resume = !self.planted(Fault::NoResume);
        let Some(id) = self.by_relay.get(&relay).copied() else { return };
        let Some(source) = self.sources.get_mut(id) else { return };
        let before = source.spool.bytes();
        self.stat.unknown += source.note_state(state, resume);
        self.spooled_bytes -= before - source.spool.bytes();
        let was_full = self.spooled_bytes + before > self.config.total_bytes;
        self.ready.insert(id);
        self.weigh(id);
        if was_full {
            (0..self.lanes.len()).for_each(|route| self.tell_used(route));
        }
    }

    /// So many bytes in all are accepted from a relay.
    pub fn credit(&mut self, relay: RelayId, bytes: u64) {
        let Some(id) = self.by_relay.get(&relay).copied() else { return };
        let Some(source) = self.sources.get_mut(id) else { return };
        if let Some(relay) = &mut source.relay {
            // More than was sent cannot have been accepted.
            relay.credited = relay.credited.max(bytes.min(relay.sent));
            self.ready.insert(id);
        }
    }

    /// Opens the relay of a source that has something for it.
    pub(super) fn open(&mut self, id: Id<Source>) {
        let Some(source) = self.sources.get_mut(id) else { return };
        let Some(reach) = source.spool.front().map(|first| first.sequence) else { return };
        let waits = source.muted || source.relay.is_some() || source.retry_at.is_some();
        if waits || self.far.is_none() {
            return;
        }
        self.next_relay += 1;
        let relay = self.next_relay;
        source.relay = Some(Relay::new(relay));
        self.by_relay.insert(relay, id);
        let (topic, provenance) = (source.far_topic.clone(), source.provenance.clone());
        self.to_far.push_back(Action::Open { relay, topic, provenance, reach });
    }
}
