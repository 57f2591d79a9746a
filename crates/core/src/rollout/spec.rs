//! What a rollout is asked to do. The spec is part of the first journal record and never changes:
//! another release, another host or another gate is another rollout.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::facts::declared::CanaryStep;
use crate::name::{Arm, Digest, ServiceName};
use crate::quantity::{Millis, SharePercent};

/// A host, by the name it has in guanka.toml: `local` or `user@host`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct HostName(pub String);

/// The release that is rolled out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseId {
    /// The digest of the manifest that holds the two others.
    pub release: Digest,
    /// The artifact's digest.
    pub artifact: Digest,
    /// The config's digest.
    pub config: Digest,
    /// How people call it: a short commit.
    pub revision: String,
}

/// The release that serves now, and its arm.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stable {
    /// Its release digest.
    pub release: Digest,
    /// The arm it runs in, the same on every host.
    pub arm: Arm,
}

/// `[gates.load]`, as far as the rollout needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadPlan {
    /// How often an invalid run is repeated before the release is held.
    pub retries: u32,
}

/// `[gates.bake]`, as far as the rollout needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BakePlan {
    /// How long the candidate is watched before it gets any request of a user.
    pub duration: Millis,
}

/// `[gates.canary]`, as far as the rollout needs it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CanaryPlan {
    /// The shares and the least time at each, rising. The step at 100 % is the promotion itself;
    /// its time is added to nothing: the longer of it and `settle` counts.
    pub steps: Vec<CanaryStep>,
    /// When a step is not proven good after this time, the stable arm gets everything back.
    pub deadline: Millis,
    /// After this time without a valid judgement the canary lease is not renewed.
    pub invalid_grace: Millis,
    /// How long the old arm is kept warm at full share.
    pub settle: Millis,
}

/// The gates that are configured. The static gate always is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GatePlan {
    /// The load gate.
    pub load: Option<LoadPlan>,
    /// The bake.
    pub bake: Option<BakePlan>,
    /// The canary.
    pub canary: Option<CanaryPlan>,
    /// How long the old arm stays warm at full share where there is no canary gate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settle: Option<Millis>,
}

/// A stage of the main line after which `--until` can stop. The order is the line's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// The static checks.
    Check,
    /// The build.
    Build,
    /// The release lies on every host.
    Stage,
    /// The load gate.
    Load,
    /// The bake.
    Bake,
    /// Every canary step below 100 %.
    Canary,
}

/// What was handed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// A source tree: the build gives the release its digests.
    Source,
    /// A built artifact: the build step must find exactly this release.
    Artifact,
}

/// What the journal knows of this release from earlier.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Past {
    /// Nothing bad.
    Clean,
    /// It was taken back earlier for its own fault; it is refused.
    MarkedBad,
    /// It was taken back earlier, and a person ships it all the same.
    Overridden {
        /// Who.
        actor: String,
        /// Why.
        reason: String,
    },
}

/// What a rollout is asked to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// The service.
    pub service: ServiceName,
    /// The release, as far as it is known: handed in as source, its digests are the submission's
    /// own until the build has given it its true ones.
    pub release: ReleaseId,
    /// What was handed in.
    pub origin: Origin,
    /// The hosts, in name order.
    pub hosts: Vec<HostName>,
    /// The arm the release goes into, the same on every host.
    pub candidate: Arm,
    /// What serves now; nothing for a service's first release.
    pub stable: Option<Stable>,
    /// The gates.
    pub gates: GatePlan,
    /// Where to stop and wait for a person.
    pub until: Option<Stage>,
    /// What is known of the release from earlier.
    pub past: Past,
}

/// Why a spec cannot be rolled out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SpecFault {
    /// It names no host.
    NoHosts,
    /// The hosts are not in name order, or one stands twice.
    HostOrder,
    /// The candidate's arm is the stable one's.
    ArmTaken,
    /// The canary's shares do not rise, or one of them is 0.
    Steps,
}

/// The time the old arm stays warm when nothing declares another.
pub const SETTLE: Millis = Millis::from_secs(60);

impl Spec {
    /// Returns the first fault, if the spec has one.
    pub fn fault(&self) -> Option<SpecFault> {
        if self.hosts.is_empty() {
            return Some(SpecFault::NoHosts);
        }
        if !self.hosts.is_sorted_by(|a, b| a < b) {
            return Some(SpecFault::HostOrder);
        }
        if self.stable.as_ref().is_some_and(|stable| stable.arm == self.candidate) {
            return Some(SpecFault::ArmTaken);
        }
        let shares: Vec<SharePercent> = self.all_steps().iter().map(|step| step.share).collect();
        let rising = shares.is_sorted_by(|a, b| a < b);
        if !rising || shares.first() == Some(&SharePercent::NONE) {
            return Some(SpecFault::Steps);
        }
        None
    }

    /// Returns whether this is the service's first release, from which there is no way back.
    pub fn is_first(&self) -> bool {
        self.stable.is_none()
    }

    /// Returns the canary's steps below 100 %.
    pub fn steps(&self) -> &[CanaryStep] {
        let steps = self.all_steps();
        match steps.split_last() {
            Some((last, rest)) if last.share == SharePercent::ALL => rest,
            _ => steps,
        }
    }

    /// Returns how long the old arm stays warm at full share.
    pub fn settle(&self) -> Millis {
        let full = self.all_steps().iter().find(|step| step.share == SharePercent::ALL);
        let hold = full.map_or(Millis::ZERO, |step| step.hold);
        let own = self.gates.settle.unwrap_or(SETTLE);
        self.gates.canary.as_ref().map_or(own, |canary| canary.settle).max(hold)
    }

    /// Returns the host on which the candidate stands the load gate and the bake.
    pub fn proving_host(&self) -> Option<&HostName> {
        self.hosts.first()
    }

    fn all_steps(&self) -> &[CanaryStep] {
        self.gates.canary.as_ref().map_or(&[], |canary| &canary.steps)
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
