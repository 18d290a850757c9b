//! What the blocking and the tokio sockets have in common: who listens, how the others
//! find it, how messages lie in buffers.
//!
//! Messages have one size in a run, so they need no length in front: these are the
//! barest streams possible, a baseline that any framing can only lose against.
//! Invariant: buffers hold a whole number of messages, so none is ever moved.

use std::fs;
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::cell::{Order, Role};
use crate::machine;

/// Bytes that a batching sender collects and a receiver asks for.
pub const BATCH_BYTES: usize = 64 << 10;

/// Unix or TCP. Both stand in the room's directory, the latter by its port's number.
pub trait Family {
    /// A connection.
    type Stream: Send;
    /// What accepts them.
    type Listener;

    /// Listens, and lets connectors know.
    fn listen(directory: &Path) -> Result<Self::Listener>;
    /// Takes the next connection.
    fn accept(listener: &Self::Listener) -> Result<Self::Stream>;
    /// Connects, if the listener is there already.
    fn connect(directory: &Path) -> io::Result<Self::Stream>;
}

/// Unix stream sockets.
pub struct Unix;

impl Family for Unix {
    type Stream = UnixStream;
    type Listener = UnixListener;

    fn listen(directory: &Path) -> Result<UnixListener> {
        UnixListener::bind(directory.join("socket")).context("binding the socket")
    }

    fn accept(listener: &UnixListener) -> Result<UnixStream> {
        Ok(listener.accept()?.0)
    }

    fn connect(directory: &Path) -> io::Result<UnixStream> {
        UnixStream::connect(directory.join("socket"))
    }
}

/// TCP over loopback, without Nagle's delay.
pub struct Tcp;

impl Family for Tcp {
    type Stream = TcpStream;
    type Listener = TcpListener;

    fn listen(directory: &Path) -> Result<TcpListener> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("binding a port")?;
        let port = listener.local_addr()?.port();
        // Renamed into place, so that nobody reads half a number.
        fs::write(directory.join("port.new"), port.to_string())?;
        fs::rename(directory.join("port.new"), directory.join("port"))?;
        Ok(listener)
    }

    fn accept(listener: &TcpListener) -> Result<TcpStream> {
        let (stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    fn connect(directory: &Path) -> io::Result<TcpStream> {
        let port = fs::read_to_string(directory.join("port"))?;
        let port: u16 = port.parse().map_err(io::Error::other)?;
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

/// Opens the connections that a role needs: the side that is alone listens.
pub fn open<F: Family>(order: &Order) -> Result<Vec<F::Stream>> {
    let directory = Path::new(&order.address);
    match listens_for(order) {
        Some(count) => {
            let listener = F::listen(directory)?;
            (0..count).map(|_| F::accept(&listener)).collect()
        }
        None => Ok(vec![connect_patiently::<F>(directory, order)?]),
    }
}

/// How many connections the role accepts; none if it connects itself.
fn listens_for(order: &Order) -> Option<usize> {
    let cell = &order.cell;
    match order.role {
        Role::Echo => Some(1),
        Role::Receiver if cell.receivers == 1 => Some(cell.senders),
        Role::Sender if cell.receivers > 1 => Some(cell.receivers),
        _ => None,
    }
}

/// The listener may not have come so far yet.
pub fn connect_patiently<F: Family>(directory: &Path, order: &Order) -> Result<F::Stream> {
    let deadline = Instant::now() + Duration::from_millis(order.timing.patience_ms);
    loop {
        match F::connect(directory) {
            Ok(stream) => return Ok(stream),
            Err(error) => {
                let early = [ErrorKind::NotFound, ErrorKind::ConnectionRefused];
                if !early.contains(&error.kind()) || Instant::now() > deadline {
                    return Err(error).context("connecting");
                }
            }
        }
        machine::pause(Duration::from_millis(1));
    }
}

/// Messages on their way out.
pub struct Outgoing {
    buffer: Box<[u8]>,
    payload_bytes: usize,
    filled: usize,
}

impl Outgoing {
    /// Holds one message, or as many as fit into a batch.
    pub fn new(payload_bytes: usize, batched: bool) -> Outgoing {
        let count = if batched { messages_of_batch(payload_bytes) } else { 1 };
        let buffer = vec![0; payload_bytes * count].into_boxed_slice();
        Outgoing { buffer, payload_bytes, filled: 0 }
    }

    /// Takes one message; tells whether the buffer must now be written.
    #[inline]
    pub fn push(&mut self, fill: impl FnOnce(&mut [u8])) -> bool {
        let end = self.filled + self.payload_bytes;
        fill(&mut self.buffer[self.filled..end]);
        self.filled = end;
        self.filled == self.buffer.len()
    }

    /// What must be written, all of it.
    pub fn take(&mut self) -> &[u8] {
        &self.buffer[..std::mem::take(&mut self.filled)]
    }
}

/// Messages on their way in.
pub struct Incoming {
    buffer: Box<[u8]>,
    payload_bytes: usize,
    read: usize,
    shown: usize,
}

impl Incoming {
    /// Holds one message, or as many as fit into a batch.
    pub fn new(payload_bytes: usize) -> Incoming {
        let bytes = payload_bytes * messages_of_batch(payload_bytes);
        Incoming { buffer: vec![0; bytes].into_boxed_slice(), payload_bytes, read: 0, shown: 0 }
    }

    /// Where to read to; never empty, since whatever is whole has been shown.
    pub fn room(&mut self) -> &mut [u8] {
        if self.shown == self.read {
            (self.shown, self.read) = (0, 0);
        }
        &mut self.buffer[self.read..]
    }

    /// Notes that so much was read and shows what is now whole; tells whether that was anything.
    #[inline]
    pub fn show(
        &mut self,
        count: usize,
        visit: &mut impl FnMut(&[u8]) -> Result<()>,
    ) -> Result<bool> {
        if count == 0 {
            return Err(io::Error::from(ErrorKind::UnexpectedEof)).context("the peer is gone");
        }
        self.read += count;
        let before = self.shown;
        for message in self.buffer[self.shown..self.read].chunks_exact(self.payload_bytes) {
            visit(message)?;
            self.shown += self.payload_bytes;
        }
        Ok(self.shown > before)
    }
}

fn messages_of_batch(payload_bytes: usize) -> usize {
    (BATCH_BYTES / payload_bytes).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_survive_reads_that_split_them() {
        let mut incoming = Incoming::new(48);
        let stream: Vec<u8> = (0..48 * 5000_usize).map(|at| (at / 48) as u8).collect();
        let (mut at, mut messages) = (0, 0_usize);
        while at < stream.len() {
            let room = incoming.room();
            let count = room.len().min(1000 + at % 977).min(stream.len() - at);
            room[..count].copy_from_slice(&stream[at..at + count]);
            at += count;
            let mut visit = |message: &[u8]| {
                assert_eq!(message, [messages as u8; 48]);
                messages += 1;
                Ok(())
            };
            incoming.show(count, &mut visit).unwrap();
        }
        assert_eq!(messages, 5000);
    }

    #[test]
    fn a_batch_is_due_when_no_further_message_fits() {
        let mut outgoing = Outgoing::new(1000, true);
        let due = (0..100).position(|_| outgoing.push(|message| message.fill(1)));
        assert_eq!(due, Some(64));
        assert_eq!(outgoing.take().len(), 65_000);
        assert!(outgoing.take().is_empty());
        assert!(Outgoing::new(1000, false).push(|_| ()));
    }
}
