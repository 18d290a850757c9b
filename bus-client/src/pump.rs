//! One connection being driven: bytes in, frames to the state, bytes out.
//!
//! The driver's task drives it, and is who is woken. Over lanes whoever waits for something
//! drives it as well, from its own poll: it looks into the lane itself, and no task switch
//! stands between a message and its receiver. Then it need not be the driver that writes,
//! either. The state's lock is never held while a link is read or written.

use std::io;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use bus_core::router::Channel;
use bus_core::transport::{Direct, Pace, Pulse, Waiting};
use bus_core::{BROKER_SILENCE_MAX, Buffers, Failure};
use bytes::Bytes;

use crate::alarm::Alarm;
use crate::connect::Connected;
use crate::handle::Shared;
use crate::state::State;

/// Batches that are read or written before other tasks have their turn.
const ROUNDS_MAX: usize = 8;
/// Bytes and slices of one write.
const WRITE_BYTES: usize = 256 * 1024;
const WRITE_SLICES: usize = 64;
/// Bytes of a frame that is not whole after which writing has its turn.
const READ_BYTES_MAX: usize = 256 * 1024;

/// One connection being driven.
pub(crate) struct Pump {
    connected: Connected,
    slices: Vec<Bytes>,
    buffers: Buffers,
    blocked: bool,
    /// What the link wakes.
    alarm: Arc<Alarm>,
    waker: Waker,
    /// The link wakes for whatever comes, unless it has done so since: it has the waker, and
    /// its peer knows that this side sleeps.
    rests: bool,
    pace: Pace,
    /// Bytes that have come.
    heard: u64,
    /// Over a network: whether the broker is still there.
    pulse: Option<Pulse>,
    /// Why it has ended, found by somebody else than the driver.
    end: Option<End>,
    /// The driver knows that it has ended.
    ended: bool,
}

/// Why a connection has ended.
pub(crate) enum End {
    /// The client is closed, and everything is written.
    Closed,
    /// The connection is lost.
    Lost(String),
    /// The broker has ended it.
    Refused(Failure),
}

/// What somebody who waits has come to by driving the connection himself.
pub(crate) enum Assisted {
    /// Something has come: look again.
    Progress,
    /// Nothing: who waits is woken first by what comes.
    Nothing,
    /// Nobody but the driver may look, and it wakes who waits.
    Impossible,
    /// Nothing, and it does not want to sleep.
    Again,
    /// The driver has something to do that only it can, and wakes whom that concerns.
    WakeDriver,
}

impl Pump {
    pub fn new(connected: Connected, waiting: Waiting, alarm: Arc<Alarm>) -> Pump {
        let waker = Waker::from(alarm.clone());
        let pace = Pace::new(waiting, since_start);
        let (slices, buffers) = (Vec::new(), Buffers::default());
        let (blocked, rests, end, ended) = (false, false, None, false);
        let (heard, pulse) = (0, Pulse::of(&*connected.link, BROKER_SILENCE_MAX));
        Pump {
            connected,
            slices,
            buffers,
            blocked,
            alarm,
            waker,
            rests,
            pace,
            heard,
            pulse,
            end,
            ended,
        }
    }

