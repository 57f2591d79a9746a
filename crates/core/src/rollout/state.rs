//! Where a rollout stands. Approval and chaos testing will be states of their own between the ones
//! named here; a state says nothing that its hosts or its deadlines already say.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::event::{CheckResult, Chore, StopReason};
use super::host::HostState;
use super::spec::{HostName, ReleaseId, Spec, SpecFault, Stage};
use super::verdict::Verdict;
use crate::name::Digest;

/// Where a rollout stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum State {
    /// Not handed in.
    Draft,
    /// The static gate runs.
    Checking,
    /// The release is built.
    Building,
    /// The release is put on every host.
    Staging,
    /// The candidate runs on the proving host without any user's request; the load gate runs.
    Staged {
        /// The run of the load gate, from 1.
        attempt: u32,
    },
    /// A first release gets everything: there is no way back.
    First,
    /// The candidate is watched without any user's request.
    Baking {
        /// The end.
        until: u64,
    },
    /// The candidate starts on every host, at no share.
    CanaryStarting,
    /// The candidate has a share of the requests.
    Canary {
        /// The step, from 0.
        step: usize,
        /// Since when every host has this share; nothing while one is missing.
        since: Option<u64>,
        /// The evidence that proved this step good.
        proof: Option<Digest>,
    },
    /// The candidate gets everything, one host after another.
    Promoting {
        /// The host whose turn it is.
        turn: usize,
    },
    /// The candidate has everything; the old arm is warm.
    Settling {
        /// The end of the watch.
        until: u64,
        /// The evidence that proved it good at full share.
        proof: Option<Digest>,
    },
    /// Every host makes the candidate its stable arm, for good.
    Keeping,
    /// The release serves on every host.
    Done,
    /// Stopped, waiting for a person.
    Held {
        /// Why.
        reason: HeldReason,
        /// Where a resume goes.
        resume_to: Target,
        /// Since when.
        since: u64,
    },
    /// Refused; no user's request was touched.
    Blocked {
        /// By what.
        cause: BlockCause,
    },
    /// The stable arm gets everything back.
    RollingBack {
        /// Why.
        cause: Cause,
    },
    /// The stable arm has everything, as before.
    RolledBack {
        /// Why.
        cause: Cause,
    },
    /// A host could not be brought back: a person must look.
    RollbackFailed {
        /// Why it was to be taken back.
        cause: Cause,
    },
    /// A newer release took its place.
    Superseded {
        /// The newer release.
        by: Digest,
    },
    /// A person stopped it before any user's request was touched.
    Cancelled,
}

/// A state that a resume or the end of a stage leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// The static gate.
    Checking,
    /// The build.
    Building,
    /// Putting the release on every host.
    Staging,
    /// The load gate.
    Staged,
    /// A first release's full share.
    First,
    /// The bake.
    Baking,
    /// The start of a canary.
    CanaryStarting,
    /// The promotion.
    Promoting,
    /// The watch at full share.
    Settling,
    /// Making the candidate stable.
    Keeping,
}

/// Why a rollout is held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HeldReason {
    /// `--until` asked for it.
    Asked(Stage),
    /// A required check could not see.
    ChecksUnknown,
    /// A gate's data path is broken.
    Invalid,
    /// The time is up and nothing is proven.
    Insufficient,
    /// Something took too long.
    TimedOut,
    /// Hosts fell silent before any request was moved.
    HostSilent(HostName),
    /// After the switch a host did not say what it serves.
    HostUnknown(HostName),
    /// A first release misbehaves, and there is nothing to go back to.
    NoWayBack(StopReason),
    /// A first release is proven bad, and there is nothing to go back to.
    NoWayBackProven,
}

/// What refused a release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BlockCause {
    /// The static gate.
    Checks,
    /// The load gate.
    Load,
    /// The bake.
    Bake,
    /// A hard stop before any user's request.
    HardStop(StopReason),
    /// It was taken back earlier.
    MarkedBad,
    /// The spec cannot be rolled out.
    Spec(SpecFault),
    /// It could not be built.
    Build,
    /// The build gave another release than the one handed in.
    OtherRelease,
    /// A host could not take it.
    Stage(HostName),
    /// It did not become ready.
    NotReady(HostName),
}

/// Why a release is taken back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The canary gate proved it bad.
    ProvenBad,
    /// It did what no release may do.
    HardStop(StopReason),
    /// It did not become ready on a host.
    NotReady(HostName),
    /// A host could not set its share.
    ShareFailed(HostName),
    /// Nothing was proven in time.
    Insufficient,
    /// Something took too long.
    TimedOut,
    /// A host fell silent.
    HostSilent(HostName),
    /// A host took its requests back because the driver was silent.
    LeaseExpired(HostName),
    /// The gate stayed invalid.
    Invalid,
    /// A person said so.
    Person,
    /// A newer release takes its place.
    Superseded(Digest),
}

