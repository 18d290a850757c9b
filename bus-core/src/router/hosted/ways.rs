//! The way on which a hosted queue comes: whoever hosts it further on is told when it changes, and
//! one that would come from where it is hosted is refused.
//!
//! A way that is told late could close a circle that nobody sees. Invariant: while a way is refused,
//! everybody who uses the queue has that for an answer, at once and whatever he asks.

use std::collections::BTreeSet;

use crate::arena::Id;
use crate::error::Failure;
use crate::limits::HOSTED_LINGER;
use crate::name::Name;
use crate::router::command::Channel;
use crate::router::ground::Ground;
use crate::router::provenance::Epoch;
use crate::router::queue::Queue;
use crate::router::session::{Handle, Session};
use crate::router::timer::Timer;
use crate::router::{Output, Router};

/// Channels on which bridges have a queue open, to have it hosted further on.
pub(super) type Openers = BTreeSet<(Id<Session>, Channel)>;

impl Router {
    /// The brokers between the home of a queue and whoever hosts it further on, who has opened it on
    /// this channel, and is told when they are others.
    pub(super) fn way_on(&mut self, session: Id<Session>, channel: Channel) -> Vec<Epoch> {
        let mut hops = Vec::new();
        let queue = match self.ground.handle(session, channel) {
            Ok(Handle::Queue { queue, .. }) => Some(*queue),
            _ => None,
        };
        if let Some(id) = queue
            && let Some(hosting) = self.queues.get_mut(id).and_then(|it| it.hosted.as_mut())
        {
            hops.clone_from(&hosting.hops);
            let ground = &self.ground;
            hosting.openers.retain(|opener| has_open(ground, *opener, id));
            hosting.openers.insert((session, channel));
        }
        hops.push(self.config.epoch);
        hops
    }

    /// Tells whoever hosts a queue further on which way it comes now.
    pub(super) fn tell_way(&mut self, id: Id<Queue>) {
        let hosted = self.queues.get_mut(id).and_then(|queue| queue.hosted.as_mut());
        let Some(hosting) = hosted.filter(|hosting| !hosting.hops.is_empty()) else { return };
        let mut hops = hosting.hops.clone();
        hops.push(self.config.epoch);
        let openers: Vec<_> = hosting.openers.iter().copied().collect();
        for (session, channel) in openers {
            if has_open(&self.ground, (session, channel), id) {
                let hops = hops.clone();
                self.ground.tell(session, Output::HomeWay { channel, hops });
            }
        }
    }

    /// A queue is not hosted on the way on which it would come. If there is one of its name which
    /// nobody hosts, everybody who waits at it is told; so it stays for as long as somebody tries.
    pub(super) fn refuse_way(&mut self, name: &Name, failure: &Failure) {
        let Router { ground, queues, queue_names, .. } = self;
        let Some(id) = queue_names.get(name).copied() else { return };
        let Some(queue) = queues.get_mut(id) else { return };
        let Some(hosting) = queue.hosted.as_mut().filter(|hosting| hosting.host.is_none()) else {
            return;
        };
        hosting.refused = Some(failure.clone());
        let until = ground.now.after(HOSTED_LINGER);
        if let Some(before) = hosting.linger_until.replace(until) {
            ground.timers.clear(before, Timer::Linger(id));
        }
        ground.timers.set(until, Timer::Linger(id));
        queue.end_all_who_wait(ground, failure);
    }
}

impl Queue {
    /// Fails while the way on which it would come is refused.
    pub(super) fn check_way(&self) -> Result<(), Failure> {
        let refused = self.hosted.as_ref().and_then(|hosting| hosting.refused.clone());
        refused.map_or(Ok(()), Err)
    }

    fn end_all_who_wait(&mut self, ground: &mut Ground, failure: &Failure) {
        let mut receivers: Vec<_> = self.waiters.iter().map(|(id, _)| id).collect();
        receivers.sort_by_key(|id| id.serial());
        for id in receivers {
            self.end_hosted_waiter(ground, id, failure.clone());
        }
        while let Some(blocked) = self.blocked.first().and_then(|at| self.unblock(ground, at)) {
            ground.verdict(blocked.session, blocked.ticket, Err(failure.clone()));
        }
    }
}

/// Whether this is still the channel that has the queue open.
fn has_open(ground: &Ground, (session, channel): (Id<Session>, Channel), id: Id<Queue>) -> bool {
    matches!(ground.handle(session, channel), Ok(Handle::Queue { queue, .. }) if *queue == id)
}
