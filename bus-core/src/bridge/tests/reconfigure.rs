//! A link that is given other settings: what it keeps, what it gives up, and how one subscription
//! takes over from another.

use std::collections::BTreeSet;

use super::*;
use crate::error::Failure;

const LOOK: Duration = Duration::from_secs(1);

/// Routes for these, each with what the topics are called there.
fn routes(all: &[(&str, &str)]) -> LinkConfig {
    let route = |(text, far): &(&str, &str)| {
        let pattern = Pattern::new(text).expect("a pattern");
        Route::new(&pattern, "", far).expect("a route")
    };
    LinkConfig::new(all.iter().map(route).collect()).expect("they differ")
}

/// A link that is up on both sides, with everything wanted, and has said so.
pub(super) fn link_of(config: LinkConfig) -> Link {
    let mut link = Link::new(config, "near");
    link.near_up(NEAR);
    link.far_up(FAR);
    let pattern = Pattern::new(">").expect("a pattern");
    let all = Interest { pattern, path: vec![FAR] };
    link.far_wanted(vec![all], Vec::new(), true).expect("it is one");
    near(&mut link);
    link
}

/// What the near broker is asked, in short.
fn near(link: &mut Link) -> Vec<String> {
    let mut asked = Vec::new();
    while let Some(action) = link.pull(false) {
        match action {
            Action::Subscribe { route, pattern, .. } => asked.push(format!("{route}: {pattern}")),
            Action::Unsubscribe { route } => asked.push(format!("{route} ends")),
            Action::Open { .. } | Action::Consumed { .. } | Action::Close { .. } => {}
            other => asked.push(format!("{other:?}")),
        }
    }
    asked
}

fn bring(link: &mut Link, route: usize, topic: &str, sequences: impl Iterator<Item = u64>) {
    // The near broker has a number of its own for each source.
    let key = if topic == "a.new" { 8 } else { 7 };
    for sequence in sequences {
        let message = Message::new(MessageType::ONE, vec![0; 40]);
        link.received(Time::ZERO, route, &stamp(key, topic, sequence, &[]), message);
    }
}

/// The far broker comes back, and takes what there is of one source.
fn taken(link: &mut Link) -> Vec<String> {
    link.far_resumed();
    let mut open = Vec::new();
    while let Some(action) = link.pull(false) {
        match action {
            Action::Open { relay, .. } => open.push(relay),
            Action::Close { relay } => open.retain(|open| *open != relay),
            _ => {}
        }
    }
    open.into_iter().for_each(|relay| link.relay_state(relay, state(true, 0)));
    sent(link)
}

#[test]
fn what_is_kept_stays_when_bounds_and_policy_change() {
    let all = || routes(&[("a.>", ""), ("b.>", "")]);
    let mut kept = Vec::new();
    for (config, anew) in [
        (all().spool(1 << 10, 1, 1 << 12), false),
        (all().policy(SpoolPolicy::DropOldest), true),
        (all().policy(SpoolPolicy::Refuse), true),
        (routes(&[("c.>", ""), ("b.>", ""), ("a.>", "")]), true),
        (routes(&[(">", "")]), true),
        (routes(&[("a.x", "")]), true),
    ] {
        let mut link = link_of(all());
        link.far_down(Time::ZERO);
        bring(&mut link, 0, "a.x", 1..=3);
        assert_eq!(link.reconfigure(Time::ZERO, config).messages(), 0);
        assert_eq!(!near(&mut link).is_empty(), anew);
        assert_eq!(link.stat().spooled, 3);
        kept.push(taken(&mut link));
    }
    let all_three = ["skip 1 false", "1 on 1", "2 on 1", "3 on 1"];
    assert!(kept.iter().all(|sent| *sent == all_three), "{kept:?}");
    // A link that begins anew instead has nothing of it: that is what would be lost.
    let mut anew = link_of(all());
    anew.far_resumed();
    assert_eq!(sent(&mut anew), [""; 0]);
}

#[test]
fn routes_that_stay_are_not_touched_wherever_they_stand() {
    let mut link = link_of(routes(&[("a.>", ""), ("b.>", ""), ("c", "")]));
    bring(&mut link, 1, "b.x", 1..=2);
    let (relay, _) = opened(&mut link);
    link.relay_state(relay, state(true, 0));
    assert_eq!(sent(&mut link).len(), 3);
    assert_eq!(
        link.reconfigure(Time::ZERO, routes(&[("d", ""), ("c", ""), ("b.>", "")])).messages(),
        0
    );
    assert_eq!(near(&mut link), ["0 ends", "3: d"]);
    // The source goes on with its relay and its marks.
    bring(&mut link, 1, "b.x", 3..=3);
    assert_eq!(sent(&mut link), ["3 on 1"]);
    // The number that has become free is given away again.
    link.reconfigure(Time::ZERO, routes(&[("d", ""), ("c", ""), ("b.>", ""), ("a.>", "")]));
    assert_eq!(near(&mut link), ["0: a.>"]);
    bring(&mut link, 0, "a.x", 1..=1);
    assert_eq!(opened(&mut link).1, "a.x");
}

