//! Hands a load run to the load gate: the counts by slice and the generator's account of itself.

use guanka_core::gates::Judgement;
use guanka_core::gates::load::{self, LoadSlice};
use guanka_core::gates::objective::Objective;
use guanka_core::name::Arm;
use guanka_core::quantity::{Millis, Proportion};
use guanka_core::rollout::verdict::Verdict;
use guanka_world::load::{GeneratorFault, LoadRun, SelfCheckLimits};

/// What a run proves.
pub(super) struct Outcome {
    /// What the gate found; `None` without a limit.
    pub(super) judgement: Option<Judgement>,
    /// Why the run says nothing about the server.
    pub(super) faults: Vec<GeneratorFault>,
    /// The verdict; `None` without a limit.
    pub(super) verdict: Option<Verdict>,
}

/// Builds the objectives that the command line names; here limit and objective are the same.
pub(super) fn objectives(
    quantile: f64,
    limit: Option<Millis>,
    error_limit: Option<Proportion>,
) -> Vec<Objective> {
    let latency = limit.map(|limit| {
        let name = format!("p{}", Proportion(quantile)).replace('%', "");
        Objective::on_latency(&name, quantile, limit, limit)
    });
    let errors =
        error_limit.map(|limit| Objective::on_success("errors", limit.complement(), limit));
    latency.into_iter().chain(errors).collect()
}

/// Judges a run.
pub(super) fn judge(objectives: &[Objective], limit: Option<Millis>, run: &LoadRun) -> Outcome {
    let faults = run.self_check.faults(limit, &SelfCheckLimits::default());
    if objectives.is_empty() {
        return Outcome { judgement: None, faults, verdict: None };
    }
    let judged = load::judge(
        objectives,
        Arm::Blue,
        &evidence(run, &faults),
        &load::SelfCheckLimits::default(),
    );
    // The generator knows faults the gate has no field for; none of them may pass.
    let verdict = if faults.is_empty() { judged.verdict } else { Verdict::Invalid };
    Outcome { judgement: Some(judged), faults, verdict: Some(verdict) }
}

/// Turns a run into the gate's evidence.
fn evidence(run: &LoadRun, faults: &[GeneratorFault]) -> load::LoadRun {
    let slices = run.total_slices().into_iter().map(|slice| LoadSlice {
        due: slice.requests,
        errors: slice.bad,
        slow: run.thresholds.iter().map(|t| t.0).zip(slice.not_good_within).collect(),
    });
    let check = &run.self_check;
    let did_send = check.requests - check.unsent;
    let is_saturated = faults.iter().any(|f| matches!(f, GeneratorFault::Saturated { .. }));
    // While the generator never rested, a busy connection may have been one it had not looked at.
    let unread = if is_saturated { check.waited_for_busy } else { 0 };
    let could_send = did_send + check.unsent_while_free + unread;
    let lateness_us_p99 = check.lateness.quantile_us(0.99);
    let check = load::SelfCheck { lateness_us_p99, could_send, did_send };
    load::LoadRun { slices: slices.collect(), check }
}
