//! The broker's thread stays awake for its lanes, for a moment and while that pays.
//!
//! The runtime calls before it goes to sleep. Lanes that have brought something lately are then
//! looked at without a system call; whoever writes into one of them need not wake the broker.
//! Sockets and timers wait for that moment, which is 50 us at most.

use std::cell::RefCell;
use std::rc::{Rc, Weak};
use std::sync::OnceLock;
use std::task::Waker;
use std::time::{Duration, Instant};

use bus_core::router::SessionId;
use bus_core::transport::{Pace, Waiting};

use crate::hub::{Hub, SharedHub, slot_of};
use crate::slot::{Line, Slot};

/// Lanes that are looked at, those that have brought something last.
const LANES_MAX: usize = 64;
/// A lane is lively until others have brought something so often since it has.
const LIVELY: u64 = 256;

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
    /// Sessions whose lanes have brought something lately, and when: counted in `found`.
    lively: Vec<(SessionId, u64)>,
    found: u64,
}

impl Vigil {
    pub fn new(waiting: Waiting) -> Vigil {
        Vigil { pace: Pace::new(waiting, since_start), lively: Vec::new(), found: 0 }
    }

    /// A session's lane has brought so many bytes.
    pub fn found(&mut self, session: SessionId, bytes: usize) {
        self.pace.drained(bytes);
        self.found += 1;
        let now = self.found;
        if let Some((_, when)) = self.lively.iter_mut().find(|(other, _)| *other == session) {
            *when = now;
            return;
        }
        if self.lively.len() == LANES_MAX
            && let Some(oldest) = (0..LANES_MAX).min_by_key(|index| self.lively[*index].1)
        {
            self.lively.swap_remove(oldest);
        }
        self.lively.push((session, now));
    }
}

impl Hub {
    fn watch_lanes(&mut self) {
        let Hub { vigil, slots, .. } = self;
        let Vigil { pace, lively, found } = vigil;
        lively.retain(|(session, when)| {
            // One that is not to be heard now would be found again at every look.
            let heard = line_of(slots, *session).is_some_and(|line| line.pause.is_none());
            *found - when <= LIVELY && heard
        });
        if !pace.stays_awake() || lively.is_empty() {
            return pace.sleeps();
        }
        for (session, _) in &*lively {
            if let Some(direct) = line_of(slots, *session).and_then(|line| line.link.direct()) {
                direct.stay_awake();
            }
        }
        // A link that fails to be looked at has something to tell its task.
        let seen = pace.watch(|| {
            Ok(lively.iter().any(|(session, _)| {
                let direct = line_of(slots, *session).and_then(|line| line.link.direct());
                direct.is_some_and(|direct| direct.look().unwrap_or(true))
            }))
        });
        for (session, _) in &*lively {
            let Some(line) = line_of(slots, *session) else { continue };
            let rests = line.link.direct().is_none_or(|direct| direct.rest().unwrap_or(false));
            if let (false, Some(waker)) = (rests, &line.waker) {
                waker.wake_by_ref();
            }
        }
        if seen.unwrap_or(false) {
            return;
        }
        pace.sleeps();
        // With work to do the runtime does not sleep.
        let mut wakers =
            lively.iter().filter_map(|(session, _)| line_of(slots, *session)?.waker.clone());
        if pace.waiting() == Waiting::Spin {
            wakers.next().into_iter().for_each(Waker::wake);
        }
    }
}

/// The time since this was first asked for.
fn since_start() -> Duration {
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed()
}

fn line_of(slots: &mut [Option<Slot>], session: SessionId) -> Option<&mut Line> {
    slot_of(slots, session)?.line.as_mut()
}
