//! Links over TCP, local sockets and named pipes, by what the runtime has for all systems.
//!
//! They carry bytes and nothing else: no descriptors, so no lanes.

use std::io::{self, IoSlice};
use std::net::TcpStream;
use std::task::{Context, Poll};

use bytes::{BufMut, Bytes, BytesMut};

use super::{Carrier, Link, Peer, Transport};
use crate::limits::READ_BYTES;
use crate::sys::{LocalStream, OwnedFd, local_stream, poll_written};

/// Most slices that go into one system call.
const SLICES_MAX: usize = 64;

/// A link over a socket or a pipe.
pub(super) struct StreamLink {
    socket: Socket,
    transport: Transport,
    peer: Peer,
}

enum Socket {
    Tcp(tokio::net::TcpStream),
    Local(LocalStream),
}

#[allow(dead_code, reason = "local links are made otherwise on Windows than on Unix")]
impl StreamLink {
    /// Over a connected local socket that does not block.
    pub fn new(socket: OwnedFd, transport: Transport, peer: Peer) -> io::Result<StreamLink> {
        Ok(StreamLink { socket: Socket::Local(local_stream(socket)?), transport, peer })
    }

    /// Over a connected socket of TCP that does not block.
    pub fn tcp(socket: TcpStream, transport: Transport, peer: Peer) -> io::Result<StreamLink> {
        let socket = Socket::Tcp(tokio::net::TcpStream::from_std(socket)?);
        Ok(StreamLink { socket, transport, peer })
    }

    /// Over what the runtime has already.
    pub fn local(socket: LocalStream, peer: Peer) -> StreamLink {
        StreamLink { socket: Socket::Local(socket), transport: Transport::Local, peer }
    }

    /// Reads as [`Link::try_read`] does, at most so many bytes.
    pub fn try_read_up_to(&mut self, buffer: &mut BytesMut, most: usize) -> io::Result<usize> {
        if buffer.capacity() == buffer.len() {
            buffer.reserve(READ_BYTES);
        }
        let room = most.min(buffer.capacity() - buffer.len());
        let mut limited = buffer.limit(room);
        let read = match &self.socket {
            Socket::Tcp(socket) => socket.try_read_buf(&mut limited),
            Socket::Local(socket) => socket.try_read_buf(&mut limited),
        };
        match read {
            // How a pipe tells that its other end is gone.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(0),
            read => read,
        }
    }

    /// Sends as much of this as goes now.
    #[cfg(feature = "tls")]
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.send_vector(&[IoSlice::new(bytes)])
    }

    fn send_vector(&mut self, vector: &[IoSlice<'_>]) -> io::Result<usize> {
        match &self.socket {
            Socket::Tcp(socket) => socket.try_write_vectored(vector),
            Socket::Local(socket) => socket.try_write_vectored(vector),
        }
    }
}

impl Link for StreamLink {
    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &self.socket {
            Socket::Tcp(socket) => socket.poll_read_ready(cx),
            Socket::Local(socket) => socket.poll_read_ready(cx),
        }
    }

    fn try_read(&mut self, buffer: &mut BytesMut) -> io::Result<usize> {
        self.try_read_up_to(buffer, usize::MAX)
    }

    fn poll_writable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &self.socket {
            Socket::Tcp(socket) => socket.poll_write_ready(cx),
            Socket::Local(socket) => socket.poll_write_ready(cx),
        }
    }

    fn try_write(&mut self, slices: &[Bytes]) -> io::Result<usize> {
        let mut vector = [IoSlice::new(&[]); SLICES_MAX];
        let filled = slices.iter().filter(|slice| !slice.is_empty());
        let mut count = 0;
        for (entry, slice) in vector.iter_mut().zip(filled) {
            *entry = IoSlice::new(slice);
            count += 1;
        }
        self.send_vector(&vector[..count])
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &self.socket {
            Socket::Tcp(_) => Poll::Ready(Ok(())),
            Socket::Local(socket) => poll_written(socket, cx),
        }
    }

    fn transport(&self) -> Transport {
        self.transport
    }

    fn peer(&self) -> &Peer {
        &self.peer
    }

    fn carrier(&mut self) -> Option<&mut dyn Carrier> {
        None
    }
}
