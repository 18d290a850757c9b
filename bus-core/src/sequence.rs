//! Entries under numbers that count on from 1.
//!
//! Most entries go soon and in order: those lie in a ring. The few that stay long are moved
//! aside, so that memory follows what is there, not the distance between oldest and newest.

use std::collections::{BTreeMap, VecDeque};

/// Entries that may lie empty among the live ones before the oldest are moved aside.
const SLACK: usize = 64;

/// The entries.
#[derive(Debug)]
pub struct Sequence<T> {
    /// Number of the first slot.
    first: u64,
    slots: VecDeque<Option<T>>,
    aside: BTreeMap<u64, T>,
    live: usize,
}

impl<T> Sequence<T> {
    /// Adds an entry and gives its number.
    pub fn push(&mut self, entry: T) -> u64 {
        let number = self.first + self.slots.len() as u64;
        self.slots.push_back(Some(entry));
        self.live += 1;
        while self.slots.len() > SLACK + 4 * self.live {
            if let Some(Some(old)) = self.slots.pop_front() {
                self.aside.insert(self.first, old);
            }
            self.first += 1;
        }
        number
    }

    /// Takes an entry out.
    pub fn remove(&mut self, number: u64) -> Option<T> {
        let found = match number.checked_sub(self.first) {
            Some(index) => self.slots.get_mut(usize::try_from(index).ok()?)?.take(),
            None => self.aside.remove(&number),
        }?;
        self.live -= 1;
        while let Some(None) = self.slots.front() {
            self.slots.pop_front();
            self.first += 1;
        }
        Some(found)
    }

    /// An entry for changing.
    pub fn get_mut(&mut self, number: u64) -> Option<&mut T> {
        match number.checked_sub(self.first) {
            Some(index) => self.slots.get_mut(usize::try_from(index).ok()?)?.as_mut(),
            None => self.aside.get_mut(&number),
        }
    }

    /// An entry.
    pub fn get(&self, number: u64) -> Option<&T> {
        match number.checked_sub(self.first) {
            Some(index) => self.slots.get(usize::try_from(index).ok()?)?.as_ref(),
            None => self.aside.get(&number),
        }
    }

    /// The first number from this one on that has an entry.
    pub fn next_from(&self, number: u64) -> Option<u64> {
        if number < self.first
            && let Some((aside, _)) = self.aside.range(number..).next()
        {
            return Some(*aside);
        }
        let skipped = usize::try_from(number.saturating_sub(self.first)).ok()?;
        let mut indices = skipped..self.slots.len();
        let index = indices.find(|at| matches!(self.slots.get(*at), Some(Some(_))))?;
        Some(self.first + index as u64)
    }

    /// All entries, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &T)> {
        let recent = (self.first..)
            .zip(&self.slots)
            .filter_map(|(number, slot)| Some((number, slot.as_ref()?)));
        self.aside.iter().map(|(number, entry)| (*number, entry)).chain(recent)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.live
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.live == 0
    }

    /// The highest number given out.
    pub fn last(&self) -> u64 {
        self.first + self.slots.len() as u64 - 1
    }
}

impl<T> Default for Sequence<T> {
    fn default() -> Self {
        Sequence { first: 1, slots: VecDeque::new(), aside: BTreeMap::new(), live: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_stays_long_does_not_keep_the_rest() {
        let mut sequence = Sequence::default();
        let stays = sequence.push(0);
        for expected in 2..100_000u64 {
            let number = sequence.push(expected);
            assert_eq!(number, expected);
            assert_eq!(sequence.remove(number), Some(expected));
            assert!(sequence.slots.len() <= SLACK + 8);
        }
        let recent = sequence.push(0);
        assert_eq!(sequence.next_from(0), Some(stays));
        assert_eq!(sequence.next_from(stays + 1), Some(recent));
        assert_eq!(sequence.next_from(recent + 1), None);
        assert_eq!(sequence.next_from(u64::MAX), None);
        sequence.remove(recent);
        assert_eq!(sequence.get(stays), Some(&0));
        assert_eq!(sequence.iter().count(), 1);
        assert_eq!(sequence.remove(stays), Some(0));
        assert_eq!(sequence.remove(stays), None);
        assert_eq!(sequence.last(), 100_000);
    }
}
