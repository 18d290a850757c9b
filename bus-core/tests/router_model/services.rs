//! Services under random use: callers, servers that share the work, and all of them coming and
//! going.
//!
//! Every call ends exactly once, and for a reason that holds; no server has more than its credit;
//! calls go out in their order, as soon as somebody is free; late replies are counted.

use std::collections::BTreeMap;
use std::time::Duration;

use bus_core::router::{
    Answer, Command, ObjectKind, Output, Router, RouterConfig, ServiceStat, SessionEnd, SessionId,
};
use bus_core::{ErrorKind, Failure, Message, Pattern, Time};

use crate::bus::{kind, name, user};
use crate::dice::{self, Dice};
use crate::events::{number_of, payload};

const SLOTS: usize = 3;
const GRACE: u64 = 5_000_000_000;

#[derive(Clone, Copy, Debug)]
enum Step {
    Call { slot: usize, timeout: u64 },
    Reply { slot: usize, pick: u64, fine: bool },
    Serve { slot: usize, credit: u32 },
    Close { slot: usize, pick: u64 },
    Withdraw { slot: usize, pick: u64 },
    Suspend { slot: usize },
    Resume { slot: usize },
    End { slot: usize },
    Tick { nanos: u64 },
}

fn case(seed: u64) -> Vec<Step> {
    let mut dice = Dice::new(seed);
    let count = 40 + dice.below(160);
    (0..count).map(|_| step(&mut dice)).collect()
}

fn step(dice: &mut Dice) -> Step {
    let slot = dice.below(SLOTS as u64) as usize;
    match dice.below(100) {
        0..35 => Step::Call { slot, timeout: dice.below(4_000_000_000) },
        35..65 => Step::Reply { slot, pick: dice.roll(), fine: dice.chance(80) },
        65..73 => Step::Serve { slot, credit: dice.below(4) as u32 },
        73..75 => Step::Close { slot, pick: dice.roll() },
        75..79 => Step::Withdraw { slot, pick: dice.roll() },
        79..81 => Step::Suspend { slot },
        81..86 => Step::Resume { slot },
        86..87 => Step::End { slot },
        _ => Step::Tick { nanos: dice.below(1_500_000_000) },
    }
}

#[derive(Clone, Debug)]
struct Call {
    slot: usize,
    deadline: u64,
    /// Whether a server has it.
    running: bool,
}

#[derive(Clone, Debug)]
struct Server {
    slot: usize,
    channel: u32,
    credit: u32,
    /// Numbers of the calls that it has not answered, over or not.
    running: BTreeMap<u64, u64>,
}

/// What the router should tell about the service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    requests: u64,
    replies: u64,
    late: u64,
    expired: u64,
}

struct World {
    router: Router,
    now: u64,
    slots: Vec<SessionId>,
    away: Vec<bool>,
    observer: SessionId,
    /// The calls that have not ended, by ticket.
    open: BTreeMap<u64, Call>,
    servers: Vec<Server>,
    counts: Counts,
    tickets: u64,
    /// How calls of this step may end, and what they must end with if they do.
    allowed: Vec<(u64, Option<ErrorKind>)>,
}

fn check(steps: &[Step]) -> Result<(), String> {
    let mut world = World::new();
    for (at, step) in steps.iter().enumerate() {
        world.now += 1;
        let done = world.step(step).and_then(|()| world.settled());
        done.map_err(|text| format!("step {at} {step:?}: {text}"))?;
    }
    world.step(&Step::Tick { nanos: 10_000_000_000 })?;
    match world.open.is_empty() {
        true => Ok(()),
        false => Err(format!("never ended: {:?}", world.open)),
    }
}

impl World {
    fn new() -> World {
        let mut router = Router::new(RouterConfig::default());
        let open = |router: &mut Router| {
            let grace = Duration::from_nanos(GRACE);
            router.open_session(Time::ZERO, user(1, 1), grace).expect("far below the limit")
        };
        let observer = open(&mut router);
        let slots: Vec<SessionId> = (0..SLOTS).map(|_| open(&mut router)).collect();
        let mut world = World {
            router,
            now: 0,
            slots,
            away: vec![false; SLOTS],
            observer,
            open: BTreeMap::new(),
            servers: Vec::new(),
            counts: Counts::default(),
            tickets: 0,
            allowed: Vec::new(),
        };
        (0..SLOTS).for_each(|slot| world.open_caller(slot));
        world
    }

    fn now(&self) -> Time {
        Time::from_nanos(self.now)
    }

    fn open_caller(&mut self, slot: usize) {
        let command = Command::OpenService { request: 0, channel: 0, name: name("sums") };
        self.router.handle(self.now(), self.slots[slot], command);
    }

    fn tell(&mut self, slot: usize, command: Command) -> Result<(), String> {
        self.router.handle(self.now(), self.slots[slot], command);
        self.take_effects()
    }

