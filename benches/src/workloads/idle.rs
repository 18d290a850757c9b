//! Idle: what a server with many clients that do nothing costs in CPU.
//!
//! User and system time of the server over ten seconds, from `/proc`; ticks are 10 ms,
//! so the nanoseconds that the scheduler counted stand beside them. The
//! clients' time is the sum of all of them. A polling design shows here.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::gathering::{House, settle};
use super::{Figure, SMALL_PAYLOAD_BYTES, Scale, Workload};
use crate::accounting::{Usage, ticks_per_second};
use crate::cell::{Cell, WorkloadKind};
use crate::machine;
use crate::stage::Stage;

/// See the module.
pub struct Idle;

impl Workload for Idle {
    fn kind(&self) -> WorkloadKind {
        WorkloadKind::Idle
    }

    fn about(&self) -> &'static str {
        "CPU of a server whose clients do nothing (100 is one core)"
    }

    fn cells(&self, scale: &Scale) -> Vec<Cell> {
        let cell = Cell::new(WorkloadKind::Idle, SMALL_PAYLOAD_BYTES);
        vec![Cell { clients: scale.idle_clients, ..cell }]
    }

    fn run(&self, stage: &mut Stage<'_>) -> Result<Vec<Figure>> {
        let mut house = House::open(stage)?;
        let clients = house.fill(stage)?;
        let client_pids = clients.pids();
        settle();
        let begun = Instant::now();
        let server_before = Usage::of(house.server_pid())?;
        let clients_before = run_ns(&client_pids)?;
        machine::pause(Duration::from_millis(stage.timing().idle_ms));
        let server_after = Usage::of(house.server_pid())?;
        let clients_after = run_ns(&client_pids)?;
        let seconds = begun.elapsed().as_secs_f64();
        house.close(clients);
        let ticks = (server_after.ticks - server_before.ticks) as f64 / ticks_per_second();
        let share = |ns: u64| ns as f64 / 1e9 / seconds * 100.0;
        Ok(vec![
            Figure::new("server", "% CPU", ticks / seconds * 100.0),
            Figure::new(
                "server, exact",
                "% CPU",
                share(server_after.run_ns - server_before.run_ns),
            ),
            Figure::new("all clients", "% CPU", share(clients_after - clients_before)),
        ])
    }
}

fn run_ns(pids: &[u32]) -> Result<u64> {
    pids.iter().map(|&pid| Usage::of(pid).map(|usage| usage.run_ns)).sum()
}
