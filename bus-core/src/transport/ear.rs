//! A descriptor that a link watches, polled only when it has something to tell.
//!
//! The runtime is asked once, and then again after each event; whoever polls in between is told
//! by one load that there was none. It reads nothing.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use tokio::io::Interest;
use tokio::io::unix::{AsyncFd, AsyncFdReadyGuard};

use crate::sync::{AtomicBool, Ordering};
use crate::sys::watch;

/// Watches for something to read.
pub(super) struct Ear {
    descriptor: AsyncFd<OwnedFd>,
    call: Arc<Call>,
    waker: Waker,
    /// The runtime has the waker, unless there was an event since.
    listens: bool,
    /// The same as in the call: this one can be looked at without the lock.
    task: Option<Waker>,
}

/// What the runtime wakes.
#[derive(Default)]
struct Call {
    woken: AtomicBool,
    task: Mutex<Option<Waker>>,
}

impl Ear {
    /// At a descriptor that does not block.
    ///
    /// # Errors
    /// When the runtime or the kernel refuses.
    pub fn new(descriptor: OwnedFd) -> io::Result<Ear> {
        let call = Arc::new(Call::default());
        let waker = Waker::from(call.clone());
        let descriptor = watch(descriptor, Interest::READABLE)?;
        Ok(Ear { descriptor, call, waker, listens: false, task: None })
    }

    /// The descriptor.
    pub fn descriptor(&self) -> &OwnedFd {
        self.descriptor.get_ref()
    }

    /// Ready when there was an event that was not cleared; else the task is woken by the next.
    pub fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<AsyncFdReadyGuard<'_, OwnedFd>>> {
        if !self.has_news(cx) {
            return Poll::Pending;
        }
        let ready = self.descriptor.poll_read_ready(&mut Context::from_waker(&self.waker));
        self.listens = ready.is_pending();
        ready
    }

    /// Pending: what there was until now is forgotten, and the task is woken by the next event.
    /// Whoever asks looks afterwards for what an event was about.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.has_news(cx) {
            return Poll::Pending;
        }
        // Without a system call: it says that the event has been used up.
        let forget = |_: &OwnedFd| Err::<(), _>(io::Error::from(io::ErrorKind::WouldBlock));
        if let Err(error) = self.descriptor.try_io(Interest::READABLE, forget)
            && error.kind() != io::ErrorKind::WouldBlock
        {
            return Poll::Ready(Err(error));
        }
        let ready = self.descriptor.poll_read_ready(&mut Context::from_waker(&self.waker));
        self.listens = ready.is_pending();
        ready.map(|guard| guard.map(drop))
    }

    /// Puts the task in place. Whether the runtime must be asked.
    fn has_news(&mut self, cx: &mut Context<'_>) -> bool {
        if !self.task.as_ref().is_some_and(|task| task.will_wake(cx.waker())) {
            self.task = Some(cx.waker().clone());
            let old = self.call.task().replace(cx.waker().clone());
            drop(old);
        }
        // After the task is in place: an event that did not wake it is seen here.
        if self.listens && !self.call.woken.load(Ordering::Acquire) {
            return false;
        }
        self.call.woken.store(false, Ordering::Relaxed);
        true
    }
}

impl Call {
    fn task(&self) -> MutexGuard<'_, Option<Waker>> {
        // A waker that panics when it is cloned leaves what was there.
        self.task.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for Call {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.store(true, Ordering::Release);
        let task = self.task().clone();
        task.inspect(Waker::wake_by_ref);
    }
}
