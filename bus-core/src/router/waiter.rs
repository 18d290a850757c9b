//! Those who wait at a queue: single receives and consumers.

use std::collections::VecDeque;

use crate::arena::Id;

use super::command::{Channel, ConsumeOptions, Lease};
use super::session::Session;

/// A receive or consumer.
#[derive(Debug)]
pub(crate) struct Waiter {
    pub session: Id<Session>,
    pub channel: Channel,
    pub options: ConsumeOptions,
    /// Deliveries that are not settled.
    pub outstanding: u32,
    /// Deliveries that the application has not been handed yet, oldest first.
    pub untaken: VecDeque<Lease>,
    /// Whether it stands in the queue's line of those who wait.
    pub ready: bool,
    /// Recalls made for it that are not answered yet.
    pub recalls: u32,
    /// Offers granted for it that have not arrived yet.
    pub promises: u32,
}

impl Waiter {
    pub fn new(session: Id<Session>, channel: Channel, options: ConsumeOptions) -> Waiter {
        Waiter {
            session,
            channel,
            options,
            outstanding: 0,
            untaken: VecDeque::new(),
            ready: false,
            recalls: 0,
            promises: 0,
        }
    }

    /// Whether it may be handed one more.
    pub fn has_credit(&self) -> bool {
        self.outstanding < self.options.credit
    }
}
