//! Queues that a bridge hosts: requests of the bridge, and what is asked of their homes.

use bus_proto::v1;
use bus_proto::v1::home_ask::What as Ask;
use bus_proto::v1::home_says::What as Says;
use bus_proto::v1::request::Command as Wire;

use super::convert::{Convert, missing};
use super::request::{consume_options, consume_to_wire};
use crate::error::Failure;
use crate::limits::{CREDIT_MAX, HOSTED_LEASES_TOLD_MAX, REASON_BYTES_MAX};
use crate::router::{
    BridgeCommand, Channel, Command, Forsaken, HostedAsk, HostedTell, Lease, RequestId,
};

/// The wire form of deliveries that go back.
pub(super) fn forsake(forsaken: &Forsaken) -> v1::Forsake {
    let Forsaken { unmarked, marked, suspect } = forsaken;
    v1::Forsake { unmarked: unmarked.clone(), marked: marked.clone(), suspect: *suspect }
}

/// The deliveries.
pub(super) fn forsaken(given: v1::Forsake) -> Forsaken {
    let v1::Forsake { unmarked, marked, suspect } = given;
    Forsaken { unmarked, marked, suspect }
}

pub(super) fn open_home(request: RequestId, given: v1::OpenHome) -> Result<Command, Failure> {
    Ok(Command::Bridge(BridgeCommand::OpenHome {
        request,
        channel: given.channel,
        name: Convert::from_wire(given.name, "name")?,
        open: Convert::from_wire(given.open, "open")?,
    }))
}

pub(super) fn host_queue(request: RequestId, given: v1::HostQueue) -> Result<Command, Failure> {
    Ok(Command::Bridge(BridgeCommand::HostQueue {
        request,
        channel: given.channel,
        name: Convert::from_wire(given.name, "name")?,
        mode: Convert::from_wire(given.mode, "mode")?,
        hops: given.hops,
    }))
}

pub(super) fn name_sender(given: v1::NameSender) -> Result<Command, Failure> {
    Ok(Command::Bridge(BridgeCommand::NameSender {
        origin: given.origin,
        sender: Convert::from_wire(given.sender, "sender")?,
    }))
}

/// The wire form of what a home says; none if it has a frame of its own.
pub(super) fn says_to_wire(channel: Channel, tell: &HostedTell) -> Option<Wire> {
    let failure =
        |number: u64, failure: &Failure| v1::HomeFailure { number, failure: failure.to_wire() };
    let what = match tell {
        HostedTell::Lease { .. } | HostedTell::LeaseParcel { .. } | HostedTell::Peeked { .. } => {
            return None;
        }
        HostedTell::Recall { lease } => Says::Recall(*lease),
        HostedTell::Ended { receiver, failure: why } => Says::Ended(failure(*receiver, why)),
        HostedTell::Closed { receiver } => Says::Closed(*receiver),
        HostedTell::Credited { receiver } => Says::Credited(*receiver),
        HostedTell::Accepted { first, count } => {
            Says::Accepted(v1::HomeSpan { first: *first, count: *count })
        }
        HostedTell::Failed { ticket, failure: why } => Says::Failed(failure(*ticket, why)),
        HostedTell::Settled { first, count } => {
            Says::Settled(v1::HomeSpan { first: *first, count: *count })
        }
        HostedTell::Unsettled { lease, failure: why } => Says::Unsettled(failure(*lease, why)),
        HostedTell::Done { request, result } => {
            let failure = result.as_ref().err().map(Convert::to_wire);
            Says::Done(v1::HomeDone { request: *request, failure })
        }
        HostedTell::Reach { up, hops } => {
            Says::Reach(v1::HomeReach { up: *up, hops: hops.clone() })
        }
        HostedTell::Lost => Says::Lost(true),
        HostedTell::Called { broker, bridge } => {
            Says::Called(v1::HomeCalled { broker: broker.clone(), bridge: bridge.clone() })
        }
        HostedTell::Denied { failure } => Says::Denied(failure.to_wire()),
        HostedTell::Away { reason } => Says::Away(reason.clone()),
    };
    Some(Wire::HomeSays(v1::HomeSays { channel, what: Some(what) }))
}

pub(super) fn says_from_wire(given: v1::HomeSays) -> Result<Command, Failure> {
    let numbered = |given: v1::HomeFailure| {
        let failure: Failure = Convert::from_wire(given.failure, "failure")?;
        Ok::<_, Failure>((given.number, failure))
    };
    let tell = match given.what.ok_or_else(|| missing("what"))? {
        Says::Recall(lease) => HostedTell::Recall { lease },
        Says::Ended(given) => {
            let (receiver, failure) = numbered(given)?;
            HostedTell::Ended { receiver, failure }
        }
        Says::Closed(receiver) => HostedTell::Closed { receiver },
        Says::Credited(receiver) => HostedTell::Credited { receiver },
        Says::Accepted(v1::HomeSpan { first, count }) => HostedTell::Accepted { first, count },
        Says::Failed(given) => {
            let (ticket, failure) = numbered(given)?;
            HostedTell::Failed { ticket, failure }
        }
        Says::Settled(v1::HomeSpan { first, count }) => HostedTell::Settled { first, count },
        Says::Unsettled(given) => {
            let (lease, failure) = numbered(given)?;
            HostedTell::Unsettled { lease, failure }
        }
        Says::Done(v1::HomeDone { request, failure }) => {
            let failure: Option<Failure> =
                failure.map(|it| Convert::from_wire(it, "failure")).transpose()?;
            HostedTell::Done { request, result: failure.map_or(Ok(()), Err) }
        }
        Says::Reach(v1::HomeReach { up, hops }) => HostedTell::Reach { up, hops },
        Says::Lost(_) => HostedTell::Lost,
        Says::Called(v1::HomeCalled { broker, bridge }) => HostedTell::Called { broker, bridge },
        Says::Denied(given) => HostedTell::Denied { failure: Convert::from_wire(given, "denied")? },
        Says::Away(reason) => HostedTell::Away { reason },
    };
    Ok(Command::Bridge(BridgeCommand::Hosted { channel: given.channel, tell }))
}

