//! The rules, checked against the world and never against a driver's opinion of it. Safety is
//! checked after every happening, what must have come to pass at the end of a life.

use std::collections::BTreeSet;

use guanka_core::name::Arm;
use guanka_core::quantity::SharePercent;
use guanka_core::rollout::effect::{Action, CANARY_LEASE, Effect, Hold};
use guanka_core::rollout::event::Event;
use guanka_core::rollout::journal::{Record, fold};
use guanka_core::rollout::spec::Stage;
use guanka_core::rollout::state::{HeldReason, Rollout, State};

use crate::agent::{ArmState, Outcome, index};
use crate::machine;
use crate::scenario::{Shows, Truth};
use crate::telemetry::Gate;
use crate::world::World;

/// The time an agent may take to notice that a lease ran out.
const SLACK_MS: u64 = 1_000;

/// What the checkers remember.
#[derive(Debug)]
pub struct Checker {
    /// The first rule that was broken.
    pub violation: Option<String>,
    /// The fold of the journal, kept up to date record by record.
    pub shadow: Option<Rollout>,
    /// The gates that truly gave a proof.
    pub issued: BTreeSet<Gate>,
    /// When the present state began, in true time.
    pub state_since: u64,
    /// When a driver with the right last spoke to a host's lease.
    last_word: Vec<u64>,
}

/// What a host was like before a command.
pub(crate) struct Before {
    epoch: u64,
    repeated: bool,
    shape: (Option<SharePercent>, [ArmState; 2], u32, bool),
}

impl Checker {
    /// Starts with nothing seen.
    pub fn new(hosts: usize) -> Self {
        Self {
            violation: None,
            shadow: None,
            issued: BTreeSet::new(),
            state_since: 0,
            last_word: vec![0; hosts],
        }
    }

    fn broken(&mut self, rule: impl FnOnce() -> String) {
        if self.violation.is_none() {
            self.violation = Some(rule());
        }
    }
}

impl World {
    /// Returns the percentage of requests that the candidate truly gets on a host. Deliberately
    /// not core's conversion: it is what the checkers check.
    pub(crate) fn percent(&self, host: usize) -> u8 {
        match (self.hosts[host].green, self.scenario.spec.candidate) {
            (None, _) => 0,
            (Some(green), Arm::Green) => green.get(),
            (Some(green), Arm::Blue) => 100 - green.get(),
        }
    }

    /// Remembers a host before a command.
    pub(crate) fn before(&self, index: usize, effect: &Effect) -> Before {
        let host = &self.hosts[index];
        Before {
            epoch: host.epoch,
            repeated: host.has_answered(&effect.key),
            shape: (host.green, host.arms, host.starts, host.kept),
        }
    }

    /// R1: only the highest epoch acts. R7: a repeat changes nothing.
    pub(crate) fn after(
        &mut self,
        index: usize,
        effect: &Effect,
        before: &Before,
        outcome: &Outcome,
    ) {
        let (now, host) = (self.now, &self.hosts[index]);
        let shape = (host.green, host.arms, host.starts, host.kept);
        if effect.epoch < before.epoch && *outcome != Outcome::Fenced {
            self.checker.broken(|| format!("R1: a lower epoch acted, {}", effect.key));
        }
        if before.repeated && shape != before.shape {
            self.checker.broken(|| format!("R7: a repeat changed something, {}", effect.key));
        }
        let speaks = match &effect.action {
            Action::RenewCanaryLease { .. } => true,
            Action::SetShare { hold: Hold::Leased(_), .. } => !before.repeated,
            _ => false,
        };
        if speaks && effect.epoch >= before.epoch {
            self.checker.last_word[index] = now;
        }
    }

    /// Journal first: a command's event is written before the command leaves.
    pub(crate) fn check_sent(&mut self, effect: &Effect) {
        let written = self.journal.last().map_or(0, |record| record.seq);
        if effect.key.seq > written {
            self.checker.broken(|| format!("an effect left before its record, {}", effect.key));
        }
    }

    /// Checks one new record: R5, R6 and what its state says about the world.
    pub(crate) fn check_written(&mut self, session: usize) {
        let Some(record) = self.journal.last().cloned() else { return };
        let before = self.checker.shadow.take();
        let after = match &before {
            Some(rollout) => {
                Some(machine::advance(self.plant, rollout, record.at, &record.event).rollout)
            }
            None => machine::refold(self.plant, &self.journal),
        };
        if self.drivers[session].rollout != after {
            self.checker.broken(|| format!("R6: the fold differs at record {}", record.seq));
        }
        if let (Some(before), Some(after)) = (&before, &after)
            && before.entered != after.entered
        {
            self.check_moved(before, after, &record);
            self.checker.state_since = self.now;
        }
        self.checker.shadow = after;
    }

