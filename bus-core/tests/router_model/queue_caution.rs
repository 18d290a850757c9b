//! The model of queues, continued: what was out when a session was lost is handed out alone.
//!
//! Nothing is kept but a note on the message, one on the receiver, and who waits for the next
//! suspect to go.

use crate::queue_model::{Message, Model, Queue, Waiter, wants};

impl Queue {
    fn deliveries(&self, waiter: u64) -> impl Iterator<Item = &Message> {
        let held =
            move |message: &&Message| message.lease().is_some_and(|lease| lease.waiter == waiter);
        self.messages.iter().filter(held)
    }

    /// Whether a receiver may have one more, whatever it is.
    pub fn has_credit(&self, waiter: &Waiter) -> bool {
        let count = self.deliveries(waiter.number).count();
        let suspects = self.deliveries(waiter.number).any(|message| message.suspect);
        count < waiter.credit as usize && (waiter.trusted || !suspects)
    }

    /// Whether a receiver must settle what it has before it gets this message.
    pub fn holds_back(&self, waiter: &Waiter, message: &Message) -> bool {
        message.suspect && !waiter.trusted && self.deliveries(waiter.number).next().is_some()
    }

    /// It stands aside until it may have the suspect that is next, or another one has it.
    pub fn hold(&mut self, number: u64) {
        self.line.retain(|other| *other != number);
        if !self.held.contains(&number) {
            self.held.push(number);
        }
    }

    /// A suspect comes to lie in the queue: who stands in line and may not have it stands aside.
    pub fn hold_line(&mut self, suspect: &Message) {
        for number in self.line.clone() {
            let Some(waiter) = self.waiter(number) else { continue };
            if wants(waiter.selector, suspect.kind) && self.holds_back(waiter, suspect) {
                self.hold(number);
            }
        }
    }
}

impl Model {
    /// At the end of a step those who stood aside are looked at again, if a suspect has gone.
    pub fn serve_held(&mut self) {
        for q in 0..self.queues.len() {
            if std::mem::take(&mut self.queues[q].look_due) {
                let held = std::mem::take(&mut self.queues[q].held);
                self.serve_in_turn(q, held);
            }
        }
    }

    /// Those first that have waited longest, one message a turn.
    pub fn serve_in_turn(&mut self, q: usize, mut line: Vec<u64>) {
        let queue = &self.queues[q];
        let place = |number: &u64| queue.line.iter().position(|other| other == number);
        line.sort_by_key(|number| place(number).unwrap_or(usize::MAX));
        while !line.is_empty() {
            let number = line.remove(0);
            if self.serve_next(q, number) {
                line.push(number);
            }
        }
    }

    /// Who lets leases run out of what it has looked at may have several at a time.
    pub fn trust(&mut self, q: usize, number: u64) {
        let waiters = self.queues[q].waiters.iter_mut();
        waiters.filter(|waiter| waiter.number == number).for_each(|waiter| waiter.trusted = true);
    }
}
