//! What a link keeps within, whatever its two brokers say.

use super::*;
use crate::error::Failure;
use crate::limits::{INTERESTS_MAX, LINK_SOURCES_MAX};

fn drain(link: &mut Link) -> Vec<Action> {
    std::iter::from_fn(|| link.pull(true)).collect()
}

fn long(link: &mut Link, key: u64, sequence: u64, bytes: usize) {
    let message = Message::new(MessageType::ONE, vec![0; bytes]);
    link.received(Time::ZERO, 0, &stamp(key, &format!("a{key}"), sequence, &[]), message);
}

fn seconds(count: u64) -> Time {
    Time::ZERO.after(Duration::from_secs(count))
}

fn subscribes(link: &mut Link) -> bool {
    drain(link).iter().any(|action| matches!(action, Action::Subscribe { .. }))
}

fn wish(pattern: &str, path: &[u64]) -> Interest {
    Interest { pattern: Pattern::new(pattern).expect("a pattern"), path: path.to_vec() }
}

#[test]
fn a_route_that_stands_is_subscribed_again_only_when_there_is_room() {
    let mut link = link(SpoolPolicy::HoldBack);
    (1..=11).for_each(|sequence| long(&mut link, 7, sequence, 400_000));
    let (relay, _) = opened(&mut link);
    link.subscription_ended(Time::ZERO, 0, Failure::new(ErrorKind::TooSlow, "held for too long"));
    link.advance(seconds(1));
    assert!(!subscribes(&mut link));
    link.relay_state(relay, state(true, 11));
    assert!(subscribes(&mut link));
}

#[test]
fn a_source_that_goes_makes_room_for_every_route() {
    let route =
        |text: &str| Route::new(&Pattern::new(text).expect("a pattern"), "", "near").expect("one");
    let config = LinkConfig::new(vec![route("a.>"), route("b.>")]).expect("two routes");
    let config = config.spool(1 << 20, 100_000, 100_000).reading(16_384, 0);
    let mut link = Link::new(config, "near");
    link.near_up(NEAR);
    link.far_up(FAR);
    let both = vec![wish("near.a.>", &[FAR]), wish("near.b.>", &[FAR])];
    link.far_wanted(both, Vec::new(), true).expect("they are few");
    for (route, key, topic, count) in [(0, 7, "a.x", 26), (1, 8, "b.x", 5)] {
        for sequence in 1..=count {
            let message = Message::new(MessageType::ONE, vec![0; 4000]);
            link.received(Time::ZERO, route, &stamp(key, topic, sequence, &[]), message);
        }
    }
    let told = |link: &mut Link| {
        drain(link).iter().any(|action| matches!(action, Action::Consumed { route: 1, .. }))
    };
    assert!(!told(&mut link));
    link.far_wanted(Vec::new(), vec![wish("near.a.>", &[FAR])], true).expect("it is known");
    assert!(told(&mut link));
}

#[test]
fn a_refused_change_is_told_anew_with_all_that_is_wanted() {
    let mut link = link(SpoolPolicy::HoldBack);
    link.change_refused(Time::ZERO, 0, Failure::new(ErrorKind::QuotaExceeded, "too many"));
    let said = drain(&mut link);
    assert!(said.iter().any(|action| matches!(action, Action::Unsubscribe { route: 0 })));
    link.advance(seconds(1));
    assert!(subscribes(&mut link));
}

#[test]
fn wishes_that_find_no_room_beside_the_old_ones_follow_them() {
    let mut link = Link::new(config(SpoolPolicy::HoldBack), "near");
    link.near_up(NEAR);
    link.far_up(FAR);
    let all = |epoch| (0..40_000).map(|n| wish(&format!("near.t{n}"), &[epoch])).collect();
    link.far_wanted(all(FAR), Vec::new(), true).expect("they are not too many");
    drain(&mut link);
    link.far_up(99);
    link.far_wanted(all(99), Vec::new(), true).expect("they are not too many");
    let mut there = 40_000;
    for action in drain(&mut link) {
        if let Action::Change { added, removed, .. } = action {
            there = there + added.len() - removed.len();
            assert!(there <= INTERESTS_MAX);
        }
    }
    assert_eq!(there, 40_000);
}

