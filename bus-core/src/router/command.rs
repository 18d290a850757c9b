//! What a session can ask of the router: a closed enum, and the options inside it.
//!
//! Channels are numbers that the client chooses; a command names only channels of its own
//! session. Values in here are parsed and within their limits already.

use std::time::Duration;

use crate::error::Failure;
use crate::group_name::GroupName;
use crate::limits::{
    BACKLOG_BYTES_DEFAULT, DELIVERIES_DEFAULT, HOLD_DEFAULT, LEASE_DEFAULT, QUEUE_BYTES_DEFAULT,
    QUEUE_COUNT_DEFAULT, WINDOW_BYTES_DEFAULT,
};
use crate::message::Message;
use crate::message_type::MessageType;
use crate::name::{Name, Pattern};
use crate::selector::Selector;

use super::bridge_command::BridgeCommand;
use super::hosted::Forsaken;

/// A channel of a session: the number of an open handle, chosen by its client.
pub type Channel = u32;
/// The number of a send, offer, call or confirmed publish: each counts on from the last.
pub type Ticket = u64;
/// The number of a delivery to a session: each counts on from the last, from 1.
pub type Lease = u64;
/// The number of a control request; 0 asks for no answer.
pub type RequestId = u32;

/// A command of a session.
#[expect(missing_docs, reason = "the variants say what their fields are")]
#[derive(Clone, Debug)]
pub enum Command {
    /// Opens or creates a queue on a channel.
    OpenQueue {
        request: RequestId,
        channel: Channel,
        name: Name,
        open: OpenMode,
        options: QueueOptions,
    },
    /// Opens a topic for publishing; creates it if it is not there.
    OpenPublisher {
        request: RequestId,
        channel: Channel,
        topic: Name,
        options: TopicOptions,
        exclusive: bool,
    },
    /// Subscribes to all topics that match.
    Subscribe { request: RequestId, channel: Channel, pattern: Pattern, options: SubscribeOptions },
    /// Opens a service for calling. It need not be there yet.
    OpenService { request: RequestId, channel: Channel, name: Name },
    /// Offers to serve calls, so many at a time.
    Serve { request: RequestId, channel: Channel, name: Name, credit: u32, mode: Option<u16> },
    /// Takes messages from a queue: a consumer, or with `once` a single receive. On the
    /// channel of a consumer it changes its credit; 0 pauses it. One that only means that
    /// names the consumer's own channel as the queue.
    Consume { request: RequestId, channel: Channel, queue: Channel, options: ConsumeOptions },
    /// Closes a channel of any sort; cancels a receive.
    Close { request: RequestId, channel: Channel },

    /// Publishes; with a ticket it is answered.
    Publish { channel: Channel, message: Message, ticket: Option<Ticket> },
    /// Answers when all that was published on the channel is accepted.
    Flush { request: RequestId, channel: Channel },
    /// Asks to be told whether somebody listens to the topic of the publisher on this channel:
    /// once before the answer (`Output::Matching`), and from then on a moment after it has changed.
    WatchMatching { request: RequestId, channel: Channel },
    /// A subscriber has used up so many bytes in all.
    Consumed { channel: Channel, bytes: u64 },

    /// Sends to a queue; with `no_wait` a full queue is an answer.
    Send { channel: Channel, ticket: Ticket, message: Message, no_wait: bool },
    /// Offers a message of this type and length.
    Offer { channel: Channel, ticket: Ticket, kind: MessageType, length: u64, no_wait: bool },
    /// Sends what was granted.
    Granted { ticket: Ticket, message: Message },
    /// Takes a send or offer back, if it still waits.
    Withdraw { ticket: Ticket },

    /// All leases up to this one that the channel bore were handed to the application.
    Taken { channel: Channel, lease: Lease },
    /// Settles leases: done.
    Ack { first: Lease, count: u32 },
    /// Ends a lease: back to its place, marked, after a delay.
    Nack { request: RequestId, lease: Lease, delay: Duration },
    /// Lengthens a lease: it ends so long from now.
    Extend { request: RequestId, lease: Lease, by: Duration },
    /// Ends a lease: to the dead letters, for this reason.
    Reject { request: RequestId, lease: Lease, reason: String },
    /// Gives deliveries back that nobody has looked at: to their places, unmarked.
    Return { leases: Vec<Lease> },
    /// Gives deliveries back that somebody else had through this session, and who is gone: as at
    /// the end of a session.
    Forsake(Forsaken),
    /// Shows the message at this index of those selected.
    Peek { request: RequestId, queue: Channel, selector: Selector, index: u64 },

    /// Calls a service.
    Call { channel: Channel, ticket: Ticket, message: Message, timeout: Duration },
    /// Answers a call that this session serves.
    CallReply { call: u64, result: Result<Message, Failure> },

    /// Registers the name of a type.
    Declare { request: RequestId, kind: MessageType, name: String },
    /// Removes, retires or purges what bears this name.
    Admin { request: RequestId, name: Name, object: ObjectKind, action: AdminAction },
    /// Changes a queue.
    SetQueue { request: RequestId, name: Name, change: QueueChange },
    /// Changes a topic.
    SetTopic { request: RequestId, name: Name, change: TopicChange },
    /// Lists what there is.
    List { request: RequestId, pattern: Pattern, object: ObjectKind, after: Option<String> },
    /// Tells about the broker. Answered by the shell.
    Broker { request: RequestId },
    /// What only bridges ask.
    Bridge(BridgeCommand),
}

/// How a queue is opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OpenMode {
    /// It must be there.
    Open,
    /// It is created if it is not there.
    #[default]
    OpenOrCreate,
    /// It must not be there.
    Create,
}

