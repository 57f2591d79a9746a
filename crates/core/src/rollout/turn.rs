//! One turn of the machine: the rollout being changed, the time, and what is said about it. The
//! moves that several events share are here; which event makes which move is in the files beside.

use super::audit::{Actor, Audit, Topic};
use super::describe;
use super::event::Event;
use super::host::{ArmStatus, Exposure, HOST_TRIES};
use super::spec::{HostName, Stage};
use super::state::{
    BakeWindow, BlockCause, Cause, HeldReason, Proof, ProofGate, Rollout, State, Target,
};
use crate::name::Digest;
use crate::quantity::{Millis, SharePercent};
use crate::say::Said;

/// How long the static gate may take: it reads files.
const CHECK_LIMIT: Millis = Millis::from_secs(10 * 60);
/// How long a build may take, with a cold module cache.
const BUILD_LIMIT: Millis = Millis::from_secs(30 * 60);
/// How long putting the release on every host may take over a slow line.
const STAGE_LIMIT: Millis = Millis::from_secs(30 * 60);
/// How long the load gate with its repeats may take.
const LOAD_LIMIT: Millis = Millis::from_secs(2 * 3600);
/// How long an arm may take to become ready.
const READY_LIMIT: Millis = Millis::from_secs(5 * 60);
/// How long one host's turn of the promotion, or keeping it, may take.
const SWITCH_LIMIT: Millis = Millis::from_secs(5 * 60);
/// How long taking back may take before a person is called: the canary lease has run out long
/// before, also on a host whose agent had to be started again.
const ROLLBACK_LIMIT: Millis = Millis::from_secs(10 * 60);
/// How long after its end a watch waits for a judgement that says anything.
pub(super) const VERDICT_LIMIT: Millis = Millis::from_secs(10 * 60);

/// One turn of the machine.
pub(super) struct Turn {
    pub(super) rollout: Rollout,
    pub(super) now: u64,
    pub(super) actor: Actor,
    pub(super) evidence: Option<Digest>,
    pub(super) audit: Vec<Audit>,
}

impl Turn {
    pub(super) fn new(rollout: &Rollout, now: u64, event: &Event) -> Self {
        let mut rollout = rollout.clone();
        rollout.seq += 1;
        let (actor, evidence) = source(event);
        Self { rollout, now, actor, evidence, audit: Vec::new() }
    }

    /// Adds an audit entry.
    pub(super) fn note(&mut self, topic: Topic, said: Said) {
        self.audit.push(Audit {
            seq: self.rollout.seq,
            at: self.now,
            actor: self.actor.clone(),
            topic,
            evidence: self.evidence.clone(),
            said,
        });
    }

    /// Enters a state: its commands get this event's number, its failures start from none.
    pub(super) fn enter(&mut self, state: State) {
        self.rollout.state = state;
        let seq = self.rollout.seq;
        self.rollout.entered = seq;
        self.rollout.chores.clear();
        self.rollout.last_verdict = None;
        for host in self.rollout.hosts.values_mut() {
            host.tries = 0;
            host.seq = seq;
        }
        self.rollout.deadline = self.limit();
        self.command_for_state();
        self.note(Topic::Moved, describe::rollout(&self.rollout));
    }

    /// Returns when the state just entered must have ended.
    fn limit(&self) -> Option<u64> {
        let canary = self.rollout.spec.gates.canary.as_ref();
        let proof_limit = canary.map_or(VERDICT_LIMIT, |canary| canary.deadline);
        let from_now = |limit: Millis| Some(self.now.saturating_add(limit.0));
        match &self.rollout.state {
            State::Checking => from_now(CHECK_LIMIT),
            State::Building => from_now(BUILD_LIMIT),
            State::Staging => from_now(STAGE_LIMIT),
            State::Staged { .. } => from_now(LOAD_LIMIT),
            State::First | State::CanaryStarting => from_now(READY_LIMIT),
            State::Baking { until } => Some(until.saturating_add(VERDICT_LIMIT.0)),
            State::Canary { .. } => from_now(proof_limit),
            State::Promoting { .. } | State::Keeping => from_now(SWITCH_LIMIT),
            State::Settling { until, .. } => Some(until.saturating_add(proof_limit.0)),
            State::RollingBack { .. } => from_now(ROLLBACK_LIMIT),
            // A held canary's share ends with its lease; what is left of it is taken back then.
            State::Held { reason, .. } if self.rollout.attempt > 0 => match reason {
                HeldReason::Asked(_) | HeldReason::HostUnknown(_) => None,
                _ => from_now(proof_limit),
            },
            _ => None,
        }
    }

