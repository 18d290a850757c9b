//! The workloads, each in a file of its own: its cells, its cast, its figures.
//!
//! `flow` holds the two roles that the throughput workloads share, `gathering` what
//! the workloads with idle clients share. Workloads know roles, ports and outcomes;
//! they know no contender.

use anyhow::Result;
use serde::Serialize;

use crate::cell::{Cell, WorkloadKind};
use crate::stage::Stage;

pub mod flow;
pub mod publish_cost;
pub mod round_trip;
pub mod shared;

mod bridged;
mod crowd;
mod fan_in;
mod fan_out;
mod gathering;
mod idle;
mod memory;
mod one_way;
mod selective;

/// One kind of work.
pub trait Workload: Sync {
    /// Which.
    fn kind(&self) -> WorkloadKind;

    /// One line for `--list` and above the table.
    fn about(&self) -> &'static str;

    /// What of it is measured at this scale.
    fn cells(&self, scale: &Scale) -> Vec<Cell>;

    /// Measures one cell once. The first figure is the one that ratios are made of.
    fn run(&self, stage: &mut Stage<'_>) -> Result<Vec<Figure>>;
}

/// How large the workloads are.
pub struct Scale {
    /// Payload sizes of round trip and one way.
    pub sizes: Vec<usize>,
    /// Idle clients in `idle` and `memory`.
    pub idle_clients: usize,
    /// Clients in `crowd`.
    pub crowd_clients: usize,
    /// Queues, and again topics, in `crowd`.
    pub crowd_names: usize,
    /// Whether two cores can be used.
    pub two_cores: bool,
}

/// One number that a run found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Figure {
    /// What it is.
    pub name: &'static str,
    /// In which unit.
    pub unit: &'static str,
    /// How much.
    pub value: f64,
}

impl Figure {
    /// `value` of `name` in `unit`.
    pub fn new(name: &'static str, unit: &'static str, value: f64) -> Figure {
        Figure { name, unit, value }
    }
}

/// Payload of the workloads that have only one size.
const SMALL_PAYLOAD_BYTES: usize = 64;

/// All workloads, in the order of reports.
pub fn all() -> [&'static dyn Workload; 12] {
    [
        &round_trip::RoundTrip,
        &bridged::BridgedRoundTrip,
        &one_way::OneWay,
        &bridged::BridgedOneWay,
        &fan_out::FanOut,
        &fan_in::FanIn,
        &selective::Selective,
        &shared::Shared,
        &idle::Idle,
        &memory::Memory,
        &crowd::Crowd,
        &publish_cost::PublishCost,
    ]
}
