//! From a client's own threads, which call back, to the worker, which asks.
//!
//! The worker takes all that is there at once, so that the lock is taken by it once a batch, and it
//! is woken only if it waits. Whoever calls back waits while the box is full, and the client's own
//! back-pressure then holds the sender back.
//! Invariant: at most `max` messages wait, and their order is kept.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Result, bail};

/// See the module.
pub struct Inbox<T> {
    max: usize,
    state: Mutex<State<T>>,
    filled: Condvar,
    emptied: Condvar,
}

struct State<T> {
    messages: Vec<T>,
    reader_waits: bool,
    writers_wait: bool,
}

impl<T> Inbox<T> {
    /// For at most `max` messages.
    pub fn new(max: usize) -> Inbox<T> {
        let messages = Vec::with_capacity(max);
        Inbox {
            max,
            state: Mutex::new(State { messages, reader_waits: false, writers_wait: false }),
            filled: Condvar::new(),
            emptied: Condvar::new(),
        }
    }

    /// Puts one in; waits while the box is full.
    pub fn put(&self, message: T) {
        let mut state = self.lock();
        while state.messages.len() >= self.max {
            state.writers_wait = true;
            state = self.emptied.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.messages.push(message);
        if std::mem::take(&mut state.reader_waits) {
            drop(state);
            self.filled.notify_one();
        }
    }

    /// Waits for at least one and swaps all for `empty`.
    pub fn take(&self, empty: &mut Vec<T>, patience: Duration) -> Result<()> {
        let mut state = self.lock();
        while state.messages.is_empty() {
            state.reader_waits = true;
            let waited = self.filled.wait_timeout(state, patience);
            let (guard, waited) = waited.unwrap_or_else(PoisonError::into_inner);
            state = guard;
            if waited.timed_out() && state.messages.is_empty() {
                bail!("nothing came for {patience:?}");
            }
        }
        std::mem::swap(&mut state.messages, empty);
        if std::mem::take(&mut state.writers_wait) {
            drop(state);
            self.emptied.notify_all();
        }
        Ok(())
    }

    /// A callback that panicked left nothing half done: a push is whole or did not happen.
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);

    #[test]
    fn a_full_box_holds_back_and_keeps_the_order() {
        let inbox = Inbox::new(4);
        thread::scope(|scope| {
            scope.spawn(|| (0..1000).for_each(|number| inbox.put(number)));
            let (mut batch, mut expected) = (Vec::new(), 0);
            while expected < 1000 {
                inbox.take(&mut batch, PATIENCE).unwrap();
                assert!(batch.len() <= 4);
                for number in batch.drain(..) {
                    assert_eq!(number, expected);
                    expected += 1;
                }
            }
        });
    }

    #[test]
    fn silence_is_an_error() {
        let inbox = Inbox::<u8>::new(1);
        assert!(inbox.take(&mut Vec::new(), Duration::ZERO).is_err());
    }
}
