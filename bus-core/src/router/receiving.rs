//! What receivers do to queues: consume, receive, peek.
//!
//! A receive is a consumer of credit 1 that ends with its delivery.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use crate::arena::Id;
use crate::error::{ErrorKind, Failure};
use crate::selector::Selector;

use super::Router;
use super::command::{Channel, ConsumeOptions, Lease, RequestId};
use super::effect::{Answer, Output, Peeked};
use super::lease::Shelved;
use super::queue::Queue;
use super::rights::Right;
use super::session::{Handle, Session};
use super::untaken::Range;
use super::waiter::Waiter;

impl Router {
    pub(super) fn consume(
        &mut self,
        session: Id<Session>,
        request: RequestId,
        channel: Channel,
        queue: Channel,
        options: ConsumeOptions,
    ) {
        if let Ok(Handle::Waiter { .. }) = self.ground.handle(session, channel) {
            return self.set_credit(session, request, channel, options.credit);
        }
        let result = self.open_waiter(session, channel, queue, options);
        let failure = result.as_ref().err().cloned();
        self.ground.reply(session, request, result.map(|_| Answer::Done { count: 1 }));
        match failure {
            // A receive asks for no answer: its channel ends instead.
            Some(failure) if request == 0 => {
                self.ground.tell(session, Output::Ended { channel, failure });
            }
            Some(_) => {}
            None => self.serve_channel(session, channel),
        }
    }

    fn open_waiter(
        &mut self,
        session: Id<Session>,
        channel: Channel,
        queue: Channel,
        options: ConsumeOptions,
    ) -> Result<(), Failure> {
        let id = self.queue_for(session, queue, Right::Read)?;
        let Some(queue) = self.queues.get_mut(id) else { return Ok(()) };
        queue.check_hosted_receiver(&self.ground, &options)?;
        let Some(entry) = self.ground.sessions.get_mut(session) else { return Ok(()) };
        entry.check_free(channel)?;
        entry.check_leases()?;
        let waiter = queue.waiters.insert_with(|_| Waiter::new(session, channel, options));
        queue.holders += 1;
        entry.open(channel, Handle::Waiter { queue: id, waiter })
    }

    fn set_credit(
        &mut self,
        session: Id<Session>,
        request: RequestId,
        channel: Channel,
        credit: u32,
    ) {
        if let Ok(Handle::Waiter { queue, waiter }) = self.ground.handle(session, channel) {
            let (queue, id) = (*queue, *waiter);
            if let Some(queue) = self.queues.get_mut(queue)
                && let Some(waiter) = queue.waiters.get_mut(id)
            {
                waiter.options.credit = credit;
                if !waiter.has_credit() {
                    queue.step_back(id);
                }
            }
        }
        self.ground.reply(session, request, Ok(Answer::Done { count: 1 }));
        self.serve_channel(session, channel);
    }

    pub(super) fn serve_channel(&mut self, session: Id<Session>, channel: Channel) {
        if let Ok(Handle::Waiter { queue, waiter }) = self.ground.handle(session, channel) {
            let (queue, waiter) = (*queue, *waiter);
            if let Some(queue) = self.queues.get_mut(queue) {
                queue.serve(&mut self.ground, waiter);
            }
        }
    }

    /// Serves all receivers of a session that could not be served for a while.
    pub(super) fn serve_session(&mut self, session: Id<Session>) {
        let Some(entry) = self.ground.sessions.get(session) else { return };
        self.serve_channels(session, entry.channels());
    }

    /// Serves the receivers of a session that were passed over since it had too many unsettled
    /// deliveries. The others have missed nothing.
    pub(super) fn serve_starved(&mut self, session: Id<Session>) {
        let Some(entry) = self.ground.sessions.get_mut(session) else { return };
        let starved = std::mem::take(&mut entry.starved);
        self.serve_channels(session, starved);
    }

    /// Serves receivers, those of one queue in turn.
    fn serve_channels(
        &mut self,
        session: Id<Session>,
        channels: impl IntoIterator<Item = Channel>,
    ) {
        let Some(entry) = self.ground.sessions.get(session) else { return };
        let mut lines: Vec<(Id<Queue>, Vec<Id<Waiter>>)> = Vec::new();
        let mut places: BTreeMap<Id<Queue>, usize> = BTreeMap::new();
        for channel in channels {
            let Some(Handle::Waiter { queue, waiter }) = entry.handle(channel) else { continue };
            let place = *places.entry(*queue).or_insert(lines.len());
            match lines.get_mut(place) {
                Some((_, line)) => line.push(*waiter),
                None => lines.push((*queue, vec![*waiter])),
            }
        }
        for (queue, line) in lines {
            if let Some(queue) = self.queues.get_mut(queue) {
                queue.serve_in_turn(&mut self.ground, line);
            }
        }
    }

    /// Takes the deliveries up to this one, which a consumer that is gone has borne, off the list
    /// of those that nobody has said to be taken.
    pub(super) fn untaken_of(
        &mut self,
        session: Id<Session>,
        queue: Id<Queue>,
        waiter: Id<Waiter>,
        last: Lease,
    ) -> Vec<Range> {
        let Some(entry) = self.ground.sessions.get_mut(session) else { return Vec::new() };
        let Entry::Occupied(mut untaken) = entry.untaken.entry((queue, waiter)) else {
            // A receive has one delivery, and no list.
            let known = entry.leases.get(last).is_some_and(|leased| !leased.taken);
            return if known { vec![(last, 1)] } else { Vec::new() };
        };
        let taken = untaken.get_mut().take_upto(last);
        if untaken.get().is_empty() {
            untaken.remove();
        }
        taken
    }

    pub(super) fn peek(
        &mut self,
        session: Id<Session>,
        request: RequestId,
        queue: Channel,
        selector: Selector,
        index: u64,
    ) {
        let queue = self.queue_for(session, queue, Right::Read);
        if let Ok(id) = queue
            && self.queues.get(id).is_some_and(|queue| queue.hosted.is_some())
        {
            return self.peek_at_home(session, request, id, (selector, index));
        }
        let result = queue.and_then(|id| {
            let Some(queue) = self.queues.get_mut(id) else {
                return Err(Failure::new(ErrorKind::Removed, "the queue was removed"));
            };
            let place = queue.shelf.select_nth(selector, index);
            let found = place.and_then(|place| queue.shelf.get(place));
            let Some(stored) = found.cloned().and_then(Shelved::into_stored) else {
                let text = format!(
                    "queue `{}` has no message at index {index} that `{selector}` matches",
                    queue.name
                );
                return Err(Failure::new(ErrorKind::Empty, text));
            };
            Ok(Answer::Peeked(Box::new(Peeked {
                message: stored.message,
                attempt: stored.attempt,
                sender: (*stored.sender).clone(),
            })))
        });
        self.ground.reply(session, request, result);
    }
}
