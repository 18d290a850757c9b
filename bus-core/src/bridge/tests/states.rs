//! What a link says of itself: whether another way brings the same, what nobody knows to have
//! arrived, and what is given up.

use std::ops::Range;

use super::*;
use crate::error::Failure;
use crate::limits::RELAY_HINT;

/// The kinds of what an operator is told.
fn troubles(link: &mut Link) -> Vec<(ErrorKind, String)> {
    let mut told = Vec::new();
    while let Some(action) = link.pull(true) {
        if let Action::Trouble { failure } = action {
            told.push((failure.kind(), failure.text().to_owned()));
        }
    }
    told
}

/// Does all that is due from then to then, as hints count.
fn pass(link: &mut Link, hints: Range<u32>) {
    let (mut now, until) = (at(hints.start), at(hints.end));
    while let Some(due) = link.next_deadline().filter(|due| *due <= until) {
        now = now.max(due);
        link.advance(now);
    }
}

fn at(hints: u32) -> Time {
    Time::ZERO.after(RELAY_HINT * hints)
}

/// A link with one relay, which is told to go on.
fn running() -> (Link, RelayId) {
    let mut link = link(SpoolPolicy::HoldBack);
    give(&mut link, 7, "a", 1..=3);
    let (relay, _) = opened(&mut link);
    link.relay_state(relay, state(true, 0));
    assert!(troubles(&mut link).is_empty());
    (link, relay)
}

fn stands_by(turn: u64, elsewhere: bool) -> RelayState {
    RelayState { turn, elsewhere, ..state(false, 3) }
}

#[test]
fn a_pause_is_no_loop_and_neither_is_a_new_session() {
    let (mut link, relay) = running();
    link.far_down(Time::ZERO);
    link.far_resumed();
    // What the far broker said while the connection was away, and what it says now.
    link.relay_state(relay, stands_by(2, false));
    pass(&mut link, 0..1);
    link.relay_state(relay, RelayState { turn: 3, ..state(true, 3) });
    pass(&mut link, 1..9);
    assert_eq!((troubles(&mut link), link.stat().in_loop), (Vec::new(), false));
    // Its own session of before is another way for a moment.
    link.far_up(FAR);
    give(&mut link, 7, "a", 4..=4);
    let (relay, _) = opened(&mut link);
    link.relay_state(relay, stands_by(0, true));
    link.advance(at(9));
    link.relay_state(relay, RelayState { turn: 1, ..state(true, 3) });
    pass(&mut link, 9..20);
    assert_eq!((troubles(&mut link), link.stat().in_loop), (Vec::new(), false));
}

#[test]
fn another_way_is_said_once_it_lasts_and_is_over_when_this_one_goes_on_alone() {
    let (mut link, relay) = running();
    link.relay_state(relay, stands_by(2, true));
    pass(&mut link, 0..0);
    assert!(!link.stat().in_loop);
    pass(&mut link, 0..2);
    let told = troubles(&mut link);
    assert!(
        matches!(&told[..], [(ErrorKind::Loop, text)] if text.contains("`near.a`")),
        "{told:?}"
    );
    assert!(link.stat().in_loop);
    // The far broker is away for a while: what it said last counts.
    link.far_down(at(2));
    pass(&mut link, 2..5);
    link.far_resumed();
    link.relay_state(relay, stands_by(2, true));
    pass(&mut link, 5..9);
    assert_eq!((troubles(&mut link), link.stat().in_loop), (Vec::new(), true));
    link.relay_state(relay, RelayState { turn: 3, ..state(true, 3) });
    pass(&mut link, 9..12);
    assert!(!link.stat().in_loop);
    // And it is said again when it is so again.
    link.relay_state(relay, stands_by(4, true));
    pass(&mut link, 12..15);
    assert_eq!(troubles(&mut link).len(), 1);
}

#[test]
fn a_source_that_has_been_there_is_a_loop_while_it_is_known() {
    let mut link = link(SpoolPolicy::HoldBack);
    give(&mut link, 7, "a", 1..=1);
    let (relay, _) = opened(&mut link);
    link.relay_ended(Time::ZERO, relay, Failure::new(ErrorKind::Loop, "it has been here"));
    pass(&mut link, 0..2);
    assert_eq!(troubles(&mut link).len(), 1);
    assert!(link.stat().in_loop);
    link.far_wanted(Vec::new(), link.wishes.clone(), true).expect("it is one");
    assert_eq!(link.stat().sources, 0);
    pass(&mut link, 2..9);
    assert!(!link.stat().in_loop);
}

/// What the next skip says of those before it.
fn unconfirmed(link: &mut Link) -> Option<(u64, u64)> {
    std::iter::from_fn(|| link.pull(true)).find_map(|action| match action {
        Action::Skip { sequence, unconfirmed, .. } => Some((sequence, unconfirmed)),
        _ => None,
    })
}

/// The next relay, and the first number that it is opened for.
fn opened_for(link: &mut Link) -> (RelayId, u64) {
    let open = std::iter::from_fn(|| link.pull(true)).find_map(|action| match action {
        Action::Open { relay, reach, .. } => Some((relay, reach)),
        _ => None,
    });
    open.expect("it is opened")
}

#[test]
fn what_a_lost_broker_had_not_confirmed_is_told_as_unconfirmed_until_the_next_one_knows() {
    let (mut link, relay) = running();
    link.relay_state(relay, state(true, 1));
    give(&mut link, 7, "a", 4..=4);
    while link.pull(true).is_some() {}
    // Two to four were sent; five was not.
    link.far_up(FAR + 1);
    give(&mut link, 7, "a", 5..=5);
    let (relay, reach) = opened_for(&mut link);
    assert_eq!(reach, 2);
    link.relay_state(relay, RelayState { known: false, ..state(true, 1) });
    assert_eq!(unconfirmed(&mut link), Some((5, 3)));
    // That one is lost as well before anybody knows that it was told.
    link.far_up(FAR + 2);
    let (relay, reach) = opened_for(&mut link);
    assert_eq!(reach, 2);
    link.relay_state(relay, RelayState { known: false, ..state(true, 1) });
    assert_eq!(unconfirmed(&mut link), Some((5, 3)));
    link.relay_state(relay, state(true, 5));
    link.far_up(FAR + 3);
    give(&mut link, 7, "a", 6..=6);
    assert_eq!(opened_for(&mut link).1, 6);
}

#[test]
fn what_is_dropped_is_lost_and_not_unconfirmed() {
    let mut link = link(SpoolPolicy::DropOldest);
    give(&mut link, 7, "a", 1..=SPOOL_COUNT_MIN + 10);
    let (relay, _) = opened(&mut link);
    link.relay_state(relay, state(true, 0));
    assert_eq!((link.stat().dropped, unconfirmed(&mut link)), (10, Some((11, 0))));
}

#[test]
fn what_is_given_up_since_nobody_came_back_is_said_with_its_topics() {
    let mut link = link(SpoolPolicy::HoldBack);
    give(&mut link, 7, "a", 1..=2);
    give(&mut link, 8, "b", 1..=1);
    link.far_down(Time::ZERO);
    pass(&mut link, 0..301);
    let told = troubles(&mut link);
    assert!(told.iter().any(|(_, text)| text.contains("3 messages of `a`, `b`")), "{told:?}");
    assert_eq!(link.stat().abandoned, 3);
}
