//! Medians and spreads over rounds.

use crate::latency::Percentiles;
use serde::Serialize;

/// The middle of some values, and their ends.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// The middle one; the mean of the two in the middle of an even number.
    pub median: f64,
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
}

impl Spread {
    /// Of `values`; `None` if there are none.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<_> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let median = if values.len() % 2 == 1 {
            values[middle]
        } else {
            f64::midpoint(values[middle - 1], values[middle])
        };
        Some(Self { median, min, max })
    }
}

/// The median of each percentile.
pub fn median_latency(rounds: &[Percentiles]) -> Option<Percentiles> {
    let of = |pick: fn(&Percentiles) -> u64| {
        Spread::of(rounds.iter().map(|round| pick(round) as f64)).map(|spread| spread.median as u64)
    };
    Some(Percentiles {
        p50: of(|round| round.p50)?,
        p90: of(|round| round.p90)?,
        p99: of(|round| round.p99)?,
        p999: of(|round| round.p999)?,
        max: of(|round| round.max)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_even_and_no_values() {
        assert_eq!(Spread::of([3.0, 1.0, 2.0]), Some(Spread { median: 2.0, min: 1.0, max: 3.0 }));
        assert_eq!(Spread::of([4.0, 1.0, 2.0, 3.0]), Some(Spread { median: 2.5, min: 1.0, max: 4.0 }));
        assert_eq!(Spread::of([7.0]), Some(Spread { median: 7.0, min: 7.0, max: 7.0 }));
        assert_eq!(Spread::of([]), None);
    }

    #[test]
    fn percentiles_are_taken_one_by_one() {
        let round = |p50, p99| Percentiles { p50, p90: 0, p99, p999: 0, max: 0 };
        let median = median_latency(&[round(1, 30), round(2, 10), round(3, 20)]).unwrap();
        assert_eq!((median.p50, median.p99), (2, 20));
        assert_eq!(median_latency(&[]), None);
    }
}
