//! The unsettled deliveries of one session, by number.
//!
//! Numbers count on, and most deliveries are settled soon and in order: those lie in a ring.
//! The few that stay long are moved aside, so that memory follows what is unsettled, not the
//! distance between the oldest and the newest.

use std::collections::{BTreeMap, VecDeque};

use crate::arena::Id;
use crate::message::{Message, SharedSender};
use crate::time::Time;

use super::command::Lease;
use super::queue::Queue;
use super::shelf::Arrival;
use super::waiter::Waiter;

/// A message in a queue, with what the queue knows of it.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub message: Message,
    pub sender: SharedSender,
    /// Its place in the queue, for good.
    pub arrival: Arrival,
    /// How often it was delivered and came back marked.
    pub attempt: u32,
}

/// A delivery that is not settled.
#[derive(Debug)]
pub(crate) struct Leased {
    pub queue: Id<Queue>,
    pub waiter: Id<Waiter>,
    pub stored: Stored,
    /// When the lease ends; `None` until the application has the message.
    pub deadline: Option<Time>,
    /// Acknowledged when the application has it.
    pub auto_ack: bool,
    /// For whom its return was asked.
    pub recalled_for: Option<Id<Waiter>>,
}

/// All of a session's.
#[derive(Debug)]
pub(crate) struct Leases {
    /// Number of the first slot.
    first: Lease,
    slots: VecDeque<Option<Leased>>,
    aside: BTreeMap<Lease, Leased>,
    live: usize,
}

/// Slots that may lie empty among the live ones before the oldest are moved aside.
const SLACK: usize = 64;

impl Leases {
    /// Adds a delivery and gives its number.
    pub fn insert(&mut self, leased: Leased) -> Lease {
        let lease = self.first + self.slots.len() as u64;
        self.slots.push_back(Some(leased));
        self.live += 1;
        while self.slots.len() > SLACK + 4 * self.live {
            if let Some(Some(old)) = self.slots.pop_front() {
                self.aside.insert(self.first, old);
            }
            self.first += 1;
        }
        lease
    }

    /// Takes a delivery out.
    pub fn remove(&mut self, lease: Lease) -> Option<Leased> {
        let found = match lease.checked_sub(self.first) {
            Some(index) => self.slots.get_mut(usize::try_from(index).ok()?)?.take(),
            None => self.aside.remove(&lease),
        }?;
        self.live -= 1;
        while let Some(None) = self.slots.front() {
            self.slots.pop_front();
            self.first += 1;
        }
        Some(found)
    }

    /// A delivery for changing.
    pub fn get_mut(&mut self, lease: Lease) -> Option<&mut Leased> {
        match lease.checked_sub(self.first) {
            Some(index) => self.slots.get_mut(usize::try_from(index).ok()?)?.as_mut(),
            None => self.aside.get_mut(&lease),
        }
    }

    /// A delivery.
    pub fn get(&self, lease: Lease) -> Option<&Leased> {
        match lease.checked_sub(self.first) {
            Some(index) => self.slots.get(usize::try_from(index).ok()?)?.as_ref(),
            None => self.aside.get(&lease),
        }
    }

    /// All of them, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = (Lease, &Leased)> {
        let recent = (self.first..)
            .zip(&self.slots)
            .filter_map(|(lease, slot)| Some((lease, slot.as_ref()?)));
        self.aside.iter().map(|(lease, leased)| (*lease, leased)).chain(recent)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.live
    }

    /// The highest number given out.
    pub fn last(&self) -> Lease {
        self.first + self.slots.len() as u64 - 1
    }
}

impl Default for Leases {
    fn default() -> Self {
        Leases { first: 1, slots: VecDeque::new(), aside: BTreeMap::new(), live: 0 }
    }
}
