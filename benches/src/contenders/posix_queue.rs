//! POSIX message queues: under the machine's limits as they are, and under raised ones.
//!
//! As with System V's, a keeper process makes the queues and removes their names when its leash
//! ends, and raised limits hold in an IPC namespace of the keeper's own. There is no selection,
//! so both directions of a round trip have a queue each, and so has each receiver of a fan-out.

use std::ffi::CString;
use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::{Resource, Rlimit, setrlimit};

use super::posix_queue_calls::PosixQueue;
use super::system_v_calls::{enter_namespace_of, enter_new_namespace};
use crate::cell::{Cell, Order, Role, Timing, WorkloadKind};
use crate::child::{hold_until_dismissed, run_blocking};
use crate::contender::{Connector, Contender, Environment, Port};
use crate::process::Room;
use crate::troupe::Troupe;

/// POSIX queues under one set of limits.
pub struct PosixQueues {
    name: &'static str,
    about: &'static str,
    raised: bool,
}

/// All of them.
pub fn all() -> impl Iterator<Item = PosixQueues> {
    [
        PosixQueues {
            name: "posix-mq",
            about: "POSIX message queue, the machine's limits as they are",
            raised: false,
        },
        PosixQueues {
            name: "posix-mq-raised",
            about: "POSIX message queue, 4 MiB a queue and 2 MiB a message in a namespace of its own",
            raised: true,
        },
    ]
    .into_iter()
}

/// Where the limits stand.
const LIMITS: &str = "/proc/sys/fs/mqueue";
/// Limits of the namespace for `posix-mq-raised`.
const RAISED_LIMITS: [(&str, usize); 2] = [("msg_max", RAISED_MESSAGES), ("msgsize_max", 2 << 20)];
const RAISED_MESSAGES: usize = 4096;
/// Bytes of a raised queue; at least a few messages, however long they are.
const RAISED_BYTES: usize = 4 << 20;
const RAISED_MESSAGES_MIN: usize = 4;

impl Contender for PosixQueues {
    fn name(&self) -> &str {
        self.name
    }

    fn about(&self) -> &str {
        self.about
    }

    fn supports(&self, cell: &Cell) -> Result<(), String> {
        match cell.workload {
            WorkloadKind::Idle | WorkloadKind::Memory => {
                return Err("the kernel is the server".to_owned());
            }
            WorkloadKind::Selective => return Err("a receiver cannot choose".to_owned()),
            WorkloadKind::Crowd => return Err("it has queues only".to_owned()),
            _ => {}
        }
        if self.raised && !rustix::process::geteuid().is_root() {
            return Err("only root may make a namespace".to_owned());
        }
        if self.raised && raise_queued_bytes().is_err() {
            return Err(
                "the limit of queued bytes (RLIMIT_MSGQUEUE) may not be raised here".to_owned()
            );
        }
        let largest = limit("msgsize_max");
        if !self.raised && cell.payload_bytes > largest {
            return Err(format!("fs.mqueue.msgsize_max is {largest}"));
        }
        Ok(())
    }

    fn prepare(&self, cell: &Cell, _room: &Room) -> Result<Environment> {
        const PATIENCE: Duration = Duration::from_secs(10);
        let order = Order {
            contender: self.name.to_owned(),
            cell: cell.clone(),
            role: Role::Keeper,
            index: 0,
            address: String::new(),
            core: None,
            timing: Timing { warm_up_ms: 0, measure_ms: 0, idle_ms: 0, patience_ms: 0 },
            trace: None,
        };
        let (keeper, _) = Troupe::assemble(&[order], PATIENCE)?.into_only()?;
        // The keeper's number names its namespace and its queues.
        let address = keeper.pid().to_string();
        Ok(Environment { keeper: Some(keeper), ..Environment::of_address(address) })
    }

    fn run_role(&self, order: &Order) -> Result<()> {
        if order.role == Role::Keeper {
            return keep(&order.cell, self.raised);
        }
        let keeper = order.address.parse().context("the keeper's number")?;
        if self.raised {
            enter_namespace_of(keeper).context("joining the keeper's namespace")?;
        }
        run_blocking(PosixConnector { keeper }, order)
    }
}

