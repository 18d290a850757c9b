//! Deliveries that the application has not been handed yet, oldest first, as ranges of leases.

use std::collections::VecDeque;

use super::command::Lease;

/// Leases in a row: the first one, and how many there are, at least one.
pub(crate) type Range = (Lease, u64);

/// The deliveries.
#[derive(Debug, Default)]
pub(crate) struct Untaken {
    ranges: VecDeque<Range>,
}

impl Untaken {
    /// Adds leases that were given just now.
    pub fn push(&mut self, first: Lease, count: u64) {
        match self.ranges.back_mut() {
            Some((last, length)) if *last + *length == first => *length += count,
            _ => self.ranges.push_back((first, count)),
        }
    }

    /// Takes the leases up to this one out.
    pub fn take_upto(&mut self, last: Lease) -> Vec<Range> {
        let mut taken = Vec::new();
        while let Some((first, count)) = self.ranges.front_mut() {
            if *first > last {
                break;
            }
            let whole = *first + *count - 1 <= last;
            let length = if whole { *count } else { last - *first + 1 };
            taken.push((*first, length));
            (*first, *count) = (*first + length, *count - length);
            if whole {
                self.ranges.pop_front();
            }
        }
        taken
    }

    /// Takes these leases out, as far as they are in here.
    pub fn forget(&mut self, first: Lease, count: u64) {
        if let Some((start, length)) = self.ranges.front_mut()
            && *start == first
            && *length > count
        {
            // Most are settled in their order.
            return (*start, *length) = (first + count, *length - count);
        }
        let end = first + count;
        let stop = |(start, length): &Range| *start + *length;
        let from = self.ranges.partition_point(|range| stop(range) <= first);
        let to = self.ranges.partition_point(|(start, _)| *start < end);
        if from >= to {
            return;
        }
        let before = self.ranges.get(from).filter(|(start, _)| *start < first);
        let before = before.map(|(start, _)| (*start, first - *start));
        let behind = self.ranges.get(to - 1).map(stop).filter(|stop| *stop > end);
        self.ranges.drain(from..to);
        if let Some(stop) = behind {
            self.ranges.insert(from, (end, stop - end));
        }
        if let Some(before) = before {
            self.ranges.insert(from, before);
        }
    }

    /// The leases.
    pub fn iter(&self) -> impl Iterator<Item = Lease> {
        self.ranges.iter().flat_map(|(first, count)| *first..*first + *count)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn ranges_are_as_a_plain_set(
            steps in prop::collection::vec((0u8..4, 1u64..9, 0u64..60), 1..80),
        ) {
            let (mut untaken, mut set, mut next) = (Untaken::default(), BTreeSet::new(), 1);
            for (action, count, at) in steps {
                match action {
                    0 | 1 => {
                        // Some numbers in between went to others.
                        next += at % 2;
                        untaken.push(next, count);
                        set.extend(next..next + count);
                        next += count;
                    }
                    2 => {
                        untaken.forget(at, count);
                        set.retain(|lease| !(at..at + count).contains(lease));
                    }
                    _ => {
                        let taken = untaken.take_upto(at);
                        let taken: Vec<_> = taken.iter().flat_map(|(f, c)| *f..*f + *c).collect();
                        let wanted: Vec<_> = set.range(..=at).copied().collect();
                        prop_assert_eq!(taken, wanted);
                        set.retain(|lease| *lease > at);
                    }
                }
                prop_assert_eq!(untaken.iter().collect::<Vec<_>>(), set.iter().copied().collect::<Vec<_>>());
                prop_assert_eq!(untaken.is_empty(), set.is_empty());
            }
        }
    }
}
