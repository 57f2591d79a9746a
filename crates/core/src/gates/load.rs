//! The load gate: one look at the end of an open-loop run on the idle arm. Requests that were never
//! sent because the server was busy are bad evidence; the run is void only when the generator was
//! late although connections were free.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::dispersion::{Alphas, Look};
use super::guard::{Fault, Guard};
use super::objective::Objective;
use super::weighing::{Case, total};
use super::{Form, GateKind, Judgement, Passing, Source};
use crate::name::Arm;
use crate::say::Said;
use crate::signals::series::{Metric, Slice};

/// The counts of one slice of the run, by due time, warm-up left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadSlice {
    /// Requests that were due, sent or not.
    pub due: u64,
    /// Of them without a good answer: errors, timeouts, refused, never sent.
    pub errors: u64,
    /// Of them without a good answer within so many milliseconds of the due time; all errors are
    /// among them.
    pub slow: BTreeMap<u64, u64>,
}

/// What the generator measured of itself. Lateness counts only while a connection was free.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SelfCheck {
    /// The 99th percentile of its lateness, in microseconds.
    pub lateness_us_p99: u64,
    /// Requests that free connections allowed it to send.
    pub could_send: u64,
    /// Requests that it did send of those.
    pub did_send: u64,
}

/// From where on the generator is to blame.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SelfCheckLimits {
    /// The greatest lateness, in microseconds.
    pub lateness_us: u64,
    /// The greatest lateness as a share of the strictest latency objective.
    pub lateness_share: f64,
    /// The least share of the schedule it could have kept and did.
    pub schedule_share: f64,
}

/// A finished run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadRun {
    /// Equal slices of time, each as long as `dispersion::slice_length` of the run says.
    pub slices: Vec<LoadSlice>,
    /// The generator's account of itself.
    pub check: SelfCheck,
}

impl Default for SelfCheckLimits {
    /// Starting values, measured on a quiet machine: 10 ms, 5 % of the objective, 99 %.
    fn default() -> Self {
        Self { lateness_us: 10_000, lateness_share: 0.05, schedule_share: 0.99 }
    }
}

/// Judges a run whose every request counts for every objective.
pub fn judge(
    objectives: &[Objective],
    arm: Arm,
    run: &LoadRun,
    limits: &SelfCheckLimits,
) -> Judgement {
    judge_routes(objectives, arm, (&run.check, limits), None, &|_| run.slices.clone())
}

/// Judges a run over several routes: each objective by the slices of its own. A run that was
/// stopped for what it did to users is void.
pub fn judge_routes(
    objectives: &[Objective],
    arm: Arm,
    (check, limits): (&SelfCheck, &SelfCheckLimits),
    stopped_for: Option<Fault>,
    slices_of: &dyn Fn(&Objective) -> Vec<LoadSlice>,
) -> Judgement {
    let look = Look { form: Form::Fixed, alphas: Alphas::shared_among(objectives.len()) };
    let mut warnings: Vec<Said> = objectives.iter().filter_map(Objective::warning).collect();
    let mut judged = Vec::new();
    for objective in objectives {
        let slices = slices_of(objective);
        let counts: Vec<Slice> = counts(&slices, objective.metric);
        let promised = total(&self::counts(&slices, objective.objective_metric));
        let case = Case {
            objective,
            arm,
            source: Source::Load,
            counts,
            promised,
            look,
            least_n: 0,
            passing: Passing::Now,
        };
        warnings.extend(case.warning());
        judged.push(case.judge(None));
    }
    let own = self_check(objectives, check, limits);
    let faults = stopped_for.into_iter().chain(own).collect();
    Judgement::of(GateKind::Load, judged, None, faults, warnings)
}

fn counts(slices: &[LoadSlice], metric: Metric) -> Vec<Slice> {
    slices
        .iter()
        .map(|slice| {
            let x = match metric {
                Metric::Bad => slice.errors,
                // A threshold that was not counted must not look like "never slow".
                Metric::Slow(ms) => slice.slow.get(&ms).copied().unwrap_or(slice.due),
            };
            Slice { n: slice.due, x: x.min(slice.due) }
        })
        .collect()
}

