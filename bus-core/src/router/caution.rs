//! Caution: what was out when a session was lost is handed out alone, so that the next loss
//! tells which message it was.
//!
//! Such a message is a suspect until somebody answers for it. A consumer gets a suspect when it
//! has nothing else unsettled, and nothing more until that one is settled; meanwhile it is held
//! back, and out of the line, so nothing passes a suspect by. One that has let a lease run out
//! keeps several messages at a time, or one for too long: it is trusted, or it would wait for
//! ever. Invariant: whoever was passed over for a suspect is in `held` until it is looked at again.

use crate::arena::Id;
use crate::message_type::MessageType;

use super::Router;
use super::command::Lease;
use super::fault::Fault;
use super::ground::Ground;
use super::lease::Shelved;
use super::queue::Queue;
use super::settle::Bearer;
use super::shelf::Place;
use super::waiter::Waiter;

impl Waiter {
    /// Whether it may be handed one more that is, or is not, a suspect.
    fn may_have(&self, suspect: bool) -> bool {
        !suspect || self.trusted || self.outstanding == 0
    }

    /// Notes that it was handed a suspect.
    pub(super) fn note_suspect(&mut self, lease: Lease) {
        if !self.trusted {
            self.suspect = Some(lease);
        }
    }
}

impl Queue {
    /// Whether a receiver in the line can be handed a message of this sort.
    pub(super) fn may_hand(&self, ground: &Ground, id: Id<Waiter>, suspect: bool) -> bool {
        ground.planted(Fault::SuspectsTogether)
            || self.waiters.get(id).is_some_and(|waiter| waiter.may_have(suspect))
    }

    /// Whether a receiver must wait for the end of its other deliveries, since what it would get
    /// from this place is a suspect. Then it is held back.
    pub(super) fn hold_back(&mut self, ground: &Ground, id: Id<Waiter>, place: Place) -> bool {
        let suspect = self.shelf.get(place).is_some_and(Shelved::is_suspect);
        let holds = suspect && !self.may_hand(ground, id, suspect);
        if holds {
            self.hold(id);
        }
        holds
    }

    /// A suspect of this type goes onto the shelf: those in the line that may not have it now are
    /// held back, else they would get what comes behind it.
    pub(super) fn hold_back_all(&mut self, ground: &Ground, kind: MessageType) {
        let takers = self.line.takers(kind, 0).map(|(_, id)| id);
        let held: Vec<_> = takers.filter(|id| !self.may_hand(ground, *id, true)).collect();
        for id in held {
            self.hold(id);
        }
    }

    fn hold(&mut self, id: Id<Waiter>) {
        self.step_back(id);
        if let Some(waiter) = self.waiters.get_mut(id)
            && !std::mem::replace(&mut waiter.held, true)
        {
            self.held.push(id);
        }
    }

    /// A suspect is off the shelf: those that were held back may have what lies behind it.
    pub(super) fn serve_held(&mut self, ground: &mut Ground) {
        if self.held.is_empty() || ground.planted(Fault::HeldForEver) {
            return;
        }
        let held = std::mem::take(&mut self.held);
        for id in &held {
            if let Some(waiter) = self.waiters.get_mut(*id) {
                waiter.held = false;
            }
        }
        self.serve_in_turn(ground, held);
    }
}

impl Router {
    /// A receiver has let a lease run out of what its application has.
    pub(super) fn trust(&mut self, (queue, waiter): Bearer) {
        let queue = self.queues.get_mut(queue);
        if let Some(waiter) = queue.and_then(|queue| queue.waiters.get_mut(waiter)) {
            (waiter.trusted, waiter.suspect) = (true, None);
        }
    }
}
