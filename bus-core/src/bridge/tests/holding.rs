//! Topics that a link holds back: which, from when on, and until when.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::error::Failure;
use crate::router::Fault;

/// What the near broker knows, and what is open at the far one.
#[derive(Default)]
struct Brokers {
    held: BTreeSet<String>,
    subscribed: bool,
    /// By publisher.
    relays: BTreeMap<u64, RelayId>,
    /// In short, what was said of holding since it was looked at last.
    said: Vec<String>,
}

impl Brokers {
    fn hear(&mut self, link: &mut Link) {
        while let Some(action) = link.pull(true) {
            match action {
                Action::Hold { topic, hold, .. } => {
                    let topic = topic.to_string();
                    self.said.push(format!("{} {topic}", if hold { "hold" } else { "go" }));
                    assert!(self.subscribed, "what is not subscribed cannot be held");
                    if hold {
                        self.held.insert(topic)
                    } else {
                        self.held.remove(&topic)
                    };
                }
                Action::Subscribe { .. } => (self.held, self.subscribed) = Default::default(),
                Action::Unsubscribe { .. } => self.ended(),
                Action::Open { relay, provenance, .. } => {
                    self.relays.insert(provenance.publisher, relay);
                }
                Action::Consumed { .. } => self.said.push("used".into()),
                _ => {}
            }
            self.subscribed |= link.lanes[0].subscribed;
        }
    }

    fn ended(&mut self) {
        (self.held, self.subscribed) = Default::default();
    }

    fn said(&mut self, link: &mut Link) -> Vec<String> {
        self.hear(link);
        let mut said = std::mem::take(&mut self.said);
        said.retain(|one| one != "used");
        said
    }

    fn mark(&mut self, link: &mut Link, publisher: u64, mark: u64) {
        self.hear(link);
        if let Some(relay) = self.relays.get(&publisher) {
            link.relay_state(*relay, state(true, mark));
        }
    }
}

fn held(source_bytes: u64, total_bytes: u64) -> (Link, Brokers) {
    let config = config(SpoolPolicy::HoldBack).spool(source_bytes, 1000, total_bytes);
    let mut link = Link::new(config, "near");
    link.near_up(NEAR);
    link.far_up(FAR);
    link.far_wanted(vec![all()], Vec::new(), true).expect("it is one");
    let mut brokers = Brokers::default();
    assert_eq!(brokers.said(&mut link), [""; 0]);
    (link, brokers)
}

fn all() -> Interest {
    Interest { pattern: Pattern::new(">").expect("a pattern"), path: vec![FAR] }
}

/// Messages that count a thousand bytes each.
fn thousand(link: &mut Link, key: u64, topic: &str, sequences: impl Iterator<Item = u64>) {
    for sequence in sequences {
        let message = Message::new(MessageType::ONE, vec![0; 936]);
        link.received(Time::ZERO, 0, &stamp(key, topic, sequence, &[]), message);
    }
}

#[test]
fn a_source_that_has_enough_holds_its_topic_and_nothing_else() {
    let (mut link, mut near) = held(20_000, 1 << 20);
    thousand(&mut link, 7, "slow", 1..=20);
    assert_eq!(near.said(&mut link), [""; 0]);
    thousand(&mut link, 7, "slow", 21..=21);
    assert_eq!(near.said(&mut link), ["hold slow"]);
    // What was on its way still comes, and the window goes on for the others.
    thousand(&mut link, 7, "slow", 22..=25);
    thousand(&mut link, 8, "quick", 1..=15);
    near.hear(&mut link);
    assert!(near.said.contains(&"used".to_owned()));
    assert_eq!(near.said(&mut link), [""; 0]);
    assert_eq!(link.stat().held, 1);
    // It goes on when a quarter is free, so that this does not change with each message.
    near.mark(&mut link, 7, 9);
    assert_eq!(near.said(&mut link), [""; 0]);
    near.mark(&mut link, 7, 10);
    assert_eq!(near.said(&mut link), ["go slow"]);
    assert_eq!(link.stat().held, 0);
}

#[test]
fn a_source_with_enough_messages_holds_its_topic_too() {
    let (mut link, mut near) = held(1 << 20, 4 << 20);
    give(&mut link, 7, "slow", 1..=1001);
    assert_eq!(near.said(&mut link), ["hold slow"]);
    near.mark(&mut link, 7, 251);
    assert_eq!(near.said(&mut link), ["go slow"]);
}

