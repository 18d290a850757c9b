//! What all handles of a client share, and the one lock around it.
//!
//! The lock is held for moments only, never across an await or a system call; wakers are woken
//! after it is released. The client ends when the last handle is dropped.

use std::mem::ManuallyDrop;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::{Context, Poll, Waker, ready};

use bus_core::router::Channel;
use bus_core::sys::Birth;
use parking_lot::Mutex;
use tokio::sync::broadcast;

use crate::alarm::Alarm;
use crate::error::Error;
use crate::events::{ClientEvent, EVENTS_KEPT};
use crate::pump::{Assisted, End, Pump};
use crate::state::State;

/// How often a poll looks again by itself before other tasks have their turn.
const LOOKS_MAX: usize = 64;
/// Hand-overs after which what is unsent goes out, if that needs no system call.
const TURN: u32 = 32;

/// State and event stream of a client; also held by its driver.
pub(crate) struct Shared {
    state: Mutex<State>,
    /// The connection, while there is one. Locked before the state, never after it.
    pump: Mutex<Option<Pump>>,
    /// The driver waits for the connection: whoever has it must not keep it.
    wanted: AtomicBool,
    /// Woken by the connection.
    alarm: Arc<Alarm>,
    /// Counts hand-overs.
    turn: AtomicU32,
    events: broadcast::Sender<ClientEvent>,
    /// The process whose connection it is. A child has a copy of all this, and must not touch it:
    /// locks may be held for ever there, and descriptors are its parent's too.
    birth: Birth,
}

impl Shared {
    pub fn new(state: State) -> Arc<Shared> {
        let (events, _) = broadcast::channel(EVENTS_KEPT);
        Arc::new(Shared {
            state: Mutex::new(state),
            pump: Mutex::new(None),
            wanted: AtomicBool::new(false),
            alarm: Arc::default(),
            turn: AtomicU32::new(0),
            events,
            birth: Birth::here(),
        })
    }

    /// Whether this process is a child of the one whose connection it is.
    #[inline]
    pub fn is_forked(&self) -> bool {
        self.birth.is_elsewhere()
    }

    /// Sets or takes away the connection.
    pub fn set_pump(&self, pump: Option<Pump>) {
        if self.is_forked() {
            // What it gives back would be taken from the parent.
            let _kept = ManuallyDrop::new(pump);
            return;
        }
        // Dropped after the lock is released: closing takes a while.
        let old = std::mem::replace(&mut *self.pump.lock(), pump);
        drop(old);
    }

    /// Whom a connection wakes.
    pub fn alarm(&self) -> &Arc<Alarm> {
        &self.alarm
    }

    /// Drives the connection on behalf of the driver.
    pub fn poll_pump(&self, cx: &mut Context<'_>) -> Poll<End> {
        if self.is_forked() {
            return Poll::Pending;
        }
        self.wanted.store(true, Ordering::Relaxed);
        let mut pump = self.pump.lock();
        self.wanted.store(false, Ordering::Relaxed);
        self.alarm.set_driver(cx.waker());
        match &mut *pump {
            Some(pump) => pump.poll(self, cx),
            None => Poll::Ready(End::Lost("there is no connection".into())),
        }
    }

    /// To be asked before each of many hand-overs. Pending when others are to run first.
    #[inline]
    fn poll_turn(&self, cx: &mut Context<'_>) -> Poll<()> {
        // Several tasks may count at once and lose some: it need not be exact.
        let turn = self.turn.load(Ordering::Relaxed).wrapping_add(1);
        self.turn.store(turn, Ordering::Relaxed);
        if !turn.is_multiple_of(TURN) || self.is_forked() {
            return Poll::Ready(());
        }
        let budget = ready!(tokio::task::coop::poll_proceed(cx));
        budget.made_progress();
        if let Some(mut pump) = self.pump.try_lock()
            && let Some(pump) = &mut *pump
            && !pump.push(self)
        {
            self.alarm.wake_driver();
        }
        Poll::Ready(())
    }

    /// Whether something has come, so that it is worth polling again. Takes part in the
    /// runtime's budget: a task that always finds something still lets others run.
    fn assist(&self, cx: &mut Context<'_>, alone: Option<Channel>) -> bool {
        if self.is_forked() {
            return false;
        }
        let Some(mut pump) = self.pump.try_lock() else { return false };
        let Some(pump) = &mut *pump else { return false };
        match pump.assist(self, alone, || !self.wanted.load(Ordering::Relaxed)) {
            Assisted::Nothing => {
                self.alarm.set_helper(cx.waker());
                false
            }
            Assisted::Impossible => false,
            Assisted::Again => {
                cx.waker().wake_by_ref();
                false
            }
            Assisted::Progress => match tokio::task::coop::poll_proceed(cx) {
                Poll::Ready(budget) => {
                    budget.made_progress();
                    true
                }
                // Nobody may look again: what the read has brought about is the driver's to write.
                Poll::Pending => {
                    self.with(|_| ());
                    false
                }
            },
            Assisted::WakeDriver => {
                self.alarm.wake_driver();
                // Something may have come for it all the same.
                cx.waker().wake_by_ref();
                false
            }
        }
    }

    /// Acts on the state; afterwards the driver is woken if there is something to write.
    #[inline]
    pub fn with<R>(&self, act: impl FnOnce(&mut State) -> R) -> R {
        if self.is_forked() {
            return act(&mut State::forked());
        }
        let mut state = self.state.lock();
        let result = act(&mut state);
        let driver = if state.wants_driver() { state.driver.take() } else { None };
        drop(state);
        if let Some(driver) = driver {
            driver.wake();
        }
        result
    }

