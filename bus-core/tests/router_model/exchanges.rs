//! Several brokers with bridges for calls between them: real routers and real exchanges, whatever
//! the bridges form.
//!
//! Every call ends exactly once; where all is told it goes to a nearest one who serves, or is
//! answered at once if there is none; and what nobody serves any more is served nowhere.

use std::collections::BTreeMap;
use std::time::Duration;

use bus_core::bridge::{Exchange, ExchangeAction, ExchangeConfig, Route};
use bus_core::router::{
    BridgeCommand, Command, Fault, Identity, Output, Router, RouterConfig, SessionEnd, SessionId,
};
use bus_core::{ErrorKind, Pattern, Time};

use crate::bus::{message, name};
use crate::dice::{self, Dice};
use crate::events::number_of;
use crate::exchange_sides::Bridge;

const BROKERS: usize = 5;
/// Rounds after which brokers that still talk do so for ever.
const ROUNDS_MAX: usize = 400;

#[derive(Clone, Copy, Debug)]
enum Step {
    Bridge { home: usize, guest: usize },
    Serve { broker: usize },
    Stop { broker: usize },
    Call { broker: usize, at_rest: bool },
    Answer { broker: usize },
    Restart { bridge: usize, at_home: bool },
}

fn case(seed: u64) -> Vec<Step> {
    let mut dice = Dice::new(seed);
    let any = |dice: &mut Dice| dice.below(BROKERS as u64) as usize;
    let bridges = 2 + dice.below(10);
    let mut steps: Vec<Step> = Vec::new();
    for _ in 0..bridges {
        let (home, guest) = (any(&mut dice), any(&mut dice));
        steps.push(Step::Bridge { home, guest });
    }
    for _ in 0..10 + dice.below(30) {
        let broker = any(&mut dice);
        steps.push(match dice.below(20) {
            0..4 => Step::Serve { broker },
            4..6 => Step::Stop { broker },
            6..14 => Step::Call { broker, at_rest: dice.chance(70) },
            14..18 => Step::Answer { broker },
            _ => Step::Restart { bridge: dice.roll() as usize, at_home: dice.chance(50) },
        });
    }
    steps
}

struct Broker {
    router: Router,
    server: SessionId,
    caller: SessionId,
    serves: bool,
    /// Calls that its server has: their numbers here and ours.
    in_hand: Vec<(u64, u64)>,
}

struct World {
    brokers: Vec<Broker>,
    bridges: Vec<Bridge>,
    now: Time,
    /// Calls that have not ended, by number, and whether they may have no responder any more.
    open: BTreeMap<u64, bool>,
    last: u64,
    /// Where the last call went.
    invoked: Option<usize>,
    /// The most bridges that a call has gone over.
    farthest: usize,
}

fn session(router: &mut Router, admin: bool) -> SessionId {
    let identity = Identity { admin, ..Identity::default() };
    router.open_session(Time::ZERO, identity, Duration::from_secs(10)).expect("few")
}

fn epoch(broker: usize) -> u64 {
    100 + broker as u64
}

fn check(steps: &[Step], fault: Option<Fault>) -> Result<(), String> {
    farthest(steps, fault).map(drop)
}

/// The same; how far the calls have gone.
fn farthest(steps: &[Step], fault: Option<Fault>) -> Result<usize, String> {
    let mut world = World::new(fault);
    for step in steps {
        world.step(*step)?;
    }
    for broker in 0..BROKERS {
        world.step(Step::Stop { broker })?;
    }
    world.rest()?;
    if let Some(bridge) = world.bridges.iter().find(|bridge| bridge.exchange.names().count() > 0) {
        return Err(format!("still served at {}, by nobody", bridge.guest.0));
    }
    match world.open.is_empty() {
        true => Ok(world.farthest),
        false => Err(format!("never ended: {:?}", world.open)),
    }
}

impl World {
    fn new(fault: Option<Fault>) -> World {
        let broker = |index: usize| {
            let config = RouterConfig { epoch: epoch(index), ..RouterConfig::default() };
            let mut router = Router::new(config);
            if let Some(fault) = fault {
                router.plant(fault);
            }
            let (server, caller) = (session(&mut router, true), session(&mut router, true));
            let open = Command::OpenService { request: 0, channel: 0, name: name("s") };
            router.handle(Time::ZERO, caller, open);
            Broker { router, server, caller, serves: false, in_hand: Vec::new() }
        };
        let brokers = (0..BROKERS).map(broker).collect();
        let (bridges, open) = (Vec::new(), BTreeMap::new());
        World { brokers, bridges, now: Time::ZERO, open, last: 0, invoked: None, farthest: 0 }
    }

