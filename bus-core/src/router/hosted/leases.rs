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
use crate::router::queue::Queue;
use crate::router::session::Session;
use crate::router::settle::{Bearer, Ended};
use crate::router::{Output, Router};

use super::{Forsaken, HostedAsk, Hosting};

impl Hosting {
    /// A delivery is out no longer: its number at home, if home knows it.
    fn forget(&mut self, session: Id<Session>, lease: Lease) -> Option<Lease> {
        let home = self.by_local.remove(&(session, lease))?;
        self.by_home.remove(&home);
        Some(home)
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

    /// Says something about leases, as many at a time as a frame bears.
    fn ask_about(
        &self,
        ground: &mut Ground,
        leases: &[Lease],
        make: impl Fn(Vec<Lease>) -> HostedAsk,
    ) {
        for leases in leases.chunks(HOSTED_LEASES_TOLD_MAX) {
            self.ask(ground, make(leases.to_vec()));
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
        let mut homes = Vec::new();
        for lease in first..first + count {
            let Some(entry) = self.ground.sessions.get_mut(session) else { return };
            let Some(leased) = entry.leases.get_mut(lease) else { continue };
            leased.taken = true;
            let auto_ack = leased.auto_ack;
            let Some(hosting) = self.hosting(id) else { return };
            if !auto_ack {
                homes.extend(hosting.by_local.get(&(session, lease)));
                continue;
            }
            homes.extend(hosting.forget(session, lease));
            self.end_lease(session, lease);
            if let Some(queue) = self.queues.get_mut(id) {
                queue.counters.acked += 1;
            }
        }
        let Router { ground, queues, .. } = self;
        if let Some(hosting) = queues.get(id).and_then(|queue| queue.hosted.as_ref()) {
            hosting.ask_about(ground, &homes, |leases| HostedAsk::Taken { leases });
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
        let (mut lease, mut homes) = (first, Vec::new());
        while lease < end && self.hosted_of(session, lease) == Some(id) {
            self.end_lease(session, lease);
            let early = self.ground.planted(Fault::HostedAckEarly);
            let Some(hosting) = self.hosting(id) else { break };
            match hosting.forget(session, lease) {
                Some(home) if early => {
                    homes.push(home);
                    self.ground.tell(session, Output::Settled { first: lease, count: 1 });
                }
                Some(home) => {
                    hosting.acks.insert(home, (session, lease));
                    homes.push(home);
                }
                None => {
                    let failure = self.stale(session, lease);
                    self.ground.tell(session, Output::Unsettled { lease, failure });
                }
            }
            lease += 1;
        }
        let Router { ground, queues, .. } = self;
        if let Some(hosting) = queues.get(id).and_then(|queue| queue.hosted.as_ref()) {
            hosting.ask_about(ground, &homes, |leases| HostedAsk::Ack { leases });
        }
        lease
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
        let known = self.hosting(id).and_then(|it| it.by_local.get(&(session, lease)).copied());
        let Some(home) = known else {
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
            hosting.forget(session, lease);
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
            let home = self.hosting(id).and_then(|hosting| hosting.forget(session, lease));
            back.entry((id, suspect)).or_default().extend(home.map(|home| (home, marked)));
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
        let Some((session, lease)) = hosting.by_home.get(&home).copied() else { return };
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
        let end = first.saturating_add(u64::from(count));
        let homes: Vec<Lease> = hosting.acks.range(first..end).map(|(home, _)| *home).collect();
        for home in homes {
            if let Some((session, lease)) = hosting.acks.remove(&home) {
                self.counters.acked += 1;
                ground.tell(session, Output::Settled { first: lease, count: 1 });
            }
        }
    }

    /// Home could not settle this one.
    pub(super) fn hosted_unsettled(&mut self, ground: &mut Ground, home: Lease, failure: Failure) {
        let Some(hosting) = &mut self.hosted else { return };
        if let Some((session, lease)) = hosting.acks.remove(&home) {
            ground.tell(session, Output::Unsettled { lease, failure });
        }
    }
}
