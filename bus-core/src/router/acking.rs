//! Acknowledgements: neighbours of one receiver are settled as one, whether they lie so or not.

use crate::arena::Id;

use super::Router;
use super::command::Lease;
use super::effect::Output;
use super::session::Session;
use super::settle::Bearer;
use super::waiter::Waiter;

/// Acknowledged leases that follow each other, of one receiver.
#[derive(Clone, Copy, Default)]
struct Acked {
    first: Lease,
    count: u64,
    bearer: Option<Bearer>,
    /// For whom the last of them was recalled.
    recaller: Option<Id<Waiter>>,
}

impl Router {
    /// Acknowledges leases; with `answer` the session is told of each. A receiver is served when
    /// all are settled that follow each other and were its own.
    pub(super) fn ack(&mut self, session: Id<Session>, first: Lease, count: u32, answer: bool) {
        let (mut lease, end) = (first, first.saturating_add(u64::from(count)));
        let mut acked = Acked::default();
        while lease < end {
            if let Some(queue) = self.hosted_of(session, lease) {
                self.finish_acks(session, std::mem::take(&mut acked), answer);
                lease = self.ack_hosted(session, queue, lease, end);
                continue;
            }
            if acked.bearer != self.bearer_of(session, lease) || acked.recaller.is_some() {
                self.finish_acks(session, std::mem::take(&mut acked), answer);
            }
            let ended = self.end_some(session, lease, end - lease);
            if ended.bearer.is_none() && answer {
                let failure = self.stale(session, lease);
                self.ground.tell(session, Output::Unsettled { lease, failure });
            }
            lease += ended.count.max(1);
            acked = match acked.count {
                0 => ended,
                before => Acked { first: acked.first, count: before + ended.count, ..ended },
            };
        }
        self.finish_acks(session, acked, answer);
    }

    /// The queue and receiver that a lease is of.
    pub(super) fn bearer_of(&self, session: Id<Session>, lease: Lease) -> Option<Bearer> {
        let leased = self.ground.sessions.get(session)?.leases.get(lease)?;
        Some((leased.queue, leased.waiter))
    }

    /// Ends leases from this one on, at most so many; none if this one is not there.
    fn end_some(&mut self, session: Id<Session>, first: Lease, count: u64) -> Acked {
        if let Some((bearer, count)) = self.end_batch(session, first, count) {
            return Acked { first, count, bearer: Some(bearer), recaller: None };
        }
        match self.end_lease(session, first) {
            Some((leased, queue)) => {
                let bearer = Some((queue, leased.waiter));
                Acked { first, count: 1, bearer, recaller: leased.recalled_for }
            }
            None => Acked::default(),
        }
    }

    /// Takes up to so many leases from this one on from their session, if they lie as one: whose
    /// they were, and how many.
    pub(super) fn end_batch(
        &mut self,
        session: Id<Session>,
        first: Lease,
        count: u64,
    ) -> Option<(Bearer, u64)> {
        let entry = self.ground.sessions.get_mut(session)?;
        let leased = entry.leases.get(first)?;
        let bearer = (leased.queue, leased.waiter);
        self.queues.get(leased.queue)?;
        let (count, cost) = entry.leases.remove_batch(first, count)?;
        self.note_ended(session, bearer, (first, count), cost);
        Some((bearer, count))
    }

    /// Answers acknowledgements, and serves who has waited for their end.
    fn finish_acks(&mut self, session: Id<Session>, acked: Acked, answer: bool) {
        let Acked { first, count, bearer: Some((id, waiter)), recaller } = acked else { return };
        if answer {
            // No more than the acknowledgement that is being carried out.
            self.ground.tell(session, Output::Settled { first, count: count as u32 });
        }
        let Some(queue) = self.queues.get_mut(id) else { return };
        queue.counters.acked += count;
        if let Some(recaller) = recaller {
            queue.recall_answered(&mut self.ground, recaller);
        }
        queue.serve(&mut self.ground, waiter);
        self.bury_dead();
        self.let_go(id);
    }
}
