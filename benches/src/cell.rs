//! The vocabulary: what is measured (`Cell`), by whom (`Role`), for how long (`Timing`).
//!
//! A cell is one column of work: a workload at one payload size and one
//! pinning. It names no contender, so that every contender that supports it
//! does exactly the same work. An `Order` is a cell plus one child's part in
//! it; it travels to the child as JSON in an argument.
//! Invariant: everything a child needs to know is in its `Order`.

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// One unit of comparable work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cell {
    /// The kind of work.
    pub workload: WorkloadKind,
    /// Bytes of every message; at least eight, for the sequence number.
    pub payload_bytes: usize,
    /// Where the processes may run.
    pub pinning: Pinning,
    /// Number of sending processes.
    pub senders: usize,
    /// Number of receiving processes.
    pub receivers: usize,
    /// Number of message types that each sender goes through in turn.
    pub kinds: u32,
    /// Number of idle clients beside the work, if any.
    pub clients: usize,
    /// Number of queues, and again of topics, beside the work, if any.
    pub names: usize,
}

impl Cell {
    /// A cell of one sender and one receiver, unpinned, one type, nothing beside it.
    pub fn new(workload: WorkloadKind, payload_bytes: usize) -> Cell {
        Cell {
            workload,
            payload_bytes,
            pinning: Pinning::Free,
            senders: 1,
            receivers: 1,
            kinds: 1,
            clients: 0,
            names: 0,
        }
    }

    /// The cell's name on the command line and in reports: `round-trip/64B/one-core`.
    pub fn id(&self) -> String {
        format!("{}/{}", self.workload, self.variant())
    }

    /// The name without the workload.
    pub fn variant(&self) -> String {
        let size = size_name(self.payload_bytes);
        match self.workload {
            WorkloadKind::RoundTrip | WorkloadKind::BridgedRoundTrip => {
                format!("{size}/{}", self.pinning)
            }
            WorkloadKind::OneWay | WorkloadKind::BridgedOneWay | WorkloadKind::PublishCost => size,
            WorkloadKind::FanOut | WorkloadKind::FanIn | WorkloadKind::Shared => {
                format!("{size}/{}-to-{}", self.senders, self.receivers)
            }
            WorkloadKind::Selective => {
                format!("{size}/{}-by-{}", self.senders, self.receivers)
            }
            WorkloadKind::Idle | WorkloadKind::Memory => format!("{}-clients", self.clients),
            WorkloadKind::Crowd => format!("{}-clients-{}-names", self.clients, self.names),
        }
    }
}

/// The kinds of work, each in a file of its own under `workloads`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WorkloadKind {
    /// One message there and one back.
    RoundTrip,
    /// One sender, one receiver, as fast as it goes.
    OneWay,
    /// One sender, each receiver gets everything.
    FanOut,
    /// Many senders, one receiver.
    FanIn,
    /// One queue, many types, each receiver takes one type.
    Selective,
    /// One sender, a group of receivers of whom one gets each message, beside one receiver.
    Shared,
    /// CPU of a server whose clients do nothing.
    Idle,
    /// Memory of a server at rest and for each idle client.
    Memory,
    /// Round trip in a full house.
    Crowd,
    /// What handing one message over costs the sender.
    PublishCost,
    /// Round trip between clients of two brokers that are joined.
    BridgedRoundTrip,
    /// One way from a client of one broker to a client of another one.
    BridgedOneWay,
}

impl WorkloadKind {
    /// Whether its workers are clients of two brokers.
    pub fn is_bridged(self) -> bool {
        matches!(self, WorkloadKind::BridgedRoundTrip | WorkloadKind::BridgedOneWay)
    }
}

impl fmt::Display for WorkloadKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            WorkloadKind::RoundTrip => "round-trip",
            WorkloadKind::OneWay => "one-way",
            WorkloadKind::FanOut => "fan-out",
            WorkloadKind::FanIn => "fan-in",
            WorkloadKind::Selective => "selective",
            WorkloadKind::Shared => "shared",
            WorkloadKind::Idle => "idle",
            WorkloadKind::Memory => "memory",
            WorkloadKind::Crowd => "crowd",
            WorkloadKind::PublishCost => "publish-cost",
            WorkloadKind::BridgedRoundTrip => "bridged-round-trip",
            WorkloadKind::BridgedOneWay => "bridged-one-way",
        })
    }
}

