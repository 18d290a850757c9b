//! What has come for a channel and was not yet looked at.
//!
//! Bounded by the credit that the channel has given: the broker sends nothing beyond it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Context;

use bus_core::Message;
use bus_core::Run;
use bus_core::session::{Leased, LeasedParcel, Origin};

use crate::error::Error;
use crate::waiters::Waiters;

/// A channel's inbox.
pub(crate) struct Inbox {
    pub serial: u64,
    pub items: VecDeque<Item>,
    /// Those who wait for items, room, or the end.
    pub waiting: Waiters,
    /// Why the channel has ended.
    pub ended: Option<Ended>,
    /// The pattern of a subscription, for its events.
    pub pattern: Option<String>,
}

/// Something for a channel.
pub(crate) enum Item {
    /// Deliveries of a subscription, the sources that they name, and the session that bore them.
    Run { run: Run, origins: Vec<(u32, Arc<Origin>)>, life: u64 },
    /// So many messages of a subscription are lost, of which so many may have arrived.
    Lost { count: u64, unconfirmed: u64 },
    /// A delivery of a queue.
    Leased(Leased),
    /// Several of them, at least one.
    LeasedParcel(LeasedParcel),
    /// A call to serve.
    Call { call: u64, timeout_ms: u64, origin: Arc<Origin>, message: Message },
}

/// The end of a channel, which several may have to be told.
#[derive(Clone)]
pub(crate) struct Ended(pub bus_core::Failure);

impl Inbox {
    pub fn new(serial: u64, pattern: Option<String>) -> Inbox {
        Inbox { serial, items: VecDeque::new(), waiting: Waiters::default(), ended: None, pattern }
    }

    /// Takes a delivery out. Whether it was here.
    pub fn remove(&mut self, lease: u64) -> bool {
        let is_it = |item: &Item| match item {
            Item::Leased(leased) => leased.lease == lease,
            Item::LeasedParcel(leased) => leased.leases().contains(&lease),
            _ => false,
        };
        let Some(place) = self.items.iter().position(is_it) else { return false };
        if let Some(Item::LeasedParcel(mut leased)) = self.items.remove(place) {
            let behind = self.items.split_off(place);
            while let Some(one) = leased.pop_front() {
                if one.lease != lease {
                    self.items.push_back(Item::Leased(one));
                }
            }
            self.items.extend(behind);
        }
        true
    }

    /// Asks to be woken.
    pub fn wait(&mut self, cx: &mut Context<'_>) {
        self.waiting.add(cx);
    }
}

impl From<Ended> for Error {
    fn from(ended: Ended) -> Error {
        ended.0.into()
    }
}
