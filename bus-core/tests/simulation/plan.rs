//! What a seed settles before anything happens: sizes, speeds, and how likely each thing is.
//!
//! Each run leaves out much of what there is, so that the rest meets itself more often.

use std::time::Duration;

use bus_core::Time;
use bus_core::router::{Lifetime, QueueOptions};
use bus_core::session::SessionLimits;

use crate::dice::Dice;

/// How bytes travel.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// The longest delay of a piece.
    pub delay: Duration,
    /// The largest piece.
    pub piece: usize,
    /// Bytes under way at a time.
    pub capacity: usize,
}

/// Something that an application does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    OpenQueue,
    Send,
    Withdraw,
    Receive,
    CancelReceive,
    Take,
    Settle,
    Consume,
    Credit,
    CloseConsumer,
    CloseQueue,
    OpenPublisher,
    Publish,
    ClosePublisher,
    Subscribe,
    Read,
    Unsubscribe,
    OpenService,
    Call,
    GiveUpCall,
    Serve,
    Answer,
    StopServing,
    Administer,
    Ping,
}

/// Something that happens to clients, connections and the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    Cut,
    Crash,
    Goodbye,
    Restart,
    Intruder,
}

/// The plan of a run.
#[derive(Clone, Debug)]
pub struct Plan {
    pub clients: usize,
    pub queues: Vec<(&'static str, QueueOptions)>,
    pub topics: Vec<&'static str>,
    pub services: Vec<&'static str>,
    /// When clients stop to ask for more, and trouble stops.
    pub busy_until: Time,
    pub acts: Vec<(u64, Act)>,
    pub troubles: Vec<(u64, Trouble)>,
    /// The longest time between two troubles.
    pub peace: Duration,
    /// The longest time between two acts of a client.
    pub think: Duration,
    pub pace: Pace,
    /// The longest time until the broker notices that a connection is cut.
    pub broker_notice: Duration,
    pub limits: SessionLimits,
    pub parked_bytes_max: u64,
    /// Types of messages are 1 to this.
    pub types: u64,
    /// Payloads that are common, and those that are not.
    pub small: usize,
    pub large: usize,
    /// How often in a hundred a client closes a delivery by a crash of its process at once.
    pub watched: u64,
}

const ACTS: &[(u64, Act)] = &[
    (8, Act::OpenQueue),
    (40, Act::Send),
    (4, Act::Withdraw),
    (16, Act::Receive),
    (7, Act::CancelReceive),
    (30, Act::Take),
    (24, Act::Settle),
    (8, Act::Consume),
    (4, Act::Credit),
    (2, Act::CloseConsumer),
    (1, Act::CloseQueue),
    (3, Act::OpenPublisher),
    (24, Act::Publish),
    (1, Act::ClosePublisher),
    (3, Act::Subscribe),
    (20, Act::Read),
    (1, Act::Unsubscribe),
    (2, Act::OpenService),
    (8, Act::Call),
    (1, Act::GiveUpCall),
    (2, Act::Serve),
    (10, Act::Answer),
    (1, Act::StopServing),
    (1, Act::Administer),
    (2, Act::Ping),
];

/// What a run may do without: each group is left out as a whole.
const GROUPS: &[&[Act]] = &[
    &[
        Act::OpenPublisher,
        Act::Publish,
        Act::ClosePublisher,
        Act::Subscribe,
        Act::Read,
        Act::Unsubscribe,
    ],
    &[Act::OpenService, Act::Call, Act::GiveUpCall, Act::Serve, Act::Answer, Act::StopServing],
    &[Act::Receive, Act::CancelReceive],
    &[Act::Consume, Act::Credit, Act::CloseConsumer],
    &[Act::Withdraw],
    &[Act::Administer],
    &[Act::CloseQueue],
];

impl Plan {
    pub fn new(dice: &mut Dice) -> Plan {
        let topics_only = dice.chance(15);
        Plan {
            clients: dice.between(1, 4) as usize,
            queues: queues(dice),
            topics: ["t.a", "t.b"][..dice.between(1, 2) as usize].to_vec(),
            services: vec!["s"],
            busy_until: Time::ZERO.after(dice.millis(300, 1500)),
            acts: acts(dice, topics_only),
            troubles: troubles(dice),
            peace: dice.millis(5, 200),
            think: Duration::from_micros(dice.between(200, 8000)),
            pace: Pace {
                delay: Duration::from_micros(dice.pick(&[10, 300, 3000, 20_000])),
                piece: dice.pick(&[1, 7, 60, 2000, 100_000]),
                capacity: dice.pick(&[200, 1000, 20_000, 300_000]),
            },
            broker_notice: dice.millis(1, 300),
            limits: SessionLimits {
                inline_bytes: dice.pick(&[60, 300, 64 * 1024]),
                offers: dice.pick(&[4, 20, 4096]),
                channels: dice.pick(&[8, 64, 32 * 1024]),
                ..SessionLimits::default()
            },
            parked_bytes_max: dice.pick(&[500, 20_000, 256 << 20]),
            types: dice.between(1, 4),
            small: dice.pick(&[10, 100, 1000]),
            large: dice.pick(&[400, 5000, 60_000, 150_000]),
            watched: dice.pick(&[0, 50, 100]),
        }
        .tamed()
    }

    /// One byte at a time, a run must not be about megabytes.
    fn tamed(mut self) -> Plan {
        if self.pace.piece < 100 {
            self.large = self.large.min(600);
        }
        if self.pace.capacity < 1000 {
            self.large = self.large.min(5000);
            self.pace.delay = self.pace.delay.min(Duration::from_micros(300));
        }
        self
    }
}

fn queues(dice: &mut Dice) -> Vec<(&'static str, QueueOptions)> {
    let count = dice.between(1, 3) as usize;
    let names = &["q.a", "q.b", "q.c"][..count];
    let make = |name: &&'static str| {
        let options = QueueOptions {
            count_max: dice.pick(&[1, 3, 10, 1000]),
            bytes_max: dice.pick(&[700, 3000, 50_000, 1 << 24]),
            lease: dice.millis(5, 400),
            deliveries_max: dice.pick(&[2, 3, 16]),
            lifetime: dice.pick(&[
                Lifetime::Volatile,
                Lifetime::Volatile,
                Lifetime::Volatile,
                Lifetime::LastHolder,
                Lifetime::Session,
            ]),
            ..QueueOptions::default()
        };
        (*name, options)
    };
    names.iter().map(make).collect()
}

fn acts(dice: &mut Dice, topics_only: bool) -> Vec<(u64, Act)> {
    let mut acts: Vec<(u64, Act)> = ACTS.to_vec();
    let pays = |act: &Act| GROUPS[0].contains(act) || *act == Act::Ping;
    if topics_only {
        acts.retain(|(_, act)| pays(act));
        return acts;
    }
    for group in GROUPS {
        if dice.chance(30) {
            acts.retain(|(_, act)| !group.contains(act));
        }
    }
    for (weight, _) in &mut acts {
        *weight = *weight * dice.pick(&[1, 2, 4, 8]) / 2;
    }
    acts
}

fn troubles(dice: &mut Dice) -> Vec<(u64, Trouble)> {
    let mut all = vec![
        (60, Trouble::Cut),
        (6, Trouble::Crash),
        (4, Trouble::Goodbye),
        (3, Trouble::Restart),
        (6, Trouble::Intruder),
    ];
    all.retain(|(_, trouble)| *trouble == Trouble::Cut || dice.chance(60));
    all
}
