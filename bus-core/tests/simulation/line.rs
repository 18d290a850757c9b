//! One connection: two pipes, and what the broker's end of it knows.

use bus_core::router::SessionId;
use bus_core::{Decoder, Time};
use bytes::Bytes;

use crate::dice::Dice;
use crate::pipe::Pipe;
use crate::plan::Plan;

/// A connection.
#[derive(Debug)]
pub struct Line {
    pub client: usize,
    pub process: u64,
    /// From the client to the broker.
    pub up: Pipe,
    pub down: Pipe,
    pub decoder: Decoder,
    /// The broker's end.
    pub end: End,
    /// What the broker sends before everything else: the Welcome.
    pub prefix: Bytes,
    /// When each side writes what it has.
    pub flush_up: Option<Time>,
    pub flush_down: Option<Time>,
    /// The client's process is gone, and the broker gets to know it.
    pub crashed: bool,
}

/// How far the broker is with a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Hello,
    Session(SessionId),
    Closed,
}

impl Line {
    pub fn new(client: usize, process: u64, plan: &Plan) -> Line {
        Line {
            client,
            process,
            up: Pipe::new(plan.pace),
            down: Pipe::new(plan.pace),
            decoder: Decoder::for_handshake(),
            end: End::Hello,
            prefix: Bytes::new(),
            flush_up: None,
            flush_down: None,
            crashed: false,
        }
    }

    /// Cuts it somewhere. Each side notices in its own time.
    pub fn cut(&mut self, now: Time, dice: &mut Dice, plan: &Plan) {
        self.up.cut(now, dice, plan.broker_notice);
        self.down.cut(now, dice, plan.peace);
        (self.flush_up, self.flush_down) = (None, None);
    }

    /// The broker has nothing to do with it any more.
    pub fn close_broker_end(&mut self, now: Time) {
        self.end = End::Closed;
        self.prefix = Bytes::new();
        self.flush_down = None;
        self.down.close(now);
    }
}