    fn check_moved(&mut self, before: &Rollout, after: &Rollout, record: &Record) {
        let asked = matches!(
            record.event,
            Event::Resume { .. } | Event::Abort { .. } | Event::RollbackAsked { .. }
        );
        if matches!(before.state, State::RollbackFailed { .. }) && !asked {
            self.checker.broken(|| "R5: a failed rollback moved by itself".to_owned());
        }
        let watched = self.now - self.checker.state_since;
        let bake = self.scenario.spec.gates.bake.map_or(0, |bake| bake.duration.0);
        let baked = matches!(after.state, State::CanaryStarting)
            || matches!(after.state, State::Held { reason: HeldReason::Asked(Stage::Bake), .. });
        if matches!(before.state, State::Baking { .. }) && baked && watched < bake {
            self.checker.broken(|| format!("a bake of {bake} ms ended after {watched} ms"));
        }
        let shares: Vec<u8> = (0..self.hosts.len()).map(|host| self.percent(host)).collect();
        let wanted = match &after.state {
            State::Done => 100,
            State::Blocked { .. }
            | State::RolledBack { .. }
            | State::Superseded { .. }
            | State::Cancelled => 0,
            _ => return,
        };
        if shares.iter().any(|share| *share != wanted) {
            let state = after.state.clone();
            self.checker.broken(|| format!("the state says {state:?}, the hosts {shares:?}"));
        }
    }

    /// Checks every host after a happening.
    pub(crate) fn check(&mut self) {
        let allowed = self.allowed();
        let done = self.checker.shadow.as_ref().is_some_and(|r| r.state == State::Done);
        for host in 0..self.hosts.len() {
            let share = self.percent(host);
            let arms = self.hosts[host].arms;
            let candidate = arms[index(self.scenario.spec.candidate)];
            if share > 0 && !matches!(candidate, ArmState::Ready | ArmState::Crashed) {
                self.checker.broken(|| format!("R3: host {host} has {share} % and no ready arm"));
            }
            if share > allowed {
                self.checker.broken(|| format!("R4: host {host} has {share} %, proven {allowed}"));
            }
            if let Some(stable) = &self.scenario.spec.stable
                && !done
                && arms[index(stable.arm)] != ArmState::Ready
            {
                self.checker.broken(|| format!("R2: the stable arm of host {host} is stopped"));
            }
            self.check_lease(host, share);
        }
    }

    /// A silent driver's canary goes back to 0 by its lease.
    fn check_lease(&mut self, host: usize, share: u8) {
        let (at, state) = (self.now, &self.hosts[host]);
        let last = self.checker.last_word[host].max(state.down_until).max(state.unwell_until);
        let over = at > last + CANARY_LEASE.0 + SLACK_MS;
        if share > 0 && !self.scenario.spec.is_first() && !state.kept && over {
            self.checker.broken(|| format!("lease: host {host} has {share} % and no word"));
        }
    }

    /// Returns the highest share that true proofs allow.
    fn allowed(&self) -> u8 {
        let spec = &self.scenario.spec;
        let has = |gate| self.checker.issued.contains(&gate);
        let load = spec.gates.load.is_none() || has(Gate::Load);
        let bake = spec.gates.bake.is_none() || spec.is_first() || has(Gate::Bake);
        if !load || !bake {
            return 0;
        }
        if spec.is_first() {
            return 100;
        }
        let unproven = spec.steps().iter().enumerate().find(|(n, _)| !has(Gate::Canary(*n)));
        unproven.map_or(100, |(_, step)| step.share.get())
    }

    /// Checks what must have come to pass at the end of a life.
    pub(crate) fn check_end(&mut self) {
        if self.checker.violation.is_some() {
            return;
        }
        let Some(rollout) = self.checker.shadow.clone() else {
            if !self.killed_for_good {
                self.checker.broken(|| "liveness: the release was never handed in".to_owned());
            }
            return;
        };
        if self.plant.is_none() && fold(&self.journal).as_ref() != Ok(&rollout) {
            self.checker.broken(|| "R6: the whole journal folds to something else".to_owned());
        }
        let exposed = (0..self.hosts.len()).any(|host| self.percent(host) > 0);
        if self.killed_for_good && exposed && !self.is_first_decided() {
            self.checker.broken(|| "lease: the driver is gone for good, the share not".to_owned());
        }
        if self.must_be_seen() && rollout.state == State::Done {
            self.checker.broken(|| format!("a release serves that is {:?}", self.scenario.truth));
        }
        if !self.killed_for_good {
            self.check_live(&rollout);
        }
    }

    /// Returns whether some configured gate sees the release's fault.
    fn must_be_seen(&self) -> bool {
        let spec = &self.scenario.spec;
        let gates = &spec.gates;
        let canary = gates.canary.is_some() && !spec.is_first();
        let shown = |from: Shows| {
            canary
                || (from == Shows::Load && gates.load.is_some())
                || (from <= Shows::Bake && gates.bake.is_some() && !spec.is_first())
        };
        match self.scenario.truth {
            Truth::Good => false,
            Truth::Crashes => canary,
            Truth::Bad(from) | Truth::Slow(from) | Truth::Silent(from) => shown(from),
        }
    }

    fn check_live(&mut self, rollout: &Rollout) {
        let state = &rollout.state;
        let rests = state.is_final() || matches!(state, State::Held { .. });
        if !rests && !matches!(state, State::RollbackFailed { .. }) {
            let state = state.clone();
            return self.checker.broken(|| format!("liveness: still {state:?} at the end"));
        }
        if !self.scenario.calm {
            return;
        }
        let good = self.scenario.truth == Truth::Good;
        if good && *state != State::Done {
            let state = state.clone();
            self.checker.broken(|| format!("liveness: a good release ended {state:?}"));
        }
        let taken = matches!(state, State::Blocked { .. } | State::RolledBack { .. });
        if matches!(self.scenario.truth, Truth::Bad(_)) && self.must_be_seen() && !taken {
            let state = state.clone();
            self.checker.broken(|| format!("liveness: a bad release ended {state:?}"));
        }
    }
}
