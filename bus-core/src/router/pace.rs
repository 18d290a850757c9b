//! Pace: how much a member of a group uses up in a moment, and so how much of a parcel it is given at once.
//!
//! Each piece of a parcel is a write of its own, and wakes its member. Members that read as fast
//! as they can are given the larger pieces, whoever works for long at each message is given no more than its
//! even share. It is measured from when the member has something to do, or has reported last, until it reports
//! again. Invariant: of what nobody has shown to be quick with, everybody gets an even share.

use std::time::Duration;

use crate::limits::PARCEL_BYTES_MAX;
use crate::time::Time;

/// So long others may have less to do than who was given a larger piece, if that one stays as quick as it was.
const MOMENT: Duration = Duration::from_millis(2);

/// No more than so much is remembered: whoever has been quick and is slow now is known as slow after a few reports.
const BYTES_MAX: u64 = 4 * PARCEL_BYTES_MAX as u64;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// Since when it has had something to do, or has not reported.
    since: Time,
    /// What it has used up in a moment: by its last report, or half of what was said before if that is more, since a
    /// member that has waited for a processor for once is as quick as the others.
    bytes: u64,
    /// What that was before the last report.
    before: u64,
    /// The last report: how much in which time.
    used: u64,
    taken_nanos: u128,
}

impl Pace {
    /// It was idle, and has something to do now.
    pub(super) fn begin(&mut self, now: Time) {
        self.since = now;
    }

    /// It has used up so much more. What is reported at one time, as by several frames that came together, is one
    /// report: it took as long as the first of them says.
    pub(super) fn report(&mut self, now: Time, bytes: u64) {
        let taken_nanos = now.since(self.since).as_nanos();
        if taken_nanos > 0 {
            (self.before, self.used, self.taken_nanos) = (self.bytes, 0, taken_nanos);
        }
        self.since = now;
        if self.taken_nanos == 0 {
            return;
        }
        self.used = self.used.saturating_add(bytes);
        let bytes = u128::from(self.used) * MOMENT.as_nanos() / self.taken_nanos;
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX).min(BYTES_MAX);
        self.bytes = bytes.max(self.before / 2);
    }

    /// What it may be given at once, if an even share is less.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_that_come_together_are_one() {
        let at = |millis| Time::ZERO.after(Duration::from_millis(millis));
        let mut pace = Pace::default();
        pace.begin(at(100));
        // Ten jobs of 100 bytes in 200 ms.
        (0..10).for_each(|_| pace.report(at(300), 100));
        assert_eq!(pace.bytes(), 10);
        pace.report(at(301), 100);
        assert_eq!(pace.bytes(), 200);
    }

    #[test]
    fn who_was_quick_is_known_as_slow_after_a_few_reports() {
        let mut pace = Pace::default();
        let mut now = Time::ZERO.after(Duration::from_micros(1));
        pace.report(now, 1 << 20);
        assert_eq!(pace.bytes(), BYTES_MAX);
        for _ in 0..6 {
            now = now.after(Duration::from_secs(1));
            pace.report(now, 1000);
        }
        assert!(pace.bytes() < 8 * 1024, "{}", pace.bytes());
    }
}