    fn step(&mut self, step: Step) -> Result<(), String> {
        match step {
            Step::Bridge { home, guest } if home != guest => self.bridge(home, guest),
            Step::Serve { broker } if !self.brokers[broker].serves => {
                self.brokers[broker].serves = true;
                let (name, credit) = (name("s"), 1000);
                let serve = Command::Serve { request: 0, channel: 0, name, credit, mode: None };
                self.tell(broker, self.brokers[broker].server, serve);
            }
            Step::Stop { broker } if self.brokers[broker].serves => {
                let entry = &mut self.brokers[broker];
                entry.serves = false;
                for (_, ours) in std::mem::take(&mut entry.in_hand) {
                    self.open.entry(ours).and_modify(|may_fail| *may_fail = true);
                }
                let close = Command::Close { request: 0, channel: 0 };
                self.tell(broker, self.brokers[broker].server, close);
            }
            Step::Call { broker, at_rest } => return self.call(broker, at_rest),
            Step::Answer { broker } => {
                for (call, ours) in std::mem::take(&mut self.brokers[broker].in_hand) {
                    let reply = Command::CallReply { call, result: Ok(message(2, ours)) };
                    self.tell(broker, self.brokers[broker].server, reply);
                }
            }
            Step::Restart { bridge, at_home } if !self.bridges.is_empty() => {
                self.open.values_mut().for_each(|may_fail| *may_fail = true);
                let index = bridge % self.bridges.len();
                self.restart(index, at_home);
            }
            _ => {}
        }
        self.deliver()
    }

    fn bridge(&mut self, home: usize, guest: usize) {
        let pattern = Pattern::new(">").expect("a pattern");
        let route = Route::new(&pattern, "", "").expect("a route");
        let exchange = Exchange::new(ExchangeConfig::new(vec![route]).expect("settings"));
        let at = |world: &mut World, broker: usize| {
            (broker, session(&mut world.brokers[broker].router, true))
        };
        let (home, guest) = (at(self, home), at(self, guest));
        let (tickets, last_ticket) = (BTreeMap::new(), 0);
        self.bridges.push(Bridge { exchange, home, guest, channels: 0, tickets, last_ticket });
        let index = self.bridges.len() - 1;
        self.restart(index, false);
        self.restart(index, true);
    }

    /// One of a bridge's sessions is lost, and another one begins.
    fn restart(&mut self, index: usize, at_home: bool) {
        let bridge = &mut self.bridges[index];
        let (broker, session) = if at_home { &mut bridge.home } else { &mut bridge.guest };
        let router = &mut self.brokers[*broker].router;
        router.close_session(self.now, *session, SessionEnd::Lost);
        *session = self::session(router, true);
        let (broker, session) = (*broker, *session);
        if !at_home {
            return bridge.exchange.guest_up(epoch(broker), "");
        }
        bridge.exchange.home_up(self.now);
        (bridge.channels, bridge.last_ticket) = (1, 0);
        bridge.tickets.clear();
        let (peer, patterns) = (epoch(bridge.guest.0), vec![Pattern::new(">").expect("all")]);
        let watch = BridgeCommand::WatchServices { request: 0, channel: 0, peer, patterns };
        self.tell(broker, session, Command::Bridge(watch));
    }

    fn tell(&mut self, broker: usize, session: SessionId, command: Command) {
        self.brokers[broker].router.handle(self.now, session, command);
    }

    fn call(&mut self, broker: usize, at_rest: bool) -> Result<(), String> {
        if at_rest {
            self.rest()?;
        }
        self.last += 1;
        self.invoked = None;
        let (nearest, distance) = self.nearest(broker);
        self.open.insert(self.last, !at_rest || nearest.is_empty());
        let (ticket, message) = (self.last, message(1, self.last));
        let timeout = Duration::from_secs(3600);
        let call = Command::Call { channel: 0, ticket, message, timeout };
        self.tell(broker, self.brokers[broker].caller, call);
        self.deliver()?;
        let is_right = match self.invoked {
            Some(server) => nearest.contains(&server),
            None => nearest.is_empty() && !self.open.contains_key(&ticket),
        };
        match is_right || !at_rest {
            true => {
                let travelled = self.invoked.map_or(0, |_| distance);
                self.farthest = self.farthest.max(travelled);
                Ok(())
            }
            false => Err(format!("{ticket} went to {:?} instead of {nearest:?}", self.invoked)),
        }
    }

    /// Who serves, as few bridges away as anybody, and how many those are.
    fn nearest(&self, broker: usize) -> (Vec<usize>, usize) {
        let (mut at, mut seen, mut distance) = (vec![broker], vec![broker], 0);
        while !at.is_empty() {
            let serving = at.iter().copied().filter(|broker| self.brokers[*broker].serves);
            let serving: Vec<usize> = serving.collect();
            if !serving.is_empty() {
                return (serving, distance);
            }
            let homes = self.bridges.iter().filter(|bridge| at.contains(&bridge.guest.0));
            at = homes.map(|bridge| bridge.home.0).filter(|home| !seen.contains(home)).collect();
            seen.extend(&at);
            distance += 1;
        }
        (Vec::new(), 0)
    }

