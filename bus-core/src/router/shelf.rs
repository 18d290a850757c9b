//! An ordered store with selection by type.
//!
//! Entries lie by type and, inside a type, by arrival. `heads` holds the oldest arrival of
//! each type, so every selector finds its entry without walking over others. Invariant: no
//! deque in `types` is empty, and `heads` has exactly one entry for each of them; none while
//! there is one type only, as in most queues.

use std::collections::{BTreeMap, BTreeSet};

use crate::message_type::MessageType;
use crate::selector::Selector;

use super::row::Row;

/// When an entry arrived, as a number that grows. It is the entry's place for good.
pub(crate) type Arrival = u64;

/// Where an entry lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub kind: MessageType,
    pub arrival: Arrival,
}

/// What lies on a shelf: one message, or several of one type with arrivals that follow each other.
pub(crate) trait Entry: Sized {
    /// How many there are, at least one.
    fn count(&self) -> u64;

    /// Splits off so many from the front, less than there are.
    fn split_to(&mut self, count: u64) -> Self;
}

/// The store.
#[derive(Debug)]
pub(crate) struct Shelf<T> {
    types: BTreeMap<MessageType, Row<T>>,
    heads: BTreeSet<(Arrival, MessageType)>,
    len: usize,
    /// An emptied row, kept so that a queue that runs dry again and again allocates nothing.
    spare: Option<Row<T>>,
}

impl<T: Entry> Shelf<T> {
    /// Puts an entry at the place of its first message.
    pub fn insert(&mut self, place: Place, entry: T) {
        let spare = &mut self.spare;
        let row = self.types.entry(place.kind).or_insert_with(|| spare.take().unwrap_or_default());
        let old_head = row.first();
        self.len += entry.count() as usize;
        row.insert(place.arrival, entry);
        if row.first() != old_head && self.types.len() > 1 {
            self.note_head(place, old_head);
        }
    }

    /// The row of a type, of which there are several, begins with this entry now.
    fn note_head(&mut self, place: Place, old_head: Option<Arrival>) {
        if self.heads.is_empty() {
            let heads = self.types.iter();
            let heads = heads.filter_map(|(kind, row)| Some((row.first()?, *kind)));
            return self.heads.extend(heads);
        }
        if let Some(old) = old_head {
            self.heads.remove(&(old, place.kind));
        }
        self.heads.insert((place.arrival, place.kind));
    }

    /// Takes the message at this place out, by itself.
    pub fn take(&mut self, place: Place) -> Option<T> {
        self.take_with(place.kind, |row| row.take(place.arrival))
    }

    /// Takes up to so many messages out that lie as one at this place, which is that of the first.
    pub fn take_some(&mut self, place: Place, count: u64) -> Option<T> {
        self.take_with(place.kind, |row| row.take_some(place.arrival, count))
    }

    fn take_with(
        &mut self,
        kind: MessageType,
        take: impl FnOnce(&mut Row<T>) -> Option<T>,
    ) -> Option<T> {
        let row = self.types.get_mut(&kind)?;
        let old_head = row.first();
        let entry = take(row)?;
        self.len -= entry.count() as usize;
        let head = row.first();
        if head != old_head {
            if head.is_none() {
                self.spare = self.types.remove(&kind);
            }
            if !self.heads.is_empty() {
                if let Some(old) = old_head {
                    self.heads.remove(&(old, kind));
                }
                self.heads.extend(head.map(|head| (head, kind)));
            }
            if self.types.len() < 2 {
                self.heads.clear();
            }
        }
        Some(entry)
    }

    /// Takes everything out, each message by itself, oldest first.
    pub fn drain(&mut self) -> Vec<(Place, T)> {
        self.take_apart();
        let mut all = Vec::with_capacity(self.len);
        for (kind, row) in std::mem::take(&mut self.types) {
            let entries = row.entries.into_iter();
            all.extend(entries.map(|(arrival, entry)| (Place { kind, arrival }, entry)));
        }
        all.sort_by_key(|(place, _)| place.arrival);
        self.heads.clear();
        self.len = 0;
        all
    }

    /// Lays each message by itself.
    pub fn take_apart(&mut self) {
        for row in self.types.values_mut() {
            row.take_apart();
        }
    }

    /// The place that the selector takes first.
    pub fn select(&self, selector: Selector) -> Option<Place> {
        let head = |kind: &MessageType, row: &Row<T>| {
            row.first().map(|arrival| Place { kind: *kind, arrival })
        };
        match selector {
            Selector::Any => self.first(),
            Selector::Eq(kind) => self.types.get(&kind).and_then(|row| head(&kind, row)),
            Selector::Upto(limit) => {
                let (kind, row) = self.types.first_key_value()?;
                if *kind <= limit { head(kind, row) } else { None }
            }
            Selector::Except(unwanted) => {
                let wanted = |place: &Place| place.kind != unwanted;
                if self.heads.is_empty() {
                    return self.first().filter(wanted);
                }
                let (arrival, kind) = self.heads.iter().find(|(_, kind)| *kind != unwanted)?;
                Some(Place { kind: *kind, arrival: *arrival })
            }
        }
    }

