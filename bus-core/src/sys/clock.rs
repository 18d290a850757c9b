//! The clock that other programs of this machine read as well.
//!
//! Only to be told to them: what the bus does by the clock is told the time by its callers.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// The time since some moment, the same for all processes (`CLOCK_MONOTONIC`).
pub fn monotonic_clock() -> Duration {
    let now = clock_gettime(ClockId::Monotonic);
    // The kernel's numbers are never negative, and its nanoseconds are below a second.
    let seconds = u64::try_from(now.tv_sec).unwrap_or_default();
    Duration::from_secs(seconds)
        + Duration::from_nanos(u64::try_from(now.tv_nsec).unwrap_or_default())
}
