//! Topics that two bridges stop and resume at random, while topics and wishes come and go.
//!
//! Who only listens hears everything in order, what bridges get of a publisher rises, and when all
//! is resumed and read, or enough time has passed, nothing waits any more.

use std::collections::BTreeMap;
use std::time::Duration;

use bus_core::router::{
    AdminAction, BridgeCommand, Command, Fault, Identity, ObjectKind, SlowPolicy, TopicChange,
    TopicOptions,
};

use crate::bus::{Bus, name, user};
use crate::dice::{self, Dice};
use crate::stopping::{SECOND, beyond, interest, stage, stop};

#[derive(Clone, Copy, Debug)]
enum Step {
    Publish { topic: u32 },
    Stop { bridge: usize, topic: u32, hold: bool },
    Consume { bridge: usize, count: u64 },
    Leave { bridge: usize },
    Wish { bridge: usize, topic: u32, added: bool },
    Reopen { topic: u32 },
    Retire { topic: u32 },
    Mode { topic: u32, mode: u16 },
    Tick { nanos: u64 },
}

fn step(dice: &mut Dice) -> Step {
    let (bridge, topic) = (dice.below(2) as usize, dice.below(2) as u32);
    match dice.below(100) {
        0..40 => Step::Publish { topic },
        40..60 => Step::Stop { bridge, topic, hold: dice.chance(60) },
        60..75 => Step::Consume { bridge, count: 1 + dice.below(6) },
        75..77 => Step::Leave { bridge },
        77..81 => Step::Wish { bridge, topic, added: dice.chance(50) },
        81..83 => Step::Reopen { topic },
        83..85 => Step::Retire { topic },
        85..89 => Step::Mode { topic, mode: if dice.chance(50) { 0o700 } else { 0o744 } },
        _ => Step::Tick { nanos: dice.below(700_000_000) },
    }
}

fn case(seed: u64) -> Vec<Step> {
    let mut dice = Dice::new(seed);
    (0..60 + dice.below(100)).map(|_| step(&mut dice)).collect()
}

const BRIDGES: [char; 2] = ['B', 'D'];

/// What was published and heard; nothing of how the router does it.
struct World {
    bus: Bus,
    /// By opening of a publisher: what it has published, and what of it C has heard.
    published: BTreeMap<u64, Vec<u64>>,
    heard: BTreeMap<u64, Vec<u64>>,
    /// Of which opening a message is.
    of: BTreeMap<u64, u64>,
    openings: [u64; 2],
    /// What the bridges have got, in bytes as windows count, and what they have used of it.
    got: [u64; 2],
    used: [u64; 2],
    last: [u64; 2],
    /// By bridge and opening, the last message.
    last_of: BTreeMap<(usize, u64), u64>,
}

impl World {
    fn tell(&mut self, told: &[String]) -> Result<(), String> {
        for told in told {
            let words: Vec<&str> = told.split(' ').collect();
            let (who, number) = (words[0], words.get(2).and_then(|word| word.parse().ok()));
            let bridge = BRIDGES.iter().position(|bridge| who == bridge.to_string());
            match (words[1], bridge, number) {
                ("heard", Some(bridge), Some(number)) => {
                    self.got[bridge] += 72;
                    self.last[bridge] = number;
                    let before = self.last_of.insert((bridge, self.of[&number]), number);
                    if before.is_some_and(|before| before >= number) {
                        return Err(format!("{told} after {before:?}"));
                    }
                }
                ("heard", None, Some(number)) => {
                    self.heard.entry(self.of[&number]).or_default().push(number);
                }
                ("ended", Some(bridge), _) => self.subscribe(bridge),
                ("lost" | "refused" | "failed", ..) => return Err(told.clone()),
                _ => {}
            }
        }
        Ok(())
    }

    fn subscribe(&mut self, bridge: usize) {
        (self.got[bridge], self.used[bridge]) = (0, 0);
        beyond(&mut self.bus, BRIDGES[bridge], SlowPolicy::Hold, true);
    }

    fn open(&mut self, topic: u32) {
        self.openings[topic as usize] = self.of.len() as u64 * 2 + u64::from(topic);
        self.bus.publisher('A', topic, &format!("t.{topic}"), TopicOptions::default());
    }

    fn publish(&mut self, topic: u32) -> Result<u64, String> {
        let (number, opening) = (self.of.len() as u64 + 1, self.openings[topic as usize]);
        self.of.insert(number, opening);
        self.published.entry(opening).or_default().push(number);
        let told = self.bus.publish('A', topic, 1, number);
        self.tell(&told).map(|()| number)
    }

    fn consume(&mut self, bridge: usize, count: u64) -> Result<(), String> {
        self.used[bridge] = self.got[bridge].min(self.used[bridge] + 72 * count);
        let told = self.bus.consumed(BRIDGES[bridge], 5, self.used[bridge]);
        self.tell(&told)
    }

