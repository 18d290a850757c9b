//! The registry of rivals, and what they have in common.
//!
//! Adding one: a file with its `Contender`, a feature, and a line here.

use bus_benches::cell::{Cell, WorkloadKind};
use bus_benches::contender::Contender;
use bus_benches::joined::Joined;

use crate::absent::Absent;
use crate::mosquitto;

/// All rivals, in the order of reports; those that were not built in say so.
pub fn all() -> Vec<Box<dyn Contender>> {
    let mut all = Vec::new();

    #[cfg(feature = "nats")]
    add(&mut all, [crate::nats::Nats]);
    #[cfg(feature = "nats")]
    add(&mut all, [Joined(crate::nats_leaf::NatsLeaf)]);
    absent(&mut all, cfg!(feature = "nats"), &["nats", "nats-leaf"], "nats");

    add(&mut all, mosquitto::all().map(Joined));

    #[cfg(feature = "redis")]
    add(&mut all, [crate::redis_channels::Redis]);
    absent(&mut all, cfg!(feature = "redis"), &["redis"], "redis");

    #[cfg(feature = "zeromq")]
    add(&mut all, [crate::zeromq::ZeroMq]);
    absent(&mut all, cfg!(feature = "zeromq"), &["zeromq"], "zeromq");

    #[cfg(feature = "zenoh")]
    add(&mut all, crate::zenoh_router::all());
    absent(&mut all, cfg!(feature = "zenoh"), &["zenoh", "zenoh-unix"], "zenoh");

    #[cfg(feature = "iceoryx2")]
    add(&mut all, crate::iceoryx2_ports::all());
    absent(&mut all, cfg!(feature = "iceoryx2"), &["iceoryx2", "iceoryx2-spin"], "iceoryx2");

    #[cfg(feature = "aeron")]
    add(&mut all, crate::aeron_ipc::all());
    absent(&mut all, cfg!(feature = "aeron"), &["aeron", "aeron-spin"], "aeron");

    all
}

/// Adds the ways in which a rival is used.
fn add<C: Contender + 'static>(
    all: &mut Vec<Box<dyn Contender>>,
    ways: impl IntoIterator<Item = C>,
) {
    all.extend(ways.into_iter().map(|way| Box::new(way) as Box<dyn Contender>));
}

/// Adds the names of a rival that would be there with `feature`, if it is not built in.
fn absent(
    all: &mut Vec<Box<dyn Contender>>,
    built_in: bool,
    names: &[&'static str],
    feature: &str,
) {
    if !built_in {
        let names = names.iter();
        all.extend(names.map(|name| Box::new(Absent::new(name, feature)) as Box<dyn Contender>));
    }
}

/// Which work a system with a server can do here.
pub fn broker_supports(cell: &Cell) -> Result<(), String> {
    match cell.workload {
        WorkloadKind::Selective => Err("its receivers do not share a queue by type".to_owned()),
        WorkloadKind::Crowd => Err("a crowd is a measure of the bus itself".to_owned()),
        _ => Ok(()),
    }
}

/// Which work a system without a server can do here.
#[cfg(any(feature = "iceoryx2", feature = "zeromq"))]
pub fn brokerless_supports(cell: &Cell) -> Result<(), String> {
    match cell.workload {
        WorkloadKind::Idle | WorkloadKind::Memory => Err("it has no server".to_owned()),
        _ => broker_supports(cell),
    }
}
