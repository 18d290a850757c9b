//! Two brokers of one system, joined over TCP, as one contender.
//!
//! Who asks or sends is a client of the near broker, which makes the link; who answers or receives
//! is a client of the far one. A system says in `JoinedBrokers` how it starts either broker
//! and how its clients work; the rest is the same for all and stands here.
//! Invariant: each broker has a room, a process and, if the cell pins, the core of its own clients.

use anyhow::{Context, Result, bail};

use crate::cell::{Cell, Order, Role};
use crate::contender::{Contender, Environment};
use crate::process::{Child, Room};

/// What a system must know to be joined with itself.
pub trait JoinedBrokers: Sync {
    /// The contender's name.
    fn name(&self) -> &str;

    /// One line for `--list`.
    fn about(&self) -> &str;

    /// Whether it can run here; if not, the reason.
    fn supports(&self, cell: &Cell) -> Result<(), String>;

    /// Starts the broker that waits for the link.
    fn start_far(&self, site: &Site<'_>) -> Result<Joinable>;

    /// Starts the broker that makes the link, to where the far one takes it.
    fn start_near(&self, site: &Site<'_>, far_link: &str) -> Result<Joinable>;

    /// Plays a part in a child, at one of the two. When its port is open, the link must be
    /// up and know what the port subscribes to.
    fn run_role(&self, order: &Order, ends: &Ends) -> Result<()>;

    /// Plays the broker, for systems whose brokers are this program again.
    fn run_broker(&self, order: &Order) -> Result<()> {
        bail!("the brokers of {} are other programs", order.contender)
    }
}

/// Where one of the brokers runs.
pub struct Site<'run> {
    /// The work.
    pub cell: &'run Cell,
    /// Its files.
    pub room: Room,
    /// Its core, if pinned.
    pub core: Option<usize>,
}

/// A broker that runs.
pub struct Joinable {
    /// Its process.
    pub server: Child,
    /// Where its clients reach it.
    pub clients: String,
    /// Where another broker reaches it; nobody asks the near one.
    pub link: String,
}

/// Where the clients of both brokers go, for one worker.
pub struct Ends {
    /// Its own broker.
    pub own: String,
    /// The broker of the other worker, at which it may try out the link.
    pub other: String,
}

/// A system joined with itself.
pub struct Joined<B>(pub B);

impl<B: JoinedBrokers> Contender for Joined<B> {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn about(&self) -> &str {
        self.0.about()
    }

    fn supports(&self, cell: &Cell) -> Result<(), String> {
        self.0.supports(cell)
    }

    fn is_bridged(&self) -> bool {
        true
    }

    fn prepare(&self, cell: &Cell, room: &Room) -> Result<Environment> {
        let site = |name, place| {
            let core = cell.pinning.core_of_worker(place, room.cores());
            anyhow::Ok(Site { cell, room: room.within(name)?, core })
        };
        let far = self.0.start_far(&site("far", 1)?).context("the far broker")?;
        let near = self.0.start_near(&site("near", 0)?, &far.link).context("the near broker")?;
        Ok(Environment {
            server: Some(near.server),
            far_server: Some(far.server),
            ..Environment::of_address(format!("{}{BETWEEN}{}", near.clients, far.clients))
        })
    }

    fn run_role(&self, order: &Order) -> Result<()> {
        match order.role {
            Role::Keeper => self.0.run_broker(order),
            _ => self.0.run_role(order, &Ends::of(order)?),
        }
    }
}

/// Between the two addresses: neither has a line break in it.
const BETWEEN: char = '\n';

impl Ends {
    /// Those of the worker with this order.
    fn of(order: &Order) -> Result<Ends> {
        let (near, far) = order.address.split_once(BETWEEN).context("there is only one address")?;
        let (near, far) = (near.to_owned(), far.to_owned());
        Ok(match order.role {
            Role::Echo | Role::Receiver => Ends { own: far, other: near },
            _ => Ends { own: near, other: far },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cell::{Timing, WorkloadKind};

    #[test]
    fn who_receives_is_at_the_far_broker_and_all_others_at_the_near_one() {
        let far = [Role::Receiver, Role::Echo];
        for role in [Role::Sender, Role::Pinger, Role::Idler, Role::Receiver, Role::Echo] {
            let order = Order {
                contender: String::new(),
                cell: Cell::new(WorkloadKind::BridgedOneWay, 64),
                role,
                index: 0,
                address: format!("a near one{BETWEEN}a far one"),
                core: None,
                timing: Timing { warm_up_ms: 0, measure_ms: 0, idle_ms: 0, patience_ms: 0 },
                trace: None,
            };
            let ends = Ends::of(&order).unwrap();
            assert_eq!(ends.own == "a far one", far.contains(&role));
            assert_ne!(ends.own, ends.other);
        }
    }
}
