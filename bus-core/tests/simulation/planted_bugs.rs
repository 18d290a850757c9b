//! The simulation catches what it is there for: each planted bug, by seeds that the ordinary run
//! passes without.

use bus_core::router::Fault;

use crate::broker::{Bug, Slip};
use crate::log::Log;
use crate::{SEEDS as PASSED, run};

/// Each bug must show within so many seeds.
const SEEDS: u64 = 24;

/// As above, where somebody must wait for as long as a lease lasts.
const PATIENT_SEEDS: u64 = 100;

const _: () = assert!(SEEDS <= PASSED && PATIENT_SEEDS <= PASSED);

/// Those that have caught a bug which others let pass. They are tried first: all that come before them in
/// order would show nothing. Where they show nothing any more the others still do.
const TELLING: &[u64] = &[0, 1, 7, 23, 87];

fn caught(bug: Bug, seeds: u64) -> Option<(u64, String)> {
    let telling = TELLING.iter().copied().filter(|seed| *seed < seeds);
    let others = (0..seeds).filter(|seed| !TELLING.contains(seed));
    let mut seeds = telling.chain(others);
    seeds.find_map(|seed| Some((seed, run(seed, Some(bug), &Log::default()).err()?)))
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
