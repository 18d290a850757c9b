//! Topics under random use: several publishers, subscriptions of every policy, and groups.
//!
//! Order, exact loss, windows, the ceiling on holding back, kept messages and credit are
//! checked after every effect; nothing of how the router does it is known here.

use std::time::Duration;

use bus_core::router::{
    Command, Output, Router, RouterConfig, SessionEnd, SessionId, SlowPolicy, SubscribeOptions,
    TopicOptions,
};
use bus_core::{ErrorKind, Message, Pattern, Time};

use crate::bus::{kind, name, user};
use crate::dice::{self, Dice};
use crate::events::{number_of, payload};
use crate::queue_steps::selector;
use crate::topic_model::{Credit, HOLD, Member, Model, Published, Slow, Subscription};

/// Slots 0 and 1 publish, 2 and 3 subscribe; 3 is another user.
const SLOTS: usize = 4;
const TOPICS: [&str; 2] = ["t.0", "t.1"];

#[derive(Clone, Copy, Debug)]
enum Step {
    Publish { slot: usize, topic: usize, kind: u64, length: u64 },
    Consume { pick: u64, count: u64 },
    Subscribe { slot: usize, pick: u64, more: u64 },
    Leave { pick: u64 },
    Flush { slot: usize, topic: usize },
    Reopen { slot: usize, topic: usize },
    Tick { nanos: u64 },
    End { slot: usize },
}

fn case(seed: u64) -> Vec<Step> {
    let mut dice = Dice::new(seed);
    let count = 40 + dice.below(200);
    (0..count).map(|_| step(&mut dice)).collect()
}

fn step(dice: &mut Dice) -> Step {
    let (slot, topic) = (dice.below(2) as usize, dice.below(2) as usize);
    match dice.below(100) {
        0..50 => {
            let length = if dice.chance(4) { 60_000 } else { 8 + dice.below(200) };
            Step::Publish { slot, topic, kind: 1 + dice.below(5), length }
        }
        50..78 => Step::Consume { pick: dice.roll(), count: 1 + dice.below(6) },
        78..86 => Step::Subscribe { slot: 2 + slot, pick: dice.roll(), more: dice.roll() },
        86..88 => Step::Leave { pick: dice.roll() },
        88..91 => Step::Flush { slot, topic },
        91..93 => Step::Reopen { slot, topic },
        93..99 => Step::Tick { nanos: dice.below(700_000_000) },
        _ => Step::End { slot: dice.below(SLOTS as u64) as usize },
    }
}

struct World {
    router: Router,
    slots: Vec<SessionId>,
    model: Model,
    /// The publishers now open: each opening has a number of its own.
    publishers: [[u64; 2]; 2],
    openings: u64,
    channels: u32,
    /// Flushes that are not answered, with the messages that must be accepted first.
    flushes: Vec<(u32, Vec<u64>)>,
    requests: u32,
}

fn check(steps: &[Step]) -> Result<(), String> {
    let mut world = World::new()?;
    for (at, step) in steps.iter().enumerate() {
        world.model.now += 1;
        let done = world.step(step).and_then(|()| world.model.settled());
        done.map_err(|text| format!("step {at} {step:?}: {text}"))?;
    }
    world.drain()
}

impl World {
    fn new() -> Result<World, String> {
        let mut world = World {
            router: Router::new(RouterConfig::default()),
            slots: Vec::new(),
            model: Model::default(),
            publishers: [[0; 2]; 2],
            openings: 0,
            channels: 10,
            flushes: Vec::new(),
            requests: 0,
        };
        for slot in 0..SLOTS {
            let session = world.open(slot);
            world.slots.push(session);
            world.open_publishers(slot)?;
        }
        Ok(world)
    }

    fn now(&self) -> Time {
        Time::from_nanos(self.model.now)
    }

    fn open(&mut self, slot: usize) -> SessionId {
        let uid = if slot == 3 { 2 } else { 1 };
        let session = self.router.open_session(self.now(), user(uid, uid), Duration::ZERO);
        session.expect("far below the limit")
    }

    fn open_publishers(&mut self, slot: usize) -> Result<(), String> {
        (0..2).filter(|_| slot < 2).try_for_each(|topic| self.open_publisher(slot, topic))
    }

    fn open_publisher(&mut self, slot: usize, topic: usize) -> Result<(), String> {
        self.openings += 1;
        self.publishers[slot][topic] = self.openings;
        self.model.credits.insert((slot, self.openings), Credit::default());
        let hold = Duration::from_nanos(HOLD);
        let options = TopicOptions { keep_last: topic == 0, hold, mode: Some(0o777) };
        let (channel, topic, exclusive) = (topic as u32, name(TOPICS[topic]), false);
        let request = 0;
        self.tell(slot, Command::OpenPublisher { request, channel, topic, options, exclusive })
    }

    fn tell(&mut self, slot: usize, command: Command) -> Result<(), String> {
        self.router.handle(self.now(), self.slots[slot], command);
        self.take_effects()
    }

