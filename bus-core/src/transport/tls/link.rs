//! A link over TLS: a TCP stream, and what encrypts it.
//!
//! The handshake (`handshake`) is done by whoever polls the link, so accepting never waits for it. What
//! was written counts as written when it is encrypted; [`Link::poll_flush`] tells when it is out.
//! Nothing goes over the wire in the clear, one refusal aside (`clear`). Idle links hold no
//! buffers: records pass through memory that all links of a thread share.

use std::io;
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf, Bytes, BytesMut};

use super::engine::Engine;
use super::failure::{Side, TlsError, TlsFailure};
use super::passage::{KEPT_BYTES, LITTLE_BYTES, give_back, lend};
use super::source::Source;
use crate::limits::{HANDSHAKE_FRAME_BYTES_MAX, HANDSHAKE_MEMORY_BYTES_MAX, READ_BYTES};
use crate::session::Passage;
use crate::transport::stream::StreamLink;
use crate::transport::{Link, Peer, Transport};

/// A link over TLS.
pub(super) struct TlsLink {
    pub(super) stream: StreamLink,
    pub(super) engine: Engine,
    pub(super) side: Side,
    pub(super) phase: Phase,
    /// Has come, and is less than a record.
    pub(super) partial: Vec<u8>,
    /// So much of that the library has begun with: in the handshake, and nothing afterwards.
    pub(super) begun: usize,
    /// Decrypted, and not read yet.
    pub(super) plain: BytesMut,
    /// Encrypted, and not sent yet.
    pub(super) outgoing: Vec<u8>,
    /// How much of it is sent.
    sent: usize,
    /// How much is read at once: little from who has said little.
    pub(super) read_bytes: usize,
    /// What is left of what may be said in the handshake.
    pub(super) handshake_bytes: usize,
    /// Whether it is known who the peer is. Before that he is given little memory.
    pub(super) is_known: bool,
    /// Whoever asked last whether there is something to read. He is woken when what was left over
    /// by a write can be sent.
    waker: Option<Waker>,
    pub(super) peer: Peer,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Nothing has come: it may be something else than TLS.
    Opening,
    Handshake,
    Open,
    /// The peer has said its farewell.
    Closed,
    Failed(TlsError),
}

impl TlsLink {
    /// Over a stream to `peer` on which nothing was said.
    pub fn new(stream: StreamLink, engine: Engine, side: Side) -> TlsLink {
        let peer = stream.peer().clone();
        TlsLink {
            stream,
            engine,
            side,
            phase: Phase::Opening,
            partial: Vec::new(),
            begun: 0,
            plain: BytesMut::new(),
            outgoing: Vec::new(),
            sent: 0,
            read_bytes: HANDSHAKE_FRAME_BYTES_MAX,
            handshake_bytes: HANDSHAKE_MEMORY_BYTES_MAX,
            is_known: false,
            waker: None,
            peer,
        }
    }

    /// It has failed from here on. What was decrypted before was said before, and is still read: the failure
    /// is told again to whoever comes behind it.
    pub(super) fn fail(&mut self, failure: TlsFailure) -> io::Error {
        let error = TlsError::new(self.side, failure);
        self.phase = Phase::Failed(error.clone());
        error.into()
    }

