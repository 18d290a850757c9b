//! One link, case by case: what it keeps, drops, says and in which order.

mod bounds;
mod exchange;
mod holding;
mod measure;
mod permits;
mod reconfigure;
mod states;

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;

use super::{Action, Link, LinkConfig, RelayId, Route, SpoolPolicy};
use crate::error::ErrorKind;
use crate::frame::{Header, Kind, Parcel};
use crate::limits::{SPOOL_COUNT_MIN, WINDOW_BYTES_DEFAULT};
use crate::message::{Message, Sender};
use crate::message_type::MessageType;
use crate::name::{Name, Pattern};
use crate::router::{Interest, Provenance, RelayState, Source, Stamp};
use crate::time::Time;

const NEAR: u64 = 1;
const FAR: u64 = 2;

fn config(policy: SpoolPolicy) -> LinkConfig {
    let all = Pattern::new(">").expect("a pattern");
    let route = Route::new(&all, "", "near").expect("a route");
    let config = LinkConfig::new(vec![route]).expect("one route");
    config.policy(policy).spool(1 << 20, SPOOL_COUNT_MIN, 4 << 20).reading(16_384, 0)
}

/// A link that is up on both sides, with everything wanted.
fn link(policy: SpoolPolicy) -> Link {
    let mut link = Link::new(config(policy), "near");
    link.near_up(NEAR);
    link.far_up(FAR);
    let pattern = Pattern::new(">").expect("a pattern");
    let all = Interest { pattern, path: vec![FAR] };
    link.far_wanted(vec![all], Vec::new(), true).expect("it is one");
    assert!(matches!(link.pull(true), Some(Action::Subscribe { .. })));
    link
}

fn stamp(key: u64, topic: &str, sequence: u64, hops: &[u64]) -> Stamp {
    let sender = Arc::new(Sender::default());
    let passed = |hops: &[u64]| Provenance {
        epoch: hops[0],
        broker: "origin".into(),
        publisher: 5,
        sender: sender.clone(),
        hops: hops.to_vec(),
    };
    let provenance = (!hops.is_empty()).then(|| Arc::new(passed(hops)));
    let topic = Name::new(topic).expect("a name");
    Stamp { source: Arc::new(Source { key, sender, topic, provenance }), sequence }
}

fn give(link: &mut Link, key: u64, topic: &str, sequences: impl Iterator<Item = u64>) {
    for sequence in sequences {
        let message = Message::new(MessageType::ONE, vec![0; 40]);
        link.received(Time::ZERO, 0, &stamp(key, topic, sequence, &[]), message);
    }
}

fn state(active: bool, mark: u64) -> RelayState {
    RelayState { turn: 1, active, mark, known: true, elsewhere: false }
}

/// The relay that is opened next, and the topic of it.
fn opened(link: &mut Link) -> (RelayId, String) {
    loop {
        match link.pull(true) {
            Some(Action::Open { relay, topic, .. }) => return (relay, topic.to_string()),
            Some(_) => {}
            None => panic!("nothing is opened"),
        }
    }
}

/// What is sent until there is nothing more, in short.
fn sent(link: &mut Link) -> Vec<String> {
    let mut sent = Vec::new();
    while let Some(action) = link.pull(true) {
        sent.push(match action {
            Action::Skip { sequence, lost, .. } => format!("skip {sequence} {lost}"),
            Action::Publish { relay, sequence, .. } => format!("{sequence} on {relay}"),
            Action::PublishParcel { relay, sequence, parcel } => {
                format!("{sequence} to {} on {relay}", sequence + parcel.count() - 1)
            }
            Action::Close { relay } => format!("close {relay}"),
            Action::Consumed { .. } => continue,
            Action::Trouble { failure } => format!("{:?}", failure.kind()),
            other => format!("{other:?}"),
        });
    }
    sent
}

