//! One connection of a session that its owner drives himself.
//!
//! For whoever carries much for others, as a bridge between brokers: no task, lock or handle stands
//! between him and the session. It shakes hands as every client does, moves bytes, and says what
//! has come; when to connect again is its owner's business. Invariant: what it has read is taken
//! before it reads more.

use std::cell::RefCell;
use std::io;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bus_core::session::{ClientSession, Event, Hello, Welcome};
use bus_core::transport::{Link, Pulse, Transport};
use bus_core::{BROKER_SILENCE_MAX, Buffers, BusUrl, Failure, FrameError};
use bytes::Bytes;
use tokio::time::Instant;

use crate::connect::{Connected, connect, shake_hands};
use crate::error::Error;
use crate::options::ClientOptions;

/// Bytes and slices of one write.
const WRITE_BYTES: usize = 256 * 1024;
const WRITE_SLICES: usize = 64;
/// How often a connection that is in use is measured.
const MEASURE_EVERY: Duration = Duration::from_secs(5);
/// Bytes of a frame that is not whole after which others have their turn.
const READ_BYTES_MAX: usize = 256 * 1024;

/// A connection.
pub struct Connection {
    connected: Connected,
    slices: Vec<Bytes>,
    blocked: bool,
    /// Frames that came with the Welcome have not been looked at.
    early: bool,
    /// Bytes that have come.
    heard: u64,
    pulse: Option<Pulse>,
    /// The last question, and when it was asked; how long the last answer took.
    question: u64,
    asked: Option<Instant>,
    asked_last: Option<Instant>,
    round_trip: Option<Duration>,
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
        Connection {
            pulse: Pulse::of(&*connected.link, BROKER_SILENCE_MAX),
            connected,
            slices: Vec::new(),
            blocked: false,
            early: true,
            heard: 0,
            question: 0,
            asked: None,
            asked_last: None,
            round_trip: None,
        }
    }

    /// What the broker has answered.
    pub fn welcome(&self) -> &Welcome {
        &self.connected.welcome
    }

    /// Over what it goes.
    pub fn transport(&self) -> Transport {
        self.connected.link.transport()
    }

    /// How long the broker took to answer, when it was asked last: over a network it is asked now and
    /// then while something goes over the connection, and when nothing does whether it is there.
    pub fn round_trip(&self) -> Option<Duration> {
        self.round_trip
    }

    /// Reads what is there, once, and gives each event to `take`. Pending if nothing was: then the
    /// task is woken when there is something. Whoever was told that something came has not asked to be
    /// woken for what comes next. Long frames are read into `buffers`, which all connections of a thread can
    /// share: what they remember is bounded together. They are let go of before `take` is called.
    ///
    /// # Errors
    /// When the connection has ended, the broker breaks the protocol, or gives no sign of life.
    pub fn read(
        &mut self,
        cx: &mut Context<'_>,
        buffers: &RefCell<Buffers>,
        session: &mut ClientSession,
        mut take: impl FnMut(&mut ClientSession, Event),
    ) -> Poll<Result<(), ConnectionEnd>> {
        // What came with the Welcome is something that was there, even if nothing comes after it.
        if std::mem::take(&mut self.early) && self.take_frames(session, &mut take)? {
            return Poll::Ready(Ok(()));
        }
        loop {
            match self.connected.link.poll_readable(cx) {
                Poll::Pending => return self.look_after(cx, session),
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(lost("reading", &error))),
            }
            let filled = self.fill(&mut buffers.borrow_mut())?;
            if filled > 0 {
                self.heard += filled as u64;
                break;
            }
        }
        self.take_frames(session, &mut take)?;
        self.connected.decoder.give_back(&mut buffers.borrow_mut());
        let measured = |at: Instant| at.elapsed() < MEASURE_EVERY;
        if self.pulse.is_some() && !self.asked_last.is_some_and(measured) {
            self.ask(session);
        }
        Poll::Ready(Ok(()))
    }

    /// Nothing comes: looks whether the broker is still there.
    fn look_after(
        &mut self,
        cx: &mut Context<'_>,
        session: &mut ClientSession,
    ) -> Poll<Result<(), ConnectionEnd>> {
        let Some(pulse) = &mut self.pulse else { return Poll::Pending };
        let said = || session.outbound.said();
        let beat = ready!(pulse.poll(cx, &*self.connected.link, self.heard, said));
        if let Some(text) = beat.loss("broker") {
            return Poll::Ready(Err(ConnectionEnd::Lost(text)));
        }
        self.ask(session);
        Poll::Ready(Ok(()))
    }

    fn ask(&mut self, session: &mut ClientSession) {
        self.question += 1;
        session.ping(self.question);
        let now = Instant::now();
        (self.asked, self.asked_last) = (Some(now), Some(now));
    }

    fn fill(&mut self, buffers: &mut Buffers) -> Result<usize, ConnectionEnd> {
        let Connected { link, decoder, .. } = &mut self.connected;
        let mut filled = 0;
        while filled < READ_BYTES_MAX && !decoder.has_frame() {
            match link.try_read(decoder.room(buffers)) {
                Ok(0) => {
                    return Err(ConnectionEnd::Lost("the broker closed the connection".into()));
                }
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(lost("reading", &error)),
            }
        }
        if filled == 0 {
            // Whoever is idle has nothing of what others read into.
            decoder.give_back(buffers);
        }
        Ok(filled)
    }

    /// Whether there were any.
    fn take_frames(
        &mut self,
        session: &mut ClientSession,
        take: &mut impl FnMut(&mut ClientSession, Event),
    ) -> Result<bool, ConnectionEnd> {
        let broken = |error: FrameError| {
            ConnectionEnd::Lost(format!("the broker broke the protocol: {error}"))
        };
        let mut some = false;
        while let Some(incoming) = self.connected.decoder.next_incoming().map_err(broken)? {
            some = true;
            match session.incoming(incoming).map_err(broken)? {
                Some(Event::Refused { failure }) => return Err(ConnectionEnd::Refused(failure)),
                Some(Event::Pong { word }) if word == self.question => {
                    let took = self.asked.take().map(|at| at.elapsed());
                    self.round_trip = took.or(self.round_trip);
                }
                Some(event) => take(session, event),
                None => {}
            }
        }
        Ok(some)
    }

    /// Writes what the session has to say, as far as it goes now. The task is woken when more can
    /// be written.
    ///
    /// # Errors
    /// When the connection has ended.
    pub fn write(
        &mut self,
        cx: &mut Context<'_>,
        session: &mut ClientSession,
    ) -> Result<(), ConnectionEnd> {
        loop {
            if self.blocked {
                match self.connected.link.poll_writable(cx) {
                    Poll::Pending => return Ok(()),
                    Poll::Ready(Ok(())) => self.blocked = false,
                    Poll::Ready(Err(error)) => return Err(lost("writing", &error)),
                }
            }
            if !session.wants_write() {
                // Whatever a link still holds goes out by itself.
                return match self.connected.link.poll_flush(cx) {
                    Poll::Ready(Err(error)) => Err(lost("writing", &error)),
                    _ => Ok(()),
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
