//! The registry of contenders, and which one ratios are made against.
//!
//! Adding one: a file with its `Contender`, and a line in `all`.
//! Only the `*_calls` and `rival_*` files here may contain unsafe code.

use anyhow::{Context, Result};

use crate::cell::WorkloadKind;
use crate::contender::Contender;
use crate::joined::Joined;

mod bells;
mod blocking_streams;
mod bus;
mod bus_blocking;
mod bus_bridge;
mod bus_bridge_queue;
mod bus_certificates;
mod bus_crowd;
mod bus_queue;
mod bus_server;
mod bus_topic;
mod distance;
mod lane_port;
mod lanes;
mod meeting;
mod posix_queue;
mod posix_queue_calls;
mod relay;
mod ring_port;
mod rings;
pub mod rival_raw_sync;
pub mod rival_ring_memory;
mod sockets;
mod streams;
mod system_v;
mod system_v_calls;
mod tokio_streams;

/// All contenders, in the order of reports.
pub fn all() -> Vec<Box<dyn Contender>> {
    let mut all: Vec<Box<dyn Contender>> = Vec::new();
    all.extend(system_v::all().map(|contender| Box::new(contender) as Box<dyn Contender>));
    all.extend(posix_queue::all().map(|contender| Box::new(contender) as Box<dyn Contender>));
    all.extend(sockets::all().map(|contender| Box::new(contender) as Box<dyn Contender>));
    all.push(Box::new(relay::Relay));
    all.extend(rings::all().map(|contender| Box::new(contender) as Box<dyn Contender>));
    all.extend(lanes::all().map(|contender| Box::new(contender) as Box<dyn Contender>));
    all.extend(bus::all().map(|contender| Box::new(contender) as Box<dyn Contender>));
    let bridged = bus_bridge::all().map(Joined);
    all.extend(bridged.map(|contender| Box::new(contender) as Box<dyn Contender>));
    let queues = bus_bridge_queue::all().map(Joined);
    all.extend(queues.map(|contender| Box::new(contender) as Box<dyn Contender>));
    all
}

/// The contender of this name.
pub fn named<'all>(name: &str, all: &'all [Box<dyn Contender>]) -> Result<&'all dyn Contender> {
    let found = all.iter().find(|contender| contender.name() == name);
    found
        .map(AsRef::as_ref)
        .with_context(|| format!("there is no contender {name:?}; --list shows them"))
}

/// Whom to compare with if nobody says otherwise: the first of these that ran.
pub fn default_baselines(workload: WorkloadKind) -> &'static [&'static str] {
    match workload {
        WorkloadKind::OneWay | WorkloadKind::Selective | WorkloadKind::FanIn => &["sysv", "unix"],
        WorkloadKind::RoundTrip
        | WorkloadKind::FanOut
        | WorkloadKind::Idle
        | WorkloadKind::Memory
        | WorkloadKind::Crowd
        | WorkloadKind::PublishCost => &["unix-tokio", "unix", "sysv-raised"],
        // Nothing that the system has joins two brokers.
        WorkloadKind::BridgedRoundTrip | WorkloadKind::BridgedOneWay => &[],
        // Each is compared with itself.
        WorkloadKind::Shared => &[],
    }
}
