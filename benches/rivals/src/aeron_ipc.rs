//! Aeron over IPC: exclusive publications with 64 MiB terms, and a driver in a process of its own.
//!
//! The sender claims room in the log and writes there; messages beyond a fragment are offered. A
//! subscriber sees fragments and puts large messages together. `aeron` waits with the usual back-off
//! (spin, yield, then park for up to a millisecond), `aeron-spin` never parks; a sender that is held
//! back waits in the same way. The driver shares one thread for all its work, with the back-off too.

use std::ffi::CString;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bus_benches::cell::{Cell, Order, Role};
use bus_benches::child::run_blocking;
use bus_benches::contender::{Connector, Contender, Environment, Port};
use bus_benches::machine;
use bus_benches::process::Room;
use rusteron_client::{
    AERON_IPC_STREAM, Aeron, AeronExclusivePublication, AeronSubscription, BackoffIdleStrategy,
    Handlers, IdleStrategy,
};

use crate::{own_server, rival, sweeper};

/// One way to wait.
pub struct AeronIpc {
    name: &'static str,
    about: &'static str,
    spins: bool,
}

/// All of them.
pub fn all() -> [AeronIpc; 2] {
    [
        AeronIpc {
            name: "aeron",
            about: "Aeron IPC, exclusive publications, 64 MiB terms, back-off",
            spins: false,
        },
        AeronIpc {
            name: "aeron-spin",
            about: "Aeron IPC, exclusive publications, 64 MiB terms, spinning and yielding",
            spins: true,
        },
    ]
}

impl Contender for AeronIpc {
    fn name(&self) -> &str {
        self.name
    }

    fn about(&self) -> &str {
        self.about
    }

    fn supports(&self, cell: &Cell) -> Result<(), String> {
        rival::broker_supports(cell)
    }

    fn prepare(&self, cell: &Cell, room: &Room) -> Result<Environment> {
        let keeper = sweeper::start(self.name, cell, room)?;
        let folder = format!("{}/{}aeron", sweeper::SHARED_MEMORY, sweeper::prefix(room)?);
        let address = format!("{folder} {}", room.directory().display());
        let server = own_server::start(self.name, &address, cell, room)?;
        Ok(Environment {
            server: Some(server),
            keeper: Some(keeper),
            ..Environment::of_address(address)
        })
    }

    fn run_role(&self, order: &Order) -> Result<()> {
        if sweeper::is_meant(order) {
            return sweeper::run(order);
        }
        let (folder, room) = order.address.split_once(' ').context("no folder")?;
        match order.role {
            Role::Keeper => drive(folder, Path::new(room)),
            _ => run_blocking(AeronConnector { spins: self.spins }, order),
        }
    }
}

/// Bytes of one of the three terms of a log.
const TERM_BYTES: usize = 64 << 20;
/// The largest fragment with its header, which is what the driver allows at most.
const FRAGMENT_BYTES: usize = 65504;
/// The header before each fragment's payload.
const HEADER_BYTES: usize = 32;

/// The driver, until it is killed.
fn drive(folder: &str, room: &Path) -> Result<()> {
    use rusteron_media_driver::bindings::aeron_threading_mode_t;
    use rusteron_media_driver::{AeronDriver, AeronDriverContext};
    let context = AeronDriverContext::new()?;
    context.set_dir(&CString::new(folder)?)?;
    context.set_ipc_term_buffer_length(TERM_BYTES)?;
    context.set_ipc_mtu_length(FRAGMENT_BYTES)?;
    context.set_threading_mode(aeron_threading_mode_t::AERON_THREADING_MODE_SHARED)?;
    context.set_shared_idle_strategy(c"backoff")?;
    let driver = AeronDriver::new(&context)?;
    driver.start(true)?;
    own_server::say_ready(room)?;
    loop {
        driver.main_idle_strategy(driver.main_do_work()?);
    }
}

struct AeronConnector {
    spins: bool,
}

impl Connector for AeronConnector {
    type Port = AeronPort;

    async fn open(&mut self, order: &Order) -> Result<AeronPort> {
        const PATIENCE: Duration = Duration::from_secs(20);
        let (folder, _) = order.address.split_once(' ').context("no folder")?;
        let aeron = Aeron::connect_dir(folder)?;
        let (question, answer, flow) = (1, 2, 3);
        let (out, into) = match order.role {
            Role::Pinger => (Some(question), Some(answer)),
            Role::Echo => (Some(answer), Some(question)),
            Role::Sender => (Some(flow), None),
            _ => (None, Some(flow)),
        };
        let subscription = match into {
            Some(stream) => Some(
                aeron
                    .async_add_subscription(
                        AERON_IPC_STREAM,
                        stream,
                        Handlers::NONE,
                        Handlers::NONE,
                    )?
                    .poll_blocking(PATIENCE)?,
            ),
            None => None,
        };
        let publication = match out {
            Some(stream) => Some(
                aeron
                    .async_add_exclusive_publication(AERON_IPC_STREAM, stream)?
                    .poll_blocking(PATIENCE)?,
            ),
            None => None,
        };
        let port = AeronPort {
            publication,
            subscription,
            idle: Idle::new(self.spins),
            scratch: Vec::new(),
            assembled: Vec::new(),
            payload_bytes: order.cell.payload_bytes,
            _aeron: aeron,
        };
        port.wait_for_others(order)?;
        Ok(port)
    }
}

