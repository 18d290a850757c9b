//! The life of a lease after its delivery: taken, settled, returned, expired, recalled.
//!
//! Every way out of a lease goes through `end_lease` or `end_batch`, which give the credit back.

use std::time::Duration;

use crate::arena::Id;
use crate::error::{ErrorKind, Failure};
use crate::limits::CHANNELS_MAX;

use super::Router;
use super::command::{Channel, Lease, RequestId};
use super::effect::Answer;
use super::fault::Fault;
use super::ground::DeadLetter;
use super::hosted::HostedAsk;
use super::lease::{LeaseView, Leased, Stored};
use super::queue::Queue;
use super::session::{Handle, Session};
use super::untaken::Range;
use super::waiter::Waiter;

/// The queue of a lease, and the receiver that bore it.
pub(super) type Bearer = (Id<Queue>, Id<Waiter>);

/// A lease that ends without a word of the application: its message goes back.
#[derive(Clone, Copy)]
pub(super) struct Ended {
    pub session: Id<Session>,
    pub lease: Lease,
    /// The delivery counts.
    pub marked: bool,
    /// Its session was lost: the message may be what has killed it.
    pub suspect: bool,
}

impl Router {
    /// Leases up to `lease` that the channel bore are with the application: clocks start.
    pub(super) fn taken(&mut self, session: Id<Session>, channel: Channel, lease: Lease) {
        let Some(entry) = self.ground.sessions.get(session) else { return };
        let found = match entry.leases.get(lease) {
            Some(leased) => Some((leased.queue, leased.waiter)),
            None => match entry.handle(channel) {
                Some(Handle::Waiter { queue, waiter }) => Some((*queue, *waiter)),
                _ => None,
            },
        };
        let Some((queue, waiter)) = found else { return };
        let untaken =
            match self.queues.get_mut(queue).and_then(|queue| queue.waiters.get_mut(waiter)) {
                Some(waiter) => waiter.untaken.take_upto(lease),
                // A receive ends with its delivery.
                None if channel == CHANNELS_MAX - 1 => vec![(lease, 1)],
                None => self.untaken_of(session, queue, waiter, lease),
            };
        for (first, count) in untaken {
            self.start_leases(session, first, count);
        }
    }

    /// The clocks of these leases start; those that are acknowledged when they are taken, end.
    fn start_leases(&mut self, session: Id<Session>, first: Lease, count: u64) {
        if let Some(queue) = self.hosted_of(session, first) {
            return self.hosted_taken(session, queue, first, count);
        }
        let Some(entry) = self.ground.sessions.get(session) else { return };
        if entry.leases.get(first).is_some_and(|leased| leased.auto_ack) {
            // All are of one receiver, and no more than its credit, which has 32 bits.
            return self.ack(session, first, count as u32, false);
        }
        let (mut lease, end) = (first, first + count);
        while lease < end {
            match self.start_batch(session, lease, end - lease) {
                0 => {
                    self.start_lease(session, lease);
                    lease += 1;
                }
                started => lease += started,
            }
        }
    }

    fn start_lease(&mut self, session: Id<Session>, lease: Lease) {
        let Some(entry) = self.ground.sessions.get_mut(session) else { return };
        let Some(leased) = entry.leases.get_mut(lease) else { return };
        let Some(queue) = self.queues.get_mut(leased.queue) else { return };
        let deadline = self.ground.now.after(queue.options.lease);
        leased.taken = true;
        leased.stored.recalled = false;
        leased.deadline = Some(deadline);
        let (recaller, bearer) = (leased.recalled_for.take(), leased.waiter);
        self.ground.check_leases_at(session, deadline);
        if queue.waiters.get(bearer).is_some_and(|waiter| waiter.suspect == Some(lease)) {
            queue.begin_caution(&mut self.ground, bearer);
        }
        if let Some(recaller) = recaller {
            queue.recall_answered(&mut self.ground, recaller);
        }
    }

    pub(super) fn nack(
        &mut self,
        session: Id<Session>,
        request: RequestId,
        lease: Lease,
        delay: Duration,
    ) {
        if let Some(queue) = self.hosted_of(session, lease) {
            return self.ask_of_lease(session, request, lease, (queue, true), |request, lease| {
                HostedAsk::Nack { request, lease, delay }
            });
        }
        let result = match self.end_lease(session, lease) {
            Some((leased, queue)) => {
                let stored = Stored { recalled: false, suspect: false, ..leased.stored.clone() };
                self.put_back(queue, stored, true, delay);
                self.serve_again(&leased);
                Ok(Answer::Done { count: 1 })
            }
            None => Err(self.stale(session, lease)),
        };
        self.ground.reply(session, request, result);
    }

