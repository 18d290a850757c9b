//! A server and its idle clients, as `idle` and `memory` need them.
//!
//! Where a contender has no server, a `Hub` child stands in that accepts and holds
//! connections, which is the least that any server must do.
//! Invariant: `House::fill` returns only when every client is connected.

use std::time::Duration;

use anyhow::{Context, Result};

use crate::cell::Role;
use crate::machine;
use crate::stage::Stage;
use crate::troupe::Troupe;

/// A server, so far without clients.
pub struct House {
    hub: Option<Troupe>,
    server_pid: u32,
}

impl House {
    /// Opens the contender's server, or a hub.
    pub fn open(stage: &Stage<'_>) -> Result<House> {
        if let Some(server_pid) = stage.server_pid() {
            return Ok(House { hub: None, server_pid });
        }
        let hub = stage.assemble(&[(Role::Hub, 0)])?;
        let server_pid = *hub.pids().first().context("the hub has no process")?;
        Ok(House { hub: Some(hub), server_pid })
    }

    /// Lets all the cell's idle clients in, each a process of its own.
    pub fn fill(&mut self, stage: &Stage<'_>) -> Result<Troupe> {
        if let Some(hub) = &mut self.hub {
            hub.go()?;
        }
        let cast: Vec<_> = (0..stage.cell().clients).map(|index| (Role::Idler, index)).collect();
        let clients = stage.assemble(&cast)?;
        if let Some(hub) = &mut self.hub {
            hub.results(stage.patience())?;
        }
        Ok(clients)
    }

    /// The process whose CPU and memory count.
    pub fn server_pid(&self) -> u32 {
        self.server_pid
    }

    /// Sees everybody out.
    pub fn close(self, clients: Troupe) {
        clients.dismiss();
        if let Some(hub) = self.hub {
            hub.dismiss();
        }
    }
}

/// Waits until start-up work has calmed down.
pub fn settle() {
    machine::pause(Duration::from_millis(500));
}