    fn step(&mut self, step: &Step) -> Result<(), String> {
        match *step {
            Step::Publish { slot, topic, kind, length } => self.publish(slot, topic, kind, length),
            Step::Consume { pick, count } => self.consume(pick, count),
            Step::Subscribe { slot, pick, more } => self.subscribe(slot, pick, more),
            Step::Leave { pick } => match self.pick_member(pick) {
                Some((slot, channel)) => self.leave(slot, channel),
                None => Ok(()),
            },
            Step::Flush { slot, topic } => self.flush(slot, topic),
            Step::Reopen { slot, topic } => {
                let old = self.publishers[slot][topic];
                self.model.credits.remove(&(slot, old));
                self.tell(slot, Command::Close { request: 0, channel: topic as u32 })?;
                self.open_publisher(slot, topic)
            }
            Step::Tick { nanos } => self.tick(nanos),
            Step::End { slot } => self.end(slot),
        }
    }

    fn publish(
        &mut self,
        slot: usize,
        topic: usize,
        type_number: u64,
        length: u64,
    ) -> Result<(), String> {
        let number = self.model.published.len() as u64 + 1;
        let publisher = (slot, self.publishers[slot][topic]);
        let accepted = false;
        let published = Published { topic, publisher, kind: type_number, length, accepted };
        self.model.published.insert(number, published);
        let message = Message::new(kind(type_number), payload(number, length as usize));
        let (channel, ticket) = (topic as u32, Some(number));
        self.tell(slot, Command::Publish { channel, message, ticket })
    }

    fn pick_member(&self, pick: u64) -> Option<(usize, u32)> {
        let subscriptions = self.model.subscriptions.iter();
        let all: Vec<&Member> =
            subscriptions.flat_map(|subscription| &subscription.members).collect();
        let member = all[pick.checked_rem(all.len() as u64)? as usize];
        Some((member.slot, member.channel))
    }

    fn consume(&mut self, pick: u64, count: u64) -> Result<(), String> {
        let Some((slot, channel)) = self.pick_member(pick) else { return Ok(()) };
        let Some((at, member)) = self.model.find(slot, channel) else { return Ok(()) };
        let member = &mut self.model.subscriptions[at].members[member];
        let used = member.unused.len().min(count as usize);
        member.consumed += member.unused.drain(..used).map(|(_, charge)| charge).sum::<u64>();
        let bytes = member.consumed;
        self.tell(slot, Command::Consumed { channel, bytes })
    }

    fn subscribe(&mut self, slot: usize, pick: u64, more: u64) -> Result<(), String> {
        let in_all: usize =
            self.model.subscriptions.iter().map(|subscription| subscription.members.len()).sum();
        if in_all >= 6 {
            return Ok(());
        }
        self.channels += 1;
        let channel = self.channels;
        let (pattern, topics) =
            [("t.0", vec![0]), ("t.1", vec![1]), ("t.*", vec![0, 1]), (">", vec![0, 1])]
                [(pick % 4) as usize]
                .clone();
        let policy = [SlowPolicy::Auto, SlowPolicy::Hold, SlowPolicy::DropOldest, SlowPolicy::End]
            [(pick / 4 % 4) as usize];
        // A group shares one user and one policy; and one selector, as far as this goes.
        let group = more.is_multiple_of(4);
        let group = group.then(|| (pattern.to_owned(), format!("g{slot}-{policy:?}")));
        let options = SubscribeOptions {
            selector: selector(if group.is_some() { 0 } else { more >> 8 }),
            policy,
            window_bytes: [300, 1000, 4096][(pick / 16 % 3) as usize],
            backlog_bytes: [200, 500, 1500][(pick / 48 % 3) as usize],
            group: group.as_ref().map(|(_, group)| crate::bus::group(group)),
        };
        let window = options.window_bytes;
        let member = Member { slot, channel, window, sent: 0, consumed: 0, unused: Vec::new() };
        let shared = |other: &&mut Subscription| group.is_some() && other.group == group;
        match self.model.subscriptions.iter_mut().find(shared) {
            Some(group) => group.members.push(member),
            None => {
                let slow = match policy {
                    SlowPolicy::Hold => Slow::Hold,
                    SlowPolicy::Auto if slot == 2 => Slow::Hold,
                    SlowPolicy::DropOldest => Slow::DropOldest,
                    _ => Slow::End,
                };
                self.model.subscribe(Subscription {
                    topics,
                    group,
                    selector: options.selector,
                    slow,
                    limit: options.backlog_bytes,
                    members: vec![member],
                    arrived: Vec::new(),
                    backlog: Vec::new(),
                    lost: 0,
                    clock: None,
                    full: false,
                    must_end: false,
                    direct: None,
                });
            }
        }
        let pattern = Pattern::new(pattern).map_err(|error| format!("{error:?}"))?;
        self.tell(slot, Command::Subscribe { request: 0, channel, pattern, options })?;
        self.model.fill();
        Ok(())
    }

    fn leave(&mut self, slot: usize, channel: u32) -> Result<(), String> {
        self.model.left(slot, channel);
        self.tell(slot, Command::Close { request: 0, channel })
    }