#[test]
fn wishes_beyond_all_bounds_are_a_failure() {
    let mut link = link(SpoolPolicy::HoldBack);
    for path in [vec![], vec![9; 17]] {
        assert!(link.far_wanted(vec![wish("near.a", &path)], Vec::new(), true).is_err());
    }
    let many = (0..=2 * INTERESTS_MAX).map(|n| wish(&format!("near.t{n}"), &[FAR])).collect();
    assert!(link.far_wanted(many, Vec::new(), false).is_err());
}

#[test]
fn numbers_that_are_too_high_are_refused() {
    let mut link = link(SpoolPolicy::HoldBack);
    give(&mut link, 7, "a", 1..=1);
    let (relay, _) = opened(&mut link);
    link.relay_state(relay, state(true, u64::MAX));
    assert_eq!(sent(&mut link), ["Protocol"]);
    give(&mut link, 7, "a", u64::MAX - 1..=u64::MAX - 1);
    link.received_parcel(Time::ZERO, 0, &stamp(7, "a", u64::MAX, &[]), parcel(3));
    assert_eq!((link.stat().refused, link.stat().spooled), (4, 1));
}

#[test]
fn many_sources_of_one_message_stay_within_what_all_may_hold() {
    let mut link = link(SpoolPolicy::DropOldest);
    (1..=200).for_each(|key| long(&mut link, key, 1, 60_000));
    let stat = link.stat();
    assert!(stat.spooled_bytes <= 4 << 20);
    assert_eq!(stat.spooled + stat.dropped, 200);
}

#[test]
fn a_refused_source_is_asked_for_ever_more_rarely_and_holds_nothing_back() {
    let mut link = link(SpoolPolicy::HoldBack);
    let (mut opens, mut troubles) = (0, 0);
    for second in 1..=120 {
        let message = Message::new(MessageType::ONE, vec![0; 40]);
        link.received(seconds(second), 0, &stamp(7, "a", second, &[]), message);
        for action in drain(&mut link) {
            if let Action::Open { relay, .. } = action {
                opens += 1;
                let failure = Failure::new(ErrorKind::PermissionDenied, "no");
                link.relay_ended(seconds(second), relay, failure);
            }
        }
        let said = drain(&mut link);
        troubles += said.iter().filter(|it| matches!(it, Action::Trouble { .. })).count();
        link.advance(seconds(second));
    }
    assert_eq!((opens, troubles), (7, 7));
    assert_eq!((link.stat().spooled, link.stat().refused), (1, 119));
}

#[test]
fn a_source_that_has_rested_makes_room_for_a_new_one() {
    let mut link = link(SpoolPolicy::HoldBack);
    let count = LINK_SOURCES_MAX as u64 + 1;
    for key in 1..=count {
        // What has passed the far broker already leaves nothing in a spool.
        let message = Message::new(MessageType::ONE, "x");
        link.received(Time::ZERO, 0, &stamp(key, &format!("a{key}"), 1, &[9, FAR]), message);
    }
    assert_eq!((link.stat().refused, link.stat().muted), (0, count));
}

#[test]
fn a_source_that_changes_its_way_while_the_far_broker_is_away_asks_for_little() {
    let mut link = link(SpoolPolicy::HoldBack);
    let by = |link: &mut Link, sequence: u64| {
        let hops: &[u64] = if sequence.is_multiple_of(2) { &[8, 9] } else { &[8, 10, 9] };
        let message = Message::new(MessageType::ONE, vec![0; 40]);
        link.received(Time::ZERO, 0, &stamp(sequence, "a", sequence, hops), message);
    };
    by(&mut link, 1);
    let (first, _) = opened(&mut link);
    link.far_down(Time::ZERO);
    (2..=1000).for_each(|sequence| by(&mut link, sequence));
    link.far_resumed();
    let said = drain(&mut link);
    let said: Vec<_> = said
        .iter()
        .filter(|action| matches!(action, Action::Open { .. } | Action::Close { .. }))
        .collect();
    let [Action::Close { relay: closed }, Action::Open { relay, reach: 1, .. }] = said[..] else {
        panic!("{said:?}")
    };
    assert_eq!(*closed, first);
    link.relay_state(*relay, state(true, 0));
    assert_eq!(sent(&mut link).len(), 1001, "where it goes on, and all that came");
}
