//! The bake gate: days of watching. At every tick the any-time form may fail the gate early; it is
//! passed once, at the deadline, by the fixed form with the correction for bursts. Live and
//! synthetic traffic are judged each by itself.

use std::collections::BTreeMap;
use std::ops::Range;

use super::dispersion::{Alphas, Look, slice_length};
use super::guard::{Coverage, Fault, no_source};
use super::objective::Objective;
use super::weighing::{Case, total};
use super::{Form, GateKind, Judgement, ObjectiveJudgement, Passing, Source};
use crate::facts::declared::{BakeGate, Traffic};
use crate::name::Arm;
use crate::say::Said;
use crate::signals::series::{Metric, Timeline};

/// Which look at a bake this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Any tick before the deadline: may only fail the gate.
    Watch,
    /// The deadline: decides, once.
    Deadline,
    /// Any tick of a bake that was extended after its deadline: decides by the any-time form.
    Extended,
}

/// What a bake has collected.
#[derive(Clone, Debug)]
pub struct BakeEvidence<'a> {
    /// The counts by kind of traffic.
    pub traffic: BTreeMap<Traffic, &'a Timeline>,
    /// The arm that bakes.
    pub arm: Arm,
    /// When the bake began.
    pub from_ms: u64,
    /// Windows that began before this moment should have arrived.
    pub until_ms: u64,
}

/// Judges a bake.
pub fn judge(
    gate: &BakeGate,
    objectives: &[Objective],
    evidence: &BakeEvidence<'_>,
    moment: Moment,
) -> Judgement {
    let mut warnings: Vec<Said> = objectives.iter().filter_map(Objective::warning).collect();
    let (mut judged, mut faults) = (Vec::new(), Vec::new());
    let mut coverage: Option<Coverage> = None;
    for traffic in &gate.traffic {
        let Some(timeline) = evidence.traffic.get(traffic) else {
            faults.push(no_source(name_of(*traffic)));
            continue;
        };
        let range = timeline.position(evidence.from_ms)..timeline.position(evidence.until_ms);
        let seen = Coverage::of(timeline, range.clone());
        faults.extend(seen.fault());
        if coverage.is_none_or(|worst| seen.share() < worst.share()) {
            coverage = Some(seen);
        }
        for objective in objectives {
            let one = Watched { gate, objective, timeline, traffic: *traffic, arm: evidence.arm };
            match one.case(range.clone(), look(gate, objectives, moment), moment) {
                Ok(case) => {
                    warnings.extend(case.warning());
                    judged.push(case.judge(None));
                }
                Err(fault) => faults.push(fault),
            }
        }
    }
    Judgement::of(GateKind::Bake, judged, coverage, faults, warnings)
}

/// Judges one objective of a bake on one kind of traffic; `Err` when its counter is not kept.
pub fn judge_one(
    gate: &BakeGate,
    objective: &Objective,
    timeline: &Timeline,
    arm: Arm,
    range: Range<usize>,
    moment: Moment,
) -> Result<ObjectiveJudgement, Fault> {
    let one = Watched { gate, objective, timeline, traffic: Traffic::Live, arm };
    let look = look(gate, std::slice::from_ref(objective), moment);
    Ok(one.case(range, look, moment)?.judge(None))
}

fn look(gate: &BakeGate, objectives: &[Objective], moment: Moment) -> Look {
    let form = match moment {
        Moment::Deadline => Form::Fixed,
        Moment::Watch | Moment::Extended => Form::AnyTime,
    };
    Look { form, alphas: Alphas::shared_among(objectives.len() * gate.traffic.len()) }
}

/// One objective on one kind of traffic.
struct Watched<'a> {
    gate: &'a BakeGate,
    objective: &'a Objective,
    timeline: &'a Timeline,
    traffic: Traffic,
    arm: Arm,
}

