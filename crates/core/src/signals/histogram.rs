//! A latency histogram with exponential buckets of base 2 and scale 5: 32 buckets in each doubling.
//! Merging is exact and free of order. It is for display and re-analysis; a gate reads the exact
//! counter at its limit, never a bucket.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Buckets in each doubling: 2^5.
const PER_OCTAVE: f64 = 32.0;

/// Counts of latencies by bucket.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Histogram {
    /// Latencies of zero microseconds, which no logarithm holds.
    zeros: u64,
    /// Counts by index: bucket i holds (g^(i−1), g^i] microseconds, g = 2^(1/32).
    buckets: BTreeMap<i32, u64>,
}

impl Histogram {
    /// Counts one latency, in microseconds.
    pub fn record_us(&mut self, latency_us: u64) {
        if latency_us == 0 {
            self.zeros += 1;
        } else {
            *self.buckets.entry(index_of(latency_us)).or_default() += 1;
        }
    }

    /// Adds all counts of another histogram.
    pub fn merge(&mut self, other: &Self) {
        self.zeros += other.zeros;
        for (index, count) in &other.buckets {
            *self.buckets.entry(*index).or_default() += count;
        }
    }

    /// Returns the number of latencies counted.
    pub fn count(&self) -> u64 {
        self.zeros + self.buckets.values().sum::<u64>()
    }

    /// Returns the q-quantile in microseconds, within 1.09 % of the true one; `None` when empty.
    pub fn quantile_us(&self, q: f64) -> Option<f64> {
        let count = self.count();
        let rank = ((q * count as f64).ceil() as u64).clamp(1, count.max(1));
        self.at_rank_us(rank)
    }

    /// Returns the latency at a rank, from 1, in microseconds.
    pub fn at_rank_us(&self, rank: u64) -> Option<f64> {
        if rank == 0 || rank > self.count() {
            return None;
        }
        let mut below = self.zeros;
        if rank <= below {
            return Some(0.0);
        }
        self.buckets.iter().find_map(|(index, count)| {
            below += count;
            (rank <= below).then(|| middle_of(*index))
        })
    }

    /// Returns the buckets that hold something, as (lower, upper] in microseconds and count.
    pub fn buckets_us(&self) -> impl Iterator<Item = (f64, f64, u64)> + '_ {
        let zeros = (self.zeros > 0).then_some((0.0, 0.0, self.zeros));
        let rest = self.buckets.iter().map(|(i, count)| (edge_of(i - 1), edge_of(*i), *count));
        zeros.into_iter().chain(rest)
    }
}

fn index_of(latency_us: u64) -> i32 {
    ((latency_us as f64).log2() * PER_OCTAVE).ceil() as i32
}

fn edge_of(index: i32) -> f64 {
    (f64::from(index) / PER_OCTAVE).exp2()
}

/// Returns the value that is equally far from both edges of a bucket, in relative terms.
fn middle_of(index: i32) -> f64 {
    let (low, high) = (edge_of(index - 1), edge_of(index));
    2.0 * low * high / (low + high)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_within_one_bucket_error() {
        let mut value = 1_u64;
        while value < 100_000_000 {
            let mut histogram = Histogram::default();
            histogram.record_us(value);
            let shown = histogram.quantile_us(0.5).expect("one value");
            let error = (shown - value as f64).abs() / value as f64;
            assert!(error <= 0.0109, "{value} shown as {shown}");
            value += 1 + value / 37;
        }
    }

    #[test]
    fn merging_is_exact_and_free_of_order_and_is_not_a_mean_of_percentiles() {
        let of = |values: &[u64]| {
            let mut histogram = Histogram::default();
            values.iter().for_each(|value| histogram.record_us(*value));
            histogram
        };
        // A quiet slow host and a busy fast one.
        let slow: Vec<u64> = (0..100).map(|i| 500_000 + i * 10_000).collect();
        let fast: Vec<u64> = (0..1900).map(|i| 100_000 + i * 10).collect();
        let (a, b) = (of(&slow), of(&fast));
        let (mut ab, mut ba) = (a.clone(), b.clone());
        ab.merge(&b);
        ba.merge(&a);
        let all: Vec<u64> = slow.iter().chain(&fast).copied().collect();
        assert_eq!(ab, ba);
        assert_eq!(ab, of(&all));
        let p95 = |histogram: &Histogram| histogram.quantile_us(0.95).expect("not empty");
        assert!(p95(&ab) < 0.5 * (p95(&a) + p95(&b)) * 0.5, "{}", p95(&ab));
    }

    #[test]
    fn an_empty_histogram_has_no_quantile_and_zero_is_kept() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.quantile_us(0.95), None);
        histogram.record_us(0);
        histogram.record_us(1000);
        assert_eq!(histogram.at_rank_us(1), Some(0.0));
        assert_eq!(histogram.at_rank_us(3), None);
        assert_eq!(histogram.buckets_us().map(|(_, _, count)| count).sum::<u64>(), 2);
    }
}
