//! What all handles of a client share, and the one lock around it.
//!
//! The lock is held for moments only, never across an await or a system call; wakers are woken
//! after it is released. The client ends when the last handle is dropped.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::{Context, Poll, Waker, ready};

use bus_core::router::Channel;
use parking_lot::Mutex;
use tokio::sync::broadcast;

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
    driver: Mutex<Option<Waker>>,
    /// Counts hand-overs.
    turn: AtomicU32,
    events: broadcast::Sender<ClientEvent>,
}

impl Shared {
    pub fn new(state: State) -> Arc<Shared> {
        let (events, _) = broadcast::channel(EVENTS_KEPT);
        Arc::new(Shared {
            state: Mutex::new(state),
            pump: Mutex::new(None),
            wanted: AtomicBool::new(false),
            driver: Mutex::new(None),
            turn: AtomicU32::new(0),
            events,
        })
    }

    /// Sets or takes away the connection.
    pub fn set_pump(&self, pump: Option<Pump>) {
        // Dropped after the lock is released: closing takes a while.
        let old = std::mem::replace(&mut *self.pump.lock(), pump);
        drop(old);
    }

    /// Drives the connection on behalf of the driver.
    pub fn poll_pump(&self, cx: &mut Context<'_>) -> Poll<End> {
        self.wanted.store(true, Ordering::Relaxed);
        let mut pump = self.pump.lock();
        self.wanted.store(false, Ordering::Relaxed);
        let mut driver = self.driver.lock();
        if !driver.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            *driver = Some(cx.waker().clone());
        }
        drop(driver);
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
        if !turn.is_multiple_of(TURN) {
            return Poll::Ready(());
        }
        let budget = ready!(tokio::task::coop::poll_proceed(cx));
        budget.made_progress();
        if let Some(mut pump) = self.pump.try_lock()
            && let Some(pump) = &mut *pump
            && !pump.push(self)
            && let Some(driver) = &*self.driver.lock()
        {
            driver.wake_by_ref();
        }
        Poll::Ready(())
    }

    /// Whether something has come, so that it is worth polling again. Takes part in the
    /// runtime's budget: a task that always finds something still lets others run.
    fn assist(&self, cx: &mut Context<'_>) -> bool {
        let Some(mut pump) = self.pump.try_lock() else { return false };
        let Some(pump) = &mut *pump else { return false };
        match pump.assist(self, || !self.wanted.load(Ordering::Relaxed)) {
            Assisted::Nothing => false,
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
                if let Some(driver) = &*self.driver.lock() {
                    driver.wake_by_ref();
                }
                false
            }
        }
    }

    /// Acts on the state; afterwards the driver is woken if there is something to write.
    #[inline]
    pub fn with<R>(&self, act: impl FnOnce(&mut State) -> R) -> R {
        let mut state = self.state.lock();
        let result = act(&mut state);
        let driver = if state.wants_driver() { state.driver.take() } else { None };
        drop(state);
        if let Some(driver) = driver {
            driver.wake();
        }
        result
    }

    /// Acts on the state on behalf of the driver; wakes whom it lists, and tells its events.
    pub fn drive<R>(&self, act: impl FnOnce(&mut State) -> R) -> R {
        let mut state = self.state.lock();
        let result = act(&mut state);
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

    pub fn subscribe_events(&self) -> broadcast::Receiver<ClientEvent> {
        self.events.subscribe()
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
    /// At which.
    fn handle(&self) -> &Handle;
}

impl Waits for Handle {
    fn handle(&self) -> &Handle {
        self
    }
}

impl Waits for Arc<Handle> {
    fn handle(&self) -> &Handle {
        self
    }
}

impl Waits for OpenChannel {
    fn handle(&self) -> &Handle {
        &self.handle
    }
}

impl<S: Waits> Waits for &S {
    fn handle(&self) -> &Handle {
        (*self).handle()
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
        match poll(own, cx) {
            Poll::Pending if own.handle().0.assist(cx) => {}
            done => return done,
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
    ready!(own.handle().0.poll_turn(cx));
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
}

impl Drop for OpenChannel {
    fn drop(&mut self) {
        self.handle.with(|state| state.close_channel(self.channel, self.serial));
    }
}
