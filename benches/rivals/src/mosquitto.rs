//! Two Mosquitto brokers joined by its bridge: the near one is a client of the far one.
//!
//! Without acknowledgements (QoS 0) or with them on each of the three ways (QoS 1). A
//! broker drops what it has no room for in its queue, so the limits of its queues are lifted and
//! flows run under a window of credit, as with NATS. In round trips it does not wait to fill a
//! segment of TCP; in flows it may, which makes it half as fast again.
//! Topics of which the name begins with `out` cross from near to far, with `in` back.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result};
use bus_benches::cell::{Cell, Order, Role, WorkloadKind};
use bus_benches::child::run_blocking;
use bus_benches::contender::{Connector, Port};
use bus_benches::joined::{Ends, Joinable, JoinedBrokers, Site};
use bus_benches::process::Child;

use crate::credit::{Tally, Window};
use crate::mqtt::{Connection, Outlet, Packet, Quality};
use crate::program;

/// One way to use it.
pub struct Mosquitto {
    name: &'static str,
    about: &'static str,
    quality: Quality,
}

/// Both ways.
pub fn all() -> [Mosquitto; 2] {
    [
        Mosquitto {
            name: "mosquitto-bridge",
            about: "two Mosquitto brokers joined by its bridge over TCP, QoS 0, under a window of credit",
            quality: Quality::AtMostOnce,
        },
        Mosquitto {
            name: "mosquitto-bridge-qos1",
            about: "the same with QoS 1: each message is acknowledged on each of the three ways",
            quality: Quality::AtLeastOnce,
        },
    ]
}

impl JoinedBrokers for Mosquitto {
    fn name(&self) -> &str {
        self.name
    }

    fn about(&self) -> &str {
        self.about
    }

    fn supports(&self, _: &Cell) -> Result<(), String> {
        program::find("mosquitto", "mosquitto").map(drop)
    }

    fn start_far(&self, site: &Site<'_>) -> Result<Joinable> {
        start(site, "")
    }

    fn start_near(&self, site: &Site<'_>, far_link: &str) -> Result<Joinable> {
        let quality = self.quality as u8;
        let bridge = [
            "connection far".to_owned(),
            format!("address {far_link}"),
            format!("topic out/# out {quality}"),
            format!("topic in/# in {quality}"),
            "notifications false".to_owned(),
        ];
        start(site, &bridge.join("\n"))
    }

    fn run_role(&self, order: &Order, ends: &Ends) -> Result<()> {
        run_blocking(MosquittoConnector { ends, quality: self.quality }, order)
    }
}

/// Starts a broker on a free port, with further settings.
fn start(site: &Site<'_>, further: &str) -> Result<Joinable> {
    const TRIES: usize = 5;
    let mut tried = 1;
    loop {
        // It takes no port 0, so somebody else may be faster; then it ends at once.
        let address = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?;
        match start_at(site, address.port(), further) {
            Ok(server) => {
                let (clients, link) = (address.to_string(), address.to_string());
                return Ok(Joinable { server, clients, link });
            }
            Err(error) if tried == TRIES => {
                let log = fs::read_to_string(site.room.directory().join("server.log"));
                return Err(error).with_context(|| log.unwrap_or_default());
            }
            Err(_) => tried += 1,
        }
    }
}

fn start_at(site: &Site<'_>, port: u16, further: &str) -> Result<Child> {
    const PATIENCE: Duration = Duration::from_secs(10);
    let program = program::find("mosquitto", "mosquitto").map_err(anyhow::Error::msg)?;
    let at_once = site.cell.workload == WorkloadKind::BridgedRoundTrip;
    let settings = [
        &format!("listener {port} 127.0.0.1"),
        &format!("set_tcp_nodelay {at_once}"),
        "allow_anonymous true",
        // As root it would become another user, whom the kernel does not end with the harness.
        "user root",
        "max_queued_messages 0",
        "max_inflight_messages 0",
        "log_dest stderr",
        "log_type error",
        "log_type warning",
        further,
    ];
    let path = site.room.directory().join("mosquitto.conf");
    fs::write(&path, settings.join("\n") + "\n")?;
    let arguments = ["-c", &path.to_string_lossy()];
    let mut server = Child::server(&program, &arguments, site.core, &site.room)?;
    server.wait_until(PATIENCE, || TcpStream::connect(("127.0.0.1", port)).is_ok())?;
    Ok(server)
}

struct MosquittoConnector<'a> {
    ends: &'a Ends,
    quality: Quality,
}

