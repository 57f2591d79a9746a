//! The bake's evidence: the candidate under guanka's own trickle of requests, and, where it is
//! asked for, users' requests of the stable arm beside it. The two are never added up.

use std::collections::BTreeMap;

use guanka_core::facts::declared::{BakeGate, Traffic};
use guanka_core::gates::Judgement as Found;
use guanka_core::gates::bake::{BakeEvidence, Moment, judge as gate};
use guanka_core::gates::beside;
use guanka_core::gates::objective::Objective;
use guanka_core::rollout::event::Event;
use guanka_core::rollout::state::{BakeWindow, Rollout, State};
use guanka_core::rollout::verdict::Verdict;
use guanka_core::signals::window::WINDOW;
use guanka_world::store::metrics::Source;

use super::windows::fetch;
use super::{Judgement, kept, objectives};
use crate::drive::ledger::Chapter;
use crate::drive::link::Link;
use crate::failure::Failure;

/// Judges a bake at this moment.
pub(super) fn judge(
    link: &mut Link,
    chapter: &Chapter,
    rollout: &Rollout,
    now: u64,
) -> Result<Option<Judgement>, Failure> {
    let declared = &chapter.declared;
    let (Some(gate), State::Baking { until }) = (&declared.gates.bake, &rollout.state) else {
        return Ok(None);
    };
    let Some(began_ms) = began(chapter).filter(|_| rollout.bake == BakeWindow::Counting) else {
        return Ok(None);
    };
    // The first whole window after the traffic began: one cut in half would look like a gap.
    let from_ms = began_ms.next_multiple_of(WINDOW.0);
    let until_ms = from_ms + gate.duration.0;
    let objectives = objectives(declared, &gate.slos)?;
    let mut found = None;
    let mut is_deadline = now >= *until;
    for traffic in &gate.traffic {
        let source = match traffic {
            Traffic::Live => Source::Live,
            Traffic::Synthetic => Source::Synthetic,
        };
        // Users' requests are compared with as long a time before the bake.
        let since_ms = match traffic {
            Traffic::Live => from_ms.saturating_sub(gate.duration.0),
            Traffic::Synthetic => from_ms,
        };
        let fetched = fetch(link, &declared.service, source, &objectives, since_ms)?;
        // The windows of the last seconds arrive a little later than the bake's end.
        is_deadline &= fetched.whole_to_ms >= until_ms;
        let until_ms = until_ms.min(fetched.whole_to_ms);
        if until_ms <= from_ms {
            return Ok(None);
        }
        let arm = match traffic {
            Traffic::Synthetic => rollout.spec.candidate,
            Traffic::Live => rollout.spec.candidate.other(),
        };
        let evidence = BakeEvidence {
            traffic: BTreeMap::from([(*traffic, &fetched.timeline)]),
            arm,
            from_ms,
            until_ms,
        };
        let moment = if is_deadline { Moment::Deadline } else { Moment::Watch };
        let alone = BakeGate { traffic: vec![*traffic], ..gate.clone() };
        let mut one = self::gate(&alone, &objectives, &evidence, moment);
        if *traffic == Traffic::Live {
            let earlier = BakeEvidence { from_ms: since_ms, until_ms: from_ms, ..evidence };
            let before = self::gate(&alone, &objectives, &earlier, Moment::Deadline);
            one = beside::judge(one, &before);
        }
        found = Some(match found {
            None => one,
            Some(before) => together(before, one),
        });
    }
    if now >= *until && !is_deadline {
        // Said only once every window of the bake is in: the deadline is looked at once.
        return Ok(None);
    }
    Ok(found.map(|found| kept_bake(found, &objectives)))
}

fn together(mut one: Found, other: Found) -> Found {
    one.verdict = Verdict::all([one.verdict, other.verdict]);
    one.objectives.extend(other.objectives);
    one.faults.extend(other.faults);
    one.warnings.extend(other.warnings);
    one
}

fn kept_bake(found: Found, objectives: &[Objective]) -> Judgement {
    kept(found, objectives, 1, "windows of the bake")
}

/// Returns when the bake's traffic began, on the wall clock.
fn began(chapter: &Chapter) -> Option<u64> {
    let begun = |event: &Event| matches!(event, Event::BakeBegun { .. });
    chapter.records.iter().rev().find(|r| begun(&r.event)).map(|r| r.clock.wall_ms)
}
