//! Links over sockets that the runtime watches: local and TCP alike.
//!
//! Reads and writes are tried first, and the runtime is asked only when they would block, so a
//! busy link makes one system call for each batch.

use std::io::{self, IoSlice};
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};

use super::{Link, Peer, READ_BYTES, Transport};

/// Most slices that go into one system call.
const SLICES_MAX: usize = 64;

/// What a socket must offer.
pub(super) trait Socket: Send {
    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
    fn poll_read_buf(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut BytesMut,
    ) -> Poll<io::Result<usize>>;
    fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize>;
}

/// A link over a socket.
pub(super) struct StreamLink<S> {
    socket: S,
    transport: Transport,
    peer: Peer,
}

impl<S: Socket> StreamLink<S> {
    pub fn new(socket: S, transport: Transport, peer: Peer) -> StreamLink<S> {
        StreamLink { socket, transport, peer }
    }
}

impl<S: Socket> Link for StreamLink<S> {
    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket.poll_read_ready(cx)
    }

    fn try_read(&mut self, buffer: &mut BytesMut) -> io::Result<usize> {
        if buffer.capacity() == buffer.len() {
            buffer.reserve(READ_BYTES);
        }
        // Through the runtime's own read: after a short one it knows that nothing is left, and
        // the next look costs no system call. The waker is registered by `poll_readable`.
        match self.socket.poll_read_buf(&mut Context::from_waker(Waker::noop()), buffer) {
            Poll::Ready(result) => result,
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    fn poll_writable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket.poll_write_ready(cx)
    }

    fn try_write(&mut self, slices: &[Bytes]) -> io::Result<usize> {
        let mut vector = [IoSlice::new(&[]); SLICES_MAX];
        let count = slices.len().min(SLICES_MAX);
        for (entry, slice) in vector.iter_mut().zip(slices) {
            *entry = IoSlice::new(slice);
        }
        self.socket.try_write_vectored(&vector[..count])
    }

    fn transport(&self) -> Transport {
        self.transport
    }

    fn peer(&self) -> &Peer {
        &self.peer
    }
}
