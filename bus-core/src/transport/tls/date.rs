//! Moments, as certificates give them and as people read them.
//!
//! In seconds since 1970, UTC. There is no clock here, and no calendar: that is the library's
//! which reads certificates.

use std::fmt;
use std::time::Duration;

use x509_cert::der::DateTime;

/// A moment, to the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(u64);

impl Moment {
    /// So many seconds after 1970.
    pub const fn from_unix(seconds: u64) -> Moment {
        Moment(seconds)
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A certificate has four digits for the year, so that no later moment stands in one.
        let Ok(date) = DateTime::from_unix_duration(Duration::from_secs(self.0)) else {
            return out.write_str("a time after the year 9999");
        };
        let (year, month, day) = (date.year(), date.month(), date.day());
        let (hour, minute, second) = (date.hour(), date.minutes(), date.seconds());
        write!(out, "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_told() {
        let check = |seconds: u64, told: &str| {
            assert_eq!(Moment::from_unix(seconds).to_string(), told);
        };
        check(0, "1970-01-01 00:00:00 UTC");
        check(951_868_799, "2000-02-29 23:59:59 UTC");
        check(951_868_800, "2000-03-01 00:00:00 UTC");
        check(1_795_684_260, "2026-11-26 09:11:00 UTC");
        check(253_402_300_799, "9999-12-31 23:59:59 UTC");
        check(253_402_300_800, "a time after the year 9999");
        check(u64::MAX, "a time after the year 9999");
    }
}
