//! Queues as the contract tells of them: plain lists and linear scans.
//!
//! Nothing is indexed and nothing is counted that can be counted anew. A message is one entry
//! of one list, with the state it is in; one that is gone is not in the list.

use bus_core::{ErrorKind, Selector};

use crate::events::{Delivery, Event};

/// What a message counts beside its length.
pub const OVERHEAD: u64 = 64;

/// All queues and sessions.
#[derive(Default)]
pub struct Model {
    pub now: u64,
    pub queues: Vec<Queue>,
    pub sessions: Vec<Session>,
    pub events: Vec<Event>,
    /// Bytes of blocked sends that a session may have.
    pub parked_max: u64,
    pub counter: u64,
}

#[derive(Clone, Debug)]
pub struct Queue {
    pub serial: u64,
    pub bytes_max: u64,
    pub count_max: u64,
    pub deliveries_max: u32,
    pub lease: u64,
    pub messages: Vec<Message>,
    pub waiters: Vec<Waiter>,
    /// Waiters that wait, longest first.
    pub line: Vec<u64>,
    /// Waiters that stand aside for a suspect.
    pub held: Vec<u64>,
    /// A suspect has gone: they are looked at when all else is done.
    pub look_due: bool,
    /// Numbers of the dead letters.
    pub grave: Vec<u64>,
    pub counts: Counts,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub accepted: u64,
    pub delivered: u64,
    pub acked: u64,
    pub redelivered: u64,
    pub dead: u64,
    pub dropped: u64,
}

#[derive(Clone, Debug)]
pub struct Message {
    pub number: u64,
    pub kind: u64,
    pub length: u64,
    pub from: u64,
    pub arrival: u64,
    pub attempt: u32,
    /// It was given back once for another receiver.
    pub recalled: bool,
    /// It was out when a session was lost, and nobody has answered for it since.
    pub suspect: bool,
    pub state: State,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    Queued,
    Delayed { until: u64 },
    Blocked { slot: usize, ticket: u64 },
    Leased(Lease),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    pub slot: usize,
    pub lease: u64,
    pub waiter: u64,
    pub channel: u32,
    pub auto_ack: bool,
    pub taken: bool,
    pub deadline: Option<u64>,
    pub recalled_for: Option<u64>,
}

#[derive(Clone, Debug)]
pub struct Waiter {
    pub number: u64,
    pub slot: usize,
    pub channel: u32,
    pub selector: Selector,
    pub credit: u32,
    pub once: bool,
    pub wait: bool,
    pub auto_ack: bool,
    pub bytes_max: u64,
    pub recalls: u32,
    /// It has let a lease run out of what it has looked at.
    pub trusted: bool,
    /// When it is trusted if it stands aside until then, or its application keeps a suspect.
    pub cautious_until: Option<u64>,
    /// Until when one waits that would not wait.
    pub patience: Option<u64>,
}

#[derive(Clone, Debug)]
pub struct Session {
    pub serial: u64,
    pub connected: bool,
    pub leases: u64,
    pub away_until: Option<u64>,
}

impl Message {
    pub fn cost(&self) -> u64 {
        self.length + OVERHEAD
    }

    pub fn lease(&self) -> Option<&Lease> {
        match &self.state {
            State::Leased(lease) => Some(lease),
            _ => None,
        }
    }

    pub fn lease_mut(&mut self) -> Option<&mut Lease> {
        match &mut self.state {
            State::Leased(lease) => Some(lease),
            _ => None,
        }
    }
}

/// Whether a selector takes a type.
pub fn wants(selector: Selector, kind: u64) -> bool {
    match selector {
        Selector::Any => true,
        Selector::Eq(wanted) => kind == wanted.get(),
        Selector::Upto(limit) => kind <= limit.get(),
        Selector::Except(unwanted) => kind != unwanted.get(),
    }
}

