//! The clock that other programs of this machine read as well: there is none that a service manager asks for here.
//!
//! It counts from its first use.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// The time since some moment, which is this process's own.
pub fn monotonic_clock() -> Duration {
    static FIRST: OnceLock<Instant> = OnceLock::new();
    #[expect(clippy::disallowed_methods, reason = "it is the clock that callers are given")]
    let now = Instant::now();
    now.saturating_duration_since(*FIRST.get_or_init(|| now))
}
