//! Parcels against their messages one by one: two routers get the same commands, except that
//! one of them gets what is published together as a parcel. Nobody may be able to tell.
//!
//! Credit is told after each quarter of a window, so that its steps may differ by a parcel; in
//! the end it must be the same.

use std::collections::BTreeMap;
use std::time::Duration;

use bus_core::router::{
    AdminAction, Command, ObjectKind, Output, Router, RouterConfig, SessionEnd, SessionId,
    SlowPolicy, SubscribeOptions, TopicOptions,
};
use bus_core::{Arrival, Kind, Message, Parcel, Pattern, Selector, Time, WINDOW_BYTES_DEFAULT};

use crate::bus::{arrival, group, kind, name, user};
use crate::dice::{self, Dice};
use crate::events::{number_of, payload};

/// Session 0 publishes on channel 0, and channel 1 with a topic that keeps its last messages.
const SESSIONS: usize = 4;

#[derive(Clone, Copy, Debug)]
enum Step {
    Publish { topic: u32, count: u64, length: u64 },
    Subscribe { session: usize, channel: u32, options: u64 },
    Consume { session: usize, channel: u32, part: u64 },
    Close { session: usize, channel: u32 },
    Flush { topic: u32 },
    Tick { millis: u64 },
    Congest { session: usize, bytes: usize },
    Remove { topic: u32 },
}

fn case(seed: u64) -> Vec<Step> {
    let mut dice = Dice::new(seed);
    (0..20 + dice.below(100)).map(|_| step(&mut dice)).collect()
}

fn step(dice: &mut Dice) -> Step {
    let (session, channel) = (1 + dice.below(3) as usize, dice.below(3) as u32);
    let topic = u32::from(dice.chance(20));
    match dice.below(100) {
        0..45 => {
            let length = dice.weighted(&[(6, 8), (3, 300), (1, 3000)]);
            Step::Publish { topic, count: 2 + dice.below(20), length }
        }
        45..60 => Step::Subscribe { session, channel, options: dice.roll() },
        60..85 => Step::Consume { session, channel, part: 1 + dice.below(4) },
        85..88 => Step::Close { session, channel },
        88..90 => Step::Flush { topic },
        90..95 => Step::Tick { millis: dice.below(900) },
        95..99 => Step::Congest { session, bytes: 300_000 * dice.below(2) as usize },
        _ => Step::Remove { topic },
    }
}

/// One of the two routers, and what its sessions were told.
struct Side {
    router: Router,
    sessions: Vec<SessionId>,
    /// By session and channel: no order is promised across channels.
    told: BTreeMap<(usize, Option<u32>), Vec<String>>,
    credit: BTreeMap<u32, u64>,
    /// What was delivered on each channel, in window bytes.
    delivered: BTreeMap<(usize, u32), u64>,
}

impl Side {
    fn new() -> Side {
        let config = RouterConfig { unwritten_bytes_max: 200_000, ..RouterConfig::default() };
        let mut router = Router::new(config);
        let open = |slot| {
            let uid = if slot == 3 { 2 } else { 1 };
            router.open_session(Time::ZERO, user(uid, uid), Duration::ZERO).expect("a session")
        };
        let sessions = (0..SESSIONS).map(open).collect();
        let told = BTreeMap::new();
        Side { router, sessions, told, credit: BTreeMap::new(), delivered: BTreeMap::new() }
    }

    fn act(&mut self, now: Time, session: usize, command: Command) {
        self.router.handle(now, self.sessions[session], command);
        self.note();
    }

    fn publish(&mut self, now: Time, channel: u32, parcel: Parcel) {
        let mut rest = Some(parcel);
        while let Some(parcel) = rest {
            rest = self.router.publish_parcel(now, self.sessions[0], channel, parcel);
            self.note();
        }
    }

    fn note(&mut self) {
        for effect in self.router.take_effects(Vec::new()) {
            let slot = self.sessions.iter().position(|session| *session == effect.session);
            // A session that has ended is of no concern.
            let Some(slot) = slot else { continue };
            match effect.output {
                Output::Credit { channel, bytes } => drop(self.credit.insert(channel, bytes)),
                Output::Deliver { channel, stamp, message } => {
                    self.deliver(slot, channel, stamp.sequence, &message);
                }
                Output::DeliverParcel { channel, stamp, parcel } => {
                    for (sequence, message) in (stamp.sequence..).zip(parcel.messages()) {
                        self.deliver(slot, channel, sequence, &message);
                    }
                }
                Output::Ended { channel, failure } => {
                    self.tell(slot, Some(channel), format!("ended: {failure}"));
                }
                Output::Lost { channel, count, .. } => {
                    self.tell(slot, Some(channel), format!("lost {count}"));
                }
                other => self.tell(slot, None, format!("{other:?}")),
            }
        }
    }

    fn tell(&mut self, slot: usize, channel: Option<u32>, text: String) {
        self.told.entry((slot, channel)).or_default().push(text);
    }

    fn deliver(&mut self, slot: usize, channel: u32, sequence: u64, message: &Message) {
        let number = number_of(message.payload());
        let text = format!("{number} of {} as number {sequence}", message.len());
        self.tell(slot, Some(channel), text);
        *self.delivered.entry((slot, channel)).or_default() += message.cost();
    }
}

