//! iceoryx2: publisher and subscriber over shared memory, polled or with events.
//!
//! The sender writes each message into a loan, so nothing is copied. Nothing overflows: the publisher
//! retries until there is room, which is the library's own waiting. `iceoryx2-spin` polls, and lets
//! others have the core when it has polled in vain for a while; `iceoryx2` notifies once for each
//! message, and its receiver sleeps. There is no server; a sweeper removes what killed
//! processes leave in shared memory.

use std::fmt::Debug;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use bus_benches::cell::{Cell, Order, Role};
use bus_benches::child::run_blocking;
use bus_benches::contender::{Connector, Contender, Environment, Port};
use bus_benches::machine;
use bus_benches::process::Room;
use iceoryx2::port::listener::Listener;
use iceoryx2::port::notifier::Notifier;
use iceoryx2::port::publisher::Publisher;
use iceoryx2::port::subscriber::Subscriber;
use iceoryx2::prelude::*;

use crate::{rival, sweeper};

/// One way to wait.
pub struct Iceoryx2 {
    name: &'static str,
    about: &'static str,
    events: bool,
}

/// All of them.
pub fn all() -> [Iceoryx2; 2] {
    [
        Iceoryx2 {
            name: "iceoryx2",
            about: "iceoryx2, loans, an event for each message and a receiver that sleeps",
            events: true,
        },
        Iceoryx2 {
            name: "iceoryx2-spin",
            about: "iceoryx2, loans, a receiver that polls",
            events: false,
        },
    ]
}

impl Contender for Iceoryx2 {
    fn name(&self) -> &str {
        self.name
    }

    fn about(&self) -> &str {
        self.about
    }

    fn supports(&self, cell: &Cell) -> Result<(), String> {
        rival::brokerless_supports(cell)
    }

    fn prepare(&self, cell: &Cell, room: &Room) -> Result<Environment> {
        let keeper = sweeper::start(self.name, cell, room)?;
        let address = format!("{} {}", sweeper::prefix(room)?, room.directory().display());
        Ok(Environment { keeper: Some(keeper), ..Environment::of_address(address) })
    }

    fn run_role(&self, order: &Order) -> Result<()> {
        match sweeper::is_meant(order) {
            true => sweeper::run(order),
            false => run_blocking(IceoryxConnector { events: self.events }, order),
        }
    }
}

/// The library's errors are not all errors in the sense of the standard library.
fn told<T, E: Debug>(result: Result<T, E>) -> Result<T> {
    result.map_err(|error| anyhow!("{error:?}"))
}

struct IceoryxConnector {
    events: bool,
}

impl Connector for IceoryxConnector {
    type Port = IceoryxPort;

    async fn open(&mut self, order: &Order) -> Result<IceoryxPort> {
        set_log_level(LogLevel::Error);
        let node = node(order)?;
        let (out, into) = match order.role {
            Role::Pinger => (Some("question"), Some("answer")),
            Role::Echo => (Some("answer"), Some("question")),
            Role::Sender => (Some("flow"), None),
            _ => (None, Some("flow")),
        };
        let service = Service { node: &node, order, events: self.events };
        // The own ears first, so that two who wait for each other's both get on.
        let incoming = into.map(|name| service.incoming(name)).transpose()?;
        let outgoing = out.map(|name| service.outgoing(name)).transpose()?;
        if let (Some(name), Some(incoming)) = (into, &incoming) {
            service.attach(name, incoming)?;
        }
        Ok(IceoryxPort { outgoing, incoming, payload_bytes: order.cell.payload_bytes, _node: node })
    }
}

type IpcNode = Node<ipc::Service>;

/// A node whose files all lie in the run's room or bear its prefix.
fn node(order: &Order) -> Result<IpcNode> {
    let (prefix, directory) = order.address.split_once(' ').context("no prefix")?;
    let mut config = Config::default();
    config.global.prefix = told(prefix.try_into())?;
    config.global.set_root_path(&told(Path::new(directory.as_bytes()))?);
    told(NodeBuilder::new().config(&config).create::<ipc::Service>())
}

/// Makes the ports of a service.
struct Service<'open> {
    node: &'open IpcNode,
    order: &'open Order,
    events: bool,
}

