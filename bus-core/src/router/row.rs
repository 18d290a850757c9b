//! The messages of one type in a queue, by arrival.
//!
//! An entry may stand for several messages with arrivals that follow each other; what comes back
//! to its place falls between entries, never into one. Invariant: `len` counts messages.

use std::collections::VecDeque;

use super::shelf::{Arrival, Entry};

/// The row.
#[derive(Debug)]
pub(crate) struct Row<T> {
    /// By the arrival of their first message.
    pub entries: VecDeque<(Arrival, T)>,
    /// How many messages there are.
    pub len: usize,
    /// So many entries from the front are one message each.
    apart: usize,
}

impl<T: Entry> Row<T> {
    /// Puts an entry at its place.
    pub fn insert(&mut self, arrival: Arrival, entry: T) {
        self.len += entry.count() as usize;
        let index = match self.entries.back() {
            Some((last, _)) if *last > arrival => {
                self.entries.partition_point(|(other, _)| *other < arrival)
            }
            _ => self.entries.len(),
        };
        if index <= self.apart {
            self.apart = if entry.count() == 1 { self.apart + 1 } else { index };
        }
        self.entries.insert(index, (arrival, entry));
    }

    /// Takes the message with this arrival out, by itself.
    pub fn take(&mut self, arrival: Arrival) -> Option<T> {
        let index = self.entry_with(arrival)?;
        let (first, entry) = self.entries.get_mut(index)?;
        let skip = arrival - *first;
        if skip == 0 {
            return self.take_some(arrival, 1);
        }
        let before = entry.split_to(skip);
        let rest = std::mem::replace(entry, before);
        self.entries.insert(index + 1, (arrival, rest));
        self.take_some(arrival, 1)
    }

    /// Takes up to so many messages off the front of the entry that begins here.
    pub fn take_some(&mut self, arrival: Arrival, count: u64) -> Option<T> {
        let index = self.beginning_at(arrival)?;
        let (first, entry) = self.entries.get_mut(index)?;
        let taken = if entry.count() <= count {
            self.apart -= usize::from(index < self.apart);
            self.entries.remove(index)?.1
        } else {
            *first += count;
            entry.split_to(count)
        };
        self.len -= taken.count() as usize;
        Some(taken)
    }

    /// Lays each message by itself. Those that were so before are not touched.
    pub fn take_apart(&mut self) {
        let rest = self.entries.split_off(self.apart);
        self.entries.reserve(self.len - self.apart);
        for (mut arrival, mut entry) in rest {
            while entry.count() > 1 {
                self.entries.push_back((arrival, entry.split_to(1)));
                arrival += 1;
            }
            self.entries.push_back((arrival, entry));
        }
        self.apart = self.entries.len();
    }

    /// The index of the entry that begins with this arrival.
    pub fn beginning_at(&self, arrival: Arrival) -> Option<usize> {
        match self.entries.front() {
            Some((first, _)) if *first == arrival => Some(0),
            _ => self.entries.binary_search_by_key(&arrival, |(first, _)| *first).ok(),
        }
    }

    /// The index of the entry that has the message with this arrival.
    fn entry_with(&self, arrival: Arrival) -> Option<usize> {
        let index = match self.entries.front() {
            Some((first, _)) if *first == arrival => 0,
            _ => self.entries.partition_point(|(first, _)| *first <= arrival).checked_sub(1)?,
        };
        let (first, entry) = self.entries.get(index)?;
        (arrival - first < entry.count()).then_some(index)
    }
}

impl<T> Row<T> {
    /// The arrival of the oldest message.
    pub fn first(&self) -> Option<Arrival> {
        self.entries.front().map(|(arrival, _)| *arrival)
    }
}

impl<T> Default for Row<T> {
    fn default() -> Self {
        Row { entries: VecDeque::new(), len: 0, apart: 0 }
    }
}
