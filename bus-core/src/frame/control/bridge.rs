//! What only bridges ask and are told: requests, where messages come from, what is wanted.

use std::sync::Arc;

use bus_proto::v1;
use bus_proto::v1::request::Command as Wire;

use super::convert::{Convert, missing, record, refuse, required};
use super::hosted;
use super::request::subscribe_options;
use crate::error::{ErrorKind, Failure};
use crate::limits::{BROKER_NAME_BYTES_MAX, HOPS_MAX, SERVICE_PATTERNS_MAX};
use crate::name::Name;
use crate::router::{BridgeCommand, Command, Epoch, Interest, Provenance, RequestId, ServeBeyond};

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
        BridgeCommand::Skip { .. } => (0, skip_to_wire(command)?),
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
        BridgeCommand::HoldBeyond { request, channel, topic, hold } => {
            (*request, hold_to_wire(*channel, topic, *hold))
        }
        BridgeCommand::WatchInterest { request, channel, peer } => {
            (*request, Wire::WatchInterest(v1::WatchInterest { channel: *channel, peer: *peer }))
        }
        BridgeCommand::ServeBeyond { request, channel, serve } => {
            (*request, Wire::ServeBeyond(serve_to_wire(*channel, serve)))
        }
        BridgeCommand::OpenCaller { request, channel, name, provenance } => {
            let (channel, name) = (*channel, name.to_wire());
            let provenance = Some(Provenance::to_wire(provenance));
            (*request, Wire::OpenCaller(v1::OpenCaller { channel, name, provenance }))
        }
        BridgeCommand::WatchServices { request, channel, peer, patterns } => {
            let (channel, peer, patterns) = (*channel, *peer, patterns.to_wire());
            (*request, Wire::WatchServices(v1::WatchServices { channel, peer, patterns }))
        }
        BridgeCommand::AskPermit { request, .. } => (*request, permit_to_wire(command)?),
        BridgeCommand::OpenHome { request, channel, name, open } => {
            let (channel, name, open) = (*channel, name.to_wire(), open.to_wire());
            (*request, Wire::OpenHome(v1::OpenHome { channel, name, open }))
        }
        BridgeCommand::HostQueue { request, channel, name, mode, hops } => {
            let (channel, name, mode) = (*channel, name.to_wire(), mode.to_wire());
            (*request, Wire::HostQueue(v1::HostQueue { channel, name, mode, hops: hops.clone() }))
        }
        BridgeCommand::NameSender { origin, sender } => {
            (0, Wire::NameSender(v1::NameSender { origin: *origin, sender: sender.to_wire() }))
        }
        BridgeCommand::Hosted { channel, tell } => (0, hosted::says_to_wire(*channel, tell)?),
    })
}

fn skip_to_wire(command: &BridgeCommand) -> Option<Wire> {
    let BridgeCommand::Skip { channel, turn, sequence, lost, unconfirmed } = *command else {
        return None;
    };
    Some(Wire::Skip(v1::Skip { channel, turn, sequence, lost, unconfirmed }))
}

fn permit_to_wire(command: &BridgeCommand) -> Option<Wire> {
    let BridgeCommand::AskPermit { channel, pattern, services, part, .. } = command else {
        return None;
    };
    let (channel, services, part) = (*channel, *services, *part);
    let pattern = pattern.to_wire();
    Some(Wire::AskPermit(v1::AskPermit { channel, pattern, services, part }))
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
    let v1::Skip { channel, turn, sequence, lost, unconfirmed } = *given;
    Command::Bridge(BridgeCommand::Skip { channel, turn, sequence, lost, unconfirmed })
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

fn hold_to_wire(channel: u32, topic: &Name, hold: bool) -> Wire {
    Wire::HoldBeyond(v1::HoldBeyond { channel, topic: topic.to_wire(), hold })
}

pub(super) fn hold_beyond(request: RequestId, given: v1::HoldBeyond) -> Result<Command, Failure> {
    Ok(Command::Bridge(BridgeCommand::HoldBeyond {
        request,
        channel: given.channel,
        topic: Convert::from_wire(given.topic, "topic")?,
        hold: given.hold,
    }))
}

pub(super) fn watch_interest(request: RequestId, given: &v1::WatchInterest) -> Command {
    let v1::WatchInterest { channel, peer } = *given;
    Command::Bridge(BridgeCommand::WatchInterest { request, channel, peer })
}

fn serve_to_wire(channel: u32, given: &ServeBeyond) -> v1::ServeBeyond {
    let ServeBeyond { name, credit, bytes_max, mode, ways } = given;
    let (name, credit, mode) = (name.to_wire(), *credit, mode.to_wire());
    let serve = Some(v1::Serve { channel, name, credit, mode });
    let ways = ways.iter().map(|path| v1::Way { path: path.clone() }).collect();
    v1::ServeBeyond { serve, bytes_max: *bytes_max, ways }
}

pub(super) fn serve_beyond(request: RequestId, given: v1::ServeBeyond) -> Result<Command, Failure> {
    let v1::Serve { channel, name, credit, mode } = given.serve.ok_or_else(|| missing("serve"))?;
    let ways: Vec<Vec<Epoch>> = given.ways.into_iter().map(|way| way.path).collect();
    let serve = ServeBeyond {
        name: Convert::from_wire(name, "name")?,
        credit,
        bytes_max: given.bytes_max,
        mode: Convert::from_wire(mode, "mode")?,
        ways,
    };
    Ok(Command::Bridge(BridgeCommand::ServeBeyond { request, channel, serve }))
}

pub(super) fn open_caller(request: RequestId, given: v1::OpenCaller) -> Result<Command, Failure> {
    let provenance: Provenance = Convert::from_wire(given.provenance, "provenance")?;
    Ok(Command::Bridge(BridgeCommand::OpenCaller {
        request,
        channel: given.channel,
        name: Convert::from_wire(given.name, "name")?,
        provenance: Arc::new(provenance),
    }))
}

pub(super) fn watch_services(
    request: RequestId,
    given: v1::WatchServices,
) -> Result<Command, Failure> {
    let v1::WatchServices { channel, peer, patterns } = given;
    let patterns = Convert::from_wire(patterns, "patterns")?;
    Ok(Command::Bridge(BridgeCommand::WatchServices { request, channel, peer, patterns }))
}

pub(super) fn ask_permit(request: RequestId, given: v1::AskPermit) -> Result<Command, Failure> {
    let v1::AskPermit { channel, pattern, services, part } = given;
    let pattern = Convert::from_wire(pattern, "pattern")?;
    let command = BridgeCommand::AskPermit { request, channel, pattern, services, part };
    Ok(Command::Bridge(command))
}

/// Whether a bridge asks about no more services than it may.
pub(super) fn check_patterns(given: &[String]) -> Result<(), Failure> {
    let allowed = format!("0 to {SERVICE_PATTERNS_MAX}");
    match given.len() <= SERVICE_PATTERNS_MAX {
        true => Ok(()),
        false => {
            let (kind, field) = (ErrorKind::QuotaExceeded, "number of patterns");
            Err(refuse(kind, field, given.len(), allowed))
        }
    }
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
