//! A bound on what others can cause to be logged.
//!
//! What is over it is counted, and the count stands in the next line that is written: so nobody
//! fills the disk, and nothing is left out silently.

use std::time::Duration;

use bus_core::Time;

/// So many lines at once, and one more after each such time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LogBound {
    burst: u32,
    every: Duration,
    /// When all that was written is paid off.
    paid_off: Time,
    left_out: u64,
}

impl LogBound {
    /// For all of a broker.
    pub fn of_broker() -> LogBound {
        LogBound::new(50, Duration::from_millis(100))
    }

    /// For one session, or one listener.
    pub fn of_one() -> LogBound {
        LogBound::new(10, Duration::from_secs(2))
    }

    fn new(burst: u32, every: Duration) -> LogBound {
        LogBound { burst, every, paid_off: Time::ZERO, left_out: 0 }
    }

    /// Whether a line may be written; if so, how many were left out since the last one.
    pub fn take(&mut self, now: Time) -> Option<u64> {
        let owed = self.paid_off.max(now).after(self.every).since(now);
        if owed > self.every * self.burst {
            self.left_out += 1;
            return None;
        }
        self.paid_off = now.after(owed);
        Some(std::mem::take(&mut self.left_out))
    }

    /// So many more were left out.
    pub fn leave_out(&mut self, count: u64) {
        self.left_out += count;
    }

    /// How many were left out and are not told yet.
    pub fn left_out(&mut self) -> u64 {
        std::mem::take(&mut self.left_out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_bounded_and_what_is_left_out_is_counted() {
        let at = |millis| Time::ZERO.after(Duration::from_millis(millis));
        let mut bound = LogBound::new(3, Duration::from_millis(100));
        let told: Vec<_> = (0..10).map(|_| bound.take(at(1000))).collect();
        assert_eq!(told[..4], [Some(0), Some(0), Some(0), None]);
        assert_eq!(bound.take(at(1100)), Some(7));
        assert_eq!(bound.take(at(1100)), None);
        assert_eq!(bound.left_out(), 1);
        // A million in a minute.
        let written = (0..1_000_000).filter(|n| bound.take(at(2000 + n * 60 / 1000)).is_some());
        assert_eq!(written.count(), 602);
    }
}
