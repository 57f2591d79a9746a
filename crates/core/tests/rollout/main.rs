//! The rollout's table, row by row, through the public step: what each event leads to, which
//! effects it asks for, and what must never happen.

mod ejection;
mod play;

use guanka_core::name::Arm;
use guanka_core::rollout::audit::{Actor, Topic};
use guanka_core::rollout::effect::{Action, Effect, Hold, outstanding};
use guanka_core::rollout::ending::Ending;
use guanka_core::rollout::event::{CheckResult, Chore, Event, Fault, StopReason};
use guanka_core::rollout::host::HOST_TRIES;
use guanka_core::rollout::journal::{FoldError, Record, SCHEMA, fold};
use guanka_core::rollout::spec::{Origin, Past, ReleaseId, Spec, SpecFault, Stable, Stage};
use guanka_core::rollout::state::{BlockCause, Cause, HeldReason, State, Target};
use guanka_core::rollout::verdict::Verdict;
use guanka_core::rollout::wants::{Judge, is_news, wants};

use crate::play::{Play, digest, good_answer, host, is_share, is_stop, share, spec};

#[test]
fn a_proven_release_reaches_every_host_and_retires_the_old_arm() {
    let mut play = Play::settling(spec());
    play.settle(Verdict::Good);
    play.later(30);
    assert_eq!(play.rollout.state, State::Keeping);
    assert_eq!(play.asks(is_stop), 0, "the old arm stays warm until Done");
    play.answer();
    assert_eq!(play.rollout.state, State::Done);
    assert_eq!(play.rollout.ending(), Some(Ending::Promoted));
    let old = |a: &Action| matches!(a, Action::StopArm { arm: Arm::Blue, .. });
    assert_eq!(play.records.iter().filter(|r| matches!(r.event, Event::Kept { .. })).count(), 2);
    play.answer();
    assert_eq!(play.asks(old), 0);
    assert_eq!(outstanding(&play.rollout), Vec::new());
    let gates: Vec<_> = play.rollout.proofs.iter().map(|proof| proof.gate).collect();
    assert_eq!(gates.len(), 6, "checks, load, bake, two steps, full share: {gates:?}");
}

#[test]
fn silence_never_promotes() {
    let mut play = Play::canarying(spec());
    play.later(100);
    assert!(matches!(play.rollout.state, State::Canary { step: 0, .. }));
    play.canary(0, Verdict::NotYet);
    play.later(50);
    assert!(matches!(play.rollout.state, State::Canary { step: 0, .. }));
    for _ in 0..10 {
        play.canary(0, Verdict::NotYet);
        play.later(60);
    }
    assert_eq!(play.rollout.state, State::RollingBack { cause: Cause::Insufficient });
}

#[test]
fn a_step_needs_its_least_time_beside_its_proof() {
    let mut play = Play::canarying(spec());
    play.canary(0, Verdict::Good);
    play.later(9);
    assert!(matches!(play.rollout.state, State::Canary { step: 0, .. }));
    assert_eq!(wants(&play.rollout, play.now).next, Some(play.now + 1000));
    play.later(1);
    assert!(matches!(play.rollout.state, State::Canary { step: 1, .. }));
}

#[test]
fn a_proof_from_before_every_host_had_the_share_is_none() {
    let mut play = Play::canarying(spec());
    play.canary(0, Verdict::Good);
    play.later(10);
    play.canary(1, Verdict::Good);
    play.answer();
    play.later(10);
    assert!(matches!(play.rollout.state, State::Canary { step: 1, proof: None, .. }));
}

#[test]
fn taking_back_takes_the_share_first_and_stops_the_arm_only_then() {
    let mut play = Play::canarying(spec());
    play.canary(0, Verdict::Bad);
    assert_eq!(play.rollout.state, State::RollingBack { cause: Cause::ProvenBad });
    assert_eq!((play.asks(is_share), play.asks(is_stop)), (2, 0));
    let first = outstanding(&play.rollout)[0].clone();
    play.play(good_answer(&first).expect("a share has an answer"));
    assert_eq!((play.asks(is_share), play.asks(is_stop)), (1, 1));
    play.answer();
    assert_eq!(play.rollout.state, State::RolledBack { cause: Cause::ProvenBad });
    assert_eq!(play.rollout.ending().map(Ending::exit_code), Some(5));
    assert!(
        play.records.iter().any(|record| {
            matches!(record.event, Event::ChoreDone { chore: Chore::MarkBad, .. })
        })
    );
}

#[test]
fn a_persons_abort_does_not_mark_the_release_bad() {
    let mut play = Play::canarying(spec());
    play.play(Event::Abort { actor: "li".to_owned(), reason: "promo".to_owned() });
    assert!(play.topics.contains(&(Actor::Person("li".to_owned()), Topic::Asked)));
    play.answer();
    assert_eq!(play.rollout.state, State::RolledBack { cause: Cause::Person });
    assert!(!play.rollout.chores.contains(&Chore::MarkBad));
}

