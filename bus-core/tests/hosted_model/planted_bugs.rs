//! The tests catch what they are there for: each planted bug, by cases that pass without one.

use bus_core::router::Fault;

use crate::{dice, same, storm};

/// Each bug must show within so many cases.
const CASES: u64 = 40;

fn caught(fault: Fault) -> bool {
    let shows = |seed| {
        let (case, storm) = (same::case(seed), storm::case(seed));
        dice::verdict(&case, |steps| same::check(steps, Some(fault))).is_err()
            || dice::verdict(&storm, |steps| storm::check(steps, Some(fault))).is_err()
    };
    (0..CASES).any(shows)
}

#[test]
fn every_planted_bug_is_caught() {
    for fault in Fault::OF_HOSTING.iter().chain(Fault::OF_HOSTED_BATCHES) {
        assert!(caught(*fault), "{fault:?} was not caught by {CASES} cases");
    }
}
