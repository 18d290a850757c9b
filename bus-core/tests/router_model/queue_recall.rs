//! The model of queues, continued: receivers that find nothing wait, or ask others for what they
//! have not looked at.

use crate::events::Event;
use crate::queue_model::{Message, Model, Waiter, wants};
use bus_core::ErrorKind;

/// How long who would not wait does so for what was asked of others.
const PATIENCE: u64 = 1_000_000_000;

impl Model {
    pub fn wait_or_end(&mut self, q: usize, waiter: &Waiter) {
        let number = waiter.number;
        let held = self.queues[q].messages.iter().filter_map(Message::lease);
        let holds_none = held.filter(|lease| lease.waiter == number).count() == 0;
        if holds_none && waiter.recalls == 0 {
            self.recall_for(q, waiter);
        }
        let recalls = self.queues[q].waiter(number).map_or(0, |waiter| waiter.recalls);
        match waiter.wait || recalls > 0 {
            true => self.stand_in_line(q, number),
            false => self.end_waiter(q, number, ErrorKind::Empty),
        }
    }

    /// Asks a consumer for what it has not looked at: of the first such delivery of each, the
    /// oldest message.
    fn recall_for(&mut self, q: usize, waiter: &Waiter) {
        let queue = &self.queues[q];
        let mut oldest: Option<&Message> = None;
        for holder in &queue.waiters {
            if holder.number == waiter.number || !self.sessions[holder.slot].connected {
                continue;
            }
            let matching = |message: &&Message| {
                wants(waiter.selector, message.kind)
                    && message.lease().is_some_and(|lease| {
                        lease.waiter == holder.number
                            && !lease.taken
                            && lease.recalled_for.is_none()
                            && (waiter.once || !message.recalled)
                    })
            };
            let first = queue.messages.iter().filter(matching);
            let first = first.min_by_key(|message| message.lease().map(|lease| lease.lease));
            oldest = [oldest, first].into_iter().flatten().min_by_key(|message| message.arrival);
        }
        let Some(arrival) = oldest.map(|message| message.arrival) else { return };
        let queue = &mut self.queues[q];
        let message = queue.messages.iter_mut().find(|message| message.arrival == arrival);
        if let Some(lease) = message.and_then(Message::lease_mut) {
            lease.recalled_for = Some(waiter.number);
            if !lease.auto_ack && lease.deadline.is_none() {
                lease.deadline = Some(self.now + queue.lease);
            }
            let (slot, lease) = (lease.slot, lease.lease);
            self.events.push(Event::Recall { slot, lease });
        }
        for other in queue.waiters.iter_mut().filter(|other| other.number == waiter.number) {
            other.recalls += 1;
        }
    }

    /// It waits; not for long, if it would not and does for what was asked of others.
    fn stand_in_line(&mut self, q: usize, number: u64) {
        let (queue, until) = (&mut self.queues[q], self.now + PATIENCE);
        for waiter in queue.waiters.iter_mut().filter(|waiter| waiter.number == number) {
            if !waiter.wait && waiter.patience.is_none() {
                waiter.patience = Some(until);
            }
        }
        if !queue.line.contains(&number) {
            queue.line.push(number);
            queue.end_caution(number);
        }
    }
}
