//! The same commands for clients of two brokers, one of which hosts the queue, and for clients of
//! one broker alone: everybody must be told the same.
//!
//! Everything is carried before the next command, so that no order is left to chance. Clients
//! with even numbers are at home, the others at the guest.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bus_core::router::{
    AdminAction, Command, ConsumeOptions, Fault, Lease, ObjectKind, Output, QueueChange,
    QueueOptions, Router, SessionEnd, SessionId,
};
use bus_core::{Message, MessageType, Sender, Time};

use crate::dice::Dice;
use crate::events::{Event, compare, payload};
use crate::told::{selector, stat};
use crate::world::{BRIDGE, GRACE, Place, World, client, name, open_jobs, router, sender_of};

/// Clients in a case.
const CLIENTS: usize = 4;

/// One step: what, by whom, and numbers that it takes as it likes.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    verb: Verb,
    who: usize,
    a: u64,
    b: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verb {
    Send,
    Batch,
    TrySend,
    Withdraw,
    Receive,
    TryReceive,
    Consume,
    Credit,
    Close,
    Taken,
    Return,
    Ack,
    Nack,
    Extend,
    Reject,
    Tick,
    End,
    Purge,
    Limits,
}

const WEIGHTS: &[(u64, Verb)] = &[
    (30, Verb::Send),
    (8, Verb::Batch),
    (6, Verb::TrySend),
    (4, Verb::Withdraw),
    (14, Verb::Receive),
    (4, Verb::TryReceive),
    (7, Verb::Consume),
    (4, Verb::Credit),
    (3, Verb::Close),
    (14, Verb::Taken),
    (12, Verb::Return),
    (14, Verb::Ack),
    (7, Verb::Nack),
    (2, Verb::Extend),
    (3, Verb::Reject),
    (6, Verb::Tick),
    (3, Verb::End),
    (1, Verb::Purge),
    (2, Verb::Limits),
];

/// The case of a seed.
pub fn case(seed: u64) -> Vec<Step> {
    let mut dice = Dice::new(seed);
    let count = 40 + dice.below(120);
    (0..count)
        .map(|_| Step {
            verb: dice.weighted(WEIGHTS),
            who: dice.below(CLIENTS as u64) as usize,
            a: dice.roll() >> 8,
            b: dice.roll() >> 8,
        })
        .collect()
}

/// Runs a case: an error says where the two differ.
pub fn check(steps: &[Step], fault: Option<Fault>) -> Result<(), String> {
    // In every other case there is room for batches, and they are taken as such.
    let roomy = steps.first().is_some_and(|step| step.a.is_multiple_of(2));
    let mut both = Both::new(roomy, fault);
    for (at, step) in steps.iter().enumerate() {
        both.step(step).map_err(|text| format!("step {at} {step:?}: {text}"))?;
    }
    Ok(())
}

fn options(roomy: bool) -> QueueOptions {
    let (bytes_max, count_max) = if roomy { (12_000, 90) } else { (420, 3) };
    QueueOptions {
        bytes_max,
        count_max,
        lease: Duration::from_secs(3),
        deliveries_max: 3,
        mode: Some(0o777),
        ..QueueOptions::default()
    }
}

fn place(who: usize) -> Place {
    if who.is_multiple_of(2) { Place::Home } else { Place::Guest }
}

/// What a client has, as the broker alone tells it.
#[derive(Default)]
struct Has {
    /// Deliveries that are not settled, and the channels that bore them.
    leases: BTreeMap<Lease, u32>,
    /// The last one that was given.
    last: Lease,
    /// Channels, whether they take one message only, and their credit.
    receivers: Vec<(u32, bool, u32)>,
    tickets: Vec<u64>,
    next_channel: u32,
}

struct Both {
    roomy: bool,
    alone: Router,
    sessions: Vec<SessionId>,
    world: World,
    clients: Vec<Has>,
    now: Time,
    ticket: u64,
    request: u32,
}

impl Both {
    fn new(roomy: bool, fault: Option<Fault>) -> Both {
        let mut alone = router(1);
        let mut world = World::new(&options(roomy), fault);
        let mut sessions = Vec::new();
        for who in 0..CLIENTS {
            let session = alone.open_session(Time::ZERO, client(who), GRACE).expect("a session");
            alone.handle(Time::ZERO, session, open_jobs(&options(roomy)));
            sessions.push(session);
            if who > 0 {
                world.join(who, place(who));
                world.tell(who, open_jobs(&options(roomy)));
            }
        }
        world.settle();
        world.take_told();
        alone.take_effects(Vec::new());
        let clients = (0..CLIENTS).map(|_| Has { next_channel: 1, ..Has::default() }).collect();
        Both { roomy, alone, sessions, world, clients, now: Time::ZERO, ticket: 0, request: 0 }
    }

