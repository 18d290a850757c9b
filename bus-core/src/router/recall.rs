//! Deliveries that a consumer has not looked at, asked back for a receiver that waits.
//!
//! The broker asks, the client answers: with the delivery, or by saying that it is taken. One
//! that says nothing for the time of a lease has lost it.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use crate::arena::Id;
use crate::error::{ErrorKind, Failure};
use crate::limits::NO_WAIT_PATIENCE;
use crate::message_type::MessageType;
use crate::selector::Selector;

use super::command::{ConsumeOptions, Lease};
use super::effect::Output;
use super::ground::Ground;
use super::lease::Stored;
use super::queue::Queue;
use super::session::Session;
use super::timer::Timer;
use super::waiter::Waiter;

impl Queue {
    /// A receiver that nothing here matches: it may have what others have not looked at;
    /// else it waits, or ends as empty.
    pub(super) fn wait_or_end(&mut self, ground: &mut Ground, id: Id<Waiter>) {
        let Some(waiter) = self.waiters.get(id) else { return };
        if waiter.outstanding == 0 && waiter.recalls == 0 {
            self.recall_for(ground, id);
        }
        let Some(waiter) = self.waiters.get(id) else { return };
        if waiter.options.wait {
            return self.make_ready(id);
        }
        if waiter.recalls > 0 || waiter.promises > 0 {
            // Whoever was asked may never answer.
            if waiter.patience.is_none() {
                self.set_patience(ground, id);
            }
            return self.make_ready(id);
        }
        self.end_empty(ground, id);
    }

    fn set_patience(&mut self, ground: &mut Ground, id: Id<Waiter>) {
        let until = ground.now.after(NO_WAIT_PATIENCE);
        if let Some(waiter) = self.waiters.get_mut(id) {
            waiter.patience = Some(until);
            ground.timers.set(until, Timer::Patience(self.id, id));
        }
    }

    /// A receiver that would not wait has waited long enough for what was asked for it.
    pub(super) fn patience_is_over(&mut self, ground: &mut Ground, id: Id<Waiter>) {
        let until = self.waiters.get(id).and_then(|waiter| waiter.patience);
        if until.is_some_and(|until| until <= ground.now) {
            if self.hosted.is_some() {
                return self.hosted_patience_is_over(ground, id);
            }
            self.end_empty(ground, id);
        }
    }

    fn end_empty(&mut self, ground: &mut Ground, id: Id<Waiter>) {
        let Some(waiter) = self.waiters.get(id) else { return };
        let (session, channel, selector) =
            (waiter.session, waiter.channel, waiter.options.selector);
        self.drop_waiter(ground, id);
        self.note_if_left(ground);
        let text = format!("queue `{}` has no message that `{selector}` matches", self.name);
        ground.end_channel(session, channel, Failure::new(ErrorKind::Empty, text));
    }

    /// A session with deliveries that it has not looked at is back: those who wait and hold
    /// nothing may have them, as far as they go.
    pub(super) fn recall_for_idle(&mut self, ground: &mut Ground) {
        let mut left = self.recallable(ground);
        for id in self.line.in_order() {
            if left.is_empty() {
                return;
            }
            let Some(waiter) = self.waiters.get(id) else { continue };
            let idle = waiter.outstanding == 0 && waiter.recalls == 0 && waiter.has_credit();
            if !idle || !may_have_any(&left, &waiter.options) {
                continue;
            }
            // Nothing else is here for it, or it would not stand in the line.
            if ground.may_lease(waiter.session, waiter.channel)
                && let Some(asked) = self.recall_for(ground, id)
                && let Entry::Occupied(mut count) = left.entry(asked)
            {
                *count.get_mut() -= 1;
                if *count.get() == 0 {
                    count.remove();
                }
            }
        }
    }

    /// How many deliveries there are that could be asked back now, of each sort.
    fn recallable(&self, ground: &Ground) -> BTreeMap<Sort, u64> {
        let mut counts = BTreeMap::new();
        for holder in self.bearers.iter().filter_map(|id| self.waiters.get(*id)) {
            if !ground.is_connected(holder.session) {
                continue;
            }
            let Some(session) = ground.sessions.get(holder.session) else { continue };
            let leases = holder.untaken.iter().filter_map(|lease| session.leases.get(lease));
            for leased in leases.filter(|leased| leased.recalled_for.is_none()) {
                *counts.entry((leased.kind, leased.recalled)).or_default() += 1;
            }
        }
        counts
    }

    /// Asks for the oldest matching delivery that another consumer has not looked at. What has
    /// gone from one consumer to another stays there, unless a receive wants it: else it would
    /// go to and fro between those that are idle.
    fn recall_for(&mut self, ground: &mut Ground, id: Id<Waiter>) -> Option<Sort> {
        let options = self.waiters.get(id)?.options;
        let (session, lease) = self.oldest_untaken(ground, id, &options)?;
        let leased = ground.sessions.get_mut(session)?.leases.get_mut(lease)?;
        leased.recalled_for = Some(id);
        self.waiters.get_mut(id)?.recalls += 1;
        let sort = sort_of(&leased.stored);
        // A process that is stopped does not answer.
        let until = leased.deadline.unwrap_or(ground.now.after(self.options.lease));
        if !leased.auto_ack {
            leased.deadline = Some(until);
            ground.check_leases_at(session, until);
        }
        ground.tell(session, Output::Recall { lease });
        Some(sort)
    }

