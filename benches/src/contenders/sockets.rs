//! Bare sockets as contenders: Unix or TCP, blocking or through tokio, one write a
//! message or 64 KiB writes.
//!
//! They have no server; the idle workloads measure a hub that merely holds connections.
//! They know no message types and no queues, so the workloads that need them are refused.

use anyhow::Result;

use super::blocking_streams::BlockingConnector;
use super::streams::{BATCH_BYTES, Tcp, Unix};
use super::tokio_streams::TokioConnector;
use crate::cell::{Cell, Order, WorkloadKind};
use crate::child::{run_blocking, run_tokio};
use crate::contender::{Contender, Environment};
use crate::process::Room;

/// One way to use sockets.
pub struct Sockets {
    name: &'static str,
    about: &'static str,
    family: FamilyName,
    through_tokio: bool,
    batched: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum FamilyName {
    Unix,
    Tcp,
}

/// All of them.
pub fn all() -> impl Iterator<Item = Sockets> {
    use FamilyName::{Tcp, Unix};
    [
        ("unix", "Unix stream socket, blocking, one write a message", Unix, false, false),
        ("unix-tokio", "Unix stream socket through tokio, one write a message", Unix, true, false),
        ("unix-64k", "Unix stream socket, blocking, 64 KiB writes", Unix, false, true),
        ("unix-tokio-64k", "Unix stream socket through tokio, 64 KiB writes", Unix, true, true),
        ("tcp", "TCP on loopback, blocking, nodelay, one write a message", Tcp, false, false),
        (
            "tcp-tokio",
            "TCP on loopback through tokio, nodelay, one write a message",
            Tcp,
            true,
            false,
        ),
        ("tcp-64k", "TCP on loopback, blocking, 64 KiB writes", Tcp, false, true),
        ("tcp-tokio-64k", "TCP on loopback through tokio, 64 KiB writes", Tcp, true, true),
    ]
    .into_iter()
    .map(|(name, about, family, through_tokio, batched)| Sockets {
        name,
        about,
        family,
        through_tokio,
        batched,
    })
}

impl Contender for Sockets {
    fn name(&self) -> &str {
        self.name
    }

    fn about(&self) -> &str {
        self.about
    }

    fn supports(&self, cell: &Cell) -> Result<(), String> {
        let refusal = match cell.workload {
            WorkloadKind::Selective => Some("a socket has no message types"),
            WorkloadKind::Crowd => Some("a socket has no queues and topics"),
            WorkloadKind::Idle | WorkloadKind::Memory if !self.through_tokio => {
                Some("a blocking server has a thread a client; see the tokio sockets")
            }
            WorkloadKind::Idle | WorkloadKind::Memory | WorkloadKind::RoundTrip if self.batched => {
                Some("the same as without batches")
            }
            _ if self.batched && cell.payload_bytes >= BATCH_BYTES => {
                Some("the same as without batches")
            }
            _ => None,
        };
        refusal.map_or(Ok(()), |reason| Err(reason.to_owned()))
    }

    fn prepare(&self, _cell: &Cell, room: &Room) -> Result<Environment> {
        Ok(Environment::of_address(room.directory().to_string_lossy()))
    }

    fn run_role(&self, order: &Order) -> Result<()> {
        let batched = self.batched;
        match (self.family, self.through_tokio) {
            (FamilyName::Unix, false) => {
                run_blocking(BlockingConnector::<Unix>::new(batched), order)
            }
            (FamilyName::Unix, true) => run_tokio(TokioConnector::<Unix>::new(batched), order),
            (FamilyName::Tcp, false) => run_blocking(BlockingConnector::<Tcp>::new(batched), order),
            (FamilyName::Tcp, true) => run_tokio(TokioConnector::<Tcp>::new(batched), order),
        }
    }
}
