//! The any-time form "C": the confidence sequence of a Beta(1/2, 1/2) mixture. It may be looked at
//! as often as one likes, over all of time, and leaves the true share outside with probability
//! `alpha` at most (Ville's inequality). Counts may be fractions, for overdispersion divides them.

use std::f64::consts::PI;

use super::fixed::Interval;
use super::special::ln_beta;
use crate::rollout::verdict::Verdict;

/// Newton's error is squared at each step, so a relative step as small as this is the last one.
const SMALL_STEP: f64 = 3e-8;
/// A bisection between two doubles ends in fewer steps than this.
const MAX_STEPS: u32 = 120;

/// Returns the logarithm of the evidence against the share p after x bad of n.
pub fn ln_m(x: f64, n: f64, p: f64) -> f64 {
    Mixture::of(x, n).ln_m(p)
}

/// Returns the one-sided log e-value against "the share is at most p0": the maximum of the
/// likelihood under that hypothesis is its denominator.
pub fn ln_e_above(x: f64, n: f64, p0: f64) -> f64 {
    if n <= 0.0 {
        return 0.0;
    }
    Mixture::of(x, n).ln_m((x / n).min(p0))
}

/// Returns the shares that the evidence does not exclude at `alpha`.
pub fn interval(x: f64, n: f64, alpha: f64) -> Interval {
    if n <= 0.0 {
        return Interval::UNKNOWN;
    }
    let mixture = Mixture::of(x, n);
    let height = -alpha.ln();
    let center = x / n;
    let lower = if x <= 0.0 { 0.0 } else { mixture.crossing(height, center, Side::Below) };
    let upper = if x >= n { 1.0 } else { mixture.crossing(height, center, Side::Above) };
    Interval { lower, upper }
}

/// Returns the verdict without computing the interval: the limit is excluded, and on which side.
pub fn verdict(x: f64, n: f64, limit: f64, alpha: f64) -> Verdict {
    if n <= 0.0 || ln_m(x, n, limit) < -alpha.ln() {
        Verdict::NotYet
    } else if x / n < limit {
        Verdict::Good
    } else {
        Verdict::Bad
    }
}

/// Returns the smallest number of requests that proves the limit when not one of them is bad.
pub fn zero_error_n(limit: f64, alpha: f64) -> u64 {
    smallest_n(|n| verdict(0.0, n as f64, limit, alpha) == Verdict::Good)
}

/// Returns the smallest number of requests that proves the limit at half of it: with `n limit / 2`
/// bad requests, rounded down.
pub fn half_limit_n(limit: f64, alpha: f64) -> u64 {
    // Each further bad request sets the evidence back, so the property is not monotone in n. Within
    // a stretch of n with the same number of bad requests it is; each is searched by itself. The
    // subtracted trifle keeps a quotient that is whole but for rounding from being rounded up.
    let first_with = |x: u64| ((x as f64) * 2.0 / limit - 1e-6).ceil().max(1.0) as u64;
    let mut x = 0_u64;
    loop {
        let (first, behind) = (first_with(x), first_with(x + 1));
        let is_good = |n: u64| verdict(x as f64, n as f64, limit, alpha) == Verdict::Good;
        if behind > first && is_good(behind - 1) {
            return first + smallest_n(|step| is_good(first + step - 1)) - 1;
        }
        x += 1;
    }
}

/// Returns the largest count of bad requests of `n` that proves the limit.
pub fn good_at_most(n: u64, limit: f64, alpha: f64) -> Option<u64> {
    let top = (n as f64 * limit) as u64;
    (0..=top).rev().find(|x| verdict(*x as f64, n as f64, limit, alpha) == Verdict::Good)
}

/// Returns the smallest count of bad requests of `n` that proves the limit broken.
pub fn bad_from(n: u64, limit: f64, alpha: f64) -> Option<u64> {
    let from = (n as f64 * limit) as u64;
    (from..=n).find(|x| verdict(*x as f64, n as f64, limit, alpha) == Verdict::Bad)
}

/// On which side of the observed share a bound lies.
#[derive(Clone, Copy)]
enum Side {
    Below,
    Above,
}

