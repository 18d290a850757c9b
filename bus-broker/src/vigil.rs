//! The broker's thread stays awake for its lanes, for a moment and while that pays.
//!
//! The runtime calls before it goes to sleep. Lanes that have brought something lately are then
//! looked at without a system call, and what they bring is taken there and then; whoever writes
//! into one of them need not wake the broker. Sockets, timers and tasks wait for that moment:
//! for some tens of microseconds, and for what one look has found.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::{Rc, Weak};
use std::sync::OnceLock;
use std::task::Waker;
use std::time::{Duration, Instant};

use bus_core::router::SessionId;
use bus_core::transport::{Pace, Waiting};

use crate::hub::{Hub, SharedHub};
use crate::slot::line_of;

/// Lanes that are looked at, those that have brought something last.
const LANES_MAX: usize = 64;
/// How long others wait at the most while lanes go on bringing something.
const TURN: Duration = Duration::from_micros(50);
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
    /// Those that have something, at this look.
    seen: Vec<SessionId>,
}

impl Vigil {
    pub fn new(waiting: Waiting) -> Vigil {
        Vigil {
            pace: Pace::new(waiting, since_start),
            lively: Vec::new(),
            found: 0,
            seen: Vec::new(),
        }
    }

    /// A session's lane has brought so many bytes.
    pub fn found(&mut self, session: SessionId, bytes: usize) {
        if self.pace.waiting() == Waiting::Park {
            return;
        }
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
        let Vigil { pace, lively, found, .. } = vigil;
        if !pace.stays_awake() {
            return pace.sleeps();
        }
        lively.retain(|(session, when)| {
            // One that is not to be heard now would be found again at every look.
            let heard = line_of(slots, *session).is_some_and(|line| !line.is_paused());
            *found - when <= LIVELY && heard
        });
        if lively.is_empty() {
            return pace.sleeps();
        }
        for (session, _) in &*lively {
            if let Some(direct) = line_of(slots, *session).and_then(|line| line.link.direct()) {
                direct.stay_awake();
            }
        }
        self.has_woken = false;
        let until = since_start() + TURN;
        let mut seen = self.look();
        while seen {
            let mut sessions = std::mem::take(&mut self.vigil.seen);
            for session in sessions.drain(..) {
                // As in a task of its own: a mistake costs that connection alone.
                if catch_unwind(AssertUnwindSafe(|| self.take_turn(session))).is_err() {
                    self.give_up(session);
                }
            }
            self.vigil.seen = sessions;
            if self.has_woken || since_start() >= until {
                break;
            }
            seen = self.look();
        }
        self.rest(seen);
    }

    /// Waits awake until some lane has something: which ones is in `seen`.
    fn look(&mut self) -> bool {
        let Hub { vigil, slots, .. } = self;
        let Vigil { pace, lively, seen, .. } = vigil;
        let looked = pace.watch(|| {
            // A link that fails to be looked at has something to tell.
            seen.extend(lively.iter().map(|(session, _)| *session).filter(|session| {
                let direct = line_of(slots, *session).and_then(|line| line.link.direct());
                direct.is_some_and(|direct| direct.look().unwrap_or(true))
            }));
            Ok(!seen.is_empty())
        });
        looked.unwrap_or(false)
    }

    /// Has the tasks of the lanes woken for what comes from here on.
    fn rest(&mut self, seen: bool) {
        let Hub { vigil, slots, .. } = self;
        let Vigil { pace, lively, .. } = vigil;
        for (session, _) in &*lively {
            let Some(line) = line_of(slots, *session) else { continue };
            let rests = line.link.direct().is_none_or(|direct| direct.rest().unwrap_or(false));
            if let (false, Some(waker)) = (rests, &line.waker) {
                waker.wake_by_ref();
            }
        }
        if seen {
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
