//! Clients of both brokers while everything between them is cut, lost and begun anew, and things
//! are carried in any order.
//!
//! What must hold: a message that was accepted is in the end settled once, or lies once in the
//! queue or among the dead letters; nothing is delivered after it was settled, but what was on its
//! way to the guest when a session of the bridge was lost or its lease ran out; every send has one verdict, and what that says is so; what lies in the queue is in the order of its senders; and
//! nothing stays behind.

use std::time::Duration;

use bus_core::router::{
    Answer, Command, ConsumeOptions, Fault, Output, QueueChange, QueueOptions, SessionEnd,
};
use bus_core::{Message, MessageType, Selector};

use crate::books::Books;
use crate::dice::Dice;
use crate::events::payload;
use crate::world::{GRACE, LEASE, Place, World, name, open_jobs};

/// Clients in a case: those with even numbers are at home.
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
    Offer,
    Grant,
    Withdraw,
    Receive,
    Consume,
    Close,
    Credit,
    Taken,
    Return,
    Ack,
    Nack,
    Carry,
    Tick,
    Away,
    End,
    Cut,
    Mend,
    Lose,
    Restart,
}

const WEIGHTS: &[(u64, Verb)] = &[
    (30, Verb::Send),
    (8, Verb::Batch),
    (4, Verb::Offer),
    (6, Verb::Grant),
    (3, Verb::Withdraw),
    (10, Verb::Receive),
    (8, Verb::Consume),
    (3, Verb::Close),
    (2, Verb::Credit),
    (10, Verb::Taken),
    (4, Verb::Return),
    (24, Verb::Ack),
    (4, Verb::Nack),
    (80, Verb::Carry),
    (6, Verb::Tick),
    (3, Verb::Away),
    (2, Verb::End),
    (3, Verb::Cut),
    (6, Verb::Mend),
    (2, Verb::Lose),
    (1, Verb::Restart),
];

/// The case of a seed.
pub fn case(seed: u64) -> Vec<Step> {
    let mut dice = Dice::new(seed);
    let count = 100 + dice.below(200);
    (0..count)
        .map(|_| Step {
            verb: dice.weighted(WEIGHTS),
            who: dice.below(CLIENTS as u64) as usize,
            a: dice.roll() >> 8,
            b: dice.roll() >> 8,
        })
        .collect()
}

/// Runs a case: an error says what does not hold.
pub fn check(steps: &[Step], fault: Option<Fault>) -> Result<(), String> {
    // In every other case there is room for batches, and they are taken as such.
    let roomy = steps.first().is_some_and(|step| step.a.is_multiple_of(2));
    let mut storm = Storm::new(roomy, fault);
    for (at, step) in steps.iter().enumerate() {
        storm.step(step).map_err(|text| format!("step {at} {step:?}: {text}"))?;
    }
    storm.finish()
}

fn options(roomy: bool) -> QueueOptions {
    QueueOptions {
        count_max: if roomy { 60 } else { 6 },
        lease: LEASE,
        mode: Some(0o777),
        ..QueueOptions::default()
    }
}

fn place(who: usize) -> Place {
    if who.is_multiple_of(2) { Place::Home } else { Place::Guest }
}

struct Storm {
    roomy: bool,
    world: World,
    books: Books,
    away: [bool; CLIENTS],
    channels: u32,
}

impl Storm {
    fn new(roomy: bool, fault: Option<Fault>) -> Storm {
        let mut world = World::new(&options(roomy), fault);
        for who in 1..CLIENTS {
            world.join(who, place(who));
            world.tell(who, open_jobs(&options(roomy)));
        }
        world.settle();
        world.take_told();
        Storm { roomy, world, books: Books::new(CLIENTS), away: [false; CLIENTS], channels: 0 }
    }

    fn step(&mut self, step: &Step) -> Result<(), String> {
        self.world.now = self.world.now.after(Duration::from_nanos(1));
        let client = !matches!(
            step.verb,
            Verb::Carry
                | Verb::Tick
                | Verb::Away
                | Verb::End
                | Verb::Cut
                | Verb::Mend
                | Verb::Lose
                | Verb::Restart
        );
        if client && !self.away[step.who] {
            self.act(step);
        } else if !client {
            self.trouble(step)?;
        }
        self.hear()
    }

    fn hear(&mut self) -> Result<(), String> {
        let told = self.world.take_told();
        self.books.may_be_late = self.world.may_be_late();
        told.into_iter().try_for_each(|(who, output)| self.books.told(who, output))
    }

