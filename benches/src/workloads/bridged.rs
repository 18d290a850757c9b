//! Bridged: round trip and one way, with the sender at one broker and the receiver at another.
//!
//! The two brokers run on this machine and are joined over TCP on loopback, in the way that
//! their own documents advise. The work, the checks and the counting are those of `round-trip`
//! and `one-way`: what a link loses, repeats or reorders fails the run.

use anyhow::Result;

use super::{Figure, Scale, Workload, flow, round_trip};
use crate::cell::{Cell, WorkloadKind};
use crate::stage::Stage;

/// One message to a client of the other broker, and one back.
pub struct BridgedRoundTrip;

impl Workload for BridgedRoundTrip {
    fn kind(&self) -> WorkloadKind {
        WorkloadKind::BridgedRoundTrip
    }

    fn about(&self) -> &'static str {
        "one message to a client of another broker and one back, one in flight"
    }

    fn cells(&self, scale: &Scale) -> Vec<Cell> {
        round_trip::cells(WorkloadKind::BridgedRoundTrip, scale)
    }

    fn run(&self, stage: &mut Stage<'_>) -> Result<Vec<Figure>> {
        round_trip::play(stage).map(round_trip::figures)
    }
}

/// From a client of one broker to a client of the other one, as fast as it goes.
pub struct BridgedOneWay;

impl Workload for BridgedOneWay {
    fn kind(&self) -> WorkloadKind {
        WorkloadKind::BridgedOneWay
    }

    fn about(&self) -> &'static str {
        "one sender, one receiver at another broker, as fast as it goes; counted at the receiver"
    }

    fn cells(&self, scale: &Scale) -> Vec<Cell> {
        scale.sizes.iter().map(|&size| Cell::new(WorkloadKind::BridgedOneWay, size)).collect()
    }

    fn run(&self, stage: &mut Stage<'_>) -> Result<Vec<Figure>> {
        flow::play(stage, 1)
    }
}