    fn step(&mut self, step: &Step) -> Result<(), String> {
        match *step {
            Step::Resume { slot } if self.away[slot] => {
                self.away[slot] = false;
                self.router.resume(self.now(), self.slots[slot]);
                self.take_effects()
            }
            Step::End { slot } => {
                self.router.close_session(self.now(), self.slots[slot], SessionEnd::Lost);
                self.ended(slot)
            }
            Step::Tick { nanos } => self.tick(nanos),
            Step::Call { slot, timeout } if !self.away[slot] => self.call(slot, timeout),
            Step::Reply { slot, pick, fine } if !self.away[slot] => self.reply(slot, pick, fine),
            Step::Serve { slot, credit } if !self.away[slot] => self.serve(slot, credit),
            Step::Close { slot, pick } if !self.away[slot] => {
                let mine: Vec<u32> = self.channels(slot);
                let Some(at) = pick.checked_rem(mine.len() as u64) else { return Ok(()) };
                let channel = mine[at as usize];
                self.servers_go(|server| (server.slot, server.channel) == (slot, channel));
                self.tell(slot, Command::Close { request: 0, channel })
            }
            Step::Withdraw { slot, pick } if !self.away[slot] => {
                let mine: Vec<u64> = self.calls_of(slot);
                let Some(at) = pick.checked_rem(mine.len() as u64) else { return Ok(()) };
                self.allowed.push((mine[at as usize], Some(ErrorKind::Withdrawn)));
                self.tell(slot, Command::Withdraw { ticket: mine[at as usize] })
            }
            Step::Suspend { slot } if !self.away[slot] => {
                self.away[slot] = true;
                self.router.suspend(self.now(), self.slots[slot]);
                self.take_effects()
            }
            _ => Ok(()),
        }
    }

    fn channels(&self, slot: usize) -> Vec<u32> {
        let mine = self.servers.iter().filter(|server| server.slot == slot);
        mine.map(|server| server.channel).collect()
    }

    fn calls_of(&self, slot: usize) -> Vec<u64> {
        let mine = self.open.iter().filter(|(_, call)| call.slot == slot);
        mine.map(|(ticket, _)| *ticket).collect()
    }

    fn call(&mut self, slot: usize, timeout: u64) -> Result<(), String> {
        self.tickets += 1;
        let ticket = self.tickets;
        let deadline = self.now + timeout;
        self.open.insert(ticket, Call { slot, deadline, running: false });
        match self.servers.is_empty() {
            true => self.allowed.push((ticket, Some(ErrorKind::Unreachable))),
            false => self.counts.requests += 1,
        }
        let message = Message::new(kind(1), payload(ticket, 8));
        let timeout = Duration::from_nanos(timeout);
        self.tell(slot, Command::Call { channel: 0, ticket, message, timeout })
    }

    fn serve(&mut self, slot: usize, credit: u32) -> Result<(), String> {
        let mine = self.channels(slot);
        let free = (1..4).find(|channel| !mine.contains(channel));
        let Some(channel) = free else { return Ok(()) };
        if self.servers.is_empty() {
            self.counts = Counts::default();
        }
        self.servers.push(Server { slot, channel, credit, running: BTreeMap::new() });
        let name = name("sums");
        self.tell(slot, Command::Serve { request: 0, channel, name, credit, mode: None })
    }

    fn reply(&mut self, slot: usize, pick: u64, fine: bool) -> Result<(), String> {
        let mine = self.servers.iter_mut().filter(|server| server.slot == slot);
        let mut all: Vec<(&mut Server, u64)> = Vec::new();
        for server in mine {
            if let Some(number) = server.running.keys().next().copied() {
                all.push((server, number));
            }
        }
        let Some(at) = pick.checked_rem(all.len() as u64) else { return Ok(()) };
        let (server, call) = &mut all[at as usize];
        let (call, ticket) = (*call, server.running.remove(call).unwrap_or(0));
        match self.open.contains_key(&ticket) {
            true => self.counts.replies += 1,
            false => self.counts.late += 1,
        }
        let result = match fine {
            true => Ok(Message::new(kind(2), payload(ticket, 8))),
            false => Err(Failure::new(ErrorKind::Unreachable, "no")),
        };
        self.allowed.push((ticket, (!fine).then_some(ErrorKind::ServiceFailed)));
        self.tell(slot, Command::CallReply { call, result })
    }

    /// Servers go: what they had, and without any server all that waits, has no responder.
    fn servers_go(&mut self, goes: impl Fn(&Server) -> bool) {
        let gone: Vec<Server> = self.servers.iter().filter(|s| goes(s)).cloned().collect();
        self.servers.retain(|server| !goes(server));
        let unreachable = Some(ErrorKind::Unreachable);
        for ticket in gone.iter().flat_map(|server| server.running.values()) {
            self.allowed.push((*ticket, unreachable));
        }
        if self.servers.is_empty() && !gone.is_empty() {
            let waiting = self.open.iter().filter(|(_, call)| !call.running);
            self.allowed.extend(waiting.map(|(ticket, _)| (*ticket, unreachable)));
        }
    }

