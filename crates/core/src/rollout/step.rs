//! The step: one event in, the next rollout, its effects and its audit entries out. Total: an event
//! that does not fit the state changes nothing but the event's number.

use super::audit::{Audit, Topic};
use super::describe;
use super::effect::{Effect, outstanding};
use super::event::Event;
use super::spec::{Origin, Past, ReleaseId, Stage};
use super::state::{BlockCause, HeldReason, ProofGate, Rollout, State, Target};
use super::turn::Turn;
use super::verdict::Verdict;

/// What one event leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The rollout afterwards.
    pub rollout: Rollout,
    /// What is newly to be done, once the event is in the journal.
    pub effects: Vec<Effect>,
    /// What the audit log is told.
    pub audit: Vec<Audit>,
}

/// Returns what an event at a steady time leads to.
pub fn step(rollout: &Rollout, now: u64, event: &Event) -> Step {
    let mut turn = Turn::new(rollout, now, event);
    turn.apply(event);
    turn.settle();
    let known = outstanding(rollout);
    let effects = outstanding(&turn.rollout)
        .into_iter()
        .filter(|new| !known.iter().any(|old| old.key == new.key && old.epoch == new.epoch))
        .collect();
    Step { rollout: turn.rollout, effects, audit: turn.audit }
}

impl Turn {
    fn apply(&mut self, event: &Event) {
        match event {
            Event::Submitted { .. } => self.submitted(),
            Event::TakenOver { epoch, .. } => self.taken_over(*epoch),
            Event::ChecksDone { result, .. } => self.checks_done((*result).into()),
            Event::BuildDone { release, past } if self.rollout.state == State::Building => {
                self.built(release, past);
            }
            Event::BuildFailed { .. } if self.rollout.state == State::Building => {
                self.block(BlockCause::Build);
            }
            Event::LoadJudged { attempt, verdict, .. } => self.load_judged(*attempt, *verdict),
            Event::BakeJudged { verdict, .. } => self.bake_judged(*verdict),
            Event::CanaryJudged { step, attempt, verdict, .. } => {
                self.canary_judged(Some(*step), *attempt, *verdict);
            }
            Event::SettleJudged { attempt, verdict, .. } => {
                self.canary_judged(None, *attempt, *verdict);
            }
            Event::HardStop { host, reason } => self.hard_stop(host, *reason),
            Event::Abort { .. } | Event::RollbackAsked { .. } => self.give_back(event),
            Event::Resume { .. } => self.resume(),
            Event::NewRelease { release, .. } => self.new_release(release),
            Event::ChoreDone { chore, seq } if *seq == self.rollout.entered => {
                self.rollout.chores.insert(*chore);
            }
            Event::BuildDone { .. }
            | Event::BuildFailed { .. }
            | Event::ChoreDone { .. }
            | Event::Tick => {}
            answer => self.answered(answer),
        }
    }

    fn submitted(&mut self) {
        if self.rollout.state != State::Draft {
            return;
        }
        let spec = &self.rollout.spec;
        let live = spec.stable.as_ref().is_some_and(|s| s.release == spec.release.release);
        if let Some(fault) = spec.fault() {
            self.block(BlockCause::Spec(fault));
        } else if live {
            // What serves already is never rolled out again, so loops of reverts cannot form.
            self.enter(State::Done);
        } else if spec.past == Past::MarkedBad {
            self.block(BlockCause::MarkedBad);
        } else {
            self.go(Target::Checking);
        }
    }

    fn built(&mut self, release: &ReleaseId, past: &Past) {
        let spec = &self.rollout.spec;
        let is_other = release.release != spec.release.release;
        if spec.origin == Origin::Artifact && is_other {
            self.block(BlockCause::OtherRelease);
            return;
        }
        let live = spec.stable.as_ref().is_some_and(|s| s.release == release.release);
        self.rollout.built = Some(release.clone());
        if live {
            self.enter(State::Done);
        } else if *past == Past::MarkedBad {
            self.block(BlockCause::MarkedBad);
        } else {
            self.onward(Stage::Build);
        }
    }

    fn taken_over(&mut self, epoch: u64) {
        if epoch > self.rollout.epoch {
            self.rollout.epoch = epoch;
            self.note(Topic::TakenOver, describe::taken_over(epoch));
        }
    }

    fn checks_done(&mut self, verdict: Verdict) {
        if self.rollout.state != State::Checking {
            return;
        }
        match verdict {
            Verdict::Good => {
                let evidence = self.evidence.clone();
                self.prove(ProofGate::Checks, evidence);
                self.onward(Stage::Check);
            }
            Verdict::Bad => self.block(BlockCause::Checks),
            Verdict::Invalid | Verdict::NotYet => {
                self.hold(HeldReason::ChecksUnknown, Target::Checking);
            }
        }
    }
}
