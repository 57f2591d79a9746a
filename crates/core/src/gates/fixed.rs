//! The exact bounds for one look at a fixed moment (Clopper-Pearson, one-sided each), the verdict
//! they give, and the ranks between which a quantile lies. For the end of a load test and of a
//! bake; whoever looks more than once must use `anytime`.

use serde::{Deserialize, Serialize};

use super::special::{beta_quantile, ln_beta_tails, ln_gamma};
use crate::rollout::verdict::Verdict;

/// A lower and an upper bound of the bad share.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// The lower bound.
    pub lower: f64,
    /// The upper bound.
    pub upper: f64,
}

/// The ranks of the order statistics that bound a quantile, from 1; `None` where too few samples
/// bound it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuantileRanks {
    /// The rank of the lower bound.
    pub lower: Option<u64>,
    /// The rank of the upper bound.
    pub upper: Option<u64>,
}

impl Interval {
    /// What is known without data.
    pub const UNKNOWN: Self = Self { lower: 0.0, upper: 1.0 };

    /// Returns the verdict: good at or below the limit, bad above it, else not yet.
    pub fn verdict(&self, limit: f64) -> Verdict {
        if self.upper <= limit {
            Verdict::Good
        } else if self.lower > limit {
            Verdict::Bad
        } else {
            Verdict::NotYet
        }
    }
}

/// Returns the upper bound that is wrong with probability `alpha` at most.
pub fn upper_bound(x: u64, n: u64, alpha: f64) -> f64 {
    if x >= n {
        return 1.0;
    }
    if x == 0 {
        return -(alpha.ln() / n as f64).exp_m1();
    }
    beta_quantile(1.0 - alpha, x as f64 + 1.0, (n - x) as f64)
}

/// Returns the lower bound that is wrong with probability `alpha` at most.
pub fn lower_bound(x: u64, n: u64, alpha: f64) -> f64 {
    if x == 0 || n == 0 {
        return 0.0;
    }
    if x >= n {
        return (alpha.ln() / n as f64).exp();
    }
    beta_quantile(alpha, x as f64, (n - x) as f64 + 1.0)
}

/// Returns both bounds, each at `alpha`.
pub fn interval(x: u64, n: u64, alpha: f64) -> Interval {
    Interval { lower: lower_bound(x, n, alpha), upper: upper_bound(x, n, alpha) }
}

/// Returns the number of requests that prove the limit when not one of them is bad.
pub fn zero_error_n(limit: f64, alpha: f64) -> u64 {
    assert!(limit > 0.0 && limit < 1.0, "a limit of 0 or 1 can be neither proven nor broken");
    let mut n = (alpha.ln() / (-limit).ln_1p()).ceil() as u64;
    // The ceiling of a rounded quotient may be one off either way.
    while n > 1 && upper_bound(0, n - 1, alpha) <= limit {
        n -= 1;
    }
    while upper_bound(0, n, alpha) > limit {
        n += 1;
    }
    n
}

/// Returns the largest count of bad requests of `n` that still proves the limit.
pub fn good_at_most(n: u64, limit: f64, alpha: f64) -> Option<u64> {
    let is_good = |x: u64| upper_bound(x, n, alpha) <= limit;
    last_true(n, is_good)
}

/// Returns the smallest count of bad requests of `n` that proves the limit broken.
pub fn bad_from(n: u64, limit: f64, alpha: f64) -> Option<u64> {
    let is_open = |x: u64| lower_bound(x, n, alpha) <= limit;
    match last_true(n, is_open) {
        Some(last) if last < n => Some(last + 1),
        _ => None,
    }
}

/// Returns the ranks that bound the q-quantile of `n` samples, each wrong with probability `alpha`
/// at most, whatever the distribution is.
pub fn quantile_ranks(n: u64, q: f64, alpha: f64) -> QuantileRanks {
    let at_most = |k: u64| if k >= n { 1.0 } else { binomial_upper(n, q, k + 1).1 };
    let quantile = last_true(n, |k| at_most(k) < 1.0 - alpha).map_or(0, |below| below + 1);
    let upper = Some(quantile + 1).filter(|rank| *rank <= n);
    let lower = last_true(n, |r| r == 0 || binomial_upper(n, q, r).0 >= 1.0 - alpha);
    QuantileRanks { lower: lower.filter(|rank| *rank > 0), upper }
}

/// Returns the p-value of Fisher's exact test that the first row's share is no larger than the
/// second's; each row is (bad, good).
pub fn fisher_greater(first: (u64, u64), second: (u64, u64)) -> f64 {
    let ln_choose = |n: u64, k: u64| {
        ln_gamma(n as f64 + 1.0) - ln_gamma(k as f64 + 1.0) - ln_gamma((n - k) as f64 + 1.0)
    };
    let (row, other) = (first.0 + first.1, second.0 + second.1);
    let bad = first.0 + second.0;
    let whole = ln_choose(row + other, bad);
    (first.0..=bad.min(row))
        .filter(|k| bad - k <= other)
        .map(|k| (ln_choose(row, k) + ln_choose(other, bad - k) - whole).exp())
        .sum::<f64>()
        .min(1.0)
}

/// Returns P(Bin(n, q) >= r) and its complement, for 1 <= r <= n.
fn binomial_upper(n: u64, q: f64, r: u64) -> (f64, f64) {
    let tails = ln_beta_tails(r as f64, (n - r) as f64 + 1.0, q);
    (tails.lower.exp(), tails.upper.exp())
}

