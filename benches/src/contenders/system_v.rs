//! The kernel's System V message queues: under its limits as they are, and under raised ones.
//!
//! The queues belong to a keeper process that removes them when its leash ends, so
//! they go even if the harness is killed. The raised limits hold in an IPC namespace
//! of the keeper's own, which the workers join; the machine's own limits stay untouched.
//! One queue serves all senders and receivers, in fan-out one for each receiver.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::system_v_calls::{QueueId, TYPE_BYTES, enter_namespace_of, enter_new_namespace};
use crate::cell::{Cell, Order, Role, Timing, WorkloadKind};
use crate::child::{hold_until_dismissed, run_blocking};
use crate::contender::{Connector, Contender, Environment, Port};
use crate::process::Room;
use crate::troupe::Troupe;

/// System V queues under one set of limits.
pub struct SystemV {
    name: &'static str,
    about: &'static str,
    raised: bool,
}

/// All of them.
pub fn all() -> impl Iterator<Item = SystemV> {
    [
        SystemV {
            name: "sysv",
            about: "System V message queue, the machine's limits as they are",
            raised: false,
        },
        SystemV {
            name: "sysv-raised",
            about: "System V message queue, 4 MiB a queue and 2 MiB a message in a namespace of its own",
            raised: true,
        },
    ]
    .into_iter()
}

/// Limits of the namespace for `sysv-raised`.
const RAISED_LIMITS: [(&str, &str); 3] =
    [("msgmax", "2097152"), ("msgmnb", "4194304"), ("msgmni", "32000")];

impl Contender for SystemV {
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
            WorkloadKind::Crowd if !self.raised => {
                return Err("many queues only in a namespace of its own".to_owned());
            }
            _ => {}
        }
        let largest = fs::read_to_string("/proc/sys/kernel/msgmax").unwrap_or_default();
        let largest: usize = largest.trim().parse().unwrap_or(0);
        if !self.raised && cell.payload_bytes > largest {
            return Err(format!("kernel.msgmax is {largest}"));
        }
        if self.raised && !rustix::process::geteuid().is_root() {
            return Err("only root may make a namespace".to_owned());
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
        let (keeper, queues) = Troupe::assemble(&[order], PATIENCE)?.into_only()?;
        let address = Address { namespace_of: self.raised.then(|| keeper.pid()), queues };
        Ok(Environment { keeper: Some(keeper), ..Environment::of_address(address.to_string()) })
    }

    fn run_role(&self, order: &Order) -> Result<()> {
        if order.role == Role::Keeper {
            return keep(queues_needed(&order.cell), self.raised);
        }
        let address = Address::parse(&order.address)?;
        if let Some(pid) = address.namespace_of {
            enter_namespace_of(pid).context("joining the keeper's namespace")?;
        }
        run_blocking(SystemVConnector { queues: address.queue_ids()? }, order)
    }
}

fn queues_needed(cell: &Cell) -> usize {
    if cell.workload == WorkloadKind::FanOut { cell.receivers } else { 1 }
}

/// The keeper's part: makes the queues, tells their numbers, removes them at the end.
fn keep(count: usize, raised: bool) -> Result<()> {
    if raised {
        enter_new_namespace().context("making an IPC namespace")?;
        for (limit, value) in RAISED_LIMITS {
            let path = format!("/proc/sys/kernel/{limit}");
            fs::write(&path, value).with_context(|| format!("raising {path}"))?;
        }
    }
    let mut queues = KeptQueues(Vec::with_capacity(count));
    for _ in 0..count {
        queues.0.push(QueueId::create().context("making a queue")?);
    }
    let ids: Vec<String> = queues.0.iter().map(|queue| queue.0.to_string()).collect();
    hold_until_dismissed(&format!("READY {}", ids.join(",")))
}

/// Queues that go with their owner.
struct KeptQueues(Vec<QueueId>);

