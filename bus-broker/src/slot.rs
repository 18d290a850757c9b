//! One session as the broker's shell sees it: its protocol state and, while it is connected,
//! its link.
//!
//! Reading fills the decoder, writing empties the outbound half; what frames mean is decided
//! in the core.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bus_core::router::{Channel, SessionId};
use bus_core::session::ServerSession;
use bus_core::transport::{Link, Pulse};
use bus_core::{Buffers, CLIENT_SILENCE_MAX, Decoder, KEPT_BYTES_MAX, Parcel};
use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::time::{Sleep, sleep};

use crate::log_bound::LogBound;
use crate::registry::Counters;
use crate::users::{Proof, User};

/// Bytes handed to one system call, and slices of them.
const WRITE_BYTES: usize = 256 * 1024;
const WRITE_SLICES: usize = 64;
/// Bytes of a frame that is not whole after which others have their turn.
const FILL_BYTES: usize = 256 * 1024;

/// When more than half of the frames of a turn are about nothing, as pings are, the connection is not
/// heard for so long.
const PAUSE: Duration = Duration::from_millis(1);

/// A session.
pub(crate) struct Slot {
    pub id: SessionId,
    pub state: ServerSession,
    pub token: Bytes,
    pub line: Option<Line>,
    /// Whether it is on the hub's list of those with output.
    pub dirty: bool,
    /// It ends when its output is written.
    pub ending: bool,
    /// While it is away: who watches its process stops when this is dropped.
    pub away: Option<oneshot::Sender<()>>,
    /// What is seldom looked at.
    pub guest: Box<Guest>,
}

/// Whose a session is, and what of its refusals is logged: apart, so that slots stay small.
pub(crate) struct Guest {
    /// The user of the configuration that it has shown to be, and how.
    pub shown: Option<(Arc<User>, Proof)>,
    /// Of what it is refused.
    pub bound: LogBound,
}

/// A connected session's link.
pub(crate) struct Line {
    pub link: Box<dyn Link>,
    pub decoder: Decoder,
    /// Wakes the task of the connection.
    pub waker: Option<Waker>,
    /// Tells connections of one session apart.
    pub number: u64,
    pub counters: Arc<Counters>,
    /// The last write would have blocked.
    pub blocked: bool,
    /// What goes out before everything else: the Welcome.
    pub prefix: Bytes,
    /// What is left to be published of a parcel on this channel, which had very many effects.
    pub rest: Option<(Channel, Parcel)>,
    /// The decoder holds frames for another turn.
    pub more: bool,
    /// Why it has ended, as [`crate::hub::Hub::drive`] will tell its task.
    pub ended: Option<Option<String>>,
    /// It has said much that is about nothing, and is not heard for a moment, from now or until this.
    pub pauses: bool,
    /// Over a network: whether the client is still there.
    pub pulse: Option<Pulse>,
    pause: Option<Pin<Box<Sleep>>>,
}

impl Slot {
    /// Writes what goes now.
    pub fn flush(&mut self, slices: &mut Vec<Bytes>) -> io::Result<()> {
        self.state.seal();
        let Some(line) = &mut self.line else { return Ok(()) };
        if !line.prefix.is_empty() && !line.write_prefix()? {
            return Ok(());
        }
        let outbound = &mut self.state.outbound;
        while outbound.has_unsent() {
            slices.clear();
            outbound.unsent(WRITE_BYTES, WRITE_SLICES, slices);
            match line.link.try_write(slices) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => {
                    outbound.advance(count);
                    line.counters.bytes_out.fetch_add(count as u64, Ordering::Relaxed);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    line.blocked = true;
                    slices.clear();
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
        line.blocked = false;
        line.counters.frames_out.store(outbound.last(), Ordering::Relaxed);
        slices.clear();
        Ok(())
    }
}

impl Line {
    /// One that has read nothing, over which this goes out first.
    pub fn new(
        link: Box<dyn Link>,
        decoder: Decoder,
        number: u64,
        counters: Arc<Counters>,
        prefix: Bytes,
    ) -> Line {
        let (waker, rest, ended, pause) = (None, None, None, None);
        let (blocked, more, pauses) = (false, false, false);
        let pulse = Pulse::of(&*link, CLIENT_SILENCE_MAX);
        Line {
            link,
            decoder,
            waker,
            number,
            counters,
            blocked,
            prefix,
            rest,
            more,
            ended,
            pauses,
            pulse,
            pause,
        }
    }

    /// Writes the prefix. Whether it is out wholly.
    fn write_prefix(&mut self) -> io::Result<bool> {
        while !self.prefix.is_empty() {
            match self.link.try_write(std::slice::from_ref(&self.prefix)) {
                Ok(count) => drop(self.prefix.split_to(count)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.blocked = true;
                    return Ok(false);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Reads one batch into the decoder: what one read brings, or a whole frame and little more,
    /// as far as it is there. `buffers` are lent to it, so that idle connections hold none.
    /// Ready with `false` at the end.
    pub fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        buffers: &mut Buffers,
    ) -> Poll<io::Result<bool>> {
        loop {
            match self.link.poll_readable(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Ready(Ok(())) => {}
            }
            if let Some(filled) = self.try_fill(buffers).transpose() {
                return Poll::Ready(filled);
            }
        }
    }

    /// The same of what is there. `None` if nothing is.
    pub fn try_fill(&mut self, buffers: &mut Buffers) -> io::Result<Option<bool>> {
        let mut filled = 0;
        while filled < FILL_BYTES && !self.decoder.has_frame() {
            match self.link.try_read(self.decoder.room(buffers)) {
                Ok(0) => return Ok(Some(false)),
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.decoder.give_back(buffers);
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        self.counters.bytes_in.fetch_add(filled as u64, Ordering::Relaxed);
        Ok((filled > 0).then_some(true))
    }

    /// Pending while it is not to be heard.
    pub fn poll_pause(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if std::mem::take(&mut self.pauses) {
            self.pause = Some(Box::pin(sleep(PAUSE)));
        }
        if let Some(pause) = &mut self.pause {
            ready!(pause.as_mut().poll(cx));
            self.pause = None;
        }
        Poll::Ready(())
    }

    /// Whether it is not to be heard now.
    pub fn is_paused(&self) -> bool {
        self.pauses || self.pause.is_some()
    }
}

/// The slot of a session, unless it is gone.
pub(crate) fn slot_of(slots: &mut [Option<Slot>], session: SessionId) -> Option<&mut Slot> {
    slots.get_mut(session.index())?.as_mut().filter(|slot| slot.id == session)
}

/// Its link, while it is connected.
pub(crate) fn line_of(slots: &mut [Option<Slot>], session: SessionId) -> Option<&mut Line> {
    slot_of(slots, session)?.line.as_mut()
}

/// Why a session ends that reads nothing.
pub(crate) fn unread() -> String {
    format!("it has left {KEPT_BYTES_MAX} bytes unread")
}
