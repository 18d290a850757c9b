//! The model of queues, continued: what happens to deliveries, and what time brings.

use bus_core::ErrorKind;

use crate::events::Event;
use crate::queue_model::{Lease, Message, Model, Queue, Session, State, Waiter};

/// How a lease ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Done with.
    Acknowledged,
    /// Back to its place as if nothing had been.
    Returned,
    /// Back to its place, marked: its time is over, or its session is.
    Expired,
    /// Back to its place, marked or not, and a suspect: its session was lost.
    Lost { marked: bool },
    /// Back to its place, marked, after so long.
    Marked { delay: u64 },
    /// To the dead letters.
    Rejected,
}

impl End {
    /// Whether it goes back without a word of the application.
    fn is_back(self) -> bool {
        matches!(self, End::Returned | End::Expired | End::Lost { .. })
    }
}

impl Model {
    /// A consumer may have so many deliveries from now on.
    pub fn set_credit(&mut self, q: usize, number: u64, credit: u32) {
        let queue = &mut self.queues[q];
        for waiter in queue.waiters.iter_mut().filter(|waiter| waiter.number == number) {
            waiter.credit = credit;
        }
        let has_credit = queue.waiter(number).is_some_and(|waiter| queue.has_credit(waiter));
        if !has_credit {
            queue.line.retain(|other| *other != number);
        } else {
            self.serve(q, number);
        }
    }

    /// All unsettled deliveries of a session that are so, by queue and lease.
    pub fn leases(&self, slot: usize, only: impl Fn(&Lease) -> bool) -> Vec<(usize, Lease)> {
        let mut found = Vec::new();
        for (q, queue) in self.queues.iter().enumerate() {
            let leases = queue.messages.iter().filter_map(Message::lease);
            let mine = leases.filter(|lease| lease.slot == slot && only(lease));
            found.extend(mine.map(|lease| (q, lease.clone())));
        }
        found.sort_by_key(|(_, lease)| lease.lease);
        found
    }

    /// Ends leases of a session at once: messages go back in their order, then those who
    /// had them, or asked for them, are served. Says how many there were.
    pub fn end_leases(&mut self, ended: &[(usize, u64, End)]) -> usize {
        let mut all: Vec<(usize, Message, Lease, End)> = Vec::new();
        for (slot, number, end) in ended {
            let found = self.leases(*slot, |lease| lease.lease == *number);
            for (q, lease) in found {
                let messages = &mut self.queues[q].messages;
                let at = messages.iter().position(|message| message.lease() == Some(&lease));
                let number = lease.waiter;
                all.extend(at.map(|at| (q, messages.remove(at), lease, *end)));
                self.queues[q].note_settled(number);
            }
        }
        all.sort_by_key(|(q, message, ..)| (self.queues[*q].serial, message.arrival));
        for (q, message, lease, end) in &mut all {
            if end.is_back() {
                // Who has not looked at it stands behind those who want it.
                if !lease.taken {
                    self.queues[*q].line.retain(|waiter| *waiter != lease.waiter);
                }
                message.recalled |= lease.recalled_for.is_some();
                message.suspect |= matches!(end, End::Lost { .. });
            } else {
                (message.recalled, message.suspect) = (false, false);
            }
        }
        for (q, message, _, end) in all.clone() {
            match end {
                End::Acknowledged => self.queues[q].counts.acked += 1,
                End::Returned | End::Lost { marked: false } => self.put_back(q, message),
                End::Expired | End::Lost { marked: true } => self.put_back_marked(q, message, 0),
                End::Marked { delay } => self.put_back_marked(q, message, delay),
                End::Rejected => self.bury(q, &message),
            }
        }
        for (q, _, lease, _) in &all {
            self.recall_is_over(*q, lease.recalled_for);
            self.serve(*q, lease.waiter);
        }
        all.len()
    }

    fn put_back(&mut self, q: usize, message: Message) {
        if let Some(mut message) = self.offer_to_line(q, message) {
            message.state = State::Queued;
            self.queues[q].messages.push(message);
        }
    }

    fn put_back_marked(&mut self, q: usize, mut message: Message, delay: u64) {
        message.attempt += 1;
        if message.attempt >= self.queues[q].deliveries_max {
            self.bury(q, &message);
        } else if delay > 0 {
            message.state = State::Delayed { until: self.now + delay };
            self.queues[q].messages.push(message);
        } else {
            self.put_back(q, message);
        }
    }

    fn bury(&mut self, q: usize, message: &Message) {
        self.queues[q].counts.dead += 1;
        self.queues[q].grave.push(message.number);
    }

    fn recall_is_over(&mut self, q: usize, asked: Option<u64>) {
        let Some(asked) = asked else { return };
        let queue = &mut self.queues[q];
        for waiter in queue.waiters.iter_mut().filter(|waiter| waiter.number == asked) {
            waiter.recalls -= 1;
        }
        self.serve(q, asked);
    }

