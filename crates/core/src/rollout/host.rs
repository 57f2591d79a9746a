//! What the rollout knows of one host: what it was told, what it answered, and how often it failed.

use serde::{Deserialize, Serialize};

use crate::quantity::SharePercent;

/// How often a host may fail in one state. Two more chances outlast a port that is still being
/// given back or a disk that is busy; more would only hide a broken host.
pub const HOST_TRIES: u32 = 3;

/// How far the candidate's arm is on a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ArmStatus {
    /// It was never told to start.
    Idle,
    /// It was told to start.
    Starting,
    /// It answered that it is ready.
    Ready,
    /// It was started and is stopped again.
    Stopped,
    /// The host fell silent before it could say.
    Unknown,
}

/// Whether a user's request may reach the candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exposure {
    /// No share above 0 was commanded since the last proof of 0.
    None,
    /// A share above 0 was commanded.
    Possible,
}

/// Whether the release lies on the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Staging {
    /// Not yet.
    Missing,
    /// Whole.
    Whole,
}

/// How far the old arm is at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OldArm {
    /// It runs.
    Warm,
    /// It is stopped, or the host fell silent meanwhile.
    Gone,
}

/// Whether the candidate is the host's stable arm for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Keeping {
    /// The canary lease holds it.
    Leased,
    /// It stays without a lease.
    Kept,
}

/// One host of a rollout.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostState {
    /// Whether the release lies there.
    pub staging: Staging,
    /// The candidate's arm.
    pub arm: ArmStatus,
    /// The share it was last told.
    pub commanded: SharePercent,
    /// The share it last answered for that command; nothing while the answer is outstanding.
    pub confirmed: Option<SharePercent>,
    /// Whether a user's request may reach the candidate.
    pub exposure: Exposure,
    /// Whether the candidate stays without a lease.
    pub keeping: Keeping,
    /// The old arm.
    pub old: OldArm,
    /// Failed answers in the present state.
    pub tries: u32,
    /// The number under which its commands of the present state are issued.
    pub seq: u64,
    /// The number under which its share was last commanded.
    pub share_seq: u64,
    /// The number under which a share above 0 was last commanded: whose lease counts.
    pub exposed_seq: u64,
}

impl HostState {
    /// Returns a host of which nothing is known and to which nothing was said.
    pub const fn untouched() -> Self {
        Self {
            staging: Staging::Missing,
            arm: ArmStatus::Idle,
            commanded: SharePercent::NONE,
            confirmed: None,
            exposure: Exposure::None,
            keeping: Keeping::Leased,
            old: OldArm::Warm,
            tries: 0,
            seq: 0,
            share_seq: 0,
            exposed_seq: 0,
        }
    }

    /// Returns whether it answered that it has exactly this share.
    pub fn has(&self, share: SharePercent) -> bool {
        self.commanded == share && self.confirmed == Some(share)
    }

    /// Returns whether the candidate may still run there.
    pub const fn may_run(&self) -> bool {
        matches!(self.arm, ArmStatus::Starting | ArmStatus::Ready)
    }

    /// Commands a share under a number.
    pub(super) fn command(&mut self, share: SharePercent, seq: u64) {
        self.commanded = share;
        self.confirmed = None;
        self.share_seq = seq;
        if share > SharePercent::NONE {
            self.exposure = Exposure::Possible;
            self.exposed_seq = seq;
        }
    }

    /// Notes that the stable arm has every request of this host.
    pub(super) fn note_none(&mut self) {
        self.commanded = SharePercent::NONE;
        self.confirmed = Some(SharePercent::NONE);
        self.exposure = Exposure::None;
        self.keeping = Keeping::Leased;
    }
}
