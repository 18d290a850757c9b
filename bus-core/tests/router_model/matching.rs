//! Publishers that are told whether somebody listens, under random use, against a list of who does.
//!
//! The first answer must come at once, every later one be news and true, none sooner than the delay
//! allows, and after it nobody be wrong. Nothing of how the router does it is known here.

use std::collections::BTreeMap;
use std::time::Duration;

use bus_core::router::{
    AdminAction, Command, Fault, ObjectKind, Output, Router, RouterConfig, SessionEnd, SessionId,
    SubscribeOptions, TopicChange, TopicOptions,
};
use bus_core::{INTEREST_DELAY, Pattern, Time};

use crate::bus::{group, name, user};
use crate::dice::{self, Dice};

/// Slots 0 and 1 publish, 2 and 3 subscribe; 3 is another user.
const SLOTS: usize = 4;
const TOPICS: [&str; 2] = ["t.0", "t.1"];
const PATTERNS: [&str; 4] = ["t.0", "t.1", "t.*", ">"];
const CASES: u64 = 300;

#[derive(Clone, Copy, Debug)]
enum Step {
    Subscribe { slot: usize, channel: u32, pattern: usize, shares: bool },
    Leave { slot: usize, channel: u32 },
    Watch { slot: usize, topic: usize },
    Reopen { slot: usize, topic: usize },
    Rights { topic: usize, open: bool },
    Remove { topic: usize },
    End { slot: usize },
    Tick { millis: u64 },
}

fn case(seed: u64) -> Vec<Step> {
    let mut dice = Dice::new(seed);
    let count = 20 + dice.below(80);
    (0..count).map(|_| step(&mut dice)).collect()
}

fn step(dice: &mut Dice) -> Step {
    let (slot, topic) = (dice.below(2) as usize, dice.below(2) as usize);
    let (reader, channel) = (slot + 2, dice.below(3) as u32);
    match dice.below(100) {
        0..20 => {
            let (pattern, shares) = (dice.below(4) as usize, dice.chance(30));
            Step::Subscribe { slot: reader, channel, pattern, shares }
        }
        20..42 => Step::Leave { slot: reader, channel },
        42..52 => Step::Watch { slot, topic },
        52..57 => Step::Reopen { slot, topic },
        57..65 => Step::Rights { topic, open: dice.chance(50) },
        65..68 => Step::Remove { topic },
        68..71 => Step::End { slot: dice.below(SLOTS as u64) as usize },
        _ => Step::Tick { millis: dice.below(25) },
    }
}

struct World {
    router: Router,
    now: u64,
    sessions: Vec<SessionId>,
    /// Which pattern a subscriber has on a channel.
    listening: BTreeMap<(usize, u32), usize>,
    /// Whether everybody may read a topic.
    open: [bool; 2],
    /// What a publisher was told last, and when it was told without having asked.
    told: BTreeMap<(usize, u32), (bool, Option<u64>)>,
}

impl World {
    fn new(fault: Option<Fault>) -> World {
        let mut router = Router::new(RouterConfig::default());
        fault.into_iter().for_each(|fault| router.plant(fault));
        let sessions = Vec::new();
        let (listening, told) = (BTreeMap::new(), BTreeMap::new());
        let mut world = World { router, now: 0, sessions, listening, open: [true; 2], told };
        for slot in 0..SLOTS {
            let session = world.session(slot);
            world.sessions.push(session);
        }
        world
    }

    fn time(&self) -> Time {
        Time::ZERO.after(Duration::from_millis(self.now))
    }

    fn session(&mut self, slot: usize) -> SessionId {
        let user = if slot == 3 { user(2, 2) } else { user(1, 1) };
        let (now, grace) = (self.time(), Duration::ZERO);
        self.router.open_session(now, user, grace).expect("there is room")
    }

    fn is_matched(&self, topic: usize) -> bool {
        self.listening.iter().any(|((slot, _), pattern)| {
            let pattern = Pattern::new(PATTERNS[*pattern]).expect("a pattern");
            pattern.matches(&name(TOPICS[topic])) && (self.open[topic] || *slot != 3)
        })
    }

    /// Whether it was done; request 1 is asked.
    fn tell(&mut self, slot: usize, command: Command, asks: Option<u32>) -> Result<bool, String> {
        let now = self.time();
        self.router.handle(now, self.sessions[slot], command);
        self.hear(false, asks.map(|channel| (slot, channel)))
    }

    /// Checks what everybody is told. Whether request 1 was answered well.
    fn hear(&mut self, ticks: bool, asks: Option<(usize, u32)>) -> Result<bool, String> {
        let (mut done, mut answered) = (false, asks.is_none());
        for effect in self.router.take_effects(Vec::new()) {
            let slot = self.sessions.iter().position(|session| *session == effect.session);
            let Some(slot) = slot else { continue };
            match effect.output {
                Output::Reply { request: 1, result } => done = result.is_ok(),
                Output::Ended { channel, .. } => {
                    self.listening.remove(&(slot, channel));
                    self.told.remove(&(slot, channel));
                }
                Output::Matching { channel, matched } => {
                    let own = (slot, channel);
                    answered |= asks == Some(own);
                    self.hear_matching(own, matched, ticks, asks == Some(own))?;
                }
                _ => {}
            }
        }
        // Who has no publisher there is told so instead.
        if done && !answered { Err(format!("{asks:?} was not answered")) } else { Ok(done) }
    }

