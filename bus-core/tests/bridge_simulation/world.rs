//! All of it: time, what is due, and who is told what.
//!
//! Each step does the next thing that is due, then carries out what follows from it until nobody
//! has anything more to say at that moment.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bus_core::router::{Channel, Command, Effect, Fault, SessionId};
use bus_core::{Parcel, Time};

use crate::broker::{Broker, Who};
use crate::clients::{Publisher, Subscriber, message, parcel};
use crate::dice::Dice;
use crate::log::Log;
use crate::plan::Plan;
use crate::wire::{ToFar, Wire, bytes_of};

/// Something that happens at its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Somebody looks whether something has arrived, or is due.
    Wire(usize),
    Broker(usize),
    Publish(usize),
    /// A subscriber uses up what it has got.
    Use(usize),
    Trouble,
    /// A wire notices that it is cut; or tries to connect.
    Notice(usize),
    Connect(usize),
    /// A bridge is whole again.
    Heal(usize),
}

pub struct World<'a> {
    pub plan: &'a Plan,
    pub fault: Option<Fault>,
    pub log: Log,
    pub dice: Dice,
    pub now: Time,
    serial: u64,
    events: BTreeMap<(Time, u64), Event>,
    pub brokers: Vec<Broker>,
    pub wires: Vec<Wire>,
    pub publishers: Vec<Publisher>,
    pub subscribers: Vec<Subscriber>,
    busy_brokers: BTreeSet<usize>,
    busy_wires: BTreeSet<usize>,
    pub next_epoch: u64,
    /// Whether there is trouble, and anybody publishes.
    pub troubled: bool,
    /// Things that went over wires.
    pub sent: u64,
    /// All that was wished is known to all.
    pub at_rest: bool,
}

/// Long enough for a message to come everywhere and for its mark to be told, too short for its
/// source to be forgotten.
const AFTER_PROBE: Duration = Duration::from_secs(45);

/// Where upstreams have each lost something else, one that has only later messages is waited for
/// that long before it may go on.
const AFTER_GAP: Duration = Duration::from_secs(40);

impl<'a> World<'a> {
    pub fn new(plan: &'a Plan, fault: Option<Fault>, log: &Log) -> World<'a> {
        let mut world = World {
            plan,
            fault,
            log: log.clone(),
            dice: Dice::new(plan.seed ^ 0x0b71_d9e5),
            now: Time::ZERO,
            serial: 0,
            events: BTreeMap::new(),
            brokers: Vec::new(),
            wires: Vec::new(),
            publishers: Vec::new(),
            subscribers: Vec::new(),
            busy_brokers: BTreeSet::new(),
            busy_wires: BTreeSet::new(),
            next_epoch: 100,
            troubled: false,
            sent: 0,
            at_rest: false,
        };
        for _ in 0..plan.brokers {
            let epoch = world.epoch();
            world.brokers.push(Broker::new(epoch, fault));
        }
        for (index, bridge) in plan.bridges.iter().enumerate() {
            let [one, other] = bridge.ends;
            for ends in [[one, other], [other, one]] {
                world.wires.push(Wire::new(plan, index, ends));
                world.start_link(world.wires.len() - 1);
            }
        }
        (0..plan.publishers).for_each(|_| world.add_publisher());
        (0..plan.subscribers).for_each(|_| world.add_subscriber());
        world
    }

    /// The whole run; panics where a check breaks.
    pub fn run(&mut self) {
        self.settle();
        self.check_rest();
        for round in 0..self.plan.rounds {
            self.log.say(|| format!("-- trouble {round}"));
            (self.troubled, self.at_rest) = (true, false);
            for publisher in 0..self.publishers.len() {
                self.publish_later(publisher);
            }
            self.at(Duration::from_millis(1), Event::Trouble);
            self.run_for(self.plan.trouble);
            self.log.say(|| format!("-- rest {round}"));
            self.troubled = false;
            self.heal_all();
            self.settle();
            self.probe();
            self.run_for(AFTER_PROBE);
            if self.wires.iter().any(|wire| wire.link.stat().spooled > 0) {
                self.log.count("late gap");
                self.run_for(AFTER_GAP);
            }
            self.check_links();
            self.settle();
            self.check_rest();
        }
    }

    /// A number that no broker has had.
    pub fn epoch(&mut self) -> u64 {
        self.next_epoch += 1;
        self.next_epoch
    }

    /// Something happens so long from now.
    pub fn at(&mut self, after: Duration, event: Event) {
        self.at_time(self.now.after(after), event);
    }

    fn at_time(&mut self, at: Time, event: Event) {
        self.serial += 1;
        self.events.insert((at, self.serial), event);
    }

    /// Lets so much time pass.
    pub fn run_for(&mut self, time: Duration) {
        let until = self.now.after(time);
        // What was done between two events has its consequences, too.
        self.flush();
        while let Some(((at, serial), event)) = self.events.first_key_value().map(|(k, v)| (*k, *v))
            && at <= until
        {
            self.events.remove(&(at, serial));
            self.now = self.now.max(at);
            self.log.at(self.now);
            self.happen(event);
            self.flush();
        }
        self.now = until;
        self.log.at(self.now);
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Wire(wire) => {
                self.wires[wire].link.advance(self.now);
                self.receive(wire);
                self.busy_wires.insert(wire);
            }
            Event::Broker(broker) => {
                self.brokers[broker].router.advance(self.now);
                self.busy_brokers.insert(broker);
            }
            Event::Publish(publisher) => {
                self.publish(publisher);
                self.publish_later(publisher);
            }
            Event::Use(subscriber) => self.use_up(subscriber),
            Event::Trouble => self.trouble(),
            Event::Notice(wire) => self.notice(wire),
            Event::Connect(wire) => self.connect(wire),
            Event::Heal(bridge) => self.heal(bridge),
        }
    }

