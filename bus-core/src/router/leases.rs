//! The unsettled deliveries of one session, by number: each counts on from the last, from 1.
//!
//! They lie in chunks of neighbouring numbers: a batch that is leased as a whole, or single ones.
//! A batch of which one delivery goes its own way is taken apart, once, and no other chunk moves
//! for that. What moves chunks is paid for by at least as many messages as a batch has. Invariant: chunks are in the order of their numbers, and `empty` counts those that
//! hold nothing.

use std::collections::VecDeque;

use super::command::Lease;
use super::lease::{LeaseView, Leased, LeasedBatch};

/// Most deliveries of one chunk.
pub(crate) const CHUNK_MAX: u64 = 256;
/// Room for single deliveries that may lie idle in a chunk.
const SPARE_MIN: usize = 16;
/// Fewer than this that arrive, or are taken, together go one by one; pieces of a batch may be less.
pub(crate) const BATCH_MIN: u64 = 8;

/// The deliveries.
#[derive(Debug, Default)]
pub(crate) struct Leases {
    chunks: VecDeque<Chunk>,
    empty: usize,
    live: usize,
    last: Lease,
}

#[derive(Debug)]
struct Chunk {
    /// The lowest number that may be in it.
    first: Lease,
    content: Content,
}

#[derive(Debug)]
enum Content {
    /// Its first delivery has the chunk's first number.
    Batch(LeasedBatch),
    /// In the order of their numbers.
    Singles(VecDeque<(Lease, Leased)>),
}

impl Leases {
    /// Adds a delivery and gives its number.
    pub fn push(&mut self, leased: Leased) -> Lease {
        self.last += 1;
        self.live += 1;
        match self.chunks.back_mut() {
            Some(Chunk { content: Content::Singles(singles), .. })
                if !singles.is_empty() && (singles.len() as u64) < CHUNK_MAX =>
            {
                singles.push_back((self.last, leased));
            }
            _ => {
                let content = Content::Singles(VecDeque::from([(self.last, leased)]));
                self.chunks.push_back(Chunk { first: self.last, content });
            }
        }
        self.last
    }

    /// Adds a batch of at most `CHUNK_MAX` and gives the number of its first delivery.
    pub fn push_batch(&mut self, leased: LeasedBatch) -> Lease {
        debug_assert!(leased.batch.count() <= CHUNK_MAX);
        let first = self.last + 1;
        self.last += leased.batch.count();
        self.live += leased.batch.count() as usize;
        self.chunks.push_back(Chunk { first, content: Content::Batch(leased) });
        first
    }

    /// Takes a delivery out.
    pub fn remove(&mut self, lease: Lease) -> Option<Leased> {
        let at = self.chunk_of(lease)?;
        let chunk = self.chunks.get_mut(at)?;
        let leased = match &mut chunk.content {
            Content::Batch(batch) if lease - chunk.first >= batch.batch.count() => return None,
            Content::Batch(batch) if chunk.first == lease => {
                chunk.first += 1;
                batch.pop_front()?
            }
            _ => {
                let singles = chunk.take_apart()?;
                let index = position(singles, lease)?;
                let leased = singles.remove(index)?.1;
                if singles.capacity() > SPARE_MIN + 4 * singles.len() {
                    singles.shrink_to(2 * singles.len());
                }
                leased
            }
        };
        self.live -= 1;
        self.note_removed(at);
        Some(leased)
    }

    /// Lets up to so many deliveries from this one on go, if a batch begins with it: how many that
    /// were, and what they cost.
    pub fn remove_batch(&mut self, first: Lease, count: u64) -> Option<(u64, u64)> {
        let at = self.chunk_of(first)?;
        let chunk = self.chunks.get_mut(at)?;
        let Content::Batch(batch) = &mut chunk.content else { return None };
        if chunk.first != first || batch.batch.count() == 0 {
            return None;
        }
        let count = count.min(batch.batch.count());
        let cost = batch.drop_front(count);
        chunk.first += count;
        self.live -= count as usize;
        self.note_removed(at);
        Some((count, cost))
    }

    /// A part of up to so many deliveries from this one on, for changing, if a batch begins with
    /// it. How many there are in the part, too.
    pub fn part_of_batch(&mut self, first: Lease, count: u64) -> Option<(u64, &mut LeasedBatch)> {
        let at = self.chunk_of(first)?;
        let chunk = self.chunks.get_mut(at)?;
        let Content::Batch(batch) = &mut chunk.content else { return None };
        if chunk.first != first || count < BATCH_MIN {
            return None;
        }
        if count < batch.batch.count() {
            let part = batch.split_to(count);
            chunk.first += part.batch.count();
            self.chunks.insert(at, Chunk { first, content: Content::Batch(part) });
        }
        match &mut self.chunks.get_mut(at)?.content {
            Content::Batch(batch) => Some((batch.batch.count(), batch)),
            Content::Singles(_) => None,
        }
    }

