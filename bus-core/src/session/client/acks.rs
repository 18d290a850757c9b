//! Acknowledgements that the broker has not answered, as runs of neighbouring leases.
//!
//! They are numbered in the order in which they were given. Those of one queue are answered in
//! that order too; those of a queue that lives at another broker later than what follows them, so
//! an answer is told by its lease. Invariant: runs are in the order of their numbers, and no lease
//! is in two of them.

use std::collections::VecDeque;
use std::ops::RangeInclusive;

use crate::router::Lease;

/// The acknowledgements.
#[derive(Debug, Default)]
pub(super) struct Acks {
    runs: VecDeque<Run>,
    /// How many were given in all.
    given: u64,
}

#[derive(Clone, Copy, Debug)]
struct Run {
    number: u64,
    first: Lease,
    count: u64,
}

impl Acks {
    /// A lease was acknowledged: its number.
    #[inline]
    pub fn give(&mut self, lease: Lease) -> u64 {
        self.given += 1;
        match self.runs.back_mut() {
            Some(run) if run.first + run.count == lease && run.number + run.count == self.given => {
                run.count += 1;
            }
            _ => self.runs.push_back(Run { number: self.given, first: lease, count: 1 }),
        }
        self.given
    }

    /// Leases were answered, from this one on. The count is a peer's word: the cost goes by the
    /// runs that are there.
    pub fn answer(&mut self, first: Lease, count: u64) {
        let (end, mut left, mut at) = (first.saturating_add(count), count, 0);
        while left > 0
            && let Some(run) = self.runs.get(at).copied()
        {
            let (from, until) = (run.first.max(first), (run.first + run.count).min(end));
            at += 1;
            if from >= until {
                continue;
            }
            let before = self.runs.len();
            self.take_out(at - 1, from - run.first, until - from);
            left -= until - from;
            if self.runs.len() < before {
                // The next one has moved up.
                at -= 1;
            }
        }
    }

    /// The number under which this lease was acknowledged, if that is not answered.
    pub fn number_of(&self, lease: Lease) -> Option<u64> {
        let run =
            self.runs.iter().find(|run| (run.first..run.first + run.count).contains(&lease))?;
        Some(run.number + (lease - run.first))
    }

    /// All up to this number are answered.
    pub fn answered(&self) -> u64 {
        self.runs.front().map_or(self.given, |run| run.number - 1)
    }

    /// Whether this one is.
    pub fn is_answered(&self, number: u64) -> bool {
        let behind = self.runs.partition_point(|run| run.number <= number);
        let run = behind.checked_sub(1).and_then(|at| self.runs.get(at));
        number <= self.given && run.is_none_or(|run| number >= run.number + run.count)
    }

    /// The numbers of those that are not answered.
    pub fn unanswered(&self) -> Vec<RangeInclusive<u64>> {
        self.runs.iter().map(|run| run.number..=run.number + run.count - 1).collect()
    }

    /// Takes so many out of a run, behind the first `skip` of it.
    fn take_out(&mut self, at: usize, skip: u64, count: u64) {
        let Some(run) = self.runs.get_mut(at) else { return };
        let behind = skip + count;
        let rest = Run {
            number: run.number + behind,
            first: run.first + behind,
            count: run.count - behind,
        };
        match (skip, rest.count) {
            (0, 0) => drop(self.runs.remove(at)),
            (0, _) => *run = rest,
            (_, 0) => run.count = skip,
            _ => {
                run.count = skip;
                self.runs.insert(at + 1, rest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_answer_that_names_more_than_was_given_costs_by_what_is_there() {
        let mut acks = Acks::default();
        for lease in [7, 3, 4, 900] {
            acks.give(lease);
        }
        acks.answer(4, u64::MAX);
        assert_eq!(acks.unanswered(), [2..=2]);
        acks.answer(0, u64::MAX);
        assert_eq!(acks.answered(), 4);
    }

    proptest! {
        /// Answers in whatever order, against a plain list of what is not answered.
        #[test]
        fn answers_are_told_by_their_leases(
            steps in prop::collection::vec((any::<bool>(), 0u64..40, 1u64..6), 1..80),
        ) {
            let (mut acks, mut open, mut free) = (Acks::default(), Vec::new(), 1u64);
            for (gives, at, count) in steps {
                if gives {
                    free += at % 3;
                    let number = acks.give(free);
                    open.push((number, free));
                    free += 1;
                } else {
                    acks.answer(at, count);
                    open.retain(|(_, lease)| !(at..at + count).contains(lease));
                }
                for number in 1..=acks.given {
                    let is_open = open.iter().any(|(other, _)| *other == number);
                    prop_assert_eq!(acks.is_answered(number), !is_open);
                }
                let all = open.first().map_or(acks.given, |(number, _)| number - 1);
                prop_assert_eq!(acks.answered(), all);
                let found: Vec<u64> = acks.unanswered().into_iter().flatten().collect();
                prop_assert_eq!(found, open.iter().map(|(number, _)| *number).collect::<Vec<_>>());
                for (number, lease) in &open {
                    prop_assert_eq!(acks.number_of(*lease), Some(*number));
                }
            }
        }
    }
}
