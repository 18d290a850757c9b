//! Links over sockets that the runtime watches: local and TCP alike.
//!
//! Only readability is watched all the time. Writability is watched while a write would block,
//! by a second descriptor: on a local socket every read of the peer makes room, and would wake
//! this side for nothing. A read that did not fill its room has emptied the socket, so no
//! second one is made to find that out.

use std::io::{self, IoSlice};
use std::os::fd::OwnedFd;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use rustix::net::{SendAncillaryBuffer, SendFlags, sendmsg};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::{Link, Peer, READ_BYTES, Transport};
use crate::sys::{read_into, watch};

/// Most slices that go into one system call.
const SLICES_MAX: usize = 64;

/// A link over a socket.
pub(super) struct StreamLink {
    socket: AsyncFd<OwnedFd>,
    /// Watches for room to write, while there is none.
    room: Option<AsyncFd<OwnedFd>>,
    transport: Transport,
    peer: Peer,
}

impl StreamLink {
    /// Over a connected socket that does not block.
    pub fn new(socket: OwnedFd, transport: Transport, peer: Peer) -> io::Result<StreamLink> {
        let socket = watch(socket, Interest::READABLE)?;
        Ok(StreamLink { socket, room: None, transport, peer })
    }
}

impl Link for StreamLink {
    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket.poll_read_ready(cx).map_ok(|_| ())
    }

    fn try_read(&mut self, buffer: &mut BytesMut) -> io::Result<usize> {
        if buffer.capacity() == buffer.len() {
            buffer.reserve(READ_BYTES);
        }
        let room = buffer.capacity() - buffer.len();
        let mut count = 0;
        let result = self.socket.try_io(Interest::READABLE, |socket| {
            count = read_into(socket, buffer)?;
            match count {
                // It is empty now: the error says so to the runtime, which waits for more then.
                1.. if count < room => Err(io::ErrorKind::WouldBlock.into()),
                _ => Ok(()),
            }
        });
        match result {
            Err(error) if count == 0 => Err(error),
            _ => Ok(count),
        }
    }

    fn poll_writable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let room = match &mut self.room {
            Some(room) => room,
            none => none.insert(watch(self.socket.get_ref().try_clone()?, Interest::WRITABLE)?),
        };
        let result = ready!(room.poll_write_ready(cx)).map(|_| ());
        self.room = None;
        Poll::Ready(result)
    }

    fn try_write(&mut self, slices: &[Bytes]) -> io::Result<usize> {
        let mut vector = [IoSlice::new(&[]); SLICES_MAX];
        let count = slices.len().min(SLICES_MAX);
        for (entry, slice) in vector.iter_mut().zip(slices) {
            *entry = IoSlice::new(slice);
        }
        // Never a signal for a peer that is gone, whatever the program does with SIGPIPE.
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        let mut none = SendAncillaryBuffer::default();
        loop {
            match sendmsg(self.socket.get_ref(), &vector[..count], &mut none, flags) {
                Err(rustix::io::Errno::INTR) => {}
                result => return Ok(result?),
            }
        }
    }

    fn transport(&self) -> Transport {
        self.transport
    }

    fn peer(&self) -> &Peer {
        &self.peer
    }
}