    /// Drives it on behalf of the driver's task.
    pub fn poll(&mut self, shared: &Shared, cx: &mut Context<'_>) -> Poll<End> {
        if let Some(end) = self.end.take() {
            self.ended = true;
            return Poll::Ready(end);
        }
        let done = loop {
            // Whoever waits was woken first, and may have done everything.
            let rests = self.rests && !self.blocked && !self.alarm.has_rung();
            if !(rests && shared.stay_driven(cx.waker()))
                && let Poll::Ready(end) = self.poll_rounds(shared, cx)
            {
                break Poll::Ready(end);
            }
            match self.poll_pulse(shared, cx) {
                // The question is to go out.
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(end)) => break Poll::Ready(end),
                Poll::Pending => break Poll::Pending,
            }
        };
        self.ended |= done.is_ready();
        done
    }

    /// Ready when the broker was asked whether it is there, or has not been for too long.
    fn poll_pulse(&mut self, shared: &Shared, cx: &mut Context<'_>) -> Poll<Result<(), End>> {
        let Some(pulse) = &mut self.pulse else { return Poll::Pending };
        let said = || shared.drive(|state| state.session.outbound.said());
        let beat = ready!(pulse.poll(cx, &*self.connected.link, self.heard, said));
        if let Some(text) = beat.loss("broker") {
            return Poll::Ready(Err(End::Lost(text)));
        }
        shared.drive(|state| state.session.ping(0));
        Poll::Ready(Ok(()))
    }

    /// Whether others than the driver may drive it: over lanes, while it lasts.
    fn can_assist(&mut self) -> bool {
        !self.ended && self.end.is_none() && self.connected.link.direct().is_some()
    }

    fn poll_rounds(&mut self, shared: &Shared, cx: &mut Context<'_>) -> Poll<End> {
        self.rests = false;
        self.alarm.take();
        for _ in 0..ROUNDS_MAX {
            let read = match self.poll_read(shared) {
                Ok(read) => read,
                Err(end) => return Poll::Ready(end),
            };
            let wrote = match self.poll_write(shared, cx) {
                Ok(wrote) => wrote,
                Err(end) => return Poll::Ready(end),
            };
            if !read && !wrote {
                self.rests = true;
                self.pace.sleeps();
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Drives it on behalf of somebody who waits: over lanes only. Waits awake while that pays
    /// and `unwanted` says that nobody else wants the connection. Who waits `alone` at a channel
    /// is not woken for what this brings there: he will look.
    pub fn assist(
        &mut self,
        shared: &Shared,
        alone: Option<Channel>,
        unwanted: impl Fn() -> bool,
    ) -> Assisted {
        if !self.can_assist() {
            return Assisted::Impossible;
        }
        match self.try_assist(shared, alone, unwanted) {
            Ok(assisted) => assisted,
            Err(end) => {
                self.end = Some(end);
                Assisted::WakeDriver
            }
        }
    }

    /// Writes what is unsent, over lanes only. `false` if the driver must go on with it.
    pub fn push(&mut self, shared: &Shared) -> bool {
        if self.blocked || !self.can_assist() {
            return true;
        }
        match self.write(shared) {
            Ok(_) => !self.blocked,
            Err(end) => {
                self.end = Some(end);
                false
            }
        }
    }

    /// As [`Pump::push`]. `false` also if nobody but the driver may write.
    #[cfg(feature = "blocking")]
    pub fn let_out(&mut self, shared: &Shared) -> bool {
        self.can_assist() && self.push(shared)
    }

    fn try_assist(
        &mut self,
        shared: &Shared,
        alone: Option<Channel>,
        unwanted: impl Fn() -> bool,
    ) -> Result<Assisted, End> {
        let stays_awake = self.pace.stays_awake();
        if stays_awake && let Some(direct) = self.connected.link.direct() {
            direct.stay_awake();
        }
        let was_blocked = self.blocked;
        self.blocked = false;
        self.write(shared)?;
        let mut progress = self.look()? && self.read(shared, alone)?;
        if !progress
            && stays_awake
            && let Some(direct) = self.connected.link.direct()
        {
            let mut wanted = false;
            let seen = self.pace.watch(|| {
                wanted = !unwanted();
                Ok(wanted || direct.look()?)
            });
            progress = seen.map_err(lost)? && self.read(shared, alone)?;
        }
        // Whatever comes from here on must wake the driver as well, whoever is waiting for it:
        // the one who has looked may go away. If it is to run anyway, it looks then.
        if progress && self.blocked == was_blocked && self.alarm.has_rung() {
            return Ok(Assisted::Progress);
        }
        for _ in 0..ROUNDS_MAX {
            if self.rest().map_err(lost)? {
                return Ok(match (self.blocked != was_blocked, progress) {
                    (true, _) => Assisted::WakeDriver,
                    (false, true) => Assisted::Progress,
                    (false, false) if self.pace.waiting() == Waiting::Spin => Assisted::Again,
                    (false, false) => {
                        self.pace.sleeps();
                        Assisted::Nothing
                    }
                });
            }
            progress |= self.read(shared, alone)?;
        }
        Ok(Assisted::WakeDriver)
    }

    /// Whether the link has something to read, for less than to try.
    fn look(&mut self) -> Result<bool, End> {
        self.connected.link.direct().map_or(Ok(true), Direct::look).map_err(lost)
    }

    /// Has the link wake for what comes. `false` if something is there.
    fn rest(&mut self) -> io::Result<bool> {
        let Some(direct) = self.connected.link.direct() else { return Ok(false) };
        // A waker is of use once.
        self.rests = match self.rests && !self.alarm.take() {
            true => direct.rest()?,
            false => self.poll_link()?.is_pending(),
        };
        Ok(self.rests)
    }

    /// Whether the link has something to read; else it wakes when it has.
    fn poll_link(&mut self) -> io::Result<Poll<()>> {
        self.alarm.take();
        match self.connected.link.poll_readable(&mut Context::from_waker(&self.waker)) {
            Poll::Pending => Ok(Poll::Pending),
            Poll::Ready(result) => result.map(Poll::Ready),
        }
    }

    /// Reads a batch and takes its frames. `false` if nothing was there.
    fn poll_read(&mut self, shared: &Shared) -> Result<bool, End> {
        loop {
            match self.connected.link.poll_readable(&mut Context::from_waker(&self.waker)) {
                Poll::Pending => return Ok(false),
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => return Err(lost(error)),
            }
            if self.read(shared, None)? {
                return Ok(true);
            }
        }
    }

    /// Reads what is there and takes its frames. `false` if nothing was.
    fn read(&mut self, shared: &Shared, alone: Option<Channel>) -> Result<bool, End> {
        let Connected { link, decoder, .. } = &mut self.connected;
        let mut filled = 0;
        // A whole frame and little more, as far as it is there.
        while filled < READ_BYTES_MAX && !decoder.has_frame() {
            match link.try_read(decoder.room(&mut self.buffers)) {
                Ok(0) => return Err(End::Lost("the broker closed the connection".into())),
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(lost(error)),
            }
        }
        if filled == 0 {
            return Ok(false);
        }
        self.heard += filled as u64;
        self.pace.drained(filled);
        let taken = shared.drive(|state| {
            state.looks = alone;
            let taken = self.take_frames(state);
            state.looks = None;
            taken
        });
        self.connected.decoder.give_back(&mut self.buffers);
        taken.map(|()| true)
    }

    /// Takes the frames that are there.
    pub fn take_frames(&mut self, state: &mut State) -> Result<(), End> {
        let broken = |error: bus_core::FrameError| {
            End::Lost(format!("the broker broke the protocol: {error}"))
        };
        while let Some(incoming) = self.connected.decoder.next_incoming().map_err(broken)? {
            if let Some(event) = state.session.incoming(incoming).map_err(broken)? {
                state.on_event(event).map_err(End::Refused)?;
            }
        }
        Ok(())
    }

    /// Writes what there is. `false` if there was nothing, or nothing went.
    fn poll_write(&mut self, shared: &Shared, cx: &mut Context<'_>) -> Result<bool, End> {
        if self.blocked {
            match self.connected.link.poll_writable(&mut Context::from_waker(&self.waker)) {
                Poll::Pending => return Ok(false),
                Poll::Ready(Ok(())) => self.blocked = false,
                Poll::Ready(Err(error)) => {
                    return Err(End::Lost(format!("writing failed: {error}")));
                }
            }
        }
        shared.stay_driven(cx.waker());
        self.write(shared)
    }

    /// Writes what there is and goes now. `false` if there was nothing.
    fn write(&mut self, shared: &Shared) -> Result<bool, End> {
        self.slices.clear();
        let closing = shared.drive(|state| {
            if !state.session.wants_write() {
                return state.closing;
            }
            state.session.seal();
            state.session.outbound.unsent(WRITE_BYTES, WRITE_SLICES, &mut self.slices);
            state.closing
        });
        if self.slices.is_empty() {
            // What a link still holds would be lost with it.
            let flushes = closing
                && self.connected.link.poll_flush(&mut Context::from_waker(&self.waker)).is_ready();
            return if flushes { Err(End::Closed) } else { Ok(false) };
        }
        match self.connected.link.try_write(&self.slices) {
            Ok(count) => {
                self.slices.clear();
                shared.drive(|state| state.wrote(count));
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                // Until it can write again nobody need wake the driver for writing.
                shared.drive(|state| state.driver = None);
                self.blocked = true;
                Ok(true)
            }
            Err(error) => Err(End::Lost(format!("writing failed: {error}"))),
        }
    }
}

/// The time since this was first asked for.
fn since_start() -> Duration {
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed()
}

fn lost(error: io::Error) -> End {
    End::Lost(format!("reading failed: {error}"))
}
