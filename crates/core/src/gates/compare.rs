//! The candidate against the stable arm in the same hours, looked at as often as one likes. Every
//! bad request is a coin that under equal rates falls on the candidate with the probability of the
//! candidate's share of requests; a burst that hits both arms moves both sides of the coin alike.
//! This test may abort and never promotes.

use serde::{Deserialize, Serialize};

use super::special::{ln_beta, ln_beta_tails};

/// The weight of the prior: it stands for four bad requests seen before.
const PRIOR_WEIGHT: f64 = 4.0;

/// The counts of both arms while the candidate's share stayed the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    /// The candidate's requests.
    pub candidate_n: u64,
    /// The candidate's bad requests.
    pub candidate_x: u64,
    /// The stable arm's requests.
    pub stable_n: u64,
    /// The stable arm's bad requests.
    pub stable_x: u64,
}

impl Segment {
    /// Returns the probability with which a bad request falls on the candidate when its rate is
    /// `ratio` times the stable arm's; `None` while one arm has no requests.
    pub fn rho(&self, ratio: f64) -> Option<f64> {
        let candidate = ratio * self.candidate_n as f64;
        let both = candidate + self.stable_n as f64;
        (self.candidate_n > 0 && self.stable_n > 0).then(|| candidate / both)
    }

    /// Returns the log evidence of this segment that the candidate is worse than `ratio` times the
    /// stable arm; 0 while there is nothing to compare with.
    pub fn ln_e(&self, ratio: f64) -> f64 {
        self.rho(ratio).map_or(0.0, |rho| ln_e(self.candidate_x, self.stable_x, rho))
    }
}

/// Returns the log e-value of `xc` bad requests on the candidate and `xb` on the stable arm.
pub fn ln_e(xc: u64, xb: u64, rho: f64) -> f64 {
    let (a, b) = (PRIOR_WEIGHT * rho, PRIOR_WEIGHT * (1.0 - rho));
    let (xc, xb) = (xc as f64, xb as f64);
    ln_beta(xc + a, xb + b) + ln_beta_tails(xc + a, xb + b, rho).upper
        - ln_beta(a, b)
        - ln_beta_tails(a, b, rho).upper
        - xc * rho.ln()
        - xb * (-rho).ln_1p()
}

/// Returns the log evidence over all segments: their sum.
pub fn total_ln_e(segments: &[Segment], ratio: f64) -> f64 {
    segments.iter().map(|segment| segment.ln_e(ratio)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gates::dice::Dice;

    #[test]
    fn e_values_match_the_published_vectors() {
        for (xc, xb, value) in [
            (0, 0, 0.0),
            (1, 0, 0.922_473_09),
            (3, 3, 2.129_961_99),
            (5, 5, 3.839_891_13),
            (12, 20, 7.235_310_96),
            (10, 90, -1.457_082_76),
            (30, 90, 9.652_473_44),
        ] {
            assert!((ln_e(xc, xb, 0.1) - value).abs() < 1e-8, "{xc} {xb} {}", ln_e(xc, xb, 0.1));
        }
    }

    #[test]
    fn segments_add_up_and_an_arm_without_requests_says_nothing() {
        let one = Segment { candidate_n: 100, candidate_x: 5, stable_n: 900, stable_x: 5 };
        let other = Segment { candidate_n: 500, candidate_x: 5, stable_n: 500, stable_x: 5 };
        let empty = Segment { candidate_n: 100, candidate_x: 50, ..Segment::default() };
        let sum = one.ln_e(1.0) + other.ln_e(1.0);
        assert!((total_ln_e(&[one, other, empty], 1.0) - sum).abs() < 1e-12);
        assert!((one.ln_e(1.0) - 3.839_891_13).abs() < 1e-8);
        // A candidate far better than the stable arm: the tail is beyond a double's exponent.
        let better = Segment { candidate_n: 50_000, stable_n: 50_000, stable_x: 40_000, ..one };
        assert!(better.ln_e(1.0).is_finite() && better.ln_e(1.0) < 0.0);
    }

    #[test]
    fn bursts_on_both_arms_rarely_abort_and_a_regression_soon_does() {
        // 10 h of minutes, 5 errors a minute over both arms, every 50th minute five times as many.
        let minutes_to_abort = |candidate_factor: f64, dice: &mut Dice| {
            let (mut xc, mut xb) = (0, 0);
            (1..=600).find(|minute| {
                let errors = if minute % 50 < 5 { 25.0 } else { 5.0 };
                xc += dice.poisson(errors * 0.1 * candidate_factor);
                xb += dice.poisson(errors * 0.9);
                ln_e(xc, xb, 0.1) >= 100.0_f64.ln()
            })
        };
        let mut dice = Dice::new(14);
        let false_aborts = (0..300).filter(|_| minutes_to_abort(1.0, &mut dice).is_some()).count();
        assert!(false_aborts <= 3, "{false_aborts} of 300 aborted without a cause");
        let found = (0..50).filter(|_| minutes_to_abort(2.0, &mut dice).is_some()).count();
        assert_eq!(found, 50);
    }
}