#[test]
fn the_spool_is_sent_from_the_mark_again_and_again() {
    let mut link = link(SpoolPolicy::HoldBack);
    give(&mut link, 7, "a", 1..=3);
    let (relay, topic) = opened(&mut link);
    assert_eq!(topic, "near.a");
    link.relay_state(relay, state(true, 0));
    assert_eq!(sent(&mut link), ["skip 1 false", "1 on 1", "2 on 1", "3 on 1"]);
    link.relay_state(relay, RelayState { turn: 2, ..state(false, 1) });
    give(&mut link, 7, "a", 4..=4);
    assert!(sent(&mut link).is_empty());
    link.relay_state(relay, RelayState { turn: 3, ..state(true, 2) });
    assert_eq!(sent(&mut link), ["skip 3 false", "3 on 1", "4 on 1"]);
    link.relay_state(relay, RelayState { turn: 3, ..state(true, 4) });
    assert_eq!((link.stat().spooled, link.stat().spooled_bytes), (0, 0));
}

#[test]
fn a_topic_without_window_does_not_hold_up_another() {
    let mut link = link(SpoolPolicy::DropOldest);
    let big = |sequence| {
        (stamp(7, "slow", sequence, &[]), Message::new(MessageType::ONE, vec![0; 500_000]))
    };
    for (stamp, message) in (1..=2).map(big) {
        link.received(Time::ZERO, 0, &stamp, message);
    }
    give(&mut link, 8, "quick", 1..=2);
    let (slow, _) = opened(&mut link);
    let (quick, _) = opened(&mut link);
    link.relay_state(slow, state(true, 0));
    link.relay_state(quick, state(true, 0));
    // They take turns, and the third long one waits for its window alone.
    let first = ["skip 1 false", "skip 1 false", "1 on 1", "1 on 2", "2 on 1", "2 on 2"];
    assert_eq!(sent(&mut link), first);
    let (stamp, message) = big(3);
    link.received(Time::ZERO, 0, &stamp, message);
    give(&mut link, 8, "quick", 3..=3);
    assert_eq!(sent(&mut link), ["3 on 2"]);
    link.credit(slow, 500_064);
    assert_eq!(sent(&mut link), ["3 on 1"]);
}

#[test]
fn a_full_spool_does_what_its_policy_says() {
    let over = SPOOL_COUNT_MIN + 10;
    for (policy, first, dropped, refused) in [
        (SpoolPolicy::HoldBack, "skip 1 false", 0, 0),
        (SpoolPolicy::DropOldest, "skip 11 true", 10, 0),
        (SpoolPolicy::Refuse, "skip 1 false", 0, 10),
    ] {
        let mut link = link(policy);
        give(&mut link, 7, "a", 1..=over);
        let mut told = false;
        let relay = loop {
            match link.pull(true).expect("a relay is opened") {
                Action::Open { relay, .. } => break relay,
                Action::Consumed { .. } => told = true,
                _ => {}
            }
        };
        let stat = link.stat();
        assert_eq!((stat.dropped, stat.refused), (dropped, refused), "{policy:?}");
        // What is used up before the spool is full is told in any case.
        assert!(told);
        link.relay_state(relay, state(true, 0));
        let all = sent(&mut link);
        assert_eq!(all[0], first, "{policy:?}");
        link.relay_state(relay, state(true, over));
        give(&mut link, 7, "a", over + 1..=over + 1);
        let lost = policy == SpoolPolicy::Refuse;
        let next = format!("skip {} true", over + 1);
        assert_eq!(sent(&mut link).first() == Some(&next), lost, "{policy:?}");
    }
}

#[test]
fn nothing_goes_back_to_where_it_has_been() {
    let mut link = link(SpoolPolicy::HoldBack);
    let message = || Message::new(MessageType::ONE, "x");
    link.received(Time::ZERO, 0, &stamp(7, "a", 1, &[9, FAR]), message());
    assert_eq!(sent(&mut link), [""; 0]);
    // The same source by another way, which does not lead over the far broker.
    link.received(Time::ZERO, 0, &stamp(8, "a", 2, &[9]), message());
    let (relay, _) = opened(&mut link);
    link.relay_state(relay, state(true, 1));
    assert_eq!(sent(&mut link), ["skip 2 false", "2 on 1"]);
    link.received(Time::ZERO, 0, &stamp(9, "a", 3, &[9, FAR]), message());
    assert_eq!(sent(&mut link), ["close 1"]);
    assert_eq!((link.stat().muted, link.stat().spooled), (2, 0));
}

