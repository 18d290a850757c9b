//! Large messages: offered, granted, sent. What must hold whatever happens on the way.
//!
//! Each accepted message ends in exactly one place, what was withdrawn or failed nowhere, and
//! the first deliveries of one sender, queue and type come in the order of its sends. For that
//! a sender offers whatever of a type follows an offer that is not filled, as clients do.

use std::collections::{BTreeMap, BTreeSet};

use bus_core::router::{
    Command, ConsumeOptions, OpenMode, Output, QueueOptions, Router, RouterConfig, SessionEnd,
    SessionId,
};
use bus_core::{ErrorKind, Message, Time};

use crate::bus::{credit, kind, name, user};
use crate::dice::{self, Dice};
use crate::events::{number_of, payload};

const SLOTS: usize = 3;
const COUNT_MAX: u64 = 3;

#[derive(Clone, Copy, Debug)]
enum Step {
    Send { slot: usize, kind: u64, length: u64, no_wait: bool, offered: bool },
    Fill { slot: usize },
    Withdraw { slot: usize, pick: u64 },
    Receive { slot: usize, number: u64 },
    Settle { slot: usize, pick: u64, how: u64 },
    End { slot: usize },
}

fn case(seed: u64) -> Vec<Step> {
    let mut dice = Dice::new(seed);
    let count = 30 + dice.below(120);
    (0..count).map(|_| step(&mut dice)).collect()
}

fn step(dice: &mut Dice) -> Step {
    let slot = dice.below(SLOTS as u64) as usize;
    match dice.below(100) {
        0..35 => Step::Send {
            slot,
            kind: 1 + dice.below(3),
            length: 8 + dice.below(150),
            no_wait: dice.chance(15),
            offered: dice.chance(60),
        },
        35..55 => Step::Fill { slot },
        55..60 => Step::Withdraw { slot, pick: dice.roll() },
        60..80 => Step::Receive { slot, number: dice.roll() },
        80..99 => Step::Settle { slot, pick: dice.roll(), how: dice.below(6) },
        _ => Step::End { slot },
    }
}

/// What became of a send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Open,
    Accepted,
    Failed,
    /// Its session ended before it was answered.
    Unknown,
}

#[derive(Clone, Debug)]
struct Sent {
    session: u64,
    kind: u64,
    length: u64,
    fate: Fate,
    /// Offered, and not sent yet.
    unfilled: bool,
    deliveries: u32,
    done: bool,
}

struct World {
    router: Router,
    slots: Vec<SessionId>,
    sent: BTreeMap<u64, Sent>,
    /// Granted and not filled, in the order of the grants.
    grants: Vec<(usize, u64)>,
    /// Deliveries that are not settled.
    held: Vec<(usize, u32, u64, u64)>,
    /// The latest first delivery of each sender and type.
    last: BTreeMap<(u64, u64), u64>,
    channels: u32,
}

fn check(steps: &[Step]) -> Result<(), String> {
    let mut world = World::new();
    for (at, step) in steps.iter().enumerate() {
        world.step(step).map_err(|text| format!("step {at} {step:?}: {text}"))?;
    }
    world.drain()
}

impl World {
    fn new() -> World {
        let mut world = World {
            router: Router::new(RouterConfig { parked_bytes_max: 900, ..RouterConfig::default() }),
            slots: Vec::new(),
            sent: BTreeMap::new(),
            grants: Vec::new(),
            held: Vec::new(),
            last: BTreeMap::new(),
            channels: 1,
        };
        for _ in 0..SLOTS {
            let session = world.open();
            world.slots.push(session);
        }
        world
    }

    fn open(&mut self) -> SessionId {
        let session = self.router.open_session(Time::ZERO, user(1, 1), std::time::Duration::ZERO);
        let session = session.expect("far below the limit");
        let options =
            QueueOptions { bytes_max: 500, count_max: COUNT_MAX, ..QueueOptions::default() };
        let (name, open) = (name("jobs"), OpenMode::OpenOrCreate);
        let command = Command::OpenQueue { request: 0, channel: 0, name, open, options };
        self.router.handle(Time::ZERO, session, command);
        session
    }

    fn tell(&mut self, slot: usize, command: Command) -> Result<(), String> {
        self.router.handle(Time::ZERO, self.slots[slot], command);
        self.take_effects()
    }

