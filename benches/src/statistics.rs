//! Medians and ranges, of few values.
//!
//! Runs are few (three by default), so the median is given with the lowest and the highest
//! value and with no pretence of a distribution.
//! Invariant: a `Spread` is made of at least one value.

use serde::Serialize;

/// The median of several runs, with their range.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// The middle one, or the mean of the middle two.
    pub median: f64,
    /// The lowest.
    pub low: f64,
    /// The highest.
    pub high: f64,
}

impl Spread {
    /// Of these values, if there are any.
    pub fn of(mut values: Vec<f64>) -> Option<Spread> {
        let middle = (!values.is_empty()).then(|| median(&mut values))?;
        Some(Spread { median: middle, low: *values.first()?, high: *values.last()? })
    }
}

/// Sorts the values and gives the middle one; not a number if there is none.
pub fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        length if length % 2 == 1 => values[middle],
        _ => f64::midpoint(values[middle - 1], values[middle]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spread_of_odd_even_and_no_values() {
        let spread = Spread::of(vec![3.0, 1.0, 2.0]).unwrap();
        assert_eq!((spread.low, spread.median, spread.high), (1.0, 2.0, 3.0));
        assert_eq!(Spread::of(vec![4.0, 1.0]).unwrap().median, 2.5);
        assert_eq!(Spread::of(Vec::new()), None);
    }
}
