//! Latency histograms.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// Three significant digits from a nanosecond to twenty minutes; what is longer counts as that.
const LONGEST_NS: u64 = 20 * 60 * 1_000_000_000;

/// Nanoseconds, counted.
#[derive(Clone, Debug)]
pub struct Latencies {
    histogram: Histogram<u64>,
}

/// What is reported of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Percentiles {
    /// The median, in nanoseconds, like all of these.
    pub p50: u64,
    /// Nine in ten are at most this.
    pub p90: u64,
    /// 99 in a hundred.
    pub p99: u64,
    /// 999 in a thousand.
    pub p999: u64,
    /// The longest.
    pub max: u64,
}

impl Latencies {
    /// None yet.
    pub fn new() -> Self {
        // The bounds are constants that satisfy the crate's conditions.
        let histogram = Histogram::new_with_bounds(1, LONGEST_NS, 3).expect("constant bounds");
        Self { histogram }
    }

    /// Counts one.
    pub fn record(&mut self, latency_ns: u64) {
        self.histogram.saturating_record(latency_ns);
    }

    /// Adds another thread's.
    pub fn add(&mut self, other: &Self) {
        // All have the same bounds, the only condition.
        self.histogram.add(&other.histogram).expect("equal bounds");
    }

    /// The summary; `None` if nothing was counted.
    pub fn percentiles(&self) -> Option<Percentiles> {
        let at = |quantile| self.histogram.value_at_quantile(quantile).min(self.histogram.max());
        (!self.histogram.is_empty()).then(|| Percentiles {
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: self.histogram.max(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_of_a_thousand() {
        let mut latencies = Latencies::new();
        assert_eq!(latencies.percentiles(), None);
        (1..=1_000).for_each(|value| latencies.record(value));
        let mut sum = Latencies::new();
        sum.add(&latencies);
        assert_eq!(
            sum.percentiles(),
            Some(Percentiles { p50: 500, p90: 900, p99: 990, p999: 999, max: 1_000 })
        );
        sum.record(u64::MAX);
        assert!(sum.percentiles().unwrap().max >= LONGEST_NS);
    }
}
