//! What follows from the state and the time alone: steps whose proof and least time are there,
//! watches that are over, deadlines that passed. Run after every event, so that no order of events
//! can leave something due undone.

use super::host::{ArmStatus, Exposure, Keeping, Staging};
use super::spec::{HostName, Stage};
use super::state::{Cause, HeldReason, ProofGate, Rollout, State, Target};
use super::turn::Turn;
use crate::name::Digest;
use crate::quantity::SharePercent;

/// No event leads through more states than this at once; the bound is for our own mistakes.
const MOVES: usize = 8;

impl Turn {
    /// Makes every move that is due.
    pub(super) fn settle(&mut self) {
        for _ in 0..MOVES {
            let before = self.rollout.entered_state();
            self.due();
            if self.rollout.entered_state() == before {
                return;
            }
        }
    }

    fn due(&mut self) {
        let late = self.rollout.deadline.is_some_and(|deadline| self.now >= deadline);
        match self.rollout.state.clone() {
            State::Checking if late => self.hold(HeldReason::TimedOut, Target::Checking),
            State::Building if late => self.hold(HeldReason::TimedOut, Target::Building),
            State::Staging if self.all(|_, host| host.staging == Staging::Whole) => {
                self.onward(Stage::Stage);
            }
            State::Staging if late => self.hold(HeldReason::TimedOut, Target::Staging),
            State::Staged { .. } => self.staged_due(late),
            State::First => self.first_due(late),
            State::Baking { .. } if late => self.hold(HeldReason::Invalid, Target::Baking),
            State::CanaryStarting => self.starting_due(late),
            State::Canary { step, since, proof } => self.canary_due(step, since, proof, late),
            State::Promoting { turn } => self.promoting_due(turn, late),
            State::Settling { until, proof } => self.settling_due(until, proof, late),
            State::Keeping => self.keeping_due(late),
            State::RollingBack { cause } => self.back_due(cause, late),
            State::Held { .. } if late => self.roll_back(Cause::Invalid),
            State::Held { reason: HeldReason::Asked(_), .. } if self.is_blind() => {
                self.hold(HeldReason::Invalid, Target::CanaryStarting);
            }
            _ => {}
        }
    }

    fn all(&self, holds: impl Fn(&HostName, &super::host::HostState) -> bool) -> bool {
        self.rollout.hosts.iter().all(|(name, host)| holds(name, host))
    }

    /// Returns whether the canary gate has said nothing valid for longer than is allowed.
    fn is_blind(&self) -> bool {
        self.rollout.blind_at().is_some_and(|at| self.now >= at)
    }

    fn staged_due(&mut self, late: bool) {
        let ready = self.rollout.hosts.values().next().map(|host| host.arm);
        if self.rollout.spec.gates.load.is_none() && ready == Some(ArmStatus::Ready) {
            self.onward(Stage::Load);
        } else if late {
            self.hold(HeldReason::TimedOut, Target::Staged);
        }
    }

    fn first_due(&mut self, late: bool) {
        let full = |_: &HostName, host: &super::host::HostState| host.has(SharePercent::ALL);
        if self.all(full) {
            self.go(Target::Settling);
        } else if late {
            let missing = self.rollout.missing(SharePercent::ALL);
            self.hold(HeldReason::HostUnknown(missing), Target::First);
        }
    }

    fn starting_due(&mut self, late: bool) {
        if late {
            return self.roll_back(Cause::TimedOut);
        }
        let ready =
            self.all(|_, host| host.arm == ArmStatus::Ready && host.has(SharePercent::NONE));
        if ready {
            self.rollout.last_valid = self.now;
            if self.rollout.spec.steps().is_empty() {
                self.onward(Stage::Canary);
            } else {
                self.enter(State::Canary { step: 0, since: None, proof: None });
            }
        }
    }