    fn step(&mut self, step: &Step) -> Result<(), String> {
        match *step {
            Step::Send { slot, kind, length, no_wait, offered } => {
                self.send(slot, kind, length, no_wait, offered)
            }
            Step::Fill { slot } => self.fill(slot),
            Step::Withdraw { slot, pick } => {
                let session = self.slots[slot].serial();
                let open =
                    |(_, sent): &(&u64, &Sent)| sent.session == session && sent.fate == Fate::Open;
                let all: Vec<u64> =
                    self.sent.iter().filter(open).map(|(number, _)| *number).collect();
                match pick.checked_rem(all.len() as u64) {
                    Some(at) => self.tell(slot, Command::Withdraw { ticket: all[at as usize] }),
                    None => Ok(()),
                }
            }
            Step::Receive { slot, number } => self.receive(slot, number),
            Step::Settle { slot, pick, how } => self.settle(slot, pick, how),
            Step::End { slot } => self.end(slot),
        }
    }

    fn send(
        &mut self,
        slot: usize,
        type_number: u64,
        length: u64,
        no_wait: bool,
        offered: bool,
    ) -> Result<(), String> {
        let ticket = self.sent.len() as u64 + 1;
        let session = self.slots[slot].serial();
        let unfilled = |sent: &Sent| {
            let mine = (sent.session, sent.kind) == (session, type_number);
            mine && sent.unfilled && sent.fate == Fate::Open
        };
        let unfilled = offered || self.sent.values().any(unfilled);
        let (fate, deliveries, done) = (Fate::Open, 0, false);
        let sent = Sent { session, kind: type_number, length, fate, unfilled, deliveries, done };
        self.sent.insert(ticket, sent);
        let kind = kind(type_number);
        match unfilled {
            true => self.tell(slot, Command::Offer { channel: 0, ticket, kind, length, no_wait }),
            false => {
                let message = Message::new(kind, payload(ticket, length as usize));
                self.tell(slot, Command::Send { channel: 0, ticket, message, no_wait })
            }
        }
    }

    /// A client fills its grants in their order.
    fn fill(&mut self, slot: usize) -> Result<(), String> {
        let Some(at) = self.grants.iter().position(|(by, _)| *by == slot) else { return Ok(()) };
        let (_, ticket) = self.grants.remove(at);
        let Some(sent) = self.sent.get_mut(&ticket) else { return Ok(()) };
        sent.unfilled = false;
        let message = Message::new(kind(sent.kind), payload(ticket, sent.length as usize));
        self.tell(slot, Command::Granted { ticket, message })
    }

    fn receive(&mut self, slot: usize, number: u64) -> Result<(), String> {
        self.channels += 1;
        let options = ConsumeOptions {
            selector: crate::queue_steps::selector(number),
            once: number % 16 < 12,
            wait: number % 16 != 1,
            bytes_max: if number % 16 == 2 { 60 } else { u64::MAX },
            ..credit((number % 3 + 1) as u32)
        };
        let channel = self.channels;
        self.tell(slot, Command::Consume { request: 0, channel, queue: 0, options })
    }

    fn settle(&mut self, slot: usize, pick: u64, how: u64) -> Result<(), String> {
        let mine: Vec<usize> = (0..self.held.len()).filter(|at| self.held[*at].0 == slot).collect();
        let Some(at) = pick.checked_rem(mine.len() as u64) else { return Ok(()) };
        let (_, channel, lease, number) = self.held.remove(mine[at as usize]);
        match how {
            0 => self.tell(slot, Command::Return { leases: vec![lease] }),
            1 => {
                let delay = std::time::Duration::ZERO;
                self.tell(slot, Command::Nack { request: 0, lease, delay })
            }
            _ => {
                self.sent.entry(number).and_modify(|sent| sent.done = true);
                self.tell(slot, Command::Taken { channel, lease })?;
                self.tell(slot, Command::Ack { first: lease, count: 1 })
            }
        }
    }

    fn end(&mut self, slot: usize) -> Result<(), String> {
        let session = self.slots[slot];
        self.router.close_session(Time::ZERO, session, SessionEnd::Lost);
        self.slots[slot] = self.open();
        self.grants.retain(|(by, _)| *by != slot);
        self.held.retain(|(by, ..)| *by != slot);
        for sent in self.sent.values_mut().filter(|sent| sent.session == session.serial()) {
            if sent.fate == Fate::Open {
                sent.fate = Fate::Unknown;
            }
        }
        self.take_effects()
    }

