//! The gates: pure functions from counts to a verdict. Every objective is one proportion, judged
//! either once at a fixed moment or, when looked at repeatedly, by a form that allows it; bursts
//! widen every bound. Proof promotes, lack of proof holds, and a broken data path says nothing.

pub mod anytime;
pub mod bake;
pub mod beside;
pub mod bystanders;
pub mod canary;
pub mod compare;
#[cfg(test)]
mod dice;
pub mod dispersion;
pub mod evidence;
pub mod fixed;
pub mod guard;
pub mod load;
pub mod objective;
pub mod proof;
pub mod sentence;
pub mod special;
pub mod strata;
pub mod weighing;

use serde::{Deserialize, Serialize};

use crate::name::{Arm, Route};
use crate::rollout::verdict::Verdict;
use crate::say::{Said, Text};
use crate::signals::series::{Metric, Slice};
use compare::Segment;
use dispersion::Alphas;
use guard::{Coverage, Fault};

/// How often the counts may be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// Once, at a moment fixed beforehand.
    Fixed,
    /// As often as one likes (form C).
    AnyTime,
}

/// Which gate judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GateKind {
    /// A load test on the idle arm.
    Load,
    /// Days of watching before the canary.
    Bake,
    /// A rising share of users.
    Canary,
}

/// Whose requests were counted; the kinds are never pooled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The load generator's.
    Load,
    /// Users'.
    Live,
    /// guanka's own probes.
    Synthetic,
}

/// When proof of a good service may count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Passing {
    /// With this look.
    Now,
    /// Only at the deadline; this look may only fail the gate.
    AtDeadline,
}

/// What a gate found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Judgement {
    /// The gate.
    pub gate: GateKind,
    /// Each objective by itself; in a bake once for each kind of traffic.
    pub objectives: Vec<ObjectiveJudgement>,
    /// All together.
    pub verdict: Verdict,
    /// How much of the time was seen; `None` for a load test, which counts its own requests.
    pub coverage: Option<Coverage>,
    /// Why nothing can be said.
    pub faults: Vec<Fault>,
    /// What a person should know although it decides nothing.
    pub warnings: Vec<Said>,
}

/// What a gate found about one objective.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ObjectiveJudgement {
    /// The objective's name.
    pub slo: String,
    /// The route; `None` is all together.
    pub route: Option<Route>,
    /// The arm judged.
    pub arm: Arm,
    /// Whose requests.
    pub source: Source,
    /// What was counted as bad.
    pub metric: Metric,
    /// Requests.
    pub n: u64,
    /// Bad ones of them.
    pub x: u64,
    /// The lower bound of the bad share.
    pub lower: f64,
    /// The upper bound of the bad share.
    pub upper: f64,
    /// The share at which the gate decides.
    pub limit: f64,
    /// The share that was promised.
    pub objective: f64,
    /// How much the bad requests clump.
    pub phi: f64,
    /// The slices that saw traffic; phi rests on them.
    pub slices: u64,
    /// Whether they are enough for phi.
    pub is_phi_reliable: bool,
    /// Slices of one window with at least one bad request.
    pub bad_slices: u64,
    /// Slices without any request.
    pub empty_slices: u64,
    /// How the bounds were computed.
    pub form: Form,
    /// The error probabilities of this verdict.
    pub alphas: Alphas,
    /// Fewer requests than this decide nothing.
    pub least_n: u64,
    /// Whether this look may pass the gate.
    pub passing: Passing,
    /// The any-time log evidence against the limit, phi taken into account.
    pub ln_m: f64,
    /// The verdict.
    pub verdict: Verdict,
    /// The requests needed in all, if more of the same would prove it.
    pub needed_n: Option<u64>,
    /// The comparison with the stable arm, where there was one.
    pub comparison: Option<Comparison>,
    /// The counts by slice, from which the verdict can be computed again.
    pub counts: Vec<Slice>,
    /// All of it in one sentence.
    pub sentence: Said,
}

/// The candidate compared with the stable arm in the same hours.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// The counts while the share stayed the same, one after another.
    pub segments: Vec<Segment>,
    /// How many times worse the candidate may be.
    pub ratio: f64,
    /// The log evidence that it is worse than that.
    pub ln_e: f64,
    /// The evidence at which the canary is aborted.
    pub abort_from: f64,
}

impl GateKind {
    /// Returns the gate's name.
    pub const fn title(self) -> Text {
        match self {
            Self::Load => Text { zh: "压测关卡", en: "load gate" },
            Self::Bake => Text { zh: "观察关卡", en: "bake gate" },
            Self::Canary => Text { zh: "灰度关卡", en: "canary gate" },
        }
    }
}

impl Comparison {
    /// Compares the arms over all segments.
    pub fn of(segments: Vec<Segment>, ratio: f64, alpha: f64) -> Self {
        let ln_e = compare::total_ln_e(&segments, ratio);
        Self { segments, ratio, ln_e, abort_from: -alpha.ln() }
    }

    /// Returns whether the candidate is proven worse.
    pub fn is_worse(&self) -> bool {
        self.ln_e >= self.abort_from
    }
}

impl Judgement {
    /// Puts the objectives' verdicts together; a fault makes all of them invalid.
    fn of(
        gate: GateKind,
        mut objectives: Vec<ObjectiveJudgement>,
        coverage: Option<Coverage>,
        faults: Vec<Fault>,
        warnings: Vec<Said>,
    ) -> Self {
        if let Some(fault) = faults.first() {
            for judged in &mut objectives {
                judged.verdict = Verdict::Invalid;
                judged.needed_n = None;
                judged.sentence = sentence::invalid(&judged.slo, fault);
            }
        }
        let verdicts = objectives.iter().map(|judged| judged.verdict);
        let verdict = if faults.is_empty() { Verdict::all(verdicts) } else { Verdict::Invalid };
        Self { gate, objectives, verdict, coverage, faults, warnings }
    }
}
