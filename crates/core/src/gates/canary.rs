//! The canary gate: the candidate under a rising share of users, looked at again and again. Each
//! objective is decided by the any-time form over all windows since the attempt began, never reset
//! at a step; a comparison with the stable arm in the same hours may abort and never promotes.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::compare::Segment;
use super::dispersion::{Alphas, Look, slice_length};
use super::guard::{Coverage, Fault, no_source, request_split, sticky_split};
use super::objective::Objective;
use super::weighing::Case;
use super::{Comparison, Form, GateKind, Judgement, Passing, Source};
use crate::facts::declared::{CanaryGate, Sticky};
use crate::name::Arm;
use crate::quantity::{Millis, SharePercent};
use crate::rollout::verdict::Verdict;
use crate::say::Said;
use crate::signals::series::{Metric, Selection, Slice, Timeline};
use crate::signals::slot::share_of;

/// How many times worse than the stable arm the candidate may be: a cold start and small
/// differences between arms are no regression.
pub const ALLOWED_RATIO: f64 = 1.2;

/// A change of the share in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShareChange {
    /// When it came into force.
    pub at_ms: u64,
    /// Green's share from then on, as it stands on disk.
    pub green: SharePercent,
}

/// What a canary has collected.
#[derive(Clone, Debug)]
pub struct CanaryEvidence<'a> {
    /// Users' requests.
    pub timeline: &'a Timeline,
    /// The candidate's arm.
    pub candidate: Arm,
    /// The shares since the attempt began, in order; the first one begins it.
    pub shares: &'a [ShareChange],
    /// What keeps a user on one arm.
    pub sticky: &'a Sticky,
    /// Windows that began before this moment should have arrived.
    pub until_ms: u64,
}

/// Judges a canary.
pub fn judge(
    gate: &CanaryGate,
    objectives: &[Objective],
    evidence: &CanaryEvidence<'_>,
) -> Judgement {
    let range = evidence.range();
    let coverage = Coverage::of(evidence.timeline, range.clone());
    let mut faults: Vec<Fault> = coverage.fault().into_iter().collect();
    let mut warnings: Vec<Said> = objectives.iter().filter_map(Objective::warning).collect();
    let tests = objectives.len() * if gate.compare { 2 } else { 1 };
    let look = Look { form: Form::AnyTime, alphas: Alphas::shared_among(tests) };
    let mut judged = Vec::new();
    for objective in objectives {
        let Some(case) = evidence.case(objective, range.clone(), look) else {
            faults.push(no_source(&objective.slo));
            continue;
        };
        warnings.extend(case.warning());
        let comparison = if gate.compare {
            evidence
                .segments(objective)
                .map(|segments| Comparison::of(segments, ALLOWED_RATIO, look.alphas.bad))
        } else {
            None
        };
        judged.push(case.judge(comparison));
    }
    let is_decided = judged.iter().all(|one| one.verdict == Verdict::Good);
    faults.extend(evidence.split_fault(range, is_decided));
    Judgement::of(GateKind::Canary, judged, Some(coverage), faults, warnings)
}

impl<'a> CanaryEvidence<'a> {
    /// Returns the whole windows since the attempt began. The one in which it began may hold
    /// requests of another release that had the same arm seconds before.
    fn range(&self) -> Range<usize> {
        let from = self.shares.first().map_or(self.until_ms, |change| change.at_ms);
        let first = self.timeline.position(from + self.timeline.step().0 - 1);
        first..self.timeline.position(self.until_ms).max(first)
    }

    fn case(&self, objective: &'a Objective, range: Range<usize>, look: Look) -> Option<Case<'a>> {
        let select = |metric| self.select(objective, self.candidate, metric);
        let step = self.timeline.step();
        let elapsed = Millis(range.len() as u64 * step.0);
        let per_slice = slice_length(elapsed).0.div_ceil(step.0) as usize;
        Some(Case {
            objective,
            arm: self.candidate,
            source: Source::Live,
            counts: select(objective.metric)?.slices(range.clone(), per_slice),
            promised: select(objective.objective_metric)?.slice(range),
            look,
            least_n: 0,
            passing: Passing::Now,
        })
    }

    fn select(&self, objective: &Objective, arm: Arm, metric: Metric) -> Option<Selection<'a>> {
        self.timeline.select(objective.route.as_ref(), arm, metric)
    }

