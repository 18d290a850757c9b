//! The project's own lane alone, between two processes: no broker, no client, no runtime.
//!
//! It shows what a lane costs, beside the bare ring and beside whole buses. Each message is one
//! frame, committed by itself; one that is longer than a frame may be goes in several.
//! The bell is a byte on the socket at which both met. Round trips have lanes of the usual size.

use anyhow::Result;
use bus_core::shm::{LANE_BYTES_DEFAULT, LANE_BYTES_MAX};

use super::lane_port::{LaneConnector, Waiting};
use super::meeting::supports_pairs;
use super::rings::supports_spinning;
use crate::cell::{Cell, Order, WorkloadKind};
use crate::child::run_blocking;
use crate::contender::{Contender, Environment};
use crate::process::Room;

/// A pair of lanes with one size and one way to wait.
pub struct Lanes {
    name: &'static str,
    about: &'static str,
    waiting: Waiting,
    lane_bytes: usize,
    /// Whether it differs from the others only in its size.
    sized: bool,
}

/// The size where nothing else is said: the fastest where the cores are far from each other.
const LANE_BYTES: usize = LANE_BYTES_MAX;

/// All of them.
pub fn all() -> impl Iterator<Item = Lanes> {
    use Waiting::{Adaptive, Park, Spin};
    [
        ("lane-spin", "the bus's lane alone, 16 MiB; both sides spin", Spin, LANE_BYTES),
        ("lane-adaptive", "the lane, 16 MiB; spins, then sleeps", Adaptive, LANE_BYTES),
        ("lane-park", "the lane, 16 MiB; sleeps at once", Park, LANE_BYTES),
        ("lane-256k", "as lane-adaptive, 256 KiB", Adaptive, 256 << 10),
        ("lane-1m", "as lane-adaptive, 1 MiB", Adaptive, 1 << 20),
        ("lane-4m", "as lane-adaptive, 4 MiB", Adaptive, 4 << 20),
    ]
    .into_iter()
    .map(|(name, about, waiting, lane_bytes)| Lanes {
        name,
        about,
        waiting,
        lane_bytes,
        sized: lane_bytes != LANE_BYTES,
    })
}

impl Contender for Lanes {
    fn name(&self) -> &str {
        self.name
    }

    fn about(&self) -> &str {
        self.about
    }

    fn supports(&self, cell: &Cell) -> Result<(), String> {
        supports_pairs(cell)?;
        if self.sized && cell.workload == WorkloadKind::RoundTrip {
            return Err("round trips have the usual size".to_owned());
        }
        match self.waiting {
            Waiting::Spin => supports_spinning(cell),
            Waiting::Adaptive | Waiting::Park => Ok(()),
        }
    }

    fn prepare(&self, _cell: &Cell, room: &Room) -> Result<Environment> {
        Ok(Environment::of_address(room.directory().to_string_lossy()))
    }

    fn run_role(&self, order: &Order) -> Result<()> {
        let lane_bytes = match order.cell.workload {
            // One message at a time fits into any size, and would only walk through a large one.
            WorkloadKind::RoundTrip => LANE_BYTES_DEFAULT,
            _ => self.lane_bytes,
        };
        run_blocking(LaneConnector::new(self.waiting, lane_bytes), order)
    }
}
