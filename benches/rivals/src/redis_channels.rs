//! Redis channels over a Unix socket, with the blocking `redis` client.
//!
//! Publishing is pipelined, as its documents advise: up to 256 commands go in one write, then
//! their replies are read, each of which says how many subscribers the message reached. The
//! server keeps for a slow subscriber what it cannot take, up to a limit at which it would cut the
//! connection; that limit is lifted, and a window of credit bounds it instead.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use bus_benches::cell::{Cell, Order, Role, WorkloadKind};
use bus_benches::child::run_blocking;
use bus_benches::contender::{Connector, Contender, Environment, Port};
use bus_benches::process::{Child, Room};
use redis::{Client, Connection, Value, cmd};

use crate::credit::{Tally, Window, window_messages};
use crate::{program, rival};

/// See the module.
pub struct Redis;

impl Contender for Redis {
    fn name(&self) -> &str {
        "redis"
    }

    fn about(&self) -> &str {
        "Redis channels over a Unix socket, 256 commands a pipeline, under a window of credit"
    }

    fn supports(&self, cell: &Cell) -> Result<(), String> {
        program::find("redis-server", "redis-server")?;
        rival::broker_supports(cell)
    }

    fn prepare(&self, cell: &Cell, room: &Room) -> Result<Environment> {
        const PATIENCE: Duration = Duration::from_secs(10);
        let program = program::find("redis-server", "redis-server").map_err(anyhow::Error::msg)?;
        let socket = room.directory().join("redis");
        // One line for each setting; the server reads it once.
        let settings = [
            "port 0".to_owned(),
            format!("unixsocket {}", socket.display()),
            format!("dir {}", room.directory().display()),
            "save \"\"".to_owned(),
            "appendonly no".to_owned(),
            "client-output-buffer-limit pubsub 0 0 0".to_owned(),
        ];
        let path = room.directory().join("redis.conf");
        fs::write(&path, settings.join("\n") + "\n")?;
        let core = cell.pinning.core_of_server(room.cores());
        let mut server = Child::server(&program, &[&path.to_string_lossy()], core, room)?;
        let address = format!("redis+unix://{}", socket.display());
        let client = Client::open(address.as_str())?;
        server.wait_until(PATIENCE, || client.get_connection().is_ok())?;
        Ok(Environment { server: Some(server), ..Environment::of_address(address) })
    }

    fn run_role(&self, order: &Order) -> Result<()> {
        run_blocking(RedisConnector, order)
    }
}

struct RedisConnector;

impl Connector for RedisConnector {
    type Port = RedisPort;

    async fn open(&mut self, order: &Order) -> Result<RedisPort> {
        let client = Client::open(order.address.as_str())?;
        let (out, into) = match order.role {
            Role::Pinger => (Some("question"), "answer".to_owned()),
            Role::Echo => (Some("answer"), "question".to_owned()),
            Role::Sender => (Some("flow"), credit_channel(order.index)),
            _ => (None, "flow".to_owned()),
        };
        let mut incoming = client.get_connection()?;
        incoming.send_packed_command(&cmd("SUBSCRIBE").arg(&into).get_packed_command())?;
        incoming.recv_response().context("subscribing")?;
        // Whoever only receives still tells the sender; who is idle does nothing at all.
        let outgoing = match order.role {
            Role::Idler => None,
            _ => Some(client.get_connection()?),
        };
        Ok(RedisPort {
            incoming,
            outgoing,
            pipeline: Pipeline::new(out.unwrap_or_default(), order),
            window: Window::new(order),
            tally: Tally::new(order),
        })
    }
}

fn credit_channel(sender: usize) -> String {
    format!("credit.{sender}")
}

struct RedisPort {
    /// Subscribed to messages; at the sender of a flow, to confirmations.
    incoming: Connection,
    outgoing: Option<Connection>,
    pipeline: Pipeline,
    window: Option<Window>,
    tally: Option<Tally>,
}

