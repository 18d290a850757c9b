//! What a request may ask for: the limits of its fields.
//!
//! Only plain numbers and texts are looked at here; whether a name is well formed or a choice
//! is known shows when the request is converted. What the broker itself tells is not bounded,
//! so a newer one may have higher limits.

use std::fmt::Display;
use std::ops::RangeInclusive;

use bus_proto::v1;
use bus_proto::v1::request::Command as Wire;

use super::bridge;
use super::convert::refuse;
use crate::error::{ErrorKind, Failure};
use crate::limits::{
    BACKLOG_BYTES_MAX, BRIDGE_BACKLOG_BYTES_MAX, CHANNELS_MAX, CREDIT_MAX, HOLD_MAX, LEASE_MAX,
    NAME_BYTES_MAX, QUEUE_BYTES_MAX, QUEUE_BYTES_MIN, QUEUE_COUNT_MAX, REASON_BYTES_MAX,
    WINDOW_BYTES_MAX, WINDOW_BYTES_MIN,
};

// Both are whole seconds, far below 2^64 milliseconds.
const LEASE_MS_MAX: u64 = LEASE_MAX.as_millis() as u64;
const HOLD_MS_MAX: u64 = HOLD_MAX.as_millis() as u64;

type Checked = Result<(), Failure>;

/// Whether everything in a request is within its limits.
pub(super) fn check(command: &Wire) -> Checked {
    match command {
        Wire::OpenQueue(given) => {
            channel(given.channel)?;
            given.options.as_ref().map_or(Ok(()), queue_options)
        }
        Wire::OpenPublisher(given) => {
            channel(given.channel)?;
            given.options.as_ref().map_or(Ok(()), |options| hold(options.hold_ms))
        }
        Wire::Subscribe(given) => subscribe(given, BACKLOG_BYTES_MAX),
        Wire::OpenService(given) => channel(given.channel),
        Wire::Serve(given) => serve(given),
        Wire::Consume(given) => {
            channel(given.channel)?;
            queue_channel(given.queue)?;
            within("credit", given.credit, 0..=CREDIT_MAX)
        }
        Wire::Close(given) => channel(given.channel),
        Wire::Flush(given) => channel(given.channel),
        Wire::WatchMatching(given) => channel(given.channel),
        Wire::Peek(given) => queue_channel(given.queue),
        Wire::Nack(given) => within("delay_ms", given.delay_ms, 0..=LEASE_MS_MAX),
        Wire::Extend(given) => within("by_ms", given.by_ms, 0..=LEASE_MS_MAX),
        Wire::Reject(given) => length("reason", &given.reason, 0..=REASON_BYTES_MAX),
        Wire::Declare(given) => type_name(&given.name),
        Wire::Admin(given) => length("new_owner", &given.new_owner, 0..=0),
        Wire::SetQueue(given) => queue_change(given),
        Wire::SetTopic(given) => given.hold_ms.map_or(Ok(()), hold),
        Wire::List(given) => length("after", &given.after, 0..=NAME_BYTES_MAX),
        Wire::OpenRelay(given) => {
            channel(given.channel)?;
            bridge::check_provenance(given.provenance.as_ref())
        }
        Wire::Skip(given) => channel(given.channel),
        Wire::SubscribeBeyond(given) => given.subscribe.as_ref().map_or(Ok(()), subscribe_beyond),
        Wire::ChangeBeyond(given) => channel(given.channel),
        Wire::HoldBeyond(given) => channel(given.channel),
        Wire::WatchInterest(given) => channel(given.channel),
        Wire::ServeBeyond(given) => given.serve.as_ref().map_or(Ok(()), serve),
        Wire::OpenCaller(given) => {
            channel(given.channel)?;
            bridge::check_provenance(given.provenance.as_ref())
        }
        Wire::WatchServices(given) => {
            channel(given.channel)?;
            bridge::check_patterns(&given.patterns)
        }
        Wire::AskPermit(given) => channel(given.channel),
        Wire::OpenHome(given) => channel(given.channel),
        Wire::HostQueue(given) => {
            channel(given.channel)?;
            bridge::check_hops(&given.hops)
        }
        Wire::HomeSays(given) => channel(given.channel),
        Wire::Forsake(_) | Wire::NameSender(_) => Ok(()),
        // A Return is as long as its frame may be; a Broker is empty.
        Wire::Return(_) | Wire::Broker(_) => Ok(()),
    }
}

fn queue_options(given: &v1::QueueOptions) -> Checked {
    queue_bytes(given.bytes_max)?;
    queue_count(given.count_max)?;
    lease(given.lease_ms)?;
    deliveries(given.deliveries_max)
}

fn queue_change(given: &v1::SetQueue) -> Checked {
    given.bytes_max.map_or(Ok(()), queue_bytes)?;
    given.count_max.map_or(Ok(()), queue_count)?;
    given.lease_ms.map_or(Ok(()), lease)?;
    given.deliveries_max.map_or(Ok(()), deliveries)
}

fn subscribe(given: &v1::Subscribe, backlog_max: u64) -> Checked {
    channel(given.channel)?;
    within("window_bytes", given.window_bytes, WINDOW_BYTES_MIN..=WINDOW_BYTES_MAX)?;
    within("backlog_bytes", given.backlog_bytes, 0..=backlog_max)
}

fn subscribe_beyond(given: &v1::Subscribe) -> Checked {
    subscribe(given, BRIDGE_BACKLOG_BYTES_MAX)
}

fn serve(given: &v1::Serve) -> Checked {
    channel(given.channel)?;
    within("credit", given.credit, 0..=CREDIT_MAX)
}

fn channel(given: u32) -> Checked {
    within("channel", given, 0..=CHANNELS_MAX - 1)
}

fn queue_channel(given: u32) -> Checked {
    within("queue", given, 0..=CHANNELS_MAX - 1)
}

fn queue_bytes(given: u64) -> Checked {
    within("bytes_max", given, QUEUE_BYTES_MIN..=QUEUE_BYTES_MAX)
}

fn queue_count(given: u64) -> Checked {
    within("count_max", given, 1..=QUEUE_COUNT_MAX)
}

fn lease(given: u64) -> Checked {
    within("lease_ms", given, 1..=LEASE_MS_MAX)
}

fn deliveries(given: u32) -> Checked {
    within("deliveries_max", given, 1..=u32::MAX)
}

fn hold(given: u64) -> Checked {
    within("hold_ms", given, 0..=HOLD_MS_MAX)
}

/// Names of types are shown to people, on terminals too.
fn type_name(given: &str) -> Checked {
    length("name", given, 1..=NAME_BYTES_MAX)?;
    match given.chars().find(|letter| letter.is_control()) {
        Some(bad) => Err(Failure::new(
            ErrorKind::InvalidArgument,
            format!("name has the control character {bad:?}, which no name of a type may have"),
        )),
        None => Ok(()),
    }
}

fn length(field: &str, given: &str, allowed: RangeInclusive<usize>) -> Checked {
    ranged(field, given.len(), allowed, " bytes long")
}

fn within<N: PartialOrd + Display>(field: &str, given: N, allowed: RangeInclusive<N>) -> Checked {
    ranged(field, given, allowed, "")
}

fn ranged<N: PartialOrd + Display>(
    field: &str,
    given: N,
    allowed: RangeInclusive<N>,
    unit: &str,
) -> Checked {
    if allowed.contains(&given) {
        return Ok(());
    }
    let (first, last) = allowed.into_inner();
    let kind = ErrorKind::InvalidArgument;
    Err(refuse(kind, field, format!("{given}{unit}"), format!("{first} to {last}")))
}