    fn step(&mut self, step: Step) -> Result<(), String> {
        let text = |topic: u32| format!("t.{topic}");
        let told = match step {
            Step::Publish { topic } => return self.publish(topic).map(drop),
            Step::Consume { bridge, count } => return self.consume(bridge, count),
            Step::Stop { bridge, topic, hold } => {
                stop(&mut self.bus, BRIDGES[bridge], &text(topic), hold)
            }
            Step::Leave { bridge } => {
                let told = self.bus.close(BRIDGES[bridge], 5);
                self.subscribe(bridge);
                told
            }
            Step::Wish { bridge, topic, added } => {
                let (one, all) = (vec![interest(&text(topic))], vec![interest("t.>")]);
                let (added, removed) = if added { (all, one) } else { (one, all) };
                let change = BridgeCommand::ChangeBeyond { request: 0, channel: 5, added, removed };
                self.bus.tell(BRIDGES[bridge], Command::Bridge(change))
            }
            Step::Reopen { topic } => {
                let told = self.bus.close('A', topic);
                let told = self.without_passed(topic, told)?;
                self.tell(&told)?;
                self.open(topic);
                return Ok(());
            }
            Step::Retire { topic } => {
                let (name, object) = (name(&text(topic)), ObjectKind::Topic);
                let action = AdminAction::Retire;
                self.bus.tell('A', Command::Admin { request: 0, name, object, action })
            }
            Step::Mode { topic, mode } => {
                let change = TopicChange { mode: Some(mode), ..TopicChange::default() };
                let name = name(&text(topic));
                self.bus.tell('A', Command::SetTopic { request: 0, name, change })
            }
            Step::Tick { nanos } => self.bus.tick(Duration::from_nanos(nanos)),
        };
        self.tell(&told)
    }

    /// What has passed by a bridge is told when the topic goes, and is no more than was published on it.
    fn without_passed(&mut self, topic: u32, told: Vec<String>) -> Result<Vec<String>, String> {
        let published = self.published.get(&self.openings[topic as usize]).map_or(0, Vec::len);
        let (passed, rest): (Vec<_>, Vec<_>) =
            told.into_iter().partition(|told| told.contains(" lost "));
        for told in passed {
            let count = told.split(' ').nth(2).and_then(|word| word.parse().ok());
            let is_gone = self.bus.topic_stat(&format!("t.{topic}")).is_none();
            if !is_gone || !count.is_some_and(|count| (1..=published).contains(&count)) {
                return Err(told);
            }
        }
        Ok(rest)
    }

    /// Everything is resumed and read, or time alone lets it go: then nothing waits, all has been
    /// heard in order, and whoever takes a topic gets what comes next.
    fn finish(&mut self, by_time: bool) -> Result<(), String> {
        for _ in 0..100 {
            let told = if by_time { self.bus.tick(SECOND) } else { Vec::new() };
            self.tell(&told)?;
            for bridge in (0..2).filter(|_| !by_time) {
                (0..2)
                    .try_for_each(|topic| self.step(Step::Stop { bridge, topic, hold: false }))?;
                self.consume(bridge, 1000)?;
            }
        }
        if self.heard != self.published {
            return Err(format!("heard {:?} of {:?}", self.heard, self.published));
        }
        for topic in (0..2).filter(|_| !by_time) {
            self.open_anew(topic)?;
            let number = self.publish(topic)?;
            for bridge in 0..2 {
                self.step(Step::Wish { bridge, topic: 0, added: true })?;
            }
            let number = self.publish(topic).map(|next| next.max(number))?;
            if self.last != [number; 2] {
                return Err(format!("{:?} have come last, not {number}", self.last));
            }
            (0..2).try_for_each(|bridge| self.consume(bridge, 1000))?;
        }
        Ok(())
    }

    /// The name may have been taken away from the topic.
    fn open_anew(&mut self, topic: u32) -> Result<(), String> {
        match self.bus.topic_stat(&format!("t.{topic}")) {
            Some(_) => Ok(()),
            None => self.step(Step::Reopen { topic }),
        }
    }
}

fn check(steps: &[Step], fault: Option<Fault>) -> Result<(), String> {
    let mut bus = stage();
    bus.join('D', Identity { admin: true, ..user(1, 1) });
    fault.into_iter().for_each(|fault| bus.router.plant(fault));
    let mut world = World {
        bus,
        published: BTreeMap::new(),
        heard: BTreeMap::new(),
        of: BTreeMap::new(),
        openings: [0, 1],
        got: [0; 2],
        used: [0; 2],
        last: [0; 2],
        last_of: BTreeMap::new(),
    };
    (0..2).for_each(|bridge| world.subscribe(bridge));
    for (at, step) in steps.iter().enumerate() {
        world.step(*step).map_err(|text| format!("step {at} {step:?}: {text}"))?;
    }
    world.finish(steps.len().is_multiple_of(2))
}

#[test]
fn nothing_stays_held_that_nobody_holds() {
    dice::run(0..400, case, |steps| check(steps, None));
}

#[test]
fn a_stop_that_stays_is_noticed() {
    let caught = (0..50).any(|seed| {
        dice::verdict(&case(seed), |steps| check(steps, Some(Fault::StopStays))).is_err()
    });
    assert!(caught);
}