impl Queue {
    pub fn is_waiting(message: &&Message) -> bool {
        matches!(message.state, State::Queued | State::Delayed { .. })
    }

    pub fn count(&self) -> u64 {
        self.messages.iter().filter(Queue::is_waiting).count() as u64
    }

    pub fn bytes(&self) -> u64 {
        self.messages.iter().filter(Queue::is_waiting).map(Message::cost).sum()
    }

    pub fn leased(&self) -> u64 {
        self.messages.iter().filter(|message| message.lease().is_some()).count() as u64
    }

    pub fn blocked(&self) -> u64 {
        let blocked = |message: &&Message| matches!(message.state, State::Blocked { .. });
        self.messages.iter().filter(blocked).count() as u64
    }

    pub fn waiter(&self, number: u64) -> Option<&Waiter> {
        self.waiters.iter().find(|waiter| waiter.number == number)
    }

    fn fits(&self, length: u64) -> bool {
        self.count() < self.count_max && self.bytes() + length + OVERHEAD <= self.bytes_max
    }

    fn could_fit(&self, length: u64) -> bool {
        length + OVERHEAD <= self.bytes_max && self.count_max > 0
    }

    /// The message in such a state that the selector takes first, by its place in the list.
    pub fn select(&self, selector: Selector, queued: bool) -> Option<usize> {
        let in_state = |message: &Message| match message.state {
            State::Queued => queued,
            State::Blocked { .. } => !queued,
            _ => false,
        };
        let taken =
            |(_, message): &(usize, &Message)| in_state(message) && wants(selector, message.kind);
        let order = |(_, message): &(usize, &Message)| match selector {
            Selector::Upto(_) => (message.kind, message.arrival),
            _ => (0, message.arrival),
        };
        let found = self.messages.iter().enumerate().filter(taken).min_by_key(order);
        found.map(|(index, _)| index)
    }

    pub fn drop_waiter(&mut self, number: u64) {
        self.waiters.retain(|waiter| waiter.number != number);
        self.line.retain(|other| *other != number);
        self.held.retain(|other| *other != number);
    }
}

impl Model {
    pub fn next(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }

    pub fn send(&mut self, q: usize, mut message: Message, ticket: u64, slot: usize, try_it: bool) {
        message.arrival = self.next();
        message.from = self.sessions[slot].serial;
        let Some(mut message) = self.offer_to_line(q, message) else {
            return self.accept(q, slot, ticket);
        };
        let queue = &mut self.queues[q];
        if queue.blocked() == 0 && queue.fits(message.length) {
            queue.messages.push(message);
            return self.accept(q, slot, ticket);
        }
        let refusal = if !queue.could_fit(message.length) {
            Some(ErrorKind::TooBig)
        } else if try_it {
            Some(ErrorKind::QueueFull)
        } else if self.parked_bytes(slot) + message.cost() > self.parked_max {
            Some(ErrorKind::QuotaExceeded)
        } else {
            None
        };
        match refusal {
            Some(kind) => self.events.push(Event::Failed { slot, ticket, kind }),
            None => {
                message.state = State::Blocked { slot, ticket };
                self.queues[q].messages.push(message);
            }
        }
    }

    pub fn accept(&mut self, q: usize, slot: usize, ticket: u64) {
        self.queues[q].counts.accepted += 1;
        self.events.push(Event::Accepted { slot, ticket });
    }

    fn parked_bytes(&self, by: usize) -> u64 {
        let mine =
            |message: &&Message| matches!(message.state, State::Blocked { slot, .. } if slot == by);
        let all = self.queues.iter().flat_map(|queue| &queue.messages);
        all.filter(mine).map(Message::cost).sum()
    }

