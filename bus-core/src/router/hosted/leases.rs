//! Deliveries of hosted queues: what is done with them here goes home, which settles it.
//!
//! A delivery that is acknowledged, given back or rejected is out no longer, whatever home says;
//! home's answer goes to whoever asked. One whose home has forgotten it is stale.

use std::collections::BTreeMap;

use crate::arena::Id;
use crate::error::{ErrorKind, Failure};
use crate::limits::{HOSTED_LEASES_TOLD_MAX, HOSTED_REQUESTS_MAX};
use crate::router::command::{Lease, RequestId};
use crate::router::fault::Fault;
use crate::router::ground::Ground;
use crate::router::leases::Leases;
use crate::router::queue::Queue;
use crate::router::session::Session;
use crate::router::settle::{Bearer, Ended};
use crate::router::untaken::Range;
use crate::router::{Output, Router};
use crate::runs::{Run, Runs};

use super::{Forsaken, HostedAsk, Hosting};

impl Hosting {
    /// Notes deliveries that are out here, with numbers that follow each other on both sides.
    pub(super) fn note_out(&mut self, session: Id<Session>, first: Lease, home: Lease, count: u64) {
        self.by_home.insert(Run { of: (), first: home, to: session, at: first, count });
        self.by_local.insert(Run { of: session, first, to: (), at: home, count });
    }

    /// Whether any of so many deliveries, by their numbers at home, is out here, or is acknowledged and
    /// home has not answered: such a number means something already.
    pub(super) fn has_lease(&self, first: Lease, count: u64) -> bool {
        self.by_home.has_any((), first, count) || self.acks.has_any((), first, count)
    }

    /// Deliveries are out no longer: those that home knows, with their numbers there.
    fn forget(
        &mut self,
        session: Id<Session>,
        first: Lease,
        count: u64,
    ) -> Vec<Run<Id<Session>, ()>> {
        let known = self.by_local.take(session, first, count);
        for run in &known {
            self.by_home.take((), run.at, run.count);
        }
        known
    }

    /// A number for a request, which nobody has.
    pub(super) fn request_of(&mut self, session: Id<Session>, request: RequestId) -> RequestId {
        loop {
            self.next_request = self.next_request % (RequestId::MAX / 2) + 1;
            if !self.requests.contains_key(&self.next_request) {
                self.requests.insert(self.next_request, (session, request));
                return self.next_request;
            }
        }
    }

    /// Says something about leases by their numbers at home, of so many at a time as may be named.
    fn ask_about(
        &self,
        ground: &mut Ground,
        leases: &Runs<(), ()>,
        make: impl Fn(Lease, u32) -> HostedAsk,
    ) {
        for Run { mut first, count, .. } in leases.iter() {
            let end = first + count;
            while first < end {
                // No more than the limit, which has 32 bits.
                let some = (end - first).min(HOSTED_LEASES_TOLD_MAX as u64);
                self.ask(ground, make(first, some as u32));
                first += some;
            }
        }
    }
}

impl Router {
    /// The hosted queue that a delivery is of.
    pub(in crate::router) fn hosted_of(
        &self,
        session: Id<Session>,
        lease: Lease,
    ) -> Option<Id<Queue>> {
        if self.ground.hosted == 0 {
            return None;
        }
        let queue = self.ground.sessions.get(session)?.leases.get(lease)?.queue;
        self.queues.get(queue)?.hosted.as_ref().map(|_| queue)
    }

    fn hosting(&mut self, id: Id<Queue>) -> Option<&mut Hosting> {
        self.queues.get_mut(id)?.hosted.as_deref_mut()
    }

    /// These deliveries are with the application. Those that are acknowledged by that, are out no
    /// longer.
    pub(in crate::router) fn hosted_taken(
        &mut self,
        session: Id<Session>,
        id: Id<Queue>,
        first: Lease,
        count: u64,
    ) {
        let (mut lease, end, mut homes) = (first, first + count, Runs::default());
        while lease < end {
            let Some(entry) = self.ground.sessions.get_mut(session) else { return };
            let Some(leased) = entry.leases.get(lease) else {
                lease += 1;
                continue;
            };
            let (known, count) = match leased.auto_ack {
                true => {
                    let count = self.end_hosted(session, lease, end - lease);
                    let Some(queue) = self.queues.get_mut(id) else { return };
                    queue.counters.acked += count;
                    let Some(hosting) = &mut queue.hosted else { return };
                    (hosting.forget(session, lease, count), count)
                }
                false => {
                    let count = take_some(&mut entry.leases, lease, end - lease);
                    let Some(hosting) = self.hosting(id) else { return };
                    (hosting.by_local.among(session, lease, count), count)
                }
            };
            note_homes(&mut homes, &known);
            lease += count;
        }
        let Router { ground, queues, .. } = self;
        if let Some(hosting) = queues.get(id).and_then(|queue| queue.hosted.as_ref()) {
            hosting.ask_about(ground, &homes, |first, count| HostedAsk::Taken { first, count });
        }
    }

