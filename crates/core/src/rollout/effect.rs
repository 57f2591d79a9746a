//! What is to be done in the world, as data. `outstanding` is the only source of effects: it is
//! derived from the state alone, so what a step asks for and what a driver asks for again after a
//! crash can never differ. Every effect may be performed twice.
//!
//! A host keeps the answer to each key and gives it again; it refuses a lower epoch, and in each
//! lane a lower number than it has seen there: a command that was long under way must not undo a
//! newer one.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::event::Chore;
use super::host::{ArmStatus, Exposure, HostState, Keeping, OldArm, Staging};
use super::spec::HostName;
use super::state::{BakeWindow, HeldReason, Rollout, State};
use crate::name::{Arm, Digest};
use crate::quantity::{Millis, SharePercent};

/// How long a host sends requests to the candidate without a word from the driver.
pub const CANARY_LEASE: Millis = Millis::from_secs(30);

/// How often the driver renews the canary lease: six chances before it runs out.
pub const RENEW_EVERY: Millis = Millis::from_secs(5);

/// The name of an effect: the same effect asked for again has the same key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Key {
    /// The release.
    pub release: Digest,
    /// The event that asked for it. An answer repeats it.
    pub seq: u64,
    /// The host, for what a host does.
    pub host: Option<HostName>,
    /// What kind of effect it is.
    pub kind: Kind,
}

/// The kind of an effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Run the static checks.
    Checks,
    /// Build.
    Build,
    /// Put the release on a host.
    Stage,
    /// Start an arm.
    Start,
    /// Run the load gate.
    Load,
    /// Begin the bake.
    Bake,
    /// Set the share.
    Share,
    /// Renew the canary lease.
    Renew,
    /// Keep the candidate for good.
    Keep,
    /// Stop an arm.
    Stop,
    /// A duty at the end.
    Chore(Chore),
}

/// Commands that undo each other stand in one lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lane {
    /// Starting and stopping an arm.
    Arm,
    /// Setting, leasing and keeping a share.
    Share,
    /// Everything else.
    Other,
}

/// How long a share holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hold {
    /// Until the driver has been silent for this long.
    Leased(Millis),
    /// Until it is told otherwise: no share, and a first release, which has nothing to go back to.
    Lasting,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "action")]
pub enum Action {
    /// Run the static checks, answer `ChecksDone`.
    RunChecks,
    /// Build the release, answer `BuildDone` or `BuildFailed`.
    BuildRelease,
    /// Put the release on a host, answer `StageDone` or `StageFailed`.
    StageRelease {
        /// The host.
        host: HostName,
    },
    /// Start the release in an arm and wait for it, answer `ArmReady` or `ArmFailed`.
    StartArm {
        /// The host.
        host: HostName,
        /// The arm.
        arm: Arm,
    },
    /// Run the load gate against the candidate's own port, answer `LoadJudged`.
    RunLoad {
        /// The host.
        host: HostName,
        /// The run, from 1.
        attempt: u32,
    },
    /// Begin the bake's windows and its traffic, answer `BakeBegun`.
    BeginBake {
        /// The host.
        host: HostName,
    },
    /// Set the share and prove it through nginx, answer `ShareSet` or `ShareFailed`.
    SetShare {
        /// The host.
        host: HostName,
        /// The candidate's arm.
        candidate_arm: Arm,
        /// Its share.
        candidate_share: SharePercent,
        /// How long it holds.
        hold: Hold,
    },
    /// Renew the lease of the share that this number set. Has no answer but what the host sees.
    RenewCanaryLease {
        /// The host.
        host: HostName,
        /// How long from now.
        ttl: Millis,
    },
    /// Make the candidate the stable arm and end the lease, answer `Kept`.
    KeepCandidate {
        /// The host.
        host: HostName,
        /// The candidate's arm.
        arm: Arm,
    },
    /// Stop an arm once its requests are done, answer `ArmStopped`.
    StopArm {
        /// The host.
        host: HostName,
        /// The arm.
        arm: Arm,
    },
    /// Mark the release as bad for the service, answer `ChoreDone`.
    MarkBad,
    /// Write the report and tell people, answer `ChoreDone`.
    WriteReport,
    /// Give back the service's lease on every host, answer `ChoreDone`.
    ReleaseServiceLease,
}

