//! Batches against their messages one by one: two routers get the same commands, except that one
//! of them gets what is sent together as a parcel. Nobody may be able to tell.

use std::time::Duration;

use bus_core::router::{
    AdminAction, Command, ConsumeOptions, Fault, ObjectKind, QueueChange, SessionEnd,
};
use bus_core::{Message, Selector, Time};

use crate::batch_side::{SESSIONS, Side};
use crate::bus::{kind, name};
use crate::dice::{self, Dice};
use crate::events::payload;

/// Each session has the queue open on channel 0, and consumers and receives on those from 1 on.
const CHANNELS: u64 = 4;
const SEEDS: u64 = 400;

#[derive(Clone, Copy, Debug)]
enum Step {
    Send { session: usize, kind: u64, count: u64, length: u64 },
    Offer { session: usize, kind: u64, length: u64 },
    Grant,
    Withdraw { session: usize, which: u64 },
    Consume { session: usize, channel: u32, options: u64 },
    Close { session: usize, channel: u32 },
    Ack { session: usize, from: u64, count: u64 },
    Settle { session: usize, which: u64, how: u64 },
    Taken { session: usize, channel: u32, which: u64 },
    Return { session: usize, from: u64, count: u64 },
    Peek { session: usize, selector: u64, index: u64 },
    Change { count_max: u64, bytes_max: u64 },
    Purge,
    Away { session: usize },
    Lose { session: usize },
    Congest { session: usize, bytes: usize },
    Tick { millis: u64 },
}

fn case(seed: u64) -> Vec<Step> {
    let mut dice = Dice::new(seed);
    (0..20 + dice.below(100)).map(|_| step(&mut dice)).collect()
}

fn step(dice: &mut Dice) -> Step {
    let session = dice.below(SESSIONS as u64) as usize;
    let channel = 1 + dice.below(CHANNELS) as u32;
    let kind = dice.weighted(&[(6, 1), (2, 2), (1, 3)]);
    match dice.below(100) {
        0..30 => {
            let count = dice.weighted(&[(2, 5), (4, 20), (2, 60), (1, 400)]);
            let length = dice.weighted(&[(6, 8), (2, 200), (1, 2000)]);
            Step::Send { session, kind, count: 2 + dice.below(count), length }
        }
        30..33 => Step::Offer { session, kind, length: 8 + dice.below(3000) },
        33..35 => Step::Grant,
        35..38 => Step::Withdraw { session, which: dice.roll() },
        38..50 => Step::Consume { session, channel, options: dice.roll() },
        50..52 => Step::Close { session, channel },
        52..74 => {
            let count = dice.weighted(&[(2, 1), (3, 10), (3, 100)]);
            let from = dice.weighted(&[(5, 0), (1, 3), (1, 20)]);
            Step::Ack { session, from: dice.below(from + 1), count: 1 + dice.below(count) }
        }
        74..78 => Step::Settle { session, which: dice.below(40), how: dice.below(3) },
        78..84 => Step::Taken { session, channel, which: dice.below(60) },
        84..87 => Step::Return { session, from: dice.below(10), count: 1 + dice.below(30) },
        87..89 => Step::Peek { session, selector: dice.roll(), index: dice.below(80) },
        89..91 => {
            Step::Change { count_max: 1 + dice.below(200), bytes_max: 3000 + dice.below(30_000) }
        }
        91 => Step::Purge,
        92 => Step::Away { session },
        93 => Step::Lose { session },
        94 | 95 => Step::Congest { session, bytes: 100_000 * dice.below(2) as usize },
        _ => Step::Tick { millis: dice.below(1500) },
    }
}

fn selector(dice: &mut Dice) -> Selector {
    dice.weighted(&[
        (6, Selector::Any),
        (2, Selector::Eq(kind(1))),
        (1, Selector::Eq(kind(2))),
        (1, Selector::Upto(kind(2))),
        (1, Selector::Except(kind(1))),
        (1, Selector::Except(kind(3))),
    ])
}

fn options(bits: u64) -> ConsumeOptions {
    let mut dice = Dice::new(bits);
    ConsumeOptions {
        selector: selector(&mut dice),
        credit: dice.weighted(&[(1, 0), (1, 1), (2, 10), (3, 50), (2, 300)]),
        once: dice.chance(15),
        wait: dice.chance(80),
        auto_ack: dice.chance(15),
        bytes_max: dice.weighted(&[(8, u64::MAX), (1, 100)]),
    }
}

/// With `forgets` one side is given a message less: what the check must notice.
fn check(steps: &[Step], forgets: bool, fault: Option<Fault>) -> Result<(), String> {
    let mut sides = [Side::new(false, None), Side::new(true, fault)];
    let (mut now, mut number) = (Time::ZERO, 0);
    for (at, step) in steps.iter().enumerate() {
        now = now.after(Duration::from_nanos(1));
        match *step {
            Step::Send { session, kind: of, count, length } => {
                // A parcel has at most 64 KiB.
                let count = count.min(60_000 / (length + 16)).max(2);
                let messages: Vec<Message> = (number..number + count)
                    .map(|n| Message::new(kind(of), payload(n, length as usize)))
                    .collect();
                number += count;
                let [one, many] = &mut sides;
                one.send(now, session, &messages);
                many.send(now, session, &messages[usize::from(forgets)..]);
            }
            Step::Tick { millis } => now = now.after(Duration::from_millis(millis)),
            _ => {}
        }
        for side in &mut sides {
            perform(side, now, step);
        }
        let [one, many] = &mut sides;
        if one.told != many.told {
            let parts = one.told.iter().filter(|(key, text)| many.told.get(*key) != Some(*text));
            let parts: Vec<_> = parts.map(|(key, text)| (key, text, many.told.get(key))).collect();
            return Err(format!("step {at} {step:?}: wanted, found: {parts:?}"));
        }
        let (wanted, found) = (one.state(now), many.state(now));
        if wanted != found {
            return Err(format!("step {at} {step:?}: {found}\nnot\n{wanted}"));
        }
    }
    Ok(())
}

