//! The simulation catches what it is there for: each planted bug, by seeds that the
//! ordinary run passes without.

use bus_core::router::Fault;

use crate::log::Log;
use crate::plan::Plan;
use crate::run;

/// Each bug must show within so many seeds.
const SEEDS: u64 = 60;

#[test]
fn every_planted_bug_is_caught() {
    for fault in Fault::OF_BRIDGES {
        let caught = (0..SEEDS).find_map(|seed| {
            Some((seed, run(&Plan::new(seed), Some(*fault), &Log::default()).err()?))
        });
        let (seed, text) = caught.unwrap_or_else(|| panic!("{fault:?} was not caught"));
        println!("{fault:?}: seed {seed}: {text}");
    }
}