    pub(super) fn extend(
        &mut self,
        session: Id<Session>,
        request: RequestId,
        lease: Lease,
        by: Duration,
    ) {
        if let Some(queue) = self.hosted_of(session, lease) {
            return self.ask_of_lease(session, request, lease, (queue, false), |request, lease| {
                HostedAsk::Extend { request, lease, by }
            });
        }
        let now = self.ground.now;
        let queues = &self.queues;
        let leased =
            self.ground.sessions.get_mut(session).and_then(|entry| entry.leases.get_mut(lease));
        let result = match leased.filter(|leased| queues.get(leased.queue).is_some()) {
            Some(leased) => {
                let deadline = now.after(by);
                leased.deadline = Some(deadline);
                self.ground.check_leases_at(session, deadline);
                Ok(Answer::Done { count: 1 })
            }
            None => Err(self.stale(session, lease)),
        };
        self.ground.reply(session, request, result);
    }

    pub(super) fn reject(
        &mut self,
        session: Id<Session>,
        request: RequestId,
        lease: Lease,
        reason: String,
    ) {
        if let Some(queue) = self.hosted_of(session, lease) {
            return self.ask_of_lease(session, request, lease, (queue, true), |request, lease| {
                HostedAsk::Reject { request, lease, reason }
            });
        }
        let result = match self.end_lease(session, lease) {
            Some((leased, from)) => {
                let stored = leased.stored.clone();
                self.ground.dead.push(DeadLetter { from, stored, reason });
                self.serve_again(&leased);
                Ok(Answer::Done { count: 1 })
            }
            None => Err(self.stale(session, lease)),
        };
        self.ground.reply(session, request, result);
    }

    /// Deliveries that nobody has looked at go back, unmarked.
    pub(super) fn give_back(&mut self, session: Id<Session>, leases: &[Lease]) {
        if self.ground.planted(Fault::CancelEatsMessage) {
            for lease in leases {
                self.end_lease(session, *lease);
            }
            return;
        }
        let (marked, suspect) = (false, false);
        let ended = leases.iter().map(|lease| Ended { session, lease: *lease, marked, suspect });
        let ended: Vec<_> = ended.collect();
        self.put_back_all(&ended);
    }

    /// Ends leases at once: all messages go back, oldest first, before anybody is served, so that
    /// a receiver gets the oldest whatever the order of the leases.
    pub(super) fn put_back_all(&mut self, ended: &[Ended]) {
        let ended = &self.return_home(ended)[..];
        let mut back = Vec::with_capacity(ended.len());
        for Ended { session, lease, marked, suspect } in ended {
            let Some((mut leased, queue)) = self.end_lease(*session, *lease) else { continue };
            leased.stored.suspect |= suspect;
            // Whoever has not looked at it stands behind those who ask for it.
            if let Some(queue) = self.queues.get_mut(queue)
                && !leased.taken
            {
                queue.step_back(leased.waiter);
                leased.stored.recalled |= leased.recalled_for.is_some();
            }
            back.push((leased, *marked));
        }
        back.sort_by_key(|(leased, _)| (leased.queue, leased.stored.arrival));
        for (leased, marked) in &back {
            self.put_back(leased.queue, leased.stored.clone(), *marked, Duration::ZERO);
        }
        for (leased, _) in &back {
            self.serve_again(leased);
        }
    }

    /// Ends the leases whose time is over, of this session and of all others, and sets the
    /// clock for the rest.
    pub(super) fn expire_leases(&mut self, session: Id<Session>) {
        let now = self.ground.now;
        let mut sessions = self.ground.timers.pop_leases(now);
        sessions.insert(0, session);
        let (mut expired, mut overdue) = (Vec::new(), Vec::new());
        for session in &sessions {
            let Some(entry) = self.ground.sessions.get_mut(*session) else { continue };
            entry.lease_check = None;
            let due = |leased: &LeaseView| leased.deadline.is_some_and(|deadline| deadline <= now);
            let over = entry.leases.iter().filter(|(_, leased)| due(leased));
            for (lease, leased) in over {
                let (session, marked, suspect) = (*session, true, false);
                expired.push(Ended { session, lease, marked, suspect });
                if leased.taken {
                    overdue.push((leased.queue, leased.waiter));
                }
            }
        }
        for bearer in overdue {
            self.trust(bearer);
        }
        self.put_back_all(&expired);
        for session in sessions {
            let Some(entry) = self.ground.sessions.get(session) else { continue };
            let deadlines = entry.leases.iter().filter_map(|(_, leased)| leased.deadline);
            if let Some(next) = deadlines.min() {
                self.ground.check_leases_at(session, next);
            }
        }
    }