/// The wire form of what is asked of a home; none if it has a frame of its own.
pub(super) fn ask_to_wire(channel: Channel, ask: &HostedAsk) -> Option<v1::HomeAsk> {
    let what = match ask {
        HostedAsk::Send { .. } | HostedAsk::SendParcel { .. } => return None,
        HostedAsk::Consume { receiver, options } => {
            let options = Some(consume_to_wire(0, 0, options));
            Ask::Consume(v1::HomeConsume { receiver: *receiver, options })
        }
        HostedAsk::Credit { receiver, credit } => {
            Ask::Credit(v1::HomeCredit { receiver: *receiver, credit: *credit })
        }
        HostedAsk::Close { receiver } => Ask::Close(*receiver),
        HostedAsk::Withdraw { ticket } => Ask::Withdraw(*ticket),
        HostedAsk::Taken { first, count } => {
            Ask::Taken(v1::HomeSpan { first: *first, count: *count })
        }
        HostedAsk::Ack { first, count } => Ask::Ack(v1::HomeSpan { first: *first, count: *count }),
        HostedAsk::Nack { request, lease, delay } => {
            let nack = Some(v1::Nack { lease: *lease, delay_ms: delay.to_wire() });
            Ask::Nack(v1::HomeNack { request: *request, nack })
        }
        HostedAsk::Extend { request, lease, by } => {
            let extend = Some(v1::Extend { lease: *lease, by_ms: by.to_wire() });
            Ask::Extend(v1::HomeExtend { request: *request, extend })
        }
        HostedAsk::Reject { request, lease, reason } => {
            let reject = Some(v1::Reject { lease: *lease, reason: reason.clone() });
            Ask::Reject(v1::HomeReject { request: *request, reject })
        }
        HostedAsk::Return(forsaken) => Ask::Return(forsake(forsaken)),
        HostedAsk::Anew => Ask::Anew(true),
        HostedAsk::Peek { request, selector, index } => {
            let (request, selector, index) = (*request, selector.to_wire(), *index);
            Ask::Peek(v1::HomePeek { request, selector, index })
        }
    };
    Some(v1::HomeAsk { channel, what: Some(what) })
}

/// Leases from the first one on, no more than are named at once.
fn leases(given: v1::HomeSpan) -> (Lease, u32) {
    // The limit has 32 bits, and no number goes beyond the last one.
    let count = given.count.min(HOSTED_LEASES_TOLD_MAX as u32);
    (given.first.min(Lease::MAX - u64::from(count)), count)
}

/// What is asked of a home, and over which channel.
pub(super) fn ask_from_wire(given: v1::HomeAsk) -> Result<(Channel, HostedAsk), Failure> {
    let ask = match given.what.ok_or_else(|| missing("what"))? {
        Ask::Consume(v1::HomeConsume { receiver, options }) => {
            let options = consume_options(options.ok_or_else(|| missing("options"))?)?;
            HostedAsk::Consume { receiver, options }
        }
        Ask::Credit(v1::HomeCredit { receiver, credit }) => {
            HostedAsk::Credit { receiver, credit: credit.min(CREDIT_MAX) }
        }
        Ask::Close(receiver) => HostedAsk::Close { receiver },
        Ask::Withdraw(ticket) => HostedAsk::Withdraw { ticket },
        Ask::Taken(given) => {
            let (first, count) = leases(given);
            HostedAsk::Taken { first, count }
        }
        Ask::Ack(given) => {
            let (first, count) = leases(given);
            HostedAsk::Ack { first, count }
        }
        Ask::Nack(v1::HomeNack { request, nack }) => {
            let v1::Nack { lease, delay_ms } = nack.ok_or_else(|| missing("nack"))?;
            let delay = Convert::from_wire(delay_ms, "delay_ms")?;
            HostedAsk::Nack { request, lease, delay }
        }
        Ask::Extend(v1::HomeExtend { request, extend }) => {
            let v1::Extend { lease, by_ms } = extend.ok_or_else(|| missing("extend"))?;
            let by = Convert::from_wire(by_ms, "by_ms")?;
            HostedAsk::Extend { request, lease, by }
        }
        Ask::Reject(v1::HomeReject { request, reject }) => {
            let v1::Reject { lease, mut reason } = reject.ok_or_else(|| missing("reject"))?;
            // The other broker has looked at its length; a longer one would be refused at home.
            while reason.len() > REASON_BYTES_MAX {
                reason.pop();
            }
            HostedAsk::Reject { request, lease, reason }
        }
        Ask::Return(given) => HostedAsk::Return(forsaken(given)),
        Ask::Anew(_) => HostedAsk::Anew,
        Ask::Peek(v1::HomePeek { request, selector, index }) => {
            let selector = Convert::from_wire(selector, "selector")?;
            HostedAsk::Peek { request, selector, index }
        }
    };
    Ok((given.channel, ask))
}
