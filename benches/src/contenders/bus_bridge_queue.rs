//! Queues of the bus over its bridge, which goes over TCP: each lives at one of the two brokers and
//! is hosted at the other.
//!
//! Clients and their work are those of `bus_queue`, over lanes; who waits sleeps at once. In round trips
//! there are two queues, one each way. Invariant: nobody makes a queue where it is to be hosted.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use bus_client::{Client, ClientOptions, ErrorKind, Name, QueueOptions, Selector, Waiting};

use super::bus::MODE;
use super::bus_bridge::{bridge_to, broker_config, far_of, note_far, start_far};
use super::bus_queue::{QueueConnector, QueuePort, names, open_queue};
use super::bus_server;
use crate::cell::{Cell, Order};
use crate::child::run_tokio;
use crate::contender::Connector;
use crate::joined::{Ends, Joinable, JoinedBrokers, Site};

/// See the module.
pub struct BusBridgeQueue {
    name: &'static str,
    about: &'static str,
    home: Home,
    auto_ack: bool,
}

/// At whose broker each queue lives.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Home {
    Receiver,
    Sender,
}

/// With either home, and with either way of acknowledging.
pub fn all() -> impl Iterator<Item = BusBridgeQueue> {
    [
        (
            "bus-bridge-queue-receiver",
            "a queue over the bridge that lives at the receiver's broker; verdicts checked, deliveries acknowledged",
            Home::Receiver,
            false,
        ),
        (
            "bus-bridge-queue-receiver-auto",
            "the same, acknowledged by being yielded",
            Home::Receiver,
            true,
        ),
        (
            "bus-bridge-queue-sender",
            "a queue over the bridge that lives at the sender's broker; verdicts checked, deliveries acknowledged",
            Home::Sender,
            false,
        ),
        (
            "bus-bridge-queue-sender-auto",
            "the same, acknowledged by being yielded",
            Home::Sender,
            true,
        ),
    ]
    .into_iter()
    .map(|(name, about, home, auto_ack)| BusBridgeQueue { name, about, home, auto_ack })
}

impl JoinedBrokers for BusBridgeQueue {
    fn name(&self) -> &str {
        self.name
    }

    fn about(&self) -> &str {
        self.about
    }

    fn supports(&self, _: &Cell) -> Result<(), String> {
        Ok(())
    }

    fn start_far(&self, site: &Site<'_>) -> Result<Joinable> {
        start_far(self.name(), site)
    }

    fn start_near(&self, site: &Site<'_>, far_link: &str) -> Result<Joinable> {
        note_far(site, far_link)?;
        start_far(self.name(), site)
    }

    fn run_role(&self, order: &Order, ends: &Ends) -> Result<()> {
        let options = ClientOptions::default().waiting(Waiting::Park);
        let order = Order { address: ends.own.clone(), ..order.clone() };
        let queues = QueueConnector::new(options.clone()).auto_ack(self.auto_ack);
        run_tokio(BridgedQueueConnector { queues, options, home: self.home }, &order)
    }

    fn run_broker(&self, order: &Order) -> Result<()> {
        let folder = Path::new(&order.address);
        let mut config = broker_config(folder, false)?;
        if let Some(far) = far_of(folder) {
            let (mut bridge, _) = bridge_to(&far)?;
            bridge = bridge.queue_mode(MODE);
            // At the near broker is who asks or sends, at the far one who answers or receives.
            for (name, lives_far) in [
                ("question", self.home == Home::Receiver),
                ("flow.0", self.home == Home::Receiver),
                ("answer", self.home == Home::Sender),
            ] {
                let name = Name::new(name)?;
                bridge = match lives_far {
                    true => bridge.incoming_queue(name),
                    false => bridge.outgoing_queue(name),
                };
            }
            config = config.bridge(bridge);
        }
        bus_server::serve(config, folder)
    }
}

struct BridgedQueueConnector {
    queues: QueueConnector,
    options: ClientOptions,
    home: Home,
}

impl Connector for BridgedQueueConnector {
    type Port = QueuePort;

    async fn open(&mut self, order: &Order) -> Result<QueuePort> {
        let (out, into) = names(order);
        let into = Vec::from_iter(into);
        let (own, hosted) = match self.home {
            Home::Receiver => (into, out),
            Home::Sender => (out, into),
        };
        let client = Client::connect_with(&order.address, self.options.clone()).await?;
        for name in own {
            open_queue(&client, &name).await?;
        }
        for name in hosted {
            wait_for_home(&client, &name).await?;
        }
        self.queues.open(order).await
    }
}

/// Waits until the queue is hosted here and its home answers.
async fn wait_for_home(client: &Client, name: &str) -> Result<()> {
    const PAUSE: Duration = Duration::from_millis(10);
    loop {
        let answer = match client.queue_with(name, QueueOptions::default().must_exist()).await {
            Ok(queue) => queue.peek(Selector::Any, 0).await.map(drop),
            Err(error) => Err(error),
        };
        match answer.map_err(|error| error.kind()) {
            Ok(()) | Err(ErrorKind::Empty) => return Ok(()),
            Err(ErrorKind::NotFound | ErrorKind::Unreachable) => tokio::time::sleep(PAUSE).await,
            Err(other) => return Err(anyhow::anyhow!("{other:?}")).context("asking the home"),
        }
    }
}
