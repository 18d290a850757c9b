//! How numbers look in reports: three digits, and a range where there is one.
//!
//! Absolute figures of a virtual machine are not worth more digits than that;
//! the JSON has them all.

use crate::statistics::Spread;

/// The median, and the range if there is one.
pub fn ranged(spread: &Spread, show: impl Fn(f64) -> String) -> String {
    let (low, high) = (show(spread.low), show(spread.high));
    let median = show(spread.median);
    if low == high { median } else { format!("{median} ({low}-{high})") }
}

/// Three digits or so: `4.31`, `52.3`, `118`, `84.2k`, `1.27M`.
pub fn short(value: f64) -> String {
    match value.abs() {
        size if size >= 999_500.0 => format!("{}M", three_digits(value / 1e6)),
        size if size >= 9_995.0 => format!("{}k", three_digits(value / 1e3)),
        _ => three_digits(value),
    }
}

fn three_digits(value: f64) -> String {
    match value.abs() {
        size if size >= 99.95 => format!("{value:.0}"),
        size if size >= 9.995 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_keep_three_digits() {
        let shown = [0.264, 9.996, 52.34, 1234.0, 9996.0, 999_400.0, 999_600.0, 31_400_000.0];
        let expected = ["0.26", "10.0", "52.3", "1234", "10.0k", "999k", "1.00M", "31.4M"];
        assert_eq!(shown.map(short), expected);
    }
}
