//! Numbers that stand for other numbers, as runs: where neighbours stand for neighbours they are
//! kept as one.
//!
//! It says nothing of what they number. Invariant: no number is in two runs, and no run is empty.

use std::collections::BTreeMap;

/// Numbers of `A`s, each with a number of a `B`.
#[derive(Clone, Debug)]
pub(crate) struct Runs<A, B> {
    /// Under whose the first is, and its number.
    runs: BTreeMap<(A, u64), (B, u64, u64)>,
}

/// Numbers that follow each other, and stand for such.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run<A, B> {
    pub of: A,
    pub first: u64,
    pub to: B,
    /// What the first one stands for.
    pub at: u64,
    pub count: u64,
}

impl<A, B> Default for Runs<A, B> {
    fn default() -> Self {
        Runs { runs: BTreeMap::new() }
    }
}

impl<A: Copy + Ord, B: Copy + PartialEq> Runs<A, B> {
    /// Adds numbers. What is there already stays what it is.
    pub fn insert(&mut self, run: Run<A, B>) {
        let Run { of, first, to, at, count } = run;
        if count == 0 {
            return;
        }
        let end = first.saturating_add(count);
        match self.runs.range_mut((of, 0)..(of, end)).next_back() {
            Some(((_, start), (_, _, length))) if *start + *length > first => self.fill(run),
            Some(((_, start), (there, begin, length)))
                if *start + *length == first && (*there, *begin + *length) == (to, at) =>
            {
                *length += count;
            }
            _ => drop(self.runs.insert((of, first), (to, at, count))),
        }
    }

    /// Adds those numbers of a run that are not there.
    fn fill(&mut self, run: Run<A, B>) {
        let (mut next, end) = (run.first, run.first.saturating_add(run.count));
        let last = Run { first: end, count: 0, ..run };
        for there in self.among(run.of, run.first, run.count).into_iter().chain([last]) {
            let (at, count) = (run.at + (next - run.first), there.first - next);
            self.insert(Run { first: next, at, count, ..run });
            next = there.first + there.count;
        }
    }

    /// Takes those out that are there of so many numbers from this one on, in their order.
    pub fn take(&mut self, of: A, first: u64, count: u64) -> Vec<Run<A, B>> {
        let taken = self.among(of, first, count);
        for Run { first: from, count, .. } in &taken {
            let until = from + count;
            let Some(Run { first: start, to, at, count: length, .. }) = self.last_before(of, until)
            else {
                continue;
            };
            self.runs.remove(&(of, start));
            if start < *from {
                self.runs.insert((of, start), (to, at, from - start));
            }
            if until < start + length {
                let rest = (to, at + (until - start), start + length - until);
                self.runs.insert((of, until), rest);
            }
        }
        taken
    }

    /// Those that are there of so many numbers from this one on, in their order.
    pub fn among(&self, of: A, first: u64, count: u64) -> Vec<Run<A, B>> {
        let end = first.saturating_add(count);
        let earlier = self.runs.range((of, 0)..(of, first)).next_back();
        let within = self.runs.range((of, first)..(of, end.max(first)));
        let part = |((_, start), (to, at, length)): (&(A, u64), &(B, u64, u64))| {
            let (from, until) = ((*start).max(first), (start + length).min(end));
            let run = Run { of, first: from, to: *to, at: at + (from - start), count: 0 };
            (from < until).then(|| Run { count: until - from, ..run })
        };
        earlier.into_iter().chain(within).filter_map(part).collect()
    }

    /// What a number stands for.
    pub fn get(&self, of: A, number: u64) -> Option<(B, u64)> {
        let ((_, start), (to, at, length)) = self.runs.range((of, 0)..=(of, number)).next_back()?;
        (number - start < *length).then_some((*to, at + (number - start)))
    }

    /// Whether any of so many numbers from this one on is there.
    pub fn has_any(&self, of: A, first: u64, count: u64) -> bool {
        let last = self.last_before(of, first.saturating_add(count));
        count > 0 && last.is_some_and(|run| run.first + run.count > first)
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = Run<A, B>> {
        let run = |(key, value): (&(A, u64), &(B, u64, u64))| {
            let ((of, first), (to, at, count)) = (*key, *value);
            Run { of, first, to, at, count }
        };
        self.runs.iter().map(run)
    }

    /// Lets all go.
    pub fn clear(&mut self) {
        self.runs.clear();
    }

    /// Keeps those that stand for something of these.
    pub fn retain(&mut self, keeps: impl Fn(&B) -> bool) {
        self.runs.retain(|_, (to, ..)| keeps(to));
    }

    /// The last run that begins before a number.
    fn last_before(&self, of: A, end: u64) -> Option<Run<A, B>> {
        let ((_, first), (to, at, count)) = self.runs.range((of, 0)..(of, end)).next_back()?;
        Some(Run { of, first: *first, to: *to, at: *at, count: *count })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Plain = BTreeMap<(u8, u64), (u8, u64)>;

    /// Each number by itself.
    fn one_by_one(runs: impl Iterator<Item = Run<u8, u8>>) -> Vec<((u8, u64), (u8, u64))> {
        let each = |run: Run<u8, u8>| {
            (0..run.count).map(move |n| ((run.of, run.first + n), (run.to, run.at + n)))
        };
        runs.flat_map(each).collect()
    }

    #[test]
    fn neighbours_are_one_run() {
        let mut runs = Runs::default();
        for first in [1, 2, 3, 7, 8] {
            runs.insert(Run { of: 0u8, first, to: 0u8, at: first + 10, count: 1 });
        }
        runs.insert(Run { of: 0, first: 9, to: 1, at: 19, count: 1 });
        assert_eq!(runs.iter().map(|run| run.count).collect::<Vec<_>>(), [3, 2, 1]);
    }

    proptest! {
        /// Whatever is added, looked for and taken out, they are as a plain map.
        #[test]
        fn runs_are_as_a_plain_map(
            steps in prop::collection::vec((any::<bool>(), 0u8..2, 0u64..60, 0u64..9, 0u64..3), 1..80),
        ) {
            let (mut runs, mut plain) = (Runs::default(), Plain::new());
            for (adds, of, first, count, shift) in steps {
                let there: Vec<_> = (first..first + count)
                    .filter_map(|number| Some(((of, number), *plain.get(&(of, number))?)))
                    .collect();
                prop_assert_eq!(runs.has_any(of, first, count), !there.is_empty());
                if adds {
                    let (to, at) = (1 - of, first + 100 * shift);
                    runs.insert(Run { of, first, to, at, count });
                    for n in 0..count {
                        plain.entry((of, first + n)).or_insert((to, at + n));
                    }
                } else {
                    let taken = runs.take(of, first, count);
                    prop_assert_eq!(one_by_one(taken.into_iter()), there);
                    plain.retain(|(whose, number), _| {
                        *whose != of || !(first..first + count).contains(number)
                    });
                }
                prop_assert_eq!(runs.get(of, first), plain.get(&(of, first)).copied());
                let all: Vec<_> = plain.iter().map(|(key, value)| (*key, *value)).collect();
                prop_assert_eq!(one_by_one(runs.iter()), all);
            }
        }
    }
}