/// Something to be done, with its name and the epoch that gives the right to do it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Effect {
    /// Its name.
    pub key: Key,
    /// The driver's epoch.
    pub epoch: u64,
    /// What.
    pub action: Action,
}

/// Returns every effect that the state asks for and that nothing has answered.
pub fn outstanding(rollout: &Rollout) -> Vec<Effect> {
    let list = List { rollout, effects: Vec::new() };
    match &rollout.state {
        State::Draft => list.effects,
        State::Checking => list.central(Kind::Checks, Action::RunChecks),
        State::Building => list.central(Kind::Build, Action::BuildRelease),
        State::Staging => list.each_host(List::stage),
        State::Staged { attempt } => list.proving(|list, name, host| {
            list.start_then(name, host, |list| list.load(name, host, *attempt));
        }),
        State::Baking { .. } => list.proving(|list, name, host| list.bake(name, host)),
        State::First => list.each_host(|list, name, host| {
            list.start_then(name, host, |list| list.share(name, host));
        }),
        State::CanaryStarting => list.each_host(|list, name, host| {
            list.share(name, host);
            list.start_then(name, host, |_| ());
        }),
        State::Canary { .. } | State::Promoting { .. } => list.each_host(List::share),
        State::Keeping => list.each_host(List::keep),
        State::Settling { .. } => list.effects,
        State::RollingBack { .. } => list.each_host(List::take_back),
        State::Held { reason: HeldReason::Asked(_), .. } => list.effects,
        State::Held { .. } | State::RollbackFailed { .. } => list.report(),
        State::Done => list.each_host_then_end(List::retire),
        State::Blocked { .. }
        | State::Cancelled
        | State::Superseded { .. }
        | State::RolledBack { .. } => list.each_host_then_end(List::clear),
    }
}

/// The effects found so far, for one rollout.
struct List<'a> {
    rollout: &'a Rollout,
    effects: Vec<Effect>,
}

impl<'a> List<'a> {
    fn each_host(mut self, visit: impl Fn(&mut Self, &HostName, &HostState)) -> Vec<Effect> {
        let rollout: &'a Rollout = self.rollout;
        for (name, host) in &rollout.hosts {
            visit(&mut self, name, host);
        }
        self.effects
    }

    /// Visits every host; when nothing is left to do on any, the duties at the end follow in turn.
    fn each_host_then_end(
        mut self,
        visit: impl Fn(&mut Self, &HostName, &HostState),
    ) -> Vec<Effect> {
        let rollout: &'a Rollout = self.rollout;
        for (name, host) in &rollout.hosts {
            visit(&mut self, name, host);
        }
        if self.effects.is_empty()
            && let Some(chore) = next_chore(rollout)
        {
            self.chore(chore);
        }
        self.effects
    }

    fn proving(mut self, visit: impl Fn(&mut Self, &HostName, &HostState)) -> Vec<Effect> {
        let rollout: &'a Rollout = self.rollout;
        if let Some((name, host)) = rollout.hosts.first_key_value() {
            visit(&mut self, name, host);
        }
        self.effects
    }

    fn central(mut self, kind: Kind, action: Action) -> Vec<Effect> {
        self.push(self.rollout.entered, None, kind, action);
        self.effects
    }

    fn report(mut self) -> Vec<Effect> {
        if !self.rollout.chores.contains(&Chore::Report) {
            self.chore(Chore::Report);
        }
        self.effects
    }

    fn chore(&mut self, chore: Chore) {
        let action = match chore {
            Chore::MarkBad => Action::MarkBad,
            Chore::Report => Action::WriteReport,
            Chore::ServiceLease => Action::ReleaseServiceLease,
        };
        self.push(self.rollout.entered, None, Kind::Chore(chore), action);
    }

    fn stage(&mut self, name: &HostName, host: &HostState) {
        if host.staging == Staging::Missing {
            let action = Action::StageRelease { host: name.clone() };
            self.push(host.seq, Some(name), Kind::Stage, action);
        }
    }

    fn start_then(&mut self, name: &HostName, host: &HostState, then: impl Fn(&mut Self)) {
        if host.arm == ArmStatus::Ready {
            then(self);
        } else {
            let arm = self.rollout.spec.candidate;
            let action = Action::StartArm { host: name.clone(), arm };
            self.push(host.seq, Some(name), Kind::Start, action);
        }
    }

