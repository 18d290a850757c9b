//! The client's side of a session: calls of the application to frames, frames to events.
//!
//! It keeps what is needed to go on after a cut: unconfirmed frames, and for each open channel
//! the command that opened it, should the session itself be lost. It waits for nothing and
//! wakes nobody; that is the shell's part.

mod acks;
mod channel;
mod hosting;
mod matching;
mod offers;
mod receiving;
mod restart;
mod sending;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use bytes::Bytes;

use crate::error::{ErrorKind, Failure};
use crate::frame::{Answer, FrameError, Header, Kind, Parcel, Run, control};
use crate::message::{Message, Sender};
use crate::message_type::MessageType;
use crate::name::Name;
use crate::router::{
    Channel, Command, Epoch, HostedAsk, Interest, Lease, Provenance, RelayState, RequestId, Ticket,
};
use crate::sequence::Sequence;

use super::outbound::word_frame;
use super::{Inbound, Outbound, SessionLimits};

use acks::Acks;
use channel::Channels;
use hosting::NamedSenders;
use offers::Offers;
use sending::Ticketed;

pub use channel::ChannelKind;
pub use restart::{Established, Restart};

/// Where messages come from: who sent them, and for published ones the topic.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// Who, by the broker's word.
    pub sender: Sender,
    /// The topic, if it was published; the service of a call that others have passed on.
    pub topic: Option<Name>,
    /// Of a publisher, the broker's number of it and the topic, and so of a caller elsewhere; else 0.
    pub publisher: u64,
    /// Where it comes from, if other brokers have passed it on.
    pub provenance: Option<Arc<Provenance>>,
}

/// A message that this session has on a lease.
#[derive(Clone, Debug)]
pub struct Leased {
    /// Number of the lease.
    pub lease: Lease,
    /// The channel that bore it, and which of those that had its number.
    pub channel: Channel,
    /// Tells channels of one number apart.
    pub serial: u64,
    /// How often it was delivered before.
    pub attempt: u32,
    /// It is acknowledged when it is taken.
    pub auto_ack: bool,
    /// Who sent it.
    pub origin: Arc<Origin>,
    /// The message.
    pub message: Message,
}

/// Messages that this session has on leases which follow each other, delivered together.
#[derive(Clone, Debug)]
pub struct LeasedParcel {
    /// Number of the first lease.
    pub first: Lease,
    /// The channel that bore them.
    pub channel: Channel,
    /// Tells channels of one number apart.
    pub serial: u64,
    /// They are acknowledged when they are taken.
    pub auto_ack: bool,
    /// Who sent them.
    pub origin: Arc<Origin>,
    /// The messages, all of one type.
    pub parcel: Parcel,
}

impl LeasedParcel {
    /// Takes the first message out.
    #[inline]
    pub fn pop_front(&mut self) -> Option<Leased> {
        let message = self.parcel.pop_front()?;
        self.first += 1;
        Some(Leased {
            lease: self.first - 1,
            channel: self.channel,
            serial: self.serial,
            attempt: 0,
            auto_ack: self.auto_ack,
            origin: self.origin.clone(),
            message,
        })
    }

    /// The leases.
    pub fn leases(&self) -> std::ops::Range<Lease> {
        self.first..self.first + self.parcel.count()
    }
}

