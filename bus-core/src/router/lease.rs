//! A message in a queue, and one that is out on a lease.
//!
//! Plain values; what happens to them is decided by the queue and in `settle`.

use crate::arena::Id;
use crate::message::{Message, SharedSender};
use crate::sequence::Sequence;
use crate::time::Time;

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
    /// It was given back once so that another receiver could have it.
    pub recalled: bool,
}

impl Stored {
    /// A message that nobody has been handed yet.
    pub fn new(message: Message, sender: SharedSender, arrival: Arrival) -> Stored {
        Stored { message, sender, arrival, attempt: 0, recalled: false }
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

/// The unsettled deliveries of one session, by number.
pub(crate) type Leases = Sequence<Leased>;
