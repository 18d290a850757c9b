//! Links over a pair of lanes, beside the local socket by which they were agreed on.
//!
//! All frames go through the lanes. A bell says "look", rung only for a peer that has said that
//! it sleeps; between peers that do not trust each other so far it is a byte on the socket. The
//! socket also tells when the peer is gone.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use rustix::net::{RecvFlags, SendFlags, recv, send};

use super::bell::{self, Bells};
use super::ear::Ear;
use super::{Direct, Link, Peer, Transport};
use crate::limits::READ_BYTES;
use crate::shm::{LaneReader, LaneWriter, Refused, Tampered};
use crate::sys::peer_process;

/// The byte that rings where there is no bell.
const TOKEN: [u8; 1] = [1];
/// How often this side asks to be woken before it takes the tokens off the socket: each time the
/// peer rings at most once. Only below that a wake-up may leave them there, and so many fit into
/// any socket. A peer that rings without being asked may fill it, and be unheard afterwards.
const ASKED_MAX: u32 = 64;
/// Tokens that are taken at once: all that were asked for since the last time, and more.
const TOKENS_MAX: usize = 256;
const _: () = assert!(TOKENS_MAX > 2 * ASKED_MAX as usize);

/// A link over lanes.
pub(super) struct LaneLink {
    socket: Ear,
    /// The process at the other end, if the kernel lets it be watched: a child that it has forked
    /// may hold the socket longer than it lives.
    process: Option<Ear>,
    /// What the peer rings, and what it is rung by; else it is the socket.
    bell: Option<Ear>,
    theirs: Option<OwnedFd>,
    outgoing: LaneWriter,
    incoming: LaneReader,
    peer: Peer,
    /// How much the last write could not place.
    wanted: usize,
    /// How often the peer may have rung since the tokens were taken.
    asked: u32,
    ended: bool,
}

impl LaneLink {
    /// Over lanes that both sides have verified.
    ///
    /// # Errors
    /// When the runtime or the kernel refuses to watch.
    pub fn new(
        socket: OwnedFd,
        bells: Bells,
        outgoing: LaneWriter,
        incoming: LaneReader,
        peer: Peer,
    ) -> io::Result<LaneLink> {
        let pid = peer.credentials.as_ref().and_then(|credentials| credentials.pid);
        // Without it the socket alone tells of the end.
        let process = peer_process(socket.as_fd(), pid).and_then(Ear::new).ok();
        let (socket, bell) = (Ear::new(socket)?, bells.own.map(Ear::new).transpose()?);
        let (theirs, wanted, asked, ended) = (bells.theirs, 1, 0, false);
        Ok(LaneLink {
            socket,
            process,
            bell,
            theirs,
            outgoing,
            incoming,
            peer,
            wanted,
            asked,
            ended,
        })
    }

    /// Pending when who rings from now on wakes the task. What was rung for before may be there.
    fn poll_rung(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(bell) = &mut self.bell
            && let Poll::Ready(result) = bell.poll_next(cx)
        {
            return Poll::Ready(result);
        }
        if let Some(process) = &mut self.process
            && process.poll(cx).is_ready()
        {
            (self.ended, self.process) = (true, None);
            return Poll::Ready(Ok(()));
        }
        self.poll_tokens(cx)
    }

    /// The same for the socket. Each token is an event of its own, so that most of them can stay
    /// where they are.
    fn poll_tokens(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut guard = ready!(self.socket.poll(cx))?;
        let ready = guard.ready();
        // Where there is a bell nobody was asked for tokens.
        let few = self.asked < ASKED_MAX && self.bell.is_none();
        if few && !ready.is_read_closed() && !ready.is_error() {
            guard.clear_ready();
            return Poll::Ready(Ok(()));
        }
        self.asked = 0;
        let mut tokens = [0; TOKENS_MAX];
        match recv(guard.get_inner(), &mut tokens[..], RecvFlags::DONTWAIT) {
            // The second one says that it is gone, and has not taken what was rung for it.
            Ok((0, _)) | Err(rustix::io::Errno::CONNRESET) => self.ended = true,
            // It is empty now, unless there were that many.
            Ok((count, _)) if count < tokens.len() => guard.clear_ready(),
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(rustix::io::Errno::AGAIN) => guard.clear_ready(),
            Err(error) => return Poll::Ready(Err(error.into())),
        }
        Poll::Ready(Ok(()))
    }

