//! The canary's evidence: users' requests of both arms since the attempt began, with the shares
//! that were in force.

use std::collections::BTreeMap;

use guanka_core::cause::{Cell, Symptom, rank};
use guanka_core::gates::canary::{CanaryEvidence, ShareChange, judge as gate};
use guanka_core::gates::objective::Objective;
use guanka_core::name::Arm;
use guanka_core::quantity::SharePercent;
use guanka_core::rollout::event::Event;
use guanka_core::rollout::share::on_disk;
use guanka_core::rollout::state::Rollout;
use guanka_core::rollout::verdict::Verdict;
use guanka_core::signals::series::Metric;
use guanka_core::signals::window::{Counts, Key, Window};
use guanka_world::store::metrics::Source;

use super::windows::fetch;
use super::{Judgement, kept, objectives};
use crate::drive::ledger::Chapter;
use crate::drive::link::Link;
use crate::failure::Failure;

/// Judges the canary, or the candidate at full share.
pub(super) fn judge(
    link: &mut Link,
    chapter: &Chapter,
    rollout: &Rollout,
) -> Result<Option<Judgement>, Failure> {
    let declared = &chapter.declared;
    let Some(canary) = &declared.gates.canary else { return Ok(None) };
    let shares = shares(chapter, rollout.spec.candidate);
    let Some(first) = shares.first() else { return Ok(None) };
    let objectives = objectives(declared, &canary.slos)?;
    let fetched = fetch(link, &declared.service, Source::Live, &objectives, first.at_ms)?;
    if fetched.whole_to_ms <= first.at_ms {
        return Ok(None);
    }
    let evidence = CanaryEvidence {
        timeline: &fetched.timeline,
        candidate: rollout.spec.candidate,
        shares: &shares,
        sticky: &declared.proxy.sticky,
        until_ms: fetched.whole_to_ms,
    };
    let found = gate(canary, &objectives, &evidence);
    let is_bad = found.verdict == Verdict::Bad;
    let attempt = u64::from(rollout.attempt);
    let mut judged = kept(found, &objectives, attempt, "windows of the canary");
    if is_bad {
        let cells = cells(&fetched.windows, &objectives, rollout.spec.candidate);
        judged.causes = rank(&cells);
    }
    Ok(Some(judged))
}

/// Returns the shares of the present attempt, as they lay on disk.
fn shares(chapter: &Chapter, candidate: Arm) -> Vec<ShareChange> {
    let mut changes: Vec<ShareChange> = Vec::new();
    for record in &chapter.records {
        if let Event::ShareSet { share, .. } = &record.event {
            if *share == SharePercent::NONE {
                changes.clear();
                continue;
            }
            let green = on_disk(candidate, *share);
            if changes.last().is_none_or(|last| last.green != green) {
                changes.push(ShareChange { at_ms: record.clock.wall_ms, green });
            }
        }
    }
    changes
}

/// Returns both arms' counts by route; the stable arm in the same hours is the baseline of each.
fn cells(windows: &[Window], objectives: &[Objective], candidate: Arm) -> BTreeMap<Key, Cell> {
    let mut counts: BTreeMap<Key, Counts> = BTreeMap::new();
    for window in windows {
        for (key, cell) in &window.cells {
            counts.entry(key.clone()).or_default().merge(cell);
        }
    }
    let mut cells = BTreeMap::new();
    for (key, own) in &counts {
        let stable = Key { route: key.route.clone(), arm: candidate.other() };
        let baseline = counts.get(&stable).cloned().unwrap_or_default();
        let cell = Cell {
            requests: own.requests,
            bad: symptoms(own, key, objectives),
            baseline_requests: baseline.requests,
            baseline_bad: symptoms(&baseline, key, objectives),
        };
        cells.insert(key.clone(), cell);
    }
    cells
}

fn symptoms(counts: &Counts, key: &Key, objectives: &[Objective]) -> BTreeMap<Symptom, u64> {
    let mut symptoms: BTreeMap<Symptom, u64> = counts
        .bad_by_class
        .iter()
        .map(|(class, count)| (Symptom::Status(*class), *count))
        .collect();
    let limit_ms = objectives
        .iter()
        .filter(|objective| objective.route.as_ref().is_none_or(|route| *route == key.route))
        .find_map(|objective| match objective.metric {
            Metric::Slow(ms) => Some(ms),
            Metric::Bad => None,
        });
    if let Some(slow) = limit_ms.and_then(|ms| counts.slow.get(&ms)) {
        symptoms.insert(Symptom::Slow, *slow);
    }
    symptoms
}
