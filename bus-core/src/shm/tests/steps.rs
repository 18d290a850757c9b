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
        3 => reader().prop_map(|reader| Step::Show { reader }),
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

const BUGS: [Fault; 5] = [
    Fault::NextNotZeroed,
    Fault::SleepsWithoutLooking,
    Fault::WaitsWithoutLooking,
    Fault::BatchHoldsNothing,
    Fault::ForgetsBase,
];

/// What is wrong with a lane in which this bug is planted, if these steps show it.
fn caught(steps: &[Step], bug: Fault) -> Option<String> {
    // A check of the lane's own may be the one that catches it.
    let outcome = std::panic::catch_unwind(|| World::run(steps, Some(bug)));
    outcome.unwrap_or_else(|_| Err("it has panicked".into())).err()
}

/// The same steps find each of these bugs, when it is planted.
#[test]
#[cfg_attr(miri, ignore = "it takes a quarter of an hour: the few steps below show the same")]
fn model_catches_what_is_planted() {
    for bug in BUGS {
        let mut runner = TestRunner::deterministic();
        let caught = (0..CASES_MAX).find_map(|_| {
            let steps = steps().new_tree(&mut runner).expect("steps").current();
            caught(&steps, bug)
        });
        assert!(caught.is_some(), "{bug:?} is not caught");
    }
}

/// Few enough for an interpreter: a lap is ten frames long.
fn few_steps(bug: Fault) -> Vec<Step> {
    let commits = |count| vec![Step::Commit { length: 400, pieces: 2 }; count];
    let read = || Step::Read { reader: 0, most: 900 };
    match bug {
        // A frame that ends where the last lap has left bytes that look like a word.
        Fault::NextNotZeroed => {
            [commits(10), vec![read(); 5], vec![Step::Commit { length: 100, pieces: 1 }, read()]]
                .concat()
        }
        Fault::SleepsWithoutLooking => [commits(1), vec![Step::Wait { reader: 0 }]].concat(),
        // It found the ring full before a part of it was read.
        Fault::WaitsWithoutLooking => {
            [commits(11), vec![read(), Step::WaitForRoom { length: 400 }]].concat()
        }
        Fault::BatchHoldsNothing => vec![Step::Batch { lengths: vec![8, 0] }],
        // Much of the older lane is unread, and all of the new one is free.
        Fault::ForgetsBase => {
            [commits(8), vec![Step::RollOver { capacity_log2: 12 }], commits(4)].concat()
        }
        other => panic!("there are no steps for {other:?}"),
    }
}

#[test]
fn few_steps_show_the_bug_that_they_are_for_and_no_other() {
    for bug in BUGS {
        let steps = few_steps(bug);
        assert_eq!(World::run(&steps, None), Ok(()), "the steps for {bug:?}");
        for other in BUGS {
            let caught = caught(&steps, other);
            assert_eq!(
                caught.is_some(),
                other == bug,
                "{other:?} by those for {bug:?}: {caught:?}"
            );
        }
    }
}
