//! Sends that are on their way to the home of a hosted queue, by the tickets that it knows.
//!
//! Those that went together are kept as one, and come apart where their answers do. Invariant: no
//! ticket is in two entries, and `bytes` is what all of them cost.

use std::collections::{BTreeMap, VecDeque};

use crate::arena::Id;
use crate::frame::Parcel;
use crate::router::command::Ticket;
use crate::router::session::Session;

/// The sends.
#[derive(Debug, Default)]
pub(super) struct Sends {
    /// Under the first ticket of each entry.
    entries: BTreeMap<Ticket, Sent>,
    last: Ticket,
    bytes: u64,
}

/// One that is on its way, or several of one session whose tickets follow each other on both sides.
#[derive(Debug)]
pub(super) struct Sent {
    pub session: Id<Session>,
    /// Of the first.
    pub ticket: Ticket,
    pub costs: Costs,
    pub no_wait: bool,
    pub withdrawn: bool,
}

/// What messages cost, one after the other.
#[derive(Debug)]
pub(super) enum Costs {
    /// So many, each the same.
    Even(u64, u64),
    Each(VecDeque<u64>),
}

impl Sends {
    /// Adds what goes now: the ticket of the first.
    pub fn push(&mut self, sent: Sent) -> Ticket {
        let first = self.last + 1;
        self.last += sent.costs.count();
        self.bytes += sent.costs.total();
        self.entries.insert(first, sent);
        first
    }

    /// Takes those out that are there of so many tickets from this one on, in their order.
    pub fn take(&mut self, first: Ticket, count: u64) -> Vec<Sent> {
        let end = first.saturating_add(count);
        self.come_apart_at(first);
        self.come_apart_at(end);
        let tickets: Vec<Ticket> = self.entries.range(first..end).map(|(at, _)| *at).collect();
        let taken: Vec<Sent> =
            tickets.iter().filter_map(|ticket| self.entries.remove(ticket)).collect();
        self.bytes -= taken.iter().map(|sent| sent.costs.total()).sum::<u64>();
        taken
    }

    /// One by itself, for changing.
    pub fn alone(&mut self, ticket: Ticket) -> Option<&mut Sent> {
        self.come_apart_at(ticket);
        self.come_apart_at(ticket + 1);
        self.entries.get_mut(&ticket)
    }

    /// All entries, each with its first ticket.
    pub fn iter(&self) -> impl Iterator<Item = (Ticket, &Sent)> {
        self.entries.iter().map(|(ticket, sent)| (*ticket, sent))
    }

    /// What they cost.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Sees to it that no entry goes on over this ticket.
    fn come_apart_at(&mut self, ticket: Ticket) {
        let Some((first, sent)) = self.entries.range_mut(..ticket).next_back() else { return };
        let skip = ticket - first;
        if skip >= sent.costs.count() {
            return;
        }
        let front = sent.costs.split_to(skip);
        let costs = std::mem::replace(&mut sent.costs, front);
        let rest = Sent { ticket: sent.ticket + skip, costs, ..*sent };
        self.entries.insert(ticket, rest);
    }
}

impl Costs {
    /// Those of the messages in a parcel.
    pub fn of(parcel: &Parcel) -> Costs {
        match parcel.even_cost() {
            Some(each) => Costs::Even(parcel.count(), each),
            None => Costs::Each(parcel.costs().collect()),
        }
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        match self {
            Costs::Even(count, _) => *count,
            Costs::Each(costs) => costs.len() as u64,
        }
    }

    /// All together.
    pub fn total(&self) -> u64 {
        match self {
            Costs::Even(count, each) => count * each,
            Costs::Each(costs) => costs.iter().sum(),
        }
    }

    /// Splits so many off the front.
    fn split_to(&mut self, front: u64) -> Costs {
        match self {
            Costs::Even(count, each) => {
                let front = front.min(*count);
                *count -= front;
                Costs::Even(front, *each)
            }
            Costs::Each(costs) => {
                let front = usize::try_from(front).unwrap_or(usize::MAX).min(costs.len());
                let rest = costs.split_off(front);
                Costs::Each(std::mem::replace(costs, rest))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(ticket: Ticket, costs: Costs) -> Sent {
        Sent { session: Id::of_none(1), ticket, costs, no_wait: false, withdrawn: false }
    }

    /// The tickets of the session and the costs, one by one.
    fn each(taken: Vec<Sent>) -> Vec<(Ticket, u64)> {
        let mut all = Vec::new();
        for mut sent in taken {
            for ticket in sent.ticket..sent.ticket + sent.costs.count() {
                all.push((ticket, sent.costs.split_to(1).total()));
            }
        }
        all
    }

    #[test]
    fn sends_that_went_together_come_apart_where_their_answers_do() {
        let mut sends = Sends::default();
        assert_eq!(sends.push(sent(10, Costs::Even(4, 100))), 1);
        assert_eq!(sends.push(sent(14, Costs::Each([1, 2, 3].into()))), 5);
        assert_eq!(sends.push(sent(50, Costs::Even(1, 9))), 8);
        assert_eq!(sends.bytes(), 415);
        let one = sends.alone(6).expect("it is there");
        assert_eq!((one.ticket, one.costs.total()), (15, 2));
        one.withdrawn = true;
        let taken = sends.take(3, 3);
        assert_eq!(each(taken), [(12, 100), (13, 100), (14, 1)]);
        // Those of which the peer speaks and that are not there do nothing.
        assert_eq!(each(sends.take(3, 3)), []);
        let left: Vec<_> = sends.iter().map(|(at, sent)| (at, sent.withdrawn)).collect();
        assert_eq!(left, [(1, false), (6, true), (7, false), (8, false)]);
        assert_eq!(
            each(sends.take(0, u64::MAX)),
            [(10, 100), (11, 100), (15, 2), (16, 3), (50, 9)]
        );
        assert_eq!(sends.bytes(), 0);
    }
}
