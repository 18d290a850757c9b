//! The broker's thread stays awake for its lanes, for a moment and while that pays.
//!
//! The runtime calls before it goes to sleep. Lanes that have brought something lately are then
//! looked at without a system call; whoever writes into one of them need not wake the broker.
//! Sockets and timers wait for that moment, which is 50 us at most.

use std::cell::RefCell;
use std::rc::{Rc, Weak};

use bus_core::router::SessionId;
use bus_core::transport::{Pace, Waiting};

use crate::hub::{Hub, SharedHub, slot_of};
use crate::slot::{Line, Slot};

/// Lanes that are looked at. Beyond that the broker sleeps: it has enough to wake it.
const LANES_MAX: usize = 64;
/// Successes after which lanes must show again that they are in use.
const SUCCESSES_MAX: u32 = 1024;

thread_local! {
    static HUB: RefCell<Weak<RefCell<Hub>>> = const { RefCell::new(Weak::new()) };
}

/// From now on this thread keeps watch for this hub.
pub(crate) fn keep_for(hub: &SharedHub) {
    HUB.set(Rc::downgrade(hub));
}

/// To be called when the thread has nothing more to do.
pub(crate) fn before_sleep() {
    let hub = HUB.with_borrow(Weak::upgrade);
    if let Some(hub) = hub
        && let Ok(mut hub) = hub.try_borrow_mut()
    {
        hub.watch_lanes();
    }
}

/// What the hub knows of its lanes.
pub(crate) struct Vigil {
    pace: Pace,
    /// Sessions whose lanes have brought something lately.
    lively: Vec<SessionId>,
    successes: u32,
}

impl Vigil {
    pub fn new(waiting: Waiting) -> Vigil {
        Vigil { pace: Pace::new(waiting), lively: Vec::new(), successes: 0 }
    }

    /// A session's lane has brought so many bytes.
    pub fn found(&mut self, session: SessionId, bytes: usize) {
        self.pace.drained(bytes);
        if self.lively.len() <= LANES_MAX && !self.lively.contains(&session) {
            self.lively.push(session);
        }
    }
}

impl Hub {
    fn watch_lanes(&mut self) {
        let Hub { vigil, slots, .. } = self;
        let count = vigil.lively.len();
        if !vigil.pace.stays_awake() || count == 0 || count > LANES_MAX {
            vigil.lively.clear();
            return vigil.pace.sleeps();
        }
        for session in &vigil.lively {
            if let Some(direct) = line_of(slots, *session).and_then(|line| line.link.direct()) {
                direct.stay_awake();
            }
        }
        let (pace, lively) = (&mut vigil.pace, &vigil.lively);
        // A link that fails to be looked at has something to tell its task.
        let found = pace.watch(|| {
            Ok(lively.iter().any(|session| {
                let direct = line_of(slots, *session).and_then(|line| line.link.direct());
                direct.is_some_and(|direct| direct.look().unwrap_or(true))
            }))
        });
        for session in lively {
            let Some(line) = line_of(slots, *session) else { continue };
            let rests = line.link.direct().is_none_or(|direct| direct.rest().unwrap_or(false));
            if let (false, Some(waker)) = (rests, &line.waker) {
                waker.wake_by_ref();
            }
        }
        vigil.successes += 1;
        if !found.unwrap_or(false) || vigil.successes >= SUCCESSES_MAX {
            vigil.lively.clear();
            vigil.successes = 0;
            vigil.pace.sleeps();
        }
    }
}

fn line_of(slots: &mut [Option<Slot>], session: SessionId) -> Option<&mut Line> {
    slot_of(slots, session)?.line.as_mut()
}
