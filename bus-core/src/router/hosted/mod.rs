//! Queues that live at another broker, and which a bridge hosts here.
//!
//! Such a queue has a name, an owner and a mode as any, and no shelf: what clients do on it goes
//! out to the session that hosts it, and what its home says comes in and is told to them. Each
//! receiver has a *double* at home, which stands in the line there; so selection, order and
//! fairness are those of the whole queue. Nothing is decided twice: leases, room, dead letters and
//! delays are settled at home alone. Invariants: a delivery is handed out here exactly while the
//! session has a lease of it; what was asked and not answered is in one of the tables below, which
//! are bounded by what clients hold.

mod answers;
mod asking;
mod batches;
mod ends;
mod leases;
mod receivers;
mod sends;
mod sent;
mod ways;
mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::arena::Id;
use crate::error::Failure;
use crate::message::{Sender, SharedSender};
use crate::runs::Runs;
use crate::time::Time;

use super::command::{Channel, RequestId};
use super::ground::Ground;
use super::provenance::Epoch;
use super::queue::Queue;
use super::session::Session;
use super::waiter::Waiter;

use sent::Sends;
use ways::Openers;
use words::Words;

pub use asking::{Forsaken, HostedAsk, HostedTell};

/// What makes a queue a hosted one.
#[derive(Debug, Default)]
pub(crate) struct Hosting {
    /// The session that hosts it, and its channel; none while nobody does.
    host: Option<(Id<Session>, Channel)>,
    /// Whether its home can be reached, by the host's word.
    home_is_up: bool,
    /// The brokers on the way to here, its home first.
    pub hops: Vec<Epoch>,
    /// Why it is not hosted, if the way on which it would come is refused.
    refused: Option<Failure>,
    /// Why its home does not give it, by the home's own answer.
    denied: Option<Failure>,
    /// What people call its home, and the bridge.
    words: Words,
    /// Who hosts it further on.
    openers: Openers,
    /// While nobody hosts it: when it is given up.
    linger_until: Option<Time>,
    /// Receivers that have a double at home, by its number.
    receivers: BTreeMap<u64, Id<Waiter>>,
    doubles: BTreeMap<Id<Waiter>, Double>,
    /// Doubles that were closed, and whose end home has not confirmed.
    closing: BTreeSet<u64>,
    next_receiver: u64,
    /// Deliveries that are out here: their numbers at home, and whose they are.
    by_home: Runs<(), Id<Session>>,
    by_local: Runs<Id<Session>, ()>,
    /// Acknowledgements that home has not answered, by their numbers there.
    acks: Runs<(), Id<Session>>,
    /// Requests that home has not answered.
    requests: BTreeMap<RequestId, (Id<Session>, RequestId)>,
    next_request: RequestId,
    /// Sends that home has not answered.
    sends: Sends,
    /// Tells the sessions of this home apart from those of others, and of its earlier lives.
    generation: u64,
    /// The sender that came last from home, and what it is called here.
    sender: Option<(SharedSender, SharedSender)>,
}

/// What a receiver is at home.
#[derive(Debug)]
struct Double {
    number: u64,
    /// The credit that home was told last.
    credit: u32,
    /// A change of it is not confirmed yet.
    changing: bool,
    /// The session cannot be handed anything for now.
    paused: bool,
}

impl Hosting {
    /// Whether what is asked now gets to its home, as far as is known.
    fn is_reachable(&self, ground: &Ground) -> bool {
        self.home_is_up && self.host.is_some_and(|(session, _)| ground.is_connected(session))
    }

    /// A sender as it is called here. Its session has a number that no session here has, and none
    /// of another home.
    fn sender_here(&mut self, sender: &SharedSender) -> SharedSender {
        if let Some((home, here)) = &self.sender
            && Arc::ptr_eq(home, sender)
        {
            return here.clone();
        }
        let mut here = Sender::clone(sender);
        let (generation, session) = (self.generation % (1 << 22), sender.session % (1 << 40));
        here.session = (1 << 62) | (generation << 40) | session;
        let here = Arc::new(here);
        self.sender = Some((sender.clone(), here.clone()));
        here
    }

    /// The session that hosts it.
    pub fn host(&self) -> Option<Id<Session>> {
        self.host.map(|(session, _)| session)
    }

    /// Asks its home for something.
    fn ask(&self, ground: &mut Ground, ask: HostedAsk) {
        if let Some((session, channel)) = self.host {
            ground.tell(session, super::Output::Hosted { channel, ask });
        }
    }
}

impl Queue {
    /// How many receivers wait. Of one that lives elsewhere, how many there are here: they wait there.
    pub(super) fn waiting_receivers(&self) -> usize {
        if self.hosted.is_some() { self.waiters.len() } else { self.line.len() }
    }
}
