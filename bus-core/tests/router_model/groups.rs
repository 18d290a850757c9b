//! Groups under random use: members that select differently, come, go, are away and are lost, and
//! messages that are published one by one or as parcels.
//!
//! A list of what has arrived for each group, and who has it. Each is with one member at a time, who
//! takes it, is connected, and has least under way; what a member that is gone has not used up goes
//! to others; nothing waits that somebody could take.

use std::time::Duration;

use bus_core::router::{
    Command, Fault, Output, Router, RouterConfig, SessionEnd, SessionId, SlowPolicy,
    SubscribeOptions, TopicOptions,
};
use bus_core::{Arrival, BACKLOG_BYTES_MAX, Kind, Message, Pattern, Selector, Time, window_charge};

use crate::bus::{arrival, group, kind, name, user};
use crate::dice::{self, Dice};
use crate::events::{number_of, payload};
use crate::queue_model::wants;

/// Slot 0 publishes; the others are members.
const SLOTS: usize = 4;
/// Before each step: members are quick, and slow.
const PAUSES_NANOS: [u64; 3] = [1, 20_000, 5_000_000];
const GROUPS: [&str; 2] = ["one", "two"];

#[derive(Clone, Copy, Debug)]
enum Step {
    Publish { kind: u64, count: u64, length: usize },
    Join { slot: usize, group: usize, selector: Selector, window: u64 },
    Consume { pick: u64, count: usize },
    Leave { pick: u64 },
    Away { slot: usize },
    Lose { slot: usize },
}

fn case(seed: u64) -> Vec<Step> {
    let mut dice = Dice::new(seed);
    (0..30 + dice.below(150)).map(|_| step(&mut dice)).collect()
}

fn step(dice: &mut Dice) -> Step {
    let slot = 1 + dice.below(SLOTS as u64 - 1) as usize;
    match dice.below(100) {
        0..40 => {
            let many = 2 + dice.below(30);
            let count = dice.weighted(&[(3, 1), (1, many)]);
            let length = dice.weighted(&[(6, 8), (3, 300), (1, 3000)]);
            Step::Publish { kind: 1 + dice.below(3), count, length }
        }
        40..52 => {
            let one = Selector::Eq(kind(1 + dice.below(3)));
            let selector = dice.weighted(&[(5, Selector::Any), (2, one)]);
            let window = dice.weighted(&[(1, 4096), (1, 20_000)]);
            Step::Join { slot, group: dice.below(2) as usize, selector, window }
        }
        52..88 => Step::Consume { pick: dice.roll(), count: 1 + dice.below(20) as usize },
        88..93 => Step::Leave { pick: dice.roll() },
        93..98 => Step::Away { slot },
        _ => Step::Lose { slot },
    }
}

/// Somebody who shares.
#[derive(Clone, Debug)]
struct Member {
    slot: usize,
    channel: u32,
    group: usize,
    selector: Selector,
    window: u64,
    sent: u64,
    consumed: u64,
    /// What it has, in the order in which it came.
    has: Vec<u64>,
}

struct World {
    router: Router,
    now: u64,
    sessions: Vec<SessionId>,
    connected: Vec<bool>,
    members: Vec<Member>,
    /// By group: what waits, in order of arrival.
    waiting: [Vec<u64>; 2],
    /// By its number: type and length.
    published: Vec<(u64, usize)>,
    channels: u32,
}

impl World {
    fn new(fault: Option<Fault>) -> World {
        let mut router = Router::new(RouterConfig::default());
        fault.into_iter().for_each(|fault| router.plant(fault));
        let mut open = |_| {
            let grace = Duration::from_secs(10);
            router.open_session(Time::ZERO, user(1, 1), grace).expect("far below the limit")
        };
        let sessions = (0..SLOTS).map(&mut open).collect();
        let (members, published) = (Vec::new(), Vec::new());
        let (waiting, connected) = ([Vec::new(), Vec::new()], vec![true; SLOTS]);
        let (now, channels) = (0, 10);
        let mut world =
            World { router, now, sessions, connected, members, waiting, published, channels };
        let (topic, options) = (name("t"), TopicOptions::default());
        let open =
            Command::OpenPublisher { request: 0, channel: 0, topic, options, exclusive: false };
        world.tell(0, open).expect("nothing comes of it");
        world
    }

    fn time(&self) -> Time {
        Time::from_nanos(self.now)
    }

