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
}

impl Pace {
    /// It was idle, and has something to do now.
    pub(super) fn begin(&mut self, now: Time) {
        self.since = now;
    }

    /// It has used up so much more.
    pub(super) fn report(&mut self, now: Time, bytes: u64) {
        let taken_nanos = now.since(self.since).as_nanos().max(1);
        let bytes = u128::from(bytes) * MOMENT.as_nanos() / taken_nanos;
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX).min(BYTES_MAX);
        self.bytes = bytes.max(self.bytes / 2);
        self.since = now;
    }

    /// What it may be given at once, if an even share is less.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }
}