#[test]
fn a_late_answer_to_an_older_command_changes_nothing() {
    let mut play = Play::baking(spec());
    play.later(3600);
    play.play(Event::BakeJudged { verdict: Verdict::Good, evidence: digest("e") });
    let zero: Vec<Event> = outstanding(&play.rollout)
        .iter()
        .filter(|effect| is_share(&effect.action))
        .filter_map(good_answer)
        .collect();
    play.answer();
    play.play(Event::HardStop { host: host(1), reason: StopReason::CrashLoop });
    for late in zero {
        play.play(late);
    }
    assert_eq!(play.asks(is_share), 2, "the 0 % of the start proves nothing about the 0 % now");
}

#[test]
fn a_share_that_another_release_answers_is_a_failure() {
    let mut play = Play::canarying(spec());
    play.canary(0, Verdict::Good);
    play.later(10);
    for _ in 0..HOST_TRIES {
        let effect = outstanding(&play.rollout)[0].clone();
        let seq = effect.key.seq;
        let proven = Some(digest("5"));
        play.play(Event::ShareSet { host: host(1), seq, share: share(50), proven });
    }
    assert_eq!(play.rollout.state, State::RollingBack { cause: Cause::ShareFailed(host(1)) });
}

#[test]
fn a_host_that_cannot_be_taken_back_calls_a_person_and_nothing_moves_by_itself() {
    let mut play = Play::canarying(spec());
    play.canary(0, Verdict::Bad);
    for _ in 0..HOST_TRIES {
        let effects = outstanding(&play.rollout);
        let effect = effects.iter().find(|e| e.key.host == Some(host(2))).expect("still asked");
        let seq = effect.key.seq;
        let fault = Fault::StableNotReady;
        play.play(Event::ShareFailed { host: host(2), seq, fault });
    }
    let failed = State::RollbackFailed { cause: Cause::ProvenBad };
    assert_eq!(play.rollout.state, failed);
    assert_eq!(play.rollout.ending(), Some(Ending::NeedsHuman));
    let seq = play.rollout.hosts[&host(2)].exposed_seq;
    play.play(Event::LeaseExpired { host: host(2), seq });
    play.later(100_000);
    assert_eq!(play.rollout.state, failed);
    play.play(Event::Resume { actor: "li".to_owned() });
    play.answer();
    assert_eq!(play.rollout.state, State::RolledBack { cause: Cause::ProvenBad });
}

#[test]
fn a_gate_that_stays_invalid_stops_the_renewal_and_holds() {
    let mut play = Play::canarying(spec());
    assert_eq!(wants(&play.rollout, play.now).renew.len(), 2);
    play.canary(0, Verdict::Invalid);
    let blind = play.now + 120_000;
    assert_eq!(wants(&play.rollout, blind - 1).renew.len(), 2);
    assert_eq!(wants(&play.rollout, blind).renew.len(), 0, "also before the tick is written");
    play.later(120);
    let State::Held { reason, resume_to, .. } = play.rollout.state.clone() else {
        panic!("held, not {:?}", play.rollout.state)
    };
    assert_eq!((reason, resume_to), (HeldReason::Invalid, Target::CanaryStarting));
    assert_eq!(play.rollout.ending(), Some(Ending::NotProven));
    for n in [1, 2] {
        let seq = play.rollout.hosts[&host(n)].exposed_seq;
        play.play(Event::LeaseExpired { host: host(n), seq });
    }
    assert!(!play.rollout.is_exposed());
    play.play(Event::Resume { actor: "li".to_owned() });
    assert_eq!((play.rollout.state.clone(), play.rollout.attempt), (State::CanaryStarting, 2));
}

#[test]
fn a_lease_that_ran_out_takes_everything_back() {
    let mut play = Play::canarying(spec());
    let seq = play.rollout.hosts[&host(2)].exposed_seq;
    play.play(Event::LeaseExpired { host: host(2), seq: seq - 1 });
    assert!(matches!(play.rollout.state, State::Canary { .. }), "an older lease is no news");
    play.play(Event::LeaseExpired { host: host(2), seq });
    let cause = Cause::LeaseExpired(host(2));
    assert_eq!(play.rollout.state, State::RollingBack { cause });
    assert_eq!(play.asks(is_share), 1, "host 2 has nothing left to take back");
}

#[test]
fn an_invalid_load_run_is_repeated_twice_and_then_held() {
    let mut play = Play::staged(spec());
    for attempt in 1..=3 {
        assert_eq!(play.rollout.state, State::Staged { attempt });
        assert_eq!(play.asks(|a| matches!(a, Action::RunLoad { .. })), 1);
        play.load(attempt, Verdict::Invalid);
    }
    let held = matches!(
        play.rollout.state,
        State::Held { reason: HeldReason::Invalid, resume_to: Target::Staged, .. }
    );
    assert!(held, "{:?}", play.rollout.state);
}

