//! The load gate's evidence: the run's slices by route, and the generator's account of itself.

use std::collections::BTreeMap;

use guanka_core::cause::{Cell, Symptom, rank};
use guanka_core::facts::declared::Declared;
use guanka_core::gates::guard::Fault;
use guanka_core::gates::load::{self as gate, LoadSlice};
use guanka_core::gates::objective::Objective;
use guanka_core::name::{Arm, Route};
use guanka_core::quantity::Millis;
use guanka_core::rollout::verdict::Verdict;
use guanka_core::signals::series::Metric;
use guanka_core::signals::window::{Key, StatusClass};
use guanka_world::load::{GeneratorFault, LoadRun, SelfCheckLimits};

use super::{Judgement, kept, objectives};
use crate::failure::Failure;

/// Judges a run by the objectives of `[gates.load]`.
pub(super) fn judge(
    declared: &Declared,
    arm: Arm,
    (run, stopped_for): (&LoadRun, Option<Fault>),
) -> Result<Judgement, Failure> {
    let named = declared.gates.load.as_ref().map(|gate| gate.slos.as_slice()).unwrap_or_default();
    let objectives = objectives(declared, named)?;
    let strictest = objectives.iter().filter_map(|objective| match objective.objective_metric {
        Metric::Slow(ms) => Some(Millis(ms)),
        Metric::Bad => None,
    });
    let faults = run.self_check.faults(strictest.min(), &SelfCheckLimits::default());
    let check = self_check(run, &faults);
    let limits = gate::SelfCheckLimits::default();
    let slices = |objective: &Objective| slices(run, objective.route.as_ref());
    let mut found = gate::judge_routes(&objectives, arm, (&check, &limits), stopped_for, &slices);
    // The generator knows faults that the gate has no field for; none of them may pass.
    if !faults.is_empty() && found.verdict != Verdict::Invalid {
        found.verdict = Verdict::Invalid;
    }
    let is_bad = found.verdict == Verdict::Bad;
    let mut judged = kept(found, &objectives, 1, "load run");
    if is_bad {
        judged.causes = rank(&cells(run, &objectives, arm));
    }
    Ok(judged)
}

/// Returns the run's slices, of one route or of all together.
pub(crate) fn slices(run: &LoadRun, route: Option<&Route>) -> Vec<LoadSlice> {
    run.slices
        .iter()
        .map(|kinds| {
            let mut slice = LoadSlice::default();
            for (kind, counts) in run.kinds.iter().zip(kinds) {
                if route.is_some_and(|route| route.0 != kind.name) {
                    continue;
                }
                slice.due += counts.requests;
                slice.errors += counts.bad;
                for (threshold, over) in run.thresholds.iter().zip(&counts.not_good_within) {
                    *slice.slow.entry(threshold.0).or_default() += over;
                }
            }
            slice
        })
        .collect()
}

/// Returns the generator's account of itself in the gate's terms.
pub(crate) fn self_check(run: &LoadRun, faults: &[GeneratorFault]) -> gate::SelfCheck {
    let check = &run.self_check;
    let did_send = check.requests - check.unsent;
    let is_saturated = faults.iter().any(|f| matches!(f, GeneratorFault::Saturated { .. }));
    // While the generator never rested, a busy connection may have been one it had not looked at.
    let unread = if is_saturated { check.waited_for_busy } else { 0 };
    gate::SelfCheck {
        lateness_us_p99: check.lateness.quantile_us(0.99),
        could_send: did_send + check.unsent_while_free + unread,
        did_send,
    }
}

/// Returns the run's counts by route for the search for a cause. What was promised stands for the
/// baseline: a load run has no other arm beside it.
fn cells(run: &LoadRun, objectives: &[Objective], arm: Arm) -> BTreeMap<Key, Cell> {
    let mut cells: BTreeMap<Key, Cell> = BTreeMap::new();
    for kind in &run.kinds {
        let route = Route(kind.name.clone());
        let own = |o: &&Objective| o.route.as_ref().is_none_or(|own| *own == route);
        let slowest = objectives.iter().filter(own).find_map(|objective| match objective.metric {
            Metric::Slow(ms) => Some((Millis(ms), objective.limit)),
            Metric::Bad => None,
        });
        let cell = cells.entry(Key { route: route.clone(), arm }).or_default();
        cell.requests += kind.requests;
        cell.baseline_requests += kind.requests;
        let server = Symptom::Status(StatusClass::Server);
        *cell.bad.entry(server).or_default() += kind.bad;
        if let Some((limit, share)) = slowest {
            *cell.bad.entry(Symptom::Slow).or_default() += kind.over(limit).unwrap_or(0);
            let allowed = (kind.requests as f64 * share).floor() as u64;
            *cell.baseline_bad.entry(Symptom::Slow).or_default() += allowed;
        }
    }
    cells
}