/// The part of the evidence that does not depend on p.
#[derive(Clone, Copy)]
struct Mixture {
    bad: f64,
    good: f64,
    ln_constant: f64,
}

impl Mixture {
    fn of(x: f64, n: f64) -> Self {
        let (bad, good) = (x, n - x);
        assert!(bad >= 0.0 && good >= 0.0, "there are no more bad requests than requests");
        // ln B(1/2, 1/2) = ln π.
        Self { bad, good, ln_constant: ln_beta(bad + 0.5, good + 0.5) - PI.ln() }
    }

    fn ln_m(&self, p: f64) -> f64 {
        let from_bad = if self.bad > 0.0 { self.bad * p.ln() } else { 0.0 };
        let from_good = if self.good > 0.0 { self.good * (-p).ln_1p() } else { 0.0 };
        self.ln_constant - from_bad - from_good
    }

    /// Returns where the evidence reaches the height on one side of the observed share. There it is
    /// convex and monotone, so Newton's steps from outside never overshoot; a bracket guards them.
    fn crossing(&self, height: f64, center: f64, side: Side) -> f64 {
        let (mut inside, mut outside) = match side {
            Side::Below => (center, 0.0),
            Side::Above => (center, 1.0),
        };
        let mut p = self.first_guess(height, center, side);
        for _ in 0..MAX_STEPS {
            let value = self.ln_m(p) - height;
            if value < 0.0 {
                inside = p;
            } else {
                outside = p;
            }
            let slope = self.good / (1.0 - p) - self.bad / p;
            let newton = p - value / slope;
            if (newton - p).abs() <= p * SMALL_STEP {
                return newton;
            }
            let is_between = newton > inside.min(outside) && newton < inside.max(outside);
            let next = if is_between { newton } else { 0.5 * (inside + outside) };
            if (outside - inside).abs() <= p * 2.0 * f64::EPSILON {
                return next;
            }
            p = next;
        }
        p
    }

    /// Returns a point near the crossing, from the likelihood's parabola in the square root of p
    /// (a Poisson count's variance is constant there).
    fn first_guess(&self, height: f64, center: f64, side: Side) -> f64 {
        let n = self.bad + self.good;
        let drop = (height - self.ln_m(center.clamp(1e-12, 1.0 - 1e-12))).max(0.1);
        let reach = (drop / (2.0 * n)).sqrt();
        let guess = match side {
            Side::Below => (center.sqrt() - reach).max(center.sqrt() * 0.05).powi(2),
            Side::Above => (center.sqrt() + reach).powi(2),
        };
        match side {
            Side::Below => guess.min(center * 0.999),
            Side::Above => guess.clamp(center + (1.0 - center) * 1e-9, 1.0 - (1.0 - center) * 1e-3),
        }
    }
}