    /// Takes deliveries from this one on, which is of a hosted queue, off their session's list:
    /// how many, at most so many.
    fn end_hosted(&mut self, session: Id<Session>, first: Lease, count: u64) -> u64 {
        match self.end_batch(session, first, count) {
            Some((_, count)) => count,
            None => {
                self.end_lease(session, first);
                1
            }
        }
    }

    /// Acknowledges deliveries of a hosted queue from this one on, as many as are of it. The first
    /// one that is not.
    pub(in crate::router) fn ack_hosted(
        &mut self,
        session: Id<Session>,
        id: Id<Queue>,
        first: Lease,
        end: Lease,
    ) -> Lease {
        let (mut lease, mut homes) = (first, Runs::default());
        while lease < end && self.hosted_of(session, lease) == Some(id) {
            let count = self.end_hosted(session, lease, end - lease);
            let early = self.ground.planted(Fault::HostedAckEarly);
            let Some(hosting) = self.hosting(id) else { break };
            let known = hosting.forget(session, lease, count);
            if !early {
                let ack = |run: &Run<_, _>| Run {
                    of: (),
                    first: run.at,
                    to: run.of,
                    at: run.first,
                    count: run.count,
                };
                known.iter().for_each(|run| hosting.acks.insert(ack(run)));
            }
            note_homes(&mut homes, &known);
            self.answer_at_once(session, (lease, count), &known, early);
            lease += count;
        }
        let Router { ground, queues, .. } = self;
        if let Some(hosting) = queues.get(id).and_then(|queue| queue.hosted.as_ref()) {
            hosting.ask_about(ground, &homes, |first, count| HostedAsk::Ack { first, count });
        }
        lease
    }

    /// Answers acknowledgements that home need not be asked about: those of deliveries that it has
    /// forgotten.
    fn answer_at_once(
        &mut self,
        session: Id<Session>,
        (first, count): Range,
        known: &[Run<Id<Session>, ()>],
        early: bool,
    ) {
        let mut next = first;
        let end = Run { of: session, first: first + count, to: (), at: 0, count: 0 };
        for run in known.iter().chain([&end]) {
            for lease in next..run.first {
                let failure = self.stale(session, lease);
                self.ground.tell(session, Output::Unsettled { lease, failure });
            }
            if early && run.count > 0 {
                // No more than the command names, which has 32 bits.
                let count = run.count as u32;
                self.ground.tell(session, Output::Settled { first: run.first, count });
            }
            next = run.first + run.count;
        }
    }

    /// Asks home to do something with a delivery, and answers the request when home has. With
    /// `ends` the delivery is out no longer.
    pub(in crate::router) fn ask_of_lease(
        &mut self,
        session: Id<Session>,
        request: RequestId,
        lease: Lease,
        (id, ends): (Id<Queue>, bool),
        make: impl FnOnce(RequestId, Lease) -> HostedAsk,
    ) {
        let known = self.hosting(id).and_then(|it| it.by_local.get(session, lease));
        let Some(((), home)) = known else {
            let failure = self.stale(session, lease);
            self.end_lease(session, lease);
            return self.ground.reply(session, request, Err(failure));
        };
        if !ends && let Err(failure) = self.check_hosted_requests(session, id) {
            return self.ground.reply(session, request, Err(failure));
        }
        if ends {
            self.end_lease(session, lease);
        }
        let Router { ground, queues, .. } = self;
        let Some(hosting) = queues.get_mut(id).and_then(|queue| queue.hosted.as_deref_mut()) else {
            return;
        };
        if ends {
            hosting.forget(session, lease, 1);
        }
        let number = hosting.request_of(session, request);
        hosting.ask(ground, make(number, home));
    }

    /// Whether a session may ask the home of a queue one thing more.
    pub(super) fn check_hosted_requests(
        &self,
        session: Id<Session>,
        id: Id<Queue>,
    ) -> Result<(), Failure> {
        let Some(queue) = self.queues.get(id) else { return Ok(()) };
        let Some(hosting) = &queue.hosted else { return Ok(()) };
        let mine = hosting.requests.values().filter(|(of, _)| *of == session).count();
        if mine < HOSTED_REQUESTS_MAX {
            return Ok(());
        }
        let text = format!(
            "queue `{}` lives at another broker, which has {mine} requests of this session to answer: wait for some",
            queue.name
        );
        Err(Failure::new(ErrorKind::QuotaExceeded, text))
    }