/// Where the processes of a cell may run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pinning {
    /// Everything on one core, the server included.
    OneCore,
    /// Worker `n` on core `n`; a server shares the last worker's core.
    OneEach,
    /// The scheduler chooses.
    Free,
}

impl Pinning {
    /// The core of the worker that stands at `place` in the cast, of the `allowed` cores.
    pub fn core_of_worker(self, place: usize, allowed: &[usize]) -> Option<usize> {
        match self {
            Pinning::OneCore => allowed.first().copied(),
            Pinning::OneEach => allowed.get(place % allowed.len().max(1)).copied(),
            Pinning::Free => None,
        }
    }

    /// The core of a server beside two workers.
    pub fn core_of_server(self, allowed: &[usize]) -> Option<usize> {
        self.core_of_worker(1, allowed)
    }
}

impl fmt::Display for Pinning {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Pinning::OneCore => "one-core",
            Pinning::OneEach => "one-each",
            Pinning::Free => "unpinned",
        })
    }
}

/// What one child does in a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Sends, waits for the answer, notes the time.
    Pinger,
    /// Answers each message with one of the same size.
    Echo,
    /// Sends as fast as it goes.
    Sender,
    /// Counts what arrives.
    Receiver,
    /// Counts what arrives, as one of a group.
    Member,
    /// Sends in short bursts, and notes what each takes.
    Publisher,
    /// Connects and does nothing.
    Idler,
    /// Stands in for the server of a contender that has none: accepts and holds idle clients.
    Hub,
    /// Opens many clients, queues and topics and holds them.
    Crowd,
    /// Holds what outlives the workers (a kernel queue), until its standard input ends.
    Keeper,
}

/// How long the parts of a measurement last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timing {
    /// From the start until the figures begin to count.
    pub warm_up_ms: u64,
    /// How long they count.
    pub measure_ms: u64,
    /// How long an idle server is watched.
    pub idle_ms: u64,
    /// How long a child may take beyond its orders before the run is given up.
    pub patience_ms: u64,
}

/// One child's part in one cell.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Order {
    /// The contender's name.
    pub contender: String,
    /// The work.
    pub cell: Cell,
    /// The child's part in it.
    pub role: Role,
    /// Which of several children of the same role, from 0.
    pub index: usize,
    /// Where the others are found; only the contender knows what it means.
    pub address: String,
    /// The core to run on, if pinned.
    pub core: Option<usize>,
    /// Durations.
    pub timing: Timing,
    /// Where `strace -c` leaves its count of a publisher's system calls, if it is wanted.
    pub trace: Option<PathBuf>,
}

impl Order {
    /// This crowd child's part of `total` clients or names: the numbers that it opens.
    pub fn crowd_share(&self, total: usize) -> Range<usize> {
        let bound = |index| total * index / CROWD_PROCESSES;
        bound(self.index)..bound(self.index + 1)
    }
}

/// How many processes hold a crowd, which would otherwise need too many descriptors.
pub const CROWD_PROCESSES: usize = 4;

/// `64B`, `1KiB`, `1MiB`.
pub fn size_name(bytes: usize) -> String {
    const KIB: usize = 1 << 10;
    const MIB: usize = 1 << 20;
    match bytes {
        _ if bytes >= MIB && bytes.is_multiple_of(MIB) => format!("{}MiB", bytes / MIB),
        _ if bytes >= KIB && bytes.is_multiple_of(KIB) => format!("{}KiB", bytes / KIB),
        _ => format!("{bytes}B"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_cells_say_what_varies() {
        let mut cell = Cell::new(WorkloadKind::RoundTrip, 65536);
        cell.pinning = Pinning::OneCore;
        assert_eq!(cell.id(), "round-trip/64KiB/one-core");
        assert_eq!(Cell::new(WorkloadKind::OneWay, 100).id(), "one-way/100B");
        cell.workload = WorkloadKind::BridgedRoundTrip;
        assert_eq!(cell.id(), "bridged-round-trip/64KiB/one-core");
    }

    #[test]
    fn workers_wrap_around_the_allowed_cores() {
        let allowed = [2, 5];
        assert_eq!(Pinning::OneEach.core_of_worker(3, &allowed), Some(5));
        assert_eq!(Pinning::OneCore.core_of_worker(3, &allowed), Some(2));
        assert_eq!(Pinning::Free.core_of_worker(3, &allowed), None);
    }
}
