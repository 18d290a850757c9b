//! The bus itself: topics and queues, over lanes in shared memory, the local socket, TCP and TLS.
//!
//! The server is this program with the broker embedded and its default settings, so client
//! and broker are always of one build. Only `memory` takes the program that users start, since
//! there the pages of the program itself count.
//! Clients are ordinary ones on a current-thread runtime, with the options that `Bus::options`
//! makes of the contender. What has lanes connects as `shm:`, so a run without them fails.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use bus_broker::BrokerConfig;
use bus_client::{Client, ClientOptions, Waiting};

use super::bus_blocking::BlockingTopicConnector;
use super::bus_certificates as certificates;
use super::bus_queue::QueueConnector;
use super::bus_server;
use super::bus_topic::TopicConnector;
use crate::cell::{Cell, Order, Role, WorkloadKind};
use crate::child::{run_blocking, run_tokio};
use crate::contender::{Contender, Environment};
use crate::process::{Child, Room};

/// Clients over TCP are nobody in particular, so everybody may do everything.
pub const MODE: u16 = 0o777;

/// One way to use the bus.
pub struct Bus {
    name: &'static str,
    about: &'static str,
    transport: Transport,
    object: Object,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Transport {
    /// Lanes in shared memory, agreed on over the local socket.
    Lanes,
    /// Lanes, without waiting awake.
    Parked,
    Local,
    Tcp,
    /// TCP, encrypted; the broker shows a certificate.
    Tls,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Object {
    Topic,
    /// A topic, by calls that block.
    BlockingTopic,
    Queue,
}

/// All of them.
pub fn all() -> impl Iterator<Item = Bus> {
    use Object::{BlockingTopic, Queue, Topic};
    use Transport::{Lanes, Local, Parked, Tcp, Tls};
    [
        ("bus-shm", "the bus over lanes in shared memory: a topic", Lanes, Topic),
        ("bus-shm-park", "the same; whoever waits sleeps at once", Parked, Topic),
        (
            "bus-shm-blocking",
            "lanes, a topic, by calls that block and no runtime; whoever waits sleeps at once",
            Parked,
            BlockingTopic,
        ),
        ("bus-local", "the bus over the local socket: a topic", Local, Topic),
        ("bus-tcp", "the bus over TCP on loopback: a topic", Tcp, Topic),
        ("bus-tls", "the bus over TLS on loopback: a topic", Tls, Topic),
        (
            "bus-queue-shm",
            "the bus over lanes in shared memory: a queue; verdicts checked, consumers acknowledge",
            Lanes,
            Queue,
        ),
        (
            "bus-queue-local",
            "the bus over the local socket: a queue; verdicts checked, consumers acknowledge",
            Local,
            Queue,
        ),
        (
            "bus-queue-tcp",
            "the bus over TCP on loopback: a queue; verdicts checked, consumers acknowledge",
            Tcp,
            Queue,
        ),
    ]
    .into_iter()
    .map(|(name, about, transport, object)| Bus { name, about, transport, object })
}

impl Contender for Bus {
    fn name(&self) -> &str {
        self.name
    }

    fn about(&self) -> &str {
        self.about
    }

    fn supports(&self, cell: &Cell) -> Result<(), String> {
        if cell.workload == WorkloadKind::Selective && self.object != Object::Queue {
            return Err("a topic's subscribers do not share its messages".to_owned());
        }
        if cell.workload == WorkloadKind::Crowd && self.object == Object::BlockingTopic {
            return Err("a crowd is measured with one client of each sort".to_owned());
        }
        Ok(())
    }

    fn has_groups(&self) -> bool {
        self.object == Object::Topic
    }

    fn prepare(&self, cell: &Cell, room: &Room) -> Result<Environment> {
        if self.transport == Transport::Tls {
            certificates::make(room.directory())?;
        }
        let server = match cell.workload {
            WorkloadKind::Memory => self.start_program(room)?,
            _ => {
                let core = cell.pinning.core_of_server(room.cores());
                let (server, urls) = bus_server::start(self.name, cell, core, room)?;
                let url = urls.into_iter().next().context("the broker listens nowhere")?;
                (server, url)
            }
        };
        let (server, address) = server;
        // The broker listens on the local socket for both; who wants lanes asks for them by URL.
        let address = match self.transport {
            Transport::Lanes | Transport::Parked => address.replacen("local:", "shm:", 1),
            Transport::Local => address.replacen("local:", "unix:", 1),
            Transport::Tcp => address,
            Transport::Tls => certificates::beside(&address, room.directory()),
        };
        Ok(Environment { server: Some(server), ..Environment::of_address(address) })
    }

    fn run_role(&self, order: &Order) -> Result<()> {
        match (order.role, self.object) {
            (Role::Keeper, _) => {
                bus_server::serve(self.broker_config(order)?, Path::new(&order.address))
            }
            (_, Object::Topic) => run_tokio(TopicConnector::new(self.options()), order),
            (_, Object::BlockingTopic) => {
                run_blocking(BlockingTopicConnector::new(self.options()), order)
            }
            (_, Object::Queue) => run_tokio(QueueConnector::new(self.options()), order),
        }
    }
}

impl Bus {
    /// How its clients are made: one place for all of them.
    fn options(&self) -> ClientOptions {
        ClientOptions::default().waiting(self.waiting())
    }

    /// How its broker is made: with its defaults.
    fn broker_config(&self, order: &Order) -> Result<BrokerConfig> {
        let url = self.listen_url(&order.address);
        let config = BrokerConfig::default().waiting(self.waiting()).listen(url.parse()?);
        Ok(match self.transport {
            Transport::Tls => config.tls(certificates::files(Path::new(&order.address))),
            _ => config,
        })
    }

    fn waiting(&self) -> Waiting {
        match self.transport {
            Transport::Parked => Waiting::Park,
            _ => Waiting::default(),
        }
    }

    fn listen_url(&self, directory: &str) -> String {
        match self.transport {
            Transport::Lanes | Transport::Parked | Transport::Local => {
                format!("local:{directory}/socket")
            }
            Transport::Tcp => "tcp://127.0.0.1:0".to_owned(),
            Transport::Tls => "tls://127.0.0.1:0".to_owned(),
        }
    }

    /// `bus serve`, as users start it; also where clients reach it.
    fn start_program(&self, room: &Room) -> Result<(Child, String)> {
        const PATIENCE: Duration = Duration::from_secs(10);
        let url = self.listen_url(&room.directory().to_string_lossy());
        let program = room.program("bus")?;
        let mut arguments = vec!["serve".to_owned(), "--listen".to_owned(), url];
        if self.transport == Transport::Tls {
            arguments.extend(certificates::arguments(room.directory()));
        }
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let mut server = Child::server(&program, &arguments, None, room)?;
        let log = room.directory().join("server.log");
        let mut address = None;
        server.wait_until(PATIENCE, || {
            let said = fs::read_to_string(&log).unwrap_or_default();
            address = said
                .lines()
                .find_map(|line| Some(line.strip_prefix("listening on ")?.trim().to_owned()));
            address.is_some()
        })?;
        Ok((server, address.context("the broker does not say where it listens")?))
    }
}

/// Connects a worker.
pub async fn connect(order: &Order, options: &ClientOptions) -> Result<Client> {
    let (url, options) = certificates::apart(&order.address, options);
    Client::connect_with(url, options)
        .await
        .with_context(|| format!("connecting to {}", order.address))
}
