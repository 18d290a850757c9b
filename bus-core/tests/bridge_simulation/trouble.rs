//! What happens to them: clients come and go, bridges are cut and heal, brokers restart.

use std::time::Duration;

use bus_core::bridge::SpoolPolicy;
use bus_core::router::{Command, SessionEnd, SlowPolicy, SubscribeOptions, TopicOptions};

use crate::broker::{Broker, Who};
use crate::clients::{self, Publisher, Subscriber};
use crate::plan::{Mood, Plan};
use crate::wire::{self, Wire};
use crate::world::{Event, World};

/// After so long without a word a connection is given up.
const DEAD_AFTER: Duration = Duration::from_secs(2);

impl World<'_> {
    pub fn trouble(&mut self) {
        if !self.troubled {
            return;
        }
        let rough = u64::from(self.plan.mood == Mood::Rough);
        let what = [
            (6, Self::cut as fn(&mut Self)),
            (3, Self::cut_one_way),
            (3, Self::reconfigure_some),
            (2 * rough, Self::restart_some),
            (2, Self::add_subscriber),
            (2, Self::end_subscriber),
            (1, Self::add_publisher),
            (1, Self::end_publisher),
        ];
        self.dice.clone().roll();
        let act = self.dice.weighted(&what);
        act(self);
        let every = self.plan.trouble_every;
        let after = self.dice.within(2 * every);
        self.at(after, Event::Trouble);
    }

    pub fn add_publisher(&mut self) {
        let broker = self.dice.below(self.brokers.len());
        let topic = clients::topic(&mut self.dice);
        let index = self.publishers.len();
        let at = &mut self.brokers[broker];
        let session = at.open(self.now, Who::Publisher(index));
        let (epoch, options) = (at.epoch, TopicOptions::default());
        let open = Command::OpenPublisher {
            request: 1,
            channel: 0,
            topic: topic.clone(),
            options,
            exclusive: false,
        };
        at.router.handle(self.now, session, open);
        self.log.say(|| format!("publisher {index} of `{topic}` at broker {broker}"));
        let publisher = Publisher {
            broker,
            epoch,
            session,
            topic,
            published: 0,
            last_at: self.now,
            alive: true,
        };
        // Who is known to all must see everything of it.
        for subscriber in &mut self.subscribers {
            let known = subscriber.alive && subscriber.known_since.is_some();
            if self.plan.mood == Mood::Gentle
                && known
                && subscriber.pattern.matches(&publisher.topic)
            {
                subscriber.owed.insert(index, 0);
            }
        }
        self.publishers.push(publisher);
        self.touch_broker(broker);
        self.publish_later(index);
    }

    fn end_publisher(&mut self) {
        let index = self.dice.below(self.publishers.len());
        let at = &mut self.publishers[index];
        if std::mem::take(&mut at.alive) {
            let (broker, session) = (at.broker, at.session);
            self.brokers[broker].router.close_session(self.now, session, SessionEnd::Goodbye);
            self.touch_broker(broker);
        }
    }

    pub fn add_subscriber(&mut self) {
        let broker = self.dice.below(self.brokers.len());
        let pattern = clients::pattern(&mut self.dice);
        let rough = self.plan.mood == Mood::Rough;
        let (slow, policy) = match rough {
            true => (
                self.dice.chance(25),
                self.dice.pick(&[SlowPolicy::Hold, SlowPolicy::DropOldest, SlowPolicy::End]),
            ),
            false => (false, SlowPolicy::Hold),
        };
        let index = self.subscribers.len();
        let at = &mut self.brokers[broker];
        let session = at.open(self.now, Who::Subscriber(index));
        let (window_bytes, backlog_bytes) = if slow { (4096, 4096) } else { (1 << 20, 1 << 20) };
        let options =
            SubscribeOptions { policy, window_bytes, backlog_bytes, ..SubscribeOptions::default() };
        let subscribe =
            Command::Subscribe { request: 1, channel: 0, pattern: pattern.clone(), options };
        at.router.handle(self.now, session, subscribe);
        self.log.say(|| format!("subscriber {index} to `{pattern}` at broker {broker}"));
        self.subscribers.push(Subscriber {
            broker,
            session,
            pattern,
            slow,
            got: 0,
            used: 0,
            alive: true,
            seen: Default::default(),
            owed: Default::default(),
            before: self.publishers.iter().map(|one| one.published).collect(),
            known_since: None,
            missed: 0,
            told: 0,
        });
        self.touch_broker(broker);
    }

    fn end_subscriber(&mut self) {
        let index = self.dice.below(self.subscribers.len());
        let at = &mut self.subscribers[index];
        if std::mem::take(&mut at.alive) {
            self.log.say(|| format!("subscriber {index} leaves"));
            let (broker, session) = (at.broker, at.session);
            self.brokers[broker].router.close_session(self.now, session, SessionEnd::Goodbye);
            self.touch_broker(broker);
        }
    }

    fn cut(&mut self) {
        self.cut_bridge([true, true]);
        self.log.count("cut");
    }

    fn cut_one_way(&mut self) {
        let forth = self.dice.chance(50);
        self.cut_bridge([forth, !forth]);
        self.log.count("cut one way");
    }

    /// Nothing gets through any more, from the first end to the second, or back.
    fn cut_bridge(&mut self, ways: [bool; 2]) {
        let bridge = self.dice.below(self.plan.bridges.len());
        self.log.say(|| format!("bridge {bridge} is cut: {ways:?}"));
        for index in 0..self.wires.len() {
            let wire = &mut self.wires[index];
            if wire.bridge == bridge {
                let forth = wire.from == self.plan.bridges[bridge].ends[0];
                let (down, up) = if forth { (ways[0], ways[1]) } else { (ways[1], ways[0]) };
                wire.down.blocked |= down;
                wire.up.blocked |= up;
                self.at(DEAD_AFTER, Event::Notice(index));
            }
        }
        let long = self.dice.chance(20);
        let after =
            if long { self.dice.millis(8_000, 20_000) } else { self.dice.millis(50, 6_000) };
        self.at(after, Event::Heal(bridge));
    }

    pub fn heal(&mut self, bridge: usize) {
        self.log.say(|| format!("bridge {bridge} heals"));
        self.log.count("healed");
        for index in 0..self.wires.len() {
            let wire = &mut self.wires[index];
            if wire.bridge != bridge {
                continue;
            }
            (wire.down.blocked, wire.up.blocked) = (false, false);
            if wire.connected {
                wire.down.send_again(self.now);
                wire.up.send_again(self.now);
                self.touch_wire(index);
            }
        }
    }

    pub fn heal_all(&mut self) {
        (0..self.plan.bridges.len()).for_each(|bridge| self.heal(bridge));
        for index in 0..self.wires.len() {
            self.wires[index].link.reconfigure(self.now, wire::config(self.plan));
            self.touch_wire(index);
        }
        for subscriber in 0..self.subscribers.len() {
            self.subscribers[subscriber].slow = false;
            self.at(Duration::ZERO, Event::Use(subscriber));
        }
    }

    /// Nothing was heard on a wire for too long, if it is still cut.
    pub fn notice(&mut self, index: usize) {
        let wire = &self.wires[index];
        if wire.connected && (wire.down.blocked || wire.up.blocked) {
            self.disconnect(index);
        }
    }

    fn disconnect(&mut self, index: usize) {
        let wire = &mut self.wires[index];
        wire.connected = false;
        wire.link.far_down(self.now);
        let (to, far) = (wire.to, wire.far);
        if let Some(session) = far {
            self.brokers[to].router.suspend(self.now, session);
        }
        self.touch_broker(to);
        self.touch_wire(index);
        let after = self.dice.millis(100, 700);
        self.at(after, Event::Connect(index));
    }

    pub fn connect(&mut self, index: usize) {
        let wire = &mut self.wires[index];
        if wire.connected {
            return;
        }
        if wire.down.blocked || wire.up.blocked {
            let after = self.dice.millis(100, 700);
            return self.at(after, Event::Connect(index));
        }
        let (from, to) = (wire.from, wire.to);
        match wire.far.filter(|far| self.brokers[to].router.has_session(*far)) {
            Some(session) => {
                wire.connected = true;
                wire.link.far_resumed();
                self.brokers[to].router.resume(self.now, session);
                wire.down.send_again(self.now);
                wire.up.send_again(self.now);
                self.log.count("session resumed");
            }
            None => {
                if wire.far.is_some() {
                    self.log.count("session lost");
                }
                let session = self.brokers[to].open(self.now, Who::Far(index));
                let (near, far) = (self.brokers[from].epoch, self.brokers[to].epoch);
                wire.begin(self.now, session, near, far);
                self.log.say(|| format!("wire {index} begins"));
            }
        }
        self.touch_broker(to);
        self.touch_wire(index);
    }

    /// A link starts beside its near broker, not connected yet.
    pub fn start_link(&mut self, index: usize) {
        let Wire { bridge, from, to, .. } = self.wires[index];
        let (down, up) = (self.wires[index].down.blocked, self.wires[index].up.blocked);
        let mut wire = Wire::new(self.plan, bridge, [from, to]);
        (wire.down.blocked, wire.up.blocked) = (down, up);
        if let Some(fault) = self.fault {
            wire.link.plant(fault);
        }
        let session = self.brokers[from].open(self.now, Who::Near(index));
        wire.near = Some(session);
        wire.link.near_up(self.brokers[from].epoch);
        self.wires[index] = wire;
        self.touch_broker(from);
        self.touch_wire(index);
        let after = self.dice.millis(1, 300);
        self.at(after, Event::Connect(index));
    }

    /// A link is given other routes, and where something may be lost another policy and other bounds.
    fn reconfigure_some(&mut self) {
        let index = self.dice.below(self.wires.len());
        let routes = self.dice.pick(Plan::OTHER_ROUTES);
        let mut config = wire::config_of(self.plan, routes);
        if self.plan.mood == Mood::Rough {
            let policies = [SpoolPolicy::HoldBack, SpoolPolicy::DropOldest, SpoolPolicy::Refuse];
            let bytes = 10_000 + self.dice.below(60_000) as u64;
            config = config.policy(self.dice.pick(&policies)).spool(bytes, 256, 2 * bytes);
        }
        self.log.say(|| format!("wire {index} is given the routes {routes:?}"));
        let kept = self.wires[index].link.stat().spooled > 0;
        self.log.count(if kept { "spool taken over" } else { "link reconfigured" });
        let gone = self.wires[index].link.reconfigure(self.now, config);
        assert_eq!(gone.messages(), 0, "wire {index} gives up what it still bears");
        self.touch_wire(index);
    }

    /// A broker ends with all that it had, and begins anew.
    fn restart_some(&mut self) {
        let at = self.dice.below(self.brokers.len());
        self.log.say(|| format!("broker {at} restarts"));
        self.log.count("broker restarted");
        let epoch = self.epoch();
        self.brokers[at] = Broker::new(epoch, self.fault);
        for publisher in self.publishers.iter_mut().filter(|one| one.broker == at) {
            publisher.alive = false;
        }
        for subscriber in self.subscribers.iter_mut().filter(|one| one.broker == at) {
            subscriber.alive = false;
        }
        for index in 0..self.wires.len() {
            let (from, to) = (self.wires[index].from, self.wires[index].to);
            if from == at {
                // Its session at the other broker is away from now on.
                if let Some(far) = self.wires[index].far {
                    self.brokers[to].router.suspend(self.now, far);
                    self.touch_broker(to);
                }
                self.start_link(index);
            } else if to == at {
                // The broker that knew its session is no more.
                self.wires[index].far = None;
                if self.wires[index].connected {
                    self.disconnect(index);
                }
            }
        }
        self.add_publisher();
        self.add_subscriber();
    }
}
