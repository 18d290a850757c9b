//! Random operations on a lane and on its model.

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, TestRunner};

use super::world::{Step, World};
use crate::shm::fault::Fault;

/// Miri is a thousand times slower.
const CASES: u32 = if cfg!(miri) { 6 } else { 100 };
/// Within so many cases a planted bug is found.
const CASES_MAX: u32 = 2000;
const STEPS_MAX: usize = if cfg!(miri) { 60 } else { 300 };

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let length = || prop_oneof![3 => 0usize..80, 1 => Just(0), 1 => 0usize..1 << 16];
    let reader = || 0usize..4;
    let step = prop_oneof![
        8 => (length(), 1usize..4).prop_map(|(length, pieces)| Step::Commit { length, pieces }),
        4 => prop::collection::vec(length(), 0..6).prop_map(|lengths| Step::Batch { lengths }),
        4 => (reader(), 1usize..900).prop_map(|(reader, most)| Step::Read { reader, most }),
        3 => reader().prop_map(|reader| Step::CopyFrame { reader }),
        3 => (reader(), 0usize..9).prop_map(|(reader, most)| Step::Borrow { reader, most }),
        2 => (reader(), 0usize..9).prop_map(|(reader, most)| Step::ReadLossy { reader, most }),
        3 => reader().prop_map(|reader| Step::Wait { reader }),
        2 => length().prop_map(|length| Step::WaitForRoom { length }),
        1 => (12u32..14).prop_map(|capacity_log2| Step::RollOver { capacity_log2 }),
        1 => any::<bool>().prop_map(|lossy| Step::Join { lossy }),
        1 => reader().prop_map(|reader| Step::Dismiss { reader }),
    ];
    prop::collection::vec(step, 1..STEPS_MAX)
}

fn config() -> Config {
    Config { cases: CASES, failure_persistence: None, ..Config::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn lane_does_what_its_model_does(steps in steps()) {
        prop_assert_eq!(World::run(&steps, None), Ok(()));
    }
}

/// The same steps find each of these bugs, when it is planted.
#[test]
fn model_catches_what_is_planted() {
    for bug in [
        Fault::NextNotZeroed,
        Fault::SleepsWithoutLooking,
        Fault::WaitsWithoutLooking,
        Fault::BatchHoldsNothing,
        Fault::ForgetsBase,
    ] {
        let mut runner = TestRunner::deterministic();
        let caught = (0..CASES_MAX).find_map(|_| {
            let steps = steps().new_tree(&mut runner).expect("steps").current();
            // A check of the lane's own may be the one that catches it.
            let outcome = std::panic::catch_unwind(|| World::run(&steps, Some(bug)));
            outcome.unwrap_or_else(|_| Err("it has panicked".into())).err()
        });
        assert!(caught.is_some(), "{bug:?} is not caught");
    }
}
