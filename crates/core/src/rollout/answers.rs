//! What hosts answer, and what their silence does. An answer counts only for the command that is
//! outstanding now; a late one changes nothing.

use super::audit::Topic;
use super::describe;
use super::event::{Event, Fault};
use super::host::{ArmStatus, Exposure, HostState, Keeping, OldArm, Staging};
use super::spec::{HostName, Stage};
use super::state::{BakeWindow, BlockCause, Cause, HeldReason, State, Target};
use super::turn::{Turn, VERDICT_LIMIT};
use crate::name::{Arm, Digest};
use crate::quantity::SharePercent;

impl Turn {
    /// Takes an event that comes from or is about a host.
    pub(super) fn answered(&mut self, event: &Event) {
        match event {
            Event::StageDone { host, seq } => {
                if let (State::Staging, Some(state)) = self.addressed(host, *seq) {
                    state.staging = Staging::Whole;
                }
            }
            Event::StageFailed { host, seq, .. } => self.stage_failed(host, *seq),
            Event::ArmReady { host, seq } => self.arm_ready(host, *seq),
            Event::ArmFailed { host, seq, .. } => self.arm_failed(host, *seq),
            Event::BakeBegun { host, seq } => self.bake_begun(host, *seq),
            Event::ShareSet { host, seq, share, proven } => {
                self.share_set(host, *seq, *share, proven.as_ref());
            }
            Event::ShareFailed { host, seq, fault } => self.share_failed(host, *seq, fault),
            Event::Kept { host, seq, serves } => self.kept(host, *seq, serves),
            Event::ArmStopped { host, seq, arm } => self.arm_stopped(host, *seq, *arm),
            Event::HostSilent { host } => self.host_silent(host),
            Event::LeaseExpired { host, seq } => self.lease_expired(host, *seq),
            _ => {}
        }
    }

    /// Returns the state, and the host when the answer is to its outstanding command.
    fn addressed(&mut self, name: &HostName, seq: u64) -> (State, Option<&mut HostState>) {
        let state = self.rollout.state.clone();
        (state, self.rollout.hosts.get_mut(name).filter(|host| host.seq == seq))
    }

    fn stage_failed(&mut self, name: &HostName, seq: u64) {
        if let (State::Staging, Some(_)) = self.addressed(name, seq)
            && !self.may_retry(name)
        {
            self.block(BlockCause::Stage(name.clone()));
        }
    }

    fn arm_ready(&mut self, name: &HostName, seq: u64) {
        let now_seq = self.rollout.seq;
        let (state, Some(host)) = self.addressed(name, seq) else { return };
        let starts = matches!(state, State::Staged { .. } | State::CanaryStarting | State::First);
        if !starts || host.arm != ArmStatus::Starting {
            return;
        }
        host.arm = ArmStatus::Ready;
        match state {
            State::First => host.command(SharePercent::ALL, now_seq),
            State::Staged { .. } if self.rollout.spec.gates.load.is_none() => {
                self.onward(Stage::Load);
            }
            _ => {}
        }
    }

    fn arm_failed(&mut self, name: &HostName, seq: u64) {
        let (state, Some(_)) = self.addressed(name, seq) else { return };
        let starts = matches!(state, State::Staged { .. } | State::CanaryStarting | State::First);
        if !starts || self.may_retry(name) {
            return;
        }
        match state {
            State::CanaryStarting => self.roll_back(Cause::NotReady(name.clone())),
            State::First if self.rollout.is_exposed() => {
                self.hold(HeldReason::HostUnknown(name.clone()), Target::First);
            }
            _ => self.block(BlockCause::NotReady(name.clone())),
        }
    }

    fn bake_begun(&mut self, name: &HostName, seq: u64) {
        let (State::Baking { .. }, Some(_)) = self.addressed(name, seq) else { return };
        if self.rollout.bake == BakeWindow::Counting {
            return;
        }
        // The full time is counted from the first window, not from the wish.
        let duration = self.rollout.spec.gates.bake.map_or(0, |bake| bake.duration.0);
        let until = self.now.saturating_add(duration);
        self.rollout.bake = BakeWindow::Counting;
        self.rollout.state = State::Baking { until };
        self.rollout.deadline = Some(until.saturating_add(VERDICT_LIMIT.0));
    }

    fn share_set(
        &mut self,
        name: &HostName,
        seq: u64,
        share: SharePercent,
        proven: Option<&Digest>,
    ) {
        let release = self.rollout.release().release.clone();
        let Some(host) = self.rollout.hosts.get_mut(name) else { return };
        if host.share_seq != seq || host.commanded != share || host.confirmed.is_some() {
            return;
        }
        if share == SharePercent::NONE {
            host.note_none();
        } else if proven == Some(&release) {
            host.confirmed = Some(share);
        } else {
            self.share_failed(name, seq, &Fault::NotProven);
        }
    }