fn parcel(messages: &[Message]) -> Option<Parcel> {
    match arrival(Kind::Publish, messages)? {
        Arrival::Parcel { parcel, .. } => Some(parcel),
        _ => None,
    }
}

fn options(bits: u64) -> SubscribeOptions {
    let mut dice = Dice::new(bits);
    SubscribeOptions {
        selector: dice.weighted(&[(6, Selector::Any), (1, Selector::Eq(kind(2)))]),
        policy: dice.weighted(&[
            (5, SlowPolicy::Hold),
            (3, SlowPolicy::DropOldest),
            (2, SlowPolicy::End),
        ]),
        window_bytes: dice.weighted(&[(1, 4096), (2, 20_000)]),
        backlog_bytes: dice.weighted(&[(1, 0), (2, 3000), (2, 30_000)]),
        // Of one member: several are given runs, or take turns.
        group: dice.chance(20).then(|| group(&format!("g{bits}"))),
    }
}

/// With `forgets` one side is given a message less: what the check must notice.
fn check(steps: &[Step], forgets: bool) -> Result<(), String> {
    let mut sides = [Side::new(), Side::new()];
    let (mut now, mut number) = (Time::ZERO, 0);
    for side in &mut sides {
        open_publishers(side);
    }
    for (at, step) in steps.iter().enumerate() {
        if let Step::Publish { topic, count, length } = *step {
            let messages: Vec<Message> = (number..number + count)
                .map(|n| Message::new(kind(1 + n % 3), payload(n, length as usize)))
                .collect();
            number += count;
            let given = &messages[usize::from(forgets)..];
            let [one, many] = &mut sides;
            match parcel(given) {
                Some(parcel) => many.publish(now, topic, parcel),
                // One message is none.
                None if given.len() < 2 => {}
                None => return Err(format!("no parcel of {count}")),
            }
            for message in messages {
                one.act(now, 0, Command::Publish { channel: topic, message, ticket: None });
            }
        } else {
            now = now.after(Duration::from_nanos(1));
            if let Step::Tick { millis } = step {
                now = now.after(Duration::from_millis(*millis));
            }
            for side in &mut sides {
                perform(side, now, step);
            }
        }
        let [one, many] = &sides;
        if one.told != many.told {
            return Err(format!("step {at} {step:?}: {:?}\nnot\n{:?}", many.told, one.told));
        }
    }
    let [one, many] = &sides;
    for (channel, bytes) in &one.credit {
        let other = many.credit.get(channel).copied().unwrap_or_default();
        if bytes.abs_diff(other) > WINDOW_BYTES_DEFAULT / 4 + 70_000 {
            return Err(format!("credit {other}, not {bytes}"));
        }
    }
    Ok(())
}

fn open_publishers(side: &mut Side) {
    for (channel, keep_last) in [(0, false), (1, true)] {
        let options = TopicOptions { keep_last, ..TopicOptions::default() };
        let topic = name(&format!("t.{channel}"));
        let open = Command::OpenPublisher { request: 0, channel, topic, options, exclusive: false };
        side.act(Time::ZERO, 0, open);
    }
}

fn perform(side: &mut Side, now: Time, step: &Step) {
    match *step {
        Step::Publish { .. } => {}
        Step::Subscribe { session, channel, options: bits } => {
            let pattern = Pattern::new(if bits % 3 == 0 { "t.0" } else { ">" }).expect("a pattern");
            let options = options(bits);
            side.act(now, session, Command::Close { request: 0, channel });
            side.delivered.insert((session, channel), 0);
            side.act(now, session, Command::Subscribe { request: 0, channel, pattern, options });
        }
        Step::Consume { session, channel, part } => {
            let bytes = side.delivered.get(&(session, channel)).copied().unwrap_or_default() / part;
            side.act(now, session, Command::Consumed { channel, bytes });
        }
        Step::Close { session, channel } => {
            side.act(now, session, Command::Close { request: 0, channel });
        }
        Step::Flush { topic } => side.act(now, 0, Command::Flush { request: 7, channel: topic }),
        Step::Tick { .. } => {
            side.router.advance(now);
            side.note();
        }
        Step::Congest { session, bytes } => {
            let session = side.sessions[session];
            if side.router.note_unwritten(session, bytes) {
                side.router.relieve(now, session);
            }
            side.note();
        }
        Step::Remove { topic } => {
            let action = AdminAction::Remove;
            let (name, object) = (name(&format!("t.{topic}")), ObjectKind::Topic);
            side.act(now, 0, Command::Admin { request: 0, name, object, action });
            side.router.close_session(now, side.sessions[0], SessionEnd::Goodbye);
            let again = side.router.open_session(now, user(1, 1), Duration::ZERO);
            side.sessions[0] = again.expect("a session");
            side.note();
            open_publishers(side);
        }
    }
}

#[test]
fn parcels_are_as_their_messages_one_by_one() {
    dice::run(0..600, case, |steps| check(steps, false));
}

#[test]
fn a_message_that_a_parcel_lacks_is_noticed() {
    let caught = (0..40).filter(|seed| check(&case(*seed), true).is_err()).count();
    assert!(caught >= 30, "only {caught} of 40 cases noticed it");
}
