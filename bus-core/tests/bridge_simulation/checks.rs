//! What must hold when all bridges are whole and nothing has happened for a while.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use bus_core::{Name, Pattern};

use crate::clients::TOPICS;
use crate::plan::Mood;
use crate::world::World;

/// Long enough for every session to end or come back, every retry, every source to rest and go.
const SETTLE: Duration = Duration::from_secs(130);
/// Nothing is said for so long after that.
const QUIET: Duration = Duration::from_secs(20);
/// So many paths of interest are too long to be told.
const HOPS_MAX: usize = bus_core::HOPS_MAX;

impl World<'_> {
    /// Lets everything come to rest.
    pub fn settle(&mut self) {
        self.run_for(SETTLE);
        self.at_rest = true;
        for subscriber in self.subscribers.iter_mut().filter(|subscriber| subscriber.alive) {
            subscriber.known_since.get_or_insert(self.now);
        }
    }

    /// Everybody publishes, so that a loss at the end would be seen.
    pub fn probe(&mut self) {
        for publisher in 0..self.publishers.len() {
            self.publish(publisher);
            self.run_for(Duration::from_millis(20));
        }
    }

    /// How many bridges away each broker is, on ways that avoid one.
    pub fn distances(&self, from: usize, without: Option<usize>) -> Vec<Option<usize>> {
        let mut distances = vec![None; self.brokers.len()];
        distances[from] = Some(0);
        let mut next = VecDeque::from([from]);
        while let Some(at) = next.pop_front() {
            for bridge in &self.plan.bridges {
                let [one, other] = bridge.ends;
                let to = if one == at { other } else { one };
                if (one == at || other == at) && Some(to) != without && distances[to].is_none() {
                    distances[to] = distances[at].map(|distance| distance + 1);
                    next.push_back(to);
                }
            }
        }
        distances
    }

    pub fn check_rest(&mut self) {
        self.check_deliveries();
        self.check_interest();
        self.check_links();
        let before = self.sent;
        self.run_for(QUIET);
        assert_eq!(self.sent, before, "bridges talk while nothing happens");
        if self.plan.mood == Mood::Rough {
            // What a broker takes along before the first message of a source is told to nobody.
            return;
        }
        // From here on everybody who is known must see all that is published.
        for index in 0..self.subscribers.len() {
            for publisher in 0..self.publishers.len() {
                let (at, from) = (&mut self.subscribers[index], &self.publishers[publisher]);
                let wants = from.alive && at.alive && at.pattern.matches(&from.topic);
                if wants && !at.seen.contains_key(&publisher) {
                    at.owed.insert(publisher, from.published);
                }
            }
        }
    }

    /// Everybody has seen the last message of everybody, if it was published since he was known.
    fn check_deliveries(&self) {
        for (index, subscriber) in self.subscribers.iter().enumerate() {
            for (publisher, from) in self.publishers.iter().enumerate() {
                let wants = subscriber.alive && subscriber.pattern.matches(&from.topic);
                // The last message was a probe: since then all was well. Who ended before must have
                // been heard to the end by those whom all knew of.
                let known = subscriber.known_since.is_some_and(|since| since <= from.last_at);
                let gentle = self.plan.mood == Mood::Gentle && known && subscriber.owes(publisher);
                if !wants || from.published == 0 || !(from.alive || gentle) {
                    continue;
                }
                let seen = subscriber.seen.get(&publisher).copied();
                let last = seen.or(subscriber.owed.get(&publisher).copied()).unwrap_or(0);
                assert_eq!(
                    last, from.published,
                    "the last message of publisher {publisher} at subscriber {index}"
                );
            }
        }
    }

    /// Each broker knows of every wish, by the shortest way, and of nothing else.
    fn check_interest(&self) {
        let by_epoch: BTreeMap<u64, usize> =
            self.brokers.iter().enumerate().map(|(at, broker)| (broker.epoch, at)).collect();
        let mut wished: BTreeSet<(Pattern, usize)> = BTreeSet::new();
        for subscriber in self.subscribers.iter().filter(|subscriber| subscriber.alive) {
            wished.insert((subscriber.pattern.clone(), subscriber.broker));
        }
        for (at, broker) in self.brokers.iter().enumerate() {
            let distances = self.distances(at, None);
            let mut known = BTreeSet::new();
            for interest in broker.router.interest_for(0).interests {
                let path: Vec<_> =
                    interest.path.iter().map(|epoch| by_epoch.get(epoch).copied()).collect();
                let who = path[0].expect("an entry of a broker that is gone");
                let distance = distances[who].map(|distance| distance + 1);
                assert_eq!(Some(path.len()), distance, "{path:?} is not the shortest way");
                assert_eq!(path.last(), Some(&Some(at)));
                known.insert((interest.pattern, who));
            }
            let near = |who: &usize| distances[*who].is_some_and(|distance| distance < HOPS_MAX);
            let expected: BTreeSet<_> =
                wished.iter().filter(|(_, who)| near(who)).cloned().collect();
            // Routes tell what they have in common with a wish, so that it may come in parts.
            match self.plan.routes().len() {
                1 => assert_eq!(known, expected, "what broker {at} knows of wishes"),
                _ => assert_eq!(
                    topics_of(&known),
                    topics_of(&expected),
                    "what topics broker {at} knows to be wanted"
                ),
            }
        }
    }

    /// Spools are empty, each source has one active upstream at each broker, and everything is
    /// within its bounds.
    pub fn check_links(&mut self) {
        let mut active = BTreeSet::new();
        for (index, wire) in self.wires.iter().enumerate() {
            assert!(wire.connected, "wire {index} is not connected");
            let stat = wire.link.stat();
            assert_eq!((stat.spooled, stat.spooled_bytes), (0, 0), "wire {index}: {stat:?}");
            for source in wire.link.active_sources() {
                let new = active.insert((wire.to, source.clone()));
                assert!(new, "broker {} has two active upstreams of {source:?}", wire.to);
            }
        }
        for (at, broker) in self.brokers.iter().enumerate() {
            let stat = broker.router.relay_stat();
            if stat.stalls > 0 {
                self.log.count("upstream passed over");
            }
            let (sources, publishers) = (stat.sources + stat.idle, self.publishers.len() as u64);
            assert!(sources <= publishers, "broker {at}: {stat:?}");
        }
    }
}

impl crate::clients::Subscriber {
    /// Whether it must see everything of a publisher.
    fn owes(&self, publisher: usize) -> bool {
        self.seen.contains_key(&publisher) || self.owed.contains_key(&publisher)
    }
}

/// Which topics that there may be somebody wants, and who.
fn topics_of(wishes: &BTreeSet<(Pattern, usize)>) -> BTreeSet<(&'static str, usize)> {
    let wanted = |(pattern, who): &(Pattern, usize)| {
        let matching = |topic: &&&str| pattern.matches(&Name::new(topic).expect("a name"));
        TOPICS.iter().filter(matching).map(|topic| (*topic, *who)).collect::<Vec<_>>()
    };
    wishes.iter().flat_map(wanted).collect()
}