#[test]
fn what_nobody_wants_any_more_is_neither_kept_nor_read() {
    let mut link = link(SpoolPolicy::HoldBack);
    give(&mut link, 7, "a", 1..=3);
    let (relay, _) = opened(&mut link);
    let all = Interest { pattern: Pattern::new(">").expect("a pattern"), path: vec![FAR] };
    link.far_wanted(Vec::new(), vec![all], true).expect("it is one");
    assert!(matches!(link.pull(true), Some(Action::Unsubscribe { route: 0 })));
    assert_eq!(sent(&mut link), [format!("close {relay}")]);
    assert_eq!((link.stat().sources, link.stat().abandoned), (0, 0), "nobody misses it");
}

#[test]
fn what_waits_for_a_broker_that_begins_anew_and_wants_less_is_counted() {
    let mut link = link(SpoolPolicy::HoldBack);
    give(&mut link, 7, "a", 1..=3);
    link.far_down(Time::ZERO);
    link.far_up(9);
    link.far_wanted(Vec::new(), Vec::new(), true).expect("nothing");
    assert_eq!((link.stat().sources, link.stat().abandoned), (0, 3));
}

#[test]
fn what_was_sent_before_a_broker_began_anew_may_have_arrived_and_is_not_told_as_given_up() {
    let mut link = link(SpoolPolicy::HoldBack);
    give(&mut link, 7, "a", 1..=3);
    let (relay, _) = opened(&mut link);
    link.relay_state(relay, state(true, 0));
    assert_eq!(sent(&mut link).len(), 4);
    link.relay_state(relay, state(true, 1));
    link.far_down(Time::ZERO);
    // These were never on their way.
    give(&mut link, 7, "a", 4..=7);
    link.far_up(9);
    link.far_wanted(Vec::new(), Vec::new(), true).expect("nothing");
    let stat = link.stat();
    assert_eq!((stat.sources, stat.abandoned, stat.unknown), (0, 4, 2));
}

#[test]
fn a_far_broker_that_stays_away_is_given_up_and_found_again() {
    let mut link = Link::new(config(SpoolPolicy::HoldBack).linger(Duration::from_secs(5)), "near");
    link.near_up(NEAR);
    link.far_up(FAR);
    let pattern = Pattern::new("near.a").expect("a pattern");
    let all = Interest { pattern, path: vec![FAR] };
    link.far_wanted(vec![all], Vec::new(), true).expect("it is one");
    give(&mut link, 7, "a", 1..=3);
    link.far_down(Time::ZERO);
    let late = link
        .next_deadline()
        .expect("something is due")
        .max(Time::ZERO.after(Duration::from_secs(5)));
    link.advance(late);
    assert_eq!((link.stat().abandoned, link.stat().sources), (3, 0));
    while link.pull(true).is_some() {}
    link.far_resumed();
    assert!(matches!(link.pull(true), Some(Action::Subscribe { .. })));
}

#[test]
fn what_was_sent_to_a_broker_that_has_forgotten_it_is_not_sent_again() {
    let mut link = link(SpoolPolicy::HoldBack);
    give(&mut link, 7, "a", 1..=3);
    let (relay, _) = opened(&mut link);
    link.relay_state(relay, state(true, 0));
    assert_eq!(sent(&mut link).len(), 4);
    // Another session of the same boot, which knows nothing: twice would be worse than unknown.
    link.far_up(FAR);
    give(&mut link, 7, "a", 4..=4);
    let (relay, _) = opened(&mut link);
    link.relay_state(relay, RelayState { known: false, ..state(true, 0) });
    assert_eq!(sent(&mut link), ["OutcomeUnknown", "skip 4 true", "4 on 2"]);
    assert_eq!(link.stat().unknown, 3);
}