    fn tell(&mut self, slot: usize, command: Command) -> Result<(), String> {
        self.router.handle(self.time(), self.sessions[slot], command);
        self.take_effects()
    }

    fn step(&mut self, step: &Step) -> Result<(), String> {
        match *step {
            Step::Publish { kind, count, length } => self.publish(kind, count, length),
            Step::Join { slot, group, selector, window } => {
                self.join(slot, group, selector, window)
            }
            Step::Consume { pick, count } => self.consume(pick, count),
            Step::Leave { pick } => {
                let Some(at) = self.pick(pick) else { return Ok(()) };
                let Member { slot, channel, .. } = self.members[at];
                self.gone(&[at]);
                self.tell(slot, Command::Close { request: 0, channel })
            }
            Step::Away { slot } => {
                let session = self.sessions[slot];
                self.connected[slot] = !self.connected[slot];
                match self.connected[slot] {
                    true => self.router.resume(self.time(), session),
                    false => self.router.suspend(self.time(), session),
                }
                self.take_effects()
            }
            Step::Lose { slot } => {
                let is_of_it = |at: &usize| self.members[*at].slot == slot;
                let gone: Vec<usize> = (0..self.members.len()).filter(is_of_it).collect();
                self.gone(&gone);
                self.router.close_session(self.time(), self.sessions[slot], SessionEnd::Lost);
                self.take_effects()?;
                let again = self.router.open_session(self.time(), user(1, 1), Duration::MAX);
                self.sessions[slot] = again.expect("far below the limit");
                self.connected[slot] = true;
                Ok(())
            }
        }
    }

    fn publish(&mut self, first_kind: u64, count: u64, length: usize) -> Result<(), String> {
        let mut messages = Vec::new();
        for more in 0..count {
            let (number, of_type) = (self.published.len() as u64, 1 + (first_kind + more) % 3);
            messages.push(Message::new(kind(of_type), payload(number, length)));
            self.published.push((of_type, length.max(8)));
            for group in 0..GROUPS.len() {
                if self.members.iter().any(|it| it.group == group && self.takes(it, number)) {
                    self.waiting[group].push(number);
                }
            }
        }
        if let Some(Arrival::Parcel { parcel, .. }) = arrival(Kind::Publish, &messages) {
            let mut rest = Some(parcel);
            while let Some(parcel) = rest {
                rest = self.router.publish_parcel(self.time(), self.sessions[0], 0, parcel);
            }
            return self.take_effects();
        }
        messages.into_iter().try_for_each(|message| {
            self.tell(0, Command::Publish { channel: 0, message, ticket: None })
        })
    }

    fn join(
        &mut self,
        slot: usize,
        at: usize,
        selector: Selector,
        window: u64,
    ) -> Result<(), String> {
        if self.members.len() >= 8 || !self.connected[slot] {
            return Ok(());
        }
        self.channels += 1;
        let (channel, has) = (self.channels, Vec::new());
        let member =
            Member { slot, channel, group: at, selector, window, sent: 0, consumed: 0, has };
        self.members.push(member);
        let options = SubscribeOptions {
            selector,
            policy: SlowPolicy::Hold,
            window_bytes: window,
            backlog_bytes: BACKLOG_BYTES_MAX,
            group: Some(group(GROUPS[at])),
        };
        let pattern = Pattern::new("t").expect("a pattern");
        self.tell(slot, Command::Subscribe { request: 0, channel, pattern, options })
    }

    fn pick(&self, pick: u64) -> Option<usize> {
        pick.checked_rem(self.members.len() as u64).map(|at| at as usize)
    }

    fn consume(&mut self, pick: u64, count: usize) -> Result<(), String> {
        let Some(at) = self.pick(pick) else { return Ok(()) };
        let count = count.min(self.members[at].has.len());
        let used: Vec<u64> = self.members[at].has.drain(..count).collect();
        let bytes: u64 = used.iter().map(|number| self.charge(&self.members[at], *number)).sum();
        let member = &mut self.members[at];
        member.consumed += bytes;
        let (slot, channel, bytes) = (member.slot, member.channel, member.consumed);
        self.tell(slot, Command::Consumed { channel, bytes })
    }

    /// Members go, all at once: what they have not used up waits for others.
    fn gone(&mut self, gone: &[usize]) {
        for at in gone.iter().rev() {
            let member = self.members.remove(*at);
            self.waiting[member.group].extend(member.has);
        }
        for at in 0..GROUPS.len() {
            let mut waiting = std::mem::take(&mut self.waiting[at]);
            waiting.sort_unstable();
            waiting.retain(|number| {
                self.members.iter().any(|it| it.group == at && self.takes(it, *number))
            });
            self.waiting[at] = waiting;
        }
    }