    /// A broker, or a wire, has been asked something.
    pub fn touch_broker(&mut self, broker: usize) {
        self.busy_brokers.insert(broker);
    }

    pub fn touch_wire(&mut self, wire: usize) {
        self.busy_wires.insert(wire);
    }

    /// Carries out what follows, until nothing more does.
    fn flush(&mut self) {
        let (mut brokers, mut wires) = (BTreeSet::new(), BTreeSet::new());
        loop {
            if let Some(broker) = self.busy_brokers.pop_first() {
                brokers.insert(broker);
                for effect in self.brokers[broker].router.take_effects(Vec::new()) {
                    self.carry_out(broker, effect);
                }
            } else if let Some(wire) = self.busy_wires.pop_first() {
                wires.insert(wire);
                self.pull(wire);
            } else {
                break;
            }
        }
        for broker in brokers {
            let due = self.brokers[broker].router.next_deadline();
            due.into_iter().for_each(|at| self.at_once_later(at, Event::Broker(broker)));
        }
        for wire in wires {
            let Wire { link, down, up, .. } = &self.wires[wire];
            let due = [link.next_deadline(), down.next(), up.next()].into_iter().flatten().min();
            due.into_iter().for_each(|at| self.at_once_later(at, Event::Wire(wire)));
        }
    }

    /// Something is due, which may be known already.
    fn at_once_later(&mut self, at: Time, event: Event) {
        let at = at.max(self.now);
        let known = self.events.range((at, 0)..=(at, u64::MAX)).any(|(_, other)| *other == event);
        if !known {
            self.at_time(at, event);
        }
    }

    fn carry_out(&mut self, broker: usize, effect: Effect) {
        let Some(who) = self.brokers[broker].who.get(&effect.session).copied() else { return };
        match who {
            Who::Publisher(publisher) => self.publisher_is_told(publisher, effect.output),
            Who::Subscriber(subscriber) => self.subscriber_is_told(subscriber, effect.output),
            Who::Near(wire) if self.wires[wire].near == Some(effect.session) => {
                self.note_passed(&effect.output);
                self.wires[wire].near_output(self.now, effect.output);
                self.busy_wires.insert(wire);
            }
            Who::Far(wire) if self.wires[wire].far == Some(effect.session) => {
                let bytes = bytes_of(&effect);
                self.note_far_output(wire, &effect.output);
                self.wires[wire].up.send(self.now, bytes, effect.output);
                self.sent += 1;
                self.busy_wires.insert(wire);
            }
            Who::Near(_) | Who::Far(_) => {}
        }
    }

    /// What a link has to say.
    fn pull(&mut self, wire: usize) {
        let before = self.wires[wire].down.bytes;
        while let Some(command) = self.wires[wire].pull(self.now) {
            let (broker, near) = (self.wires[wire].from, self.wires[wire].near);
            self.note_hold(wire, &command);
            if let Some(session) = near {
                self.ask(broker, session, command);
            }
        }
        self.sent += u64::from(self.wires[wire].down.bytes > before);
    }

    fn ask(&mut self, broker: usize, session: SessionId, command: Command) {
        let router = &mut self.brokers[broker].router;
        router.handle(self.now, session, command);
        self.busy_brokers.insert(broker);
    }

    /// Takes what has arrived on a wire.
    fn receive(&mut self, wire: usize) {
        while let Some(item) = self.wires[wire].down.receive(self.now) {
            let (broker, far) = (self.wires[wire].to, self.wires[wire].far);
            if let Some(session) = far {
                self.check_sent(wire, &item);
                match item {
                    ToFar::Command(command) => self.ask(broker, session, command),
                    ToFar::Parcel(channel, parcel) => {
                        self.publish_parcel(broker, session, channel, parcel);
                    }
                }
            }
        }
        while let Some(item) = self.wires[wire].up.receive(self.now) {
            self.wires[wire].far_output(self.now, item);
        }
    }

    pub fn publish_later(&mut self, publisher: usize) {
        let every = self.plan.publish_every;
        let after = self.dice.within(2 * every);
        if self.troubled && self.publishers[publisher].alive {
            self.at(after, Event::Publish(publisher));
        }
    }

    pub fn publish(&mut self, publisher: usize) {
        let length = self.dice.below(200);
        let at = &mut self.publishers[publisher];
        if !at.alive {
            return;
        }
        at.last_at = self.now;
        let (broker, session, first) = (at.broker, at.session, at.published + 1);
        // Now and then many at once, as they are read from a connection.
        if self.dice.below(8) == 0 {
            let count = 2 + self.dice.below(14) as u64;
            self.publishers[publisher].published += count;
            let parcel = parcel(publisher, first, count, length);
            return self.publish_parcel(broker, session, 0, parcel);
        }
        self.publishers[publisher].published += 1;
        let message = message(publisher, first, length);
        let command = Command::Publish { channel: 0, message, ticket: None };
        self.brokers[broker].router.handle(self.now, session, command);
        self.busy_brokers.insert(broker);
    }

    fn publish_parcel(
        &mut self,
        broker: usize,
        session: SessionId,
        channel: Channel,
        parcel: Parcel,
    ) {
        let (mut rest, router) = (Some(parcel), &mut self.brokers[broker].router);
        while let Some(parcel) = rest.take() {
            rest = router.publish_parcel(self.now, session, channel, parcel);
        }
        self.busy_brokers.insert(broker);
    }
}