    /// The oldest delivery that can be asked back for this receiver. Forgets those bearers
    /// that have nothing any more.
    fn oldest_untaken(
        &mut self,
        ground: &Ground,
        id: Id<Waiter>,
        options: &ConsumeOptions,
    ) -> Option<(Id<Session>, Lease)> {
        let mut oldest: Option<(u64, Id<Session>, Lease)> = None;
        let waiters = &mut self.waiters;
        self.bearers.retain(|other| {
            let Some(holder) = waiters.get_mut(*other) else { return false };
            holder.bears = !holder.untaken.is_empty();
            if *other == id
                || !holder.options.selector.overlaps(options.selector)
                || !ground.is_connected(holder.session)
            {
                return holder.bears;
            }
            let Some(session) = ground.sessions.get(holder.session) else { return holder.bears };
            let mut leases =
                holder.untaken.iter().filter_map(|lease| Some((lease, session.leases.get(lease)?)));
            let first = leases.find(|(_, leased)| {
                leased.recalled_for.is_none() && may_have((leased.kind, leased.recalled), options)
            });
            if let Some((lease, leased)) = first
                && oldest.is_none_or(|(arrival, ..)| leased.arrival < arrival)
            {
                oldest = Some((leased.arrival, holder.session, lease));
            }
            holder.bears
        });
        oldest.map(|(_, session, lease)| (session, lease))
    }

    /// A delivery that was recalled for this receiver has come back, or will not.
    pub(super) fn recall_answered(&mut self, ground: &mut Ground, id: Id<Waiter>) {
        if let Some(waiter) = self.waiters.get_mut(id) {
            waiter.recalls -= 1;
            self.serve(ground, id);
        }
    }

    /// An offer granted for this receiver has arrived, or will not.
    pub(super) fn promise_answered(&mut self, ground: &mut Ground, id: Id<Waiter>) {
        if let Some(waiter) = self.waiters.get_mut(id) {
            waiter.promises -= 1;
            self.serve(ground, id);
        }
    }
}

/// What decides who may have a delivery: its type, and whether it has gone from one consumer
/// to another already.
type Sort = (MessageType, bool);

fn sort_of(stored: &Stored) -> Sort {
    (stored.message.kind(), stored.recalled)
}

fn may_have((kind, recalled): Sort, options: &ConsumeOptions) -> bool {
    options.selector.matches(kind) && (options.once || !recalled)
}

fn may_have_any(left: &BTreeMap<Sort, u64>, options: &ConsumeOptions) -> bool {
    let mut sorts = match options.selector {
        Selector::Eq(kind) => left.range((kind, false)..=(kind, true)),
        _ => left.range(..),
    };
    sorts.any(|(sort, _)| may_have(*sort, options))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::message::{Message, Sender};
    use crate::name::Name;
    use crate::router::{
        Command, Identity, OpenMode, QueueOptions, Router, RouterConfig, SessionId,
    };
    use crate::time::Time;

    /// A session with a queue on channel 0 and consumers on those from 1 on.
    fn with_consumers(count: u32) -> (Router, SessionId) {
        let mut router = Router::new(RouterConfig::default());
        let identity =
            Identity { sender: Sender::default(), groups: Vec::new(), admin: true, system: false };
        let session = router.open_session(Time::ZERO, identity, Duration::ZERO).expect("a session");
        let (name, open) = (Name::new("jobs").expect("a name"), OpenMode::OpenOrCreate);
        let options = QueueOptions::default();
        let command = Command::OpenQueue { request: 0, channel: 0, name, open, options };
        router.handle(Time::ZERO, session, command);
        for channel in 1..=count {
            let options = ConsumeOptions { credit: 1, ..ConsumeOptions::default() };
            let command = Command::Consume { request: 0, channel, queue: 0, options };
            router.handle(Time::ZERO, session, command);
        }
        (router, session)
    }

    fn bearers(router: &Router) -> usize {
        router.queues.iter().map(|(_, queue)| queue.bearers.len()).sum()
    }

    #[test]
    fn only_those_with_untaken_deliveries_are_looked_at() {
        let (mut router, session) = with_consumers(500);
        let message = Message::new(MessageType::ONE, Vec::new());
        for ticket in 1..=3 {
            let command =
                Command::Send { channel: 0, ticket, message: message.clone(), no_wait: false };
            router.handle(Time::ZERO, session, command);
        }
        assert_eq!(bearers(&router), 3);
        for (channel, lease) in (1..=3).zip(1..) {
            router.handle(Time::ZERO, session, Command::Taken { channel, lease });
        }
        // The first is idle again, and looks for what others have not looked at.
        router.handle(Time::ZERO, session, Command::Ack { first: 1, count: 1 });
        assert_eq!(bearers(&router), 0);
    }
}
