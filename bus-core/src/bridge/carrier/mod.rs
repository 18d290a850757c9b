//! Queues over a bridge: what is asked of a hosted queue is done at its home, and told back.
//!
//! A carrier stands between a session at the home broker, where queues live, and one at the guest
//! broker, which hosts them. It translates numbers and decides nothing. Both sessions survive cuts
//! by themselves; one that is lost is replaced by a new one, and the carrier is told. Invariant:
//! what it keeps of a queue belongs to the present session on either side; a delivery that it
//! keeps is out at the guest, and home has it leased to this carrier.

mod asked;
mod home;
mod sends;
mod sessions;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::error::Failure;
use crate::frame::Parcel;
use crate::message::{Message, SharedSender};
use crate::name::Name;
use crate::router::{Channel, Epoch, Fault, HostedTell, Lease, OpenMode, RequestId, Ticket};
use crate::runs::{Run, Runs};
use crate::session::{ClientSession, Origin};
use crate::time::Time;

/// A queue that is carried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CarriedQueue {
    /// What it is called where it lives.
    pub home: Name,
    /// What it is called where it is hosted.
    pub guest: Name,
    /// Whether it is created where it lives, if it is not there.
    pub open: OpenMode,
    /// Permission bits where it is hosted; `None` takes that broker's default.
    pub mode: Option<u16>,
}

/// Where a carried queue stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CarriedStat {
    /// Its name at the guest.
    pub name: Name,
    /// Whether clients of the guest have it, and it has its home.
    pub is_carried: bool,
    /// Deliveries that are out at the guest.
    pub leased: u64,
    /// Receivers at the guest.
    pub receivers: u64,
    /// Sends that home has not answered.
    pub sends: u64,
    /// Sends that home has accepted.
    pub sent: u64,
    /// Deliveries that were handed to the guest.
    pub delivered: u64,
    /// Why it was refused last.
    pub last_error: Option<Failure>,
}

/// The two sessions.
pub struct Ends<'a> {
    /// At the broker where the queues live.
    pub home: &'a mut ClientSession,
    /// At the broker that hosts them.
    pub guest: &'a mut ClientSession,
}

/// The queues of one direction of a bridge.
#[derive(Debug, Default)]
pub struct QueueCarrier {
    queues: Vec<Carried>,
    home_is_up: bool,
    guest_is_up: bool,
    /// At home: channels of receivers, and what their numbers are.
    receivers: BTreeMap<Channel, (usize, u64)>,
    /// At home: sends without an answer, and what they are at the guest.
    tickets: Runs<(), usize>,
    /// At home: requests without an answer.
    requests: BTreeMap<RequestId, Asked>,
    /// At the guest: queues that are to be hosted.
    hosting: BTreeMap<RequestId, usize>,
    /// Deliveries that are out at the guest.
    leases: Runs<(), Held>,
    /// Acknowledgements that home has not answered.
    acks: Runs<(), usize>,
    /// The sender that came last from home.
    sender: Option<(Arc<Origin>, SharedSender)>,
    /// What people call the home, and the bridge; empty until that is known.
    called: (String, String),
    /// Why the home cannot be reached, while that is so.
    away: Option<String>,
    fault: Option<Fault>,
}

/// What was asked at home.
#[derive(Clone, Copy, Debug)]
enum Asked {
    Open(usize),
    Consume(usize, u64),
    Credit(usize, u64),
    Close(usize, u64),
    Lease(usize, RequestId),
}

/// One queue.
#[derive(Debug)]
struct Carried {
    config: CarriedQueue,
    home: Side,
    /// The brokers on the way to the guest, when it is open at home.
    hops: Vec<Epoch>,
    /// Home has answered that it does not give it.
    denied: Option<Failure>,
    guest: Side,
    /// How many losses of the session at home the guest has not heard of yet: what it asks until
    /// then was meant for that session.
    losses: u32,
    /// When what was refused is asked for again.
    retry_at: Option<Time>,
    /// How often it was refused since it was carried, or home was met.
    refusals: u32,
    /// Receivers at home, by their numbers.
    receivers: BTreeMap<u64, HomeReceiver>,
    /// Sends at home, by the tickets of the guest.
    sends: Runs<(), ()>,
    /// Sends that the session at home has no room for.
    waiting: VecDeque<Waiting>,
    /// How many there are of both.
    sends_open: u64,
    /// Sends that home has accepted so far.
    sent: u64,
    /// Deliveries that are out at the guest.
    leases_out: u64,
    /// Deliveries so far.
    delivered: u64,
    last_error: Option<Failure>,
}