    /// The place that the selector takes first of those whose entry is such. Walks over others.
    pub fn select_where(&self, selector: Selector, is_such: impl Fn(&T) -> bool) -> Option<Place> {
        let rows = self.types.iter().filter(|(kind, _)| selector.matches(**kind));
        let mut found = rows.filter_map(|(kind, row)| {
            let (arrival, _) = row.entries.iter().find(|(_, entry)| is_such(entry))?;
            Some(Place { kind: *kind, arrival: *arrival })
        });
        match selector {
            Selector::Eq(_) | Selector::Upto(_) => found.next(),
            Selector::Any | Selector::Except(_) => found.min_by_key(|place| place.arrival),
        }
    }

    /// The place that the selector would take after `skip` others. Lays each message that it
    /// matches by itself.
    pub fn select_nth(&mut self, selector: Selector, skip: u64) -> Option<Place> {
        for (_, row) in self.types.iter_mut().filter(|(kind, _)| selector.matches(**kind)) {
            row.take_apart();
        }
        let skip = usize::try_from(skip).ok().filter(|skip| *skip < self.len)?;
        let place = |kind: MessageType, row: &Row<T>, at: usize| {
            row.entries.get(at).map(|(arrival, _)| Place { kind, arrival: *arrival })
        };
        match selector {
            Selector::Eq(kind) => self.types.get(&kind).and_then(|row| place(kind, row, skip)),
            Selector::Upto(limit) => {
                let mut left = skip;
                for (kind, row) in self.types.range(..=limit) {
                    if left < row.len {
                        return place(*kind, row, left);
                    }
                    left -= row.len;
                }
                None
            }
            Selector::Any | Selector::Except(_) => self.nth_of_all(selector, skip),
        }
    }

    /// The place of the entry that came after `skip` others that the selector matches.
    fn nth_of_all(&self, selector: Selector, skip: usize) -> Option<Place> {
        let rows = || self.types.iter().filter(|(kind, _)| selector.matches(**kind));
        let (mut first_rows, at) = (rows(), |(arrival, _): &(Arrival, T)| *arrival);
        if let (Some((kind, row)), None) = (first_rows.next(), first_rows.next()) {
            return row.entries.get(skip).map(|entry| Place { kind: *kind, arrival: at(entry) });
        }
        let through = |last: Arrival| -> usize {
            rows().map(|(_, row)| row.entries.partition_point(|entry| at(entry) <= last)).sum()
        };
        let (mut low, _) = *self.heads.first()?;
        let mut high = rows().filter_map(|(_, row)| Some(row.entries.back()?.0)).max()?;
        let halvings = (u64::BITS - (high - low).leading_zeros()) as usize;
        if self.types.len().saturating_mul(halvings) > self.len {
            return self.nth_of_many(selector, skip);
        }
        // The arrivals are halved until one is left that has just so many before it.
        while low < high {
            let middle = low + (high - low) / 2;
            match through(middle) > skip {
                true => high = middle,
                false => low = middle + 1,
            }
        }
        let mut rows = rows().filter(|(_, row)| row.entries.binary_search_by_key(&low, at).is_ok());
        let (kind, _) = rows.next()?;
        (through(low) == skip + 1).then_some(Place { kind: *kind, arrival: low })
    }

    /// As `nth_of_all`, for many types with few entries each.
    fn nth_of_many(&self, selector: Selector, skip: usize) -> Option<Place> {
        let rows = self.types.iter().filter(|(kind, _)| selector.matches(**kind));
        let mut arrivals: Vec<(Arrival, MessageType)> = rows
            .flat_map(|(kind, row)| {
                row.entries.iter().take(skip + 1).map(|(arrival, _)| (*arrival, *kind))
            })
            .collect();
        if skip >= arrivals.len() {
            return None;
        }
        let (_, found, _) = arrivals.select_nth_unstable(skip);
        Some(Place { kind: found.1, arrival: found.0 })
    }

    /// The oldest entry's place.
    pub fn first(&self) -> Option<Place> {
        if let Some((arrival, kind)) = self.heads.first() {
            return Some(Place { kind: *kind, arrival: *arrival });
        }
        let (kind, row) = self.types.first_key_value()?;
        row.first().map(|arrival| Place { kind: *kind, arrival })
    }

    /// The entry that begins at this place.
    pub fn get(&self, place: Place) -> Option<&T> {
        let row = self.types.get(&place.kind)?;
        let (_, entry) = row.entries.get(row.beginning_at(place.arrival)?)?;
        Some(entry)
    }

    /// How many messages there are of each type.
    pub fn counts(&self) -> impl Iterator<Item = (MessageType, usize)> {
        self.types.iter().map(|(kind, row)| (*kind, row.len))
    }

