//! Drives the router and the model of queues with the same steps, and compares them after each.

use std::time::Duration;

use bus_core::router::{
    AdminAction, Answer, Command, Fault, Identity, ObjectKind, OpenMode, Output, QueueChange,
    QueueOptions, QueueStat, Router, RouterConfig, SessionEnd, SessionId,
};
use bus_core::{Name, Pattern, Selector, Sender, Time};

use crate::events::{compare, events, number_of};
use crate::queue_model::{Counts, Model, Queue, Session, State};
use crate::queue_steps::{QUEUES, SLOTS, Step, Verb};

const LEASE: u64 = 3_000_000_000;
const GRACE: u64 = 5_000_000_000;
const PARKED_MAX: u64 = 700;
const NAMES: [&str; QUEUES] = ["one", "two"];

/// Runs a case with a planted bug, or none: an error says where router and model differ.
pub fn check(steps: &[Step], fault: Option<Fault>) -> Result<(), String> {
    let mut pair = Pair::new(fault);
    for (at, step) in steps.iter().enumerate() {
        pair.step(step).map_err(|text| format!("step {at} {step:?}: {text}"))?;
    }
    pair.compare_contents()
}

/// The router, its model, and a session that only looks.
pub struct Pair {
    router: Router,
    pub model: Model,
    slots: Vec<Option<SessionId>>,
    observer: SessionId,
    pub ticket: u64,
    request: u32,
}

fn identity(admin: bool) -> Identity {
    let sender = Sender { uid: Some(1), gid: Some(1), ..Sender::default() };
    Identity { sender, admin, ..Identity::default() }
}

fn name(text: &str) -> Name {
    Name::new(text).expect("a literal name")
}

impl Pair {
    fn new(fault: Option<Fault>) -> Pair {
        let config = RouterConfig { parked_bytes_max: PARKED_MAX, ..RouterConfig::default() };
        let mut router = Router::new(config);
        let observer = router.open_session(Time::ZERO, identity(true), Duration::ZERO);
        let mut pair = Pair {
            observer: observer.expect("the first session"),
            router,
            model: Model { parked_max: PARKED_MAX, ..Model::default() },
            slots: vec![None; SLOTS],
            ticket: 0,
            request: 0,
        };
        for slot in 0..SLOTS {
            pair.open_slot(slot);
            for q in 0..QUEUES {
                pair.open_queue(slot, q);
            }
        }
        for q in 0..QUEUES {
            pair.new_queue(q, Vec::new());
        }
        pair.router.take_effects(Vec::new());
        if let Some(fault) = fault {
            pair.router.plant(fault);
        }
        pair
    }

    fn open_slot(&mut self, slot: usize) {
        let opened =
            self.router.open_session(self.now(), identity(false), Duration::from_nanos(GRACE));
        let session = opened.expect("far below the limit");
        self.slots[slot] = Some(session);
        let entry =
            Session { serial: session.serial(), connected: true, leases: 0, away_until: None };
        match self.model.sessions.get_mut(slot) {
            Some(old) => *old = entry,
            None => self.model.sessions.push(entry),
        }
    }

    /// Opens a queue on the channel of its number.
    fn open_queue(&mut self, slot: usize, q: usize) {
        let options = QueueOptions {
            bytes_max: 420,
            count_max: 3,
            lease: Duration::from_nanos(LEASE),
            deliveries_max: 3,
            ..QueueOptions::default()
        };
        let (name, channel) = (name(NAMES[q]), q as u32);
        let open = OpenMode::OpenOrCreate;
        self.tell(slot, Command::OpenQueue { request: 0, channel, name, open, options });
    }

    fn new_queue(&mut self, q: usize, grave: Vec<u64>) {
        let queue = Queue {
            serial: self.model.next(),
            bytes_max: 420,
            count_max: 3,
            deliveries_max: 3,
            lease: LEASE,
            messages: Vec::new(),
            waiters: Vec::new(),
            line: Vec::new(),
            held: Vec::new(),
            look_due: false,
            grave,
            counts: Counts::default(),
        };
        match self.model.queues.get_mut(q) {
            Some(old) => *old = queue,
            None => self.model.queues.push(queue),
        }
    }

