//! What a seed settles: how many brokers, which bridges, how rough it gets.

use std::time::Duration;

use bus_core::bridge::SpoolPolicy;

use crate::dice::Dice;

/// A bridge: both directions between two brokers.
#[derive(Clone, Copy, Debug)]
pub struct Bridge {
    pub ends: [usize; 2],
    pub latency: Duration,
    pub bytes_per_second: u64,
}

/// How it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    /// Nothing but connections is lost, and spools suffice: not one message may be.
    Gentle,
    /// Brokers restart, spools are short, subscribers are slow: a loss must be told.
    Rough,
}

/// A run.
#[derive(Clone, Debug)]
pub struct Plan {
    pub seed: u64,
    pub mood: Mood,
    pub brokers: usize,
    pub bridges: Vec<Bridge>,
    pub policy: SpoolPolicy,
    pub linger: Duration,
    pub publishers: usize,
    pub subscribers: usize,
    /// How often it goes from trouble to rest, and for how long there is trouble.
    pub rounds: usize,
    pub trouble: Duration,
    /// Between two troubles, and between two messages of a publisher, on average.
    pub trouble_every: Duration,
    pub publish_every: Duration,
}

impl Plan {
    /// The topics of each route of its bridges.
    pub fn routes(&self) -> &'static [&'static str] {
        if self.seed % 3 == 1 { &["a.>", "b.>", "c"] } else { &[">"] }
    }

    /// Other routes that bear the same, each topic on one of them.
    pub const OTHER_ROUTES: &'static [&'static [&'static str]] = &[
        &[">"],
        &["c", "b.>", "a.>"],
        &["a.x", "a.y", "b.>", "c"],
        &["*.x", "a.y", "b.y.>", "c"],
        &["a.>", "c", "b.*", "b.*.z"],
    ];

    /// A few brokers in rings, with parallel bridges.
    pub fn new(seed: u64) -> Plan {
        let mut dice = Dice::new(seed);
        let brokers = 2 + dice.below(5);
        let extra = dice.below(brokers + 2);
        let mood = if seed.is_multiple_of(2) { Mood::Gentle } else { Mood::Rough };
        let policies = [SpoolPolicy::HoldBack, SpoolPolicy::DropOldest, SpoolPolicy::Refuse];
        let (policy, linger) = match mood {
            Mood::Gentle => (SpoolPolicy::HoldBack, Duration::from_secs(3600)),
            Mood::Rough => (dice.pick(&policies), dice.millis(5_000, 60_000)),
        };
        Plan {
            seed,
            mood,
            brokers,
            bridges: bridges(&mut dice, brokers, extra),
            policy,
            linger,
            publishers: 2 + dice.below(4),
            subscribers: 2 + dice.below(5),
            rounds: 2,
            trouble: Duration::from_secs(25),
            trouble_every: dice.millis(300, 3000),
            publish_every: dice.millis(20, 200),
        }
    }

    /// A hundred brokers.
    pub fn large(seed: u64) -> Plan {
        let mut dice = Dice::new(seed);
        Plan {
            brokers: 100,
            bridges: bridges(&mut dice, 100, 40),
            publishers: 6,
            subscribers: 30,
            rounds: 1,
            trouble: Duration::from_secs(8),
            trouble_every: Duration::from_millis(500),
            publish_every: Duration::from_millis(400),
            ..Plan::new(seed)
        }
    }
}

/// A tree, so that there is always a way, and some more: rings and parallel bridges.
fn bridges(dice: &mut Dice, brokers: usize, extra: usize) -> Vec<Bridge> {
    let mut pairs: Vec<[usize; 2]> =
        (1..brokers).map(|at| [dice.below(at.min(brokers / 8 + 3)), at]).collect();
    for _ in 0..extra {
        let (one, other) = (dice.below(brokers), dice.below(brokers));
        if one != other {
            pairs.push([one, other]);
        }
    }
    let bridge = |ends| Bridge {
        ends,
        latency: dice.millis(1, 60),
        bytes_per_second: dice.weighted(&[(4, 10_000_000), (1, 20_000)]),
    };
    pairs.into_iter().map(bridge).collect()
}
