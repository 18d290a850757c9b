//! Zenoh through a router: this program again with a session in router mode, which is what `zenohd`
//! is, and clients in client mode; over TCP on loopback, and over a Unix socket.
//!
//! Scouting is off, since everybody knows the router. Publishers block when congested, so nothing is
//! dropped; they are express where one message is waited for, and batch adaptively otherwise.
//! Subscribers have a callback. A publisher first sends probes, one byte each, until all
//! who must hear it have answered: only then has the network learnt of their subscriptions.

use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bus_benches::cell::{Cell, Order, Role, WorkloadKind};
use bus_benches::child::run_blocking;
use bus_benches::contender::{Connector, Contender, Environment, Port};
use bus_benches::machine;
use bus_benches::process::Room;
use zenoh::pubsub::{Publisher, Subscriber};
use zenoh::qos::CongestionControl;
use zenoh::sample::Sample;
use zenoh::{Config, Session, Wait};

use crate::buffers::Buffers;
use crate::inbox::Inbox;
use crate::{own_server, rival};

/// One way to reach the router.
pub struct ZenohRouter {
    name: &'static str,
    about: &'static str,
    transport: Transport,
}

#[derive(Clone, Copy)]
enum Transport {
    Tcp,
    Unix,
}

/// All of them.
pub fn all() -> [ZenohRouter; 2] {
    [
        ZenohRouter {
            name: "zenoh",
            about: "Zenoh through a router, TCP on loopback, blocking when congested",
            transport: Transport::Tcp,
        },
        ZenohRouter {
            name: "zenoh-unix",
            about: "Zenoh through a router, Unix sockets, blocking when congested",
            transport: Transport::Unix,
        },
    ]
}

impl Contender for ZenohRouter {
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
        let directory = room.directory().to_string_lossy();
        let endpoint = match self.transport {
            // The router does not tell which port it got, so one that is free just now is chosen.
            Transport::Tcp => {
                let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
                format!("tcp/127.0.0.1:{port}")
            }
            Transport::Unix => format!("unixsock-stream/{directory}/zenoh"),
        };
        let address = format!("{endpoint} {directory}");
        let server = own_server::start(self.name, &address, cell, room)?;
        Ok(Environment { server: Some(server), ..Environment::of_address(address) })
    }

    fn run_role(&self, order: &Order) -> Result<()> {
        let (endpoint, directory) = order.address.split_once(' ').context("no endpoint")?;
        match order.role {
            Role::Keeper => serve(endpoint, Path::new(directory)),
            _ => run_blocking(ZenohConnector { endpoint: endpoint.to_owned() }, order),
        }
    }
}

/// A session of this mode, with `endpoint` in that setting.
fn open(mode: &str, setting: &str, endpoint: &str) -> Result<Session> {
    let mut config = Config::default();
    let settings = [
        ("mode", format!("{mode:?}")),
        (setting, format!("[{endpoint:?}]")),
        ("scouting/multicast/enabled", "false".to_owned()),
        ("scouting/gossip/enabled", "false".to_owned()),
    ];
    for (key, value) in settings {
        config.insert_json5(key, &value).map_err(anyhow::Error::from_boxed)?;
    }
    zenoh::open(config).wait().map_err(anyhow::Error::from_boxed)
}

/// The router, until it is killed.
fn serve(endpoint: &str, directory: &Path) -> Result<()> {
    let _session = open("router", "listen/endpoints", endpoint)?;
    own_server::say_ready(directory)?;
    loop {
        std::thread::park();
    }
}

struct ZenohConnector {
    endpoint: String,
}

impl Connector for ZenohConnector {
    type Port = ZenohPort;

    async fn open(&mut self, order: &Order) -> Result<ZenohPort> {
        let session = open("client", "connect/endpoints", &self.endpoint)?;
        let (out, into) = match order.role {
            Role::Pinger => (Some("question"), Some("answer")),
            Role::Echo => (Some("answer"), Some("question")),
            Role::Sender => (Some("flow"), None),
            _ => (None, Some("flow")),
        };
        let incoming = match into {
            Some(key) => Some(Incoming::open(&session, key, order)?),
            None => None,
        };
        let publisher = match out {
            Some(key) => Some(publisher(&session, key, order)?),
            None => None,
        };
        Ok(ZenohPort {
            publisher,
            incoming,
            buffers: Buffers::new(order.cell.payload_bytes),
            patience: Duration::from_millis(order.timing.patience_ms),
            _session: session,
        })
    }
}

