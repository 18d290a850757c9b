//! The line of receivers that wait at a queue and have credit.
//!
//! Everybody in it has a turn, a number that grows: the lower, the longer it has waited. Those
//! that want exactly one type lie by that type, so that an arrival walks over none of those
//! that want another one. Invariant: whoever is in the line knows its turn, and nobody is in it
//! twice.

use std::collections::{BTreeMap, VecDeque};

use crate::message_type::MessageType;
use crate::selector::Selector;

/// A place in the line, never given out again.
pub(crate) type Turn = u64;

/// The line.
#[derive(Debug)]
pub(crate) struct Line<T> {
    last_turn: Turn,
    /// Those that want exactly one type.
    exact: BTreeMap<(MessageType, Turn), T>,
    /// All others, in the order of their turns. Most leave from one end, and so at once.
    others: VecDeque<(Turn, Selector, T)>,
}

impl<T: Copy> Line<T> {
    /// Puts a receiver at the back; it must not be in the line.
    pub fn enter(&mut self, selector: Selector, id: T) -> Turn {
        self.last_turn += 1;
        match selector {
            Selector::Eq(kind) => {
                self.exact.insert((kind, self.last_turn), id);
            }
            _ => {
                self.others.push_back((self.last_turn, selector, id));
            }
        }
        self.last_turn
    }

    /// Takes the receiver with this selector and turn out.
    pub fn leave(&mut self, selector: Selector, turn: Turn) {
        match selector {
            Selector::Eq(kind) => {
                self.exact.remove(&(kind, turn));
            }
            _ => {
                let found = match self.others.front() {
                    Some((first, ..)) if *first == turn => Ok(0),
                    _ => self.others.binary_search_by_key(&turn, |(turn, ..)| *turn),
                };
                if let Ok(index) = found {
                    self.others.remove(index);
                }
            }
        }
    }

    /// Those that take this type, longest waiting first, from this turn on.
    pub fn takers(&self, kind: MessageType, from: Turn) -> impl Iterator<Item = (Turn, T)> + '_ {
        let exact = self.exact.range((kind, from)..=(kind, Turn::MAX));
        let mut exact = exact.map(|((_, turn), id)| (*turn, *id)).peekable();
        let start = match from {
            0 => 0,
            _ => self.others.partition_point(|(turn, ..)| *turn < from),
        };
        let others = self.others.range(start..);
        let mut others = others
            .filter(move |(_, selector, _)| selector.matches(kind))
            .map(|(turn, _, id)| (*turn, *id))
            .peekable();
        std::iter::from_fn(move || match (exact.peek(), others.peek()) {
            (Some((one, _)), Some((other, _))) if one < other => exact.next(),
            (Some(_), None) => exact.next(),
            _ => others.next(),
        })
    }

    /// Everybody, longest waiting first.
    pub fn in_order(&self) -> Vec<T> {
        let exact = self.exact.iter().map(|((_, turn), id)| (*turn, *id));
        let mut all: Vec<_> =
            exact.chain(self.others.iter().map(|(turn, _, id)| (*turn, *id))).collect();
        all.sort_by_key(|(turn, _)| *turn);
        all.into_iter().map(|(_, id)| id).collect()
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.exact.len() + self.others.len()
    }
}

impl<T> Default for Line<T> {
    fn default() -> Self {
        Line { last_turn: 0, exact: BTreeMap::new(), others: VecDeque::new() }
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
        (0u8..6, 1u64..5).prop_map(|(form, number)| match form {
            0 => Selector::Any,
            1 => Selector::Upto(kind(number)),
            2 => Selector::Except(kind(number)),
            _ => Selector::Eq(kind(number)),
        })
    }

    proptest! {
        /// As if all stood in one row and were asked one after the other.
        #[test]
        fn takers_agree_with_a_plain_row(
            steps in prop::collection::vec((any::<bool>(), selectors(), 0usize..30), 1..100),
            from in 0u64..40,
        ) {
            let mut line = Line::default();
            let mut row: Vec<(Turn, Selector, usize)> = Vec::new();
            for (id, (enters, selector, which)) in steps.into_iter().enumerate() {
                if enters || row.is_empty() {
                    row.push((line.enter(selector, id), selector, id));
                } else {
                    let (turn, selector, _) = row.remove(which % row.len());
                    line.leave(selector, turn);
                }
            }
            prop_assert_eq!(line.len(), row.len());
            prop_assert_eq!(line.in_order(), row.iter().map(|(.., id)| *id).collect::<Vec<_>>());
            for kind in (1..6).map(kind) {
                let wanted: Vec<_> = row
                    .iter()
                    .filter(|(turn, selector, _)| *turn >= from && selector.matches(kind))
                    .map(|(turn, _, id)| (*turn, *id))
                    .collect();
                prop_assert_eq!(line.takers(kind, from).collect::<Vec<_>>(), wanted);
            }
        }
    }
}
