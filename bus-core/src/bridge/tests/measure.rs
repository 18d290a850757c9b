//! How long it takes to give a link other routes: figures for people, not a test.

use std::time::Instant;

use super::reconfigure::link_of;
use super::*;

/// Routes whose patterns have nothing in common.
fn routes(count: usize, rest: &str, far: &str) -> Vec<Route> {
    let route = |number: usize| {
        let pattern = Pattern::new(&format!("site.r{number}.{rest}")).expect("a pattern");
        Route::new(&pattern, "", far).expect("a route")
    };
    (0..count).map(route).collect()
}

#[test]
#[ignore = "it measures"]
#[allow(clippy::disallowed_methods, reason = "the clock is what is measured with")]
fn other_routes_for_many_topics() {
    for (topics, count) in [(1_000, 100), (10_000, 10), (10_000, 100), (10_000, 1000)] {
        let begun = Instant::now();
        let config = LinkConfig::new(routes(count, ">", "")).expect("they differ");
        let checked = begun.elapsed();
        let mut link = link_of(config);
        for topic in 0..topics {
            let name = format!("site.r{}.t{topic}", topic % count);
            let message = Message::new(MessageType::ONE, vec![0; 40]);
            let stamp = stamp(topic as u64 + 1, &name, 1, &[]);
            link.received(Time::ZERO, topic % count, &stamp, message);
        }
        assert_eq!(link.stat().sources, topics as u64);
        let other = LinkConfig::new(routes(count, "*", "")).expect("they differ");
        let begun = Instant::now();
        assert_eq!(link.reconfigure(Time::ZERO, other).messages(), 0);
        let moved = begun.elapsed();
        let renamed = LinkConfig::new(routes(count, "*", "there")).expect("they differ");
        let begun = Instant::now();
        assert_eq!(link.reconfigure(Time::ZERO, renamed).messages(), topics as u64);
        let given_up = begun.elapsed();
        eprintln!(
            "{topics} topics, {count} routes: checked {checked:?}, moved {moved:?}, given up {given_up:?}"
        );
    }
}