#[test]
fn a_topic_is_held_as_long_as_one_of_its_sources_has_enough() {
    let (mut link, mut near) = held(20_000, 1 << 20);
    for key in [7, 8] {
        thousand(&mut link, key, "slow", 1..=21);
        // Also for the second one: the topic may have come again with it.
        assert_eq!(near.said(&mut link), ["hold slow"]);
    }
    near.mark(&mut link, 7, 21);
    assert_eq!(near.said(&mut link), [""; 0]);
    near.mark(&mut link, 8, 21);
    assert_eq!(near.said(&mut link), ["go slow"]);
}

#[test]
fn whoever_is_stuck_leaves_half_of_the_room_to_others_and_two_leave_a_third() {
    let (mut link, mut near) = held(1 << 20, 90_000);
    thousand(&mut link, 1, "a", 1..=45);
    assert_eq!(near.said(&mut link), [""; 0]);
    thousand(&mut link, 1, "a", 46..=46);
    assert_eq!(near.said(&mut link), ["hold a"]);
    let (mut link, mut near) = held(1 << 20, 90_000);
    for sequence in 1..=31 {
        assert_eq!(near.said(&mut link), [""; 0], "{sequence}");
        thousand(&mut link, 1, "a", sequence..=sequence);
        thousand(&mut link, 2, "b", sequence..=sequence);
    }
    assert_eq!(near.said(&mut link), ["hold a", "hold b"]);
    // What one has given back the others may have, though nothing has come of theirs.
    near.mark(&mut link, 1, 31);
    assert_eq!(near.said(&mut link), ["go a", "go b"]);
}

#[test]
fn a_new_subscription_is_told_what_is_held() {
    let (mut link, mut near) = held(20_000, 1 << 20);
    thousand(&mut link, 7, "slow", 1..=21);
    assert_eq!(near.said(&mut link), ["hold slow"]);
    link.near_up(NEAR + 100);
    near.ended();
    assert_eq!(near.said(&mut link), ["hold slow"]);
    link.subscription_ended(Time::ZERO, 0, Failure::new(ErrorKind::TooSlow, "too slow"));
    near.ended();
    near.mark(&mut link, 7, 21);
    link.advance(Time::ZERO.after(Duration::from_secs(1)));
    assert_eq!(near.said(&mut link), [""; 0]);
}

#[test]
fn a_topic_that_comes_though_it_is_held_is_held_again() {
    let (mut link, mut near) = held(20_000, 1 << 20);
    thousand(&mut link, 7, "slow", 1..=37);
    assert_eq!(near.said(&mut link), ["hold slow"]);
    // So much cannot have been on its way.
    thousand(&mut link, 7, "slow", 38..=38);
    assert_eq!(near.said(&mut link), ["hold slow"]);
}

#[test]
fn who_has_begun_while_a_topic_passed_by_is_told_to_have_lost_something() {
    let (mut link, mut near) = held(20_000, 1 << 20);
    thousand(&mut link, 7, "slow", 1..=21);
    near.mark(&mut link, 7, 21);
    assert_eq!(near.said(&mut link), ["hold slow", "go slow"]);
    link.passed_by(0, Name::new("slow").expect("a name"), 9);
    assert_eq!(sent(&mut link), ["TooSlow"]);
    for (key, topic, first, is_lost) in
        [(8, "slow", 5, true), (9, "slow", 1, false), (10, "quick", 5, false)]
    {
        for together in [true, false] {
            let key = key + if together { 100 } else { 0 };
            match together {
                true => {
                    let stamp = stamp(key, topic, first, &[]);
                    link.received_parcel(Time::ZERO, 0, &stamp, parcel(3));
                }
                false => give(&mut link, key, topic, first..first + 3),
            }
            let (relay, _) = opened(&mut link);
            link.relay_state(relay, state(true, 0));
            assert_eq!(sent(&mut link)[0], format!("skip {first} {is_lost}"), "{key}");
        }
    }
}

#[test]
fn what_is_refused_or_not_wanted_any_more_holds_nothing() {
    let (mut link, mut near) = held(20_000, 1 << 20);
    for (key, topic) in [(7, "refused"), (8, "unwanted")] {
        thousand(&mut link, key, topic, 1..=21);
    }
    assert_eq!(near.said(&mut link), ["hold refused", "hold unwanted"]);
    let refused = Failure::new(ErrorKind::PermissionDenied, "no");
    link.relay_ended(Time::ZERO, near.relays[&7], refused);
    assert_eq!(near.said(&mut link), ["go refused"]);
    let other = Interest { pattern: Pattern::new("near.refused").expect("one"), path: vec![FAR] };
    link.far_wanted(vec![other], vec![all()], true).expect("it is one");
    assert_eq!(near.said(&mut link), ["go unwanted"]);
}