    fn hear_matching(
        &mut self,
        own: (usize, u32),
        matched: bool,
        ticks: bool,
        asked: bool,
    ) -> Result<(), String> {
        if matched != self.is_matched(own.1 as usize) {
            return Err(format!("{own:?} is told {matched} at {}", self.now));
        }
        let before = self.told.get(&own).copied();
        if asked {
            let at = before.and_then(|(_, at)| at);
            self.told.insert(own, (matched, at));
            return Ok(());
        }
        let Some((last, at)) = before else { return Err(format!("{own:?} has not asked")) };
        let delay = INTEREST_DELAY.as_millis() as u64;
        if !ticks || last == matched || at.is_some_and(|at| self.now < at + delay) {
            return Err(format!("{own:?} is told {matched} too soon, or for nothing"));
        }
        self.told.insert(own, (matched, Some(self.now)));
        Ok(())
    }

    fn open(&mut self, slot: usize, topic: usize) -> Result<bool, String> {
        let options = TopicOptions { mode: Some(0o777), ..TopicOptions::default() };
        let (channel, topic) = (topic as u32, name(TOPICS[topic]));
        let open = Command::OpenPublisher { request: 1, channel, topic, options, exclusive: false };
        self.tell(slot, open, None)
    }

    fn play(&mut self, step: Step) -> Result<(), String> {
        match step {
            Step::Subscribe { slot, channel, pattern, shares } => {
                let group = shares.then(|| group(&format!("g{slot}")));
                let options = SubscribeOptions { group, ..SubscribeOptions::default() };
                let wanted = Pattern::new(PATTERNS[pattern]).expect("a pattern");
                let command = Command::Subscribe { request: 1, channel, pattern: wanted, options };
                if self.tell(slot, command, None)? {
                    self.listening.insert((slot, channel), pattern);
                }
            }
            Step::Leave { slot, channel } => {
                self.listening.remove(&(slot, channel));
                self.tell(slot, Command::Close { request: 1, channel }, None)?;
            }
            Step::Watch { slot, topic } => {
                let channel = topic as u32;
                let ask = Command::WatchMatching { request: 1, channel };
                self.tell(slot, ask, Some(channel))?;
            }
            Step::Reopen { slot, topic } => {
                let channel = topic as u32;
                self.told.remove(&(slot, channel));
                self.tell(slot, Command::Close { request: 1, channel }, None)?;
                self.open(slot, topic)?;
            }
            Step::Rights { topic, open } => {
                let mode = Some(if open { 0o777 } else { 0o700 });
                let (name, change) =
                    (name(TOPICS[topic]), TopicChange { mode, ..TopicChange::default() });
                // Those that may not read it any more are told after it has happened.
                let before = std::mem::replace(&mut self.open[topic], open);
                if !self.tell(0, Command::SetTopic { request: 1, name, change }, None)? {
                    self.open[topic] = before;
                }
            }
            Step::Remove { topic } => {
                let (object, action) = (ObjectKind::Topic, AdminAction::Remove);
                let remove =
                    Command::Admin { request: 1, name: name(TOPICS[topic]), object, action };
                self.open[topic] |= self.tell(0, remove, None)?;
            }
            Step::End { slot } => {
                self.router.close_session(self.time(), self.sessions[slot], SessionEnd::Lost);
                self.listening.retain(|(other, _), _| *other != slot);
                self.told.retain(|(other, _), _| *other != slot);
                self.hear(false, None)?;
                self.sessions[slot] = self.session(slot);
            }
            Step::Tick { millis } => {
                self.now += millis;
                self.router.advance(self.time());
                self.hear(true, None)?;
                if u128::from(millis) >= INTEREST_DELAY.as_millis() {
                    self.check_told()?;
                }
            }
        }
        Ok(())
    }

    fn check_told(&self) -> Result<(), String> {
        let wrong = |(own, (told, _)): &(&(usize, u32), &(bool, Option<u64>))| {
            *told != self.is_matched(own.1 as usize)
        };
        match self.told.iter().find(wrong) {
            Some((own, (told, _))) => Err(format!("{own:?} still believes {told}")),
            None => Ok(()),
        }
    }
}

fn check(steps: &[Step], fault: Option<Fault>) -> Result<(), String> {
    let mut world = World::new(fault);
    for (slot, topic) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        world.open(slot, topic)?;
    }
    steps.iter().try_for_each(|step| world.play(*step))?;
    world.play(Step::Tick { millis: INTEREST_DELAY.as_millis() as u64 })
}

#[test]
fn publishers_know_in_time_whether_somebody_listens() {
    dice::run(0..CASES, case, |steps| check(steps, None));
}

#[test]
fn one_who_is_never_told_that_nobody_listens_any_more_is_noticed() {
    let fault = Some(Fault::MatchingStays);
    let caught = |seed: &u64| dice::verdict(&case(*seed), |steps| check(steps, fault)).is_err();
    assert!((0..CASES).any(|seed| caught(&seed)));
}

#[test]
fn what_is_no_publisher_has_nothing_to_match() {
    let mut world = World::new(None);
    let options = SubscribeOptions::default();
    let pattern = Pattern::new(">").expect("a pattern");
    let subscribe = Command::Subscribe { request: 1, channel: 0, pattern, options };
    assert_eq!(world.tell(2, subscribe, None), Ok(true));
    for channel in [0, 1] {
        assert_eq!(world.tell(2, Command::WatchMatching { request: 1, channel }, None), Ok(false));
    }
}
