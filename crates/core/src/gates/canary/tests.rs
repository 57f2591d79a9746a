//! The canary gate on made-up windows: what promotes, what aborts, what voids, and the trial of
//! low traffic that every known peer gets wrong.

use std::collections::BTreeMap;

use super::*;
use crate::facts::declared::CanaryStep;
use crate::gates::dice::Dice;
use crate::gates::guard::Guard;
use crate::name::Route;
use crate::quantity::Proportion;
use crate::signals::slot::Slot;
use crate::signals::window::{Counts, Key, SlotRange, WINDOW, Window};

fn gate(compare: bool) -> CanaryGate {
    CanaryGate {
        steps: vec![CanaryStep { share: SharePercent::ALL, hold: Millis(0) }],
        compare,
        slos: Vec::new(),
        deadline: Millis::from_secs(72 * 3600),
        invalid_grace: Millis::from_secs(600),
        settle: Millis::from_secs(600),
    }
}

fn success(limit: f64) -> Objective {
    let share = Proportion(limit);
    Objective::on_success("success", share.complement(), share)
}

fn green(percent: u8) -> SharePercent {
    SharePercent::new(percent).expect("a percentage")
}

/// Adds one window; each arm is (arm, requests, bad).
fn add(timeline: &mut Timeline, index: u64, arms: &[(Arm, u64, u64)]) {
    let cell = |(arm, requests, bad): &(Arm, u64, u64)| {
        let key = Key { route: Route("GET /".to_owned()), arm: *arm };
        (key, Counts { requests: *requests, bad: *bad, ..Counts::default() })
    };
    let cells: BTreeMap<Key, Counts> = arms.iter().map(cell).collect();
    let window = Window { start_ms: index * WINDOW.0, cells, ..Window::default() };
    timeline.add("a", &window);
}

fn empty() -> Timeline {
    Timeline::new(0, WINDOW, &["a".to_owned()], &[])
}

/// Judges a canary on green that began at 0 with 10 %.
fn judged(timeline: &Timeline, windows: u64, gate: &CanaryGate, sticky: &Sticky) -> Judgement {
    let evidence = CanaryEvidence {
        timeline,
        candidate: Arm::Green,
        shares: &[ShareChange { at_ms: 0, green: green(10) }],
        sticky,
        until_ms: windows * WINDOW.0,
    };
    judge(gate, &[success(0.01)], &evidence)
}

#[test]
fn three_requests_without_error_promote_nothing() {
    let mut timeline = empty();
    for index in 0..30 {
        add(&mut timeline, index, &[(Arm::Green, u64::from(index % 10 == 0), 0)]);
    }
    let judgement = judged(&timeline, 30, &gate(false), &Sticky::Client);
    assert_eq!(judgement.verdict, Verdict::NotYet);
    assert_eq!(judgement.objectives[0].n, 3);
    let needed = judgement.objectives[0].needed_n.expect("zero errors can prove it");
    assert!((680..=5440).contains(&needed), "{needed}");
}

#[test]
fn what_another_release_did_on_the_same_arm_seconds_before_is_no_evidence() {
    let mut timeline = empty();
    // The arm had everything, and was failing, until the release on it was taken back.
    let slots = SlotRange {
        least: Slot::new(0).expect("a slot"),
        greatest: Slot::new(99).expect("a slot"),
    };
    let key = Key { route: Route("GET /".to_owned()), arm: Arm::Green };
    let cells = BTreeMap::from([(key, Counts { requests: 200, bad: 60, ..Counts::default() })]);
    let slots = BTreeMap::from([(Arm::Green, slots)]);
    timeline.add("a", &Window { start_ms: 0, cells, slots, ..Window::default() });
    for index in 1..30 {
        add(&mut timeline, index, &[(Arm::Green, 100, 0), (Arm::Blue, 900, 0)]);
    }
    let evidence = CanaryEvidence {
        timeline: &timeline,
        candidate: Arm::Green,
        shares: &[ShareChange { at_ms: 4_000, green: green(10) }],
        sticky: &Sticky::Client,
        until_ms: 30 * WINDOW.0,
    };
    let judgement = judge(&gate(false), &[success(0.01)], &evidence);
    assert_eq!(judgement.verdict, Verdict::Good, "{:?}", judgement.faults);
    assert_eq!(judgement.objectives[0].n, 2900);
}

#[test]
fn before_the_first_sample_nothing_passes() {
    let timeline = empty();
    assert_eq!(judged(&timeline, 0, &gate(true), &Sticky::Client).verdict, Verdict::NotYet);
    let no_shares = CanaryEvidence {
        timeline: &timeline,
        candidate: Arm::Green,
        shares: &[],
        sticky: &Sticky::Client,
        until_ms: 600_000,
    };
    assert_eq!(judge(&gate(true), &[success(0.01)], &no_shares).verdict, Verdict::NotYet);
    assert_eq!(judge(&gate(true), &[], &no_shares).verdict, Verdict::NotYet);
}

