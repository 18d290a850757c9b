//! What sessions do in a case for queues: each step as a command and as a call of the model.

use std::time::Duration;

use bus_core::router::{Command, ConsumeOptions};
use bus_core::{ErrorKind, Message as BusMessage, MessageType};

use crate::events::{Event, payload};
use crate::queue_check::Pair;
use crate::queue_leases::End;
use crate::queue_model::{Lease, Message, State, Waiter};
use crate::queue_steps::{QUEUES, Step, Verb, selector};

impl Pair {
    pub fn send(&mut self, step: &Step) {
        self.ticket += 1;
        let (ticket, slot) = (self.ticket, step.slot);
        let kind = MessageType::new(1 + step.a % 5).expect("1 to 5 are types");
        let length = if step.b.is_multiple_of(40) { 400 } else { 8 + step.b % 120 };
        let message = BusMessage::new(kind, payload(ticket, length as usize));
        let (channel, no_wait) = (step.q as u32, step.verb == Verb::TrySend);
        self.tell(slot, Command::Send { channel, ticket, message, no_wait });
        let message = Message {
            number: ticket,
            kind: kind.get(),
            length,
            from: 0,
            arrival: 0,
            attempt: 0,
            recalled: false,
            suspect: false,
            state: State::Queued,
        };
        self.model.send(step.q, message, ticket, slot, no_wait);
    }

    pub fn withdraw(&mut self, step: &Step) {
        let mine = |message: &Message| match message.state {
            State::Blocked { slot, ticket } if slot == step.slot => Some(ticket),
            _ => None,
        };
        let all = self.model.queues.iter().flat_map(|queue| &queue.messages);
        let waiting: Vec<u64> = all.filter_map(mine).collect();
        // Sometimes one that waits no longer: that must do nothing.
        let ticket = pick(&waiting, step.a).copied().unwrap_or(step.b % (self.ticket + 1));
        self.tell(step.slot, Command::Withdraw { ticket });
        self.model.withdraw(step.slot, ticket);
    }

    pub fn consume(&mut self, step: &Step) {
        let waiters = self.model.queues.iter().flat_map(|queue| &queue.waiters);
        let mine: Vec<u32> =
            waiters.filter(|w| w.slot == step.slot).map(|waiter| waiter.channel).collect();
        let free = (QUEUES as u32..).find(|channel| !mine.contains(channel));
        let Some(channel) = free.filter(|_| mine.len() < 4) else { return };
        let options = ConsumeOptions {
            selector: selector(step.a),
            credit: if step.verb == Verb::Consume { (step.b % 4) as u32 } else { 1 },
            once: step.verb != Verb::Consume,
            wait: step.verb != Verb::TryReceive,
            auto_ack: (step.b / 4).is_multiple_of(4),
            bytes_max: if (step.b / 16).is_multiple_of(8) { 60 } else { u64::MAX },
        };
        let queue = step.q as u32;
        self.tell(step.slot, Command::Consume { request: 0, channel, queue, options });
        let number = self.model.next();
        self.model.queues[step.q].waiters.push(Waiter {
            number,
            slot: step.slot,
            channel,
            selector: options.selector,
            credit: options.credit,
            once: options.once,
            wait: options.wait,
            auto_ack: options.auto_ack,
            bytes_max: options.bytes_max,
            recalls: 0,
            trusted: false,
            cautious_until: None,
            patience: None,
        });
        self.model.serve(step.q, number);
    }

    pub fn change_waiter(&mut self, step: &Step) {
        let mut mine: Vec<(usize, Waiter)> = Vec::new();
        for (q, queue) in self.model.queues.iter().enumerate() {
            let waiters = queue.waiters.iter().filter(|waiter| waiter.slot == step.slot);
            mine.extend(waiters.map(|waiter| (q, waiter.clone())));
        }
        let Some((q, waiter)) = pick(&mine, step.a) else { return };
        let (q, number, channel) = (*q, waiter.number, waiter.channel);
        if step.verb == Verb::Close {
            self.tell(step.slot, Command::Close { request: 0, channel });
            return self.model.queues[q].drop_waiter(number);
        }
        if waiter.once {
            return;
        }
        let credit = (step.b % 4) as u32;
        let options = ConsumeOptions { credit, ..ConsumeOptions::default() };
        let queue = q as u32;
        self.tell(step.slot, Command::Consume { request: 0, channel, queue, options });
        self.model.set_credit(q, number, credit);
    }