    fn load(&mut self, name: &HostName, host: &HostState, attempt: u32) {
        if self.rollout.spec.gates.load.is_some() {
            let action = Action::RunLoad { host: name.clone(), attempt };
            self.push(host.seq, Some(name), Kind::Load, action);
        }
    }

    fn bake(&mut self, name: &HostName, host: &HostState) {
        if self.rollout.bake == BakeWindow::Asked {
            let action = Action::BeginBake { host: name.clone() };
            self.push(host.seq, Some(name), Kind::Bake, action);
        }
    }

    fn share(&mut self, name: &HostName, host: &HostState) {
        if host.confirmed == Some(host.commanded) {
            return;
        }
        let lasting = host.commanded == SharePercent::NONE || self.rollout.spec.is_first();
        let action = Action::SetShare {
            host: name.clone(),
            candidate_arm: self.rollout.spec.candidate,
            candidate_share: host.commanded,
            hold: if lasting { Hold::Lasting } else { Hold::Leased(CANARY_LEASE) },
        };
        self.push(host.share_seq, Some(name), Kind::Share, action);
    }

    fn keep(&mut self, name: &HostName, host: &HostState) {
        if !host.has(SharePercent::ALL) {
            self.share(name, host);
        } else if host.keeping == Keeping::Leased {
            let arm = self.rollout.spec.candidate;
            let action = Action::KeepCandidate { host: name.clone(), arm };
            self.push(host.seq, Some(name), Kind::Keep, action);
        }
    }

    /// Takes the share away first; the arm is stopped only where that is proven.
    fn take_back(&mut self, name: &HostName, host: &HostState) {
        if host.exposure == Exposure::Possible {
            self.share(name, host);
        } else {
            self.clear(name, host);
        }
    }

    fn clear(&mut self, name: &HostName, host: &HostState) {
        if host.may_run() {
            let arm = self.rollout.spec.candidate;
            let action = Action::StopArm { host: name.clone(), arm };
            self.push(host.seq, Some(name), Kind::Stop, action);
        }
    }

    fn retire(&mut self, name: &HostName, host: &HostState) {
        // A release that served already had nothing moved: its own arm is the stable one.
        if let Some(stable) = &self.rollout.spec.stable
            && host.keeping == Keeping::Kept
            && host.old == OldArm::Warm
        {
            let action = Action::StopArm { host: name.clone(), arm: stable.arm };
            self.push(host.seq, Some(name), Kind::Stop, action);
        }
    }

    fn push(&mut self, seq: u64, host: Option<&HostName>, kind: Kind, action: Action) {
        let release = self.rollout.release().release.clone();
        let key = Key { release, seq, host: host.cloned(), kind };
        self.effects.push(Effect { key, epoch: self.rollout.epoch, action });
    }
}

fn next_chore(rollout: &Rollout) -> Option<Chore> {
    let marks = matches!(&rollout.state, State::RolledBack { cause } if cause.is_the_releases());
    let mark = marks.then_some(Chore::MarkBad);
    mark.into_iter()
        .chain([Chore::Report, Chore::ServiceLease])
        .find(|chore| !rollout.chores.contains(chore))
}

impl Kind {
    /// Returns its lane.
    pub const fn lane(self) -> Lane {
        match self {
            Self::Start | Self::Stop => Lane::Arm,
            Self::Share | Self::Renew | Self::Keep => Lane::Share,
            _ => Lane::Other,
        }
    }

    /// Returns the word for it in a key.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Checks => "checks",
            Self::Build => "build",
            Self::Stage => "stage",
            Self::Start => "start",
            Self::Load => "load",
            Self::Bake => "bake",
            Self::Share => "share",
            Self::Renew => "renew",
            Self::Keep => "keep",
            Self::Stop => "stop",
            Self::Chore(Chore::MarkBad) => "mark-bad",
            Self::Chore(Chore::Report) => "report",
            Self::Chore(Chore::ServiceLease) => "service-lease",
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self.host.as_ref().map_or("-", |host| &host.0);
        write!(f, "{}/{}/{host}/{}", self.release.short(), self.seq, self.kind.word())
    }
}