#[test]
fn a_source_that_is_down_is_invalid_and_not_a_failure() {
    let mut timeline = empty();
    for index in 0..89 {
        add(&mut timeline, index, &[(Arm::Green, 100, 50)]);
    }
    let judgement = judged(&timeline, 100, &gate(false), &Sticky::Client);
    assert_eq!(judgement.verdict, Verdict::Invalid);
    add(&mut timeline, 89, &[(Arm::Green, 100, 50)]);
    assert_eq!(judged(&timeline, 100, &gate(false), &Sticky::Client).verdict, Verdict::Bad);
}

#[test]
fn one_bad_objective_aborts_although_another_is_open() {
    let mut timeline = empty();
    for index in 0..60 {
        add(&mut timeline, index, &[(Arm::Green, 20, u64::from(index % 4 == 0))]);
    }
    let shares = [ShareChange { at_ms: 0, green: green(10) }];
    let evidence = CanaryEvidence {
        timeline: &timeline,
        candidate: Arm::Green,
        shares: &shares,
        sticky: &Sticky::Client,
        until_ms: 60 * WINDOW.0,
    };
    let other = Objective { slo: "other".to_owned(), ..success(0.012) };
    let other = other.on(Some(Route("POST /nobody".to_owned())));
    let judgement = judge(&gate(false), &[success(0.001), other], &evidence);
    let verdicts: Vec<Verdict> = judgement.objectives.iter().map(|one| one.verdict).collect();
    assert_eq!(verdicts, [Verdict::Bad, Verdict::NotYet]);
    assert_eq!(judgement.verdict, Verdict::Bad);
    // Two objectives share the alpha of an abort.
    assert!((judgement.objectives[0].alphas.bad - 0.025).abs() < 1e-15);
}

#[test]
fn a_candidate_worse_than_the_stable_arm_aborts_inside_the_limit() {
    let mut timeline = empty();
    for index in 0..360 {
        let arms = [(Arm::Green, 100, u64::from(index % 4 == 0)), (Arm::Blue, 900, 0)];
        add(&mut timeline, index, &arms);
    }
    let alone = judged(&timeline, 360, &gate(false), &Sticky::Client);
    assert_eq!(alone.verdict, Verdict::Good);
    let compared = judged(&timeline, 360, &gate(true), &Sticky::Client);
    assert_eq!(compared.verdict, Verdict::Bad);
    assert!(compared.objectives[0].sentence.zh.contains("稳定臂"));
}

#[test]
fn a_burst_on_both_arms_does_not_abort_by_comparison() {
    let mut timeline = empty();
    for index in 0..360 {
        let burst = u64::from(index % 60 < 2);
        let arms = [(Arm::Green, 100, burst * 3), (Arm::Blue, 900, burst * 27)];
        add(&mut timeline, index, &arms);
    }
    let judgement = judged(&timeline, 360, &gate(true), &Sticky::Client);
    assert!(!judgement.objectives[0].comparison.as_ref().expect("compared").is_worse());
    assert_ne!(judgement.verdict, Verdict::Bad);
}

#[test]
fn a_line_of_slot_50_on_green_at_ten_percent_voids_a_sticky_split() {
    let mut timeline = empty();
    for index in 0..360 {
        add(&mut timeline, index, &[(Arm::Green, 130, 0), (Arm::Blue, 870, 0)]);
    }
    // Uneven counts are no fault where users stick to their arm, and are one with `request`.
    assert_eq!(judged(&timeline, 360, &gate(false), &Sticky::Client).verdict, Verdict::Good);
    let by_request = judged(&timeline, 360, &gate(false), &Sticky::Request);
    assert_eq!(by_request.verdict, Verdict::Invalid);
    assert_eq!(by_request.faults[0].guard, Guard::SampleRatio);
    let range = SlotRange::of(Slot::new(50).expect("a slot"));
    let slots = BTreeMap::from([(Arm::Green, range)]);
    let late = Window { start_ms: 200 * WINDOW.0, slots, ..Window::default() };
    timeline.add_late("a", &late);
    let sticky = judged(&timeline, 360, &gate(false), &Sticky::Client);
    assert_eq!((sticky.verdict, sticky.faults[0].guard), (Verdict::Invalid, Guard::SampleRatio));
}