    /// Returns the counts of both arms for each stretch of one share.
    fn segments(&self, objective: &Objective) -> Option<Vec<Segment>> {
        let candidate = self.select(objective, self.candidate, objective.metric)?;
        let stable = self.select(objective, self.candidate.other(), objective.metric)?;
        let both = |(_, range): (SharePercent, Range<usize>)| {
            let (candidate, stable) = (candidate.slice(range.clone()), stable.slice(range));
            Segment {
                candidate_n: candidate.n,
                candidate_x: candidate.x,
                stable_n: stable.n,
                stable_x: stable.x,
            }
        };
        Some(self.stretches().into_iter().map(both).collect())
    }

    /// Returns the whole windows in which one share was in force; a window in which it changed
    /// belongs to neither.
    fn stretches(&self) -> Vec<(SharePercent, Range<usize>)> {
        let ends = self.shares.iter().skip(1).map(|change| change.at_ms).chain([self.until_ms]);
        let whole = |(change, end_ms): (&ShareChange, u64)| {
            let first = self.timeline.position(change.at_ms + self.timeline.step().0 - 1);
            (change.green, first..self.timeline.position(end_ms).max(first))
        };
        self.shares.iter().zip(ends).map(whole).filter(|(_, range)| !range.is_empty()).collect()
    }

    /// Looks for a broken split. With sticky keys every window is looked at; single requests are
    /// counted once a stretch: when it is over, and at the look that would promote.
    fn split_fault(&self, range: Range<usize>, is_decided: bool) -> Option<Fault> {
        if *self.sticky != Sticky::Request {
            return self.sticky_fault(range);
        }
        let mut stretches = self.stretches();
        if !is_decided {
            stretches.pop();
        }
        stretches.into_iter().find_map(|(green, range)| {
            let requests = |arm| -> Option<Slice> {
                Some(self.timeline.select(None, arm, Metric::Bad)?.slice(range.clone()))
            };
            let candidate = requests(self.candidate)?;
            let stable = requests(self.candidate.other())?;
            request_split(candidate.n, stable.n, share_of(self.candidate, green))
        })
    }

    fn sticky_fault(&self, range: Range<usize>) -> Option<Fault> {
        let mut index = range.start;
        while index < range.end {
            let (in_force, until) = self.in_force(index);
            let same = self.timeline.slots_seen(index..until.min(range.end));
            let fault = same.iter().find_map(|seen| sticky_split(*seen, &in_force));
            if fault.is_some() {
                return fault;
            }
            index = until;
        }
        None
    }

    /// Returns green's shares in force in a window and, for grace, in its two neighbours; and the
    /// first later window for which they may be others.
    fn in_force(&self, index: usize) -> (Vec<SharePercent>, usize) {
        let before_all = match self.candidate {
            Arm::Green => SharePercent::NONE,
            Arm::Blue => SharePercent::ALL,
        };
        let place = |change: &ShareChange| self.timeline.position(change.at_ms);
        let (first, last) = (index.saturating_sub(1), index + 1);
        let old = self.shares.iter().rev().find(|change| place(change) < first);
        let start = old.map_or(before_all, |change| change.green);
        let near = self.shares.iter().filter(|change| (first..=last).contains(&place(change)));
        let all: Vec<SharePercent> =
            std::iter::once(start).chain(near.map(|change| change.green)).collect();
        let later = self.shares.iter().map(place).find(|place| *place > last);
        let calm_until = later.map_or(usize::MAX, |place| place - 1);
        let until = if all.len() == 1 { calm_until } else { index + 1 };
        (all, until)
    }
}

#[cfg(test)]
mod tests;