    /// How many types there are messages of.
    pub fn type_count(&self) -> usize {
        self.types.len()
    }

    /// How many messages there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl<T> Default for Shelf<T> {
    fn default() -> Self {
        Shelf { types: BTreeMap::new(), heads: BTreeSet::new(), len: 0, spare: None }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn kind(number: u64) -> MessageType {
        MessageType::new(number).expect("a type")
    }

    fn selectors() -> impl Strategy<Value = Selector> {
        (0u8..4, 1u64..6).prop_map(|(form, number)| match form {
            0 => Selector::Any,
            1 => Selector::Eq(kind(number)),
            2 => Selector::Upto(kind(number)),
            _ => Selector::Except(kind(number)),
        })
    }

    /// So many messages whose numbers are their arrivals, from this one on.
    #[derive(Clone, Copy, Debug, PartialEq)]
    struct Numbers(u64, u64);

    impl Entry for Numbers {
        fn count(&self) -> u64 {
            self.1
        }

        fn split_to(&mut self, count: u64) -> Numbers {
            let front = Numbers(self.0, count);
            *self = Numbers(self.0 + count, self.1 - count);
            front
        }
    }

    /// What a selector takes from a plain list, by its definition.
    fn naive(list: &[(u64, u64)], selector: Selector, skip: usize) -> Option<(u64, u64)> {
        let mut taken: Vec<_> =
            list.iter().copied().filter(|(_, k)| selector.matches(kind(*k))).collect();
        taken.sort_by_key(|(arrival, k)| match selector {
            Selector::Upto(_) => (*k, *arrival),
            _ => (0, *arrival),
        });
        taken.get(skip).copied()
    }

    proptest! {
        #[test]
        fn selection_agrees_with_a_plain_list(
            steps in prop::collection::vec((0u8..7, 1u64..6, selectors(), 0usize..4), 1..200),
        ) {
            let mut shelf = Shelf::default();
            let mut list: Vec<(u64, u64)> = Vec::new();
            let mut taken: Vec<(u64, u64)> = Vec::new();
            let mut next = 0;
            for (action, number, selector, skip) in steps {
                match action {
                    0..=2 => {
                        let count = if action == 0 { 1 } else { 1 + skip as u64 };
                        let place = Place { kind: kind(number), arrival: next };
                        shelf.insert(place, Numbers(next, count));
                        list.extend((next..next + count).map(|arrival| (arrival, number)));
                        next += count;
                    }
                    3 | 4 => {
                        let found = shelf.select(selector);
                        prop_assert_eq!(found.map(|p| (p.arrival, p.kind.get())), naive(&list, selector, 0));
                        if let Some(place) = found {
                            let want = if action == 3 { 1 } else { 1 + skip as u64 };
                            let Some(Numbers(first, count)) = shelf.take_some(place, want) else {
                                return Err(TestCaseError::fail("nothing at its place"));
                            };
                            prop_assert!(first == place.arrival && (1..=want).contains(&count));
                            let mine = first..first + count;
                            prop_assert_eq!(list.iter().filter(|(a, k)| mine.contains(a) && *k == place.kind.get()).count() as u64, count);
                            list.retain(|(a, _)| !mine.contains(a));
                            taken.extend(mine.map(|arrival| (arrival, place.kind.get())));
                        }
                    }
                    // One out of the middle.
                    5 if !list.is_empty() => {
                        let (arrival, number) = list.remove((number as usize * 7 + skip) % list.len());
                        let place = Place { kind: kind(number), arrival };
                        prop_assert_eq!(shelf.take(place), Some(Numbers(arrival, 1)));
                        prop_assert_eq!(shelf.take(place), None);
                        taken.push((arrival, number));
                    }
                    _ => if let Some((old, number)) = taken.pop() {
                        shelf.insert(Place { kind: kind(number), arrival: old }, Numbers(old, 1));
                        list.push((old, number));
                    },
                }
                prop_assert_eq!(shelf.len(), list.len());
                prop_assert_eq!(shelf.select(selector).map(|p| (p.arrival, p.kind.get())), naive(&list, selector, 0));
                if skip > 0 {
                    continue;
                }
                // Asking for a place lays each message by itself.
                let odd: Vec<_> = list.iter().copied().filter(|(a, _)| a % 2 == 1).collect();
                for skip in [number, list.len() as u64 / 2, u64::MAX] {
                    let found = shelf.select_nth(selector, skip);
                    let wanted = usize::try_from(skip).ok().and_then(|skip| naive(&list, selector, skip));
                    prop_assert_eq!(found.map(|p| (p.arrival, p.kind.get())), wanted);
                }
                let found = shelf.select_where(selector, |numbers| numbers.0 % 2 == 1);
                prop_assert_eq!(found.map(|p| (p.arrival, p.kind.get())), naive(&odd, selector, 0));
            }
        }
    }
}
