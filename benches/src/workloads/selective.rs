//! Selective: one queue, eight senders, eight receivers that each take one of eight types.
//!
//! The shape of `msgrcv` with a message type. Every sender goes through all types in
//! turn, so what a receiver wants stands mixed with what others want. A receiver
//! checks that it gets each eighth message of every sender, in order.

use anyhow::Result;

use super::{Figure, SMALL_PAYLOAD_BYTES, Scale, Workload, flow};
use crate::cell::{Cell, WorkloadKind};
use crate::stage::Stage;

/// See the module.
pub struct Selective;

impl Workload for Selective {
    fn kind(&self) -> WorkloadKind {
        WorkloadKind::Selective
    }

    fn about(&self) -> &'static str {
        "1 queue, 8 types, 8 senders of all types, 8 receivers of one type each"
    }

    fn cells(&self, _: &Scale) -> Vec<Cell> {
        let cell = Cell::new(WorkloadKind::Selective, SMALL_PAYLOAD_BYTES);
        vec![Cell { senders: 8, receivers: 8, kinds: 8, ..cell }]
    }

    fn run(&self, stage: &mut Stage<'_>) -> Result<Vec<Figure>> {
        flow::play(stage, 1)
    }
}