/// What a frame of the broker comes to.
#[expect(missing_docs, reason = "the variants say what their fields are")]
#[derive(Debug)]
pub enum Event {
    /// The answer to a request.
    Reply { request: RequestId, result: Result<Answer, Failure> },
    /// Deliveries of a subscription, and the sources that they name.
    Run { run: Run, origins: Vec<(u32, Arc<Origin>)> },
    /// A delivery of a consumer or receive.
    Lease(Leased),
    /// Deliveries of a consumer.
    LeaseParcel(LeasedParcel),
    /// Tickets are accepted.
    Accepted { first: Ticket, count: u32 },
    /// A ticket failed.
    Failed { ticket: Ticket, failure: Failure },
    /// Leases are settled: all acknowledgements are answered up to this number of them. One of a
    /// queue that lives elsewhere may be answered later than what follows it.
    Settled { first: Lease, count: u32, answered: u64 },
    /// An acknowledgement failed.
    Unsettled { number: u64, lease: Lease, failure: Failure },
    /// An offered message was granted and sent: another may be offered.
    Granted,
    /// A publisher's window has opened.
    Credit { channel: Channel },
    /// Whether somebody listens to a publisher's topic was told.
    Matching { channel: Channel },
    /// Where a relay stands.
    Relay { channel: Channel, state: RelayState },
    /// What is wanted here and beyond, since that was told last; it is whole when `complete`.
    Wanted {
        channel: Channel,
        added: Vec<Interest>,
        removed: Vec<Interest>,
        left_out: u64,
        complete: bool,
    },
    /// Something is asked of the home of a queue that this client hosts.
    Hosted { channel: Channel, ask: HostedAsk },
    /// A queue that this client has open for a bridge comes over these brokers now.
    HomeWay { channel: Channel, hops: Vec<Epoch> },
    /// Messages of a subscription are lost, of which so many may have arrived all the same.
    Lost { channel: Channel, count: u64, unconfirmed: u64 },
    /// A call to serve.
    Invoke { channel: Channel, call: u64, timeout_ms: u64, origin: Arc<Origin>, message: Message },
    /// Nobody waits for a call any more that this bridge has.
    GivenUp { call: u64 },
    /// The reply to a call.
    Result { ticket: Ticket, message: Message },
    /// A channel has ended.
    Ended { channel: Channel, failure: Failure },
    /// Give this delivery back, or say that it is taken.
    Recall { lease: Lease },
    /// The answer to a ping.
    Pong { word: u64 },
    /// The broker ends the connection.
    Refused { failure: Failure },
}

/// The client's side of one session, over all of its connections.
#[derive(Debug, Default)]
pub struct ClientSession {
    /// Frames for the broker.
    pub outbound: Outbound,
    /// What has come from the broker.
    pub inbound: Inbound,
    limits: SessionLimits,
    established: Option<Identity>,
    channels: Channels,
    /// Names of message types, which a new broker must be told again.
    types: BTreeMap<MessageType, String>,
    next_request: RequestId,
    /// Requests that are not answered, and the channel that one opens or closes.
    requests: BTreeMap<RequestId, Option<Channel>>,
    tickets: Sequence<Ticketed>,
    offers: Offers,
    last_lease: Lease,
    ack_first: Lease,
    ack_count: u32,
    acks: Acks,
    returns: Vec<Lease>,
    /// Consumers that have taken deliveries since they last said so.
    taken: Vec<Channel>,
    origins: BTreeMap<u32, Arc<Origin>>,
    named: NamedSenders,
}

/// By what the broker knows the session.
#[derive(Clone, Debug)]
struct Identity {
    epoch: u64,
    session: u64,
    token: Bytes,
}

impl ClientSession {
    /// Opens a channel: `make` is told its number and that of the request.
    ///
    /// # Errors
    /// When all channels are in use.
    pub fn open(
        &mut self,
        kind: ChannelKind,
        make: impl FnOnce(RequestId, Channel) -> Command,
    ) -> Result<(Channel, RequestId), Failure> {
        let Some(channel) = self.channels.allocate(self.limits.channels) else {
            return Err(Failure::new(
                ErrorKind::QuotaExceeded,
                format!(
                    "this client has {} handles open, which is the limit",
                    self.limits.channels
                ),
            ));
        };
        // A receive is answered by its delivery or its end, not by a reply.
        let request = if matches!(kind, ChannelKind::Receive { .. }) {
            0
        } else {
            self.new_request(Some(channel))
        };
        let command = make(request, channel);
        self.push_command(&command);
        self.channels.open(channel, kind, command);
        Ok((channel, request))
    }

    /// Closes a channel. Its number is free when the broker has answered, and at once if the
    /// broker has ended the channel before.
    /// Gives the number of the request, if the broker has to be asked.
    pub fn close(&mut self, channel: Channel) -> Option<RequestId> {
        if !self.channels.begin_close(channel) {
            return None;
        }
        let request = self.new_request(Some(channel));
        self.push_command(&Command::Close { request, channel });
        Some(request)
    }

