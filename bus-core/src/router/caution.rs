//! Caution: what was out when a session was lost is handed out alone, so that the next loss
//! tells which message it was.
//!
//! Such a message is a suspect until somebody answers for it. A consumer gets a suspect when it
//! has nothing else unsettled, and nothing more until that one is settled; meanwhile it is held
//! back, and out of the line, so nothing passes a suspect by. One that has let a lease run out
//! keeps several messages at a time, or one for too long: it is trusted, or it would wait for
//! ever. So is one that extends, when it has been held up for the time of one lease.
//! Invariants: whoever was passed over for a suspect is in `held` until it is looked at again, and
//! `cautious` has whoever has a time in `cautious_until`.

use std::time::Duration;

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
use super::timer::Timer;
use super::waiter::Waiter;

/// So many that are held back are looked at as soon as a suspect is gone.
const LOOK_AT_ONCE_MAX: usize = 64;

/// More than that are looked at after so long for each of them.
const LOOK_PAUSE: Duration = Duration::from_micros(1);

impl Waiter {
    /// Whether it may be handed one more that is, or is not, a suspect.
    fn may_have(&self, suspect: bool) -> bool {
        !suspect || self.trusted || self.outstanding == 0
    }

    /// It is handed suspects like all else until it closes.
    fn trust(&mut self) {
        (self.trusted, self.suspect) = (true, None);
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
    pub(super) fn hold_back(&mut self, ground: &mut Ground, id: Id<Waiter>, place: Place) -> bool {
        let suspect = self.shelf.get(place).is_some_and(Shelved::is_suspect);
        let holds = suspect && !self.may_hand(ground, id, suspect);
        if holds {
            self.hold(ground, id);
        }
        holds
    }

    /// A suspect of this type goes onto the shelf: those in the line that may not have it now are
    /// held back, else they would get what comes behind it.
    pub(super) fn hold_back_all(&mut self, ground: &mut Ground, kind: MessageType) {
        let takers = self.line.takers(kind, 0).map(|(_, id)| id);
        let held: Vec<_> = takers.filter(|id| !self.may_hand(ground, *id, true)).collect();
        for id in held {
            self.hold(ground, id);
        }
    }

    fn hold(&mut self, ground: &mut Ground, id: Id<Waiter>) {
        self.step_back(id);
        self.begin_caution(ground, id);
        if let Some(waiter) = self.waiters.get_mut(id)
            && !std::mem::replace(&mut waiter.held, true)
        {
            if self.held.len() > 2 * self.waiters.len() {
                self.held.retain(|other| self.waiters.get(*other).is_some());
            }
            self.held.push(id);
        }
    }

    /// A receiver is held back, or its application has a suspect: it is trusted when that has
    /// lasted for the time of a lease. What it has been handed and nobody has looked at says
    /// nothing about its application, which may hang or be stopped.
    pub(super) fn begin_caution(&mut self, ground: &mut Ground, id: Id<Waiter>) {
        let Some(waiter) = self.waiters.get_mut(id) else { return };
        if waiter.trusted || waiter.cautious_until.is_some() {
            return;
        }
        let until = ground.now.after(self.options.lease);
        waiter.cautious_until = Some(until);
        self.cautious.insert((until, id));
        self.set_caution_timer(ground);
    }

    /// A receiver is held back no longer, and has no suspect.
    pub(super) fn end_caution(&mut self, id: Id<Waiter>) {
        let until = self.waiters.get_mut(id).and_then(|waiter| waiter.cautious_until.take());
        if let Some(until) = until {
            self.cautious.remove(&(until, id));
        }
    }

    /// Those with whom caution has lasted for long enough are trusted, and looked at.
    pub(super) fn caution_is_over(&mut self, ground: &mut Ground) {
        self.caution_timer = None;
        let mut over = false;
        while let Some((until, id)) = self.cautious.first().copied()
            && until <= ground.now
            && !ground.planted(Fault::CautionForEver)
        {
            self.cautious.pop_first();
            self.trust(id);
            // What it may have now it gets when those that are held back are looked at.
            self.hold(ground, id);
            over = true;
        }
        self.set_caution_timer(ground);
        if over {
            self.note_suspect_gone(ground);
        }
    }

    /// Makes sure that the first one is looked at in time. A timer that is too early finds
    /// nothing to do.
    fn set_caution_timer(&mut self, ground: &mut Ground) {
        let Some((first, _)) = self.cautious.first().copied() else { return };
        if self.caution_timer.is_none_or(|set| set > first)
            && !ground.planted(Fault::CautionForEver)
        {
            self.caution_timer = Some(first);
            ground.timers.set(first, Timer::Caution(self.id));
        }
    }

    fn trust(&mut self, id: Id<Waiter>) {
        self.end_caution(id);
        if let Some(waiter) = self.waiters.get_mut(id) {
            waiter.trust();
        }
    }

    /// A suspect is off the shelf: those that were held back may have what lies behind it. They
    /// are looked at once, however many suspects go; many of them so seldom that others notice
    /// nothing, or a client that takes suspects and gives them back would keep the broker busy.
    pub(super) fn note_suspect_gone(&mut self, ground: &mut Ground) {
        let held = self.held.len();
        if held == 0 || self.look_due || ground.planted(Fault::HeldForEver) {
            return;
        }
        self.look_due = true;
        if held <= LOOK_AT_ONCE_MAX {
            return ground.to_look_at.push(self.id);
        }
        let at = ground.now.after(LOOK_PAUSE * u32::try_from(held).unwrap_or(u32::MAX));
        ground.timers.set(at, Timer::Look(self.id));
    }

    /// Gives those that were held back what they may have by now.
    pub(super) fn look_at_held(&mut self, ground: &mut Ground) {
        self.look_due = false;
        let mut held = std::mem::take(&mut self.held);
        held.retain(|id| match self.waiters.get_mut(*id) {
            Some(waiter) => std::mem::take(&mut waiter.held),
            None => false,
        });
        #[cfg(test)]
        {
            self.looked_at += held.len() as u64;
        }
        self.serve_in_turn(ground, held);
    }
}

impl Router {
    /// Looks at those that were held back in queues that suspects have left.
    pub(super) fn serve_held(&mut self) {
        while let Some(queue) = self.ground.to_look_at.pop() {
            if let Some(queue) = self.queues.get_mut(queue) {
                queue.look_at_held(&mut self.ground);
            }
        }
    }

