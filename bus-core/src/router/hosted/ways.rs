//! The way on which a hosted queue comes: whoever hosts it further on is told when it changes, and
//! one that would come from where it is hosted is refused.
//!
//! A way that is told late could close a circle that nobody sees. Invariant: while a way is refused,
//! everybody who uses the queue has that for an answer, at once and whatever he asks.

use std::collections::BTreeSet;

use crate::arena::Id;
use crate::error::{ErrorKind, Failure};
use crate::limits::HOSTED_LINGER;
use crate::name::Name;
use crate::router::command::Channel;
use crate::router::ground::Ground;
use crate::router::provenance::Epoch;
use crate::router::queue::Queue;
use crate::router::session::{Handle, Session};
use crate::router::timer::Timer;
use crate::router::{Output, Router};

/// A channel on which a bridge has a queue open, to have it hosted further on.
type Opener = (Id<Session>, Channel);

/// Openers of a queue. Those that have closed it are looked for when there are twice as many as were
/// left the last time: each one that comes pays for looking at a few, however many there are.
#[derive(Debug, Default)]
pub(super) struct Openers {
    all: BTreeSet<Opener>,
    /// How many were left.
    left: usize,
}

impl Openers {
    /// Adds one; those that do not have the queue open any more may go.
    fn add(&mut self, opener: Opener, has_open: impl FnMut(&Opener) -> bool) {
        if self.all.len() >= 2 * self.left.max(OPENERS_FEW) {
            self.all.retain(has_open);
            self.left = self.all.len();
        }
        self.all.insert(opener);
    }
}

/// So many are not worth looking through.
const OPENERS_FEW: usize = 8;

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
            hosting.openers.add((session, channel), |opener| has_open(ground, *opener, id));
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
        let openers: Vec<_> = hosting.openers.all.iter().copied().collect();
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
    /// Fails while the way on which it would come is refused, or its home does not give it. Where there
    /// only was none at home a moment ago, whoever can wait does so until home has been asked again.
    pub(super) fn check_way(&self) -> Result<(), Failure> {
        let Some(hosting) = &self.hosted else { return Ok(()) };
        let denied = hosting.denied.as_ref().filter(|why| why.kind() != ErrorKind::NotFound);
        let refused = hosting.refused.as_ref().or(denied);
        refused.map_or(Ok(()), |failure| Err(failure.clone()))
    }

    pub(super) fn end_all_who_wait(&mut self, ground: &mut Ground, failure: &Failure) {
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Adds so many of which each is open while it is among the last `open`. How many were looked at,
    /// and the most that there were at a time.
    fn come_and_go(count: u32, open: u32) -> (u32, usize) {
        let (mut openers, mut looked_at, mut most) = (Openers::default(), 0, 0);
        for channel in 0..count {
            openers.add((Id::of_none(1), channel), |(_, other)| {
                looked_at += 1;
                channel - *other < open
            });
            most = most.max(openers.all.len());
        }
        let last: Vec<Channel> = openers.all.iter().map(|(_, channel)| *channel).collect();
        assert!(last.ends_with(&Vec::from_iter(count.saturating_sub(open)..count)), "one is lost");
        (looked_at, most)
    }

    #[test]
    fn openers_are_looked_through_a_few_times_each_and_those_that_are_gone_go() {
        let (looked_at, most) = come_and_go(10_000, 10_000);
        assert!(looked_at < 2 * 10_000, "{looked_at} looks for 10,000 that stay");
        assert_eq!(most, 10_000);
        let (looked_at, most) = come_and_go(10_000, 5);
        assert!(looked_at < 2 * 10_000, "{looked_at} looks for 10,000 that go");
        assert!(most <= 2 * OPENERS_FEW, "{most} are kept for 5");
    }
}