#[test]
fn what_has_no_route_any_more_is_given_up_and_counted() {
    for (config, rest) in [
        (routes(&[("b.>", "")]), "0 ends"),
        // Called otherwise there, it is another topic.
        (routes(&[("a.>", "far"), ("b.>", "")]), ""),
    ] {
        let mut link = link_of(routes(&[("a.>", ""), ("b.>", "")]));
        link.far_down(Time::ZERO);
        bring(&mut link, 0, "a.x", 1..=3);
        bring(&mut link, 1, "b.x", 1..=2);
        assert_eq!(link.reconfigure(Time::ZERO, config).messages(), 3);
        let stat = link.stat();
        assert_eq!((stat.abandoned, stat.spooled, stat.sources), (3, 2, 1));
        let asked = near(&mut link);
        assert!(rest.is_empty() || asked == [rest], "{asked:?}");
        assert_eq!(taken(&mut link), ["skip 1 false", "1 on 2", "2 on 2"]);
    }
}

#[test]
fn one_subscription_takes_over_from_another_without_a_gap_or_a_repetition() {
    let mut link = link_of(routes(&[("a.>", "")]));
    bring(&mut link, 0, "a.x", 1..=3);
    let (relay, _) = opened(&mut link);
    link.relay_state(relay, state(true, 0));
    sent(&mut link);
    link.reconfigure(Time::ZERO, routes(&[(">", "")]));
    assert_eq!(near(&mut link), ["1: >"]);
    // The old one still owes two of those that came before.
    bring(&mut link, 1, "a.x", 6..=7);
    assert_eq!(sent(&mut link), [""; 0]);
    bring(&mut link, 0, "a.x", 4..=7);
    bring(&mut link, 1, "a.x", 7..=8);
    bring(&mut link, 0, "a.x", 8..=8);
    let all: Vec<String> = (4..=8).map(|number| format!("{number} on 1")).collect();
    assert_eq!(sent(&mut link), all);
    // It stays until the new one is confirmed, and for a while after that.
    let mut now = Time::ZERO;
    let mut look = |link: &mut Link| {
        now = now.after(LOOK);
        link.advance(now);
        near(link)
    };
    (0..5).for_each(|_| assert_eq!(look(&mut link), [""; 0]));
    link.subscribed(1);
    assert_eq!(look(&mut link), [""; 0]);
    let ends = [look(&mut link), look(&mut link)].concat();
    assert_eq!(ends, ["0 ends"]);
    assert_eq!(link.stat().missed, 0);
    // From then on a gap is one.
    bring(&mut link, 1, "a.x", 11..=11);
    assert_eq!(sent(&mut link), ["skip 11 true", "11 on 1"]);
    assert_eq!(link.stat().missed, 2);
}

/// On which routes `a.x` is held back, after what the link says now.
fn holds(link: &mut Link, held: &mut BTreeSet<usize>) {
    while let Some(action) = link.pull(false) {
        match action {
            Action::Hold { route, topic, hold } => {
                assert_eq!(topic.as_str(), "a.x");
                if hold {
                    held.insert(route)
                } else {
                    held.remove(&route)
                };
            }
            Action::Unsubscribe { route } => drop(held.remove(&route)),
            _ => {}
        }
    }
}

#[test]
fn a_topic_that_is_held_back_is_so_on_each_route_that_brings_it() {
    let small = |text: &str| routes(&[(text, "")]).spool(1 << 20, SPOOL_COUNT_MIN, 4 << 20);
    let mut link = link_of(small("a.>").reading(16_384, 0));
    let mut held = BTreeSet::new();
    link.far_down(Time::ZERO);
    bring(&mut link, 0, "a.x", 1..=SPOOL_COUNT_MIN + 1);
    holds(&mut link, &mut held);
    assert_eq!(held, [0].into());
    for (route, text) in [(1, ">"), (2, "a.>")] {
        link.reconfigure(Time::ZERO, small(text).reading(16_384, 0));
        holds(&mut link, &mut held);
        assert_eq!(held, (0..=route).collect());
    }
    // What a route that leaves was still to bring is kept; when there is room, the topic goes on.
    bring(&mut link, 0, "a.x", SPOOL_COUNT_MIN + 2..=SPOOL_COUNT_MIN + 100);
    link.far_resumed();
    let (relay, _) = opened(&mut link);
    link.relay_state(relay, state(true, SPOOL_COUNT_MIN + 100));
    holds(&mut link, &mut held);
    assert_eq!(held, [].into());
    assert_eq!(link.stat().missed, 0);
}

#[test]
fn a_topic_that_was_held_back_on_the_way_to_a_policy_that_drops_goes_on() {
    let small = |policy| {
        let config = routes(&[("a.>", "")]).spool(1 << 20, SPOOL_COUNT_MIN, 4 << 20);
        config.reading(16_384, 0).policy(policy)
    };
    let mut link = link_of(small(SpoolPolicy::HoldBack));
    let mut held = BTreeSet::new();
    link.far_down(Time::ZERO);
    bring(&mut link, 0, "a.x", 1..=SPOOL_COUNT_MIN + 1);
    holds(&mut link, &mut held);
    link.reconfigure(Time::ZERO, small(SpoolPolicy::DropOldest));
    holds(&mut link, &mut held);
    assert_eq!(held, [].into());
    link.reconfigure(Time::ZERO, small(SpoolPolicy::HoldBack));
    holds(&mut link, &mut held);
    assert_eq!(held, [0, 2].into(), "the one between cannot hold anything back");
}

