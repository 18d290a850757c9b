//! Who wants which topics, here and beyond the bridges, and by which way.
//!
//! A path-vector: each entry bears the brokers between here and whoever wants it, so that two
//! brokers can never keep a wish alive by telling it each other. Not what is subscribed to; the
//! subscriptions tell this table. Invariant: a path is here exactly as often as subscriptions
//! give it.

use std::collections::BTreeMap;

use crate::limits::{HOPS_MAX, INTERESTS_MAX};
use crate::name::{Pattern, RESERVED};

use super::provenance::Epoch;

/// That a broker wants what matches a pattern, and the way to it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Interest {
    /// What is wanted.
    pub pattern: Pattern,
    /// The brokers between here and the one that wants it, which stands first.
    pub path: Vec<Epoch>,
}

/// What a peer is told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InterestOffer {
    /// The best way for each pattern and broker, in order.
    pub interests: Vec<Interest>,
    /// So many found no room in it, or are too far away.
    pub left_out: u64,
}

/// Ways to whoever wants something, with their lengths before them.
type Ways = BTreeMap<(usize, Vec<Epoch>), u64>;

/// All there is.
#[derive(Debug, Default)]
pub(crate) struct InterestTable {
    /// By pattern and who wants it: the ways, shortest first, and how often each is given.
    ways: BTreeMap<(Pattern, Epoch), Ways>,
    version: u64,
}

impl InterestTable {
    /// One subscription more gives this; a local one with an empty path.
    pub fn add(&mut self, own: Epoch, pattern: &Pattern, path: &[Epoch]) {
        if pattern.as_str().split('.').next() == Some(RESERVED) || path.contains(&own) {
            return;
        }
        let wanting = path.first().copied().unwrap_or(own);
        let ways = self.ways.entry((pattern.clone(), wanting)).or_default();
        let count = ways.entry((path.len(), path.to_vec())).or_default();
        *count += 1;
        self.version += u64::from(*count == 1);
    }

    /// One subscription less gives it.
    pub fn remove(&mut self, own: Epoch, pattern: &Pattern, path: &[Epoch]) {
        let wanting = path.first().copied().unwrap_or(own);
        let key = (pattern.clone(), wanting);
        let Some(ways) = self.ways.get_mut(&key) else { return };
        let way = (path.len(), path.to_vec());
        let Some(count) = ways.get_mut(&way) else { return };
        *count -= 1;
        if *count == 0 {
            ways.remove(&way);
            self.version += 1;
        }
        if ways.is_empty() {
            self.ways.remove(&key);
        }
    }

    /// Goes up whenever there is something else to tell.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// How many patterns are wanted, each by how many brokers.
    pub fn len(&self) -> usize {
        self.ways.len()
    }

    /// What a peer is told: of the ways that do not lead over it the best, with this broker
    /// behind it.
    pub fn offer(&self, own: Epoch, peer: Epoch) -> InterestOffer {
        self.offer_of(own, peer, |_| true)
    }

    /// The same, of some patterns.
    pub fn offer_of(
        &self,
        own: Epoch,
        peer: Epoch,
        is_meant: impl Fn(&Pattern) -> bool,
    ) -> InterestOffer {
        let mut offer = InterestOffer::default();
        for ((pattern, _), ways) in self.ways.iter().filter(|((pattern, _), _)| is_meant(pattern)) {
            let mut others = ways.keys().filter(|(_, path)| !path.contains(&peer));
            let Some((length, path)) = others.next() else { continue };
            if *length >= HOPS_MAX || offer.interests.len() >= INTERESTS_MAX {
                offer.left_out += 1;
                continue;
            }
            let path = path.iter().copied().chain([own]).collect();
            offer.interests.push(Interest { pattern: pattern.clone(), path });
        }
        offer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> Pattern {
        Pattern::new(text).expect("a pattern")
    }

    #[test]
    fn the_best_way_that_avoids_the_peer_is_told() {
        let mut table = InterestTable::default();
        table.add(1, &pattern("a"), &[9, 8, 7]);
        table.add(1, &pattern("a"), &[9, 6]);
        let paths = |table: &InterestTable, peer| {
            let offered = table.offer(1, peer).interests.into_iter();
            offered.map(|interest| interest.path).collect::<Vec<_>>()
        };
        assert_eq!(paths(&table, 5), [vec![9, 6, 1]]);
        assert_eq!(paths(&table, 6), [vec![9, 8, 7, 1]]);
        assert!(paths(&table, 9).is_empty());
        table.remove(1, &pattern("a"), &[9, 6]);
        assert_eq!(paths(&table, 5), [vec![9, 8, 7, 1]]);
    }

    #[test]
    fn only_what_changes_the_table_changes_its_version() {
        let mut table = InterestTable::default();
        let mut before = table.version();
        let mut changes = |table: &InterestTable| {
            std::mem::replace(&mut before, table.version()) != table.version()
        };
        table.add(1, &pattern("a"), &[]);
        assert!(changes(&table));
        table.add(1, &pattern("a"), &[]);
        table.remove(1, &pattern("a"), &[]);
        // The broker's own names are nobody else's, nor is what leads back here.
        table.add(1, &pattern("$bus.>"), &[]);
        table.add(1, &pattern("a"), &[4, 1]);
        assert!(!changes(&table));
        table.remove(1, &pattern("a"), &[]);
        assert!(changes(&table));
        assert_eq!(table.len(), 0);
    }

    #[test]
    fn what_is_too_far_is_counted() {
        let mut table = InterestTable::default();
        let far: Vec<Epoch> = (2..).take(HOPS_MAX).collect();
        table.add(1, &pattern("a"), &far);
        table.add(1, &pattern("b"), &far[..HOPS_MAX - 1]);
        let offer = table.offer(1, 99);
        assert_eq!((offer.interests.len(), offer.left_out), (1, 1));
    }
}