impl Service<'_> {
    fn incoming(&self, name: &str) -> Result<Incoming> {
        let service = self.messages(name)?;
        let listener = match self.events {
            true => Some(told(self.signals(name)?.listener_builder().create())?),
            false => None,
        };
        Ok(Incoming { subscriber: told(service.subscriber_builder().create())?, listener })
    }

    fn outgoing(&self, name: &str) -> Result<Outgoing> {
        let service = self.messages(name)?;
        let publisher = service
            .publisher_builder()
            .initial_max_slice_len(self.order.cell.payload_bytes)
            .backpressure_strategy(BackpressureStrategy::RetryUntilDelivered)
            .create();
        let publisher = told(publisher)?;
        let listeners = self.order.cell.receivers;
        self.until("subscribers", || {
            service.dynamic_config().number_of_subscribers() == listeners
        })?;
        if !self.events {
            return Ok(Outgoing { publisher, notifier: None });
        }
        let signals = self.signals(name)?;
        self.until("listeners", || signals.dynamic_config().number_of_listeners() == listeners)?;
        let notifier = Some(told(signals.notifier_builder().create())?);
        Ok(Outgoing { publisher, notifier })
    }

    /// Attaches a subscriber to all its publishers. It would do so when it first looks for a
    /// message, but until then a publisher discards what does not fit into the buffer.
    fn attach(&self, name: &str, incoming: &Incoming) -> Result<()> {
        let service = self.messages(name)?;
        let publishers = self.order.cell.senders;
        self.until("publishers", || service.dynamic_config().number_of_publishers() == publishers)?;
        told(incoming.subscriber.has_samples())?;
        Ok(())
    }

    fn messages(&self, name: &str) -> Result<MessageFactory> {
        const MANY: usize = 1024;
        const FEW: usize = 8;
        const BYTES: usize = 8 << 20;
        let cell = &self.order.cell;
        let service = self.node.service_builder(&told(name.try_into())?);
        let service = service
            .publish_subscribe::<[u8]>()
            .enable_safe_overflow(false)
            .history_size(0)
            .subscriber_max_buffer_size((BYTES / cell.payload_bytes).clamp(FEW, MANY))
            .max_publishers(cell.senders)
            .max_subscribers(cell.receivers)
            .max_nodes(cell.senders + cell.receivers);
        told(service.open_or_create())
    }

    fn signals(&self, name: &str) -> Result<SignalFactory> {
        let name = format!("{name} events");
        let service = self.node.service_builder(&told(name.as_str().try_into())?).event();
        told(service.open_or_create())
    }

    fn until(&self, whom: &str, mut there: impl FnMut() -> bool) -> Result<()> {
        let patience = Duration::from_millis(self.order.timing.patience_ms);
        let deadline = Instant::now() + patience;
        while !there() {
            ensure!(Instant::now() < deadline, "not all {whom} came within {patience:?}");
            machine::pause(Duration::from_millis(1));
        }
        Ok(())
    }
}

type MessageFactory =
    iceoryx2::service::port_factory::publish_subscribe::PortFactory<ipc::Service, [u8], ()>;
type SignalFactory = iceoryx2::service::port_factory::event::PortFactory<ipc::Service>;

struct Outgoing {
    publisher: Publisher<ipc::Service, [u8], ()>,
    notifier: Option<Notifier<ipc::Service>>,
}

struct Incoming {
    subscriber: Subscriber<ipc::Service, [u8], ()>,
    listener: Option<Listener<ipc::Service>>,
}

struct IceoryxPort {
    // The ports go before their node.
    outgoing: Option<Outgoing>,
    incoming: Option<Incoming>,
    payload_bytes: usize,
    _node: IpcNode,
}

impl Port for IceoryxPort {
    #[inline]
    async fn send<F: FnOnce(&mut [u8])>(&mut self, _kind: u32, fill: F) -> Result<()> {
        let outgoing = self.outgoing.as_ref().context("this worker does not send")?;
        let mut loan = told(outgoing.publisher.loan_slice_uninit(self.payload_bytes))?;
        let room = loan.payload_mut();
        // SAFETY: the loan lies in a mapped file, whose bytes the kernel has initialised, and nobody
        // else refers to it until it is sent.
        fill(unsafe { std::slice::from_raw_parts_mut(room.as_mut_ptr().cast::<u8>(), room.len()) });
        // SAFETY: as above, each byte is initialised; `fill` has also written all of them.
        let message = unsafe { loan.assume_init() };
        told(message.send())?;
        if let Some(notifier) = &outgoing.notifier {
            told(notifier.notify())?;
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<()> {
        Ok(())
    }

    async fn receive<V: FnMut(&[u8]) -> Result<()>>(&mut self, mut visit: V) -> Result<()> {
        const BATCH: usize = 256;
        let incoming = self.incoming.as_ref().context("this worker does not receive")?;
        let mut polled: u32 = 0;
        loop {
            let mut count = 0;
            while count < BATCH
                && let Some(message) = told(incoming.subscriber.receive())?
            {
                visit(message.payload())?;
                count += 1;
            }
            if count > 0 {
                return Ok(());
            }
            polled += 1;
            incoming.wait(polled)?;
        }
    }
}

impl Incoming {
    /// Waits for an event, or a moment before the next poll, of which there were `polled` in vain.
    fn wait(&self, polled: u32) -> Result<()> {
        const POLLS_BEFORE_YIELD: u32 = 200;
        match &self.listener {
            Some(listener) => {
                told(listener.blocking_wait(|_| ()))?;
            }
            None if polled.is_multiple_of(POLLS_BEFORE_YIELD) => std::thread::yield_now(),
            None => std::hint::spin_loop(),
        }
        Ok(())
    }
}
