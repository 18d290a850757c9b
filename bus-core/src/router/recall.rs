//! Deliveries that a consumer has not looked at, asked back for a receiver that waits.
//!
//! The broker asks, the client answers: with the delivery, or by saying that it is taken. One
//! that says nothing for the time of a lease has lost it.

use crate::arena::Id;
use crate::error::{ErrorKind, Failure};

use super::command::{ConsumeOptions, Lease};
use super::effect::Output;
use super::ground::Ground;
use super::queue::Queue;
use super::session::Session;
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
        if waiter.options.wait || waiter.recalls > 0 || waiter.promises > 0 {
            return self.make_ready(id);
        }
        let (session, channel, selector) =
            (waiter.session, waiter.channel, waiter.options.selector);
        self.drop_waiter(id);
        self.note_if_left(ground);
        let text = format!("queue `{}` has no message that `{selector}` matches", self.name);
        ground.end_channel(session, channel, Failure::new(ErrorKind::Empty, text));
    }

    /// A session with deliveries that it has not looked at is back: those who wait and hold
    /// nothing may have them.
    pub(super) fn recall_for_idle(&mut self, ground: &mut Ground) {
        for id in self.line.in_order() {
            self.serve(ground, id);
        }
    }

    /// Asks for the oldest matching delivery that another consumer has not looked at. What has
    /// gone from one consumer to another stays there, unless a receive wants it: else it would
    /// go to and fro between those that are idle.
    fn recall_for(&mut self, ground: &mut Ground, id: Id<Waiter>) {
        let Some(ConsumeOptions { selector, once, .. }) =
            self.waiters.get(id).map(|waiter| waiter.options)
        else {
            return;
        };
        let mut oldest: Option<(u64, Id<Session>, Lease)> = None;
        for (other, holder) in self.waiters.iter() {
            if other == id
                || !holder.options.selector.overlaps(selector)
                || !ground.is_connected(holder.session)
            {
                continue;
            }
            let Some(session) = ground.sessions.get(holder.session) else { continue };
            for lease in &holder.untaken {
                let Some(leased) = session.leases.get(*lease) else { continue };
                let stays = leased.recalled_for.is_some() || (leased.stored.recalled && !once);
                if stays || !selector.matches(leased.stored.message.kind()) {
                    continue;
                }
                if oldest.is_none_or(|(arrival, ..)| leased.stored.arrival < arrival) {
                    oldest = Some((leased.stored.arrival, holder.session, *lease));
                }
                break;
            }
        }
        let Some((_, session, lease)) = oldest else { return };
        let leased = ground.sessions.get_mut(session).and_then(|entry| entry.leases.get_mut(lease));
        if let (Some(leased), Some(waiter)) = (leased, self.waiters.get_mut(id)) {
            leased.recalled_for = Some(id);
            waiter.recalls += 1;
            // A process that is stopped does not answer.
            let until = leased.deadline.unwrap_or(ground.now.after(self.options.lease));
            if !leased.auto_ack {
                leased.deadline = Some(until);
                ground.check_leases_at(session, until);
            }
            ground.tell(session, Output::Recall { lease });
        }
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