impl Port for RedisPort {
    #[inline]
    async fn send<F: FnOnce(&mut [u8])>(&mut self, _kind: u32, fill: F) -> Result<()> {
        while self.window.as_ref().is_some_and(|window| !window.is_open()) {
            self.flush_pipeline()?;
            let confirmation = next_message(&mut self.incoming)?;
            if let Some(window) = &mut self.window {
                window.confirm(&confirmation)?;
            }
        }
        self.window.iter_mut().for_each(Window::note_sent);
        if self.pipeline.push(fill) { self.flush_pipeline() } else { Ok(()) }
    }

    async fn flush(&mut self) -> Result<()> {
        self.flush_pipeline()
    }

    async fn receive<V: FnMut(&[u8]) -> Result<()>>(&mut self, mut visit: V) -> Result<()> {
        let message = next_message(&mut self.incoming)?;
        visit(&message)?;
        if let Some((sender, confirmation)) =
            self.tally.as_mut().and_then(|tally| tally.note(&message))
        {
            let outgoing = self.outgoing.as_mut().context("this worker does not send")?;
            let reached: usize =
                cmd("PUBLISH").arg(credit_channel(sender)).arg(&confirmation).query(outgoing)?;
            ensure!(reached == 1, "a confirmation reached {reached} senders");
        }
        Ok(())
    }
}

impl RedisPort {
    fn flush_pipeline(&mut self) -> Result<()> {
        let outgoing = self.outgoing.as_mut().context("this worker does not send")?;
        self.pipeline.run(outgoing)
    }
}

/// Commands that are not written yet.
struct Pipeline {
    /// Of a command: all that stands before its payload.
    head: Vec<u8>,
    payload_bytes: usize,
    commands: Vec<u8>,
    count: usize,
    count_max: usize,
    /// Subscribers that each message must reach.
    receivers: i64,
}

impl Pipeline {
    /// Publishes to `channel`, one by one or as many at a time as its documents call reasonable.
    fn new(channel: &str, order: &Order) -> Pipeline {
        const COMMANDS: usize = 256;
        const BYTES: usize = 1 << 20;
        let cell = &order.cell;
        let half_window = (window_messages(cell.payload_bytes) / 2) as usize;
        let count_max = match cell.workload {
            WorkloadKind::RoundTrip => 1,
            _ => (BYTES / cell.payload_bytes).clamp(1, COMMANDS).min(half_window),
        };
        let (length, bytes) = (channel.len(), cell.payload_bytes);
        let head = format!("*3\r\n$7\r\nPUBLISH\r\n${length}\r\n{channel}\r\n${bytes}\r\n");
        let receivers = match cell.workload {
            WorkloadKind::FanOut => cell.receivers as i64,
            _ => 1,
        };
        let (head, commands) = (head.into_bytes(), Vec::new());
        Pipeline { head, payload_bytes: bytes, commands, count: 0, count_max, receivers }
    }

    /// Adds one; tells whether they must now be written.
    #[inline]
    fn push(&mut self, fill: impl FnOnce(&mut [u8])) -> bool {
        self.commands.extend_from_slice(&self.head);
        let begin = self.commands.len();
        self.commands.resize(begin + self.payload_bytes, 0);
        fill(&mut self.commands[begin..]);
        self.commands.extend_from_slice(b"\r\n");
        self.count += 1;
        self.count >= self.count_max
    }

    /// Writes all, and reads what came of each.
    fn run(&mut self, connection: &mut Connection) -> Result<()> {
        if self.count > 0 {
            connection.send_packed_command(&self.commands)?;
        }
        self.commands.clear();
        for _ in 0..std::mem::take(&mut self.count) {
            let reached = connection.recv_response()?;
            let expected = Value::Int(self.receivers);
            ensure!(reached == expected, "a message reached {reached:?}, not {expected:?}");
        }
        Ok(())
    }
}

/// The payload of the next message of a subscribed connection.
fn next_message(connection: &mut Connection) -> Result<Vec<u8>> {
    let Value::Array(parts) = connection.recv_response()? else { bail!("not a message") };
    let kind = parts.first();
    ensure!(kind == Some(&Value::BulkString(b"message".to_vec())), "{kind:?} is no message");
    match parts.into_iter().nth(2) {
        Some(Value::BulkString(payload)) => Ok(payload),
        other => bail!("{other:?} is no payload"),
    }
}
