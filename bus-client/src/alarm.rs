//! Whom a connection wakes: first whoever waits and drives it from its own poll, then the driver.
//!
//! It holds wakers and knows no connection. The driver is always woken: whoever waited may have
//! gone away, and nothing that comes must depend on it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Wake, Waker};

use parking_lot::Mutex;

/// What the links of a client have for a waker.
#[derive(Default)]
pub(crate) struct Alarm {
    /// Since it was last asked.
    rung: AtomicBool,
    /// The last one who has driven the connection and found nothing for itself.
    helper: Mutex<Option<Waker>>,
    driver: Mutex<Option<Waker>>,
}

impl Alarm {
    /// Whether a link has woken since [`Alarm::take`].
    pub fn has_rung(&self) -> bool {
        self.rung.load(Ordering::Acquire)
    }

    /// The same, and it is forgotten: to be asked before the link is, never after it.
    pub fn take(&self) -> bool {
        self.has_rung() && self.rung.swap(false, Ordering::AcqRel)
    }

    /// Who drives the connection if nobody else does.
    pub fn set_driver(&self, waker: &Waker) {
        replace(&mut self.driver.lock(), waker);
    }

    /// Who is woken before the driver, once. If it waits no more, that is in vain.
    pub fn set_helper(&self, waker: &Waker) {
        replace(&mut self.helper.lock(), waker);
    }

    /// Wakes the driver alone.
    pub fn wake_driver(&self) {
        let driver = self.driver.lock().clone();
        driver.inspect(Waker::wake_by_ref);
    }
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.rung.store(true, Ordering::Release);
        let helper = self.helper.lock().take();
        if let Some(helper) = helper {
            helper.wake();
        }
        self.wake_driver();
    }
}

fn replace(slot: &mut Option<Waker>, waker: &Waker) {
    match slot {
        Some(old) if old.will_wake(waker) => {}
        _ => *slot = Some(waker.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Count(Mutex<Vec<&'static str>>);

    struct Named(&'static str, Arc<Count>);

    impl Wake for Named {
        fn wake(self: Arc<Self>) {
            self.1.0.lock().push(self.0);
        }
    }

    #[test]
    fn helper_is_woken_once_and_before_the_driver_who_is_woken_each_time() {
        let woken = Arc::new(Count(Mutex::default()));
        let named = |name| Waker::from(Arc::new(Named(name, woken.clone())));
        let alarm = Arc::new(Alarm::default());
        alarm.set_driver(&named("driver"));
        alarm.set_helper(&named("helper"));
        assert!(!alarm.take());
        Waker::from(alarm.clone()).wake_by_ref();
        assert_eq!(*woken.0.lock(), ["helper", "driver"]);
        assert!(alarm.take() && !alarm.take());
        Waker::from(alarm.clone()).wake();
        assert_eq!(*woken.0.lock(), ["helper", "driver", "driver"]);
        assert!(alarm.has_rung());
    }
}