    fn act(&mut self, step: &Step) {
        let who = step.who;
        match step.verb {
            Verb::Send | Verb::Offer | Verb::Grant | Verb::Withdraw => self.send(step),
            Verb::Batch => self.send_together(step),
            Verb::Receive | Verb::Consume => self.receive(step),
            Verb::Close | Verb::Credit => {
                let Some((channel, once)) = self.books.receiver(who, step.a) else { return };
                if step.verb == Verb::Close {
                    self.books.clients[who].receivers.retain(|(other, _)| *other != channel);
                    self.world.tell(who, Command::Close { request: 0, channel });
                } else if !once {
                    let credit = (step.b % (self.most() + 1)) as u32;
                    let options = ConsumeOptions { credit, ..ConsumeOptions::default() };
                    let command = Command::Consume { request: 0, channel, queue: channel, options };
                    self.world.tell(who, command);
                }
            }
            _ => self.settle(step),
        }
    }

    fn send(&mut self, step: &Step) {
        let who = step.who;
        let no_wait = step.b.is_multiple_of(4);
        match step.verb {
            Verb::Withdraw => {
                if let Some(ticket) = self.books.open_ticket(who, step.a) {
                    self.books.withdraw(who, ticket);
                    self.world.tell(who, Command::Withdraw { ticket });
                }
            }
            Verb::Grant => {
                if let Some((ticket, kind)) = self.books.clients[who].granted.pop_front() {
                    let message = Message::new(kind, payload(ticket, 70_000));
                    self.world.tell(who, Command::Granted { ticket, message });
                }
            }
            _ => {
                let kind = MessageType::new(1 + step.a % 3).expect("1 to 3 are types");
                // While something is offered, what is of its type is offered too.
                let offers = step.verb == Verb::Offer || self.books.offers(who, kind);
                let ticket = self.books.sent(who, kind, offers);
                let command = match offers {
                    true => Command::Offer { channel: 0, ticket, kind, length: 70_000, no_wait },
                    false => {
                        let message = Message::new(kind, payload(ticket, 8));
                        Command::Send { channel: 0, ticket, message, no_wait }
                    }
                };
                self.world.tell(who, command);
            }
        }
    }

    fn send_together(&mut self, step: &Step) {
        let kind = MessageType::new(1 + step.a % 3).expect("1 to 3 are types");
        if self.books.offers(step.who, kind) {
            return;
        }
        let count = 8 + step.b % 32;
        let tickets: Vec<u64> =
            (0..count).map(|_| self.books.sent(step.who, kind, false)).collect();
        let length = |ticket: u64| 8 + (ticket * (step.b % 3)) as usize % 50;
        let message = |ticket: &u64| Message::new(kind, payload(*ticket, length(*ticket)));
        let messages: Vec<Message> = tickets.iter().map(message).collect();
        self.world.send_together(step.who, tickets[0], &messages);
    }

    fn receive(&mut self, step: &Step) {
        self.channels += 1;
        let (who, channel) = (step.who, self.channels);
        let once = step.verb == Verb::Receive;
        let kind = MessageType::new(1 + step.b % 3).expect("1 to 3 are types");
        let options = ConsumeOptions {
            selector: if step.a.is_multiple_of(3) { Selector::Upto(kind) } else { Selector::Any },
            credit: if once { 1 } else { 1 + (step.b % self.most()) as u32 },
            once,
            wait: !step.a.is_multiple_of(4),
            auto_ack: false,
            bytes_max: u64::MAX,
        };
        self.books.clients[who].receivers.push((channel, once));
        self.world.tell(who, Command::Consume { request: 0, channel, queue: 0, options });
    }

    /// The highest credit of a consumer.
    fn most(&self) -> u64 {
        if self.roomy { 50 } else { 3 }
    }

    fn settle(&mut self, step: &Step) {
        let who = step.who;
        let Some((lease, channel)) = self.books.lease(who, step.a) else { return };
        if self.roomy && step.verb == Verb::Ack {
            // As many as it holds in a row.
            let held = |lease: &u64| self.books.holds(who, *lease);
            let count = (lease..=lease + step.b % 40).take_while(held).count() as u32;
            (lease..lease + u64::from(count)).for_each(|it| self.books.settling(who, it, true));
            return self.world.tell(who, Command::Ack { first: lease, count });
        }
        let command = match step.verb {
            Verb::Taken => Command::Taken { channel, lease },
            Verb::Return => Command::Return { leases: vec![lease] },
            Verb::Ack => Command::Ack { first: lease, count: 1 },
            _ => Command::Nack { request: 0, lease, delay: Duration::ZERO },
        };
        if step.verb != Verb::Taken {
            self.books.settling(who, lease, step.verb == Verb::Ack);
        }
        self.world.tell(who, command);
    }