    fn tell(&mut self, who: usize, command: Command) {
        self.alone.handle(self.now, self.sessions[who], command.clone());
        self.world.tell(who, command);
    }

    fn step(&mut self, step: &Step) -> Result<(), String> {
        self.now = self.now.after(Duration::from_nanos(1));
        self.world.now = self.now;
        match step.verb {
            Verb::Tick => return self.tick(Duration::from_nanos(step.a % 2_000_000_000)),
            Verb::End => self.end(step),
            Verb::Purge | Verb::Limits => self.administer(step),
            Verb::Send | Verb::TrySend | Verb::Withdraw => self.send(step),
            Verb::Batch => self.send_together(step),
            Verb::Receive | Verb::TryReceive | Verb::Consume => self.receive(step),
            Verb::Credit | Verb::Close => self.change(step),
            _ => self.settle(step),
        }
        self.compare()
    }

    fn send(&mut self, step: &Step) {
        let who = step.who;
        if step.verb == Verb::Withdraw {
            let tickets = &self.clients[who].tickets;
            if !tickets.is_empty() {
                let ticket = tickets[step.a as usize % tickets.len()];
                self.tell(who, Command::Withdraw { ticket });
            }
            return;
        }
        self.ticket += 1;
        let ticket = self.ticket;
        let kind = MessageType::new(1 + step.a % 5).expect("1 to 5 are types");
        let message = Message::new(kind, payload(ticket, 8 + step.b as usize % 200));
        let no_wait = step.verb == Verb::TrySend;
        self.clients[who].tickets.push(ticket);
        self.tell(who, Command::Send { channel: 0, ticket, message, no_wait });
    }

    /// What goes together here goes one by one to the broker alone.
    fn send_together(&mut self, step: &Step) {
        let (who, first, count) = (step.who, self.ticket + 1, 8 + step.b % 32);
        let kind = MessageType::new(1 + step.a % 5).expect("1 to 5 are types");
        let uneven = if step.b.is_multiple_of(3) { 20 } else { 0 };
        let length = |ticket: u64| 8 + (ticket % 7) as usize * uneven;
        self.ticket += count;
        let messages: Vec<Message> = (first..=self.ticket)
            .map(|ticket| Message::new(kind, payload(ticket, length(ticket))))
            .collect();
        for (ticket, message) in (first..).zip(&messages) {
            let command =
                Command::Send { channel: 0, ticket, message: message.clone(), no_wait: false };
            self.alone.handle(self.now, self.sessions[who], command);
            self.clients[who].tickets.push(ticket);
        }
        self.world.send_together(who, first, &messages);
    }

    fn receive(&mut self, step: &Step) {
        let has = &mut self.clients[step.who];
        let channel = has.next_channel;
        has.next_channel += 1;
        let once = step.verb != Verb::Consume;
        let most = if self.roomy { 50 } else { 3 };
        let credit = if once { 1 } else { 1 + (step.b % most) as u32 };
        has.receivers.push((channel, once, credit));
        let options = ConsumeOptions {
            selector: selector(step.a),
            credit,
            once,
            wait: step.verb != Verb::TryReceive,
            auto_ack: step.b.is_multiple_of(5),
            bytes_max: if step.a.is_multiple_of(9) { 100 } else { u64::MAX },
        };
        self.tell(step.who, Command::Consume { request: 0, channel, queue: 0, options });
    }

    fn change(&mut self, step: &Step) {
        let has = &mut self.clients[step.who];
        if has.receivers.is_empty() {
            return;
        }
        let at = step.a as usize % has.receivers.len();
        let (channel, once, before) = has.receivers[at];
        if step.verb == Verb::Close {
            has.receivers.remove(at);
            return self.tell(step.who, Command::Close { request: 0, channel });
        }
        let credit = (step.b % if self.roomy { 60 } else { 4 }) as u32;
        // Over a bridge no change is no news: nobody is looked at again for it.
        if once || credit == before {
            return;
        }
        has.receivers[at].2 = credit;
        let options = ConsumeOptions { credit, ..ConsumeOptions::default() };
        self.tell(step.who, Command::Consume { request: 0, channel, queue: channel, options });
    }