#[test]
fn what_was_sent_to_a_broker_is_not_sent_again_to_its_next_boot() {
    let mut link = link(SpoolPolicy::HoldBack);
    give(&mut link, 7, "a", 1..=3);
    let (relay, _) = opened(&mut link);
    link.relay_state(relay, state(true, 0));
    assert_eq!(sent(&mut link).len(), 4);
    // Its subscribers have outlived it, and may have had all of that.
    link.far_up(FAR + 100);
    give(&mut link, 7, "a", 4..=4);
    let (relay, _) = opened(&mut link);
    link.relay_state(relay, RelayState { known: false, ..state(true, 0) });
    assert_eq!(sent(&mut link), ["OutcomeUnknown", "skip 4 true", "4 on 2"]);
    assert_eq!(link.stat().unknown, 3);
}

#[test]
fn routes_that_bear_the_same_topic_are_refused() {
    let route =
        |text: &str| Route::new(&Pattern::new(text).expect("a pattern"), "", "").expect("a route");
    let refused = LinkConfig::new(vec![route("a.*"), route("*.b")]).expect_err("they overlap");
    assert_eq!(refused.kind(), ErrorKind::InvalidArgument);
    assert!(LinkConfig::new(vec![route("a.*"), route("b.*")]).is_ok());
}

/// Messages of 40 bytes that were published together.
fn parcel(count: u64) -> Parcel {
    let mut body = BytesMut::new();
    for _ in 0..count {
        Header::new(Kind::Publish, 1, 1).encode(40, &mut body);
        body.extend_from_slice(&[0; 40]);
    }
    Parcel::check(Kind::Publish, body.freeze(), count).expect("a parcel")
}

#[test]
fn a_parcel_is_kept_and_sent_as_one_from_wherever_the_mark_is() {
    let mut link = link(SpoolPolicy::HoldBack);
    link.received_parcel(Time::ZERO, 0, &stamp(7, "a", 1, &[]), parcel(10));
    link.received_parcel(Time::ZERO, 0, &stamp(7, "a", 11, &[]), parcel(5));
    let (relay, _) = opened(&mut link);
    link.relay_state(relay, state(true, 0));
    assert_eq!(sent(&mut link), ["skip 1 false", "1 to 10 on 1", "11 to 15 on 1"]);
    // Some of it has come there on another way, and this one goes on in the middle.
    link.relay_state(relay, RelayState { turn: 3, ..state(true, 4) });
    assert_eq!((link.stat().spooled, link.stat().spooled_bytes), (11, 11 * 104));
    assert_eq!(sent(&mut link), ["skip 5 false", "5 to 10 on 1", "11 to 15 on 1"]);
    // What is old already is left out, what is new is not.
    link.received_parcel(Time::ZERO, 0, &stamp(7, "a", 14, &[]), parcel(3));
    assert_eq!(sent(&mut link), ["16 on 1"]);
    link.relay_state(relay, RelayState { turn: 3, ..state(true, 16) });
    assert_eq!((link.stat().spooled, link.stat().spooled_bytes), (0, 0));
}

#[test]
fn a_full_spool_drops_the_oldest_out_of_a_parcel() {
    let mut link = link(SpoolPolicy::DropOldest);
    link.received_parcel(Time::ZERO, 0, &stamp(7, "a", 1, &[]), parcel(SPOOL_COUNT_MIN));
    link.received_parcel(Time::ZERO, 0, &stamp(7, "a", SPOOL_COUNT_MIN + 1, &[]), parcel(2));
    let (relay, _) = opened(&mut link);
    link.relay_state(relay, state(true, 0));
    assert_eq!(sent(&mut link)[0], "skip 3 true");
    assert_eq!((link.stat().dropped, link.stat().spooled), (2, SPOOL_COUNT_MIN));
}

#[test]
fn a_window_cuts_a_parcel_where_it_ends() {
    let mut link = link(SpoolPolicy::HoldBack);
    let count = WINDOW_BYTES_DEFAULT / 104 + 5;
    link.received_parcel(Time::ZERO, 0, &stamp(7, "a", 1, &[]), parcel(count));
    let (relay, _) = opened(&mut link);
    link.relay_state(relay, state(true, 0));
    let told = sent(&mut link);
    assert_eq!(told[1], format!("1 to {} on 1", count - 5));
    link.credit(relay, WINDOW_BYTES_DEFAULT / 2);
    assert_eq!(sent(&mut link), [format!("{} to {count} on 1", count - 4)]);
}
