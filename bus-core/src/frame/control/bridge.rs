//! What only bridges ask and are told: requests, where messages come from, what is wanted.

use std::sync::Arc;

use bus_proto::v1;
use bus_proto::v1::request::Command as Wire;

use super::convert::{Convert, missing, record, refuse, required};
use super::hosted;
use super::request::subscribe_options;
use crate::error::{ErrorKind, Failure};
use crate::limits::{BROKER_NAME_BYTES_MAX, HOPS_MAX};
use crate::router::{BridgeCommand, Command, Interest, Provenance, RequestId};

record! {
    Interest as Interest { pattern, path }
    Provenance as Provenance { epoch, broker, publisher, sender, hops }
}

required! { Provenance as Provenance }

/// The wire form of a bridge's command, and its number.
pub(super) fn to_wire(command: &BridgeCommand) -> Option<(RequestId, Wire)> {
    Some(match command {
        BridgeCommand::OpenRelay { request, channel, topic, provenance, reach } => {
            let (channel, topic, reach) = (*channel, topic.to_wire(), *reach);
            let provenance = Some(Provenance::to_wire(provenance));
            (*request, Wire::OpenRelay(v1::OpenRelay { channel, topic, provenance, reach }))
        }
        BridgeCommand::Skip { channel, turn, sequence, lost } => {
            let (channel, turn, sequence, lost) = (*channel, *turn, *sequence, *lost);
            (0, Wire::Skip(v1::Skip { channel, turn, sequence, lost }))
        }
        BridgeCommand::SubscribeBeyond { request, channel, pattern, options, beyond } => {
            let subscribe = v1::Subscribe {
                channel: *channel,
                pattern: pattern.to_wire(),
                selector: options.selector.to_wire(),
                policy: options.policy.to_wire(),
                window_bytes: options.window_bytes,
                backlog_bytes: options.backlog_bytes,
                group: options.group.to_wire(),
            };
            let (subscribe, beyond) = (Some(subscribe), beyond.to_wire());
            (*request, Wire::SubscribeBeyond(v1::SubscribeBeyond { subscribe, beyond }))
        }
        BridgeCommand::ChangeBeyond { request, channel, added, removed } => {
            let (channel, added, removed) = (*channel, added.to_wire(), removed.to_wire());
            (*request, Wire::ChangeBeyond(v1::ChangeBeyond { channel, added, removed }))
        }
        BridgeCommand::WatchInterest { request, channel, peer } => {
            let (channel, peer) = (*channel, *peer);
            (*request, Wire::WatchInterest(v1::WatchInterest { channel, peer }))
        }
        BridgeCommand::OpenHome { request, channel, name, open } => {
            let (channel, name, open) = (*channel, name.to_wire(), open.to_wire());
            (*request, Wire::OpenHome(v1::OpenHome { channel, name, open }))
        }
        BridgeCommand::HostQueue { request, channel, name, mode, hops } => {
            let (channel, name, mode) = (*channel, name.to_wire(), mode.to_wire());
            (*request, Wire::HostQueue(v1::HostQueue { channel, name, mode, hops: hops.clone() }))
        }
        BridgeCommand::NameSender { origin, sender } => {
            let (origin, sender) = (*origin, sender.to_wire());
            (0, Wire::NameSender(v1::NameSender { origin, sender }))
        }
        BridgeCommand::Hosted { channel, tell } => (0, hosted::says_to_wire(*channel, tell)?),
    })
}

pub(super) fn open_relay(request: RequestId, given: v1::OpenRelay) -> Result<Command, Failure> {
    let provenance: Provenance = Convert::from_wire(given.provenance, "provenance")?;
    Ok(Command::Bridge(BridgeCommand::OpenRelay {
        request,
        channel: given.channel,
        topic: Convert::from_wire(given.topic, "topic")?,
        provenance: Arc::new(provenance),
        reach: given.reach,
    }))
}

pub(super) fn skip(given: &v1::Skip) -> Command {
    let v1::Skip { channel, turn, sequence, lost } = *given;
    Command::Bridge(BridgeCommand::Skip { channel, turn, sequence, lost })
}

pub(super) fn subscribe_beyond(
    request: RequestId,
    given: v1::SubscribeBeyond,
) -> Result<Command, Failure> {
    let subscribe = given.subscribe.ok_or_else(|| missing("subscribe"))?;
    let (channel, pattern, options) = subscribe_options(subscribe)?;
    let beyond = Convert::from_wire(given.beyond, "beyond")?;
    let command = BridgeCommand::SubscribeBeyond { request, channel, pattern, options, beyond };
    Ok(Command::Bridge(command))
}

pub(super) fn change_beyond(
    request: RequestId,
    given: v1::ChangeBeyond,
) -> Result<Command, Failure> {
    Ok(Command::Bridge(BridgeCommand::ChangeBeyond {
        request,
        channel: given.channel,
        added: Convert::from_wire(given.added, "added")?,
        removed: Convert::from_wire(given.removed, "removed")?,
    }))
}

pub(super) fn watch_interest(request: RequestId, given: &v1::WatchInterest) -> Command {
    let v1::WatchInterest { channel, peer } = *given;
    Command::Bridge(BridgeCommand::WatchInterest { request, channel, peer })
}

/// Whether something has not passed too many brokers.
pub(super) fn check_hops(hops: &[u64]) -> Result<(), Failure> {
    if hops.len() > HOPS_MAX {
        let (found, allowed) = (hops.len(), format!("1 to {HOPS_MAX}"));
        return Err(refuse(ErrorKind::QuotaExceeded, "number of hops", found, allowed));
    }
    Ok(())
}

/// Whether what a bridge says of where something comes from is within its limits.
pub(super) fn check_provenance(given: Option<&v1::Provenance>) -> Result<(), Failure> {
    let Some(given) = given else { return Ok(()) };
    check_hops(&given.hops)?;
    let found = given.broker.len();
    if found > BROKER_NAME_BYTES_MAX || given.broker.chars().any(char::is_control) {
        let text = format!(
            "broker: a name has at most {BROKER_NAME_BYTES_MAX} bytes and no control characters"
        );
        return Err(Failure::new(ErrorKind::InvalidArgument, text));
    }
    Ok(())
}
