//! The model catches what it is there for: each planted bug, by the cases that pass without one.

use bus_core::router::Fault;

use crate::{dice, queue_check, queue_steps};

/// Each bug must show within so many cases.
const CASES: u64 = 200;

fn verdict(seed: u64, fault: Option<Fault>) -> Result<(), String> {
    let steps = queue_steps::case(seed);
    dice::verdict(&steps, |steps| queue_check::check(steps, fault))
}

#[test]
fn every_planted_bug_is_caught() {
    for fault in Fault::ALL.iter().chain(Fault::OF_TIME) {
        let caught = (0..CASES).find(|seed| verdict(*seed, Some(*fault)).is_err());
        assert!(caught.is_some(), "{fault:?} was not caught by {CASES} cases");
    }
}

#[test]
fn the_same_cases_pass_without_a_bug() {
    for seed in 0..CASES {
        assert_eq!(verdict(seed, None), Ok(()), "seed {seed}");
    }
}