    /// Puts a message back at its place: for whoever waits, else on the shelf. A marked one
    /// counts the delivery, and dies of too many.
    pub(super) fn put_back(
        &mut self,
        from: Id<Queue>,
        mut stored: Stored,
        marked: bool,
        delay: Duration,
    ) {
        let Some(queue) = self.queues.get_mut(from) else { return };
        if marked {
            stored.attempt += 1;
            if stored.attempt >= queue.options.deliveries_max {
                let reason =
                    format!("delivered {} times without being acknowledged", stored.attempt);
                return self.ground.dead.push(DeadLetter { from, stored, reason });
            }
        }
        if !delay.is_zero() {
            return queue.delay(&mut self.ground, stored, delay);
        }
        if let Some(stored) = queue.match_arrival(&mut self.ground, stored) {
            queue.put(&self.ground, stored);
        }
    }

    /// Takes a lease from its session, and gives its credit back. The receiver is not served
    /// yet: what was leased may have to find its place first.
    pub(super) fn end_lease(
        &mut self,
        session: Id<Session>,
        lease: Lease,
    ) -> Option<(Leased, Id<Queue>)> {
        let entry = self.ground.sessions.get_mut(session)?;
        let leased = entry.leases.remove(lease)?;
        let (id, cost) = (leased.queue, leased.stored.message.cost());
        self.note_ended(session, (id, leased.waiter), (lease, 1), cost);
        self.queues.get(id)?;
        Some((leased, id))
    }

    /// Gives credit back for leases that are off their session's list, and cost so much.
    pub(super) fn note_ended(
        &mut self,
        session: Id<Session>,
        bearer: Bearer,
        leases: Range,
        cost: u64,
    ) {
        let ((id, waiter), (first, count)) = (bearer, leases);
        let Some(entry) = self.ground.sessions.get_mut(session) else { return };
        entry.leased_bytes -= cost;
        entry.forget_untaken(bearer, first, count);
        if !entry.starved.is_empty() && self.ground.hungry.last() != Some(&session) {
            self.ground.hungry.push(session);
        }
        let Some(queue) = self.queues.get_mut(id) else { return };
        queue.leased -= count;
        let keeps_credit = match count {
            1 => self.ground.planted(Fault::UnredeemedCredit),
            _ => self.ground.planted(Fault::BatchKeepsCredit),
        };
        if let Some(waiter) = queue.waiters.get_mut(waiter) {
            if !keeps_credit {
                // No more than its credit, which has 32 bits.
                waiter.outstanding -= count as u32;
            }
            waiter.untaken.forget(first, count);
            // A suspect is in no batch, so it is the first.
            if waiter.suspect == Some(first) && !self.ground.planted(Fault::SuspectForEver) {
                waiter.suspect = None;
            }
            if waiter.outstanding == 0 {
                queue.end_caution(bearer.1);
            }
        }
    }

    /// Serves the receiver for whom an ended lease was recalled, then the one that had it.
    /// With its last lease a queue that nobody holds open may go.
    pub(super) fn serve_again(&mut self, leased: &Leased) {
        let Some(queue) = self.queues.get_mut(leased.queue) else { return };
        if let Some(recaller) = leased.recalled_for {
            queue.recall_answered(&mut self.ground, recaller);
        }
        queue.serve(&mut self.ground, leased.waiter);
        self.bury_dead();
        self.let_go(leased.queue);
    }

    /// Serves the receivers of sessions that were passed over for their unsettled deliveries.
    pub(super) fn feed_hungry(&mut self) {
        while let Some(session) = self.ground.hungry.pop() {
            self.serve_starved(session);
        }
    }

    /// Answers those who wait for deliveries that a session away cannot give back now.
    pub(super) fn forget_recalls(&mut self, session: Id<Session>) {
        let Some(entry) = self.ground.sessions.get_mut(session) else { return };
        let recalled = entry.leases.iter().filter(|(_, leased)| leased.recalled_for.is_some());
        let recalled: Vec<Lease> = recalled.map(|(lease, _)| lease).collect();
        for lease in recalled {
            let Some(entry) = self.ground.sessions.get_mut(session) else { return };
            let Some(leased) = entry.leases.get_mut(lease) else { continue };
            let recaller = leased.recalled_for.take();
            if let (Some(recaller), Some(queue)) = (recaller, self.queues.get_mut(leased.queue)) {
                queue.recall_answered(&mut self.ground, recaller);
            }
        }
    }

    pub(super) fn stale(&self, session: Id<Session>, lease: Lease) -> Failure {
        let known =
            self.ground.sessions.get(session).is_some_and(|entry| lease <= entry.leases.last());
        let why = if known {
            "has ended before (acknowledged, expired, or its queue was removed)"
        } else {
            "was never given"
        };
        Failure::new(
            ErrorKind::StaleLease,
            format!("lease {lease} {why}; the message may be delivered again"),
        )
    }
}
