//! Links over sockets that the runtime watches: local and TCP alike.
//!
//! Only readability is watched all the time. Writability is watched while a write would block,
//! by a second descriptor: on a local socket every read of the peer makes room, and would wake
//! this side for nothing. A read that did not fill its room has emptied the socket, so no
//! second one is made to find that out.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::bell::Bells;
use super::lane::LaneLink;
use super::{Carrier, Link, Peer, Transport};
use crate::limits::{HANDSHAKE_FRAME_BYTES_MAX, READ_BYTES};
use crate::session::Passage;
use crate::shm::{LaneOffer, LaneReader, LaneWriter};
use crate::sys::{Passed, read_into, read_with_descriptors, unacknowledged, watch};

/// Most slices that go into one system call.
const SLICES_MAX: usize = 64;

/// Space for the descriptors of one handshake: of lanes, and of a bell.
const DESCRIPTORS_SPACE: usize = rustix::cmsg_space!(ScmRights(LaneOffer::DESCRIPTORS + 1));

/// A link over a socket.
pub(super) struct StreamLink {
    socket: AsyncFd<OwnedFd>,
    /// Watches for room to write, while there is none.
    room: Option<AsyncFd<OwnedFd>>,
    transport: Transport,
    peer: Peer,
    /// Descriptors that came with bytes, while they are expected: during the handshake.
    passed: Passed,
    expects_descriptors: bool,
    /// Bytes that the kernel has taken to be sent.
    sent: u64,
}

impl StreamLink {
    /// Over a connected socket that does not block.
    pub fn new(socket: OwnedFd, transport: Transport, peer: Peer) -> io::Result<StreamLink> {
        let socket = watch(socket, Interest::READABLE)?;
        let expects_descriptors = transport == Transport::Local;
        let passed = Passed::default();
        let (room, sent) = (None, 0);
        Ok(StreamLink { socket, room, transport, peer, passed, expects_descriptors, sent })
    }

    /// Over a connected socket of TCP that does not block.
    pub fn tcp(socket: TcpStream, transport: Transport, peer: Peer) -> io::Result<StreamLink> {
        StreamLink::new(socket.into(), transport, peer)
    }

    /// Reads as [`Link::try_read`] does, at most so many bytes.
    pub fn try_read_up_to(&mut self, buffer: &mut BytesMut, most: usize) -> io::Result<usize> {
        if buffer.capacity() == buffer.len() {
            buffer.reserve(READ_BYTES);
        }
        // As much as one read can bring.
        let room = match self.expects_descriptors {
            true => HANDSHAKE_FRAME_BYTES_MAX,
            false => most.min(buffer.capacity() - buffer.len()),
        };
        let mut count = 0;
        let result = self.socket.try_io(Interest::READABLE, |socket| {
            count = match self.expects_descriptors {
                true => read_with_descriptors(socket, buffer, &mut self.passed)?,
                false => read_into(socket, buffer, room)?,
            };
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

    /// Sends as much of this as goes now.
    #[cfg(feature = "tls")]
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.send_vector(&[IoSlice::new(bytes)])
    }

    fn send_vector(&mut self, vector: &[IoSlice<'_>]) -> io::Result<usize> {
        // Never a signal for a peer that is gone, whatever the program does with SIGPIPE.
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        let mut none = SendAncillaryBuffer::default();
        loop {
            match sendmsg(self.socket.get_ref(), vector, &mut none, flags) {
                Err(rustix::io::Errno::INTR) => {}
                result => {
                    let count = result?;
                    self.sent += count as u64;
                    return Ok(count);
                }
            }
        }
    }
}

impl Link for StreamLink {
    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket.poll_read_ready(cx).map_ok(|_| ())
    }

    fn try_read(&mut self, buffer: &mut BytesMut) -> io::Result<usize> {
        self.try_read_up_to(buffer, usize::MAX)
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
        self.send_vector(&vector[..count])
    }

    fn passage(&self) -> Option<Passage> {
        match self.transport {
            Transport::Tcp | Transport::Tls => {
                let waiting = unacknowledged(self.socket.get_ref().as_fd()).ok()?;
                let acknowledged = self.sent.saturating_sub(waiting);
                Some(Passage { given: self.sent, acknowledged })
            }
            _ => None,
        }
    }

    fn transport(&self) -> Transport {
        self.transport
    }

    fn peer(&self) -> &Peer {
        &self.peer
    }

    fn carrier(&mut self) -> Option<&mut dyn Carrier> {
        match self.transport {
            Transport::Local => Some(self),
            _ => None,
        }
    }
}

impl Carrier for StreamLink {
    fn write_with(&mut self, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        let mut space = [MaybeUninit::uninit(); DESCRIPTORS_SPACE];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
            return Err(io::Error::other("too many descriptors for one message"));
        }
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        let sent = sendmsg(self.socket.get_ref(), &[IoSlice::new(bytes)], &mut control, flags)?;
        match sent == bytes.len() {
            true => Ok(()),
            false => Err(io::Error::other("the handshake does not fit into the socket")),
        }
    }

    fn take_descriptors(&mut self) -> Option<Vec<OwnedFd>> {
        self.expects_descriptors = false;
        let Passed { files, lost } = std::mem::take(&mut self.passed);
        (!lost).then_some(files)
    }

    fn upgrade(
        &mut self,
        outgoing: LaneWriter,
        incoming: LaneReader,
        bells: Bells,
    ) -> io::Result<Box<dyn Link>> {
        let socket = self.socket.get_ref().try_clone()?;
        Ok(Box::new(LaneLink::new(socket, bells, outgoing, incoming, self.peer.clone())?))
    }
}