    /// A receiver has let a lease run out of what its application has.
    pub(super) fn trust(&mut self, (queue, waiter): Bearer) {
        if let Some(queue) = self.queues.get_mut(queue) {
            queue.trust(waiter);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Message, Sender};
    use crate::name::Name;
    use crate::router::session::Handle;
    use crate::router::{
        Command, ConsumeOptions, Identity, OpenMode, QueueOptions, RouterConfig, SessionEnd,
        SessionId,
    };
    use crate::time::Time;

    const SUSPECTS: u32 = 200;

    fn join(router: &mut Router) -> SessionId {
        let identity =
            Identity { sender: Sender::default(), groups: Vec::new(), admin: true, system: false };
        let session = router.open_session(Time::ZERO, identity, Duration::ZERO).expect("a session");
        let (name, open) = (Name::new("jobs").expect("a name"), OpenMode::OpenOrCreate);
        let options = QueueOptions::default();
        let command = Command::OpenQueue { request: 0, channel: 0, name, open, options };
        router.handle(Time::ZERO, session, command);
        session
    }

    fn consume(router: &mut Router, session: SessionId, channel: u32, credit: u32) {
        let options = ConsumeOptions { credit, ..ConsumeOptions::default() };
        let command = Command::Consume { request: 0, channel, queue: 0, options };
        router.handle(Time::ZERO, session, command);
    }

    fn send(router: &mut Router, session: SessionId, count: u32) {
        for _ in 0..count {
            let message = Message::new(MessageType::ONE, Vec::new());
            let command = Command::Send { channel: 0, ticket: 1, message, no_wait: false };
            router.handle(Time::ZERO, session, command);
        }
    }

    /// So many receivers are held back by many suspects, which one frame of another one, that is
    /// trusted, takes together: how many have been looked at by then, and after a while.
    fn looks(count: u32) -> (u64, u64) {
        let mut router = Router::new(RouterConfig::default());
        let (held, lost) = (join(&mut router), join(&mut router));
        (1..=count).for_each(|channel| consume(&mut router, held, channel, 1));
        send(&mut router, held, count);
        consume(&mut router, lost, 1, SUSPECTS);
        send(&mut router, held, SUSPECTS);
        (1..=count).for_each(|channel| consume(&mut router, held, channel, 2));
        consume(&mut router, held, count + 1, 0);
        router.close_session(Time::ZERO, lost, SessionEnd::Lost);
        let (id, queue) = router.queues.iter().next().expect("a queue");
        assert_eq!((queue.held.len(), queue.shelf.len()), (count as usize, SUSPECTS as usize));
        let Ok(Handle::Waiter { waiter, .. }) = router.ground.handle(held, count + 1) else {
            panic!("a receiver is on its channel")
        };
        let waiter = *waiter;
        router.trust((id, waiter));
        consume(&mut router, held, count + 1, SUSPECTS);
        let looked_at = |router: &Router| router.queues.get(id).map_or(0, |queue| queue.looked_at);
        let at_once = looked_at(&router);
        router.advance(Time::ZERO.after(LOOK_PAUSE * count));
        let queue = router.queues.get(id).expect("it stays");
        assert_eq!((queue.shelf.len(), queue.line.len()), (0, count as usize));
        (at_once, looked_at(&router))
    }

    #[test]
    fn a_frame_that_takes_many_suspects_looks_once_at_few_and_later_at_many() {
        assert_eq!(looks(64), (64, 64));
        assert_eq!(looks(1000), (0, 1000));
    }
}
