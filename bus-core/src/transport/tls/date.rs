//! Moments, as certificates give them and as people read them.
//!
//! In seconds since 1970, UTC. There is no clock here.

use std::fmt;

const DAY: u64 = 24 * 3600;

/// A moment, to the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(u64);

impl Moment {
    /// So many seconds after 1970.
    pub const fn from_unix(seconds: u64) -> Moment {
        Moment(seconds)
    }

    /// Parses the times of certificates: `YYMMDDHHMMSSZ` (from 1950 on) or `YYYYMMDDHHMMSSZ`.
    /// What lies before 1970 is 1970.
    pub(super) fn parse(text: &[u8]) -> Option<Moment> {
        let digits = text.strip_suffix(b"Z")?;
        let (year, rest) = match digits.len() {
            12 => (number(&digits[..2])?, &digits[2..]),
            14 => (number(&digits[..4])?, &digits[4..]),
            _ => return None,
        };
        let year = match (digits.len(), year) {
            (12, 50..) => year + 1900,
            (12, _) => year + 2000,
            _ => year,
        };
        let mut parts = rest.chunks(2).map(number);
        let mut next = |least: u64, most: u64| {
            parts.next().flatten().filter(|part| (least..=most).contains(part))
        };
        let (month, day) = (next(1, 12)?, next(1, 31)?);
        let (hour, minute, second) = (next(0, 23)?, next(0, 59)?, next(0, 60)?);
        let days = days_before(year, month) + day - 1;
        let epoch = days_before(1970, 1);
        let days = days.saturating_sub(epoch);
        Some(Moment(days * DAY + hour * 3600 + minute * 60 + second))
    }
}

fn number(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0, |sum, digit| {
        digit.is_ascii_digit().then(|| sum * 10 + u64::from(digit - b'0'))
    })
}

/// Days from the first of March of the year 0 to the first of this month.
fn days_before(year: u64, month: u64) -> u64 {
    // The year begins in March, so that the day of leap years is its last.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year.max(1) - 1, month + 9) };
    year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5
}

impl fmt::Display for Moment {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let days = self.0 / DAY + days_before(1970, 1);
        // The day that the guess is one too late for lies in the year before.
        let mut year = days / 365;
        while days_before(year, 3) > days {
            year -= 1;
        }
        let mut month = 11;
        let begins = |month: u64| days_before(year, 3) + (month * 153 + 2) / 5;
        while begins(month) > days {
            month -= 1;
        }
        let day = days - begins(month) + 1;
        let (year, month) = if month < 10 { (year, month + 3) } else { (year + 1, month - 9) };
        let second = self.0 % DAY;
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        write!(out, "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_parsed_and_told() {
        let check = |text: &str, seconds: u64, told: &str| {
            let moment = Moment::parse(text.as_bytes()).expect("a moment");
            assert_eq!(moment, Moment::from_unix(seconds), "{text}");
            assert_eq!(moment.to_string(), told);
        };
        check("700101000000Z", 0, "1970-01-01 00:00:00 UTC");
        check("000229235959Z", 951_868_799, "2000-02-29 23:59:59 UTC");
        check("000301000000Z", 951_868_800, "2000-03-01 00:00:00 UTC");
        check("20261126091100Z", 1_795_684_260, "2026-11-26 09:11:00 UTC");
        check("491231235959Z", 2_524_607_999, "2049-12-31 23:59:59 UTC");
        check("99991231235959Z", 253_402_300_799, "9999-12-31 23:59:59 UTC");
        check("19500101000000Z", 0, "1970-01-01 00:00:00 UTC");
    }

    #[test]
    fn every_day_of_two_centuries_is_told_as_it_is_parsed() {
        for day in 0..73_000 {
            let told = Moment::from_unix(day * DAY).to_string();
            let compact: String = told.chars().filter(char::is_ascii_digit).collect();
            let parsed = Moment::parse(format!("{compact}Z").as_bytes());
            assert_eq!(parsed, Some(Moment::from_unix(day * DAY)), "{told}");
        }
    }

    #[test]
    fn what_is_no_moment_is_none() {
        for text in ["", "Z", "261126091100", "26112609110Z", "261326091100Z", "2611260911-0Z"] {
            assert_eq!(Moment::parse(text.as_bytes()), None, "{text}");
        }
    }
}