    pub fn look_at(&mut self, step: &Step) {
        let untaken = self.model.leases(step.slot, |lease| !lease.taken);
        let Some((_, lease)) = pick(&untaken, step.a) else { return };
        if step.verb == Verb::Taken {
            let (channel, lease) = (lease.channel, lease.lease);
            self.tell(step.slot, Command::Taken { channel, lease });
            return self.model.taken(step.slot, lease);
        }
        // One that was asked for, or one, or all that the session has; in no order.
        let asked = |(_, lease): &&(usize, Lease)| lease.recalled_for.is_some();
        let mut leases: Vec<u64> = match step.b % 3 {
            0 => untaken.iter().filter(asked).map(|(_, lease)| lease.lease).collect(),
            1 => vec![lease.lease],
            _ => untaken.iter().map(|(_, lease)| lease.lease).collect(),
        };
        if step.b.is_multiple_of(2) {
            leases.reverse();
        }
        let ended: Vec<_> = leases.iter().map(|lease| (step.slot, *lease, End::Returned)).collect();
        self.tell(step.slot, Command::Return { leases });
        self.model.end_leases(&ended);
    }

    pub fn settle(&mut self, step: &Step) {
        let slot = step.slot;
        let mine = self.model.leases(slot, |lease| lease.taken || step.b.is_multiple_of(5));
        let known = pick(&mine, step.a).map(|(_, lease)| lease.clone());
        // Sometimes one that ended long ago, or was never given.
        let lease = known.map_or(step.b % 20, |lease| lease.lease);
        let delay = if step.b.is_multiple_of(3) { 1 + step.b % 3_000_000_000 } else { 0 };
        let (request, wait) = (self.request(), Duration::from_nanos(delay));
        let is_taken = |other: &Lease| other.lease == lease && other.taken;
        let (command, end) = match step.verb {
            Verb::Ack => (Command::Ack { first: lease, count: 1 }, End::Acknowledged),
            Verb::Nack => (Command::Nack { request, lease, delay: wait }, End::Marked { delay }),
            Verb::Reject => {
                let reason = "no".to_owned();
                (Command::Reject { request, lease, reason }, End::Rejected)
            }
            _ => {
                if self.model.leases(slot, is_taken).is_empty() {
                    return;
                }
                // Longer than a case without a tick, so that deadlines come one by one.
                let by = 1000 + delay;
                let command = Command::Extend { request, lease, by: Duration::from_nanos(by) };
                self.tell(slot, command);
                let found = self.model.extend(slot, lease, by);
                return self.expect_answer(slot, request, found);
            }
        };
        self.tell(slot, command);
        let found = self.model.end_leases(&[(slot, lease, end)]) > 0;
        let kind = ErrorKind::StaleLease;
        match (end, found) {
            (End::Acknowledged, true) => self.model.events.push(Event::Settled { slot, lease }),
            (End::Acknowledged, false) => {
                self.model.events.push(Event::Unsettled { slot, lease, kind })
            }
            (_, found) => self.expect_answer(slot, request, found),
        }
    }

    fn expect_answer(&mut self, slot: usize, request: u32, found: bool) {
        self.model.events.push(match found {
            true => Event::Done { slot, request },
            false => Event::Refused { slot, request, kind: ErrorKind::StaleLease },
        });
    }
}

/// One of them, if there is one.
fn pick<T>(all: &[T], number: u64) -> Option<&T> {
    let count = all.len() as u64;
    all.get(number.checked_rem(count)? as usize)
}
