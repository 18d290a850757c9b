//! One connection of a session that its owner drives himself.
//!
//! For whoever carries much for others, as a bridge between brokers: no task, lock or handle stands
//! between him and the session. It shakes hands as every client does, moves bytes, and says what
//! has come; when to connect again is its owner's business. Invariant: what it has read is taken
//! before it reads more.

use std::io;
use std::task::{Context, Poll};

use bus_core::session::{ClientSession, Event, Hello, Welcome};
use bus_core::transport::{Link, Transport};
use bus_core::{Buffers, BusUrl, Failure, FrameError};
use bytes::Bytes;

use crate::connect::{Connected, connect, shake_hands};
use crate::error::Error;
use crate::options::ClientOptions;

/// Bytes and slices of one write.
const WRITE_BYTES: usize = 256 * 1024;
const WRITE_SLICES: usize = 64;
/// Bytes of a frame that is not whole after which others have their turn.
const READ_BYTES_MAX: usize = 256 * 1024;

/// A connection.
pub struct Connection {
    connected: Connected,
    slices: Vec<Bytes>,
    buffers: Buffers,
    blocked: bool,
    /// Frames that came with the Welcome have not been looked at.
    early: bool,
}

/// Why a connection has ended.
#[derive(Debug)]
pub enum ConnectionEnd {
    /// It is lost; the session may be taken up again.
    Lost(String),
    /// The broker has ended it, for this reason.
    Refused(Failure),
}

impl Connection {
    /// Connects, and says this Hello: [`ClientSession::hello`] gives the one of a session. The
    /// session must be told of the [`Connection::welcome`] before anything else. Dropping the
    /// future leaves nothing behind but what a lost connection does.
    ///
    /// # Errors
    /// As [`Client::connect_with`](crate::Client::connect_with).
    pub async fn open(
        url: &BusUrl,
        hello: &Hello,
        options: &ClientOptions,
    ) -> Result<Connection, Error> {
        Ok(Connection::new(connect(url, hello, options).await?))
    }

    /// The same over a link that is there already.
    ///
    /// # Errors
    /// When the broker refuses, or does not answer in time.
    pub async fn over_link(
        link: Box<dyn Link>,
        hello: &Hello,
        options: &ClientOptions,
    ) -> Result<Connection, Error> {
        let url = BusUrl::Mem(String::new());
        Ok(Connection::new(shake_hands(link, &url, hello, options).await?))
    }

    fn new(connected: Connected) -> Connection {
        let (slices, buffers) = (Vec::new(), Buffers::default());
        Connection { connected, slices, buffers, blocked: false, early: true }
    }

    /// What the broker has answered.
    pub fn welcome(&self) -> &Welcome {
        &self.connected.welcome
    }

    /// Over what it goes.
    pub fn transport(&self) -> Transport {
        self.connected.link.transport()
    }

    /// Reads what is there, once, and gives each event to `take`. The task is woken when there is
    /// something to read.
    ///
    /// # Errors
    /// When the connection has ended, or the broker breaks the protocol.
    pub fn read(
        &mut self,
        cx: &mut Context<'_>,
        session: &mut ClientSession,
        mut take: impl FnMut(&mut ClientSession, Event),
    ) -> Result<bool, ConnectionEnd> {
        if std::mem::take(&mut self.early) {
            self.take_frames(session, &mut take)?;
        }
        let filled = loop {
            match self.connected.link.poll_readable(cx) {
                Poll::Pending => return Ok(false),
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => return Err(lost("reading", &error)),
            }
            let filled = self.fill()?;
            if filled > 0 {
                break filled;
            }
        };
        self.take_frames(session, &mut take)?;
        self.connected.decoder.give_back(&mut self.buffers);
        Ok(filled > 0)
    }

    fn fill(&mut self) -> Result<usize, ConnectionEnd> {
        let Connected { link, decoder, .. } = &mut self.connected;
        let mut filled = 0;
        while filled < READ_BYTES_MAX && !decoder.has_frame() {
            match link.try_read(decoder.room(&mut self.buffers)) {
                Ok(0) => {
                    return Err(ConnectionEnd::Lost("the broker closed the connection".into()));
                }
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(lost("reading", &error)),
            }
        }
        Ok(filled)
    }

    fn take_frames(
        &mut self,
        session: &mut ClientSession,
        take: &mut impl FnMut(&mut ClientSession, Event),
    ) -> Result<(), ConnectionEnd> {
        let broken = |error: FrameError| {
            ConnectionEnd::Lost(format!("the broker broke the protocol: {error}"))
        };
        while let Some(incoming) = self.connected.decoder.next_incoming().map_err(broken)? {
            match session.incoming(incoming).map_err(broken)? {
                Some(Event::Refused { failure }) => return Err(ConnectionEnd::Refused(failure)),
                Some(event) => take(session, event),
                None => {}
            }
        }
        Ok(())
    }

    /// Writes what the session has to say, as far as it goes now. The task is woken when more can
    /// be written. Whether nothing could be written before, and something has been now.
    ///
    /// # Errors
    /// When the connection has ended.
    pub fn write(
        &mut self,
        cx: &mut Context<'_>,
        session: &mut ClientSession,
    ) -> Result<bool, ConnectionEnd> {
        let was_blocked = self.blocked;
        loop {
            if self.blocked {
                match self.connected.link.poll_writable(cx) {
                    Poll::Pending => return Ok(false),
                    Poll::Ready(Ok(())) => self.blocked = false,
                    Poll::Ready(Err(error)) => return Err(lost("writing", &error)),
                }
            }
            if !session.wants_write() {
                // Whatever a link still holds goes out by itself.
                return match self.connected.link.poll_flush(cx) {
                    Poll::Ready(Err(error)) => Err(lost("writing", &error)),
                    _ => Ok(was_blocked),
                };
            }
            session.seal();
            self.slices.clear();
            session.outbound.unsent(WRITE_BYTES, WRITE_SLICES, &mut self.slices);
            match self.connected.link.try_write(&self.slices) {
                Ok(count) => session.outbound.advance(count),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.blocked = true,
                Err(error) => return Err(lost("writing", &error)),
            }
            self.slices.clear();
        }
    }
}

fn lost(what: &str, error: &io::Error) -> ConnectionEnd {
    ConnectionEnd::Lost(format!("{what} failed: {error}"))
}
