//! Figures in words, for sentences about what is wrong. Pure.

use std::time::Duration;

/// `1 send`, `2 sends`.
pub(crate) fn many(count: u64, one: &str, more: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { more })
}

/// Bytes, with the unit that leaves up to four digits.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let digits = usize::from(unit > 0 && value < 10.0);
    format!("{value:.digits$} {}", UNITS[unit])
}

/// A duration, with the unit that leaves up to three digits.
pub(crate) fn age(time: Duration) -> String {
    match time.as_secs() {
        0 => format!("{} ms", time.as_millis()),
        seconds @ ..120 => format!("{seconds} s"),
        seconds @ ..7200 => format!("{} min", seconds / 60),
        seconds @ ..172_800 => format!("{} h", seconds / 3600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

#[test]
fn figures_are_short() {
    assert_eq!([many(1, "send", "sends"), many(2, "send", "sends")], ["1 send", "2 sends"]);
    assert_eq!([0, 1023, 1024, 10 << 20].map(size), ["0 B", "1023 B", "1.0 KiB", "10 MiB"]);
    assert!(size(u64::MAX).len() < 10);
    let ages = [7, 119_000, 120_000, 7_200_000, 172_800_000].map(Duration::from_millis);
    assert_eq!(ages.map(age), ["7 ms", "119 s", "2 min", "2 h", "2 days"]);
}
