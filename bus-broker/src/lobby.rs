//! Connections that are accepted and have to wait until they are heard, by where they come from.
//!
//! They are taken off the system's list at once, so that others find room in it; what waits here is a bare
//! descriptor. Sources take turns. There is always room for one more: when there are too many, the oldest one
//! of whoever has the most must go. It has no clock and no tasks of its own, and logs nothing.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

/// Connections that wait before one listener, at the most and at the least.
const PLACES_MAX: usize = 4096;
const PLACES_MIN: usize = 64;
/// The part of all descriptors of this process that connections may have that wait.
const PART: u64 = 4;

/// How many may wait before each of so many listeners: each costs a descriptor.
pub(crate) fn places(listeners: usize) -> usize {
    let part = bus_core::sys::file_limit().unwrap_or(u64::MAX) / PART;
    let each = part / listeners.max(1) as u64;
    usize::try_from(each).unwrap_or(PLACES_MAX).clamp(PLACES_MIN, PLACES_MAX)
}

/// What waits, oldest first for each source.
#[derive(Debug)]
pub(crate) struct Lobby<S, T> {
    /// None of them is empty.
    waiting: HashMap<S, VecDeque<T>>,
    /// Each source that has something here once, the one whose turn it is first.
    turns: VecDeque<S>,
    count: usize,
    /// For so many there is room.
    places: usize,
}

impl<S: Copy + Eq + Hash, T> Lobby<S, T> {
    /// With room for so many, half of them of one source.
    pub fn new(places: usize) -> Lobby<S, T> {
        Lobby { waiting: HashMap::new(), turns: VecDeque::new(), count: 0, places }
    }

    /// One more comes in. Gives the one that has to go for it.
    pub fn enter(&mut self, source: S, one: T) -> Option<T> {
        let mine = self.waiting.get(&source).map_or(0, VecDeque::len);
        let gone = if mine >= self.places_per_source() {
            self.take(source)
        } else if self.count >= self.places {
            let largest = self.waiting.iter().max_by_key(|(_, all)| all.len());
            largest.map(|(source, _)| *source).and_then(|source| self.take(source))
        } else {
            None
        };
        let all = self.waiting.entry(source).or_default();
        if all.is_empty() && !self.turns.contains(&source) {
            self.turns.push_back(source);
        }
        all.push_back(one);
        self.count += 1;
        gone
    }

    /// The one whose turn it is, and where it comes from.
    pub fn next(&mut self) -> Option<(S, T)> {
        loop {
            let source = self.turns.pop_front()?;
            let Some(one) = self.take(source) else { continue };
            if self.waiting.contains_key(&source) {
                self.turns.push_back(source);
            }
            return Some((source, one));
        }
    }

    /// How many of one source may wait.
    pub fn places_per_source(&self) -> usize {
        self.places / 2
    }

    pub fn len(&self) -> usize {
        self.count
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The oldest one of this source.
    fn take(&mut self, source: S) -> Option<T> {
        let all = self.waiting.get_mut(&source)?;
        let one = all.pop_front();
        if all.is_empty() {
            self.waiting.remove(&source);
        }
        self.count -= usize::from(one.is_some());
        one
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACES: usize = 64;
    const OF_ONE: usize = PLACES / 2;

    #[test]
    fn sources_take_turns_and_each_ones_oldest_goes_first() {
        let mut lobby = Lobby::new(PLACES);
        for number in 0..3 {
            assert_eq!(lobby.enter('a', number), None);
        }
        assert_eq!(lobby.enter('b', 10), None);
        let order: Vec<_> = std::iter::from_fn(|| lobby.next()).collect();
        assert_eq!(order, [('a', 0), ('b', 10), ('a', 1), ('a', 2)]);
        assert!(lobby.is_empty() && lobby.turns.is_empty() && lobby.waiting.is_empty());
    }

    #[test]
    fn a_source_that_has_too_many_gives_its_oldest_for_its_next() {
        let mut lobby = Lobby::new(PLACES);
        assert_eq!(lobby.enter('b', 0), None);
        for number in 0..OF_ONE {
            assert_eq!(lobby.enter('a', number), None);
        }
        assert_eq!(lobby.enter('a', 1_000_000), Some(0));
        assert_eq!(lobby.enter('a', 1_000_001), Some(1));
        assert_eq!(lobby.next(), Some(('b', 0)));
        assert_eq!(lobby.next(), Some(('a', 2)));
    }

    #[test]
    fn who_comes_back_from_his_turn_stands_behind_the_others_of_his_source() {
        let mut lobby = Lobby::new(PLACES);
        for number in 0..OF_ONE {
            assert_eq!(lobby.enter('a', number), None);
        }
        assert_eq!(lobby.enter('b', 10), None);
        assert_eq!(lobby.next(), Some(('a', 0)));
        assert_eq!(lobby.enter('a', 0), None, "it has left room");
        let order: Vec<_> = std::iter::from_fn(|| lobby.next()).collect();
        assert_eq!((order[0], order[1]), (('b', 10), ('a', 1)));
        assert_eq!(order.last(), Some(&('a', 0)));
    }

    #[test]
    fn places_are_a_part_of_the_descriptors_for_all_listeners_together() {
        let limit = bus_core::sys::file_limit().unwrap_or(u64::MAX);
        for listeners in [1, 2, 7] {
            let all = (places(listeners) * listeners) as u64;
            assert!(all <= (limit / PART).max((PLACES_MIN * listeners) as u64), "{all} of {limit}");
        }
        assert!((PLACES_MIN..=PLACES_MAX).contains(&places(0)));
    }

    #[test]
    fn when_all_places_are_taken_the_largest_source_gives_one() {
        let mut lobby = Lobby::new(PLACES);
        for number in 0..OF_ONE {
            assert_eq!(lobby.enter(0, number), None);
        }
        // Each of so many others has one.
        for source in 1..PLACES {
            let gone = lobby.enter(source, 1_000_000);
            let expected = source.checked_sub(PLACES - OF_ONE + 1);
            assert_eq!(gone, expected);
            assert!(lobby.count <= PLACES);
        }
        let left = std::iter::from_fn(|| lobby.next()).count();
        assert_eq!(left, PLACES);
        assert!(lobby.is_empty() && lobby.waiting.is_empty());
    }
}
