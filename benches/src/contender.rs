//! The seam: what a messaging system must offer to be measured.
//!
//! A `Contender` stands in the parent (what it supports, what it needs around
//! it) and in the children (`run_role`). In a child it hands a `Connector` to
//! `child::run_blocking` or `child::run_tokio`; the workloads then drive the
//! `Port`s that it opens and never learn who is behind them.
//! Invariant: contenders hold no measuring code, and workloads no contender's names.

use anyhow::{Result, bail};

use crate::cell::{Cell, Order};
use crate::process::{Child, Room};

/// One rival in the comparison.
pub trait Contender: Sync {
    /// The name on the command line and in reports.
    fn name(&self) -> &str;

    /// One line for `--list`: what it is and with which settings.
    fn about(&self) -> &str;

    /// Whether it can do this work; if not, the reason.
    fn supports(&self, cell: &Cell) -> Result<(), String>;

    /// Whether it is two brokers that are joined, with clients at both. Such contenders do
    /// the bridged work and no other, and nobody else does it.
    fn is_bridged(&self) -> bool {
        false
    }

    /// Whether some of its receivers can be a group, each message going to one of them, while others get all.
    fn has_groups(&self) -> bool {
        false
    }

    /// Sets the scene in the parent: starts a server or a keeper, chooses an address.
    /// Everything it makes ends with the environment.
    fn prepare(&self, cell: &Cell, room: &Room) -> Result<Environment>;

    /// Plays a part in a child; returns when the parent dismisses it.
    fn run_role(&self, order: &Order) -> Result<()>;
}

/// What a contender set up for one run. Dropping it takes it all down again.
pub struct Environment {
    /// Passed on to every child as `Order::address`.
    pub address: String,
    /// The process that serves all clients, if there is one: its CPU and memory are measured.
    pub server: Option<Child>,
    /// The second of two brokers that are joined; ends after the first.
    pub far_server: Option<Child>,
    /// Ends after the servers: a keeper of kernel objects, if the contender needs one.
    pub keeper: Option<Child>,
}

impl Environment {
    /// Nothing but an address.
    pub fn of_address(address: impl Into<String>) -> Environment {
        Environment { address: address.into(), server: None, far_server: None, keeper: None }
    }

    /// Fails if a process that should last the whole run has ended.
    pub fn check_alive(&mut self) -> Result<()> {
        let servers = self.server.iter_mut().chain(&mut self.far_server);
        for child in servers.chain(&mut self.keeper) {
            child.check_alive()?;
        }
        Ok(())
    }
}

/// A child's way into the contender. `order` says which role wants what:
/// a pinger sends requests and receives answers, an echo the reverse, a sender
/// only sends, a receiver only receives (its own type, in `selective`), a member likewise as one of a group, an idler does neither.
#[allow(async_fn_in_trait, reason = "a port is driven on one thread; no future is ever sent")]
pub trait Connector {
    /// What it opens.
    type Port: Port;

    /// Connects. When this returns, no message that others send from now on may be missed.
    async fn open(&mut self, order: &Order) -> Result<Self::Port>;

    /// Role `Hub`, only for contenders without a server: be ready for `order.cell.clients` idlers.
    async fn listen(&mut self, order: &Order) -> Result<()> {
        bail!("{} has no hub", order.contender)
    }

    /// Role `Hub`: accept and hold that many idlers.
    async fn accept(&mut self, order: &Order) -> Result<()> {
        bail!("{} has no hub", order.contender)
    }

    /// Role `Crowd`: open and hold `order.cell.clients` connections, and `order.cell.names`
    /// queues and as many topics, each used at least once.
    async fn gather(&mut self, order: &Order) -> Result<()> {
        bail!("{} knows no crowd", order.contender)
    }
}

/// One worker's connection. Blocking contenders implement the methods without ever awaiting.
#[allow(async_fn_in_trait, reason = "a port is driven on one thread; no future is ever sent")]
pub trait Port {
    /// Sends one message of the cell's size and of type `kind` (from 1). `fill` writes all of it,
    /// where the contender wants it. Waits where the contender's own back-pressure says so.
    async fn send<F: FnOnce(&mut [u8])>(&mut self, kind: u32, fill: F) -> Result<()>;

    /// Hands over what a batching sender still holds back.
    async fn flush(&mut self) -> Result<()>;

    /// Lets what belongs to the contender and runs beside this task have its turn.
    async fn turn(&mut self) -> Result<()> {
        Ok(())
    }

    /// A member's end: leaves its group, then sends what is left of it this one message.
    async fn hand_on<F: FnOnce(&mut [u8])>(&mut self, _fill: F) -> Result<()> {
        bail!("it has no groups")
    }

    /// Waits for at least one message and shows each that is there to `visit`, in order.
    async fn receive<V: FnMut(&[u8]) -> Result<()>>(&mut self, visit: V) -> Result<()>;
}
