//! Crowd: round trip in an empty house and in a full one, in the same run of the same server.
//!
//! The crowd is a thousand clients and ten thousand queues and topics, held by a few
//! processes and idle while the pinger works; what is measured is whether their mere
//! existence slows the others. All of it runs on one core: where the scheduler may choose, it
//! puts the same work now on one core and now on two, which is a factor of two by itself.

use anyhow::Result;

use super::gathering::settle;
use super::{Figure, SMALL_PAYLOAD_BYTES, Scale, Workload, round_trip};
use crate::cell::{CROWD_PROCESSES, Cell, Pinning, Role, WorkloadKind};
use crate::stage::Stage;

/// See the module.
pub struct Crowd;

impl Workload for Crowd {
    fn kind(&self) -> WorkloadKind {
        WorkloadKind::Crowd
    }

    fn about(&self) -> &'static str {
        "round trip beside many idle clients, queues and topics"
    }

    fn cells(&self, scale: &Scale) -> Vec<Cell> {
        let cell = Cell::new(WorkloadKind::Crowd, SMALL_PAYLOAD_BYTES);
        let (clients, names) = (scale.crowd_clients, scale.crowd_names);
        vec![Cell { clients, names, pinning: Pinning::OneCore, ..cell }]
    }

    fn run(&self, stage: &mut Stage<'_>) -> Result<Vec<Figure>> {
        let empty = round_trip::play(stage)?;
        let cast: Vec<_> = (0..CROWD_PROCESSES).map(|index| (Role::Crowd, index)).collect();
        let mut crowd = stage.assemble(&cast)?;
        crowd.go()?;
        crowd.results(stage.patience())?;
        settle();
        let full = round_trip::play(stage)?;
        crowd.dismiss();
        Ok(vec![
            Figure::new("full / empty", "x", full.p50_ns as f64 / empty.p50_ns as f64),
            Figure::new("empty p50", "us", round_trip::microseconds(empty.p50_ns)),
            Figure::new("full p50", "us", round_trip::microseconds(full.p50_ns)),
            Figure::new("empty p99", "us", round_trip::microseconds(empty.p99_ns)),
            Figure::new("full p99", "us", round_trip::microseconds(full.p99_ns)),
        ])
    }
}
