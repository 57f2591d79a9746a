//! Weighing one objective: from the counts of its slices to bounds and a verdict. The three gates
//! share it; they differ in which counts they bring and how often they may look.

use super::dispersion::{Dispersion, Look};
use super::fixed::Interval;
use super::objective::Objective;
use super::special::{ln_beta_tails, ln_gamma_tails};
use super::{Comparison, Form, ObjectiveJudgement, Passing, Source, anytime, fixed, sentence};
use crate::name::Arm;
use crate::rollout::verdict::Verdict;
use crate::say::Said;
use crate::signals::series::Slice;

/// The evidence about one proportion.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Weighed {
    /// All requests and the bad ones.
    pub count: Slice,
    /// How much the bad ones clump.
    pub dispersion: Dispersion,
    /// The bounds of the bad share.
    pub bounds: Interval,
    /// The verdict at the limit.
    pub verdict: Verdict,
}

/// The counts of one objective on one arm.
#[derive(Clone, Debug)]
pub(super) struct Case<'a> {
    pub(super) objective: &'a Objective,
    pub(super) arm: Arm,
    pub(super) source: Source,
    /// By slice, at the limit.
    pub(super) counts: Vec<Slice>,
    /// In all, at the objective.
    pub(super) promised: Slice,
    pub(super) look: Look,
    pub(super) least_n: u64,
    pub(super) passing: Passing,
}

/// Weighs the counts of equal slices of time against a limit.
pub fn weigh(counts: &[Slice], limit: f64, look: Look) -> Weighed {
    let dispersion = Dispersion::of(counts.iter().copied());
    let count = total(counts);
    let bounds = dispersion.bounds(count, look.form, look.alphas);
    let verdict = dispersion.verdict(&bounds, count, limit, look);
    Weighed { count, dispersion, bounds, verdict }
}

/// Returns the verdict of one objective: too few requests decide nothing, a candidate proven worse
/// than the stable arm is bad, and a look that may only fail the gate does not pass it.
pub fn decide(
    weighed: &Weighed,
    least_n: u64,
    passing: Passing,
    comparison: Option<&Comparison>,
) -> Verdict {
    if weighed.count.n < least_n {
        Verdict::NotYet
    } else if comparison.is_some_and(Comparison::is_worse) {
        Verdict::Bad
    } else if weighed.verdict == Verdict::Good && passing == Passing::AtDeadline {
        Verdict::NotYet
    } else {
        weighed.verdict
    }
}

/// Returns the requests needed in all to prove the limit, if bad ones go on coming at the rate seen
/// so far; `None` when that rate is not below the limit.
pub fn needed_n(weighed: &Weighed, limit: f64, look: Look) -> Option<u64> {
    let Slice { n, x } = weighed.count;
    let share = if n == 0 { 0.0 } else { x as f64 / n as f64 };
    if share >= limit {
        return None;
    }
    let phi = weighed.dispersion.phi;
    let at = |phi: f64| first_good(|n| is_good(share * n, n, phi, limit, look));
    let plain = if x == 0 { zero_error_n(limit, look) } else { at(phi)? };
    if weighed.dispersion.is_reliable() || n == 0 {
        return Some(plain.max(n));
    }
    // Either enough slices make phi reliable, or enough requests stand even its doubling.
    let slices = weighed.dispersion.slices.max(1);
    let by_slices = n.saturating_mul(super::dispersion::RELIABLE_FROM).div_ceil(slices);
    Some(plain.max(at(2.0 * phi).map_or(by_slices, |n| n.min(by_slices))).max(n))
}

/// Sums slices.
pub fn total(counts: &[Slice]) -> Slice {
    counts
        .iter()
        .fold(Slice::default(), |sum, slice| Slice { n: sum.n + slice.n, x: sum.x + slice.x })
}

impl Case<'_> {
    /// Judges the objective, together with a comparison that may only make it worse.
    pub(super) fn judge(self, comparison: Option<Comparison>) -> ObjectiveJudgement {
        let (limit, look) = (self.objective.limit, self.look);
        let weighed = weigh(&self.counts, limit, look);
        let verdict = decide(&weighed, self.least_n, self.passing, comparison.as_ref());
        let needed = if verdict == Verdict::NotYet && weighed.verdict != Verdict::Good {
            needed_n(&weighed, limit, look)
        } else {
            None
        };
        let Slice { n, x } = weighed.count;
        let phi = weighed.dispersion.phi;
        let mut judged = ObjectiveJudgement {
            slo: self.objective.slo.clone(),
            route: self.objective.route.clone(),
            arm: self.arm,
            source: self.source,
            metric: self.objective.metric,
            n,
            x,
            lower: weighed.bounds.lower,
            upper: weighed.bounds.upper,
            limit,
            objective: self.objective.objective,
            phi,
            slices: weighed.dispersion.slices,
            is_phi_reliable: weighed.dispersion.is_reliable(),
            bad_slices: self.counts.iter().filter(|slice| slice.x > 0).count() as u64,
            empty_slices: self.counts.iter().filter(|slice| slice.n == 0).count() as u64,
            form: look.form,
            alphas: look.alphas,
            least_n: self.least_n,
            passing: self.passing,
            ln_m: anytime::ln_m(x as f64 / phi, n as f64 / phi, limit),
            verdict,
            needed_n: needed,
            comparison,
            counts: self.counts,
            sentence: Said::new("", ""),
        };
        judged.sentence = sentence::of(&judged);
        judged
    }

    /// Returns the warning that the objective is missed though the limit holds.
    pub(super) fn warning(&self) -> Option<Said> {
        let Slice { n, x } = self.promised;
        let share = if n == 0 { 0.0 } else { x as f64 / n as f64 };
        let is_missed = share > self.objective.objective;
        is_missed.then(|| sentence::missed_objective(self.objective, self.promised))
    }
}

