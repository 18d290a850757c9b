//! Who drives a client's connection: threads that wait for something, else the client's own thread.
//!
//! It counts, and knows no connection. Callers come and go by [`Gate::enter`]; the client's thread
//! asks [`Gate::await_turn`] when it is needed. Invariant: while nobody is inside, that thread
//! drives, or will within [`LINGER`].

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

/// How long the client's thread leaves the connection alone after the last caller has gone. The
/// next call usually comes sooner, and need not ask for it back then.
const LINGER: Duration = Duration::from_millis(1);

/// The gate.
#[derive(Default)]
pub(crate) struct Gate {
    places: Mutex<Places>,
    changed: Condvar,
    /// Tells the client's thread that somebody else drives from now on.
    leave: Notify,
}

#[derive(Default)]
struct Places {
    /// Callers who drive while they wait.
    inside: usize,
    /// Callers who cannot, since their thread belongs to a runtime: somebody else must.
    beside: usize,
    /// Calls so far; tells whether any was made since it was last looked at.
    calls: u64,
    /// The client's thread drives.
    driving: bool,
    /// The client's thread sleeps until it is woken.
    asleep: bool,
    ended: bool,
}

/// What the client's thread is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Drive until [`Gate::left`] is ready.
    Drive,
    /// Every handle is gone.
    End,
}

/// A caller; leaves when it is dropped.
pub(crate) struct Caller<'a> {
    gate: &'a Gate,
    drives: bool,
}

impl Gate {
    /// Somebody waits. One that drives takes the connection from the client's thread.
    pub fn enter(&self, drives: bool) -> Caller<'_> {
        let mut places = self.lock();
        places.calls = places.calls.wrapping_add(1);
        match drives {
            true => {
                places.inside += 1;
                if places.driving && places.beside == 0 {
                    self.leave.notify_one();
                }
            }
            false => {
                places.beside += 1;
                if !places.driving {
                    self.changed.notify_one();
                }
            }
        }
        Caller { gate: self, drives }
    }

    /// Every handle is gone.
    pub fn end(&self) {
        self.lock().ended = true;
        self.leave.notify_one();
        self.changed.notify_one();
    }

    /// Blocks the client's thread until it is needed.
    pub fn await_turn(&self) -> Turn {
        let mut places = self.lock();
        places.driving = false;
        loop {
            if places.ended {
                return Turn::End;
            }
            if places.beside > 0 {
                break;
            }
            let (calls, inside) = (places.calls, places.inside);
            places = self.linger(places);
            if places.ended || places.calls != calls {
                continue;
            }
            match (inside, places.inside) {
                (0, 0) => break,
                // A call that takes long, or a leave that nobody need be told of.
                (_, 0) => {}
                _ => places = self.sleep(places),
            }
        }
        places.driving = true;
        Turn::Drive
    }

    /// Ready when the client's thread need not drive any more. Cancelling is harmless.
    pub async fn left(&self) {
        self.leave.notified().await;
    }

    fn linger<'a>(&'a self, places: MutexGuard<'a, Places>) -> MutexGuard<'a, Places> {
        let woken = self.changed.wait_timeout(places, LINGER);
        woken.unwrap_or_else(PoisonError::into_inner).0
    }

    fn sleep<'a>(&'a self, mut places: MutexGuard<'a, Places>) -> MutexGuard<'a, Places> {
        places.asleep = true;
        let woken = self.changed.wait(places);
        let mut places = woken.unwrap_or_else(PoisonError::into_inner);
        places.asleep = false;
        places
    }

    fn lock(&self) -> MutexGuard<'_, Places> {
        // Nobody panics while he has it, and counts would be right all the same.
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Caller<'_> {
    fn drop(&mut self) {
        let mut places = self.gate.lock();
        match self.drives {
            true => places.inside -= 1,
            false => places.beside -= 1,
        }
        // Nobody drives any more for those who cannot, or for nobody in particular.
        if places.inside == 0 && places.asleep {
            self.gate.changed.notify_one();
        }
        if !self.drives && places.beside == 0 && places.inside > 0 && places.driving {
            self.gate.leave.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::mpsc::sync_channel;

    use super::*;

    /// Runs the thread's part, and tells each turn that it gets.
    fn thread(gate: &Arc<Gate>) -> (std::sync::mpsc::Receiver<Turn>, std::thread::JoinHandle<()>) {
        let (tell, told) = sync_channel(16);
        let gate = gate.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().build();
            let runtime = runtime.expect("a runtime");
            loop {
                let turn = gate.await_turn();
                if tell.send(turn).is_err() || turn == Turn::End {
                    return;
                }
                runtime.block_on(gate.left());
            }
        });
        (told, thread)
    }

    #[test]
    fn thread_drives_whenever_nobody_does_and_leaves_to_whoever_comes() {
        let gate = Arc::new(Gate::default());
        let (turns, thread) = thread(&gate);
        assert_eq!(turns.recv(), Ok(Turn::Drive), "nobody is there");
        for _ in 0..3 {
            let caller = gate.enter(true);
            // It has left, and sleeps or is about to: a turn comes only after the caller has gone.
            while gate.lock().driving {
                std::thread::yield_now();
            }
            assert!(turns.try_recv().is_err());
            drop(caller);
            assert_eq!(turns.recv(), Ok(Turn::Drive), "the caller has gone");
        }
        gate.end();
        assert_eq!(turns.recv(), Ok(Turn::End));
        thread.join().expect("it does not panic");
    }

    #[test]
    fn thread_drives_for_a_caller_that_cannot_also_beside_one_that_can() {
        let gate = Arc::new(Gate::default());
        let inside = gate.enter(true);
        let (turns, thread) = thread(&gate);
        let beside = gate.enter(false);
        assert_eq!(turns.recv(), Ok(Turn::Drive), "one cannot drive");
        drop(beside);
        while gate.lock().driving {
            std::thread::yield_now();
        }
        assert!(turns.try_recv().is_err(), "the other one drives");
        drop(inside);
        assert_eq!(turns.recv(), Ok(Turn::Drive));
        gate.end();
        assert_eq!(turns.recv(), Ok(Turn::End));
        thread.join().expect("it does not panic");
    }
}
