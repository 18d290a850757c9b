//! Memory: a server at rest, and what each idle client adds to it.
//!
//! At rest all private pages count (Pss without its part in shared ones), so program text
//! that several processes map is nobody's, and shared memory is told apart. For each
//! client only written private pages count: program text does not grow with clients, it
//! only turns shared when they map it too. The client process's own private pages,
//! its runtime included, stand beside it.

use anyhow::Result;

use super::gathering::{House, settle};
use super::{Figure, SMALL_PAYLOAD_BYTES, Scale, Workload};
use crate::accounting::Memory as Pages;
use crate::cell::{Cell, WorkloadKind};
use crate::stage::Stage;

/// See the module.
pub struct Memory;

impl Workload for Memory {
    fn kind(&self) -> WorkloadKind {
        WorkloadKind::Memory
    }

    fn about(&self) -> &'static str {
        "private pages of a server at rest, and for each idle client"
    }

    fn cells(&self, scale: &Scale) -> Vec<Cell> {
        let cell = Cell::new(WorkloadKind::Memory, SMALL_PAYLOAD_BYTES);
        vec![Cell { clients: scale.idle_clients, ..cell }]
    }

    fn run(&self, stage: &mut Stage<'_>) -> Result<Vec<Figure>> {
        let mut house = House::open(stage)?;
        settle();
        let at_rest = Pages::of(house.server_pid())?;
        let clients = house.fill(stage)?;
        settle();
        let full = Pages::of(house.server_pid())?;
        let mut in_clients = 0;
        for pid in clients.pids() {
            in_clients += Pages::of(pid)?.private_kib;
        }
        house.close(clients);
        let count = stage.cell().clients.max(1) as f64;
        let grown = full.written_kib as f64 - at_rest.written_kib as f64;
        Ok(vec![
            Figure::new("at rest", "KiB", at_rest.private_kib as f64),
            Figure::new("per client", "KiB", grown / count),
            Figure::new("client process", "KiB", in_clients as f64 / count),
            Figure::new("Pss at rest", "KiB", at_rest.pss_kib as f64),
            Figure::new("shmem at rest", "KiB", at_rest.pss_shmem_kib as f64),
        ])
    }
}
