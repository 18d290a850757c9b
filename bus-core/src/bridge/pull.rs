//! What a link says to its two brokers, in the order in which it is to be said.
//!
//! Control goes before data. Sources that have something to send and window for it take turns, a
//! message or a parcel each, so that none holds up another. Invariant: what is said of one relay is said in
//! its order, its opening first.

use std::ops::Bound;
use std::sync::Arc;

use crate::error::Failure;
use crate::frame::Parcel;
use crate::message::Message;
use crate::name::{Name, Pattern};
use crate::router::{Interest, Provenance, SubscribeOptions};

use super::link::Link;

/// Names a relay of a link; never used twice.
pub type RelayId = u64;

/// Something to be said, or done.
#[expect(missing_docs, reason = "the variants say what their fields are")]
#[derive(Clone, Debug)]
pub enum Action {
    /// At the near broker: subscribe for those beyond.
    Subscribe { route: usize, pattern: Pattern, options: SubscribeOptions, beyond: Vec<Interest> },
    /// At the near broker: others are wanted for from now on.
    Change { route: usize, added: Vec<Interest>, removed: Vec<Interest> },
    /// At the near broker: nothing more of this topic for now, or again.
    Hold { route: usize, topic: Name, hold: bool },
    /// At the near broker: end the subscription.
    Unsubscribe { route: usize },
    /// At the near broker: so many bytes in all are used up.
    Consumed { route: usize, bytes: u64 },
    /// Something that an operator should see.
    Trouble { failure: Failure },
    /// At the far broker: open a relay.
    Open { relay: RelayId, topic: Name, provenance: Arc<Provenance>, reach: u64 },
    /// At the far broker: close it.
    Close { relay: RelayId },
    /// At the far broker: the next message bears this number; so many of those before it may have
    /// arrived, at a boot of it that is no more.
    Skip { relay: RelayId, turn: u64, sequence: u64, lost: bool, unconfirmed: u64 },
    /// At the far broker: publish. The number is for those who look on; it is not sent.
    Publish { relay: RelayId, sequence: u64, message: Message },
    /// At the far broker: publish these; the number is the first one's.
    PublishParcel { relay: RelayId, sequence: u64, parcel: Parcel },
}

impl Link {
    /// What is to be said next. With `data` also messages: without, the far connection has enough
    /// to write.
    pub fn pull(&mut self, data: bool) -> Option<Action> {
        if let Some(action) = self.to_near.pop_front() {
            return Some(action);
        }
        if !self.far_is_up {
            return None;
        }
        if let Some(action) = self.to_far.pop_front().or_else(|| self.opening()) {
            return Some(action);
        }
        while data && !self.ready.is_empty() {
            let after = self.turn.map_or(Bound::Unbounded, Bound::Excluded);
            let next = self.ready.range((after, Bound::Unbounded)).next();
            let Some(id) = next.or(self.ready.first()).copied() else { break };
            self.turn = Some(id);
            match self.sources.get_mut(id).and_then(|source| source.send()) {
                Some(action) => {
                    self.stat.published += match &action {
                        Action::Publish { .. } => 1,
                        Action::PublishParcel { parcel, .. } => parcel.count(),
                        _ => 0,
                    };
                    return Some(action);
                }
                None => drop(self.ready.remove(&id)),
            }
        }
        None
    }
}
