//! A message in a queue, and one that is out on a lease; many of them as one.
//!
//! Plain values; what happens to them is decided by the queue and in `settle`.

use crate::arena::Id;
use crate::frame::Parcel;
use crate::message::{Message, SharedSender};
use crate::message_type::MessageType;
use crate::time::Time;

use super::queue::Queue;
use super::shelf::{Arrival, Entry};
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
    /// It was given back once so that another receiver could have it.
    pub recalled: bool,
    /// It was out when a session was lost, and nobody has answered for it since.
    pub suspect: bool,
}

impl Stored {
    /// A message that nobody has been handed yet.
    pub fn new(message: Message, sender: SharedSender, arrival: Arrival) -> Stored {
        Stored { message, sender, arrival, attempt: 0, recalled: false, suspect: false }
    }
}

/// Messages of one type and sender whose places follow each other, and which nobody has been
/// handed yet.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    pub parcel: Parcel,
    pub kind: MessageType,
    pub sender: SharedSender,
    /// Place of the first.
    pub arrival: Arrival,
}

impl Batch {
    /// How many there are.
    pub fn count(&self) -> u64 {
        self.parcel.count()
    }

    /// Splits off so many from the front.
    pub fn split_to(&mut self, count: u64) -> Batch {
        let mut parcel = self.parcel.split_to(count);
        parcel.compact();
        self.parcel.compact();
        let front = Batch { parcel, sender: self.sender.clone(), ..*self };
        self.arrival += front.count();
        front
    }

    /// Takes the first message out.
    pub fn pop_front(&mut self) -> Option<Stored> {
        let message = self.parcel.pop_front()?;
        self.parcel.compact();
        self.arrival += 1;
        Some(Stored::new(message, self.sender.clone(), self.arrival - 1))
    }
}

/// What lies on a queue's shelf.
#[derive(Clone, Debug)]
pub(crate) enum Shelved {
    One(Stored),
    Batch(Batch),
}

impl Shelved {
    /// Length of the first message.
    pub fn length(&self) -> u64 {
        match self {
            Shelved::One(stored) => stored.message.len() as u64,
            Shelved::Batch(batch) => batch.parcel.first_length(),
        }
    }

    /// Whether the first message is handed out alone.
    pub fn is_suspect(&self) -> bool {
        matches!(self, Shelved::One(Stored { suspect: true, .. }))
    }

    /// The first message.
    pub fn into_stored(self) -> Option<Stored> {
        match self {
            Shelved::One(stored) => Some(stored),
            Shelved::Batch(mut batch) => batch.pop_front(),
        }
    }
}

impl Entry for Shelved {
    fn count(&self) -> u64 {
        match self {
            Shelved::One(_) => 1,
            Shelved::Batch(batch) => batch.count(),
        }
    }

    fn split_to(&mut self, count: u64) -> Shelved {
        match self {
            Shelved::Batch(batch) => Shelved::Batch(batch.split_to(count)),
            Shelved::One(stored) => {
                debug_assert!(false, "one message is not split");
                Shelved::One(stored.clone())
            }
        }
    }
}

/// A delivery that is not settled.
#[derive(Debug)]
pub(crate) struct Leased {
    pub queue: Id<Queue>,
    pub waiter: Id<Waiter>,
    pub stored: Stored,
    /// Whether the application has said that it has the message.
    pub taken: bool,
    /// When the lease ends. Until the message is taken only that of a single receive has an
    /// end, and what was asked back; with auto-ack nothing has.
    pub deadline: Option<Time>,
    /// Acknowledged when the application has it.
    pub auto_ack: bool,
    /// For whom its return was asked.
    pub recalled_for: Option<Id<Waiter>>,
}

/// Deliveries of one consumer that are not settled, none of them asked back.
#[derive(Debug)]
pub(crate) struct LeasedBatch {
    pub queue: Id<Queue>,
    pub waiter: Id<Waiter>,
    pub batch: Batch,
    pub taken: bool,
    pub deadline: Option<Time>,
    pub auto_ack: bool,
}

impl LeasedBatch {
    /// Lets so many go from the front, and says what they cost.
    pub fn drop_front(&mut self, count: u64) -> u64 {
        let cost = self.batch.parcel.split_to(count).cost();
        self.batch.parcel.compact();
        self.batch.arrival += count;
        cost
    }

    /// Splits off so many from the front.
    pub fn split_to(&mut self, count: u64) -> LeasedBatch {
        LeasedBatch { batch: self.batch.split_to(count), ..*self }
    }

    /// Takes the first one out.
    pub fn pop_front(&mut self) -> Option<Leased> {
        Some(Leased {
            queue: self.queue,
            waiter: self.waiter,
            stored: self.batch.pop_front()?,
            taken: self.taken,
            deadline: self.deadline,
            auto_ack: self.auto_ack,
            recalled_for: None,
        })
    }
}

/// What is to be known of a delivery, whether it stands alone or in a batch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LeaseView {
    pub queue: Id<Queue>,
    pub waiter: Id<Waiter>,
    pub kind: MessageType,
    pub arrival: Arrival,
    /// It was given back once so that another receiver could have it.
    pub recalled: bool,
    pub taken: bool,
    pub deadline: Option<Time>,
    pub auto_ack: bool,
    pub recalled_for: Option<Id<Waiter>>,
}