    fn flush(&mut self, slot: usize, topic: usize) -> Result<(), String> {
        self.requests += 1;
        let publisher = (slot, self.publishers[slot][topic]);
        let open = |(_, published): &(&u64, &Published)| {
            published.publisher == publisher && !published.accepted
        };
        let open = self.model.published.iter().filter(open).map(|(number, _)| *number).collect();
        self.flushes.push((self.requests, open));
        let (request, channel) = (self.requests, topic as u32);
        self.tell(slot, Command::Flush { request, channel })
    }

    fn tick(&mut self, nanos: u64) -> Result<(), String> {
        let target = self.model.now + nanos;
        while let Some(at) = self.router.next_deadline().map(Time::as_nanos)
            && at <= target
        {
            self.model.now = self.model.now.max(at);
            self.router.advance(self.now());
            self.take_effects()?;
            self.model.settled()?;
        }
        self.model.now = target;
        Ok(())
    }

    fn end(&mut self, slot: usize) -> Result<(), String> {
        let members = self.model.subscriptions.iter().flat_map(|s| &s.members);
        let mine: Vec<u32> =
            members.filter(|member| member.slot == slot).map(|member| member.channel).collect();
        mine.into_iter().for_each(|channel| self.model.left(slot, channel));
        self.model.credits.retain(|(by, _), _| *by != slot);
        self.router.close_session(self.now(), self.slots[slot], SessionEnd::Lost);
        self.slots[slot] = self.open(slot);
        self.take_effects()?;
        self.open_publishers(slot)
    }

    fn take_effects(&mut self) -> Result<(), String> {
        for effect in self.router.take_effects(Vec::new()) {
            let slot = self.slots.iter().position(|slot| *slot == effect.session);
            match (effect.output, slot) {
                (Output::Accepted { first, .. }, _) => self.model.accepted(first)?,
                (Output::Deliver { channel, message, stamp }, Some(slot)) => {
                    let number = number_of(message.payload());
                    self.model.delivered(slot, channel, number)?;
                    if stamp.source.topic.as_str() != TOPICS[self.model.published[&number].topic] {
                        return Err(format!("{number} came as from {}", stamp.source.topic));
                    }
                    self.model.check_sequence(number, stamp.sequence)?;
                }
                (Output::Lost { channel, count, .. }, Some(slot)) => {
                    self.model.lost(slot, channel, count)?
                }
                (Output::Ended { channel, failure }, Some(slot))
                    if failure.kind() == ErrorKind::TooSlow =>
                {
                    self.model.too_slow(slot, channel)?
                }
                (Output::Credit { channel, bytes }, Some(slot)) => {
                    let publisher = (slot, self.publishers[slot][channel as usize]);
                    let credit = self.model.credits.entry(publisher).or_default();
                    if bytes != credit.accepted {
                        return Err(format!("credit of {bytes}, not {credit:?}"));
                    }
                    credit.reported = bytes;
                }
                (Output::Reply { request, result }, _) => self.flushed(request, result.is_ok())?,
                (output, Some(_)) => return Err(format!("unexpected {output:?}")),
                (_, None) => {}
            }
        }
        Ok(())
    }

    fn flushed(&mut self, request: u32, fine: bool) -> Result<(), String> {
        let at = self.flushes.iter().position(|(other, _)| *other == request);
        let Some(at) = at.filter(|_| fine) else { return Err(format!("answer to {request}")) };
        let (_, before) = self.flushes.remove(at);
        let open = before.iter().find(|number| !self.model.published[number].accepted);
        open.map_or(Ok(()), |number| Err(format!("flushed before {number} was accepted")))
    }

    /// Everybody reads all there is: then nothing waits anywhere.
    fn drain(mut self) -> Result<(), String> {
        for round in 0.. {
            let unused = |member: &Member| !member.unused.is_empty();
            let members = self.model.subscriptions.iter().flat_map(|s| &s.members);
            let next = members.clone().find(|member| unused(member));
            let Some((slot, channel)) = next.map(|member| (member.slot, member.channel)) else {
                break;
            };
            let all = members.clone().count() as u64;
            let at = (0..all).find(|pick| self.pick_member(*pick) == Some((slot, channel)));
            self.consume(at.unwrap_or(0), u64::MAX)?;
            self.model.settled()?;
            if round > 10_000 {
                return Err("never done".into());
            }
        }
        let waiting = self.model.subscriptions.iter().find(|s| !s.backlog.is_empty() || s.lost > 0);
        let open = self.model.published.values().find(|published| !published.accepted);
        match (waiting, open, self.flushes.first()) {
            (None, None, None) => Ok(()),
            left => Err(format!("left at the end: {left:?}")),
        }
    }
}

#[test]
fn topics_keep_their_promises() {
    dice::run(0..1000, case, check);
}

#[test]
#[ignore = "takes minutes"]
fn topics_keep_their_promises_for_long() {
    dice::run(0..crate::MANY, case, check);
}