    fn takes(&self, member: &Member, number: u64) -> bool {
        wants(member.selector, self.published[number as usize].0)
    }

    fn charge(&self, member: &Member, number: u64) -> u64 {
        window_charge(self.published[number as usize].1, member.window)
    }

    /// The first that waits for a member, if it can be given that now.
    fn next_for(&self, member: &Member) -> Option<u64> {
        let mut waiting = self.waiting[member.group].iter();
        let number = *waiting.find(|number| self.takes(member, **number))?;
        let room = member.window - (member.sent - member.consumed);
        let able = self.connected[member.slot] && self.charge(member, number) <= room;
        able.then_some(number)
    }

    fn take_effects(&mut self) -> Result<(), String> {
        for effect in self.router.take_effects(Vec::new()) {
            let slot = self.sessions.iter().position(|session| *session == effect.session);
            match (effect.output, slot) {
                (Output::Deliver { channel, message, .. }, Some(slot)) => {
                    self.delivered(slot, channel, &[message])?;
                }
                (Output::DeliverParcel { channel, parcel, .. }, Some(slot)) => {
                    let messages: Vec<Message> = parcel.messages().collect();
                    self.delivered(slot, channel, &messages)?;
                }
                (Output::Credit { .. }, _) | (_, None) => {}
                (other, _) => return Err(format!("unexpected {other:?}")),
            }
        }
        Ok(())
    }

    fn delivered(&mut self, slot: usize, channel: u32, run: &[Message]) -> Result<(), String> {
        let is_it = |it: &Member| (it.slot, it.channel) == (slot, channel);
        let Some(at) = self.members.iter().position(is_it) else {
            return Err(format!("channel {channel} of {slot} is no member"));
        };
        let load = |it: &Member| it.sent - it.consumed;
        for (place, message) in run.iter().enumerate() {
            let (number, member) = (number_of(message.payload()), &self.members[at]);
            if self.next_for(member) != Some(number) {
                return Err(format!("{number} comes to {member:?}, which waits for others"));
            }
            let same = |other: &&Member| {
                other.group == member.group && self.next_for(other) == Some(number)
            };
            let mut others = self.members.iter().filter(same);
            if place == 0
                && let Some(idle) = others.find(|other| load(other) < load(member))
            {
                return Err(format!("{number} comes to {member:?}, and {idle:?} has less to do"));
            }
            let (group, charge) = (member.group, self.charge(member, number));
            self.waiting[group].retain(|other| *other != number);
            let member = &mut self.members[at];
            member.sent += charge;
            member.has.push(number);
        }
        Ok(())
    }

    fn settled(&self) -> Result<(), String> {
        let idle = self.members.iter().find(|member| self.next_for(member).is_some());
        idle.map_or(Ok(()), |idle| Err(format!("{idle:?} could take something that waits")))
    }
}

fn check(steps: &[Step], fault: Option<Fault>) -> Result<(), String> {
    let mut world = World::new(fault);
    let all = steps.iter().enumerate();
    all.into_iter().try_for_each(|(at, step)| {
        world.now += PAUSES_NANOS[at % PAUSES_NANOS.len()];
        let done = world.step(step).and_then(|()| world.settled());
        done.map_err(|text| format!("step {at} {step:?}: {text}"))
    })?;
    for slot in (1..SLOTS).filter(|slot| !world.connected[*slot]).collect::<Vec<_>>() {
        world.step(&Step::Away { slot })?;
    }
    while let Some(at) = world.members.iter().position(|member| !member.has.is_empty()) {
        world.consume(at as u64, usize::MAX)?;
    }
    match world.waiting.iter().all(Vec::is_empty) {
        true => Ok(()),
        false => Err(format!("never heard: {:?}", world.waiting)),
    }
}

#[test]
fn groups_keep_their_promises() {
    dice::run(0..1000, case, |steps| check(steps, None));
}

#[test]
fn every_planted_bug_of_groups_is_caught() {
    for fault in Fault::OF_GROUPS {
        let bad = |seed: &u64| dice::verdict(&case(*seed), |it| check(it, Some(*fault))).is_err();
        assert!((0..200).any(|seed| bad(&seed)), "{fault:?} was not caught by 200 cases");
    }
}
