//! A small deterministic generator, and the runner that all model tests share.
//!
//! The same seed gives the same case on every machine. A case is a list of steps, and every
//! sublist of a case is a case too; so a failing one is cut down before it is shown.

use std::fmt::Debug;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// A source of numbers (splitmix64).
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// Numbers that depend on the seed alone.
    pub fn new(seed: u64) -> Dice {
        Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d)
    }

    /// Any number.
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `limit`, which is not 0.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.roll() % limit
    }

    /// Whether something happens that happens so often in a hundred.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// One of a table of weights and values.
    pub fn weighted<T: Copy>(&mut self, table: &[(u64, T)]) -> T {
        let total = table.iter().map(|(weight, _)| weight).sum();
        let mut left = self.below(total);
        for (weight, value) in table {
            if left < *weight {
                return *value;
            }
            left -= weight;
        }
        table[0].1
    }
}

/// Runs a case; a panic of the router is a failure like any other.
pub fn verdict<Step>(
    case: &[Step],
    check: impl Fn(&[Step]) -> Result<(), String>,
) -> Result<(), String> {
    catch_unwind(AssertUnwindSafe(|| check(case))).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Err(format!("panic: {}", text.unwrap_or_default()))
    })
}

/// Runs the cases of these seeds; shows the first that fails, cut down, and its seed.
pub fn run<Step: Clone + Debug>(
    seeds: impl IntoIterator<Item = u64>,
    make: impl Fn(u64) -> Vec<Step>,
    check: impl Fn(&[Step]) -> Result<(), String>,
) {
    for seed in seeds {
        let case = make(seed);
        if let Err(text) = verdict(&case, &check) {
            let (short, last) = shrink(case, &check);
            let steps: Vec<String> = short.iter().map(|step| format!("  {step:?}")).collect();
            panic!("seed {seed}: {text}\ncut down to:\n{}\n{last}", steps.join("\n"));
        }
    }
}

/// Leaves steps out as long as what is left still fails.
fn shrink<Step: Clone>(
    mut case: Vec<Step>,
    check: impl Fn(&[Step]) -> Result<(), String>,
) -> (Vec<Step>, String) {
    let mut last = String::new();
    let mut chunk = case.len().div_ceil(2);
    while chunk > 0 {
        let mut at = 0;
        while at < case.len() {
            let mut shorter = case.clone();
            shorter.drain(at..(at + chunk).min(case.len()));
            match verdict(&shorter, &check) {
                Err(text) => (case, last) = (shorter, text),
                Ok(()) => at += chunk,
            }
        }
        chunk = if chunk == 1 { 0 } else { chunk.div_ceil(2) };
    }
    (case, last)
}

#[test]
fn a_failing_case_is_cut_down_to_what_fails() {
    let check = |case: &[u64]| match case.contains(&7) && case.contains(&3) {
        true => Err("both".to_owned()),
        false => Ok(()),
    };
    let (short, text) = shrink((0..50).collect(), check);
    assert_eq!((short, text.as_str()), (vec![3, 7], "both"));
}
