//! An ordered store with selection by type.
//!
//! Entries lie by type and, inside a type, by arrival. `heads` holds the oldest arrival of
//! each type, so every selector finds its entry without walking over others. Invariant: no
//! deque in `types` is empty, and `heads` has exactly one entry for each of them; none while
//! there is one type only, as in most queues.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::message_type::MessageType;
use crate::selector::Selector;

/// When an entry arrived, as a number that grows. It is the entry's place for good.
pub(crate) type Arrival = u64;

/// Where an entry lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub kind: MessageType,
    pub arrival: Arrival,
}

/// The store.
#[derive(Debug)]
pub(crate) struct Shelf<T> {
    types: BTreeMap<MessageType, VecDeque<(Arrival, T)>>,
    heads: BTreeSet<(Arrival, MessageType)>,
    len: usize,
    /// An emptied deque, kept so that a queue that runs dry again and again allocates nothing.
    spare: Option<VecDeque<(Arrival, T)>>,
}

impl<T> Shelf<T> {
    /// Puts an entry at its place.
    pub fn insert(&mut self, place: Place, entry: T) {
        let spare = &mut self.spare;
        let row = self.types.entry(place.kind).or_insert_with(|| spare.take().unwrap_or_default());
        let old_head = row.front().map(|(arrival, _)| *arrival);
        let index = match row.back() {
            Some((last, _)) if *last > place.arrival => {
                row.partition_point(|(arrival, _)| *arrival < place.arrival)
            }
            _ => row.len(),
        };
        row.insert(index, (place.arrival, entry));
        self.len += 1;
        if index == 0 && self.types.len() > 1 {
            self.note_head(place, old_head);
        }
    }

    /// The row of a type, of which there are several, begins with this entry now.
    fn note_head(&mut self, place: Place, old_head: Option<Arrival>) {
        if self.heads.is_empty() {
            let heads = self.types.iter();
            let heads = heads.filter_map(|(kind, row)| Some((row.front()?.0, *kind)));
            return self.heads.extend(heads);
        }
        if let Some(old) = old_head {
            self.heads.remove(&(old, place.kind));
        }
        self.heads.insert((place.arrival, place.kind));
    }

    /// Takes the entry at this place out.
    pub fn take(&mut self, place: Place) -> Option<T> {
        let row = self.types.get_mut(&place.kind)?;
        let index = match row.front() {
            Some((first, _)) if *first == place.arrival => 0,
            _ => row.binary_search_by_key(&place.arrival, |(arrival, _)| *arrival).ok()?,
        };
        let (_, entry) = row.remove(index)?;
        self.len -= 1;
        if index == 0 {
            let next = row.front().map(|(next, _)| *next);
            if next.is_none() {
                self.spare = self.types.remove(&place.kind);
            }
            if !self.heads.is_empty() {
                self.heads.remove(&(place.arrival, place.kind));
                self.heads.extend(next.map(|next| (next, place.kind)));
            }
            if self.types.len() < 2 {
                self.heads.clear();
            }
        }
        Some(entry)
    }

    /// Takes everything out, oldest first.
    pub fn drain(&mut self) -> Vec<(Place, T)> {
        let mut all = Vec::with_capacity(self.len);
        for (kind, row) in std::mem::take(&mut self.types) {
            all.extend(row.into_iter().map(|(arrival, entry)| (Place { kind, arrival }, entry)));
        }
        all.sort_by_key(|(place, _)| place.arrival);
        self.heads.clear();
        self.len = 0;
        all
    }

