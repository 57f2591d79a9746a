//! Latencies for people to look at: a log-linear histogram in microseconds with three good digits,
//! which is merged exactly and survives being written down. Gates use exact counters instead.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// The longest latency told apart: an hour. A longer one counts as an hour.
const LATENCY_MAX_US: u64 = 3_600_000_000;

/// A set of latencies.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "LatencyRecord", into = "LatencyRecord")]
pub struct Latency {
    histogram: Histogram<u64>,
}

/// How a set of latencies is written down: the figures people read, then every bucket.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct LatencyRecord {
    count: u64,
    p50_us: u64,
    p90_us: u64,
    p95_us: u64,
    p99_us: u64,
    max_us: u64,
    buckets: Vec<(u64, u64)>,
}

impl Default for Latency {
    fn default() -> Self {
        let histogram = Histogram::new_with_bounds(1, LATENCY_MAX_US, 3)
            .expect("1 us to 1 h with three digits are bounds the histogram knows");
        Self { histogram }
    }
}

impl Latency {
    /// Adds one latency.
    pub fn record_us(&mut self, latency_us: u64) {
        self.histogram.saturating_record(latency_us);
    }

    /// Adds all latencies of another set.
    pub fn merge(&mut self, other: &Self) {
        self.histogram
            .add(&other.histogram)
            .expect("both histograms have the same bounds, so every value fits");
    }

    /// Returns how many latencies there are.
    pub fn count(&self) -> u64 {
        self.histogram.len()
    }

    /// Returns the latency that the given share (0 to 1) does not exceed; 0 of nothing.
    pub fn quantile_us(&self, share: f64) -> u64 {
        self.histogram.value_at_quantile(share)
    }

    /// Returns the longest latency.
    pub fn max_us(&self) -> u64 {
        self.histogram.max()
    }
}

impl From<Latency> for LatencyRecord {
    fn from(latency: Latency) -> Self {
        let recorded = latency.histogram.iter_recorded();
        Self {
            count: latency.count(),
            p50_us: latency.quantile_us(0.50),
            p90_us: latency.quantile_us(0.90),
            p95_us: latency.quantile_us(0.95),
            p99_us: latency.quantile_us(0.99),
            max_us: latency.max_us(),
            buckets: recorded.map(|v| (v.value_iterated_to(), v.count_at_value())).collect(),
        }
    }
}

impl From<LatencyRecord> for Latency {
    fn from(record: LatencyRecord) -> Self {
        let mut latency = Self::default();
        for (value, count) in record.buckets {
            latency.histogram.saturating_record_n(value, count);
        }
        latency
    }
}

#[cfg(test)]
mod tests {
    use super::Latency;

    fn of(values: impl Iterator<Item = u64>) -> Latency {
        let mut latency = Latency::default();
        values.for_each(|value| latency.record_us(value));
        latency
    }

    #[test]
    fn two_halves_merged_are_the_whole() {
        let mut left = of((1..5000).step_by(2));
        left.merge(&of((2..5000).step_by(2)));
        assert_eq!(left, of(1..5000));
        assert!(left.quantile_us(0.95).abs_diff(4750) <= 5);
    }

    #[test]
    fn a_written_set_reads_back_with_the_same_counts() {
        let latency = of([1, 20, 20, 999_999, u64::MAX].into_iter());
        let text = serde_json::to_string(&latency).expect("numbers are JSON");
        let back: Latency = serde_json::from_str(&text).expect("what was written reads back");
        assert_eq!(back, latency);
    }
}
