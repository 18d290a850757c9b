//! NATS core: the server that the system has, and its own asynchronous client.
//!
//! Core NATS drops what a subscriber does not take in time, so flows run under a window of
//! credit. The server has its default settings and a free port of loopback; it knows no other
//! transport on one machine.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use async_nats::{Client, ConnectOptions, Subscriber};
use bus_benches::cell::{Cell, Order, Role};
use bus_benches::child::run_tokio;
use bus_benches::contender::{Connector, Contender, Environment, Port};
use bus_benches::process::{Child, Room};
use bytes::Bytes;
use futures_util::{FutureExt, StreamExt};
use tokio::time::timeout;

use crate::buffers::Buffers;
use crate::credit::{Tally, Window, window_messages};
use crate::{program, rival};

/// See the module.
pub struct Nats;

impl Contender for Nats {
    fn name(&self) -> &str {
        "nats"
    }

    fn about(&self) -> &str {
        "NATS core over TCP on loopback, async-nats, under a window of credit"
    }

    fn supports(&self, cell: &Cell) -> Result<(), String> {
        find()?;
        rival::broker_supports(cell)
    }

    fn prepare(&self, cell: &Cell, room: &Room) -> Result<Environment> {
        let core = cell.pinning.core_of_server(room.cores());
        let (server, address) = start(None, core, room)?;
        Ok(Environment { server: Some(server), ..Environment::of_address(address) })
    }

    fn run_role(&self, order: &Order) -> Result<()> {
        run_tokio(NatsConnector { through: None }, order)
    }
}

/// The server's program, or why it cannot run.
pub fn find() -> Result<PathBuf, String> {
    program::find("nats-server", "nats-server")
}

/// Starts a server, with the settings of a file if there is one; also where clients reach it.
pub fn start(settings: Option<&Path>, core: Option<usize>, room: &Room) -> Result<(Child, String)> {
    const PATIENCE: Duration = Duration::from_secs(10);
    let program = find().map_err(anyhow::Error::msg)?;
    let directory = room.directory().to_string_lossy();
    let mut arguments = vec!["--addr", "127.0.0.1", "--port", "-1", "--ports_file_dir", &directory];
    let settings = settings.map(Path::to_string_lossy);
    if let Some(settings) = &settings {
        arguments.extend(["--config", settings]);
    }
    let mut server = Child::server(&program, &arguments, core, room)?;
    let path = room.directory().join(format!("nats-server_{}.ports", server.pid()));
    let mut address = None;
    server.wait_until(PATIENCE, || {
        let ports = fs::read_to_string(&path).unwrap_or_default();
        address = client_url(&ports);
        address.is_some()
    })?;
    Ok((server, address.context("the server does not say where it listens")?))
}

/// The first URL for clients in the server's file of ports, once that is whole.
fn client_url(ports: &str) -> Option<String> {
    let ports: serde_json::Value = serde_json::from_str(ports).ok()?;
    Some(ports["nats"].get(0)?.as_str()?.to_owned())
}

/// Connects clients of one server, or of two that are joined.
pub struct NatsConnector {
    /// The server through which others send, if it is not the own one.
    pub through: Option<String>,
}

impl Connector for NatsConnector {
    type Port = NatsPort;

    async fn open(&mut self, order: &Order) -> Result<NatsPort> {
        let under_way = window_messages(order.cell.payload_bytes) as usize * order.cell.senders;
        // Room for all that the credit allows; beyond it the client would drop.
        let options = ConnectOptions::new().subscription_capacity(under_way + 1);
        let client = options.connect(&order.address).await.context("connecting")?;
        let (out, into) = match order.role {
            Role::Pinger => (Some("question"), Some("answer".to_owned())),
            Role::Echo => (Some("answer"), Some("question".to_owned())),
            Role::Sender => (Some("flow"), Some(credit_subject(order.index))),
            _ => (None, Some("flow".to_owned())),
        };
        let subscriber = match into {
            Some(subject) => Some(client.subscribe(subject).await?),
            None => None,
        };
        let sender = match &self.through {
            Some(url) => {
                async_nats::connect(url).await.context("connecting to the other server")?
            }
            None => client.clone(),
        };
        settle(&client, &sender).await?;
        Ok(NatsPort {
            client,
            out,
            subscriber,
            buffers: Buffers::new(order.cell.payload_bytes),
            window: Window::new(order),
            tally: Tally::new(order),
        })
    }
}

fn credit_subject(sender: usize) -> String {
    format!("credit.{sender}")
}

/// A message from where others send: each server goes through a client's commands in order and
/// passes subscriptions on in that order, so afterwards the earlier ones are known there. It is
/// sent again until it comes, since what nobody is known to want is dropped.
async fn settle(client: &Client, sender: &Client) -> Result<()> {
    const PAUSE: Duration = Duration::from_millis(10);
    let subject = format!("settled.{}", std::process::id());
    let mut own = client.subscribe(subject.clone()).await?;
    loop {
        sender.publish(subject.clone(), Bytes::new()).await?;
        if let Ok(came) = timeout(PAUSE, own.next()).await {
            came.context("the connection has ended")?;
            return Ok(());
        }
    }
}

/// One worker's connection.
pub struct NatsPort {
    client: Client,
    out: Option<&'static str>,
    /// Of messages; at the sender of a flow, of confirmations.
    subscriber: Option<Subscriber>,
    buffers: Buffers,
    window: Option<Window>,
    tally: Option<Tally>,
}

impl Port for NatsPort {
    #[inline]
    async fn send<F: FnOnce(&mut [u8])>(&mut self, _kind: u32, fill: F) -> Result<()> {
        if let Some(window) = &mut self.window {
            while !window.is_open() {
                let credits = self.subscriber.as_mut().context("no confirmations")?;
                window
                    .confirm(&credits.next().await.context("the connection has ended")?.payload)?;
            }
            window.note_sent();
        }
        let subject = self.out.context("this worker does not send")?;
        self.client.publish(subject, self.buffers.payload(fill)).await?;
        Ok(())
    }

    /// The client sends by itself as soon as it has nothing better to do.
    async fn flush(&mut self) -> Result<()> {
        Ok(())
    }

    async fn receive<V: FnMut(&[u8]) -> Result<()>>(&mut self, mut visit: V) -> Result<()> {
        const BATCH: usize = 1024;
        let subscriber = self.subscriber.as_mut().context("this worker does not receive")?;
        let mut next = subscriber.next().await;
        next.as_ref().context("the connection has ended")?;
        for _ in 0..BATCH {
            let Some(message) = next else { break };
            visit(&message.payload)?;
            let due = self.tally.as_mut().and_then(|tally| tally.note(&message.payload));
            if let Some((sender, confirmation)) = due {
                let confirmation = Bytes::copy_from_slice(&confirmation);
                self.client.publish(credit_subject(sender), confirmation).await?;
            }
            next = subscriber.next().now_or_never().flatten();
        }
        Ok(())
    }
}