fn perform(side: &mut Side, now: Time, step: &Step) {
    match *step {
        Step::Send { .. } => {}
        Step::Offer { session, kind: of, length } => {
            side.tickets[session] += 1;
            let (ticket, kind) = (side.tickets[session], kind(of));
            side.offers.insert((session, ticket), (of, length));
            let command = Command::Offer { channel: 0, ticket, kind, length, no_wait: false };
            side.act(now, session, command);
        }
        Step::Grant if side.grants.is_empty() => {}
        Step::Grant => {
            let (session, ticket, of, length) = side.grants.remove(0);
            let message = Message::new(kind(of), payload(1_000_000 + ticket, length as usize));
            side.act(now, session, Command::Granted { ticket, message });
        }
        Step::Withdraw { session, which } => {
            let ticket = 1 + which % side.tickets[session].max(1);
            side.grants.retain(|(slot, other, ..)| (*slot, *other) != (session, ticket));
            side.act(now, session, Command::Withdraw { ticket });
        }
        Step::Consume { session, channel, options: bits } => {
            let options = options(bits);
            let command = Command::Consume { request: 0, channel, queue: 0, options };
            side.act(now, session, command);
        }
        Step::Close { session, channel } => {
            side.act(now, session, Command::Close { request: 0, channel });
        }
        Step::Peek { session, selector: bits, index } => {
            let selector = selector(&mut Dice::new(bits));
            let command = Command::Peek { request: 3, queue: 0, selector, index };
            side.act(now, session, command);
        }
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
        Step::Away { .. } | Step::Lose { .. } => come_and_go(side, now, step),
        Step::Change { .. } | Step::Purge => administer(side, now, step),
        _ => settle(side, now, step),
    }
}

fn administer(side: &mut Side, now: Time, step: &Step) {
    let name = name("jobs");
    let command = match *step {
        Step::Change { count_max, bytes_max } => {
            let (count_max, bytes_max) = (Some(count_max), Some(bytes_max));
            let change = QueueChange { count_max, bytes_max, ..QueueChange::default() };
            Command::SetQueue { request: 4, name, change }
        }
        _ => {
            let (object, action) = (ObjectKind::Queue, AdminAction::Purge);
            Command::Admin { request: 5, name, object, action }
        }
    };
    side.act(now, 0, command);
}

fn come_and_go(side: &mut Side, now: Time, step: &Step) {
    match *step {
        Step::Away { session } => {
            let id = side.sessions[session];
            side.away[session] ^= true;
            match side.away[session] {
                true => side.router.suspend(now, id),
                false => side.router.resume(now, id),
            }
        }
        Step::Lose { session } => {
            side.router.close_session(now, side.sessions[session], SessionEnd::Lost);
            side.note();
            side.sessions[session] = side.open(now, session);
        }
        _ => {}
    }
    side.note();
}

fn settle(side: &mut Side, now: Time, step: &Step) {
    match *step {
        Step::Ack { session, from, count } => {
            let Some(first) = side.nth_lease(session, from) else { return };
            let last = side.leases[session].keys().next_back().copied().unwrap_or(first);
            side.ack(now, session, first, count.min(last - first + 1));
        }
        Step::Settle { session, which, how } => {
            let Some(lease) = side.nth_lease(session, which) else { return };
            let command = match how {
                0 => Command::Nack { request: 6, lease, delay: Duration::from_millis(which * 20) },
                1 => Command::Extend { request: 7, lease, by: Duration::from_secs(2) },
                _ => Command::Reject { request: 8, lease, reason: "no".into() },
            };
            side.act(now, session, command);
        }
        Step::Taken { session, channel, which } => {
            let mine = side.leases[session].iter().filter(|(_, by)| **by == channel);
            let lease = mine.map(|(lease, _)| *lease).nth(which as usize);
            let Some(lease) = lease else { return };
            side.act(now, session, Command::Taken { channel, lease });
        }
        Step::Return { session, from, count } => {
            let leases = side.leases[session].keys().skip(from as usize).take(count as usize);
            let leases: Vec<u64> = leases.copied().collect();
            side.leases[session].retain(|lease, _| !leases.contains(lease));
            side.act(now, session, Command::Return { leases });
        }
        _ => {}
    }
}

#[test]
fn batches_are_as_their_messages_one_by_one() {
    dice::run(0..SEEDS, case, |steps| check(steps, false, None));
}

#[test]
#[ignore = "takes minutes"]
fn batches_are_as_their_messages_for_long() {
    dice::run(0..100_000, case, |steps| check(steps, false, None));
}

#[test]
fn a_message_that_a_batch_lacks_is_noticed() {
    let caught = (0..40).filter(|seed| check(&case(*seed), true, None).is_err()).count();
    assert!(caught >= 30, "only {caught} of 40 cases noticed it");
}

#[test]
fn every_bug_of_batches_is_caught() {
    for fault in Fault::OF_BATCHES {
        let fails = |seed| dice::verdict(&case(seed), |steps| check(steps, false, Some(*fault)));
        let caught = (0..SEEDS).find(|seed| fails(*seed).is_err());
        assert!(caught.is_some(), "{fault:?} was not caught by {SEEDS} cases");
    }
}
