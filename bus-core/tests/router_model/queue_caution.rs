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
    pub fn hold(&mut self, number: u64, now: u64) {
        self.line.retain(|other| *other != number);
        self.begin_caution(number, now);
        if !self.held.contains(&number) {
            self.held.push(number);
        }
    }

    /// It has so long until it is trusted, if it is not yet.
    fn begin_caution(&mut self, number: u64, now: u64) {
        let until = now + self.lease;
        for waiter in self.waiters.iter_mut().filter(|waiter| waiter.number == number) {
            if !waiter.trusted && waiter.cautious_until.is_none() {
                waiter.cautious_until = Some(until);
            }
        }
    }

    /// It stands aside no longer, and has no suspect.
    pub fn end_caution(&mut self, number: u64) {
        for waiter in self.waiters.iter_mut().filter(|waiter| waiter.number == number) {
            waiter.cautious_until = None;
        }
    }

    /// The application has a message: a clock runs if it is a suspect that is there alone.
    pub fn note_taken(&mut self, number: u64, lease: u64, now: u64) {
        if self.deliveries(number).any(|message| {
            message.suspect && message.lease().is_some_and(|other| other.lease == lease)
        }) {
            self.begin_caution(number, now);
        }
    }

    /// It has settled something, and perhaps all.
    pub fn note_settled(&mut self, number: u64) {
        if self.deliveries(number).next().is_none() {
            self.end_caution(number);
        }
    }

    /// A suspect comes to lie in the queue: who stands in line and may not have it stands aside.
    pub fn hold_line(&mut self, suspect: &Message, now: u64) {
        for number in self.line.clone() {
            let Some(waiter) = self.waiter(number) else { continue };
            if wants(waiter.selector, suspect.kind) && self.holds_back(waiter, suspect) {
                self.hold(number, now);
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
        for waiter in waiters.filter(|waiter| waiter.number == number) {
            (waiter.trusted, waiter.cautious_until) = (true, None);
        }
    }

    /// Who has stood aside, or whose application has kept a suspect, for the time of a lease is
    /// trusted and looked at with the others that stand aside; queue by queue.
    pub fn end_cautions(&mut self) {
        let mut queues: Vec<usize> = (0..self.queues.len()).collect();
        queues.sort_by_key(|q| self.queues[*q].serial);
        for q in queues {
            let waiters = self.queues[q].waiters.iter();
            let until = |waiter: &Waiter| Some((waiter.cautious_until?, waiter.number));
            let mut due: Vec<(u64, u64)> = waiters.filter_map(until).collect();
            due.retain(|(until, _)| *until <= self.now);
            due.sort();
            for (_, number) in &due {
                self.trust(q, *number);
                self.queues[q].hold(*number, self.now);
            }
            self.queues[q].look_due |= !due.is_empty();
            self.serve_held();
        }
    }
}
