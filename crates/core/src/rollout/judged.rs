//! What verdicts and hard stops do. Only "proven good" moves forward; "proven bad" takes back or
//! refuses at once, whichever step it was for.

use super::event::StopReason;
use super::host::ArmStatus;
use super::spec::{HostName, Stage};
use super::state::{BlockCause, Cause, HeldReason, ProofGate, State, Target};
use super::turn::Turn;
use super::verdict::Verdict;

impl Turn {
    /// Takes the load gate's verdict on one run.
    pub(super) fn load_judged(&mut self, run: u32, verdict: Verdict) {
        let State::Staged { attempt } = self.rollout.state else { return };
        let Some(load) = self.rollout.spec.gates.load else { return };
        let ready = self.rollout.hosts.values().next().map(|host| host.arm);
        if run != attempt || ready != Some(ArmStatus::Ready) {
            return;
        }
        match verdict {
            Verdict::Good => {
                let evidence = self.evidence.clone();
                self.prove(ProofGate::Load, evidence);
                self.onward(Stage::Load);
            }
            Verdict::Bad => self.block(BlockCause::Load),
            Verdict::NotYet => self.hold(HeldReason::Insufficient, Target::Staged),
            Verdict::Invalid if attempt <= load.retries => {
                self.enter(State::Staged { attempt: attempt + 1 });
            }
            Verdict::Invalid => self.hold(HeldReason::Invalid, Target::Staged),
        }
    }

    /// Takes the bake's verdict: bad counts at once, the others at the end.
    pub(super) fn bake_judged(&mut self, verdict: Verdict) {
        let State::Baking { until } = self.rollout.state else { return };
        self.rollout.last_verdict = Some((verdict, self.now));
        if verdict == Verdict::Bad {
            self.block(BlockCause::Bake);
        } else if self.now >= until {
            match verdict {
                Verdict::Good => {
                    let evidence = self.evidence.clone();
                    self.prove(ProofGate::Bake, evidence);
                    self.onward(Stage::Bake);
                }
                Verdict::NotYet => self.hold(HeldReason::Insufficient, Target::Baking),
                // A broken data path gets the time until the state's deadline to mend.
                Verdict::Invalid | Verdict::Bad => {}
            }
        }
    }

    /// Takes the canary gate's verdict on a step, or on the full share.
    pub(super) fn canary_judged(&mut self, judged: Option<usize>, attempt: u32, verdict: Verdict) {
        if attempt != self.rollout.attempt || !(self.is_judged_now()) {
            return;
        }
        if verdict == Verdict::Bad {
            if self.has_no_way_back() {
                self.hold(HeldReason::NoWayBackProven, Target::Settling);
            } else {
                self.roll_back(Cause::ProvenBad);
            }
            return;
        }
        self.rollout.last_verdict = Some((verdict, self.now));
        if verdict != Verdict::Invalid {
            self.rollout.last_valid = self.now;
        }
        if verdict == Verdict::Good {
            let evidence = self.evidence.clone();
            match &mut self.rollout.state {
                // A verdict on an older step, or from before every host had the share, proves
                // nothing about this one.
                State::Canary { step, since: Some(_), proof } if judged == Some(*step) => {
                    *proof = evidence;
                }
                State::Settling { proof, .. } if judged.is_none() => *proof = evidence,
                _ => {}
            }
        }
    }

    /// Returns whether a verdict of the canary gate still means anything.
    fn is_judged_now(&self) -> bool {
        let held = matches!(self.rollout.state, State::Held { .. });
        self.rollout.is_watching()
            || self.rollout.state == State::Keeping
            || (held && self.rollout.is_exposed())
    }

    /// Takes a hard stop: it needs no statistics.
    pub(super) fn hard_stop(&mut self, host: &HostName, reason: StopReason) {
        if !self.rollout.hosts.contains_key(host) {
            return;
        }
        let no_way_back = self.has_no_way_back();
        match &self.rollout.state {
            State::First if no_way_back => {
                self.hold(HeldReason::NoWayBack(reason), Target::First);
            }
            State::Settling { .. } | State::Keeping if no_way_back => {
                self.hold(HeldReason::NoWayBack(reason), Target::Settling);
            }
            State::CanaryStarting
            | State::Canary { .. }
            | State::Promoting { .. }
            | State::Settling { .. }
            | State::Keeping => self.roll_back(Cause::HardStop(reason)),
            State::Held { .. } if no_way_back => {}
            State::Held { .. } if self.rollout.attempt > 0 => {
                self.roll_back(Cause::HardStop(reason));
            }
            State::Staged { .. } | State::First | State::Baking { .. } | State::Held { .. } => {
                self.block(BlockCause::HardStop(reason));
            }
            _ => {}
        }
    }
}