#[test]
fn a_bad_load_or_bake_blocks_and_stops_the_candidate() {
    let mut play = Play::staged(spec());
    play.load(1, Verdict::Bad);
    assert_eq!(play.rollout.state, State::Blocked { cause: BlockCause::Load });
    assert_eq!((play.asks(is_share), play.asks(is_stop)), (0, 1));
    let mut play = Play::baking(spec());
    play.play(Event::BakeJudged { verdict: Verdict::Bad, evidence: digest("e") });
    assert_eq!(play.rollout.state, State::Blocked { cause: BlockCause::Bake });
    assert_eq!(play.rollout.ending().map(Ending::exit_code), Some(3));
}

#[test]
fn a_bake_counts_its_full_time_from_its_first_window() {
    let mut play = Play::staged(spec());
    play.load(1, Verdict::Good);
    play.later(1800);
    play.answer();
    play.later(1800);
    play.play(Event::BakeJudged { verdict: Verdict::Good, evidence: digest("e") });
    assert!(matches!(play.rollout.state, State::Baking { .. }));
    assert_eq!(wants(&play.rollout, play.now).judge, Some(Judge::Bake));
    play.later(1800);
    play.play(Event::BakeJudged { verdict: Verdict::NotYet, evidence: digest("e") });
    let held = matches!(
        play.rollout.state,
        State::Held { reason: HeldReason::Insufficient, resume_to: Target::Baking, .. }
    );
    assert!(held, "{:?}", play.rollout.state);
}

#[test]
fn a_first_release_gets_everything_into_blue_and_cannot_be_taken_back() {
    let first = Spec { candidate: Arm::Blue, stable: None, ..spec() };
    let mut play = Play::staged(first);
    play.load(1, Verdict::Good);
    assert_eq!(play.rollout.state, State::First);
    let lasting = |a: &Action| matches!(a, Action::SetShare { hold: Hold::Lasting, .. });
    assert_eq!(play.asks(lasting), 1, "the proving host is ready already");
    play.answer();
    assert!(matches!(play.rollout.state, State::Settling { .. }));
    play.play(Event::RollbackAsked { actor: "li".to_owned() });
    assert!(play.topics.contains(&(Actor::Person("li".to_owned()), Topic::Refused)));
    play.later(30);
    play.answer();
    assert_eq!(play.rollout.state, State::Done);
}

#[test]
fn what_serves_already_is_not_rolled_out_again() {
    let live = Spec { stable: Some(Stable { release: digest("c"), arm: Arm::Blue }), ..spec() };
    let mut play = Play::of(live);
    assert_eq!(play.rollout.state, State::Done);
    assert_eq!((play.asks(is_share), play.asks(is_stop)), (0, 0));
    play.answer();
    assert_eq!(outstanding(&play.rollout), Vec::new());
}

#[test]
fn a_release_marked_bad_needs_an_override() {
    let marked = Play::of(Spec { past: Past::MarkedBad, ..spec() });
    assert_eq!(marked.rollout.state, State::Blocked { cause: BlockCause::MarkedBad });
    let past = Past::Overridden { actor: "li".to_owned(), reason: "flaky disk".to_owned() };
    assert_eq!(Play::of(Spec { past, ..spec() }).rollout.state, State::Checking);
}

#[test]
fn a_spec_that_cannot_be_rolled_out_is_refused() {
    let blocked = |spec| match Play::of(spec).rollout.state {
        State::Blocked { cause: BlockCause::Spec(fault) } => Some(fault),
        _ => None,
    };
    assert_eq!(blocked(Spec { hosts: Vec::new(), ..spec() }), Some(SpecFault::NoHosts));
    let hosts = vec![host(2), host(1)];
    assert_eq!(blocked(Spec { hosts, ..spec() }), Some(SpecFault::HostOrder));
    assert_eq!(blocked(Spec { candidate: Arm::Blue, ..spec() }), Some(SpecFault::ArmTaken));
    assert_eq!(blocked(spec()), None);
}

#[test]
fn a_held_stage_waits_for_a_person_and_then_goes_on() {
    let mut play = Play::of(Spec { until: Some(Stage::Build), ..spec() });
    play.play(Event::ChecksDone { result: CheckResult::Passed, evidence: None });
    play.play(Event::BuildDone { release: spec().release, past: Past::Clean });
    assert_eq!(play.rollout.ending(), Some(Ending::HeldAsked));
    assert_eq!(outstanding(&play.rollout), Vec::new());
    play.play(Event::Resume { actor: "li".to_owned() });
    assert_eq!(play.rollout.state, State::Staging);
}