#[test]
fn other_policies_hold_nothing() {
    for policy in [SpoolPolicy::DropOldest, SpoolPolicy::Refuse] {
        let mut link = link(policy);
        thousand(&mut link, 7, "a", 1..=5000);
        assert_eq!(link.stat().held, 0);
        let said: Vec<_> = std::iter::from_fn(|| link.pull(true)).collect();
        assert!(!said.iter().any(|action| matches!(action, Action::Hold { .. })));
    }
}

/// Numbers that depend on the seed alone (a linear congruence; its low bits are not used).
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

/// What must hold at any time.
fn check(link: &Link, near: &Brokers) -> Result<(), String> {
    let over = link.sources.iter().filter(|(_, source)| source.over.is_over());
    let topics: BTreeSet<String> = over.map(|(_, source)| source.key.2.to_string()).collect();
    let free = 50_000_u64.saturating_sub(link.spooled.bytes).min(20_000);
    for (_, source) in link.sources.iter().filter(|(_, source)| source.over.bytes.is_some()) {
        let bytes = source.spool.bytes();
        if bytes <= free - free / 4 || source.over.bytes != Some(bytes) {
            return Err(format!("{:?} with {bytes}, {free} may be", source.over));
        }
    }
    let by_bytes = link.sources.iter().filter_map(|(id, source)| Some((source.over.bytes?, id)));
    if by_bytes.collect::<BTreeSet<_>>() != link.over {
        return Err("those that are over are not all known".into());
    }
    match near.subscribed {
        true if near.held != topics => Err(format!("{:?} instead of {topics:?}", near.held)),
        _ => Ok(()),
    }
}

/// A link under random use. The failure is what does not hold.
fn run(seed: u64, fault: Option<Fault>) -> Result<(), String> {
    let (mut link, mut near) = held(20_000, 50_000);
    fault.into_iter().for_each(|fault| link.plant(fault));
    let (mut dice, mut now, mut last) = (Dice(seed), Time::ZERO, [0; 6]);
    let topic = |key: usize| format!("t{}", key % 4);
    for _ in 0..400 {
        let key = dice.below(6) as usize;
        match dice.below(100) {
            0..70 => {
                last[key] += 1 + u64::from(dice.below(20) == 0);
                let message = Message::new(MessageType::ONE, vec![0; dice.below(4000) as usize]);
                let stamp = stamp(key as u64 + 1, &topic(key), last[key], &[]);
                // Of a held topic comes only what was on its way.
                if near.subscribed && (!near.held.contains(&topic(key)) || dice.below(4) == 0) {
                    link.received(now, 0, &stamp, message);
                }
            }
            70..90 => near.mark(&mut link, key as u64 + 1, last[key].saturating_sub(dice.below(8))),
            90..92 => {
                let kinds = [ErrorKind::PermissionDenied, ErrorKind::Loop, ErrorKind::Removed];
                let failure = Failure::new(kinds[dice.below(3) as usize], "no");
                if let Some(relay) = near.relays.get(&(key as u64 + 1)) {
                    link.relay_ended(now, *relay, failure);
                }
            }
            92..94 => {
                link.far_wanted(Vec::new(), vec![all()], true).expect("it is one");
                near.hear(&mut link);
                link.far_wanted(vec![all()], Vec::new(), true).expect("it is one");
            }
            94..96 => {
                link.near_up(NEAR);
                near.ended();
            }
            96..98 => {
                if near.subscribed {
                    link.subscription_ended(now, 0, Failure::new(ErrorKind::TooSlow, "slow"));
                    near.ended();
                }
            }
            _ => {
                now = now.after(Duration::from_secs(dice.below(3)));
                link.advance(now);
            }
        }
        near.hear(&mut link);
        check(&link, &near)?;
    }
    // All has arrived.
    for _ in 0..70 {
        (0..6).for_each(|key| near.mark(&mut link, key as u64 + 1, last[key]));
        now = now.after(Duration::from_secs(1));
        link.advance(now);
        near.hear(&mut link);
    }
    check(&link, &near)?;
    check_nothing_held(&link, &near)
}

fn check_nothing_held(link: &Link, near: &Brokers) -> Result<(), String> {
    match (link.stat().held, near.held.is_empty()) {
        (0, true) => Ok(()),
        (count, _) => Err(format!("{count} topics, {:?} stay held", near.held)),
    }
}

#[test]
fn what_is_held_is_what_has_enough_whatever_happens() {
    for seed in 0..150 {
        run(seed, None).unwrap_or_else(|text| panic!("seed {seed}: {text}"));
    }
}

#[test]
fn a_hold_that_is_never_taken_back_is_noticed() {
    assert!((0..10).any(|seed| run(seed, Some(Fault::StopStays)).is_err()));
}
