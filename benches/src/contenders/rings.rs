//! The bare ring between two processes, and the bare ways to sleep and to be woken.
//!
//! `ring-*` are rings that are used as one would use a ring. `futex`, `eventfd`,
//! `eventfd-tokio`, `socket-byte` and `raw-sync` are ping-pongs: the same slots for the payload, but each message rings, and
//! each receiver sleeps first, which is what a round trip must cost that sleeps.
//! They show what a lane would cost without its safety; they share no code with lanes.

use anyhow::Result;

use super::bells::{Eventfd, EventfdTokio, Futex, FutexAlways, RawSync, SocketByte, Spin};
use super::meeting::supports_pairs;
use super::ring_port::RingConnector;
use crate::cell::{Cell, Order, Pinning, WorkloadKind};
use crate::child::{run_blocking, run_tokio};
use crate::contender::{Contender, Environment};
use crate::process::Room;

/// A ring with one way to wait.
pub struct Ring {
    name: &'static str,
    about: &'static str,
    wait: Wait,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Wait {
    Spin { pauses: u32 },
    Futex,
    FutexAlways,
    Eventfd,
    EventfdTokio,
    SocketByte,
    RawSync,
}

/// All of them.
pub fn all() -> impl Iterator<Item = Ring> {
    [
        ("ring-spin", "bare ring in shared memory, both sides spin", Wait::Spin { pauses: 1 }),
        (
            "ring-spin16",
            "bare ring, both sides spin, 16 pauses after each look",
            Wait::Spin { pauses: 16 },
        ),
        ("ring-futex", "bare ring, who finds nothing sleeps on a futex", Wait::Futex),
        ("futex", "ping-pong of two futexes beside shared memory", Wait::FutexAlways),
        ("eventfd", "ping-pong of two eventfds beside shared memory, blocking", Wait::Eventfd),
        ("eventfd-tokio", "the same eventfds through tokio's AsyncFd", Wait::EventfdTokio),
        ("socket-byte", "ping-pong of bytes over Unix sockets, blocking", Wait::SocketByte),
        ("raw-sync", "ping-pong of two events of raw_sync, blocking", Wait::RawSync),
    ]
    .into_iter()
    .map(|(name, about, wait)| Ring { name, about, wait })
}

/// Why a spinning contender does not take part, if so.
pub fn supports_spinning(cell: &Cell) -> Result<(), String> {
    match cell.pinning {
        Pinning::OneCore => Err("on one core a spinner waits for its own turn to end".to_owned()),
        Pinning::OneEach | Pinning::Free => Ok(()),
    }
}

impl Contender for Ring {
    fn name(&self) -> &str {
        self.name
    }

    fn about(&self) -> &str {
        self.about
    }

    fn supports(&self, cell: &Cell) -> Result<(), String> {
        supports_pairs(cell)?;
        match self.wait {
            Wait::Spin { .. } => supports_spinning(cell),
            Wait::Futex => Ok(()),
            _ if cell.workload == WorkloadKind::RoundTrip => Ok(()),
            _ => Err("it rings for each message, for round trips".to_owned()),
        }
    }

    fn prepare(&self, _cell: &Cell, room: &Room) -> Result<Environment> {
        Ok(Environment::of_address(room.directory().to_string_lossy()))
    }

    fn run_role(&self, order: &Order) -> Result<()> {
        let futex_always = || Ok(FutexAlways::default());
        match self.wait {
            Wait::Spin { pauses } => {
                run_blocking(RingConnector::new(|| Ok(Spin { pauses })), order)
            }
            Wait::Futex => run_blocking(RingConnector::new(|| Ok(Futex)), order),
            Wait::FutexAlways => run_blocking(RingConnector::new(futex_always), order),
            Wait::Eventfd => run_blocking(RingConnector::new(Eventfd::new), order),
            Wait::SocketByte => run_blocking(RingConnector::new(SocketByte::new), order),
            Wait::RawSync => run_blocking(RingConnector::new(|| Ok(RawSync::default())), order),
            Wait::EventfdTokio => run_tokio(RingConnector::new(EventfdTokio::new), order),
        }
    }
}