fn zero_error_n(limit: f64, look: Look) -> u64 {
    match look.form {
        Form::Fixed => fixed::zero_error_n(limit, look.alphas.good),
        Form::AnyTime => anytime::zero_error_n(limit, look.alphas.good),
    }
}

/// Returns whether x bad of n prove the limit; both may be fractions.
fn is_good(x: f64, n: f64, phi: f64, limit: f64, look: Look) -> bool {
    let alpha = look.alphas.good;
    match look.form {
        Form::AnyTime => anytime::verdict(x / phi, n / phi, limit, alpha) == Verdict::Good,
        Form::Fixed if phi > 1.0 => {
            ln_gamma_tails(x / phi + 1.0, limit * n / phi).upper <= alpha.ln()
        }
        // The trifle keeps an n that is exactly enough from failing by rounding.
        Form::Fixed => {
            let x = x.floor();
            x < n && ln_beta_tails(x + 1.0, n - x, limit).upper <= alpha.ln() + 1e-12
        }
    }
}

/// Returns the smallest n that is good, to about one part in a thousand above a thousand; a
/// fixed-n count is jagged by single bad requests, so no more could be said.
fn first_good(holds: impl Fn(f64) -> bool) -> Option<u64> {
    // 2^50 requests are more than anybody has.
    let mut high = (0..=50).map(|power| 1_u64 << power).find(|n| holds(*n as f64))?;
    let mut low = high / 2;
    while low + 1 + low / 1000 < high {
        let middle = low + (high - low) / 2;
        if holds(middle as f64) {
            high = middle;
        } else {
            low = middle;
        }
    }
    Some(high)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gates::dispersion::Alphas;

    const ONCE: Look = Look { form: Form::Fixed, alphas: Alphas { good: 0.05, bad: 0.05 } };
    const EVER: Look = Look { form: Form::AnyTime, ..ONCE };

    #[test]
    fn p95_of_600_requests_is_decided_between_20_and_40() {
        let verdict = |x: u64| {
            // Evenly over 30 slices, so that phi is 1 and reliable.
            let counts: Vec<Slice> = (0..30).map(|i| Slice { n: 20, x: (x + i) / 30 }).collect();
            assert_eq!(total(&counts).x, x);
            weigh(&counts, 0.05, ONCE).verdict
        };
        assert_eq!([20, 21, 40].map(verdict), [Verdict::Good, Verdict::NotYet, Verdict::Bad]);
    }

    #[test]
    fn needed_n_is_where_the_verdict_turns_good() {
        let nothing = weigh(&[], 0.0006, ONCE);
        assert_eq!(needed_n(&nothing, 0.01, ONCE), Some(299));
        assert_eq!(needed_n(&nothing, 0.01, EVER), Some(680));
        assert_eq!(needed_n(&nothing, 0.0006, EVER), Some(13_892));
        let some: Vec<Slice> =
            (0..30).map(|i| Slice { n: 100, x: u64::from(i % 6 == 0) }).collect();
        let weighed = weigh(&some, 0.003, ONCE);
        assert_eq!((weighed.count.x, weighed.verdict), (5, Verdict::NotYet));
        let n = needed_n(&weighed, 0.003, ONCE).expect("half of the limit can be proven");
        let x = (n as f64 * 5.0 / 3000.0) as u64;
        assert!(fixed::upper_bound(x, n, 0.05) <= 0.003, "{n}");
        let worse: Vec<Slice> = (0..30).map(|_| Slice { n: 100, x: 1 }).collect();
        assert_eq!(needed_n(&weigh(&worse, 0.0099, ONCE), 0.0099, ONCE), None);
    }

    #[test]
    fn a_short_run_near_the_limit_says_how_much_more_is_needed() {
        let counts = [Slice { n: 2000, x: 92 }; 6];
        let weighed = weigh(&counts, 0.05, ONCE);
        assert_eq!(weighed.verdict, Verdict::NotYet);
        let n = needed_n(&weighed, 0.05, ONCE).expect("provable");
        assert!(n > 12_000 && n <= 48_000, "{n}");
    }
}