    /// The application has this delivery, and those before it on its channel.
    pub fn taken(&mut self, slot: usize, lease: u64) {
        let Some((q, last)) = self.leases(slot, |other| other.lease == lease).pop() else { return };
        let with_it =
            |other: &Lease| !other.taken && other.waiter == last.waiter && other.lease <= lease;
        let all = self.leases(slot, with_it);
        self.for_leases(q, &all, |lease| lease.taken = true);
        for message in self.queues[q].messages.iter_mut() {
            message.recalled &= !message.lease().is_some_and(|lease| lease.taken);
        }
        for (_, lease) in &all {
            if lease.auto_ack {
                self.end_leases(&[(slot, lease.lease, End::Acknowledged)]);
                continue;
            }
            let deadline = self.now + self.queues[q].lease;
            self.for_leases(q, &[(q, lease.clone())], |lease| {
                lease.deadline = Some(deadline);
                lease.recalled_for = None;
            });
            self.queues[q].note_taken(lease.waiter, lease.lease, self.now);
            self.recall_is_over(q, lease.recalled_for);
        }
    }

    fn for_leases(&mut self, q: usize, which: &[(usize, Lease)], change: impl Fn(&mut Lease)) {
        for lease in self.queues[q].messages.iter_mut().filter_map(Message::lease_mut) {
            let same = |(_, other): &(usize, Lease)| {
                (other.slot, other.lease) == (lease.slot, lease.lease)
            };
            if which.iter().any(same) {
                change(lease);
            }
        }
    }

    /// Whether there was such a lease to extend.
    pub fn extend(&mut self, slot: usize, lease: u64, by: u64) -> bool {
        let deadline = self.now + by;
        let found = self.leases(slot, |other| other.lease == lease);
        for (q, _) in &found {
            self.for_leases(*q, &found, |lease| lease.deadline = Some(deadline));
        }
        !found.is_empty()
    }

    pub fn withdraw(&mut self, slot: usize, ticket: u64) {
        for q in 0..self.queues.len() {
            let queue = &mut self.queues[q];
            let before = queue.messages.len();
            queue.messages.retain(|message| message.state != State::Blocked { slot, ticket });
            if queue.messages.len() < before {
                self.events.push(Event::Failed { slot, ticket, kind: ErrorKind::Withdrawn });
                self.admit(q);
            }
        }
    }

    pub fn purge(&mut self, q: usize) {
        let queue = &mut self.queues[q];
        queue.counts.dropped += queue.count();
        queue.messages.retain(|message| !Queue::is_waiting(&message));
        self.admit(q);
        self.queues[q].look_due = true;
    }

    /// The queue goes, with all that is in it; whoever waits is told.
    pub fn remove(&mut self, q: usize) {
        let queue = &mut self.queues[q];
        let kind = ErrorKind::Removed;
        for message in queue.messages.drain(..) {
            if let State::Blocked { slot, ticket } = message.state {
                self.events.push(Event::Failed { slot, ticket, kind });
            }
        }
        for waiter in queue.waiters.drain(..) {
            self.events.push(Event::Ended { slot: waiter.slot, channel: waiter.channel, kind });
        }
        queue.line.clear();
        queue.held.clear();
    }

    pub fn set_limits(&mut self, q: usize, count_max: u64, bytes_max: u64) {
        let queue = &mut self.queues[q];
        (queue.count_max, queue.bytes_max) = (count_max, bytes_max);
        let events = &mut self.events;
        queue.messages.retain(|message| match message.state {
            State::Blocked { slot, ticket } if message.cost() > bytes_max => {
                events.push(Event::Failed { slot, ticket, kind: ErrorKind::TooBig });
                false
            }
            _ => true,
        });
        self.admit(q);
    }

    /// The connection is lost: nobody waits any more for what the session cannot give back.
    pub fn suspend(&mut self, slot: usize, until: u64) {
        self.sessions[slot].connected = false;
        self.sessions[slot].away_until = Some(until);
        for (q, lease) in self.leases(slot, |lease| lease.recalled_for.is_some()) {
            self.for_leases(q, &[(q, lease.clone())], |lease| lease.recalled_for = None);
            self.recall_is_over(q, lease.recalled_for);
        }
    }

    /// It is back: its receivers take up what came meanwhile, and others may want what it has
    /// not looked at.
    pub fn resume(&mut self, slot: usize) {
        self.sessions[slot].connected = true;
        self.sessions[slot].away_until = None;
        let mut mine: Vec<(u32, usize, u64)> = Vec::new();
        for (q, queue) in self.queues.iter().enumerate() {
            let waiters = queue.waiters.iter().filter(|waiter| waiter.slot == slot);
            mine.extend(waiters.map(|waiter| (waiter.channel, q, waiter.number)));
        }
        mine.sort();
        // Queue by queue.
        while let Some((_, q, _)) = mine.first().copied() {
            let here = mine.extract_if(.., |(_, queue, _)| *queue == q);
            let line: Vec<u64> = here.map(|(_, _, number)| number).collect();
            self.serve_in_turn(q, line);
        }
        let mut held: Vec<usize> =
            self.leases(slot, |lease| !lease.taken).iter().map(|(q, _)| *q).collect();
        held.sort();
        held.dedup();
        for q in held {
            for number in self.queues[q].line.clone() {
                self.serve(q, number);
            }
        }
    }