impl<'a> Watched<'a> {
    fn case(&self, range: Range<usize>, look: Look, moment: Moment) -> Result<Case<'a>, Fault> {
        let Self { gate, objective, timeline, .. } = *self;
        let select = |metric: Metric| {
            let selection = timeline.select(objective.route.as_ref(), self.arm, metric);
            selection.ok_or_else(|| no_source(&objective.slo))
        };
        let per_slice = slice_length(gate.duration).0.div_ceil(timeline.step().0) as usize;
        let counts = select(objective.metric)?.slices(range.clone(), per_slice);
        let promised = if objective.objective_metric == objective.metric {
            total(&counts)
        } else {
            select(objective.objective_metric)?.slice(range)
        };
        Ok(Case {
            objective,
            arm: self.arm,
            source: match self.traffic {
                Traffic::Live => Source::Live,
                Traffic::Synthetic => Source::Synthetic,
            },
            counts,
            promised,
            look,
            least_n: gate.min_requests,
            passing: match moment {
                Moment::Watch => Passing::AtDeadline,
                Moment::Deadline | Moment::Extended => Passing::Now,
            },
        })
    }
}

fn name_of(traffic: Traffic) -> &'static str {
    match traffic {
        Traffic::Live => "live",
        Traffic::Synthetic => "synthetic",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gates::dice::Dice;
    use crate::gates::guard::Guard;
    use crate::gates::{anytime, fixed};
    use crate::name::Route;
    use crate::quantity::{Millis, Proportion, Rate};
    use crate::rollout::verdict::Verdict;
    use crate::signals::window::{Counts, Key, WINDOW, Window};

    const HOURS_72: u64 = 25_920;

    fn gate(traffic: &[Traffic], min_requests: u64) -> BakeGate {
        BakeGate {
            duration: Millis::from_secs(72 * 3600),
            slos: Vec::new(),
            traffic: traffic.to_vec(),
            requests: Vec::new(),
            rate: Rate(1.0),
            min_requests,
        }
    }

    fn success() -> Objective {
        Objective::on_success("success", Proportion(0.9995), Proportion(0.0006))
    }

    /// Windows of 20 requests (2 a second) with the bad ones spread evenly, some left out.
    fn timeline(windows: u64, bad: u64, is_there: impl Fn(u64) -> bool) -> Timeline {
        let mut timeline = Timeline::new(0, WINDOW, &["a".to_owned()], &[]);
        for index in (0..windows).filter(|index| is_there(*index)) {
            let x = (index + 1) * bad / windows - index * bad / windows;
            let counts = Counts { requests: 20, bad: x, ..Counts::default() };
            let key = Key { route: Route("GET /".to_owned()), arm: Arm::Green };
            let cells = BTreeMap::from([(key, counts)]);
            timeline.add("a", &Window { start_ms: index * WINDOW.0, cells, ..Window::default() });
        }
        timeline
    }

    fn verdict(timeline: &Timeline, gate: &BakeGate, moment: Moment) -> Judgement {
        let evidence = BakeEvidence {
            traffic: BTreeMap::from([(Traffic::Live, timeline)]),
            arm: Arm::Green,
            from_ms: 0,
            until_ms: HOURS_72 * WINDOW.0,
        };
        judge(gate, &[success()], &evidence, moment)
    }

    #[test]
    fn the_deadline_decides_a_72_hour_bake_between_281_and_341_errors() {
        let gate = gate(&[Traffic::Live], 0);
        let at = |bad| verdict(&timeline(HOURS_72, bad, |_| true), &gate, Moment::Deadline);
        assert_eq!(at(281).verdict, Verdict::Good);
        assert_eq!(at(282).verdict, Verdict::NotYet);
        assert_eq!(at(340).verdict, Verdict::NotYet);
        assert_eq!(at(341).verdict, Verdict::Bad);
        assert_eq!(at(281).objectives[0].slices, 72);
        // 281 of 518,400 is 0.0542 %: over the objective of 0.05 %, inside the limit.
        assert_eq!(at(281).warnings.len(), 1);
    }

    #[test]
    fn a_watch_may_fail_the_bake_early_and_never_passes_it() {
        let gate = gate(&[Traffic::Live], 0);
        let at = |bad, moment| verdict(&timeline(HOURS_72, bad, |_| true), &gate, moment);
        let clean = at(0, Moment::Watch);
        assert_eq!(clean.verdict, Verdict::NotYet);
        assert!(clean.objectives[0].sentence.zh.contains("到期时判定"));
        assert_eq!(at(392, Moment::Watch).verdict, Verdict::NotYet);
        assert_eq!(at(393, Moment::Watch).verdict, Verdict::Bad);
        // An extended bake has been looked at before; only the any-time form may pass it.
        assert_eq!(at(281, Moment::Extended).verdict, Verdict::NotYet);
        assert_eq!(at(236, Moment::Extended).verdict, Verdict::Good);
    }

    #[test]
    fn missing_windows_void_the_bake_below_ninety_percent() {
        let gate = gate(&[Traffic::Live], 0);
        let kept = |percent: u64| {
            let timeline = timeline(HOURS_72, 0, |index| index % 100 < percent);
            verdict(&timeline, &gate, Moment::Deadline)
        };
        assert_eq!(kept(89).verdict, Verdict::Invalid);
        assert_eq!(kept(89).faults[0].guard, Guard::Coverage);
        assert_eq!(kept(91).verdict, Verdict::Good);
    }

    #[test]
    fn silence_is_neither_good_nor_bad() {
        let empty = Timeline::new(0, WINDOW, &["a".to_owned()], &[]);
        let live = gate(&[Traffic::Live], 0);
        assert_eq!(verdict(&empty, &live, Moment::Deadline).verdict, Verdict::Invalid);
        let mut quiet = Timeline::new(0, WINDOW, &["a".to_owned()], &[]);
        for index in 0..HOURS_72 {
            let window = Window { start_ms: index * WINDOW.0, ..Window::default() };
            quiet.add("a", &window);
        }
        let judgement = verdict(&quiet, &live, Moment::Deadline);
        assert_eq!(judgement.verdict, Verdict::NotYet);
        assert_eq!(judgement.objectives[0].empty_slices, 72);
        assert_eq!(judgement.objectives[0].needed_n, Some(4992));
    }

    #[test]
    fn fewer_requests_than_asked_for_decide_nothing() {
        let timeline = timeline(HOURS_72, 0, |_| true);
        let judgement = verdict(&timeline, &gate(&[Traffic::Live], 518_401), Moment::Deadline);
        assert_eq!(judgement.verdict, Verdict::NotYet);
        let enough = verdict(&timeline, &gate(&[Traffic::Live], 518_400), Moment::Deadline);
        assert_eq!(enough.verdict, Verdict::Good);
    }

    #[test]
    fn each_kind_of_traffic_must_prove_itself() {
        let both = gate(&[Traffic::Live, Traffic::Synthetic], 0);
        let (plenty, few) = (timeline(HOURS_72, 0, |_| true), timeline(HOURS_72, 0, |_| true));
        let missing = verdict(&plenty, &both, Moment::Deadline);
        assert_eq!(missing.faults[0].guard, Guard::Source);
        let evidence = BakeEvidence {
            traffic: BTreeMap::from([(Traffic::Live, &plenty), (Traffic::Synthetic, &few)]),
            arm: Arm::Green,
            from_ms: 0,
            until_ms: 200 * WINDOW.0,
        };
        // 200 windows are 4,000 requests of each kind; pooled, 8,000 would prove 0.06 %.
        let judgement = judge(&both, &[success()], &evidence, Moment::Deadline);
        assert_eq!(judgement.objectives.len(), 2);
        assert_eq!(judgement.verdict, Verdict::NotYet);
    }

    #[test]
    fn peeking_every_five_minutes_for_72_hours_rarely_errs_by_the_any_time_form() {
        // A service exactly at the limit, 2 requests a second. The fixed form under the same
        // peeking shows that the trial can see a false alarm.
        let mut dice = Dice::new(8);
        let (runs, mut any_time, mut once) = (120, 0, 0);
        for _ in 0..runs {
            let (mut x, mut any_time_bad, mut once_bad) = (0, false, false);
            for look in 1..=864_u64 {
                x += dice.poisson(600.0 * 0.0006);
                let n = look * 600;
                let ever = anytime::verdict(x as f64, n as f64, 0.0006, 0.05);
                any_time_bad |= ever == Verdict::Bad;
                once_bad |= !once_bad && fixed::lower_bound(x, n, 0.05) > 0.0006;
            }
            any_time += u32::from(any_time_bad);
            once += u32::from(once_bad);
        }
        assert!(any_time * 100 <= runs * 5, "{any_time} of {runs}");
        assert!(once * 100 >= runs * 30, "{once} of {runs}");
    }
}