    /// Sends what goes now of what is encrypted.
    pub(super) fn send_outgoing(&mut self) -> io::Result<()> {
        let result = loop {
            if self.sent == self.outgoing.len() {
                break Ok(());
            }
            match self.stream.send(&self.outgoing[self.sent..]) {
                Ok(count) => self.sent += count,
                Err(error) if would_block(&error) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        if self.sent == self.outgoing.len() {
            self.sent = 0;
            self.outgoing.clear();
            if self.outgoing.capacity() > if self.is_known { KEPT_BYTES } else { 0 } {
                give_back(std::mem::take(&mut self.outgoing));
            }
        }
        result
    }

    /// Ready when everything that is encrypted is sent.
    pub(super) fn poll_outgoing(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            self.send_outgoing()?;
            if self.outgoing.is_empty() {
                return Poll::Ready(Ok(()));
            }
            ready!(self.stream.poll_writable(cx))?;
        }
    }

    /// Encrypts and sends a batch. Gives `false` when there is no more, or no room.
    fn write_batch(&mut self, source: &mut Source<'_>, out: &mut Vec<u8>) -> io::Result<bool> {
        out.clear();
        let sealed = self.engine.seal(source, out);
        sealed.map_err(|error| self.fail(TlsFailure::from_library(&error)))?;
        if out.is_empty() {
            return Ok(false);
        }
        let sent = match self.stream.send(out) {
            Err(error) if would_block(&error) => 0,
            result => result?,
        };
        if sent == out.len() {
            return Ok(true);
        }
        if out.len() - sent > LITTLE_BYTES {
            // It stays where it is, until it is sent.
            (self.outgoing, self.sent) = (std::mem::take(out), sent);
        } else {
            self.outgoing.extend_from_slice(&out[sent..]);
        }
        // Whoever waits to read is woken for the rest, and sends it: nobody may want to write.
        if let Some(waker) = &self.waker
            && let Poll::Ready(ready) = self.stream.poll_writable(&mut Context::from_waker(waker))
        {
            ready?;
            waker.wake_by_ref();
        }
        Ok(false)
    }

    /// Why the peer takes nothing any more: it may have said so before it went.
    fn explain(&mut self, error: io::Error) -> io::Error {
        if is_end(&error) && !matches!(self.phase, Phase::Failed(_)) {
            while let Ok(1..) = self.fill(&mut None) {
                if self.plain.len() > READ_BYTES {
                    break;
                }
            }
        }
        match &self.phase {
            Phase::Failed(found) if !found.failure().is_loss() => found.clone().into(),
            _ => error,
        }
    }
}

impl Link for TlsLink {
    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            self.waker = Some(cx.waker().clone());
        }
        if self.is_shaking_hands() {
            let shaken = ready!(self.poll_handshake(cx));
            // Something may have come behind the handshake, and before what has failed.
            if self.plain.is_empty() {
                shaken?;
            }
        }
        if !self.plain.is_empty() {
            let _ = self.poll_outgoing(cx);
            return Poll::Ready(Ok(()));
        }
        if let Phase::Failed(error) = &self.phase {
            return Poll::Ready(Err(error.clone().into()));
        }
        // Who takes nothing any more is found out by reading.
        let _ = self.poll_outgoing(cx);
        if self.phase == Phase::Closed {
            return Poll::Ready(Ok(()));
        }
        self.stream.poll_readable(cx)
    }

    fn try_read(&mut self, buffer: &mut BytesMut) -> io::Result<usize> {
        if buffer.capacity() == buffer.len() {
            buffer.reserve(READ_BYTES);
        }
        if !self.plain.is_empty() {
            let count = self.plain.len().min(buffer.capacity() - buffer.len());
            buffer.extend_from_slice(&self.plain[..count]);
            self.plain.advance(count);
            if self.plain.is_empty() {
                self.plain = BytesMut::new();
            }
            return Ok(count);
        }
        match &self.phase {
            Phase::Failed(error) => return Err(error.clone().into()),
            Phase::Closed => return Ok(0),
            _ => {}
        }
        let before = buffer.len();
        let result = loop {
            match self.fill(&mut Some(&mut *buffer)) {
                // What has come is less than a record so far, and there may be more of it.
                Ok(1..) if buffer.len() == before && self.phase == Phase::Open => {}
                result => break result,
            }
        };
        match buffer.len() - before {
            // What was decrypted before an error counts; the error comes again.
            count @ 1.. => Ok(count),
            _ => match result? {
                _ if self.phase == Phase::Closed => Ok(0),
                _ => Err(io::ErrorKind::WouldBlock.into()),
            },
        }
    }

    fn poll_writable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_shaking_hands() {
            ready!(self.poll_handshake(cx))?;
        }
        self.poll_flush(cx)
    }

    fn try_write(&mut self, slices: &[Bytes]) -> io::Result<usize> {
        match &self.phase {
            Phase::Opening | Phase::Handshake => return Err(io::ErrorKind::WouldBlock.into()),
            Phase::Open => {}
            Phase::Closed => return Err(io::ErrorKind::BrokenPipe.into()),
            Phase::Failed(error) => return Err(error.clone().into()),
        }
        if let Err(error) = self.send_outgoing() {
            return Err(self.explain(error));
        }
        if !self.outgoing.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let (mut source, mut out) = (Source::new(slices), lend());
        let result = loop {
            match self.write_batch(&mut source, &mut out) {
                Ok(true) => {}
                result => break result,
            }
        };
        give_back(out);
        let written = result.map(|_| source.taken());
        written.map_err(|error| self.explain(error))
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Phase::Failed(error) = &self.phase {
            return Poll::Ready(Err(error.clone().into()));
        }
        let flushed = ready!(self.poll_outgoing(cx));
        Poll::Ready(flushed.map_err(|error| self.explain(error)))
    }

    fn passage(&self) -> Option<Passage> {
        let passage = self.stream.passage()?;
        let waiting = (self.outgoing.len() - self.sent) as u64;
        Some(Passage { given: passage.given + waiting, ..passage })
    }

    fn establish(&mut self) {
        self.is_known = true;
    }

    fn transport(&self) -> Transport {
        Transport::Tls
    }

    fn peer(&self) -> &Peer {
        &self.peer
    }
}

impl Drop for TlsLink {
    /// Says the farewell, if that can be done at once.
    fn drop(&mut self) {
        if !matches!(self.phase, Phase::Open | Phase::Closed) {
            return;
        }
        // Who has gone does not listen.
        let _ = self.engine.say_farewell(&mut self.outgoing);
        let _ = self.send_outgoing();
    }
}

pub(super) fn would_block(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
}

pub(super) fn is_end(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
}