/// Returns the last of 0..=n for which a condition that once false stays false is true.
fn last_true(n: u64, holds: impl Fn(u64) -> bool) -> Option<u64> {
    if !holds(0) {
        return None;
    }
    let (mut low, mut high) = (0, n);
    while low < high {
        let middle = low + (high - low).div_ceil(2);
        if holds(middle) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    Some(low)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(left: f64, right: f64, tolerance: f64) {
        assert!((left - right).abs() <= tolerance, "{left} is not {right} within {tolerance}");
    }

    #[test]
    fn bounds_match_the_published_vectors() {
        for (x, n, upper, lower) in [
            (0, 59, 0.049_507_609_9, 0.0),
            (0, 299, 0.009_969_146_8, 0.0),
            (3, 1000, 0.007_735_244_7, 0.000_818_175_4),
            (5, 1000, 0.010_484_076_9, 0.001_972_153_1),
            (30, 1000, 0.040_472_237_3, 0.021_674_784_3),
            (0, 4991, 0.000_600_046_763, 0.0),
            (0, 4992, 0.000_599_926_597, 0.0),
        ] {
            let interval = interval(x, n, 0.05);
            close(interval.upper, upper, 1e-9);
            close(interval.lower, lower, 1e-9);
        }
        assert_eq!(interval(0, 0, 0.05), Interval::UNKNOWN);
        close(lower_bound(59, 59, 0.05), 1.0 - 0.049_507_609_9, 1e-9);
        assert_eq!(upper_bound(59, 59, 0.05), 1.0);
    }

    #[test]
    fn bounds_of_a_72_hour_bake_match_the_published_table() {
        for (x, lower, upper) in [
            (0, 0.0, 0.00058),
            (100, 0.01623, 0.02278),
            (200, 0.03421, 0.04338),
            (259, 0.04497, 0.05538),
            (281, 0.04900, 0.05983),
            (282, 0.04918, 0.06003),
            (311, 0.05451, 0.06590),
            (340, 0.05985, 0.07174),
            (341, 0.06003, 0.07195),
            (345, 0.06077, 0.07275),
        ] {
            let interval = interval(x, 518_400, 0.05);
            close(interval.lower, lower / 100.0, 5.01e-8);
            close(interval.upper, upper / 100.0, 5.01e-8);
        }
    }

    #[test]
    fn one_look_at_72_hours_decides_between_281_and_341_errors() {
        use Verdict::{Bad, Good, NotYet};
        let verdict = |x| interval(x, 518_400, 0.05).verdict(0.0006);
        assert_eq!([281, 282, 340, 341, 345].map(verdict), [Good, NotYet, NotYet, Bad, Bad]);
        assert_eq!(interval(0, 4991, 0.05).verdict(0.0006), NotYet);
        assert_eq!(interval(0, 4992, 0.05).verdict(0.0006), Good);
    }

    #[test]
    fn zero_error_counts_match_the_published_ones() {
        let published = [
            (0.05, 59),
            (0.02, 149),
            (0.01, 299),
            (0.005, 598),
            (0.001, 2995),
            (0.0006, 4992),
            (0.0005, 5990),
            (0.0001, 29_956),
        ];
        for (limit, n) in published {
            assert_eq!(zero_error_n(limit, 0.05), n, "{limit}");
        }
        assert_eq!(zero_error_n(0.0006, 0.01), 7673);
    }

    #[test]
    fn count_limits_match_the_published_tables() {
        for (n, good, bad) in [
            (1296, None, 3),
            (5184, Some(0), 7),
            (25_920, Some(8), 23),
            (129_600, Some(63), 94),
            (518_400, Some(281), 341),
            (2_592_000, Some(1490), 1621),
            (25_920_000, Some(15_346), 15_758),
        ] {
            assert_eq!(good_at_most(n, 0.0006, 0.05), good, "{n}");
            assert_eq!(bad_from(n, 0.0006, 0.05), Some(bad), "{n}");
        }
        for (n, good, bad) in
            [(59, 0, 7), (100, 1, 10), (300, 8, 22), (600, 20, 40), (10_000, 463, 537)]
        {
            assert_eq!(good_at_most(n, 0.05, 0.05), Some(good), "{n}");
            assert_eq!(bad_from(n, 0.05, 0.05), Some(bad), "{n}");
        }
        assert_eq!(good_at_most(58, 0.05, 0.05), None);
    }

    #[test]
    fn a_quantile_lies_between_the_published_ranks() {
        let ranks = |n, q| {
            let ranks = quantile_ranks(n, q, 0.05);
            (ranks.lower, ranks.upper)
        };
        assert_eq!(ranks(58, 0.95).1, None);
        assert_eq!(ranks(59, 0.95), (Some(53), Some(59)));
        assert_eq!(ranks(100, 0.95), (Some(91), Some(99)));
        assert_eq!(ranks(200, 0.95), (Some(185), Some(196)));
        assert_eq!(ranks(1000, 0.95), (Some(938), Some(962)));
        assert_eq!(ranks(10_000, 0.95), (Some(9464), Some(9537)));
        assert_eq!(ranks(298, 0.99).1, None);
        assert_eq!(ranks(299, 0.99), (Some(293), Some(299)));
        assert_eq!(ranks(1000, 0.99), (Some(985), Some(996)));
        assert_eq!(ranks(2994, 0.999).1, None);
        assert_eq!(ranks(2995, 0.999).1, Some(2995));
        assert_eq!(ranks(0, 0.95), (None, None));
    }

    #[test]
    fn fishers_test_matches_the_published_value() {
        close(fisher_greater((12, 488), (20, 4480)), 3.042_877_6e-5, 1e-11);
    }
}