    /// Hands a message to the receiver that has waited longest and matches.
    pub fn offer_to_line(&mut self, q: usize, message: Message) -> Option<Message> {
        for number in self.queues[q].line.clone() {
            let Some(waiter) = self.queues[q].waiter(number).cloned() else { continue };
            if !wants(waiter.selector, message.kind) || !self.sessions[waiter.slot].connected {
                continue;
            }
            if self.queues[q].holds_back(&waiter, &message) {
                continue;
            }
            if message.length > waiter.bytes_max {
                self.end_waiter(q, number, ErrorKind::TooBig);
                continue;
            }
            self.deliver(q, number, message);
            return None;
        }
        if message.suspect {
            self.queues[q].hold_line(&message, self.now);
        }
        Some(message)
    }

    pub fn end_waiter(&mut self, q: usize, number: u64, kind: ErrorKind) {
        if let Some(waiter) = self.queues[q].waiter(number).cloned() {
            self.queues[q].drop_waiter(number);
            self.events.push(Event::Ended { slot: waiter.slot, channel: waiter.channel, kind });
        }
    }

    /// Leases a message to a waiter, which then goes to the back of the line, or ends.
    fn deliver(&mut self, q: usize, number: u64, mut message: Message) {
        let Some(waiter) = self.queues[q].waiter(number).cloned() else { return };
        let (slot, channel, auto_ack) = (waiter.slot, waiter.channel, waiter.auto_ack);
        self.sessions[slot].leases += 1;
        let lease = self.sessions[slot].leases;
        let (attempt, from) = (message.attempt, message.from);
        let delivery =
            Delivery { slot, lease, channel, message: message.number, attempt, auto_ack, from };
        self.events.push(Event::Lease(delivery));
        message.state = State::Leased(Lease {
            slot,
            lease,
            waiter: number,
            channel,
            auto_ack,
            taken: false,
            deadline: (waiter.once && !auto_ack).then(|| self.now + self.queues[q].lease),
            recalled_for: None,
        });
        let queue = &mut self.queues[q];
        queue.counts.delivered += 1;
        queue.counts.redelivered += u64::from(attempt > 0);
        queue.messages.push(message);
        queue.line.retain(|other| *other != number);
        queue.end_caution(number);
        if waiter.once {
            queue.drop_waiter(number);
        } else if queue.has_credit(&waiter) {
            queue.line.push(number);
        }
    }

    /// Gives a waiter what it can have: what is queued, then what is blocked. Else it waits.
    pub fn serve(&mut self, q: usize, number: u64) {
        while self.serve_next(q, number) {}
    }

    /// Gives a waiter one message. Whether it may have another one.
    pub fn serve_next(&mut self, q: usize, number: u64) -> bool {
        let Some(waiter) = self.queues[q].waiter(number).cloned() else { return false };
        let queue = &mut self.queues[q];
        if !queue.has_credit(&waiter) || !self.sessions[waiter.slot].connected {
            return false;
        }
        let found = queue.select(waiter.selector, true);
        let Some(index) = found.or_else(|| queue.select(waiter.selector, false)) else {
            self.wait_or_end(q, &waiter);
            return false;
        };
        if queue.holds_back(&waiter, &queue.messages[index]) {
            queue.hold(number, self.now);
            return false;
        }
        if queue.messages[index].length > waiter.bytes_max {
            self.end_waiter(q, number, ErrorKind::TooBig);
            return false;
        }
        let message = queue.messages.remove(index);
        if let State::Blocked { slot, ticket } = message.state {
            self.accept(q, slot, ticket);
        }
        let suspect = message.suspect;
        self.deliver(q, number, message);
        self.admit(q);
        self.queues[q].look_due |= suspect;
        true
    }

    /// Lets in those who wait for room, in order.
    pub fn admit(&mut self, q: usize) {
        while let Some(index) = self.queues[q].select(Selector::Any, false) {
            let queue = &mut self.queues[q];
            if !queue.fits(queue.messages[index].length) {
                return;
            }
            let State::Blocked { slot, ticket } = queue.messages[index].state else { return };
            queue.messages[index].state = State::Queued;
            self.accept(q, slot, ticket);
        }
    }
}