    /// Wakes the peer, which sleeps. One that is gone need not be woken: that is found out where
    /// tokens are taken, when everything that it has committed is read.
    fn ring(&self) -> io::Result<()> {
        use rustix::io::Errno;
        if let Some(bell) = &self.theirs {
            return bell::ring(bell);
        }
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        match send(self.socket.descriptor(), &TOKEN, flags) {
            // It has not taken those that are there: it will look.
            Ok(_) | Err(Errno::AGAIN | Errno::PIPE | Errno::CONNRESET) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

impl Link for LaneLink {
    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            if self.incoming.has_frame().map_err(tampered)? || self.ended {
                return Poll::Ready(Ok(()));
            }
            match self.poll_rung(cx) {
                Poll::Ready(result) => result?,
                // The waker is in place: only now the peer is told.
                Poll::Pending if self.rest()? => return Poll::Pending,
                Poll::Pending => {}
            }
        }
    }

    fn try_read(&mut self, buffer: &mut BytesMut) -> io::Result<usize> {
        if buffer.capacity() == buffer.len() {
            buffer.reserve(READ_BYTES);
        }
        let mut count = self.incoming.read_into(buffer).map_err(tampered)?;
        if count == 0 && self.incoming.has_frame().map_err(tampered)? {
            // Something came just now; or what is there are empty frames, which nobody sends.
            count = self.incoming.read_into(buffer).map_err(tampered)?;
            if count == 0 {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "the peer sends nothing"));
            }
        }
        if self.incoming.wants_wake() {
            self.ring()?;
        }
        match count {
            0 if !self.ended => Err(io::ErrorKind::WouldBlock.into()),
            count => Ok(count),
        }
    }

    fn poll_writable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            if self.ended {
                // What it has committed counts, and comes first.
                if self.incoming.has_frame().map_err(tampered)? {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
            }
            match self.poll_rung(cx) {
                Poll::Ready(result) => result?,
                Poll::Pending => {
                    let length = self.outgoing.fit(self.wanted);
                    self.asked = self.asked.saturating_add(1);
                    return match self.outgoing.wait_for_room(length).map_err(refused)? {
                        true => Poll::Pending,
                        false => Poll::Ready(Ok(())),
                    };
                }
            }
        }
    }

    fn try_write(&mut self, slices: &[Bytes]) -> io::Result<usize> {
        let mut left: usize = slices.iter().map(Bytes::len).sum();
        let mut written = 0;
        let mut rest = slices.iter().map(|slice| &slice[..]);
        let mut current: &[u8] = &[];
        while left > 0 {
            let length = self.outgoing.fit(left);
            let mut frame = match self.outgoing.reserve(length) {
                Ok(frame) => frame,
                Err(Refused::Full) => break,
                Err(error) => return Err(refused(error)),
            };
            while frame.left() > 0 {
                if current.is_empty() {
                    let Some(next) = rest.next() else { break };
                    current = next;
                }
                let (now, later) = current.split_at(current.len().min(frame.left()));
                frame.put(now);
                current = later;
            }
            frame.commit();
            left -= length;
            written += length;
        }
        let mut asleep = false;
        self.outgoing.sleepers(|_| asleep = true);
        if asleep {
            self.ring()?;
        }
        self.wanted = left.max(1);
        match written {
            0 => Err(io::ErrorKind::WouldBlock.into()),
            written => Ok(written),
        }
    }

    fn transport(&self) -> Transport {
        Transport::SharedMemory
    }

    fn direct(&mut self) -> Option<&mut dyn Direct> {
        Some(self)
    }

    fn peer(&self) -> &Peer {
        &self.peer
    }
}

impl Direct for LaneLink {
    fn look(&mut self) -> io::Result<bool> {
        Ok(self.incoming.has_frame().map_err(tampered)? || self.ended)
    }

    fn stay_awake(&mut self) {
        self.incoming.stop_waiting();
    }

    fn rest(&mut self) -> io::Result<bool> {
        self.asked = self.asked.saturating_add(1);
        self.incoming.wait().map_err(tampered)
    }
}

fn tampered(error: Tampered) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

fn refused(error: Refused) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}
