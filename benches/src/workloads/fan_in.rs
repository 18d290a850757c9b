//! Fan-in: four senders, one receiver.
//!
//! The receiver checks the sequence of each sender; between senders any order is right.
//! It ends after the last message of the last sender.

use anyhow::Result;

use super::{Figure, SMALL_PAYLOAD_BYTES, Scale, Workload, flow};
use crate::cell::{Cell, WorkloadKind};
use crate::stage::Stage;

/// See the module.
pub struct FanIn;

impl Workload for FanIn {
    fn kind(&self) -> WorkloadKind {
        WorkloadKind::FanIn
    }

    fn about(&self) -> &'static str {
        "4 senders, 1 receiver; counted at the receiver"
    }

    fn cells(&self, _: &Scale) -> Vec<Cell> {
        vec![Cell { senders: 4, ..Cell::new(WorkloadKind::FanIn, SMALL_PAYLOAD_BYTES) }]
    }

    fn run(&self, stage: &mut Stage<'_>) -> Result<Vec<Figure>> {
        flow::play(stage, 1)
    }
}
