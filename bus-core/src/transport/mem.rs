//! Links inside one process: a bounded pipe in each direction.
//!
//! For embedding and tests. It behaves as a socket does: it is bounded, it ends when either
//! side is dropped, and what was written before the end can still be read. Invariant: neither
//! side copies bytes while the other one could wait for it.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};
use tokio::sync::mpsc;

use super::{Link, Peer, Transport};
use crate::limits::READ_BYTES;
use crate::sys::{Credentials, effective_gid, effective_uid};

/// Bytes that a pipe holds.
const PIPE_BYTES: usize = 256 * 1024;
/// Connections that wait to be accepted.
const BACKLOG: usize = 128;

#[derive(Default)]
struct Pipe {
    content: VecDeque<Bytes>,
    length: usize,
    closed: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

/// One direction, shared by its two ends.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Pipe>>);

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Pipe> {
        // Nothing in here can panic halfway through a change.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close(&self) {
        let mut pipe = self.lock();
        pipe.closed = true;
        let wakers = [pipe.reader.take(), pipe.writer.take()];
        drop(pipe);
        wakers.into_iter().flatten().for_each(Waker::wake);
    }
}

struct MemLink {
    incoming: Shared,
    /// Between reads it is empty.
    taken: Vec<Bytes>,
    outgoing: Shared,
    peer: Peer,
}

impl Link for MemLink {
    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut pipe = self.incoming.lock();
        if pipe.length > 0 || pipe.closed {
            return Poll::Ready(Ok(()));
        }
        pipe.reader = Some(cx.waker().clone());
        Poll::Pending
    }

    fn try_read(&mut self, buffer: &mut BytesMut) -> io::Result<usize> {
        if buffer.capacity() == buffer.len() {
            buffer.reserve(READ_BYTES);
        }
        let mut room = buffer.capacity() - buffer.len();
        let mut pipe = self.incoming.lock();
        let closed = pipe.closed;
        while let Some(first) = pipe.content.front_mut().filter(|_| room > 0) {
            let part = first.split_to(first.len().min(room));
            if first.is_empty() {
                pipe.content.pop_front();
            }
            pipe.length -= part.len();
            room -= part.len();
            self.taken.push(part);
        }
        if self.taken.is_empty() && !closed {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let writer = pipe.writer.take();
        drop(pipe);
        writer.into_iter().for_each(Waker::wake);
        // The other side may be more urgent than this one: it does not wait while bytes are copied.
        let before = buffer.len();
        self.taken.drain(..).for_each(|part| buffer.extend_from_slice(&part));
        Ok(buffer.len() - before)
    }

    fn poll_writable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut pipe = self.outgoing.lock();
        if pipe.length < PIPE_BYTES || pipe.closed {
            return Poll::Ready(Ok(()));
        }
        pipe.writer = Some(cx.waker().clone());
        Poll::Pending
    }

    fn try_write(&mut self, slices: &[Bytes]) -> io::Result<usize> {
        let mut pipe = self.outgoing.lock();
        if pipe.closed {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let mut count = 0;
        for slice in slices.iter().filter(|slice| !slice.is_empty()) {
            let part = slice.len().min(PIPE_BYTES.saturating_sub(pipe.length));
            if part == 0 {
                break;
            }
            pipe.content.push_back(slice.slice(..part));
            pipe.length += part;
            count += part;
        }
        if count == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let reader = pipe.reader.take();
        drop(pipe);
        reader.into_iter().for_each(Waker::wake);
        Ok(count)
    }

    fn transport(&self) -> Transport {
        Transport::Mem
    }

    fn peer(&self) -> &Peer {
        &self.peer
    }
}

impl Drop for MemLink {
    fn drop(&mut self) {
        self.incoming.close();
        self.outgoing.close();
    }
}

/// Two ends of one connection.
pub fn mem_pair() -> (Box<dyn Link>, Box<dyn Link>) {
    let (there, back) = (Shared::default(), Shared::default());
    // This process vouches for itself.
    let credentials = Credentials {
        pid: Some(std::process::id()),
        uid: effective_uid(),
        gid: effective_gid(),
        groups: Vec::new(),
    };
    let peer = Peer { credentials: Some(credentials), address: "mem:".into(), ..Peer::default() };
    let end = |incoming: &Shared, outgoing: &Shared| -> Box<dyn Link> {
        let (incoming, outgoing) = (incoming.clone(), outgoing.clone());
        Box::new(MemLink { incoming, taken: Vec::new(), outgoing, peer: peer.clone() })
    };
    (end(&back, &there), end(&there, &back))
}

/// Accepts connections from inside the process.
pub struct MemListener(mpsc::Receiver<Box<dyn Link>>);

/// Makes connections to a [`MemListener`].
#[derive(Clone)]
pub struct MemConnector(mpsc::Sender<Box<dyn Link>>);

/// A listener, and what connects to it.
pub fn mem_listener() -> (MemConnector, MemListener) {
    let (sender, receiver) = mpsc::channel(BACKLOG);
    (MemConnector(sender), MemListener(receiver))
}

impl MemConnector {
    /// Connects.
    ///
    /// # Errors
    /// `ConnectionRefused` when the listener is gone.
    pub async fn connect(&self) -> io::Result<Box<dyn Link>> {
        let (near, far) = mem_pair();
        match self.0.send(far).await {
            Ok(()) => Ok(near),
            Err(_) => Err(io::ErrorKind::ConnectionRefused.into()),
        }
    }
}

impl MemListener {
    /// The next connection; none when all connectors are gone. Cancelling loses none.
    pub async fn accept(&mut self) -> Option<Box<dyn Link>> {
        self.0.recv().await
    }
}

/// Brokers of this process, by the name behind `mem:`.
static BROKERS: Mutex<BTreeMap<String, MemConnector>> = Mutex::new(BTreeMap::new());
static NEXT_BROKER: Mutex<u64> = Mutex::new(0);

/// Gives a broker of this process a URL.
pub fn register_mem(connector: MemConnector) -> String {
    let mut next = NEXT_BROKER.lock().unwrap_or_else(PoisonError::into_inner);
    *next += 1;
    let name = next.to_string();
    BROKERS.lock().unwrap_or_else(PoisonError::into_inner).insert(name.clone(), connector);
    format!("mem:{name}")
}

/// Takes the URL away again.
pub fn unregister_mem(url: &str) {
    let name = url.strip_prefix("mem:").unwrap_or(url);
    BROKERS.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
}

/// Connects to the broker of this process with that name.
///
/// # Errors
/// `NotFound` when there is none.
pub async fn connect_mem(name: &str) -> io::Result<Box<dyn Link>> {
    let connector = BROKERS.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned();
    match connector {
        Some(connector) => connector.connect().await,
        None => Err(io::Error::new(
            io::ErrorKind::NotFound,
            format!("no broker `mem:{name}` in this process"),
        )),
    }
}
