//! The books: who has seen what, checked with each delivery.
//!
//! A subscriber sees the numbers of a publisher rise. Where one is missing, it was told before
//! that so many, or more, are lost; while nothing but connections fails, none may be.

use bus_core::router::{Answer, BridgeCommand, Command, Output, RelayState, Stamp};
use bus_core::{ErrorKind, Message};

use crate::clients::read;
use crate::plan::Mood;
use crate::wire::{FIRST_HOLD, ToFar};
use crate::world::{Event, World};

impl World<'_> {
    pub fn publisher_is_told(&mut self, publisher: usize, output: Output) {
        match output {
            Output::Reply { result: Ok(_), .. } | Output::Credit { .. } => {}
            other => panic!("publisher {publisher} was told {other:?}"),
        }
    }

    pub fn subscriber_is_told(&mut self, subscriber: usize, output: Output) {
        match output {
            Output::Deliver { stamp, message, .. } => self.deliver(subscriber, &stamp, &message),
            Output::DeliverParcel { stamp, parcel, .. } => {
                self.log.count("parcel seen");
                for (sequence, message) in (stamp.sequence..).zip(parcel.messages()) {
                    let stamp = Stamp { sequence, ..stamp.clone() };
                    self.deliver(subscriber, &stamp, &message);
                }
            }
            Output::Lost { count, .. } => {
                self.log.say(|| format!("subscriber {subscriber} is told of {count} lost"));
                self.log.count("gap told");
                self.subscribers[subscriber].told += count;
                // Before all know of it, it may lose what another wish was still bringing.
                let known = self.subscribers[subscriber].known_since.is_some();
                let gentle = self.plan.mood == Mood::Gentle && known;
                assert!(!gentle, "subscriber {subscriber} has lost {count}, and nothing may be");
            }
            Output::Reply { result: Ok(_), .. } => {}
            Output::Ended { failure, .. } if failure.kind() == ErrorKind::TooSlow => {
                self.log.count("subscriber too slow");
                self.subscribers[subscriber].alive = false;
            }
            other => panic!("subscriber {subscriber} was told {other:?}"),
        }
    }

    fn deliver(&mut self, subscriber: usize, stamp: &Stamp, message: &Message) {
        let (publisher, number) = read(message);
        self.log.say(|| format!("subscriber {subscriber} sees {number} of publisher {publisher}"));
        let (origin, here) = (&self.publishers[publisher], self.subscribers[subscriber].broker);
        assert_eq!(stamp.sequence, number, "the number of publisher {publisher}'s message");
        let said = stamp.source.provenance.as_ref().map(|provenance| provenance.epoch);
        let local = origin.epoch == self.brokers[here].epoch;
        assert_eq!(said.unwrap_or(self.brokers[here].epoch), origin.epoch, "the origin");
        assert_eq!(said.is_none(), local, "only what comes from elsewhere says so");
        if !local {
            self.log.count("message bridged");
        }
        let at = &mut self.subscribers[subscriber];
        let owed = at.owed.remove(&publisher);
        let before = at.seen.insert(publisher, number).or(owed);
        if let Some(before) = before {
            assert!(
                number > before,
                "subscriber {subscriber} sees {number} of publisher {publisher} after {before}"
            );
            let from = before.max(at.before.get(publisher).copied().unwrap_or(0));
            at.missed += number.saturating_sub(from + 1);
        }
        assert!(
            at.missed <= at.told,
            "subscriber {subscriber} misses {} messages up to {number} of publisher {publisher}, and was told of {}",
            at.missed,
            at.told
        );
        at.got += message.cost();
        if !at.slow {
            self.use_up(subscriber);
        } else if at.got - at.used > 2048 {
            let after = self.dice.millis(500, 9000);
            self.at(after, Event::Use(subscriber));
        }
    }

    pub fn use_up(&mut self, subscriber: usize) {
        let at = &mut self.subscribers[subscriber];
        if !at.alive {
            return;
        }
        at.used = at.got;
        let (broker, session, bytes) = (at.broker, at.session, at.used);
        let command = Command::Consumed { channel: 0, bytes };
        self.brokers[broker].router.handle(self.now, session, command);
        self.touch_broker(broker);
    }

    pub fn note_far_output(&mut self, wire: usize, output: &Output) {
        if let Output::Relay { state: RelayState { turn, active, mark, .. }, channel } = output {
            self.log.say(|| {
                format!("wire {wire} channel {channel} turn {turn}: active {active}, mark {mark}")
            });
            if *turn > 1 && *active {
                self.log.count("upstream changed");
            }
        }
    }

    pub fn note_hold(&mut self, wire: usize, command: &Command) {
        if let Command::Bridge(BridgeCommand::HoldBeyond { topic, hold, .. }) = command {
            self.log.say(|| format!("wire {wire} holds `{topic}`: {hold}"));
            self.log.count(if *hold { "topic held" } else { "topic let go" });
        }
    }

    pub fn note_passed(&mut self, output: &Output) {
        if let Output::Reply { request: FIRST_HOLD.., result: Ok(Answer::Done { count: 1.. }) } =
            output
        {
            self.log.count("topic passed by");
        }
    }

    /// While all is well nothing goes where nobody wants it.
    pub fn check_sent(&mut self, wire: usize, item: &ToFar) {
        let message = match item {
            ToFar::Command(Command::Publish { message, .. }) => message.clone(),
            ToFar::Parcel(_, parcel) => {
                self.log.count("parcel bridged");
                parcel.first().expect("it is not empty")
            }
            ToFar::Command(command) => {
                return self.log.say(|| format!("wire {wire} brings {command:?}"));
            }
        };
        let (publisher, number) = read(&message);
        self.log.say(|| format!("wire {wire} brings {number} of publisher {publisher}"));
        if !self.at_rest {
            return;
        }
        let topic = &self.publishers[publisher].topic;
        let (from, to) = (self.wires[wire].from, self.wires[wire].to);
        let reached = self.distances(to, Some(from));
        let wants = self.subscribers.iter().any(|subscriber| {
            let wants = subscriber.alive && subscriber.pattern.matches(topic);
            wants && reached[subscriber.broker].is_some()
        });
        assert!(wants, "wire {wire} brings `{topic}` where nobody wants it");
    }
}