    fn take_effects(&mut self) -> Result<(), String> {
        for effect in self.router.take_effects(Vec::new()) {
            let Some(slot) = self.slots.iter().position(|slot| *slot == effect.session) else {
                continue;
            };
            match effect.output {
                Output::Grant { ticket } => self.grants.push((slot, ticket)),
                Output::Accepted { first, .. } => self.decide(first, Fate::Accepted)?,
                Output::Failed { ticket, failure } => {
                    self.grants.retain(|(_, other)| *other != ticket);
                    let expected = [
                        ErrorKind::QueueFull,
                        ErrorKind::Withdrawn,
                        ErrorKind::QuotaExceeded,
                        ErrorKind::TooBig,
                    ];
                    if !expected.contains(&failure.kind()) {
                        return Err(format!("{ticket} failed: {failure}"));
                    }
                    self.decide(ticket, Fate::Failed)?;
                }
                Output::Lease { channel, lease, attempt, message, .. } => {
                    let number = number_of(message.payload());
                    self.delivered(number, attempt)?;
                    self.held.push((slot, channel, lease, number));
                }
                Output::Recall { .. }
                | Output::Ended { .. }
                | Output::Settled { .. }
                | Output::Reply { .. } => {}
                other => return Err(format!("unexpected {other:?}")),
            }
        }
        Ok(())
    }

    fn decide(&mut self, ticket: u64, fate: Fate) -> Result<(), String> {
        let Some(sent) = self.sent.get_mut(&ticket) else { return Err("no such ticket".into()) };
        if sent.fate != Fate::Open {
            return Err(format!("{ticket} is {fate:?} after it was {:?}", sent.fate));
        }
        sent.fate = fate;
        Ok(())
    }

    fn delivered(&mut self, number: u64, attempt: u32) -> Result<(), String> {
        let Some(sent) = self.sent.get_mut(&number) else { return Err("an unknown one".into()) };
        if sent.done || sent.fate == Fate::Failed {
            return Err(format!("{number} came although it is over: {sent:?}"));
        }
        if self.held.iter().any(|(.., other)| *other == number) {
            return Err(format!("{number} came twice"));
        }
        sent.deliveries += 1;
        if sent.deliveries > 1 || attempt > 0 {
            return Ok(());
        }
        let last = self.last.insert((sent.session, sent.kind), number);
        match last {
            Some(last) if last > number => Err(format!("{number} came after {last}")),
            _ => Ok(()),
        }
    }

    /// All grants are filled and all is received: nothing is left, and nothing is missing.
    fn drain(mut self) -> Result<(), String> {
        self.channels += 1;
        let (channel, options) = (self.channels, credit(4000));
        self.tell(0, Command::Consume { request: 0, channel, queue: 0, options })?;
        while !(self.grants.is_empty() && self.held.is_empty()) {
            for slot in 0..SLOTS {
                self.fill(slot)?;
                self.settle(slot, 0, 9)?;
            }
        }
        let mut wrong = BTreeSet::new();
        for (number, sent) in &self.sent {
            let fine = match sent.fate {
                Fate::Accepted => sent.done,
                Fate::Failed => sent.deliveries == 0,
                Fate::Unknown => sent.done == (sent.deliveries > 0),
                Fate::Open => false,
            };
            if !fine {
                wrong.insert((number, format!("{sent:?}")));
            }
        }
        let info = self.router.broker_info();
        match wrong.is_empty() && (info.messages, info.bytes) == (0, 0) {
            true => self.fill_again(),
            false => Err(format!("at the end {info:?} and {wrong:?}")),
        }
    }

    /// No room is kept for anybody any more: the whole queue can be filled.
    fn fill_again(mut self) -> Result<(), String> {
        for slot in 0..SLOTS {
            self.end(slot)?;
        }
        for _ in 0..COUNT_MAX {
            self.send(0, 1, 8, true, false)?;
            if self.sent.last_key_value().is_none_or(|(_, sent)| sent.fate != Fate::Accepted) {
                return Err("the empty queue has no room".into());
            }
        }
        Ok(())
    }
}

#[test]
fn offered_messages_end_in_exactly_one_place() {
    dice::run(0..2000, case, check);
}

#[test]
#[ignore = "takes minutes"]
fn offered_messages_end_in_exactly_one_place_for_long() {
    dice::run(0..crate::MANY, case, check);
}
