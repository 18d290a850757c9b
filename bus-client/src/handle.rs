//! What all handles of a client share, and the one lock around it.
//!
//! The lock is held for moments only, never across an await or a system call; wakers are woken
//! after it is released. The client ends when the last handle is dropped.

use std::sync::Arc;
use std::task::Waker;

use bus_core::router::Channel;
use parking_lot::Mutex;
use tokio::sync::broadcast;

use crate::error::Error;
use crate::events::{ClientEvent, EVENTS_KEPT};
use crate::state::State;

/// State and event stream of a client; also held by its driver.
pub(crate) struct Shared {
    state: Mutex<State>,
    events: broadcast::Sender<ClientEvent>,
}

impl Shared {
    pub fn new(state: State) -> Arc<Shared> {
        let (events, _) = broadcast::channel(EVENTS_KEPT);
        Arc::new(Shared { state: Mutex::new(state), events })
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