    fn ended(&mut self, slot: usize) -> Result<(), String> {
        self.open.retain(|_, call| call.slot != slot);
        self.servers_go(|server| server.slot == slot);
        let grace = Duration::from_nanos(GRACE);
        let session = self.router.open_session(self.now(), user(1, 1), grace);
        self.slots[slot] = session.map_err(|failure| failure.to_string())?;
        self.away[slot] = false;
        self.take_effects()?;
        self.open_caller(slot);
        Ok(())
    }

    fn tick(&mut self, nanos: u64) -> Result<(), String> {
        let target = self.now + nanos;
        while let Some(at) = self.router.next_deadline().map(Time::as_nanos)
            && at <= target
        {
            self.now = self.now.max(at);
            self.router.advance(self.now());
            let now = self.now;
            for (ticket, _) in self.open.iter().filter(|(_, call)| call.deadline <= now) {
                self.allowed.push((*ticket, Some(ErrorKind::TimedOut)));
                self.counts.expired += 1;
            }
            for slot in 0..SLOTS {
                if !self.router.has_session(self.slots[slot]) {
                    self.ended(slot)?;
                }
            }
            self.take_effects()?;
            self.settled()?;
        }
        self.now = target;
        Ok(())
    }

    fn take_effects(&mut self) -> Result<(), String> {
        for effect in self.router.take_effects(Vec::new()) {
            let Some(slot) = self.slots.iter().position(|slot| *slot == effect.session) else {
                continue;
            };
            match effect.output {
                Output::Invoke { channel, call, message, .. } => {
                    self.invoked(slot, channel, call, number_of(message.payload()))?;
                }
                Output::Result { ticket, message } if number_of(message.payload()) == ticket => {
                    self.over(slot, ticket, None)?;
                }
                Output::Failed { ticket, failure } => {
                    self.over(slot, ticket, Some(failure.kind()))?
                }
                other => return Err(format!("unexpected {other:?}")),
            }
        }
        Ok(())
    }

    fn over(&mut self, slot: usize, ticket: u64, kind: Option<ErrorKind>) -> Result<(), String> {
        if !self.allowed.contains(&(ticket, kind)) {
            return Err(format!("call {ticket} ended with {kind:?} without a reason"));
        }
        match self.open.remove(&ticket) {
            Some(call) if call.slot == slot => Ok(()),
            other => Err(format!("call {ticket} ended with {kind:?}, but was {other:?}")),
        }
    }

    fn invoked(&mut self, slot: usize, channel: u32, call: u64, ticket: u64) -> Result<(), String> {
        let first = self.open.iter().find(|(_, call)| !call.running);
        if first.map(|(ticket, _)| *ticket) != Some(ticket) {
            return Err(format!("call {ticket} goes out before {first:?}"));
        }
        let same = |server: &&mut Server| (server.slot, server.channel) == (slot, channel);
        let Some(server) = self.servers.iter_mut().find(same) else {
            return Err(format!("call {ticket} for nobody"));
        };
        server.running.insert(call, ticket);
        if server.running.len() > server.credit as usize || self.away[slot] {
            return Err(format!("more than {server:?} may have"));
        }
        self.open.entry(ticket).and_modify(|call| call.running = true);
        Ok(())
    }

    /// What must hold whenever the router has nothing to do.
    fn settled(&mut self) -> Result<(), String> {
        let late = self.allowed.iter().find(|(ticket, _)| self.open.contains_key(ticket));
        if let Some((ticket, kind)) = late {
            return Err(format!("call {ticket} should have ended with {kind:?}"));
        }
        self.allowed.clear();
        let free = |server: &&Server| {
            server.running.len() < server.credit as usize && !self.away[server.slot]
        };
        let waits = self.open.iter().find(|(_, call)| !call.running);
        if let (Some(server), Some(waits)) = (self.servers.iter().find(free), waits) {
            return Err(format!("{waits:?} waits although {server:?} is free"));
        }
        let found = self.stat();
        let running: usize = self.servers.iter().map(|server| server.running.len()).sum();
        let pending = self.open.values().filter(|call| !call.running).count();
        let expected = (self.servers.len(), running, pending, self.counts);
        let found = found.map(|stat| {
            let (requests, replies) = (stat.requests, stat.replies);
            let counts = Counts { requests, replies, late: stat.late, expired: stat.expired };
            (stat.servers as usize, stat.running as usize, stat.pending as usize, counts)
        });
        match found == (!self.servers.is_empty()).then_some(expected) {
            true => Ok(()),
            false => Err(format!("{found:?} instead of {expected:?}")),
        }
    }

    fn stat(&mut self) -> Option<ServiceStat> {
        let pattern = Pattern::new(">").ok()?;
        let object = ObjectKind::Service;
        let command = Command::List { request: 1, pattern, object, after: None };
        self.router.handle(self.now(), self.observer, command);
        match self.router.take_effects(Vec::new()).pop()?.output {
            Output::Reply { result: Ok(Answer::Listing(mut listing)), .. } => {
                listing.services.pop()
            }
            _ => None,
        }
    }
}

#[test]
fn every_call_ends_exactly_once() {
    dice::run(0..1000, case, check);
}

#[test]
#[ignore = "takes minutes"]
fn every_call_ends_exactly_once_for_long() {
    dice::run(0..crate::MANY, case, check);
}