    /// Tells the hosts what the state just entered means for their arm and share.
    fn command_for_state(&mut self) {
        let seq = self.rollout.seq;
        let share = match &self.rollout.state {
            State::Canary { step, .. } => self.rollout.spec.steps().get(*step).map(|s| s.share),
            _ => None,
        };
        let proving = self.rollout.spec.proving_host().cloned();
        for (index, (name, host)) in self.rollout.hosts.iter_mut().enumerate() {
            match &self.rollout.state {
                State::Staged { .. } if Some(name) == proving.as_ref() => start(&mut host.arm),
                // Both are asked anew for each attempt: an arm that was ready once may have died.
                State::CanaryStarting => {
                    host.arm = ArmStatus::Starting;
                    host.command(SharePercent::NONE, seq);
                }
                State::First if host.arm == ArmStatus::Ready => {
                    host.command(SharePercent::ALL, seq);
                }
                State::First => start(&mut host.arm),
                State::Canary { .. } => host.command(share.unwrap_or_default(), seq),
                State::Promoting { turn } if *turn == index => {
                    host.command(SharePercent::ALL, seq);
                }
                State::Keeping if !host.has(SharePercent::ALL) => {
                    host.command(SharePercent::ALL, seq);
                }
                State::RollingBack { .. } if host.exposure == Exposure::Possible => {
                    host.command(SharePercent::NONE, seq);
                }
                _ => {}
            }
        }
    }

    /// Goes to a target of the main line.
    pub(super) fn go(&mut self, target: Target) {
        let now = self.now;
        let state = match target {
            Target::Checking => State::Checking,
            Target::Building => State::Building,
            Target::Staging => State::Staging,
            Target::Staged => State::Staged { attempt: 1 },
            Target::First => State::First,
            Target::Baking => {
                self.rollout.bake = BakeWindow::Asked;
                let duration = self.rollout.spec.gates.bake.map_or(0, |bake| bake.duration.0);
                State::Baking { until: now.saturating_add(duration) }
            }
            Target::CanaryStarting => {
                self.rollout.attempt += 1;
                State::CanaryStarting
            }
            Target::Promoting => State::Promoting { turn: 0 },
            Target::Settling => {
                let until = now.saturating_add(self.rollout.spec.settle().0);
                State::Settling { until, proof: None }
            }
            Target::Keeping => State::Keeping,
        };
        self.enter(state);
    }

    /// Goes on after a stage of the main line, or holds where that was asked for.
    pub(super) fn onward(&mut self, done: Stage) {
        let target = self.after(done);
        match self.rollout.until {
            Some(until) if until <= done => {
                self.rollout.until = None;
                self.hold(HeldReason::Asked(until), target);
            }
            _ => self.go(target),
        }
    }

    /// Returns what follows a stage; gates that are not configured are passed over.
    fn after(&self, done: Stage) -> Target {
        let spec = &self.rollout.spec;
        let bakes = spec.gates.bake.is_some() && !spec.is_first();
        match done {
            Stage::Check => Target::Building,
            Stage::Build => Target::Staging,
            Stage::Stage if spec.gates.load.is_some() || bakes => Target::Staged,
            Stage::Stage | Stage::Load if spec.is_first() => Target::First,
            Stage::Load if bakes => Target::Baking,
            Stage::Stage | Stage::Load | Stage::Bake => Target::CanaryStarting,
            Stage::Canary => Target::Promoting,
        }
    }

    /// Holds and waits for a person.
    pub(super) fn hold(&mut self, reason: HeldReason, resume_to: Target) {
        self.enter(State::Held { reason, resume_to, since: self.now });
    }

    /// Refuses the release; no user's request was touched.
    pub(super) fn block(&mut self, cause: BlockCause) {
        self.enter(State::Blocked { cause });
    }

    /// Gives the stable arm everything back.
    pub(super) fn roll_back(&mut self, cause: Cause) {
        self.enter(State::RollingBack { cause });
    }

    /// Keeps a gate's proof.
    pub(super) fn prove(&mut self, gate: ProofGate, evidence: Option<Digest>) {
        self.rollout.proofs.push(Proof { gate, evidence });
    }

    /// Returns whether nobody's requests can go back anywhere: a first release that has some.
    pub(super) fn has_no_way_back(&self) -> bool {
        self.rollout.spec.is_first() && self.rollout.is_exposed()
    }

    /// Counts a failed answer of a host; returns whether it may try again, under a new number.
    pub(super) fn may_retry(&mut self, name: &HostName) -> bool {
        let seq = self.rollout.seq;
        let Some(host) = self.rollout.hosts.get_mut(name) else { return false };
        host.tries += 1;
        host.seq = seq;
        host.tries < HOST_TRIES
    }
}

fn start(arm: &mut ArmStatus) {
    if *arm != ArmStatus::Ready {
        *arm = ArmStatus::Starting;
    }
}

/// Returns who is behind an event, and on which evidence it rests.
fn source(event: &Event) -> (Actor, Option<Digest>) {
    match event {
        Event::Submitted { actor, .. }
        | Event::TakenOver { actor, .. }
        | Event::Abort { actor, .. }
        | Event::Resume { actor }
        | Event::RollbackAsked { actor }
        | Event::NewRelease { actor, .. } => (Actor::Person(actor.clone()), None),
        Event::ChecksDone { evidence, .. } => (Actor::Guanka, evidence.clone()),
        Event::LoadJudged { evidence, .. }
        | Event::BakeJudged { evidence, .. }
        | Event::CanaryJudged { evidence, .. }
        | Event::SettleJudged { evidence, .. } => (Actor::Guanka, Some(evidence.clone())),
        _ => (Actor::Guanka, None),
    }
}