impl Connector for MosquittoConnector<'_> {
    type Port = MosquittoPort;

    async fn open(&mut self, order: &Order) -> Result<MosquittoPort> {
        let mut connection = Connection::open(&self.ends.own)?;
        let (out, into) = match order.role {
            Role::Pinger => (Some("out/question"), "in/answer".to_owned()),
            Role::Echo => (Some("in/answer"), "out/question".to_owned()),
            Role::Sender => (Some("out/flow"), credit_topic(order.index)),
            _ => (None, "out/flow".to_owned()),
        };
        connection.subscribe(&into, self.quality)?;
        self.await_link(&into)?;
        let credits = (0..order.cell.senders).map(credit_topic);
        Ok(MosquittoPort {
            connection,
            out: out.map(|topic| Outlet::new(topic, self.quality)),
            payload_bytes: order.cell.payload_bytes,
            window: Window::new(order),
            tally: Tally::new(order),
            credits: credits.map(|topic| Outlet::new(&topic, self.quality)).collect(),
        })
    }
}

impl MosquittoConnector<'_> {
    /// Waits until the bridge carries towards us what is named like `topic`: the subscription
    /// is the own broker's matter, and the bridge's are made when it connects.
    fn await_link(&self, topic: &str) -> Result<()> {
        const PAUSE: Duration = Duration::from_millis(10);
        let direction = topic.split('/').next().unwrap_or_default();
        let topic = format!("{direction}/linked/{}", std::process::id());
        let mut own = Connection::open(&self.ends.own)?;
        own.subscribe(&topic, Quality::AtMostOnce)?;
        own.set_patience(PAUSE)?;
        let mut other = Connection::open(&self.ends.other)?;
        let mut outlet = Outlet::new(&topic, Quality::AtMostOnce);
        loop {
            other.publish(&mut outlet, 0, |_| ());
            other.flush()?;
            own.fill()?;
            if own.shown()?.is_some() {
                return Ok(());
            }
        }
    }
}

fn credit_topic(sender: usize) -> String {
    // From far to near, against the messages.
    format!("in/credit/{sender}")
}

struct MosquittoPort {
    /// Subscribed to messages; at the sender of a flow, to confirmations.
    connection: Connection,
    out: Option<Outlet>,
    payload_bytes: usize,
    window: Option<Window>,
    tally: Option<Tally>,
    /// To each sender.
    credits: Vec<Outlet>,
}

impl Port for MosquittoPort {
    #[inline]
    async fn send<F: FnOnce(&mut [u8])>(&mut self, _kind: u32, fill: F) -> Result<()> {
        const BATCH_BYTES: usize = 64 << 10;
        if let Some(window) = &mut self.window {
            if !window.is_open() {
                await_credit(&mut self.connection, window)?;
            }
            window.note_sent();
        }
        let outlet = self.out.as_mut().context("this worker does not send")?;
        self.connection.publish(outlet, self.payload_bytes, fill);
        if self.connection.unwritten() >= BATCH_BYTES {
            self.connection.flush()?;
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<()> {
        self.connection.flush()
    }

    async fn receive<V: FnMut(&[u8]) -> Result<()>>(&mut self, mut visit: V) -> Result<()> {
        let mut visited = 0;
        while visited == 0 {
            self.connection.fill()?;
            let mut due = Vec::new();
            visited = take(&mut self.connection, |message| {
                due.extend(self.tally.as_mut().and_then(|tally| tally.note(message)));
                visit(message)
            })?;
            for (sender, confirmation) in due {
                let outlet = self.credits.get_mut(sender).context("an unknown sender")?;
                let fill = |payload: &mut [u8]| payload.copy_from_slice(&confirmation);
                self.connection.publish(outlet, confirmation.len(), fill);
            }
            // The confirmations of both kinds.
            self.connection.flush()?;
        }
        Ok(())
    }
}

/// Writes what is written so far, and waits until the window is open.
fn await_credit(connection: &mut Connection, window: &mut Window) -> Result<()> {
    connection.flush()?;
    while !window.is_open() {
        connection.fill()?;
        take(connection, |message| window.confirm(message))?;
    }
    connection.flush()
}

/// Shows each message that is there, and confirms it if the broker wants that. Says how many.
fn take(connection: &mut Connection, mut visit: impl FnMut(&[u8]) -> Result<()>) -> Result<usize> {
    let (mut count, mut numbers) = (0, Vec::new());
    while let Some(packet) = connection.shown()? {
        // What else comes is that the broker has taken our own messages.
        if let Packet::Message { number, payload, .. } = packet {
            visit(payload)?;
            count += 1;
            numbers.extend(number);
        }
    }
    numbers.into_iter().for_each(|number| connection.confirm(number));
    Ok(count)
}
