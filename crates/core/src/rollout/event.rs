//! Everything that can happen to a rollout. Each event is a journal record before it has any
//! effect. An answer of a host repeats the number of the command it answers, so that a late answer
//! to an older command is never taken for one to the newest.

use serde::{Deserialize, Serialize};

use super::spec::{HostName, Past, ReleaseId, Spec};
use super::verdict::Verdict;
use crate::name::{Arm, Digest};
use crate::quantity::SharePercent;
use crate::say::Said;

/// What the static gate ended with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckResult {
    /// No finding blocks.
    Passed,
    /// A finding blocks.
    Blocked,
    /// A required check could not see what it needs.
    Unknown,
}

/// Why a host could not do what it was told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// The arm did not become ready, or its port is not its own.
    NotReady,
    /// The stable arm does not answer, so no request may be sent back to it.
    StableNotReady,
    /// The share is on disk but nginx did not follow it; the old one was put back.
    NotProven,
    /// Anything else, in the host's own words.
    Other(Said),
}

/// A fact about a candidate that needs no statistics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// It crashes again and again.
    CrashLoop,
    /// It was ready and no longer is.
    ReadinessLost,
    /// It panics more often than allowed.
    Panics,
    /// It burns the error budget 14.4 times too fast over one hour and over five minutes.
    BurnRate,
}

/// A duty at the end of a rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Chore {
    /// Mark the release as bad for this service.
    MarkBad,
    /// Write the report.
    Report,
    /// Give back the service's lease.
    ServiceLease,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "event")]
pub enum Event {
    /// A release was handed in.
    Submitted {
        /// What to do.
        spec: Box<Spec>,
        /// By whom.
        actor: String,
    },
    /// Another driver took over, or the same one started again, with a higher epoch.
    TakenOver {
        /// The new epoch, already stored on every host.
        epoch: u64,
        /// By whom.
        actor: String,
    },
    /// The static gate ended.
    ChecksDone {
        /// With what.
        result: CheckResult,
        /// The digest of the findings.
        evidence: Option<Digest>,
    },
    /// The release was built.
    BuildDone {
        /// What came out.
        release: ReleaseId,
        /// What is known of it from earlier.
        past: Past,
    },
    /// The build failed.
    BuildFailed {
        /// Why, in the tool's own words.
        reason: String,
    },
    /// The release lies on a host, whole.
    StageDone {
        /// The host.
        host: HostName,
        /// The command it answers.
        seq: u64,
    },
    /// The release could not be put on a host.
    StageFailed {
        /// The host.
        host: HostName,
        /// The command it answers.
        seq: u64,
        /// Why.
        fault: Fault,
    },
    /// The candidate is ready, and the listener on its port is its own.
    ArmReady {
        /// The host.
        host: HostName,
        /// The command it answers.
        seq: u64,
    },
    /// The candidate did not become ready.
    ArmFailed {
        /// The host.
        host: HostName,
        /// The command it answers.
        seq: u64,
        /// Why.
        fault: Fault,
    },
    /// The load gate judged a run.
    LoadJudged {
        /// The run, from 1.
        attempt: u32,
        /// What it shows.
        verdict: Verdict,
        /// The digest of the evidence record.
        evidence: Digest,
    },
    /// The bake's windows and its traffic have begun.
    BakeBegun {
        /// The host.
        host: HostName,
        /// The command it answers.
        seq: u64,
    },
    /// The bake gate judged.
    BakeJudged {
        /// What it shows so far.
        verdict: Verdict,
        /// The digest of the evidence record.
        evidence: Digest,
    },
    /// The canary gate judged a step.
    CanaryJudged {
        /// The step, from 0.
        step: usize,
        /// The canary's attempt.
        attempt: u32,
        /// What it shows so far.
        verdict: Verdict,
        /// The digest of the evidence record.
        evidence: Digest,
    },
    /// The canary gate judged the candidate at full share.
    SettleJudged {
        /// The canary's attempt.
        attempt: u32,
        /// What it shows so far.
        verdict: Verdict,
        /// The digest of the evidence record.
        evidence: Digest,
    },
    /// A host has a share.
    ShareSet {
        /// The host.
        host: HostName,
        /// The command it answers.
        seq: u64,
        /// The candidate's share.
        share: SharePercent,
        /// The release that answered through nginx, when that could be proven.
        proven: Option<Digest>,
    },
    /// A host could not set a share.
    ShareFailed {
        /// The host.
        host: HostName,
        /// The command it answers.
        seq: u64,
        /// Why.
        fault: Fault,
    },
    /// A host keeps the candidate as its stable arm; its canary lease is over.
    Kept {
        /// The host.
        host: HostName,
        /// The command it answers.
        seq: u64,
        /// The release it says it serves.
        serves: Digest,
    },
    /// An arm was stopped after its last request.
    ArmStopped {
        /// The host.
        host: HostName,
        /// The command it answers.
        seq: u64,
        /// The arm.
        arm: Arm,
    },
    /// Time passed; something may be due.
    Tick,
    /// A host has not answered for too long.
    HostSilent {
        /// The host.
        host: HostName,
    },
    /// A host's canary lease ran out, and it sent all requests to its stable arm by itself.
    LeaseExpired {
        /// The host.
        host: HostName,
        /// The share command whose lease it was.
        seq: u64,
    },
    /// A host saw the candidate do what no release may do.
    HardStop {
        /// The host.
        host: HostName,
        /// What.
        reason: StopReason,
    },
    /// A person stops the rollout.
    Abort {
        /// Who.
        actor: String,
        /// Why.
        reason: String,
    },
    /// A person lets a held rollout go on.
    Resume {
        /// Who.
        actor: String,
    },
    /// A person wants the stable arm back.
    RollbackAsked {
        /// Who.
        actor: String,
    },
    /// A newer release of the service was handed in.
    NewRelease {
        /// It.
        release: Digest,
        /// By whom.
        actor: String,
    },
    /// A duty at the end is done.
    ChoreDone {
        /// The duty.
        chore: Chore,
        /// The command it answers.
        seq: u64,
    },
}