    fn now(&self) -> Time {
        Time::from_nanos(self.model.now)
    }

    pub fn tell(&mut self, slot: usize, command: Command) {
        if let Some(session) = self.slots[slot] {
            self.router.handle(self.now(), session, command);
        }
    }

    pub fn request(&mut self) -> u32 {
        self.request += 1;
        self.request
    }

    fn step(&mut self, step: &Step) -> Result<(), String> {
        self.model.now += 1;
        let away = !self.model.sessions[step.slot].connected;
        let also_away = matches!(step.verb, Verb::Tick | Verb::Resume | Verb::End);
        if away && !also_away {
            return Ok(());
        }
        match step.verb {
            Verb::Send | Verb::TrySend => self.send(step),
            Verb::Withdraw => self.withdraw(step),
            Verb::Receive | Verb::TryReceive | Verb::Consume => self.consume(step),
            Verb::Credit | Verb::Close => self.change_waiter(step),
            Verb::Taken | Verb::Return => self.look_at(step),
            Verb::Ack | Verb::Nack | Verb::Extend | Verb::Reject => self.settle(step),
            Verb::Tick => return self.tick(step.a % 2_000_000_000),
            Verb::Suspend | Verb::Resume | Verb::End => self.connection(step),
            Verb::Purge | Verb::Remove | Verb::Limits => self.administer(step),
        }
        self.compare()
    }

    /// Time passes, from deadline to deadline.
    fn tick(&mut self, nanos: u64) -> Result<(), String> {
        let target = self.model.now + nanos;
        loop {
            let wanted = self.router.next_deadline().map(Time::as_nanos);
            let expected = self.model.next_deadline();
            // It may look sooner, and find nothing to do; never later.
            if expected.is_some_and(|at| wanted.is_none_or(|wanted| wanted > at)) {
                return Err(format!("wants to be woken at {wanted:?}, not at {expected:?}"));
            }
            let Some(at) = wanted.filter(|at| *at <= target) else { break };
            self.model.now = self.model.now.max(at);
            self.router.advance(self.now());
            let over = self.model.advance();
            for slot in over {
                self.slots[slot] = None;
            }
            self.compare()?;
            self.reopen();
        }
        self.model.now = target;
        self.router.advance(self.now());
        self.compare()
    }

    fn connection(&mut self, step: &Step) {
        let Some(session) = self.slots[step.slot] else { return };
        let connected = self.model.sessions[step.slot].connected;
        match step.verb {
            Verb::Suspend => {
                self.router.suspend(self.now(), session);
                self.model.suspend(step.slot, self.model.now + GRACE);
            }
            Verb::Resume if !connected => {
                self.router.resume(self.now(), session);
                self.model.resume(step.slot);
            }
            Verb::End => {
                let lost = step.a.is_multiple_of(2);
                let end = if lost { SessionEnd::Lost } else { SessionEnd::Goodbye };
                self.router.close_session(self.now(), session, end);
                self.slots[step.slot] = None;
                self.model.end_session(step.slot, lost);
            }
            _ => {}
        }
    }

    /// New sessions in the place of those that ended.
    fn reopen(&mut self) {
        for slot in 0..SLOTS {
            if self.slots[slot].is_none() {
                self.open_slot(slot);
                (0..QUEUES).for_each(|q| self.open_queue(slot, q));
            }
        }
    }

    fn administer(&mut self, step: &Step) {
        let (name, object) = (name(NAMES[step.q]), ObjectKind::Queue);
        let purge = AdminAction::Purge;
        match step.verb {
            Verb::Purge => {
                self.tell(step.slot, Command::Admin { request: 0, name, object, action: purge });
                self.model.purge(step.q);
            }
            Verb::Limits => {
                let (count, bytes) = (1 + step.a % 4, 150 + step.b % 400);
                let change = QueueChange {
                    count_max: Some(count),
                    bytes_max: Some(bytes),
                    ..QueueChange::default()
                };
                self.tell(step.slot, Command::SetQueue { request: 0, name, change });
                self.model.set_limits(step.q, count, bytes);
            }
            _ => {
                let action = AdminAction::Remove;
                self.tell(step.slot, Command::Admin { request: 0, name, object, action });
                self.model.remove(step.q);
                let grave = std::mem::take(&mut self.model.queues[step.q].grave);
                for slot in 0..SLOTS {
                    self.tell(slot, Command::Close { request: 0, channel: step.q as u32 });
                    self.open_queue(slot, step.q);
                }
                self.new_queue(step.q, grave);
            }
        }
    }