#[test]
fn a_newer_release_waits_for_a_safe_point() {
    let newer = || Event::NewRelease { release: digest("d"), actor: "li".to_owned() };
    let mut early = Play::staged(spec());
    early.play(newer());
    assert_eq!(early.rollout.state, State::Superseded { by: digest("d") });
    let mut canary = Play::canarying(spec());
    canary.play(newer());
    canary.answer();
    assert_eq!(canary.rollout.state, State::Superseded { by: digest("d") });
    let mut late = Play::settling(spec());
    late.play(newer());
    assert!(matches!(late.rollout.state, State::Settling { .. }));
    assert_eq!(late.rollout.waiting, Some(digest("d")));
}

#[test]
fn a_host_unknown_after_the_switch_is_not_done() {
    let mut play = Play::settling(spec());
    play.settle(Verdict::Good);
    play.later(30);
    let seq = play.rollout.hosts[&host(1)].seq;
    play.play(Event::Kept { host: host(1), seq, serves: digest("c") });
    play.play(Event::HostSilent { host: host(2) });
    assert_eq!(play.rollout.ending().map(Ending::exit_code), Some(6));
    play.play(Event::Resume { actor: "li".to_owned() });
    play.answer();
    assert_eq!(play.rollout.state, State::Done);
}

#[test]
fn a_takeover_asks_for_the_same_things_under_the_same_keys() {
    let mut play = Play::canarying(spec());
    play.canary(0, Verdict::Good);
    play.later(10);
    let before = outstanding(&play.rollout);
    let effects = play.play(Event::TakenOver { epoch: 7, actor: "ops".to_owned() });
    let keys = |effects: &[Effect]| effects.iter().map(|e| e.key.to_string()).collect::<Vec<_>>();
    assert_eq!(keys(&before), keys(&effects));
    assert!(effects.iter().all(|effect| effect.epoch == 7));
    play.play(Event::TakenOver { epoch: 3, actor: "ghost".to_owned() });
    assert_eq!(play.rollout.epoch, 7, "an epoch never falls");
}

#[test]
fn a_repeated_judgement_is_no_news_until_it_is_old() {
    let mut play = Play::canarying(spec());
    let again = || Event::CanaryJudged {
        step: 0,
        attempt: 1,
        verdict: Verdict::NotYet,
        evidence: digest("e"),
    };
    assert!(is_news(&play.rollout, play.now, &again()));
    play.canary(0, Verdict::NotYet);
    assert!(!is_news(&play.rollout, play.now + 29_999, &again()));
    assert!(is_news(&play.rollout, play.now + 30_000, &again()));
}

#[test]
fn a_record_reads_back_and_a_foreign_journal_is_refused() {
    let play = Play::settling(spec());
    let text = serde_json::to_string(&play.records).expect("records are plain data");
    let back: Vec<Record> = serde_json::from_str(&text).expect("what was written reads back");
    assert_eq!(fold(&back).as_ref(), Ok(&play.rollout));
    let mut newer = play.records.clone();
    newer[2].schema = SCHEMA + 1;
    let seq = newer[2].seq;
    assert_eq!(fold(&newer), Err(FoldError::Schema { seq, schema: SCHEMA + 1 }));
    let mut torn = play.records.clone();
    torn.remove(2);
    assert_eq!(fold(&torn), Err(FoldError::Gap { expected: 3, found: 4 }));
    assert_eq!(fold(&[]), Err(FoldError::Empty));
    assert_eq!(fold(&play.records[1..]), Err(FoldError::NoSubmission));
}

#[test]
fn source_takes_the_digest_of_its_build_and_an_artifact_must_have_its_own() {
    let other = ReleaseId { release: digest("d"), ..spec().release };
    let built = |origin, past| {
        let mut play = Play::of(Spec { origin, ..spec() });
        play.play(Event::ChecksDone { result: CheckResult::Passed, evidence: None });
        play.play(Event::BuildDone { release: other.clone(), past });
        play.rollout
    };
    let from_source = built(Origin::Source, Past::Clean);
    assert_eq!(from_source.state, State::Staging);
    assert_eq!(from_source.release().release, digest("d"));
    let from_artifact = built(Origin::Artifact, Past::Clean);
    assert_eq!(from_artifact.state, State::Blocked { cause: BlockCause::OtherRelease });
    let known_bad = built(Origin::Source, Past::MarkedBad);
    assert_eq!(known_bad.state, State::Blocked { cause: BlockCause::MarkedBad });
    let stable = Some(Stable { release: digest("d"), arm: Arm::Blue });
    let mut live = Play::of(Spec { stable, ..spec() });
    live.play(Event::ChecksDone { result: CheckResult::Passed, evidence: None });
    live.play(Event::BuildDone { release: other, past: Past::Clean });
    assert_eq!(live.rollout.state, State::Done, "what serves already is never rolled out again");
}
