//! What drives a blocking client: the threads that wait, on a runtime of the client's own.
//!
//! A thread that waits enters that runtime, and so polls the connection itself: what comes wakes
//! it and nobody else, and no second thread stands between a message and its receiver. While
//! nobody waits the client's own thread does it. A thread that belongs to a runtime of the
//! application may not enter a second one: it parks, and the client's thread drives. Invariant:
//! no handle's destructor blocks; the runtime is taken down on the client's thread.

use std::future::{Future, poll_fn};
use std::mem::ManuallyDrop;
use std::pin::pin;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use bus_core::ErrorKind;
use tokio::runtime::{self, Runtime};
use tokio::task::coop::unconstrained;
use tokio::time::timeout_at;

use super::gate::{Gate, Turn};
use crate::deadline::after;
use crate::error::Error;
use crate::handle::{Handle, Shared};

/// How long the goodbye of a client may take to go out when its last handle is dropped.
const FAREWELL: Duration = Duration::from_secs(1);

/// What drives a client; each handle has one. Clones share all but the time of their calls.
#[derive(Clone)]
pub(crate) struct Engine {
    keeper: Arc<Keeper>,
    limit: Option<Duration>,
}

/// Ends the client's thread when the last handle is dropped.
struct Keeper {
    /// Nothing only while it is being dropped.
    runtime: Option<Arc<Runtime>>,
    common: Arc<Common>,
}

/// What the client's thread shares with the handles.
#[derive(Default)]
struct Common {
    gate: Gate,
    /// The runtime of the handles, once they are all gone.
    over: Mutex<Option<Arc<Runtime>>>,
    /// The client, once it is connected.
    client: OnceLock<Arc<Shared>>,
}

impl Engine {
    /// Makes the runtime, and the thread that takes over when nobody waits.
    pub fn start() -> Result<Engine, Error> {
        let failed = |error: std::io::Error| {
            let text = format!("a blocking client needs a thread and three descriptors: {error}");
            Error::new(ErrorKind::Io, text).with_source(error)
        };
        let runtime = runtime::Builder::new_current_thread().enable_all().build();
        let runtime = Arc::new(runtime.map_err(failed)?);
        let common = Arc::new(Common::default());
        let (its_runtime, its_common) = (runtime.clone(), common.clone());
        let thread = thread::Builder::new().name("bus-client".into());
        thread.spawn(move || run(its_runtime, &its_common)).map_err(failed)?;
        Ok(Engine { keeper: Arc::new(Keeper { runtime: Some(runtime), common }), limit: None })
    }

    /// The client has connected.
    pub fn connected(&self, client: &Arc<Shared>) {
        // It does so once.
        let _ = self.keeper.common.client.set(client.clone());
    }

    /// The same, but its calls take at most so long.
    pub fn within(&self, limit: Duration) -> Engine {
        Engine { keeper: self.keeper.clone(), limit: Some(limit) }
    }

    /// How long a call may take.
    pub fn limit(&self) -> Option<Duration> {
        self.limit
    }

    /// Blocks until the future is ready, or the time for calls is up: then the future is dropped,
    /// and the error says `what` was not done.
    pub fn call<T>(
        &self,
        what: impl FnOnce() -> String,
        future: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        match self.limit {
            None => self.wait(future),
            Some(limit) => {
                let limited = async { timeout_at(after(limit), future).await };
                self.wait(limited).unwrap_or_else(|_| {
                    let text = format!("{}: not done within {limit:?}", what());
                    Err(Error::new(ErrorKind::TimedOut, text))
                })
            }
        }
    }

    /// Blocks until the future is ready, or so long. `None` if it is not by then.
    pub fn wait_for<T>(&self, limit: Duration, future: impl Future<Output = T>) -> Option<T> {
        self.wait(async { timeout_at(after(limit), future).await }).ok()
    }

    /// As [`Engine::call`]; what the call has handed over is on its way when this returns.
    pub fn hand_over<T>(
        &self,
        handle: &Handle,
        what: impl FnOnce() -> String,
        future: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let foreign = is_foreign();
        self.call(what, async {
            let done = future.await;
            if !handle.0.let_out() && !foreign {
                // The driver is a task of the runtime that this thread is in, and is due.
                tokio::task::yield_now().await;
            }
            done
        })
    }

    /// Whether this process is a child of the one whose client it is.
    pub fn is_forked(&self) -> bool {
        self.keeper.common.is_forked()
    }

    /// Blocks until the future is ready.
    pub fn wait<F: Future>(&self, future: F) -> F::Output {
        let common = &self.keeper.common;
        match &self.keeper.runtime {
            // Its calls fail at once. The gate may be locked for ever, and the runtime's
            // descriptors are the parent's too.
            runtime if common.is_forked() => {
                let _context = runtime.as_ref().map(|runtime| runtime.enter());
                park_until(future)
            }
            Some(runtime) if !is_foreign() => {
                let _caller = common.gate.enter(true);
                runtime.block_on(future)
            }
            runtime => {
                let _caller = common.gate.enter(false);
                let _context = runtime.as_ref().map(|runtime| runtime.enter());
                park_until(future)
            }
        }
    }
}

impl Common {
    fn is_forked(&self) -> bool {
        self.client.get().is_some_and(|client| client.is_forked())
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        // Whoever drops a runtime waits for what it still does: that is for the client's thread.
        let over = self.runtime.take();
        if self.common.is_forked() {
            // What it gives back would be taken from the parent.
            let _kept = ManuallyDrop::new(over);
            return;
        }
        *self.common.over.lock().unwrap_or_else(PoisonError::into_inner) = over;
        self.common.gate.end();
    }
}

/// The client's thread.
fn run(runtime: Arc<Runtime>, common: &Common) {
    while common.gate.await_turn() == Turn::Drive {
        runtime.block_on(common.gate.left());
    }
    if let Some(client) = common.client.get() {
        // The driver ends when the goodbye is written.
        let ended = poll_fn(|cx| client.poll_ended(cx));
        let _ = runtime.block_on(async { timeout_at(after(FAREWELL), ended).await });
    }
    drop(common.over.lock().unwrap_or_else(PoisonError::into_inner).take());
    // This is the last holder. A name that is being looked up is not waited for.
    if let Ok(runtime) = Arc::try_unwrap(runtime) {
        runtime.shutdown_background();
    }
}

/// Whether this thread belongs to a runtime.
fn is_foreign() -> bool {
    runtime::Handle::try_current().is_ok()
}

/// Polls on this thread, and parks it meanwhile. It takes no part in the budget of a task that
/// this thread may be in: nothing would give it a new one.
fn park_until<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Parked(thread::current())));
    let mut cx = Context::from_waker(&waker);
    let mut future = pin!(unconstrained(future));
    loop {
        if let Poll::Ready(done) = future.as_mut().poll(&mut cx) {
            return done;
        }
        thread::park();
    }
}

/// Wakes a parked thread.
struct Parked(Thread);

impl Wake for Parked {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.unpark();
    }
}