    /// Deliveries that somebody had through this session, and who is gone, go back. If he was lost,
    /// of a receiver that had one delivery that one counts, as at the end of a session; which of
    /// them have run out before is known here only.
    pub(in crate::router) fn forsake(&mut self, session: Id<Session>, forsaken: &Forsaken) {
        let Forsaken { unmarked, marked, suspect } = forsaken;
        let mut counts: BTreeMap<Bearer, u64> = BTreeMap::new();
        for lease in unmarked.iter().chain(marked) {
            if let Some(bearer) = self.bearer_of(session, *lease) {
                *counts.entry(bearer).or_default() += 1;
            }
        }
        let alone = |lease| {
            let bearer = self.bearer_of(session, lease);
            *suspect && bearer.is_some_and(|bearer| counts.get(&bearer) == Some(&1))
        };
        let ended = |lease: &Lease, marked| {
            let marked = marked || alone(*lease);
            Ended { session, lease: *lease, marked, suspect: *suspect }
        };
        let unmarked = unmarked.iter().map(|lease| ended(lease, false));
        let marked = marked.iter().map(|lease| ended(lease, true));
        let all: Vec<_> = unmarked.chain(marked).collect();
        self.put_back_all(&all);
    }

    /// Gives the home of hosted queues back what ends without a word of the application; the
    /// others are given back to the caller.
    pub(in crate::router) fn return_home(&mut self, ended: &[Ended]) -> Vec<Ended> {
        if self.ground.hosted == 0 {
            return ended.to_vec();
        }
        let (mut rest, mut back) = (Vec::new(), BTreeMap::<_, Vec<(Lease, bool)>>::new());
        for one in ended {
            let Ended { session, lease, marked, suspect } = *one;
            let Some(id) = self.hosted_of(session, lease) else {
                rest.push(*one);
                continue;
            };
            self.end_lease(session, lease);
            let Some(hosting) = self.hosting(id) else { continue };
            let home = hosting.forget(session, lease, 1).into_iter().map(|run| (run.at, marked));
            back.entry((id, suspect)).or_default().extend(home);
        }
        let Router { ground, queues, .. } = self;
        if ground.planted(Fault::HostedKeepsLeases) {
            return rest;
        }
        for ((id, suspect), leases) in back {
            let Some(hosting) = queues.get(id).and_then(|queue| queue.hosted.as_ref()) else {
                continue;
            };
            for leases in leases.chunks(HOSTED_LEASES_TOLD_MAX) {
                hosting.ask(ground, HostedAsk::Return(Forsaken::of(leases, suspect)));
            }
        }
        rest
    }
}

impl Queue {
    /// Home asks for a delivery that nobody may have looked at.
    pub(super) fn hosted_recall(&self, ground: &mut Ground, home: Lease) {
        let Some(hosting) = &self.hosted else { return };
        let Some((session, lease)) = hosting.by_home.get((), home) else { return };
        let entry = ground.sessions.get(session);
        let untaken = entry.and_then(|entry| entry.leases.get(lease)).is_some_and(|it| !it.taken);
        if untaken {
            ground.tell(session, Output::Recall { lease });
        }
    }

    /// Home has settled these.
    pub(super) fn hosted_settled(&mut self, ground: &mut Ground, first: Lease, count: u32) {
        let Some(hosting) = &mut self.hosted else { return };
        // By those that were asked for: the count is a peer's word.
        for run in hosting.acks.take((), first, u64::from(count)) {
            self.counters.acked += run.count;
            // No more than was said, which has 32 bits.
            ground.tell(run.to, Output::Settled { first: run.at, count: run.count as u32 });
        }
    }

    /// Home could not settle this one.
    pub(super) fn hosted_unsettled(&mut self, ground: &mut Ground, home: Lease, failure: Failure) {
        let Some(hosting) = &mut self.hosted else { return };
        for run in hosting.acks.take((), home, 1) {
            let failure = failure.clone();
            ground.tell(run.to, Output::Unsettled { lease: run.at, failure });
        }
    }
}

/// Notes that deliveries from this one on, which is there, are with the application: how many, at
/// most so many.
fn take_some(leases: &mut Leases, first: Lease, count: u64) -> u64 {
    if let Some((count, part)) = leases.part_of_batch(first, count) {
        part.taken = true;
        return count;
    }
    if let Some(leased) = leases.get_mut(first) {
        leased.taken = true;
    }
    1
}

/// Adds numbers at home, neighbours as one.
fn note_homes(homes: &mut Runs<(), ()>, known: &[Run<Id<Session>, ()>]) {
    for Run { at, count, .. } in known {
        homes.insert(Run { of: (), first: *at, to: (), at: *at, count: *count });
    }
}