    /// The driver is woken when there is something to write. `false` if there is by now.
    pub fn stay_driven(&self, driver: &Waker) -> bool {
        let mut state = self.state.lock();
        if !state.driver.as_ref().is_some_and(|waker| waker.will_wake(driver)) {
            state.driver = Some(driver.clone());
        }
        !state.wants_driver()
    }

    /// Acts on the state on behalf of the driver; wakes whom it lists, and tells its events.
    pub fn drive<R>(&self, act: impl FnOnce(&mut State) -> R) -> R {
        if self.is_forked() {
            return act(&mut State::forked());
        }
        let mut state = self.state.lock();
        let result = act(&mut state);
        if state.wakers.is_empty() && state.events.is_empty() {
            return result;
        }
        let mut wakers = std::mem::take(&mut state.wakers);
        let events = std::mem::take(&mut state.events);
        drop(state);
        for event in events {
            // Nobody may be listening.
            let _ = self.events.send(event);
        }
        wakers.drain(..).for_each(Waker::wake);
        // The list goes back for its allocation, unless there is a newer one.
        let mut state = self.state.lock();
        if state.wakers.capacity() == 0 {
            state.wakers = wakers;
        }
        result
    }

    /// Writes what was handed over, as far as this needs nobody else. `false` if the driver must.
    #[cfg(feature = "blocking")]
    pub fn let_out(&self) -> bool {
        if !self.with(|state| state.session.wants_write()) {
            return true;
        }
        let Some(mut pump) = self.pump.try_lock() else { return false };
        let out = pump.as_mut().is_some_and(|pump| pump.let_out(self));
        drop(pump);
        if !out {
            self.alarm.wake_driver();
        }
        out
    }

    /// Ready when the client has ended.
    #[cfg(feature = "blocking")]
    pub fn poll_ended(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.with(|state| match state.check() {
            Err(_) => Poll::Ready(()),
            Ok(()) => {
                state.wait_to_send(cx);
                Poll::Pending
            }
        })
    }

    pub fn subscribe_events(&self) -> broadcast::Receiver<ClientEvent> {
        self.events.subscribe()
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if self.is_forked() {
            let _kept = ManuallyDrop::new(self.pump.get_mut().take());
        }
    }
}

/// Keeps a client going.
pub(crate) struct Handle(pub Arc<Shared>);

impl Handle {
    #[inline]
    pub fn with<R>(&self, act: impl FnOnce(&mut State) -> R) -> R {
        self.0.with(act)
    }
}

/// Something that waits at a client.
pub(crate) trait Waits {
    /// Where.
    fn place(&self) -> Place<'_>;
}

/// Where something waits.
pub(crate) struct Place<'a> {
    handle: &'a Handle,
    /// The channel, if nobody else waits for what comes there.
    alone: Option<Channel>,
}

impl Waits for Handle {
    fn place(&self) -> Place<'_> {
        Place { handle: self, alone: None }
    }
}

impl Waits for Arc<Handle> {
    fn place(&self) -> Place<'_> {
        Place { handle: self, alone: None }
    }
}

impl Waits for OpenChannel {
    fn place(&self) -> Place<'_> {
        Place { handle: &self.handle, alone: None }
    }
}

impl<S: Waits> Waits for &S {
    fn place(&self) -> Place<'_> {
        (*self).place()
    }
}

/// Polls; while that is pending, drives the connection from here as far as that goes.
#[inline]
pub(crate) fn poll_assisted<S: Waits, T>(
    own: &mut S,
    cx: &mut Context<'_>,
    mut poll: impl FnMut(&mut S, &mut Context<'_>) -> Poll<T>,
) -> Poll<T> {
    for _ in 0..LOOKS_MAX {
        let done = poll(own, cx);
        if done.is_ready() {
            return done;
        }
        let Place { handle, alone } = own.place();
        if !handle.0.assist(cx, alone) {
            return Poll::Pending;
        }
    }
    cx.waker().wake_by_ref();
    Poll::Pending
}

/// As [`poll_assisted`], for what is mostly ready: a task that never has to wait lets others
/// run now and then, and what it has handed over goes out meanwhile.
#[inline]
pub(crate) fn poll_fairly<S: Waits, T>(
    own: &mut S,
    cx: &mut Context<'_>,
    poll: impl FnMut(&mut S, &mut Context<'_>) -> Poll<T>,
) -> Poll<T> {
    ready!(own.place().handle.0.poll_turn(cx));
    poll_assisted(own, cx, poll)
}

/// Waits for what this poll says, as [`poll_assisted`] does.
pub(crate) async fn wait_assisted<T>(
    mut own: &impl Waits,
    mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
) -> T {
    std::future::poll_fn(move |cx| poll_assisted(&mut own, cx, |_, cx| poll(cx))).await
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.with(|state| {
            state.closing = true;
            state.session.goodbye();
        });
    }
}

/// An open channel; closes it when it is dropped.
pub(crate) struct OpenChannel {
    pub handle: Arc<Handle>,
    pub channel: Channel,
    pub serial: u64,
}

impl OpenChannel {
    /// Acts on the state, if the channel is still this one and has not ended.
    #[inline]
    pub fn with<R>(&self, act: impl FnOnce(&mut State) -> R) -> Result<R, Error> {
        self.handle.with(|state| {
            state.check_open(self.channel, self.serial)?;
            Ok(act(state))
        })
    }

    /// For who alone waits for what comes here.
    pub fn alone(&self) -> Place<'_> {
        Place { handle: &self.handle, alone: Some(self.channel) }
    }
}

impl Drop for OpenChannel {
    fn drop(&mut self) {
        self.handle.with(|state| state.close_channel(self.channel, self.serial));
    }
}