    /// The place that the selector takes first.
    pub fn select(&self, selector: Selector) -> Option<Place> {
        let head = |kind: &MessageType, row: &VecDeque<(Arrival, T)>| {
            row.front().map(|(arrival, _)| Place { kind: *kind, arrival: *arrival })
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
            let (arrival, _) = row.iter().find(|(_, entry)| is_such(entry))?;
            Some(Place { kind: *kind, arrival: *arrival })
        });
        match selector {
            Selector::Eq(_) | Selector::Upto(_) => found.next(),
            Selector::Any | Selector::Except(_) => found.min_by_key(|place| place.arrival),
        }
    }

    /// The place that the selector would take after `skip` others.
    pub fn select_nth(&self, selector: Selector, skip: u64) -> Option<Place> {
        let skip = usize::try_from(skip).ok().filter(|skip| *skip < self.len)?;
        let place = |kind: MessageType, row: &VecDeque<(Arrival, T)>, at: usize| {
            row.get(at).map(|(arrival, _)| Place { kind, arrival: *arrival })
        };
        match selector {
            Selector::Eq(kind) => self.types.get(&kind).and_then(|row| place(kind, row, skip)),
            Selector::Upto(limit) => {
                let mut left = skip;
                for (kind, row) in self.types.range(..=limit) {
                    if left < row.len() {
                        return place(*kind, row, left);
                    }
                    left -= row.len();
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
            return row.get(skip).map(|entry| Place { kind: *kind, arrival: at(entry) });
        }
        let through = |last: Arrival| -> usize {
            rows().map(|(_, row)| row.partition_point(|entry| at(entry) <= last)).sum()
        };
        let (mut low, _) = *self.heads.first()?;
        let mut high = rows().filter_map(|(_, row)| Some(row.back()?.0)).max()?;
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
        let mut rows = rows().filter(|(_, row)| row.binary_search_by_key(&low, at).is_ok());
        let (kind, _) = rows.next()?;
        (through(low) == skip + 1).then_some(Place { kind: *kind, arrival: low })
    }

    /// As `nth_of_all`, for many types with few entries each.
    fn nth_of_many(&self, selector: Selector, skip: usize) -> Option<Place> {
        let rows = self.types.iter().filter(|(kind, _)| selector.matches(**kind));
        let mut arrivals: Vec<(Arrival, MessageType)> = rows
            .flat_map(|(kind, row)| row.iter().take(skip + 1).map(|(arrival, _)| (*arrival, *kind)))
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
        row.front().map(|(arrival, _)| Place { kind: *kind, arrival: *arrival })
    }

    /// The entry at this place.
    pub fn get(&self, place: Place) -> Option<&T> {
        let row = self.types.get(&place.kind)?;
        match row.front() {
            Some((first, entry)) if *first == place.arrival => Some(entry),
            _ => {
                let index =
                    row.binary_search_by_key(&place.arrival, |(arrival, _)| *arrival).ok()?;
                row.get(index).map(|(_, entry)| entry)
            }
        }
    }

    /// How many entries there are of each type.
    pub fn counts(&self) -> impl Iterator<Item = (MessageType, usize)> {
        self.types.iter().map(|(kind, row)| (*kind, row.len()))
    }

    /// How many entries there are.
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
            steps in prop::collection::vec((0u8..4, 1u64..6, selectors(), 0usize..4), 1..200),
        ) {
            let mut shelf = Shelf::default();
            let mut list: Vec<(u64, u64)> = Vec::new();
            let mut taken: Vec<(u64, u64)> = Vec::new();
            for (arrival, (action, number, selector, skip)) in (0u64..).zip(steps) {
                match action {
                    0 | 1 => {
                        shelf.insert(Place { kind: kind(number), arrival }, arrival);
                        list.push((arrival, number));
                    }
                    2 => {
                        let found = shelf.select(selector);
                        prop_assert_eq!(found.map(|p| (p.arrival, p.kind.get())), naive(&list, selector, 0));
                        if let Some(place) = found {
                            prop_assert_eq!(shelf.take(place), Some(place.arrival));
                            list.retain(|(a, _)| *a != place.arrival);
                            taken.push((place.arrival, place.kind.get()));
                        }
                    }
                    _ => if let Some((old, number)) = taken.pop() {
                        shelf.insert(Place { kind: kind(number), arrival: old }, old);
                        list.push((old, number));
                    },
                }
                let odd: Vec<_> = list.iter().copied().filter(|(a, _)| a % 2 == 1).collect();
                for skip in [skip as u64, list.len() as u64 / 2, u64::MAX] {
                    let found = shelf.select_nth(selector, skip);
                    let wanted = usize::try_from(skip).ok().and_then(|skip| naive(&list, selector, skip));
                    prop_assert_eq!(found.map(|p| (p.arrival, p.kind.get())), wanted);
                }
                let found = shelf.select_where(selector, |arrival| arrival % 2 == 1);
                prop_assert_eq!(found.map(|p| (p.arrival, p.kind.get())), naive(&odd, selector, 0));
                prop_assert_eq!(shelf.len(), list.len());
            }
        }
    }
}