/// A rollout: the fold of its journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rollout {
    /// What it was asked.
    pub spec: Spec,
    /// The release as it was built, once it was.
    pub built: Option<ReleaseId>,
    /// Where it stands.
    pub state: State,
    /// The number of its last event.
    pub seq: u64,
    /// The epoch its commands carry.
    pub epoch: u64,
    /// The event that led into the present state; commands of the state carry this number.
    pub entered: u64,
    /// When the present state must have ended, absolute.
    pub deadline: Option<u64>,
    /// The canary's attempt, from 1; 0 before the first.
    pub attempt: u32,
    /// When the canary gate was last able to say anything.
    pub last_valid: u64,
    /// The last verdict of the gate at work, with its time.
    pub last_verdict: Option<(Verdict, u64)>,
    /// Whether the bake's windows have begun.
    pub bake: BakeWindow,
    /// Where to stop, until that was done.
    pub until: Option<Stage>,
    /// A newer release that waits for this one's end.
    pub waiting: Option<Digest>,
    /// The duties of the present state that are done.
    pub chores: BTreeSet<Chore>,
    /// The gates that gave a proof, and its evidence.
    pub proofs: Vec<Proof>,
    /// The hosts.
    pub hosts: BTreeMap<HostName, HostState>,
}

/// Whether a bake's windows have begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BakeWindow {
    /// Not yet, or not known.
    Asked,
    /// The proving host counts.
    Counting,
}

/// A gate's proof that let the release forward.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// Which gate.
    pub gate: ProofGate,
    /// The digest of its evidence record, where it has one.
    pub evidence: Option<Digest>,
}

/// Which gate gave a proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProofGate {
    /// The static gate.
    Checks,
    /// The load gate.
    Load,
    /// The bake.
    Bake,
    /// A canary step, from 0.
    Canary(usize),
    /// The watch at full share.
    Settle,
}

impl Rollout {
    /// Returns a rollout to which nothing has happened. Its first event is `Submitted`, under the
    /// number after `last_seq`, the last one the service's journal used: numbers never come again,
    /// so a release that is handed in twice has other keys the second time.
    pub fn draft(spec: Spec, epoch: u64, last_seq: u64) -> Self {
        let hosts = spec.hosts.iter().map(|host| (host.clone(), HostState::untouched())).collect();
        Self {
            until: spec.until,
            built: None,
            spec,
            state: State::Draft,
            seq: last_seq,
            epoch,
            entered: last_seq,
            deadline: None,
            attempt: 0,
            last_valid: 0,
            last_verdict: None,
            bake: BakeWindow::Asked,
            waiting: None,
            chores: BTreeSet::new(),
            proofs: Vec::new(),
            hosts,
        }
    }

    /// Returns the release: as it was built, or before that as it was handed in.
    pub fn release(&self) -> &ReleaseId {
        self.built.as_ref().unwrap_or(&self.spec.release)
    }

    /// Returns whether a user's request may reach the candidate on some host.
    pub fn is_exposed(&self) -> bool {
        self.hosts.values().any(|host| host.exposure == super::host::Exposure::Possible)
    }

    /// Returns whether the canary gate watches users' requests now.
    pub fn is_watching(&self) -> bool {
        matches!(
            &self.state,
            State::Canary { .. }
                | State::Promoting { .. }
                | State::Settling { .. }
                | State::Held { reason: HeldReason::Asked(Stage::Canary), .. }
        )
    }
}

impl State {
    /// Returns the code used in JSON and on the command line.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Checking => "checking",
            Self::Building => "building",
            Self::Staging => "staging",
            Self::Staged { .. } => "staged",
            Self::First => "first",
            Self::Baking { .. } => "baking",
            Self::CanaryStarting => "canary_starting",
            Self::Canary { .. } => "canary",
            Self::Promoting { .. } => "promoting",
            Self::Settling { .. } => "settling",
            Self::Keeping => "keeping",
            Self::Done => "done",
            Self::Held { .. } => "held",
            Self::Blocked { .. } => "blocked",
            Self::RollingBack { .. } => "rolling_back",
            Self::RolledBack { .. } => "rolled_back",
            Self::RollbackFailed { .. } => "rollback_failed",
            Self::Superseded { .. } => "superseded",
            Self::Cancelled => "cancelled",
        }
    }

    /// Returns whether nothing follows but clearing up.
    pub const fn is_final(&self) -> bool {
        matches!(
            self,
            Self::Done
                | Self::Blocked { .. }
                | Self::RolledBack { .. }
                | Self::Superseded { .. }
                | Self::Cancelled
        )
    }

    /// Returns whether the rollout moves by itself: neither final nor waiting for a person.
    pub const fn is_moving(&self) -> bool {
        !self.is_final() && !matches!(self, Self::Held { .. } | Self::RollbackFailed { .. })
    }
}

impl Cause {
    /// Returns whether the cause speaks against the release, which then is marked bad. Silence, a
    /// person's wish and a broken host do not.
    pub const fn is_the_releases(&self) -> bool {
        matches!(self, Self::ProvenBad | Self::HardStop(_) | Self::NotReady(_))
    }
}

impl From<CheckResult> for Verdict {
    fn from(result: CheckResult) -> Self {
        match result {
            CheckResult::Passed => Self::Good,
            CheckResult::Blocked => Self::Bad,
            CheckResult::Unknown => Self::Invalid,
        }
    }
}