/// Where those who heard a probe of the publisher number `index` on `key` say so.
fn heard_key(key: &str, index: u8) -> String {
    format!("heard/{key}/{index}")
}

/// Whether a message is a probe: a single byte, the publisher's number.
fn probe(sample: &Sample) -> Option<u8> {
    (sample.payload().len() == 1).then(|| sample.payload().to_bytes()[0])
}

/// A publisher whose subscribers are all known to the network.
fn publisher(session: &Session, key: &'static str, order: &Order) -> Result<Publisher<'static>> {
    let patience = Duration::from_millis(order.timing.patience_ms);
    let deadline = Instant::now() + patience;
    let express = order.cell.workload == WorkloadKind::RoundTrip;
    let publisher = session
        .declare_publisher(key)
        .congestion_control(CongestionControl::Block)
        .express(express)
        .wait()
        .map_err(anyhow::Error::from_boxed)?;
    let listeners = if key == "flow" { order.cell.receivers } else { 1 };
    let index = order.index as u8;
    let heard = session.declare_subscriber(heard_key(key, index)).wait();
    let heard = heard.map_err(anyhow::Error::from_boxed)?;
    let mut known = vec![false; listeners];
    while known.iter().any(|known| !known) {
        ensure!(Instant::now() < deadline, "not all listeners answered within {patience:?}");
        publisher.put(vec![index]).wait().map_err(anyhow::Error::from_boxed)?;
        machine::pause(Duration::from_millis(2));
        while let Ok(Some(answer)) = heard.try_recv() {
            let index = answer.payload().to_bytes().first().copied().unwrap_or_default();
            *known.get_mut(usize::from(index)).context("an unknown listener")? = true;
        }
    }
    Ok(publisher)
}

/// A subscription, and what came of it.
struct Incoming {
    inbox: Arc<Inbox<Sample>>,
    batch: Vec<Sample>,
    _subscriber: Subscriber<()>,
}

impl Incoming {
    /// Subscribes to `key` and answers every probe from then on.
    fn open(session: &Session, key: &str, order: &Order) -> Result<Incoming> {
        const BYTES: usize = 16 << 20;
        const MANY: usize = 1024;
        const FEW: usize = 4;
        let max = (BYTES / order.cell.payload_bytes).clamp(FEW, MANY);
        let inbox = Arc::new(Inbox::new(max));
        let (own, index, full) = (session.clone(), order.index as u8, Arc::clone(&inbox));
        let own_key = key.to_owned();
        let subscriber = session
            .declare_subscriber(key.to_owned())
            .callback(move |sample| match probe(&sample) {
                // An answer that gets lost is asked for again.
                Some(of) => drop(own.put(heard_key(&own_key, of), vec![index]).wait()),
                None => full.put(sample),
            })
            .wait()
            .map_err(anyhow::Error::from_boxed)?;
        Ok(Incoming { inbox, batch: Vec::with_capacity(max), _subscriber: subscriber })
    }
}

struct ZenohPort {
    publisher: Option<Publisher<'static>>,
    incoming: Option<Incoming>,
    buffers: Buffers,
    patience: Duration,
    _session: Session,
}

impl Port for ZenohPort {
    #[inline]
    async fn send<F: FnOnce(&mut [u8])>(&mut self, _kind: u32, fill: F) -> Result<()> {
        let publisher = self.publisher.as_ref().context("this worker does not send")?;
        let payload = self.buffers.payload(fill);
        publisher.put(payload).wait().map_err(anyhow::Error::from_boxed)
    }

    /// The session's own threads send.
    async fn flush(&mut self) -> Result<()> {
        Ok(())
    }

    async fn receive<V: FnMut(&[u8]) -> Result<()>>(&mut self, mut visit: V) -> Result<()> {
        let incoming = self.incoming.as_mut().context("this worker does not receive")?;
        incoming.inbox.take(&mut incoming.batch, self.patience)?;
        incoming.batch.drain(..).try_for_each(|sample| visit(&sample.payload().to_bytes()))
    }
}