/// Returns the smallest n from 1 with a property that once true stays true.
fn smallest_n(holds: impl Fn(u64) -> bool) -> u64 {
    let mut high = 1_u64;
    while !holds(high) {
        high *= 2;
    }
    let mut low = high / 2;
    while low + 1 < high {
        let middle = low + (high - low) / 2;
        if holds(middle) {
            high = middle;
        } else {
            low = middle;
        }
    }
    high
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(left: f64, right: f64, tolerance: f64) {
        assert!((left - right).abs() <= tolerance, "{left} is not {right} within {tolerance}");
    }

    #[test]
    fn intervals_match_the_published_vectors() {
        for (x, n, lower, upper) in [
            (0.0, 100.0, 0.0, 0.057_028_60),
            (0.0, 299.0, 0.0, 0.021_238_56),
            (0.0, 1000.0, 0.0, 0.006_997_50),
            (3.0, 1000.0, 0.000_123_87, 0.014_312_15),
            (5.0, 1000.0, 0.000_539_30, 0.018_003_86),
            (30.0, 1000.0, 0.014_279_31, 0.054_018_34),
            (10.0, 10_000.0, 0.000_206_81, 0.002_817_16),
        ] {
            let interval = interval(x, n, 0.05);
            close(interval.lower, lower, 1e-8);
            close(interval.upper, upper, 1e-8);
        }
        assert_eq!(interval(0.0, 0.0, 0.05), Interval::UNKNOWN);
        assert_eq!(interval(7.0, 7.0, 0.05).upper, 1.0);
    }

    #[test]
    fn log_e_values_match_the_published_vectors() {
        for (x, n, value) in [
            (0.0, 100.0, -2.876_200_03),
            (3.0, 100.0, -1.227_264_81),
            (5.0, 100.0, 1.591_146_00),
            (10.0, 300.0, 2.040_607_17),
            (20.0, 1000.0, 0.231_741_70),
        ] {
            close(ln_e_above(x, n, 0.01), value, 1e-8);
        }
        for (x, n, value, tolerance) in [
            (0.0, 10_000.0, 0.824_253_09, 1e-8),
            (0.0, 13_914.0, 3.008_206_19, 1e-8),
            (281.0, 518_400.0, -5.304_605_6, 1e-7),
            (249.0, 518_400.0, -0.156_183_29, 1e-8),
            (377.0, 518_400.0, -0.254_932_18, 1e-8),
            (2.0, 100.0, 2.541_883_16, 1e-8),
        ] {
            close(ln_m(x, n, 0.0006), value, tolerance);
        }
        close(ln_m(21.0, 4379.0, 0.01), 2.997_162_751, 1e-9);
        close(ln_m(21.0, 4378.0, 0.01), 2.992_034_305, 1e-9);
        assert_eq!(ln_e_above(0.0, 0.0, 0.01), 0.0);
    }

    #[test]
    fn zero_error_counts_are_the_smallest_ones() {
        for (limit, n) in [
            (0.05, 116),
            (0.02, 320),
            (0.01, 680),
            (0.005, 1438),
            (0.001, 8062),
            (0.0006, 13_892),
            (0.0005, 16_865),
        ] {
            assert_eq!(zero_error_n(limit, 0.05), n, "{limit}");
            assert_eq!(verdict(0.0, (n - 1) as f64, limit, 0.05), Verdict::NotYet);
        }
    }

    #[test]
    fn half_limit_counts_match_the_published_ones() {
        for (limit, n) in [
            (0.05, 750),
            (0.02, 2078),
            (0.01, 4379),
            (0.005, 9194),
            (0.001, 51_912),
            (0.0006, 89_757),
            (0.0005, 110_932),
        ] {
            assert_eq!(half_limit_n(limit, 0.05), n, "{limit}");
        }
        assert_eq!(verdict(21.0, 4379.0, 0.01, 0.05), Verdict::Good);
        assert_eq!(verdict(21.0, 4378.0, 0.01, 0.05), Verdict::NotYet);
    }

    #[test]
    fn count_limits_match_the_published_tables() {
        for (n, good, bad) in [
            (100, None, 3),
            (1000, None, 6),
            (5000, None, 12),
            (10_000, None, 19),
            (13_914, Some(0), 23),
            (20_000, Some(1), 29),
            (50_000, Some(10), 56),
            (100_000, Some(30), 96),
            (259_200, Some(104), 213),
            (518_400, Some(236), 393),
        ] {
            assert_eq!(good_at_most(n, 0.0006, 0.05), good, "{n}");
            assert_eq!(bad_from(n, 0.0006, 0.05), Some(bad), "{n}");
        }
        for (n, good, bad) in [
            (116, 0, 16),
            (200, 1, 23),
            (300, 3, 30),
            (600, 12, 51),
            (1000, 26, 78),
            (5000, 192, 312),
            (10_000, 416, 589),
        ] {
            assert_eq!(good_at_most(n, 0.05, 0.05), Some(good), "{n}");
            assert_eq!(bad_from(n, 0.05, 0.05), Some(bad), "{n}");
        }
    }

    #[test]
    fn the_interval_and_the_quick_verdict_never_contradict_each_other() {
        for n in [1.0, 7.5, 100.0, 4379.0, 518_400.0] {
            for step in 0..=200 {
                let x = n * f64::from(step) / 200.0;
                for limit in [0.0006, 0.01, 0.05, 0.5] {
                    let interval = interval(x, n, 0.05);
                    let quick = verdict(x, n, limit, 0.05);
                    assert_eq!(interval.verdict(limit), quick, "{x} of {n} at {limit}");
                }
            }
        }
    }
}