    fn canary_due(&mut self, step: usize, since: Option<u64>, proof: Option<Digest>, late: bool) {
        if self.is_blind() {
            return self.hold(HeldReason::Invalid, Target::CanaryStarting);
        }
        let Some(at) = self.rollout.spec.steps().get(step).copied() else { return };
        match (since, proof) {
            (None, _) if self.all(|_, host| host.has(at.share)) => {
                self.rollout.state = State::Canary { step, since: Some(self.now), proof: None };
                // What was judged before every host had the share is asked anew.
                self.rollout.last_verdict = None;
            }
            (Some(since), Some(proof)) if self.now >= since.saturating_add(at.hold.0) => {
                self.evidence = Some(proof.clone());
                self.prove(ProofGate::Canary(step), Some(proof));
                if step + 1 < self.rollout.spec.steps().len() {
                    self.enter(State::Canary { step: step + 1, since: None, proof: None });
                } else {
                    self.onward(Stage::Canary);
                }
            }
            _ if late => self.roll_back(Cause::Insufficient),
            _ => {}
        }
    }

    fn promoting_due(&mut self, turn: usize, late: bool) {
        if self.is_blind() {
            return self.hold(HeldReason::Invalid, Target::CanaryStarting);
        }
        let Some(host) = self.rollout.hosts.values().nth(turn) else { return };
        if host.has(SharePercent::ALL) {
            if turn + 1 < self.rollout.hosts.len() {
                self.enter(State::Promoting { turn: turn + 1 });
            } else {
                self.go(Target::Settling);
            }
        } else if late {
            self.roll_back(Cause::TimedOut);
        }
    }

    fn settling_due(&mut self, until: u64, proof: Option<Digest>, late: bool) {
        if self.is_blind() {
            return self.hold(HeldReason::Invalid, Target::CanaryStarting);
        }
        let unjudged = self.rollout.spec.gates.canary.is_none() || self.rollout.spec.is_first();
        if self.now >= until && (unjudged || proof.is_some()) {
            if let Some(proof) = proof {
                self.evidence = Some(proof.clone());
                self.prove(ProofGate::Settle, Some(proof));
            }
            self.go(Target::Keeping);
        } else if late {
            self.roll_back(Cause::Insufficient);
        }
    }

    fn keeping_due(&mut self, late: bool) {
        if self.all(|_, host| host.keeping == Keeping::Kept && host.has(SharePercent::ALL)) {
            self.enter(State::Done);
        } else if late {
            let missing = self.rollout.hosts.iter().find(|(_, h)| h.keeping == Keeping::Leased);
            if let Some((name, _)) = missing {
                self.hold(HeldReason::HostUnknown(name.clone()), Target::Keeping);
            }
        }
    }

    fn back_due(&mut self, cause: Cause, late: bool) {
        let back = self.all(|_, host| host.exposure == Exposure::None);
        let stopped = self.all(|_, host| !host.may_run());
        if back && (stopped || late) {
            // An arm without requests that nobody could stop harms no user; its host is told again
            // by the agent's own comparison of wish and fact.
            match cause {
                Cause::Superseded(by) => self.enter(State::Superseded { by }),
                cause => self.enter(State::RolledBack { cause }),
            }
        } else if late {
            self.enter(State::RollbackFailed { cause });
        }
    }
}

impl Rollout {
    /// Returns what tells one state from the next, without comparing the whole.
    fn entered_state(&self) -> (std::mem::Discriminant<State>, usize, bool) {
        let (place, begun) = match &self.state {
            State::Canary { step, since, .. } => (*step, since.is_some()),
            State::Promoting { turn } => (*turn, false),
            _ => (0, false),
        };
        (std::mem::discriminant(&self.state), place, begun)
    }

    /// Returns when the canary gate will have been blind for longer than is allowed.
    pub(super) fn blind_at(&self) -> Option<u64> {
        let canary = self.spec.gates.canary.as_ref()?;
        let counts = self.is_watching() && !self.spec.is_first();
        counts.then(|| self.last_valid.saturating_add(canary.invalid_grace.0))
    }

    /// Returns the first host that has not confirmed a share.
    fn missing(&self, share: SharePercent) -> HostName {
        let missing = self.hosts.iter().find(|(_, host)| !host.has(share));
        missing.map(|(name, _)| name.clone()).expect("asked only while a host is missing")
    }
}
