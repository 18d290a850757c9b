//! The simulation catches what it is there for: each planted bug, by seeds that pass without.

use bus_core::router::Fault;

use crate::broker::{Bug, Slip};
use crate::log::Log;
use crate::run;

/// Each bug must show within so many seeds.
const SEEDS: u64 = 24;

fn caught(bug: Bug) -> Option<(u64, String)> {
    (0..SEEDS).find_map(|seed| Some((seed, run(seed, Some(bug), &Log::default()).err()?)))
}

#[test]
fn every_fault_of_the_router_is_caught() {
    for fault in Fault::ALL {
        for bug in [Bug::Router(*fault), Bug::Unlisted(*fault)] {
            let (seed, text) = caught(bug).unwrap_or_else(|| panic!("{bug:?} was not caught"));
            println!("{bug:?}: seed {seed}: {text}");
        }
    }
}

#[test]
fn every_slip_of_the_shell_is_caught() {
    for slip in Slip::ALL {
        let caught = caught(Bug::Shell(*slip));
        let (seed, text) = caught.unwrap_or_else(|| panic!("{slip:?} was not caught"));
        println!("{slip:?}: seed {seed}: {text}");
    }
}

#[test]
fn the_same_seeds_pass_without_a_bug() {
    for seed in 0..SEEDS {
        assert_eq!(run(seed, None, &Log::default()), Ok(()), "seed {seed}");
    }
}