struct AeronPort {
    // What the client made goes before it.
    publication: Option<AeronExclusivePublication>,
    subscription: Option<AeronSubscription>,
    idle: Idle,
    /// An outgoing message that does not fit into a fragment.
    scratch: Vec<u8>,
    /// Of an incoming one: the fragments that are there.
    assembled: Vec<u8>,
    payload_bytes: usize,
    _aeron: Aeron,
}

impl AeronPort {
    /// Until everybody sees everybody; an idle client sees nobody.
    fn wait_for_others(&self, order: &Order) -> Result<()> {
        if order.role == Role::Idler {
            return Ok(());
        }
        let images = match order.role {
            Role::Receiver => order.cell.senders,
            _ => 1,
        };
        let patience = Duration::from_millis(order.timing.patience_ms);
        let deadline = Instant::now() + patience;
        loop {
            let heard = self.publication.as_ref().is_none_or(|own| own.is_connected());
            let hears = match &self.subscription {
                Some(own) => own.image_count()? as usize == images,
                None => true,
            };
            if heard && hears {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "not connected within {patience:?}");
            machine::pause(Duration::from_millis(1));
        }
    }
}

impl Port for AeronPort {
    #[inline]
    async fn send<F: FnOnce(&mut [u8])>(&mut self, _kind: u32, fill: F) -> Result<()> {
        let publication = self.publication.as_ref().context("this worker does not send")?;
        self.idle.reset();
        if self.payload_bytes + HEADER_BYTES <= FRAGMENT_BYTES {
            loop {
                match publication.try_claim_owned(self.payload_bytes) {
                    Ok(mut claim) => {
                        fill(claim.data());
                        claim.commit()?;
                        return Ok(());
                    }
                    Err(error) if error.is_retryable() => self.idle.wait(),
                    Err(error) => bail!("claiming: {error:?}"),
                }
            }
        }
        self.scratch.resize(self.payload_bytes, 0);
        fill(&mut self.scratch);
        loop {
            match publication.offer(&self.scratch) {
                Ok(_) => return Ok(()),
                Err(error) if error.is_retryable() => self.idle.wait(),
                Err(error) => bail!("offering: {error:?}"),
            }
        }
    }

    async fn flush(&mut self) -> Result<()> {
        Ok(())
    }

    async fn receive<V: FnMut(&[u8]) -> Result<()>>(&mut self, mut visit: V) -> Result<()> {
        const FRAGMENTS: usize = 256;
        let subscription = self.subscription.as_ref().context("this worker does not receive")?;
        let (assembled, payload_bytes) = (&mut self.assembled, self.payload_bytes);
        self.idle.reset();
        loop {
            let (mut messages, mut failure) = (0, None);
            let fragments = subscription.poll_fn(
                |fragment: &[u8], _header| {
                    let result = if fragment.len() == payload_bytes {
                        messages += 1;
                        visit(fragment)
                    } else {
                        // One sender's fragments follow each other; a cell of several senders has
                        // only small messages.
                        assembled.extend_from_slice(fragment);
                        if assembled.len() < payload_bytes {
                            return;
                        }
                        messages += 1;
                        let result = visit(assembled);
                        assembled.clear();
                        result
                    };
                    failure = failure.take().or(result.err());
                },
                FRAGMENTS,
            )?;
            if let Some(failure) = failure {
                return Err(failure);
            }
            if messages > 0 {
                return Ok(());
            }
            if fragments == 0 {
                self.idle.wait();
            }
        }
    }
}

/// What to do while there is nothing to do.
enum Idle {
    BackOff(BackoffIdleStrategy),
    Spin(u32),
}

impl Idle {
    fn new(spins: bool) -> Idle {
        match spins {
            true => Idle::Spin(0),
            false => Idle::BackOff(BackoffIdleStrategy::new()),
        }
    }

    #[inline]
    fn reset(&mut self) {
        match self {
            Idle::BackOff(strategy) => strategy.reset(),
            Idle::Spin(spins) => *spins = 0,
        }
    }

    fn wait(&mut self) {
        const SPINS_BEFORE_YIELD: u32 = 1000;
        match self {
            Idle::BackOff(strategy) => strategy.idle(0),
            Idle::Spin(spins) => {
                *spins += 1;
                match spins.is_multiple_of(SPINS_BEFORE_YIELD) {
                    true => std::thread::yield_now(),
                    false => std::hint::spin_loop(),
                }
            }
        }
    }
}
