//! What the router wants done: outputs addressed to sessions.
//!
//! The shell (or a simulation) carries them out in order. An effect for a session that is
//! gone is of no consequence.

use std::sync::Arc;

use crate::arena::Id;
use crate::error::Failure;
use crate::frame::Parcel;
use crate::message::{Message, SharedSender};
use crate::name::Name;

use super::command::{Channel, Lease, RequestId, Ticket};
use super::hosted::HostedAsk;
use super::interest::Interest;
use super::provenance::{Epoch, Provenance};
use super::relays::RelayState;
use super::session::Session;
use super::stat::{BrokerInfo, Listing};

/// One output of the router.
#[derive(Clone, Debug)]
pub struct Effect {
    /// The session that it is for.
    pub session: Id<Session>,
    /// What it is told.
    pub output: Output,
}

/// What a session is told.
#[expect(missing_docs, reason = "the variants say what their fields are")]
#[derive(Clone, Debug)]
pub enum Output {
    /// The answer to a control request.
    Reply { request: RequestId, result: Result<Answer, Failure> },
    /// A published message for a subscription.
    Deliver { channel: Channel, stamp: Stamp, message: Message },
    /// Published messages for a subscription, one after the other; the stamp is the first one's.
    DeliverParcel { channel: Channel, stamp: Stamp, parcel: Parcel },
    /// Messages were lost to a subscription: dropped here by its policy, or not brought by a bridge.
    /// So many of them may have arrived all the same, before a broker forgot.
    Lost { channel: Channel, count: u64, unconfirmed: u64 },
    /// A leased message for a consumer or receive. Leases count on from 1 for each session.
    Lease {
        channel: Channel,
        lease: Lease,
        attempt: u32,
        auto_ack: bool,
        sender: SharedSender,
        message: Message,
    },
    /// Leased messages of one type for a consumer, none of them delivered before.
    LeaseParcel {
        channel: Channel,
        first: Lease,
        auto_ack: bool,
        sender: SharedSender,
        parcel: Parcel,
    },
    /// Sends, or confirmed publishes, are accepted.
    Accepted { first: Ticket, count: u32 },
    /// A send, offer, call or publish failed.
    Failed { ticket: Ticket, failure: Failure },
    /// An offered message may be sent now.
    Grant { ticket: Ticket },
    /// So many bytes in all are accepted from a publisher.
    Credit { channel: Channel, bytes: u64 },
    /// Whether somebody listens to the topic of a publisher that has asked for it.
    Matching { channel: Channel, matched: bool },
    /// A relay's place among the upstreams of its source, when it changes; and how far the
    /// source has come, from time to time.
    Relay { channel: Channel, state: RelayState },
    /// A queue that this session hosts asks its home for something.
    Hosted { channel: Channel, ask: HostedAsk },
    /// A queue that this session has open, to have it hosted further on, comes another way now: over
    /// these brokers, its home first.
    HomeWay { channel: Channel, hops: Vec<Epoch> },
    /// What is wanted here and beyond, since that was told last; it is whole when `complete`.
    Wanted {
        channel: Channel,
        added: Vec<Interest>,
        removed: Vec<Interest>,
        left_out: u64,
        complete: bool,
    },
    /// Leases are settled.
    Settled { first: Lease, count: u32 },
    /// A lease was not there to settle.
    Unsettled { lease: Lease, failure: Failure },
    /// A call for a server; `timeout_ms` is what is left of its deadline.
    /// If other brokers have passed it on, `relayed` says where it comes from.
    Invoke {
        channel: Channel,
        call: u64,
        timeout_ms: u64,
        sender: SharedSender,
        relayed: Option<Arc<Source>>,
        message: Message,
    },
    /// A bridge is told that nobody waits for this call any more. It still owes the reply.
    GivenUp { call: u64 },
    /// The reply to a call.
    Result { ticket: Ticket, message: Message },
    /// A channel has ended.
    Ended { channel: Channel, failure: Failure },
    /// Somebody else could have this prefetched delivery: return it, or say that it is taken.
    Recall { lease: Lease },
    /// The session is over: its grace has passed, or it broke a rule.
    Expired { failure: Failure },
}

/// Where a published message comes from.
#[derive(Clone, Debug)]
pub struct Source {
    /// Names the pair of publisher and topic, never 0.
    pub key: u64,
    /// Who published.
    pub sender: SharedSender,
    /// On which topic.
    pub topic: Name,
    /// Where it comes from, if another broker has passed it on. The sender is then the bridge.
    pub provenance: Option<Arc<Provenance>>,
}

/// Where a published message comes from, and which of those it is.
#[derive(Clone, Debug)]
pub struct Stamp {
    /// Who published it, and on which topic.
    pub source: Arc<Source>,
    /// Its number among all that this source has published, from 1.
    pub sequence: u64,
}

impl Stamp {
    /// That of the message so many further on.
    pub(crate) fn after(&self, count: u64) -> Stamp {
        Stamp { source: self.source.clone(), sequence: self.sequence + count }
    }
}

impl Output {
    /// What the message in it costs, if it bears one.
    #[inline]
    pub(crate) fn message_cost(&self) -> u64 {
        match self {
            Output::Deliver { message, .. }
            | Output::Lease { message, .. }
            | Output::Invoke { message, .. }
            | Output::Hosted { ask: HostedAsk::Send { message, .. }, .. }
            | Output::Result { message, .. } => message.cost(),
            Output::DeliverParcel { parcel, .. }
            | Output::LeaseParcel { parcel, .. }
            | Output::Hosted { ask: HostedAsk::SendParcel { parcel, .. }, .. } => parcel.cost(),
            _ => 0,
        }
    }
}

/// A good answer to a control request.
#[expect(missing_docs, reason = "the variants say what their fields are")]
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// It was opened; `hosted` says of a queue that it lives at another broker.
    Opened { id: u64, created: bool, hosted: bool },
    /// It was opened for a bridge: the brokers on the way to here, its home first, this one last.
    Home { hops: Vec<Epoch> },
    /// It was done, to so many things.
    Done { count: u64 },
    /// It has no name any more: so many messages are in it, and so many handles hold it. Without
    /// any it is gone.
    Retired { messages: u64, holders: u64 },
    /// What there is.
    Listing(Box<Listing>),
    /// The message that was asked for.
    Peeked(Box<Peeked>),
    /// About the broker.
    Broker(Box<BrokerInfo>),
}

/// A message that was looked at and not taken.
#[derive(Clone, Debug, PartialEq)]
pub struct Peeked {
    /// The message.
    pub message: Message,
    /// How often it was delivered before.
    pub attempt: u32,
    /// Who sent it.
    pub sender: crate::message::Sender,
}