/// Where a queue stands on one side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Closed,
    Opening(Channel),
    Open(Channel),
}

#[derive(Clone, Copy, Debug)]
struct HomeReceiver {
    channel: Channel,
    once: bool,
}

/// A delivery that is out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Held {
    queue: usize,
    channel: Channel,
    serial: u64,
    taken: bool,
    auto_ack: bool,
}

/// One send, or several whose tickets follow each other.
#[derive(Debug)]
struct Waiting {
    /// Of the first.
    ticket: Ticket,
    no_wait: bool,
    content: Content,
}

#[derive(Debug)]
enum Content {
    Message(Message),
    Parcel(Parcel),
}

impl QueueCarrier {
    /// A carrier of these, not connected yet.
    pub fn new(queues: Vec<CarriedQueue>) -> QueueCarrier {
        let carried = |config| Carried {
            config,
            home: Side::Closed,
            hops: Vec::new(),
            denied: None,
            guest: Side::Closed,
            losses: 0,
            retry_at: None,
            refusals: 0,
            receivers: BTreeMap::new(),
            sends: Runs::default(),
            waiting: VecDeque::new(),
            sends_open: 0,
            sent: 0,
            leases_out: 0,
            delivered: 0,
            last_error: None,
        };
        QueueCarrier { queues: queues.into_iter().map(carried).collect(), ..Self::default() }
    }

    /// Plants a bug, for a test that must catch it. Without the feature `faults` it does nothing.
    pub fn plant(&mut self, fault: Fault) {
        self.fault = Some(fault);
    }

    /// When [`QueueCarrier::advance`] has something to do.
    pub fn next_deadline(&self) -> Option<Time> {
        self.queues.iter().filter_map(|queue| queue.retry_at).min()
    }

    /// Where each queue stands.
    pub fn stat(&self) -> Vec<CarriedStat> {
        let stat = |queue: &Carried| CarriedStat {
            name: queue.config.guest.clone(),
            is_carried: queue.is_carried(),
            leased: queue.leases_out,
            receivers: queue.receivers.len() as u64,
            sends: queue.sends_open,
            sent: queue.sent,
            delivered: queue.delivered,
            last_error: queue.last_error.clone(),
        };
        self.queues.iter().map(stat).collect()
    }

    /// The sender of a delivery.
    fn sender_of(&mut self, origin: &Arc<Origin>) -> SharedSender {
        if let Some((last, sender)) = &self.sender
            && Arc::ptr_eq(last, origin)
        {
            return sender.clone();
        }
        let sender = Arc::new(origin.sender.clone());
        self.sender = Some((origin.clone(), sender.clone()));
        sender
    }

    /// Takes deliveries out that are out no longer, of so many from this one on.
    fn let_go_of(&mut self, first: Lease, count: u64) -> Vec<Run<(), Held>> {
        let gone = self.leases.take((), first, count);
        for run in &gone {
            self.queues[run.to.queue].leases_out -= run.count;
        }
        gone
    }

    /// Tells the guest what the home of a queue says.
    fn tell(&self, index: usize, guest: &mut ClientSession, tell: HostedTell) {
        if let Some(Side::Open(channel)) = self.queues.get(index).map(|queue| queue.guest) {
            guest.tell_hosted(channel, tell);
        }
    }
}

impl Carried {
    /// The brokers on the way from home, as far as that is known now.
    fn way(&self) -> Vec<Epoch> {
        match self.home {
            Side::Open(_) => self.hops.clone(),
            _ => Vec::new(),
        }
    }

    fn is_carried(&self) -> bool {
        matches!((self.home, self.guest), (Side::Open(_), Side::Open(_)))
    }
}