    /// A delivery by itself, for changing.
    pub fn get_mut(&mut self, lease: Lease) -> Option<&mut Leased> {
        let at = self.chunk_of(lease)?;
        let chunk = self.chunks.get_mut(at)?;
        if let Content::Batch(batch) = &chunk.content
            && lease - chunk.first >= batch.batch.count()
        {
            return None;
        }
        let singles = chunk.take_apart()?;
        let index = position(singles, lease)?;
        singles.get_mut(index).map(|(_, leased)| leased)
    }

    /// What is to be known of a delivery.
    pub fn get(&self, lease: Lease) -> Option<LeaseView> {
        let chunk = self.chunks.get(self.chunk_of(lease)?)?;
        match &chunk.content {
            Content::Batch(batch) => {
                let index = lease - chunk.first;
                (index < batch.batch.count()).then(|| view_in(batch, index))
            }
            Content::Singles(singles) => {
                singles.get(position(singles, lease)?).map(|(_, leased)| view(leased))
            }
        }
    }

    /// All deliveries, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = (Lease, LeaseView)> {
        self.chunks.iter().flat_map(|chunk| {
            let (batch, singles) = match &chunk.content {
                Content::Batch(batch) => (Some(batch), None),
                Content::Singles(singles) => (None, Some(singles)),
            };
            let of_batch = batch.into_iter().flat_map(|batch| {
                (0..batch.batch.count()).map(|index| (chunk.first + index, view_in(batch, index)))
            });
            let singles = singles.into_iter().flatten();
            of_batch.chain(singles.map(|(lease, leased)| (*lease, view(leased))))
        })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.live
    }

    /// The highest number given out.
    pub fn last(&self) -> Lease {
        self.last
    }

    /// The chunk that has this number, if any has.
    fn chunk_of(&self, lease: Lease) -> Option<usize> {
        match self.chunks.front() {
            Some(front) if front.first == lease => Some(0),
            _ => self.chunks.partition_point(|chunk| chunk.first <= lease).checked_sub(1),
        }
    }

    /// Lets empty chunks go: those in front at once, others when they are many.
    fn note_removed(&mut self, at: usize) {
        if !self.chunks.get(at).is_some_and(Chunk::is_empty) {
            return;
        }
        self.empty += 1;
        while self.chunks.front().is_some_and(Chunk::is_empty) {
            self.chunks.pop_front();
            self.empty -= 1;
        }
        if self.empty > 16 + self.chunks.len() / 2 {
            self.chunks.retain(|chunk| !chunk.is_empty());
            self.empty = 0;
        }
    }
}

impl Chunk {
    fn is_empty(&self) -> bool {
        match &self.content {
            Content::Batch(batch) => batch.batch.count() == 0,
            Content::Singles(singles) => singles.is_empty(),
        }
    }

    /// Makes single deliveries of a batch. Each is kept by itself from now on.
    fn take_apart(&mut self) -> Option<&mut VecDeque<(Lease, Leased)>> {
        if let Content::Batch(batch) = &mut self.content {
            let mut singles = VecDeque::with_capacity(batch.batch.count() as usize);
            for lease in self.first.. {
                let Some(mut leased) = batch.pop_front() else { break };
                leased.stored.message.compact();
                singles.push_back((lease, leased));
            }
            self.content = Content::Singles(singles);
        }
        match &mut self.content {
            Content::Singles(singles) => Some(singles),
            Content::Batch(_) => None,
        }
    }
}

fn position(singles: &VecDeque<(Lease, Leased)>, lease: Lease) -> Option<usize> {
    match singles.front() {
        Some((first, _)) if *first == lease => Some(0),
        _ => singles.binary_search_by_key(&lease, |(number, _)| *number).ok(),
    }
}

fn view(leased: &Leased) -> LeaseView {
    LeaseView {
        queue: leased.queue,
        waiter: leased.waiter,
        kind: leased.stored.message.kind(),
        arrival: leased.stored.arrival,
        recalled: leased.stored.recalled,
        taken: leased.taken,
        deadline: leased.deadline,
        auto_ack: leased.auto_ack,
        recalled_for: leased.recalled_for,
    }
}

