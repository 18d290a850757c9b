//! Pauses between attempts to connect.

use std::time::Duration;

/// Grows from one failed attempt to the next, with jitter. The first attempt after a connection
/// that has lasted is made at once.
#[derive(Clone, Debug)]
pub struct Backoff {
    min: Duration,
    max: Duration,
    /// The last pause, or the shortest.
    pause: Duration,
    /// The next attempt is not made at once.
    due: bool,
}

impl Backoff {
    /// The shortest pause, and the longest.
    pub fn new(min: Duration, max: Duration) -> Backoff {
        Backoff { min, max, pause: min, due: false }
    }

    /// A connection has ended. One that was shorter than the pause before it is no better than
    /// a failed attempt: whoever ends it may do so again and again.
    pub fn connected_for(&mut self, lasted: Duration) {
        if lasted < self.pause {
            return self.failed();
        }
        (self.pause, self.due) = (self.min, false);
    }

    /// An attempt has failed.
    pub fn failed(&mut self) {
        self.due = true;
    }

    /// How long to wait before the next attempt; `None` if not at all.
    pub fn pause(&mut self) -> Option<Duration> {
        let due = std::mem::take(&mut self.due);
        due.then(|| {
            let pause = jittered(self.pause);
            self.pause = (self.pause * 2).min(self.max);
            pause
        })
    }
}

/// Between half and all of a pause, so that many clients do not come back at one moment.
fn jittered(pause: Duration) -> Duration {
    let nanos = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| since.subsec_nanos());
    pause / 2 + pause.mul_f64(f64::from(nanos % 1000) / 2000.0)
}