/// One of the kernel's limits; 0 if it does not tell, since then it has no queues.
fn limit(name: &str) -> usize {
    let text = fs::read_to_string(format!("{LIMITS}/{name}")).unwrap_or_default();
    text.trim().parse().unwrap_or(0)
}

/// The name of a keeper's queue.
fn name_of(keeper: u32, number: usize) -> Result<CString> {
    Ok(CString::new(format!("/bus-benches.{keeper}.{number}"))?)
}

/// What the queues of one user may hold is a limit of the process that makes them: without the
/// right to raise it (`CAP_SYS_RESOURCE`) not even root may.
fn raise_queued_bytes() -> rustix::io::Result<()> {
    setrlimit(Resource::Msgqueue, Rlimit { current: None, maximum: None })
}

/// The keeper's part: makes the queues, removes their names at the end.
fn keep(cell: &Cell, raised: bool) -> Result<()> {
    if raised {
        enter_new_namespace().context("making an IPC namespace")?;
        for (name, value) in RAISED_LIMITS {
            let path = format!("{LIMITS}/{name}");
            fs::write(&path, value.to_string()).with_context(|| format!("raising {path}"))?;
        }
        raise_queued_bytes().context("raising the limit of queued bytes")?;
    }
    let messages = match raised {
        true => (RAISED_BYTES / cell.payload_bytes).clamp(RAISED_MESSAGES_MIN, RAISED_MESSAGES),
        false => limit("msg_max"),
    };
    let count = match cell.workload {
        WorkloadKind::RoundTrip => 2,
        WorkloadKind::FanOut => cell.receivers,
        _ => 1,
    };
    let mut kept = KeptNames(Vec::with_capacity(count));
    for number in 0..count {
        let name = name_of(std::process::id(), number)?;
        PosixQueue::create(&name, messages, cell.payload_bytes).context("making a queue")?;
        kept.0.push(name);
    }
    hold_until_dismissed("READY")
}

/// Names that go with their owner.
struct KeptNames(Vec<CString>);

impl Drop for KeptNames {
    fn drop(&mut self) {
        for name in &self.0 {
            if let Err(error) = PosixQueue::remove(name) {
                eprintln!("queue {name:?} stays behind: {error}");
            }
        }
    }
}

struct PosixConnector {
    keeper: u32,
}

impl Connector for PosixConnector {
    type Port = PosixPort;

    async fn open(&mut self, order: &Order) -> Result<PosixPort> {
        let fan_out = order.cell.workload == WorkloadKind::FanOut;
        let (out, into) = match order.role {
            Role::Pinger => (0..1, 1),
            Role::Echo => (1..2, 0),
            Role::Sender if fan_out => (0..order.cell.receivers, 0),
            Role::Sender | Role::Publisher => (0..1, 0),
            Role::Receiver if fan_out => (0..0, order.index),
            _ => (0..0, 0),
        };
        let open = |number| -> Result<PosixQueue> {
            PosixQueue::open(&name_of(self.keeper, number)?).context("opening a queue")
        };
        Ok(PosixPort {
            out: out.map(open).collect::<Result<_>>()?,
            into: open(into)?,
            buffer: vec![0; order.cell.payload_bytes],
        })
    }
}

/// One worker's queues.
struct PosixPort {
    out: Vec<PosixQueue>,
    into: PosixQueue,
    buffer: Vec<u8>,
}

impl Port for PosixPort {
    async fn send<F: FnOnce(&mut [u8])>(&mut self, _kind: u32, fill: F) -> Result<()> {
        fill(&mut self.buffer);
        for queue in &self.out {
            queue.send(&self.buffer).context("mq_send")?;
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<()> {
        Ok(())
    }

    async fn receive<V: FnMut(&[u8]) -> Result<()>>(&mut self, mut visit: V) -> Result<()> {
        let length = self.into.receive(&mut self.buffer).context("mq_receive")?;
        visit(&self.buffer[..length])
    }
}