#[test]
fn a_shift_gives_its_window_and_the_neighbours_grace() {
    let mut timeline = empty();
    for index in 0..120 {
        add(&mut timeline, index, &[(Arm::Green, 50, 0), (Arm::Blue, 50, 0)]);
    }
    let judge_with_slot_50_in = |index: u64| {
        let mut timeline = timeline.clone();
        let range = SlotRange::of(Slot::new(50).expect("a slot"));
        let slots = BTreeMap::from([(Arm::Green, range)]);
        let late = Window { start_ms: index * WINDOW.0, slots, ..Window::default() };
        timeline.add_late("a", &late);
        let shares = [
            ShareChange { at_ms: 0, green: green(10) },
            ShareChange { at_ms: 60 * WINDOW.0 + 4000, green: green(60) },
        ];
        let evidence = CanaryEvidence {
            timeline: &timeline,
            candidate: Arm::Green,
            shares: &shares,
            sticky: &Sticky::Client,
            until_ms: 120 * WINDOW.0,
        };
        judge(&gate(false), &[success(0.01)], &evidence).verdict
    };
    assert_eq!(judge_with_slot_50_in(58), Verdict::Invalid);
    assert_eq!(judge_with_slot_50_in(59), Verdict::Good);
    assert_eq!(judge_with_slot_50_in(60), Verdict::Good);
    assert_eq!(judge_with_slot_50_in(100), Verdict::Good);
}

#[test]
fn a_share_change_starts_a_new_segment_without_its_mixed_window() {
    let mut timeline = empty();
    for index in 0..20 {
        let (candidate, stable) = if index < 10 { (10, 90) } else { (50, 50) };
        add(&mut timeline, index, &[(Arm::Green, candidate, 1), (Arm::Blue, stable, 1)]);
    }
    let shares = [
        ShareChange { at_ms: 0, green: green(10) },
        ShareChange { at_ms: 10 * WINDOW.0 + 1, green: green(50) },
    ];
    let evidence = CanaryEvidence {
        timeline: &timeline,
        candidate: Arm::Green,
        shares: &shares,
        sticky: &Sticky::Client,
        until_ms: 20 * WINDOW.0,
    };
    let segments = evidence.segments(&success(0.01)).expect("counted");
    let requests: Vec<(u64, u64)> =
        segments.iter().map(|segment| (segment.candidate_n, segment.stable_n)).collect();
    assert_eq!(requests, [(100, 900), (450, 450)]);
}

/// Runs one canary of five requests a minute until a verdict; returns it and the minute.
fn trial(true_share: f64, looks: impl Iterator<Item = u64>, dice: &mut Dice) -> (Verdict, u64) {
    let mut timeline = empty();
    let mut minute = 0;
    for look in looks {
        while minute < look {
            for part in 0..6 {
                let requests = dice.poisson(5.0 / 6.0);
                let bad = dice.binomial(requests, true_share);
                add(&mut timeline, minute * 6 + part, &[(Arm::Green, requests, bad)]);
            }
            minute += 1;
        }
        let judgement = judged(&timeline, minute * 6, &gate(false), &Sticky::Client);
        if judgement.verdict != Verdict::NotYet {
            return (judgement.verdict, minute);
        }
    }
    (Verdict::NotYet, minute)
}

/// Looks every minute for a while, then more rarely: it costs a trial time and only lets it err
/// less often, at moments that do not depend on the counts.
fn looks(until: u64) -> impl Iterator<Item = u64> {
    (1..=until).filter(|minute| *minute < 120 || minute % 10 == 0)
}

fn median(mut minutes: Vec<u64>) -> u64 {
    minutes.sort_unstable();
    minutes[minutes.len() / 2]
}

#[test]
fn at_five_requests_a_minute_three_times_the_limit_is_never_promoted_and_soon_aborted() {
    let mut dice = Dice::new(13);
    let ends: Vec<_> = (0..300).map(|_| trial(0.03, looks(4320), &mut dice)).collect();
    let promoted = ends.iter().filter(|(verdict, _)| *verdict == Verdict::Good).count();
    assert_eq!(promoted, 0);
    assert!(ends.iter().all(|(verdict, _)| *verdict == Verdict::Bad));
    let minutes = median(ends.iter().map(|(_, minute)| *minute).collect());
    assert!(minutes <= 90, "{minutes}");
}

#[test]
fn at_five_requests_a_minute_a_healthy_release_is_promoted_in_hours() {
    let mut dice = Dice::new(131);
    let ends: Vec<_> = (0..300).map(|_| trial(0.001, looks(4320), &mut dice)).collect();
    assert!(ends.iter().all(|(verdict, _)| *verdict == Verdict::Good));
    let minutes = median(ends.iter().map(|(_, minute)| *minute).collect());
    assert!(minutes <= 200, "{minutes}");
}

#[test]
fn exactly_at_the_limit_a_canary_is_rarely_judged_at_all() {
    let mut dice = Dice::new(132);
    let ends = (0..200).map(|_| trial(0.01, looks(1440), &mut dice));
    let wrong = ends.filter(|(verdict, _)| *verdict != Verdict::NotYet).count();
    assert!(wrong <= 10, "{wrong} of 200");
}
