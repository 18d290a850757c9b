//! Connections that are accepted and have to wait until they are heard, by where they come from.
//!
//! They are taken off the system's list at once, so that others find room in it; what waits here is a bare
//! descriptor. Sources take turns. There is always room for one more: when there are too many, the oldest one
//! of whoever has the most must go. It has no clock and no tasks of its own, and logs nothing.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

/// Connections that wait, over all sources: each costs a descriptor.
const WAITING_MAX: usize = 1024;
/// Connections of one source that wait.
const WAITING_PER_SOURCE_MAX: usize = 512;

const _: () = assert!(WAITING_PER_SOURCE_MAX < WAITING_MAX);

/// What waits, oldest first for each source.
#[derive(Debug)]
pub(crate) struct Lobby<S, T> {
    /// None of them is empty.
    waiting: HashMap<S, VecDeque<T>>,
    /// Each source that has something here once, the one whose turn it is first.
    turns: VecDeque<S>,
    count: usize,
}

impl<S, T> Default for Lobby<S, T> {
    fn default() -> Self {
        Lobby { waiting: HashMap::new(), turns: VecDeque::new(), count: 0 }
    }
}

impl<S: Copy + Eq + Hash, T> Lobby<S, T> {
    /// One more comes in. Gives the one that has to go for it.
    pub fn enter(&mut self, source: S, one: T) -> Option<T> {
        let mine = self.waiting.get(&source).map_or(0, VecDeque::len);
        let gone = if mine >= WAITING_PER_SOURCE_MAX {
            self.take(source)
        } else if self.count >= WAITING_MAX {
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

    #[test]
    fn sources_take_turns_and_each_ones_oldest_goes_first() {
        let mut lobby = Lobby::default();
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
        let mut lobby = Lobby::default();
        assert_eq!(lobby.enter('b', 0), None);
        for number in 0..WAITING_PER_SOURCE_MAX {
            assert_eq!(lobby.enter('a', number), None);
        }
        assert_eq!(lobby.enter('a', 1_000_000), Some(0));
        assert_eq!(lobby.enter('a', 1_000_001), Some(1));
        assert_eq!(lobby.next(), Some(('b', 0)));
        assert_eq!(lobby.next(), Some(('a', 2)));
    }

    #[test]
    fn when_all_places_are_taken_the_largest_source_gives_one() {
        let mut lobby = Lobby::default();
        for number in 0..WAITING_PER_SOURCE_MAX {
            assert_eq!(lobby.enter(0, number), None);
        }
        // Each of so many others has one.
        for source in 1..WAITING_MAX {
            let gone = lobby.enter(source, 1_000_000);
            let expected = source.checked_sub(WAITING_MAX - WAITING_PER_SOURCE_MAX + 1);
            assert_eq!(gone, expected);
            assert!(lobby.count <= WAITING_MAX);
        }
        let left = std::iter::from_fn(|| lobby.next()).count();
        assert_eq!(left, WAITING_MAX);
        assert!(lobby.is_empty() && lobby.waiting.is_empty());
    }
}
