//! ZeroMQ over Unix sockets (`ipc`), with the system's libzmq.
//!
//! PUSH and PULL, which never drop; where all receivers get everything, XPUB and SUB with
//! `XPUB_NODROP`, so that it holds the sender back instead of dropping. High-water marks are the
//! usual 1,000 messages, or fewer large ones. There is no server.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bus_benches::cell::{Cell, Order, Role, WorkloadKind};
use bus_benches::child::run_blocking;
use bus_benches::contender::{Connector, Contender, Environment, Port};
use bus_benches::machine;
use bus_benches::process::Room;
use zmq::{Context as Sockets, DONTWAIT, Message, Socket, SocketType};

use crate::rival;

/// See the module.
pub struct ZeroMq;

impl Contender for ZeroMq {
    fn name(&self) -> &str {
        "zeromq"
    }

    fn about(&self) -> &str {
        "ZeroMQ over Unix sockets: PUSH and PULL; XPUB that drops nothing where all get everything"
    }

    fn supports(&self, cell: &Cell) -> Result<(), String> {
        rival::brokerless_supports(cell)
    }

    fn prepare(&self, _: &Cell, room: &Room) -> Result<Environment> {
        Ok(Environment::of_address(room.directory().to_string_lossy()))
    }

    fn run_role(&self, order: &Order) -> Result<()> {
        run_blocking(ZeroMqConnector, order)
    }
}

struct ZeroMqConnector;

impl Connector for ZeroMqConnector {
    type Port = ZeroMqPort;

    async fn open(&mut self, order: &Order) -> Result<ZeroMqPort> {
        let maker = Maker { sockets: Sockets::new(), order };
        let fan_out = order.cell.workload == WorkloadKind::FanOut;
        let (outgoing, incoming) = match order.role {
            Role::Pinger => {
                let incoming = maker.bound(SocketType::PULL, "answer")?;
                (Some(maker.connected(SocketType::PUSH, "question")?), Some(incoming))
            }
            Role::Echo => {
                let incoming = maker.bound(SocketType::PULL, "question")?;
                (Some(maker.connected(SocketType::PUSH, "answer")?), Some(incoming))
            }
            Role::Sender if fan_out => (Some(maker.publisher("flow")?), None),
            Role::Sender => (Some(maker.connected(SocketType::PUSH, "flow")?), None),
            Role::Receiver if fan_out => (None, Some(maker.connected(SocketType::SUB, "flow")?)),
            Role::Receiver => (None, Some(maker.bound(SocketType::PULL, "flow")?)),
            other => bail!("a {other:?} has no sockets"),
        };
        let payload_bytes = order.cell.payload_bytes;
        Ok(ZeroMqPort { outgoing, incoming, payload_bytes, message: Message::new() })
    }
}

/// Makes a role's sockets.
struct Maker<'order> {
    sockets: Sockets,
    order: &'order Order,
}

impl Maker<'_> {
    fn socket(&self, kind: SocketType) -> Result<Socket> {
        const USUAL: usize = 1_000;
        const BYTES: usize = 16 << 20;
        const FEW: usize = 4;
        let mark = (BYTES / self.order.cell.payload_bytes).clamp(FEW, USUAL) as i32;
        let socket = self.sockets.socket(kind)?;
        socket.set_sndhwm(mark)?;
        socket.set_rcvhwm(mark)?;
        Ok(socket)
    }

    fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.order.address)
    }

    fn bound(&self, kind: SocketType, name: &str) -> Result<Socket> {
        let socket = self.socket(kind)?;
        socket.bind(&format!("ipc://{}", self.path(name)))?;
        Ok(socket)
    }

    /// Connects when the other side is there: else the library would look again only later.
    fn connected(&self, kind: SocketType, name: &str) -> Result<Socket> {
        let path = self.path(name);
        let deadline = Instant::now() + Duration::from_millis(self.order.timing.patience_ms);
        while !Path::new(&path).exists() {
            ensure!(Instant::now() < deadline, "nobody listens at {path}");
            machine::pause(Duration::from_millis(1));
        }
        let socket = self.socket(kind)?;
        socket.connect(&format!("ipc://{path}"))?;
        if kind == SocketType::SUB {
            socket.set_subscribe(b"")?;
        }
        Ok(socket)
    }

    /// A publisher that knows all its subscribers and waits for the slowest of them.
    fn publisher(&self, name: &str) -> Result<Socket> {
        let mut socket = self.socket(SocketType::XPUB)?;
        socket.set_xpub_verbose(true)?;
        hold_back(&mut socket)?;
        socket.bind(&format!("ipc://{}", self.path(name)))?;
        for _ in 0..self.order.cell.receivers {
            let subscription = socket.recv_msg(0)?;
            ensure!(subscription[..] == [1], "{:?} is no subscription", &subscription[..]);
        }
        Ok(socket)
    }
}

/// Sets `XPUB_NODROP`, which the safe interface lacks.
fn hold_back(socket: &mut Socket) -> Result<()> {
    let yes: libc::c_int = 1;
    let (option, size) = (zmq_sys::ZMQ_XPUB_NODROP as libc::c_int, size_of_val(&yes));
    // SAFETY: the socket is open as long as it is borrowed, and the library copies the int out of
    // `yes`, whose size it is told, before it returns.
    let code = unsafe {
        zmq_sys::zmq_setsockopt(socket.as_mut_ptr(), option, (&raw const yes).cast(), size)
    };
    ensure!(code == 0, "setting XPUB_NODROP: {}", std::io::Error::last_os_error());
    Ok(())
}

struct ZeroMqPort {
    outgoing: Option<Socket>,
    incoming: Option<Socket>,
    payload_bytes: usize,
    /// The last one received, whose memory the library takes back with the next.
    message: Message,
}

impl Port for ZeroMqPort {
    #[inline]
    async fn send<F: FnOnce(&mut [u8])>(&mut self, _kind: u32, fill: F) -> Result<()> {
        let outgoing = self.outgoing.as_ref().context("this worker does not send")?;
        let mut message = Message::with_size(self.payload_bytes);
        fill(&mut message);
        outgoing.send(message, 0)?;
        Ok(())
    }

    /// The library's own thread sends.
    async fn flush(&mut self) -> Result<()> {
        Ok(())
    }

    async fn receive<V: FnMut(&[u8]) -> Result<()>>(&mut self, mut visit: V) -> Result<()> {
        const BATCH: usize = 256;
        let incoming = self.incoming.as_ref().context("this worker does not receive")?;
        incoming.recv(&mut self.message, 0)?;
        visit(&self.message)?;
        for _ in 1..BATCH {
            match incoming.recv(&mut self.message, DONTWAIT) {
                Ok(()) => visit(&self.message)?,
                Err(zmq::Error::EAGAIN) => break,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}