    fn compare(&mut self) -> Result<(), String> {
        self.model.serve_held();
        let effects = self.router.take_effects(Vec::new());
        let found = events(effects, &self.slots);
        let alive = |slot: usize| self.slots[slot].is_some();
        let expected = std::mem::take(&mut self.model.events);
        let expected = expected.into_iter().filter(|event| alive(event.slot())).collect();
        compare(found, expected)?;
        self.reopen();
        self.compare_statistics()
    }

    fn ask(&mut self, command: Command) -> Option<Answer> {
        self.router.handle(self.now(), self.observer, command);
        match self.router.take_effects(Vec::new()).pop()?.output {
            Output::Reply { result, .. } => result.ok(),
            _ => None,
        }
    }

    fn compare_statistics(&mut self) -> Result<(), String> {
        let pattern = Pattern::new("*").expect("a literal pattern");
        let object = ObjectKind::Queue;
        let listing = self.ask(Command::List { request: 1, pattern, object, after: None });
        let Some(Answer::Listing(listing)) = listing else { return Err("no listing".into()) };
        for (queue, text) in self.model.queues.iter().zip(NAMES) {
            let stat = listing.queues.iter().find(|stat| stat.name.as_str() == text);
            let found = stat.map(numbers);
            let expected = Some(queue_numbers(queue));
            if found != expected {
                return Err(format!("queue {text}: {found:?} instead of {expected:?}"));
            }
        }
        Ok(())
    }

    /// At the end: what lies in the queues and in their dead letters, in order.
    fn compare_contents(&mut self) -> Result<(), String> {
        for (queue, text) in self.model.queues.clone().into_iter().zip(NAMES) {
            let mut queued = queue.messages;
            queued.retain(|message| message.state == State::Queued);
            queued.sort_by_key(|message| message.arrival);
            let queued: Vec<u64> = queued.iter().map(|message| message.number).collect();
            self.compare_content(text, queued)?;
            self.compare_content(&format!("{text}.dead"), queue.grave)?;
        }
        Ok(())
    }

    fn compare_content(&mut self, text: &str, expected: Vec<u64>) -> Result<(), String> {
        let (name, open, options) = (name(text), OpenMode::Open, QueueOptions::default());
        self.ask(Command::OpenQueue { request: 1, channel: 0, name, open, options });
        let (selector, mut found) = (Selector::Any, Vec::new());
        while let Some(Answer::Peeked(peeked)) =
            self.ask(Command::Peek { request: 1, queue: 0, selector, index: found.len() as u64 })
        {
            found.push(number_of(peeked.message.payload()));
        }
        self.ask(Command::Close { request: 1, channel: 0 });
        match found == expected {
            true => Ok(()),
            false => Err(format!("queue {text} holds {found:?} instead of {expected:?}")),
        }
    }
}

/// Messages, bytes, leased, blocked, waiting, and what has been counted.
type Numbers = ([u64; 5], Counts);

fn numbers(stat: &QueueStat) -> Numbers {
    let counts = Counts {
        accepted: stat.accepted,
        delivered: stat.delivered,
        acked: stat.acked,
        redelivered: stat.redelivered,
        dead: stat.dead,
        dropped: stat.dropped,
    };
    ([stat.messages, stat.bytes, stat.leased, stat.blocked, stat.waiting], counts)
}

fn queue_numbers(queue: &Queue) -> Numbers {
    let waiting = queue.line.len() as u64;
    let now = [queue.count(), queue.bytes(), queue.leased(), queue.blocked(), waiting];
    (now, queue.counts)
}
