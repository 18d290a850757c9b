//! One run: a contender's environment set up around a cell, on which workloads play casts.
//!
//! A workload may play several casts one after the other in the same environment
//! (before and after the house fills). It sees roles and outcomes, never a process.
//! Invariant: the environment is taken down before its room is removed.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::cell::{Cell, Order, Role, Timing};
use crate::child::Outcome;
use crate::contender::{Contender, Environment};
use crate::process::Room;
use crate::troupe::Troupe;

/// The scene of one run.
pub struct Stage<'run> {
    contender: &'run dyn Contender,
    cell: &'run Cell,
    timing: Timing,
    environment: Environment,
    room: Room,
}

impl<'run> Stage<'run> {
    /// Lets the contender prepare its environment in `room`.
    pub fn set(
        contender: &'run dyn Contender,
        cell: &'run Cell,
        timing: Timing,
        room: Room,
    ) -> Result<Stage<'run>> {
        let environment = contender
            .prepare(cell, &room)
            .with_context(|| format!("preparing {}", contender.name()))?;
        Ok(Stage { contender, cell, timing, environment, room })
    }

    /// Starts a cast; place `n` gets the core that the cell's pinning has for worker `n`.
    pub fn assemble(&self, cast: &[(Role, usize)]) -> Result<Troupe> {
        let orders: Vec<Order> = cast
            .iter()
            .enumerate()
            .map(|(place, &(role, index))| Order {
                contender: self.contender.name().to_owned(),
                cell: self.cell.clone(),
                role,
                index,
                address: self.environment.address.clone(),
                core: self.cell.pinning.core_of_worker(place, self.room.cores()),
                timing: self.timing,
                trace: self.room.trace(self.contender.name()),
            })
            .collect();
        Troupe::assemble(&orders, self.patience())
    }

    /// Plays a cast from the start to its results and sees it out.
    pub fn play(&mut self, cast: &[(Role, usize)]) -> Result<Vec<Outcome>> {
        let mut troupe = self.assemble(cast)?;
        troupe.go()?;
        let work = Duration::from_millis(self.timing.warm_up_ms + self.timing.measure_ms);
        let outcomes = troupe.results(work + self.patience())?;
        troupe.dismiss();
        self.environment.check_alive()?;
        Ok(outcomes)
    }

    /// The server's process, if the contender has one.
    pub fn server_pid(&self) -> Option<u32> {
        self.environment.server.as_ref().map(|server| server.pid())
    }

    /// The work.
    pub fn cell(&self) -> &'run Cell {
        self.cell
    }

    /// Durations.
    pub fn timing(&self) -> Timing {
        self.timing
    }

    /// How many system calls the publisher made in all, if they were counted.
    pub fn traced_calls(&self) -> Result<Option<u64>> {
        let Some(path) = self.room.trace(self.contender.name()) else { return Ok(None) };
        let text = fs::read_to_string(&path)
            .with_context(|| format!("strace has left nothing at {}", path.display()))?;
        let total = text.lines().find_map(|line| line.trim_end().strip_suffix(" total"));
        let calls = total.and_then(|line| line.split_whitespace().nth(3)?.parse().ok());
        calls.map(Some).with_context(|| format!("no total in {}", path.display()))
    }

    /// How long children may take for what should take no time.
    pub fn patience(&self) -> Duration {
        Duration::from_millis(self.timing.patience_ms)
    }
}