fn self_check(
    objectives: &[Objective],
    check: &SelfCheck,
    limits: &SelfCheckLimits,
) -> Option<Fault> {
    let strictest_ms = objectives.iter().filter_map(|objective| match objective.objective_metric {
        Metric::Slow(ms) => Some(ms),
        Metric::Bad => None,
    });
    let by_objective = strictest_ms.min().map(|ms| ms as f64 * 1000.0 * limits.lateness_share);
    let most_us = by_objective.unwrap_or(f64::INFINITY).min(limits.lateness_us as f64);
    let kept =
        if check.could_send == 0 { 1.0 } else { check.did_send as f64 / check.could_send as f64 };
    let late_ms = check.lateness_us_p99 as f64 / 1000.0;
    let said = if check.lateness_us_p99 as f64 > most_us {
        let most_ms = most_us / 1000.0;
        Said::new(
            format!("连接空闲时压测器自身仍迟发 P99 {late_ms:.1} ms,超过 {most_ms:.1} ms。"),
            format!(
                "with connections free the generator itself was late, P99 {late_ms:.1} ms, more \
                 than {most_ms:.1} ms."
            ),
        )
    } else if kept < limits.schedule_share {
        let percent = kept * 100.0;
        Said::new(
            format!("连接空闲时压测器只发出了可发请求的 {percent:.1}%。"),
            format!("the generator sent only {percent:.1}% of what free connections allowed."),
        )
    } else {
        return None;
    };
    Some(Fault { guard: Guard::Generator, said })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quantity::{Millis, Proportion};
    use crate::rollout::verdict::Verdict;

    fn p95() -> Objective {
        Objective::on_latency("orders", 0.95, Millis(800), Millis(950))
    }

    fn run(slices: usize, due: u64, errors: u64, over_800: u64, over_950: u64) -> LoadRun {
        let slow = BTreeMap::from([(800, over_800), (950, over_950)]);
        let check = SelfCheck { lateness_us_p99: 900, could_send: 1000, did_send: 1000 };
        LoadRun { slices: vec![LoadSlice { due, errors, slow }; slices], check }
    }

    fn judged(objectives: &[Objective], run: &LoadRun) -> Judgement {
        judge(objectives, Arm::Blue, run, &SelfCheckLimits::default())
    }

    #[test]
    fn five_and_a_half_percent_over_the_limit_is_never_good() {
        for slices in [1, 3, 6, 30, 300] {
            let verdict = judged(&[p95()], &run(slices, 200, 0, 20, 11)).verdict;
            assert!(matches!(verdict, Verdict::Bad | Verdict::NotYet), "{slices}: {verdict:?}");
        }
        assert_eq!(judged(&[p95()], &run(300, 2000, 0, 200, 110)).verdict, Verdict::Bad);
    }

    #[test]
    fn between_objective_and_limit_is_good_with_a_warning() {
        let judgement = judged(&[p95()], &run(6, 2000, 0, 140, 40));
        assert_eq!(judgement.verdict, Verdict::Good);
        assert_eq!(judgement.warnings.len(), 1);
        assert!(judgement.warnings[0].zh.contains("关卡只按限值判定"));
        assert!(judged(&[p95()], &run(6, 2000, 0, 90, 40)).warnings.is_empty());
    }

    #[test]
    fn a_server_that_takes_half_the_rate_is_bad_and_never_invalid() {
        // Half of the requests were still waiting for a connection when the run ended.
        let judgement = judged(&[p95()], &run(6, 2000, 1000, 1000, 1000));
        assert_eq!(judgement.verdict, Verdict::Bad);
        assert!(judgement.faults.is_empty());
    }

    #[test]
    fn a_generator_late_with_free_connections_voids_the_run_however_bad_it_looks() {
        let mut late = run(6, 2000, 1000, 1000, 1000);
        late.check.lateness_us_p99 = 10_001;
        assert_eq!(judged(&[p95()], &late).verdict, Verdict::Invalid);
        let mut short = run(6, 2000, 0, 0, 0);
        short.check.did_send = 989;
        let judgement = judged(&[p95()], &short);
        assert_eq!(judgement.faults[0].guard, Guard::Generator);
        assert_eq!(judgement.objectives[0].verdict, Verdict::Invalid);
    }

    #[test]
    fn one_bad_objective_is_enough_and_one_open_one_holds() {
        let success = Objective::on_success("success", Proportion(0.999), Proportion(0.002));
        let both = [p95(), success];
        assert_eq!(judged(&both, &run(30, 2000, 0, 0, 0)).verdict, Verdict::Good);
        assert_eq!(judged(&both, &run(30, 2000, 20, 20, 20)).verdict, Verdict::Bad);
        let open = judged(&both, &run(30, 20, 0, 0, 0));
        assert_eq!(open.verdict, Verdict::NotYet);
        assert!(open.objectives[1].needed_n.expect("provable") >= 1497);
        assert_eq!(judged(&[], &run(30, 2000, 0, 0, 0)).verdict, Verdict::NotYet);
    }

    #[test]
    fn a_threshold_that_was_not_counted_is_not_never_slow() {
        let mut blind = run(30, 2000, 0, 0, 0);
        blind.slices.iter_mut().for_each(|slice| slice.slow.clear());
        assert_eq!(judged(&[p95()], &blind).verdict, Verdict::Bad);
    }
}