    fn settle(&mut self, step: &Step) {
        let (who, has) = (step.who, &mut self.clients[step.who]);
        // Now and then one that is over.
        let nth = step.a as usize % has.leases.len().max(1);
        let Some((lease, channel)) = has.leases.iter().nth(nth).map(|(l, c)| (*l, *c)) else {
            return;
        };
        self.request += 1;
        let request = self.request;
        let kept = matches!(step.verb, Verb::Taken | Verb::Extend) || step.b.is_multiple_of(16);
        if !kept {
            has.leases.remove(&lease);
        }
        let command = match step.verb {
            Verb::Taken => Command::Taken { channel, lease },
            Verb::Return => Command::Return { leases: vec![lease] },
            Verb::Ack => {
                // Nobody acknowledges what was not given.
                let mut last = (lease + step.b % 3).min(has.last);
                // Many over a gap are served in parts, so that the line may be another.
                if self.roomy {
                    let held = |it: &Lease| has.leases.contains_key(it);
                    last =
                        (lease + 1..lease + step.b % 40).take_while(held).last().unwrap_or(lease);
                }
                has.leases.retain(|other, _| !(lease..=last).contains(other));
                Command::Ack { first: lease, count: (last + 1 - lease) as u32 }
            }
            Verb::Nack => {
                let delay = Duration::from_millis(step.b % 2 * 700);
                Command::Nack { request, lease, delay }
            }
            Verb::Extend => Command::Extend { request, lease, by: Duration::from_secs(4) },
            _ => Command::Reject { request, lease, reason: "a reason".into() },
        };
        self.tell(who, command);
    }

    fn end(&mut self, step: &Step) {
        let who = step.who;
        let end = if step.a.is_multiple_of(2) { SessionEnd::Lost } else { SessionEnd::Goodbye };
        self.alone.close_session(self.now, self.sessions[who], end);
        self.world.end(who, end);
        self.world.settle();
        let session = self.alone.open_session(self.now, client(who), GRACE).expect("a session");
        self.sessions[who] = session;
        self.world.join(who, place(who));
        self.clients[who] = Has { next_channel: 1, ..Has::default() };
        self.tell(who, open_jobs(&options(self.roomy)));
    }

    fn administer(&mut self, step: &Step) {
        let (name, object) = (name("jobs"), ObjectKind::Queue);
        let command = match step.verb {
            Verb::Purge => Command::Admin { request: 0, name, object, action: AdminAction::Purge },
            _ => {
                let times = if self.roomy { 30 } else { 1 };
                let (count_max, bytes_max) =
                    (Some(times * (1 + step.a % 4)), Some(times * (150 + step.b % 400)));
                let change = QueueChange { count_max, bytes_max, ..QueueChange::default() };
                Command::SetQueue { request: 0, name, change }
            }
        };
        // At its home.
        self.tell(0, command);
    }

    fn tick(&mut self, time: Duration) -> Result<(), String> {
        let until = self.now.after(time);
        loop {
            let both = [self.alone.next_deadline(), self.world.next_deadline()];
            let next = both.into_iter().flatten().min();
            let Some(at) = next.filter(|at| *at <= until) else { break };
            self.now = self.now.max(at);
            self.alone.advance(self.now);
            self.world.advance(self.now);
            self.compare()?;
        }
        self.now = until;
        Ok(())
    }

    fn compare(&mut self) -> Result<(), String> {
        self.world.settle();
        let mut effects = self.alone.take_effects(Vec::new());
        for effect in &mut effects {
            if let Output::Lease { sender, .. } | Output::LeaseParcel { sender, .. } =
                &mut effect.output
            {
                // Home knows those at the guest by the bridge.
                let who = sender_of(sender) as usize;
                let session = if place(who) == Place::Guest { BRIDGE } else { who as u64 };
                *sender = Arc::new(Sender { session, ..Sender::default() });
            }
        }
        let slot = |session| self.sessions.iter().position(|known| *known == session);
        let told = effects.into_iter().filter_map(|it| Some((slot(it.session)?, it.output)));
        let expected = crate::told::events(told.collect());
        let found = crate::told::events(self.world.take_told());
        for event in &expected {
            self.note(event);
        }
        // What is on its way to be settled need not be asked back.
        let settled = |event: &Event| match *event {
            Event::Recall { slot, lease } => expected.contains(&Event::Settled { slot, lease }),
            _ => false,
        };
        let kept = |events: &[Event]| events.iter().filter(|it| !settled(it)).cloned().collect();
        compare(kept(&found), kept(&expected))?;
        let (found, expected) = (stat(&mut self.world.home), stat(&mut self.alone));
        match found == expected {
            true => Ok(()),
            false => Err(format!("the queue is {found:?} instead of {expected:?}")),
        }
    }

    fn note(&mut self, event: &Event) {
        let has = &mut self.clients[event.slot()];
        match event {
            Event::Lease(delivery) => {
                has.leases.insert(delivery.lease, delivery.channel);
                has.last = delivery.lease;
            }
            Event::Accepted { ticket, .. } | Event::Failed { ticket, .. } => {
                has.tickets.retain(|other| other != ticket);
            }
            Event::Ended { channel, .. } => has.receivers.retain(|(other, ..)| other != channel),
            _ => {}
        }
    }
}