    fn share_failed(&mut self, name: &HostName, seq: u64, _fault: &Fault) {
        let now_seq = self.rollout.seq;
        let Some(host) = self.rollout.hosts.get(name) else { return };
        if host.share_seq != seq || host.confirmed.is_some() {
            return;
        }
        let share = host.commanded;
        if matches!(self.rollout.state, State::RollbackFailed { .. } | State::Held { .. }) {
            return;
        }
        if self.may_retry(name) {
            if let Some(host) = self.rollout.hosts.get_mut(name) {
                host.command(share, now_seq);
            }
            return;
        }
        match self.rollout.state.clone() {
            State::CanaryStarting | State::Canary { .. } | State::Promoting { .. } => {
                self.roll_back(Cause::ShareFailed(name.clone()));
            }
            State::First => self.hold(HeldReason::HostUnknown(name.clone()), Target::First),
            State::Keeping => self.hold(HeldReason::HostUnknown(name.clone()), Target::Keeping),
            State::RollingBack { cause } => self.enter(State::RollbackFailed { cause }),
            _ => {}
        }
    }

    fn kept(&mut self, name: &HostName, seq: u64, serves: &Digest) {
        let good = *serves == self.rollout.release().release;
        let (State::Keeping, Some(host)) = self.addressed(name, seq) else { return };
        if good {
            host.keeping = Keeping::Kept;
        } else {
            self.hold(HeldReason::HostUnknown(name.clone()), Target::Keeping);
        }
    }

    fn arm_stopped(&mut self, name: &HostName, seq: u64, arm: Arm) {
        let candidate = self.rollout.spec.candidate;
        let (_, Some(host)) = self.addressed(name, seq) else { return };
        if arm != candidate {
            host.old = OldArm::Gone;
        } else if host.exposure == Exposure::None {
            host.arm = ArmStatus::Stopped;
        }
    }

    fn lease_expired(&mut self, name: &HostName, seq: u64) {
        let Some(host) = self.rollout.hosts.get_mut(name) else { return };
        let counts = host.exposed_seq == seq
            && host.exposure == Exposure::Possible
            && host.keeping == Keeping::Leased;
        if !counts {
            return;
        }
        host.note_none();
        self.note(Topic::Host, describe::lease_expired(name));
        match self.rollout.state.clone() {
            State::Canary { .. } | State::Promoting { .. } | State::Settling { .. } => {
                self.roll_back(Cause::LeaseExpired(name.clone()));
            }
            State::Held { reason: HeldReason::Asked(_), .. } => {
                self.roll_back(Cause::LeaseExpired(name.clone()));
            }
            // The switch is proven and decided; this host only missed its end.
            State::Keeping => {
                let now_seq = self.rollout.seq;
                if let Some(host) = self.rollout.hosts.get_mut(name) {
                    host.command(SharePercent::ALL, now_seq);
                    host.seq = now_seq;
                }
            }
            _ => {}
        }
    }

    fn host_silent(&mut self, name: &HostName) {
        let proving = self.rollout.spec.proving_host() == Some(name);
        let first = self.rollout.spec.is_first();
        let Some(host) = self.rollout.hosts.get_mut(name) else { return };
        let state = self.rollout.state.clone();
        match &state {
            State::RollingBack { .. } if host.exposure == Exposure::Possible => {}
            _ if state.is_final() || matches!(state, State::RollingBack { .. }) => {
                if host.may_run() {
                    host.arm = ArmStatus::Unknown;
                }
                if state == State::Done {
                    host.old = OldArm::Gone;
                }
            }
            State::Staging if host.staging == Staging::Missing => {
                self.hold(HeldReason::HostSilent(name.clone()), Target::Staging);
            }
            State::Staged { .. } if proving => {
                self.hold(HeldReason::HostSilent(name.clone()), Target::Staged);
            }
            State::Baking { .. } if proving => {
                self.hold(HeldReason::HostSilent(name.clone()), Target::Baking);
            }
            State::First => self.hold(HeldReason::HostUnknown(name.clone()), Target::First),
            State::CanaryStarting | State::Canary { .. } | State::Promoting { .. } => {
                self.roll_back(Cause::HostSilent(name.clone()));
            }
            State::Settling { .. } if !first => {
                self.roll_back(Cause::HostSilent(name.clone()));
            }
            State::Keeping if host.keeping == Keeping::Leased => {
                self.hold(HeldReason::HostUnknown(name.clone()), Target::Keeping);
            }
            _ => {}
        }
    }
}