/// How long a queue lives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lifetime {
    /// Until it is removed, or its broker ends.
    #[default]
    Volatile,
    /// Until the session that created it ends.
    Session,
    /// Until nobody holds it open.
    LastHolder,
    /// On disk. Not built yet: refused as unsupported.
    Durable,
}

/// What a queue is created with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueOptions {
    /// Bytes that it may hold (each message counts 64 more than its length).
    pub bytes_max: u64,
    /// Messages that it may hold.
    pub count_max: u64,
    /// How long a delivery is leased, from when it is handed to the application. A single
    /// receive that does not take its delivery has it for so long, too.
    pub lease: Duration,
    /// Deliveries of one message before it goes to the dead letters.
    pub deliveries_max: u32,
    /// Permission bits as a file has them: read is receive, write is send, execute is
    /// administer. `None` takes the broker's default.
    pub mode: Option<u16>,
    /// How long it lives.
    pub lifetime: Lifetime,
    /// The queue for dead letters; `None` is the queue's name with `.dead` behind it.
    pub dead_letter: Option<Name>,
}

/// What a topic is created with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicOptions {
    /// Whether the last message of each type is kept for late joiners.
    pub keep_last: bool,
    /// How long a slow subscriber may hold publishers back.
    pub hold: Duration,
    /// Permission bits: read is subscribe, write is publish, execute is administer.
    pub mode: Option<u16>,
}

/// What happens to a subscription that does not keep up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SlowPolicy {
    /// `Hold` beside a topic of the same user, else `End`.
    #[default]
    Auto,
    /// It holds publishers back, for as long as the topic allows.
    Hold,
    /// Its oldest messages are dropped, counted, and the loss is told to it.
    DropOldest,
    /// It ends as too slow.
    End,
}

impl SlowPolicy {
    /// Its word in commands and lists.
    pub const fn word(self) -> &'static str {
        match self {
            SlowPolicy::Auto => "auto",
            SlowPolicy::Hold => "hold",
            SlowPolicy::DropOldest => "drop",
            SlowPolicy::End => "end",
        }
    }
}

/// How somebody subscribes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscribeOptions {
    /// Which types.
    pub selector: Selector,
    /// What happens when it does not keep up.
    pub policy: SlowPolicy,
    /// Bytes under way to the client.
    pub window_bytes: u64,
    /// Bytes that wait at the broker beyond that.
    pub backlog_bytes: u64,
    /// Members of one group on one pattern share what it matches: each message goes to one of them.
    pub group: Option<GroupName>,
}

/// How somebody takes from a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConsumeOptions {
    /// Which types.
    pub selector: Selector,
    /// Deliveries that may be unsettled at a time.
    pub credit: u32,
    /// One message, then the channel ends.
    pub once: bool,
    /// Whether to wait if there is none (with `once`).
    pub wait: bool,
    /// Acknowledged when it is taken.
    pub auto_ack: bool,
    /// Longest message that is taken.
    pub bytes_max: u64,
}

/// What sort of object a name is meant for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObjectKind {
    /// A queue.
    Queue,
    /// A topic.
    Topic,
    /// A service (listing only).
    Service,
    /// A client (listing only).
    Client,
    /// A subscription (listing only).
    Subscription,
}

/// What is to be done with an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdminAction {
    /// Remove it now; whoever waits is told.
    Remove,
    /// Take the name away now, the contents with the last holder.
    Retire,
    /// Drop all messages that wait.
    Purge,
}

/// Changes to a queue; `None` leaves a thing as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueueChange {
    /// Bytes that it may hold.
    pub bytes_max: Option<u64>,
    /// Messages that it may hold.
    pub count_max: Option<u64>,
    /// Lease of a delivery.
    pub lease: Option<Duration>,
    /// Deliveries before the dead letters.
    pub deliveries_max: Option<u32>,
    /// Permission bits.
    pub mode: Option<u16>,
    /// Owning user.
    pub owner: Option<u32>,
    /// Owning group.
    pub group: Option<u32>,
    /// The queue for dead letters.
    pub dead_letter: Option<Name>,
}

/// Changes to a topic; `None` leaves a thing as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopicChange {
    /// Whether last messages are kept.
    pub keep_last: Option<bool>,
    /// Ceiling on holding back.
    pub hold: Option<Duration>,
    /// Permission bits.
    pub mode: Option<u16>,
    /// Owning user.
    pub owner: Option<u32>,
    /// Owning group.
    pub group: Option<u32>,
}

impl Default for QueueOptions {
    fn default() -> Self {
        QueueOptions {
            bytes_max: QUEUE_BYTES_DEFAULT,
            count_max: QUEUE_COUNT_DEFAULT,
            lease: LEASE_DEFAULT,
            deliveries_max: DELIVERIES_DEFAULT,
            mode: None,
            lifetime: Lifetime::default(),
            dead_letter: None,
        }
    }
}

impl Default for TopicOptions {
    fn default() -> Self {
        TopicOptions { keep_last: false, hold: HOLD_DEFAULT, mode: None }
    }
}

impl Default for SubscribeOptions {
    fn default() -> Self {
        SubscribeOptions {
            selector: Selector::Any,
            policy: SlowPolicy::Auto,
            window_bytes: WINDOW_BYTES_DEFAULT,
            backlog_bytes: BACKLOG_BYTES_DEFAULT,
            group: None,
        }
    }
}

impl Default for ConsumeOptions {
    fn default() -> Self {
        ConsumeOptions {
            selector: Selector::Any,
            credit: 1,
            once: false,
            wait: true,
            auto_ack: false,
            bytes_max: u64::MAX,
        }
    }
}
