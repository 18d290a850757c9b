//! What a hosted queue asks of its home, and what its home tells it: two closed enums.
//!
//! Receivers, tickets and requests bear numbers that the router gives out here; leases bear those
//! of the home's session with the bridge. A number is never given twice for as long as a session
//! hosts the queue.

use std::time::Duration;

use crate::error::Failure;
use crate::frame::Parcel;
use crate::message::{Message, SharedSender};
use crate::router::command::{ConsumeOptions, Lease, RequestId, Ticket};
use crate::router::{Epoch, Peeked};
use crate::selector::Selector;

/// Deliveries that end together without a word of their application.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forsaken {
    /// Those that do not count.
    pub unmarked: Vec<Lease>,
    /// Those that do.
    pub marked: Vec<Lease>,
    /// Their receiver was lost: one of them may be what has ended it.
    pub suspect: bool,
}

impl Forsaken {
    /// Deliveries, each with whether it counts.
    pub(crate) fn of(leases: &[(Lease, bool)], suspect: bool) -> Forsaken {
        let (marked, unmarked): (Vec<_>, Vec<_>) = leases.iter().partition(|(_, marked)| *marked);
        let leases =
            |pairs: Vec<(Lease, bool)>| pairs.into_iter().map(|(lease, _)| lease).collect();
        Forsaken { unmarked: leases(unmarked), marked: leases(marked), suspect }
    }
}

/// What is asked of the home of a hosted queue.
#[expect(missing_docs, reason = "the variants say what their fields are")]
#[derive(Clone, Debug, PartialEq)]
pub enum HostedAsk {
    /// A receiver is to have a double. Ends with `Ended`, with its delivery if it takes one only,
    /// or with `Closed`.
    Consume { receiver: u64, options: ConsumeOptions },
    /// It has another credit now. Answered by `Credited`.
    Credit { receiver: u64, credit: u32 },
    /// It is gone. Answered by `Closed`, also if it has ended already.
    Close { receiver: u64 },
    /// A message for the queue. Answered by `Accepted` or `Failed`.
    Send { ticket: Ticket, no_wait: bool, message: Message },
    /// Messages of one type for the queue, with tickets that follow each other. Answered as they
    /// would be one by one.
    SendParcel { first: Ticket, parcel: Parcel },
    /// A send is to be taken back, if it still waits.
    Withdraw { ticket: Ticket },
    /// The application has these deliveries.
    Taken { first: Lease, count: u32 },
    /// They are done. Each is answered by `Settled` or `Unsettled`.
    Ack { first: Lease, count: u32 },
    /// Back to its place, marked, after a delay. Answered by `Done`.
    Nack { request: RequestId, lease: Lease, delay: Duration },
    /// The lease ends so long from now. Answered by `Done`.
    Extend { request: RequestId, lease: Lease, by: Duration },
    /// To the dead letters. Answered by `Done`.
    Reject { request: RequestId, lease: Lease, reason: String },
    /// Back to their places, since nobody has looked at them, or their receiver is gone.
    Return(Forsaken),
    /// The loss of the home's session was heard of: what was asked before is forgotten here, and what
    /// follows is asked anew.
    Anew,
    /// Shows a message. Answered by `Peeked`, or by `Done` with the failure.
    Peek { request: RequestId, selector: Selector, index: u64 },
}

/// What the home of a hosted queue says.
#[expect(missing_docs, reason = "the variants say what their fields are")]
#[derive(Clone, Debug, PartialEq)]
pub enum HostedTell {
    /// A delivery for the double of a receiver.
    Lease { receiver: u64, lease: Lease, attempt: u32, sender: SharedSender, message: Message },
    /// Deliveries of one type and sender, none of them delivered before, for the double of a consumer.
    LeaseParcel { receiver: u64, first: Lease, sender: SharedSender, parcel: Parcel },
    /// Somebody else could have this delivery.
    Recall { lease: Lease },
    /// A double has ended.
    Ended { receiver: u64, failure: Failure },
    /// A double was closed.
    Closed { receiver: u64 },
    /// Its credit was changed.
    Credited { receiver: u64 },
    /// Sends were accepted.
    Accepted { first: Ticket, count: u32 },
    /// A send has failed.
    Failed { ticket: Ticket, failure: Failure },
    /// Leases are settled.
    Settled { first: Lease, count: u32 },
    /// A lease was not there to settle.
    Unsettled { lease: Lease, failure: Failure },
    /// A request was carried out, or not.
    Done { request: RequestId, result: Result<(), Failure> },
    /// The message that was asked for.
    Peeked { request: RequestId, peeked: Box<Peeked> },
    /// What people call the home, and the bridge that leads there.
    Called { broker: String, bridge: String },
    /// The home has answered that it does not give the queue: so whoever uses it is told, until `Reach`
    /// or `Lost`.
    Denied { failure: Failure },
    /// Why the home cannot be reached: words for people, until `Reach` says that it can.
    Away { reason: String },
    /// Whether the home can be reached, and over which brokers if these are others now.
    Reach { up: bool, hops: Vec<Epoch> },
    /// The session with the home was lost, and with it all that was under way: leases, doubles,
    /// and what had no answer. The home cannot be reached until `Reach` says so. Answered by `Anew`.
    Lost,
}