fn view_in(leased: &LeasedBatch, index: u64) -> LeaseView {
    LeaseView {
        queue: leased.queue,
        waiter: leased.waiter,
        kind: leased.batch.kind,
        arrival: leased.batch.arrival + index,
        recalled: false,
        taken: leased.taken,
        deadline: leased.deadline,
        auto_ack: leased.auto_ack,
        recalled_for: None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::arena::Id;
    use crate::frame::{Header, Kind, Parcel};
    use crate::message::{Message, Sender};
    use crate::message_type::MessageType;
    use crate::router::lease::{Batch, Stored};
    use crate::session::Outbound;

    /// So many messages as they are sent.
    fn parcel(count: u64) -> Parcel {
        let mut outbound = Outbound::default();
        for _ in 0..count {
            outbound.push_message(&Header::new(Kind::Send, 0, 1), &Message::from("some payload"));
        }
        let mut slices = Vec::new();
        outbound.unsent(usize::MAX, usize::MAX, &mut slices);
        Parcel::check(Kind::Send, slices.concat().into(), count).expect("as it was made")
    }

    /// Leases, and the same in a map: their arrivals, and whether they were taken.
    #[derive(Default)]
    struct Both {
        leases: Leases,
        map: BTreeMap<Lease, (u64, bool)>,
        arrival: u64,
    }

    impl Both {
        fn add(&mut self, count: u64) {
            let (queue, waiter) = (Id::of_none(1), Id::of_none(2));
            let (sender, arrival) = (Arc::new(Sender::default()), self.arrival);
            let (taken, deadline, auto_ack) = (false, None, false);
            let first = if count == 1 {
                let stored = Stored::new(Message::from("x"), sender, arrival);
                let recalled_for = None;
                self.leases.push(Leased {
                    queue,
                    waiter,
                    stored,
                    taken,
                    deadline,
                    auto_ack,
                    recalled_for,
                })
            } else {
                let batch =
                    Batch { parcel: parcel(count), kind: MessageType::ONE, sender, arrival };
                let leased = LeasedBatch { queue, waiter, batch, taken, deadline, auto_ack };
                self.leases.push_batch(leased)
            };
            self.map.extend((0..count).map(|n| (first + n, (arrival + n, false))));
            self.arrival += count;
        }

        /// Takes out what is there; both must agree.
        fn remove(&mut self, lease: Lease) {
            let removed = self.leases.remove(lease).map(|leased| leased.stored.arrival);
            assert_eq!(removed, self.map.remove(&lease).map(|(arrival, _)| arrival));
        }

        fn remove_batch(&mut self, lease: Lease, count: u64) {
            let Some((got, cost)) = self.leases.remove_batch(lease, count) else { return };
            assert!(
                (1..=count).contains(&got) && cost == got * Message::from("some payload").cost()
            );
            for n in 0..got {
                assert!(self.map.remove(&(lease + n)).is_some());
            }
        }

        fn take(&mut self, lease: Lease, count: u64) {
            if let Some((got, part)) = self.leases.part_of_batch(lease, count) {
                part.taken = true;
                assert!(got <= count && got == part.batch.count());
                for n in 0..got {
                    self.map.get_mut(&(lease + n)).expect("as many as it says").1 = true;
                }
                return;
            }
            let leased = self.leases.get_mut(lease);
            assert_eq!(leased.is_some(), self.map.contains_key(&lease));
            if let (Some(leased), Some(noted)) = (leased, self.map.get_mut(&lease)) {
                (leased.taken, noted.1) = (true, true);
            }
        }

        fn check(&self, lease: Lease) {
            let brief = |view: LeaseView| (view.arrival, view.taken);
            let found: Vec<_> = self.leases.iter().map(|(n, view)| (n, brief(view))).collect();
            assert_eq!(found, self.map.iter().map(|(n, noted)| (*n, *noted)).collect::<Vec<_>>());
            assert_eq!(self.leases.len(), self.map.len());
            let empty = self.leases.chunks.iter().filter(|chunk| chunk.is_empty()).count();
            assert_eq!(empty, self.leases.empty);
            assert_eq!(self.leases.get(lease).map(brief), self.map.get(&lease).copied());
        }
    }

    proptest! {
        /// Batches and singles, settled in whatever order, are as so many numbers in a map.
        #[test]
        fn leases_are_as_a_plain_map(
            steps in prop::collection::vec((0u8..7, 0usize..60, 1u64..40), 1..120),
        ) {
            let mut both = Both::default();
            for (action, at, count) in steps {
                let nth = both.map.keys().nth(at % both.map.len().max(1)).copied();
                let lease = nth.unwrap_or(at as u64);
                match action {
                    0 => both.add(1),
                    1 | 2 => both.add(count),
                    3 => both.remove(lease),
                    4 => both.remove_batch(lease, count),
                    5 => both.take(lease, count),
                    _ => both.remove(lease + count),
                }
                both.check(lease);
            }
        }
    }
}