impl Drop for KeptQueues {
    fn drop(&mut self) {
        for queue in &self.0 {
            if let Err(error) = queue.remove() {
                eprintln!("queue {} stays behind: {error}", queue.0);
            }
        }
    }
}

/// What workers must know: `pid;id,id,...`, the pid left out if no namespace is to be joined.
struct Address {
    namespace_of: Option<u32>,
    queues: String,
}

impl Address {
    fn parse(text: &str) -> Result<Address> {
        let Some((pid, queues)) = text.split_once(';') else { bail!("no address: {text:?}") };
        let namespace_of = if pid.is_empty() { None } else { Some(pid.parse()?) };
        Ok(Address { namespace_of, queues: queues.to_owned() })
    }

    fn queue_ids(&self) -> Result<Vec<QueueId>> {
        let ids = self.queues.split(',').map(|id| Ok(QueueId(id.parse()?)));
        ids.collect::<Result<_>>().with_context(|| format!("queue ids {:?}", self.queues))
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let pid = self.namespace_of.map(|pid| pid.to_string()).unwrap_or_default();
        write!(formatter, "{pid};{}", self.queues)
    }
}

struct SystemVConnector {
    queues: Vec<QueueId>,
}

impl Connector for SystemVConnector {
    type Port = SystemVPort;

    async fn open(&mut self, order: &Order) -> Result<SystemVPort> {
        const REQUEST: u32 = 1;
        const ANSWER: u32 = 2;
        let own = || self.queues.get(order.index).copied().context("no queue of this number");
        let (queues, send_kind, receive_kind) = match order.role {
            // One queue in both directions, told apart by type, as is the custom.
            Role::Pinger => (self.queues.clone(), Some(REQUEST), ANSWER),
            Role::Echo => (self.queues.clone(), Some(ANSWER), REQUEST),
            Role::Receiver if order.cell.workload == WorkloadKind::FanOut => {
                (vec![own()?], None, 0)
            }
            Role::Receiver if order.cell.kinds > 1 => {
                (self.queues.clone(), None, u32::try_from(order.index + 1)?)
            }
            _ => (self.queues.clone(), None, 0),
        };
        Ok(SystemVPort {
            queues,
            send_kind,
            receive_kind: i64::from(receive_kind),
            buffer: vec![0; TYPE_BYTES + order.cell.payload_bytes],
        })
    }

    /// The crowd's queues go with the namespace, which ends with its last process.
    async fn gather(&mut self, order: &Order) -> Result<()> {
        for _ in order.crowd_share(2 * order.cell.names) {
            let queue = QueueId::create().context("making a queue of the crowd")?;
            let mut buffer = [0; TYPE_BYTES + size_of::<u64>()];
            buffer[..TYPE_BYTES].copy_from_slice(&1_i64.to_ne_bytes());
            queue.send(&buffer)?;
        }
        Ok(())
    }
}

/// One worker's queues: all that it sends to, the first that it receives from.
struct SystemVPort {
    queues: Vec<QueueId>,
    /// Overrides the type that the workload wants.
    send_kind: Option<u32>,
    receive_kind: i64,
    buffer: Vec<u8>,
}

impl Port for SystemVPort {
    async fn send<F: FnOnce(&mut [u8])>(&mut self, kind: u32, fill: F) -> Result<()> {
        let (start, payload) = self.buffer.split_at_mut(TYPE_BYTES);
        start.copy_from_slice(&i64::from(self.send_kind.unwrap_or(kind)).to_ne_bytes());
        fill(payload);
        for queue in &self.queues {
            queue.send(&self.buffer).context("msgsnd")?;
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<()> {
        Ok(())
    }

    async fn receive<V: FnMut(&[u8]) -> Result<()>>(&mut self, mut visit: V) -> Result<()> {
        let queue = self.queues.first().context("no queue")?;
        let length = queue.receive(self.receive_kind, &mut self.buffer).context("msgrcv")?;
        visit(&self.buffer[TYPE_BYTES..][..length])
    }
}