    /// The session ends: what it has looked at goes back marked, and what it waits for is
    /// forgotten. If it was lost, the only one of a receiver is marked as well, and all are
    /// suspects. The rest goes back unmarked.
    pub fn end_session(&mut self, slot: usize, lost: bool) {
        self.sessions[slot].connected = false;
        self.sessions[slot].away_until = None;
        for queue in &mut self.queues {
            let mine = queue.waiters.iter().filter(|waiter| waiter.slot == slot);
            for number in mine.map(|waiter| waiter.number).collect::<Vec<_>>() {
                queue.drop_waiter(number);
            }
        }
        let all: Vec<Lease> =
            self.leases(slot, |_| true).into_iter().map(|(_, lease)| lease).collect();
        let back = |lease: &Lease| {
            let alone = all.iter().filter(|other| other.waiter == lease.waiter).count() == 1;
            match lost {
                true => End::Lost { marked: lease.taken || alone },
                false if lease.taken => End::Expired,
                false => End::Returned,
            }
        };
        let ended = all.iter().map(|lease| (slot, lease.lease, back(lease)));
        self.end_leases(&ended.collect::<Vec<_>>());
        let mine = |state: &State| matches!(state, State::Blocked { slot: by, .. } if *by == slot);
        for q in 0..self.queues.len() {
            self.queues[q].messages.retain(|message| !mine(&message.state));
            self.admit(q);
        }
    }

    /// The next moment at which something happens by itself.
    pub fn next_deadline(&self) -> Option<u64> {
        let messages = self.queues.iter().flat_map(|queue| &queue.messages);
        let of_messages = messages.filter_map(|message| match &message.state {
            State::Delayed { until } => Some(*until),
            State::Leased(lease) => lease.deadline,
            _ => None,
        });
        let of_sessions = self.sessions.iter().filter_map(|session| session.away_until);
        let waiters = self.queues.iter().flat_map(|queue| &queue.waiters);
        let of_waiters = waiters.filter_map(|waiter| waiter.patience);
        let waiters = self.queues.iter().flat_map(|queue| &queue.waiters);
        let of_cautious = waiters.filter_map(|waiter| waiter.cautious_until);
        of_messages.chain(of_sessions).chain(of_waiters).chain(of_cautious).min()
    }

    /// What is due: leases expire, delays end, sessions do. Gives the slots that ended.
    pub fn advance(&mut self) -> Vec<usize> {
        let now = self.now;
        let mut ended = Vec::new();
        let mut slots: Vec<usize> = (0..self.sessions.len()).collect();
        slots.sort_by_key(|slot| self.sessions[*slot].serial);
        for slot in slots {
            let due = self.leases(slot, |lease| lease.deadline.is_some_and(|at| at <= now));
            ended.extend(due.iter().map(|(_, lease)| (slot, lease.lease, End::Expired)));
            for (q, lease) in due.iter().filter(|(_, lease)| lease.taken) {
                self.trust(*q, lease.waiter);
            }
        }
        self.end_leases(&ended);
        self.serve_held();
        let over = |session: &Session| session.away_until.is_some_and(|at| at <= now);
        let over: Vec<usize> =
            (0..self.sessions.len()).filter(|slot| over(&self.sessions[*slot])).collect();
        for slot in &over {
            self.end_session(*slot, true);
            self.serve_held();
        }
        for q in 0..self.queues.len() {
            self.end_delays(q);
        }
        self.serve_held();
        for q in 0..self.queues.len() {
            let due = |waiter: &&Waiter| waiter.patience.is_some_and(|at| at <= now);
            let due = self.queues[q].waiters.iter().filter(due).map(|waiter| waiter.number);
            for number in due.collect::<Vec<_>>() {
                self.end_waiter(q, number, ErrorKind::Empty);
            }
        }
        self.end_cautions();
        over
    }

    fn end_delays(&mut self, q: usize) {
        let now = self.now;
        let due = |message: &Message| match message.state {
            State::Delayed { until } if until <= now => Some((until, message.arrival)),
            _ => None,
        };
        let mut all: Vec<_> = self.queues[q].messages.iter().filter_map(due).collect();
        all.sort();
        for (_, arrival) in all {
            let messages = &mut self.queues[q].messages;
            if let Some(at) = messages.iter().position(|message| message.arrival == arrival) {
                let message = messages.remove(at);
                self.put_back(q, message);
            }
        }
        self.admit(q);
    }
}
