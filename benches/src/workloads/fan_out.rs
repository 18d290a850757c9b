//! Fan-out: one sender, eight receivers, each of which gets every message.
//!
//! The figure is the sum of all deliveries in the window that all receivers share, so a
//! perfect copy of one log to eight readers counts eight times.
//! Each receiver checks the whole sequence by itself.

use anyhow::Result;

use super::{Figure, SMALL_PAYLOAD_BYTES, Scale, Workload, flow};
use crate::cell::{Cell, WorkloadKind};
use crate::stage::Stage;

/// See the module.
pub struct FanOut;

impl Workload for FanOut {
    fn kind(&self) -> WorkloadKind {
        WorkloadKind::FanOut
    }

    fn about(&self) -> &'static str {
        "1 sender, 8 receivers, each gets every message; all deliveries counted"
    }

    fn cells(&self, _: &Scale) -> Vec<Cell> {
        vec![Cell { receivers: 8, ..Cell::new(WorkloadKind::FanOut, SMALL_PAYLOAD_BYTES) }]
    }

    fn run(&self, stage: &mut Stage<'_>) -> Result<Vec<Figure>> {
        let copies = stage.cell().receivers as u64;
        flow::play(stage, copies)
    }
}
