//! Comparison within strata (routes, hosts), so that a shift in the mix of requests is not taken
//! for a change of rates: the Mantel-Haenszel odds ratio and test.

use serde::{Deserialize, Serialize};

use super::special::chi_square_p;
use crate::signals::series::Slice;

/// The pooled comparison over all strata.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pooled {
    /// The common odds ratio, candidate to stable; `None` where nothing can be divided.
    pub odds_ratio: Option<f64>,
    /// The chi-square statistic with one degree of freedom, without continuity correction.
    pub chi_square: f64,
    /// Its p-value.
    pub p: f64,
}

/// Pools strata; each is the candidate's counts and the stable arm's.
pub fn pool(strata: &[(Slice, Slice)]) -> Pooled {
    let (mut up, mut down, mut excess, mut variance) = (0.0, 0.0, 0.0, 0.0);
    for (candidate, stable) in strata {
        let (a, b) = (candidate.x as f64, (candidate.n - candidate.x) as f64);
        let (c, d) = (stable.x as f64, (stable.n - stable.x) as f64);
        let n = a + b + c + d;
        if n < 2.0 {
            continue;
        }
        up += a * d / n;
        down += b * c / n;
        excess += a - (a + b) * (a + c) / n;
        variance += (a + b) * (c + d) * (a + c) * (b + d) / (n * n * (n - 1.0));
    }
    let chi_square = if variance > 0.0 { excess * excess / variance } else { 0.0 };
    Pooled { odds_ratio: (down > 0.0).then(|| up / down), chi_square, p: chi_square_p(chi_square) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strata_pool_to_the_published_values() {
        let strata = [
            (Slice { n: 500, x: 12 }, Slice { n: 4500, x: 20 }),
            (Slice { n: 100, x: 1 }, Slice { n: 900, x: 9 }),
        ];
        let pooled = pool(&strata);
        let odds_ratio = pooled.odds_ratio.expect("both arms have both kinds");
        assert!((odds_ratio - 4.095_321_843).abs() < 1e-9, "{odds_ratio}");
        assert!((pooled.chi_square - 20.628_485_16).abs() < 1e-8, "{}", pooled.chi_square);
        assert!((pooled.p - 5.576e-6).abs() < 5e-10, "{}", pooled.p);
    }

    #[test]
    fn a_shifted_mix_alone_is_no_difference() {
        // The candidate gets more of the route that fails more; within each route rates are equal.
        let strata = [
            (Slice { n: 900, x: 90 }, Slice { n: 100, x: 10 }),
            (Slice { n: 100, x: 1 }, Slice { n: 900, x: 9 }),
        ];
        let pooled = pool(&strata);
        assert!((pooled.odds_ratio.expect("defined") - 1.0).abs() < 1e-12);
        assert!(pooled.p > 0.999);
        assert_eq!(pool(&[]).odds_ratio, None);
    }
}
