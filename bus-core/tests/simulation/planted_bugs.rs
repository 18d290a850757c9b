//! The simulation catches what it is there for: each planted bug, by seeds that pass without.

use bus_core::router::Fault;

use crate::broker::{Bug, Slip};
use crate::log::Log;
use crate::run;

/// Each bug must show within so many seeds.
const SEEDS: u64 = 24;

/// As above, where somebody must wait for as long as a lease lasts.
const PATIENT_SEEDS: u64 = 120;

fn caught(bug: Bug, seeds: u64) -> Option<(u64, String)> {
    (0..seeds).find_map(|seed| Some((seed, run(seed, Some(bug), &Log::default()).err()?)))
}

#[test]
fn every_fault_of_the_router_is_caught() {
    for fault in Fault::ALL {
        for bug in [Bug::Router(*fault), Bug::Unlisted(*fault)] {
            let (seed, text) =
                caught(bug, SEEDS).unwrap_or_else(|| panic!("{bug:?} was not caught"));
            println!("{bug:?}: seed {seed}: {text}");
        }
    }
}

#[test]
fn faults_that_need_time_to_show_are_caught_by_more_seeds() {
    for bug in Fault::OF_TIME.iter().map(|fault| Bug::Router(*fault)) {
        let (seed, text) = caught(bug, PATIENT_SEEDS).expect("it is caught");
        println!("{bug:?}: seed {seed}: {text}");
    }
}

#[test]
fn every_slip_of_the_shell_is_caught() {
    for slip in Slip::ALL {
        let caught = caught(Bug::Shell(*slip), SEEDS);
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
