//! Who waits for something that many may wait for at once.
//!
//! A future that is polled again and again before it is woken, as in a `select!` loop, is on
//! the list once or a few times, not once for each poll: the list is never longer than about
//! twice the tasks that wait. They are woken in the order in which they came.

use std::collections::BTreeSet;
use std::task::{Context, Waker};

/// Lengths up to which doubles do no harm.
const LENGTH_MIN: usize = 16;

/// Wakers of those who wait.
#[derive(Default)]
pub(crate) struct Waiters {
    wakers: Vec<Waker>,
    /// How many tasks were on the list when it was last looked through.
    tasks: usize,
}

impl Waiters {
    /// Asks to be woken.
    #[inline]
    pub fn add(&mut self, cx: &Context<'_>) {
        if self.wakers.last().is_some_and(|last| last.will_wake(cx.waker())) {
            return;
        }
        if self.wakers.len() >= (2 * self.tasks).max(LENGTH_MIN) {
            self.forget_doubles();
        }
        self.wakers.push(cx.waker().clone());
    }

    /// Puts all on a list of those to be woken.
    #[inline]
    pub fn release(&mut self, into: &mut Vec<Waker>) {
        into.append(&mut self.wakers);
        self.tasks = 0;
    }

    /// Wakes nobody: who waits is looking now.
    #[inline]
    pub fn forget(&mut self) {
        self.wakers.clear();
        self.tasks = 0;
    }

    pub fn is_empty(&self) -> bool {
        self.wakers.is_empty()
    }

    /// Keeps the first of those that wake the same task.
    fn forget_doubles(&mut self) {
        let mut seen = BTreeSet::new();
        self.wakers.retain(|waker| {
            seen.insert((waker.data().addr(), std::ptr::from_ref(waker.vtable()).addr()))
        });
        self.tasks = self.wakers.len();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::Mutex;
    use std::task::Wake;

    use super::*;

    /// Writes down when it is woken.
    struct Task {
        number: usize,
        woken: Arc<Mutex<Vec<usize>>>,
    }

    impl Wake for Task {
        fn wake(self: Arc<Self>) {
            self.woken.lock().expect("nobody panics").push(self.number);
        }
    }

    #[test]
    fn tasks_that_poll_again_and_again_are_few_on_the_list_and_all_are_woken_in_order() {
        for tasks in [1, 2, 5, 100] {
            let woken = Arc::new(Mutex::new(Vec::new()));
            let wakers: Vec<Waker> = (0..tasks)
                .map(|number| Arc::new(Task { number, woken: woken.clone() }).into())
                .collect();
            let mut waiters = Waiters::default();
            for _ in 0..1000 {
                for waker in &wakers {
                    waiters.add(&Context::from_waker(waker));
                }
            }
            assert!(waiters.wakers.len() <= LENGTH_MIN.max(2 * tasks), "{tasks} tasks");
            let mut list = Vec::new();
            waiters.release(&mut list);
            assert!(waiters.is_empty());
            list.into_iter().for_each(Waker::wake);
            let mut first = BTreeSet::new();
            let mut order = woken.lock().expect("nobody panics").clone();
            order.retain(|number| first.insert(*number));
            assert_eq!(order, (0..tasks).collect::<Vec<_>>());
        }
    }
}