    fn trouble(&mut self, step: &Step) -> Result<(), String> {
        let side = if step.a.is_multiple_of(2) { Place::Home } else { Place::Guest };
        match step.verb {
            Verb::Carry => {
                self.world.carry(step.a);
            }
            Verb::Tick => {
                let time = Duration::from_millis(step.a % 3000);
                self.tick(time)?;
            }
            Verb::Away => {
                let away = !self.away[step.who];
                self.away[step.who] = away;
                self.world.set_away(step.who, away);
            }
            Verb::End => self.end(step.who, step.a.is_multiple_of(2))?,
            Verb::Cut if self.world.is_up(side) => {
                self.world.cut(side, step.b.is_multiple_of(2));
            }
            Verb::Mend if !self.world.is_up(side) => self.world.resume(side),
            Verb::Lose => self.world.lose(side),
            Verb::Restart => self.world.restart_bridge(),
            _ => {}
        }
        Ok(())
    }

    fn tick(&mut self, time: Duration) -> Result<(), String> {
        let until = self.world.now.after(time);
        while let Some(at) = self.world.next_deadline().filter(|at| *at <= until) {
            self.world.advance(at.max(self.world.now));
        }
        self.world.now = until;
        self.hear()?;
        // Sessions that have stayed away for too long are over.
        for who in 0..CLIENTS {
            if !self.world.is_there(who) {
                self.away[who] = false;
                self.renew(who);
            }
        }
        Ok(())
    }

    fn end(&mut self, who: usize, lost: bool) -> Result<(), String> {
        self.hear()?;
        let end = if lost { SessionEnd::Lost } else { SessionEnd::Goodbye };
        self.world.end(who, end);
        self.away[who] = false;
        self.renew(who);
        Ok(())
    }

    fn renew(&mut self, who: usize) {
        self.books.ended(who);
        self.world.join(who, place(who));
        self.world.tell(who, open_jobs(&options(self.roomy)));
    }

    fn finish(mut self) -> Result<(), String> {
        for side in [Place::Home, Place::Guest] {
            if !self.world.is_up(side) {
                self.world.resume(side);
            }
        }
        let change = QueueChange { count_max: Some(100_000), ..QueueChange::default() };
        for _ in 0..4 {
            self.world.settle();
            self.tick(GRACE)?;
            // The one who made the queue may change it.
            for who in 0..CLIENTS {
                if std::mem::take(&mut self.away[who]) {
                    self.world.set_away(who, false);
                }
                while let Some((ticket, kind)) = self.books.clients[who].granted.pop_front() {
                    let message = Message::new(kind, payload(ticket, 70_000));
                    self.world.tell(who, Command::Granted { ticket, message });
                }
            }
            let (name, change) = (name("jobs"), change.clone());
            self.world.tell(0, Command::SetQueue { request: 0, name, change });
            self.world.settle();
            self.hear()?;
        }
        self.books.check_verdicts()?;
        for who in 0..CLIENTS {
            self.world.end(who, SessionEnd::Goodbye);
        }
        self.world.settle();
        let stat = self.world.carrier.stat();
        let left: Vec<_> = stat.iter().map(|it| (it.leased, it.receivers, it.sends)).collect();
        if left != [(0, 0, 0)] {
            return Err(format!("the carrier keeps deliveries, receivers, sends {left:?}"));
        }
        let (queue, dead) = (self.contents("jobs"), self.contents("jobs.dead"));
        self.books.check_contents(&queue, &dead)
    }

    /// The numbers of the messages in a queue at home, in their order.
    fn contents(&mut self, text: &str) -> Vec<u64> {
        let who = CLIENTS;
        self.world.join(who, Place::Home);
        let name = name(text);
        let (open, options) = (bus_core::router::OpenMode::Open, QueueOptions::default());
        self.world.tell(who, Command::OpenQueue { request: 0, channel: 0, name, open, options });
        let mut found = Vec::new();
        loop {
            let (selector, index) = (Selector::Any, found.len() as u64);
            self.world.tell(who, Command::Peek { request: 1, queue: 0, selector, index });
            match self.world.take_told().pop() {
                Some((_, Output::Reply { result: Ok(Answer::Peeked(peeked)), .. })) => {
                    found.push(crate::events::number_of(peeked.message.payload()));
                }
                _ => break,
            }
        }
        self.world.end(who, SessionEnd::Goodbye);
        found
    }
}