    /// Until nobody has anything to say, and for as long as changes are told later.
    fn rest(&mut self) -> Result<(), String> {
        for _ in 0..ROUNDS_MAX {
            self.deliver()?;
            let due = self.brokers.iter().filter_map(|broker| broker.router.next_deadline()).min();
            let soon = self.now.after(Duration::from_secs(1));
            let Some(due) = due.filter(|due| *due < soon) else { return Ok(()) };
            self.now = self.now.max(due);
            self.brokers.iter_mut().for_each(|broker| broker.router.advance(self.now));
        }
        Err("they never rest".into())
    }

    fn deliver(&mut self) -> Result<(), String> {
        for _ in 0..ROUNDS_MAX {
            let mut quiet = true;
            for broker in 0..BROKERS {
                for effect in self.brokers[broker].router.take_effects(Vec::new()) {
                    quiet = false;
                    self.hear(broker, effect.session, effect.output)?;
                }
            }
            for index in 0..self.bridges.len() {
                while let Some(action) = self.bridges[index].exchange.pull() {
                    quiet = false;
                    self.act(index, action)?;
                }
            }
            if quiet {
                return Ok(());
            }
        }
        Err("they talk without end".into())
    }

    fn hear(&mut self, broker: usize, session: SessionId, output: Output) -> Result<(), String> {
        let entry = &mut self.brokers[broker];
        match output {
            Output::Invoke { call, message, .. } if session == entry.server => {
                entry.in_hand.push((call, number_of(message.payload())));
                self.invoked = Some(broker);
                return Ok(());
            }
            Output::Result { ticket, message } if session == entry.caller => {
                let right = number_of(message.payload()) == ticket;
                let ended = self.open.remove(&ticket);
                let is_fine = right && ended.is_some();
                return if is_fine {
                    Ok(())
                } else {
                    Err(format!("{ticket} ended twice or wrong"))
                };
            }
            Output::Failed { ticket, failure } if session == entry.caller => {
                return match (self.open.remove(&ticket), failure.kind()) {
                    (Some(true), ErrorKind::Unreachable) => Ok(()),
                    (found, _) => Err(format!("{ticket} ({found:?}): {failure}")),
                };
            }
            _ => {}
        }
        let now = self.now;
        for bridge in &mut self.bridges {
            if bridge.guest == (broker, session) {
                return bridge.guest_says(now, output);
            }
            if bridge.home == (broker, session) {
                return bridge.home_says(output);
            }
        }
        Ok(())
    }

    fn act(&mut self, index: usize, action: ExchangeAction) -> Result<(), String> {
        let bridge = &mut self.bridges[index];
        let guest = |command| (bridge.guest, command);
        let ((broker, session), command) = match action {
            ExchangeAction::Serve { serve } => {
                let serve = BridgeCommand::ServeBeyond { request: 1, channel: 0, serve };
                guest(Command::Bridge(serve))
            }
            ExchangeAction::StopServing { .. } => guest(Command::Close { request: 0, channel: 0 }),
            ExchangeAction::Reply { call, result } => guest(Command::CallReply { call, result }),
            ExchangeAction::Call { id, name, provenance, message, timeout } => {
                (bridge.channels, bridge.last_ticket) =
                    (bridge.channels + 1, bridge.last_ticket + 1);
                let (channel, ticket) = (bridge.channels, bridge.last_ticket);
                bridge.tickets.insert(ticket, id);
                let open = BridgeCommand::OpenCaller { request: 0, channel, name, provenance };
                let (home, call) =
                    (bridge.home, Command::Call { channel, ticket, message, timeout });
                self.tell(home.0, home.1, Command::Bridge(open));
                (home, call)
            }
            ExchangeAction::Withdraw { id } => {
                let found = bridge.tickets.iter().find(|(_, other)| **other == id);
                let Some((ticket, _)) = found else { return Ok(()) };
                (bridge.home, Command::Withdraw { ticket: *ticket })
            }
            ExchangeAction::Trouble { failure } => return Err(failure.to_string()),
        };
        self.tell(broker, session, command);
        Ok(())
    }
}

#[test]
fn every_call_over_bridges_ends_once_and_at_a_nearest_server() {
    dice::run(0..300, case, |steps| check(steps, None));
}

#[test]
#[ignore = "takes minutes"]
fn every_call_over_bridges_ends_once_for_long() {
    dice::run(0..20_000, case, |steps| check(steps, None));
}

#[test]
fn the_cases_have_calls_over_several_bridges() {
    let all = (0..100).filter_map(|seed| farthest(&case(seed), None).ok());
    assert!(all.max() >= Some(3));
}

#[test]
fn what_is_served_for_ever_is_caught() {
    let is_caught = |seed: u64| check(&case(seed), Some(Fault::ServedStays)).is_err();
    assert!((0..20).any(is_caught));
}
