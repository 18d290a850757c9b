//! Other messaging systems beside the bus: the harness of `bus-benches`, with contenders added.
//!
//! Each rival is one file, runs as its own documents recommend, and does the work of the
//! harness's workloads, which check every message. What cannot be measured here, because it
//! was not built in or is not installed, is left out by name and with the reason.

mod absent;
mod rival;

#[cfg(feature = "aeron")]
mod aeron_ipc;
#[cfg(any(feature = "nats", feature = "zenoh"))]
mod buffers;
mod credit;
#[cfg(feature = "iceoryx2")]
mod iceoryx2_ports;
#[cfg(feature = "zenoh")]
mod inbox;
mod mosquitto;
mod mqtt;
#[cfg(feature = "nats")]
mod nats;
#[cfg(feature = "nats")]
mod nats_leaf;
#[cfg(any(feature = "aeron", feature = "zenoh"))]
mod own_server;
mod program;
#[cfg(feature = "redis")]
mod redis_channels;
#[cfg(any(feature = "aeron", feature = "iceoryx2"))]
mod sweeper;
#[cfg(feature = "zenoh")]
mod zenoh_router;
#[cfg(feature = "zeromq")]
mod zeromq;

use std::process::ExitCode;

fn main() -> ExitCode {
    bus_benches::run(rival::all())
}
