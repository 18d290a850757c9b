//! One way: one sender, one receiver, as fast as the slower of them goes.
//!
//! Counted at the receiver. How many messages share a system call is
//! the contender's business; where it is a choice, each choice is a contender of its own.

use anyhow::Result;

use super::{Figure, Scale, Workload, flow};
use crate::cell::{Cell, WorkloadKind};
use crate::stage::Stage;

/// See the module.
pub struct OneWay;

impl Workload for OneWay {
    fn kind(&self) -> WorkloadKind {
        WorkloadKind::OneWay
    }

    fn about(&self) -> &'static str {
        "one sender, one receiver, as fast as it goes; counted at the receiver"
    }

    fn cells(&self, scale: &Scale) -> Vec<Cell> {
        scale.sizes.iter().map(|&size| Cell::new(WorkloadKind::OneWay, size)).collect()
    }

    fn run(&self, stage: &mut Stage<'_>) -> Result<Vec<Figure>> {
        flow::play(stage, 1)
    }
}