    /// Sends a control request; `make` is told its number.
    pub fn request(&mut self, make: impl FnOnce(RequestId) -> Command) -> RequestId {
        let request = self.new_request(None);
        let command = make(request);
        self.push_command(&command);
        request
    }

    /// Sends a control request that has no answer.
    pub fn tell(&mut self, command: &Command) {
        self.push_command(command);
    }

    /// Notes that the broker is told the name of a type, so that it is told again if it loses
    /// it. `false` if this type has a name here already.
    pub fn note_type(&mut self, kind: MessageType, name: &str) -> bool {
        match self.types.entry(kind) {
            Entry::Vacant(entry) => {
                entry.insert(name.to_owned());
                true
            }
            Entry::Occupied(_) => false,
        }
    }

    /// The broker did not take the name of a type.
    pub fn forget_type(&mut self, kind: MessageType) {
        self.types.remove(&kind);
    }

    /// Which of the channels of this number it is.
    pub fn serial(&self, channel: Channel) -> u64 {
        self.channels.serial(channel)
    }

    /// Changes the credit of a consumer.
    pub fn set_credit(&mut self, channel: Channel, credit: u32) -> RequestId {
        let request = self.new_request(None);
        if let Some(command) = self.channels.with_credit(channel, credit, request) {
            self.push_command(&command);
        }
        request
    }

    /// Asks for a Pong with this word.
    pub fn ping(&mut self, word: u64) {
        self.inbound.hurry();
        self.outbound.push(&word_frame(Kind::Ping, word), &[]);
    }

    /// Says that the session ends here, on purpose.
    pub fn goodbye(&mut self) {
        let failure = Failure::new(ErrorKind::Closed, "goodbye");
        self.outbound.push(&word_frame(Kind::Goodbye, 0), &control::encode_failure(&failure));
    }

    /// Writes what was folded, and a confirmation, before bytes go out.
    pub fn seal(&mut self) {
        self.flush_taken();
        self.flush_acks();
        self.flush_returns();
        let with_others = self.outbound.has_unsent() && self.inbound.may_confirm();
        if (with_others || self.inbound.must_confirm())
            && let Some(received) = self.inbound.confirm()
        {
            self.outbound.push(&word_frame(Kind::Confirm, received), &[]);
        }
    }

    /// Whether there is something that must be written.
    pub fn wants_write(&self) -> bool {
        self.outbound.has_unsent()
            || self.ack_count > 0
            || !self.returns.is_empty()
            || !self.taken.is_empty()
            || self.inbound.must_confirm()
    }

    /// The limits that the broker has set.
    pub fn limits(&self) -> &SessionLimits {
        &self.limits
    }

    fn new_request(&mut self, channel: Option<Channel>) -> RequestId {
        // 0 asks for no answer; the upper half is for channels that are opened again.
        self.next_request = self.next_request % (RequestId::MAX / 2) + 1;
        self.requests.insert(self.next_request, channel);
        self.next_request
    }

    fn push_command(&mut self, command: &Command) {
        // Order matters: what was taken or acknowledged before a command must reach the broker
        // first.
        self.flush_taken();
        self.flush_acks();
        if let Some(body) = control::encode_request(command) {
            self.outbound.push(&word_frame(Kind::Request, 0), &body);
        }
    }

    fn flush_acks(&mut self) {
        if self.ack_count > 0 {
            self.outbound.push(&Header::new(Kind::Ack, self.ack_count - 1, self.ack_first), &[]);
            self.ack_count = 0;
        }
    }

    fn flush_returns(&mut self) {
        for leases in self.returns.chunks(control::RETURN_LEASES_MAX) {
            if let Some(body) =
                control::encode_request(&Command::Return { leases: leases.to_vec() })
            {
                self.outbound.push(&word_frame(Kind::Request, 0), &body);
            }
        }
        self.returns.clear();
    }

    fn unexpected(kind: Kind) -> FrameError {
        FrameError::Unexpected(kind)
    }
}