#[test]
fn another_session_at_the_near_broker_begins_with_the_new_routes_alone() {
    let mut link = link_of(routes(&[("a.>", "")]));
    bring(&mut link, 0, "a.x", 1..=3);
    link.reconfigure(Time::ZERO, routes(&[("a.x", "")]));
    link.near_up(NEAR);
    assert_eq!(near(&mut link), ["1: a.x"]);
    assert_eq!(link.stat().spooled, 3);
}

#[test]
fn a_far_broker_that_was_given_up_is_not_read_for_by_new_routes() {
    let mut link = link_of(routes(&[("a.>", "")]).linger(Duration::from_secs(5)));
    link.far_down(Time::ZERO);
    link.advance(Time::ZERO.after(Duration::from_secs(5)));
    assert_eq!(near(&mut link), ["0 ends"]);
    link.reconfigure(Time::ZERO, routes(&[("a.>", ""), ("b.>", "")]));
    assert_eq!(near(&mut link), [""; 0]);
    link.far_resumed();
    assert_eq!(near(&mut link), ["0: a.>", "1: b.>"]);
}

/// A link in which one route leaves and another one is there in its place, and time goes on.
fn handing_over() -> (Link, impl FnMut(&mut Link) -> Vec<String>) {
    let mut link = link_of(routes(&[("a.>", "")]));
    bring(&mut link, 0, "a.x", 1..=10);
    link.reconfigure(Time::ZERO, routes(&[(">", "")]));
    link.subscribed(1);
    near(&mut link);
    let mut now = Time::ZERO;
    let look = move |link: &mut Link| {
        now = now.after(LOOK);
        link.advance(now);
        near(link)
    };
    (link, look)
}

#[test]
fn a_route_that_brings_what_nobody_else_has_stays_until_it_rests() {
    let (mut link, mut look) = handing_over();
    for step in 1..20 {
        bring(&mut link, 0, "a.x", 10 * step + 1..=10 * step + 10);
        assert_eq!(look(&mut link), [""; 0]);
    }
    let ends: Vec<_> = (0..3).flat_map(|_| look(&mut link)).collect();
    assert_eq!(ends, ["0 ends"]);
}

#[test]
fn a_route_that_brings_what_the_other_one_has_as_well_goes_while_all_flow() {
    let (mut link, mut look) = handing_over();
    let mut ended = Vec::new();
    for step in 1..=6 {
        for route in [0, 1] {
            bring(&mut link, route, "a.x", 10 * step + 1..=10 * step + 10);
        }
        ended.extend(look(&mut link));
    }
    assert_eq!(ended, ["0 ends"]);
    assert_eq!((link.stat().missed, link.stat().spooled), (0, 70));
}

#[test]
fn what_comes_first_of_a_publisher_is_left_to_the_route_that_has_what_was_before() {
    let (mut link, _) = handing_over();
    bring(&mut link, 1, "a.new", 11..=12);
    bring(&mut link, 0, "a.new", 1..=12);
    assert_eq!((link.stat().missed, link.stat().spooled), (0, 22));
}

#[test]
fn nothing_is_left_to_a_route_that_has_ended() {
    let (mut link, _) = handing_over();
    let slow = Failure::new(ErrorKind::TooSlow, "held for too long");
    link.subscription_ended(Time::ZERO, 0, slow);
    bring(&mut link, 1, "a.x", 13..=14);
    assert_eq!((link.stat().missed, link.stat().spooled), (2, 12));
}

#[test]
fn no_route_leaves_while_the_near_broker_cannot_be_reached() {
    let (mut link, mut look) = handing_over();
    link.near_down();
    (0..80).for_each(|_| assert_eq!(look(&mut link), [""; 0]));
    link.near_resumed();
    assert_eq!(look(&mut link), [""; 0]);
    bring(&mut link, 0, "a.x", 11..=20);
    assert_eq!(look(&mut link), [""; 0]);
    assert_eq!([look(&mut link), look(&mut link)].concat(), ["0 ends"]);
}

#[test]
fn settings_that_change_quickly_lose_nothing_that_the_first_route_owes() {
    let mut link = link_of(routes(&[("a.>", "")]));
    bring(&mut link, 0, "a.x", 1..=10);
    for route in 1..=12 {
        let text = if route % 2 == 0 { "a.>" } else { ">" };
        link.reconfigure(Time::ZERO, routes(&[(text, "")]));
        link.subscribed(route);
        near(&mut link);
        // Each begins behind what those before it still have.
        let at = 10 * route as u64;
        bring(&mut link, route, "a.x", at + 6..=at + 10);
    }
    bring(&mut link, 0, "a.x", 11..=130);
    assert_eq!((link.stat().missed, link.stat().spooled), (0, 130));
}
