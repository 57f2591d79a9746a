//! A service on a host, as the agent tells of it.

use std::collections::BTreeMap;

use guanka_core::name::{Arm, Digest};
use guanka_core::quantity::SharePercent;
use guanka_core::say::Said;
use serde::{Deserialize, Serialize};

use crate::proxy::drift::{Drift, PutBack};

/// A service on a host, as the agent sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostView {
    /// The service is installed: nginx asks the share.
    pub is_installed: bool,
    /// Green's share, as nginx reads it.
    pub green: Option<SharePercent>,
    /// The arm that stays when no driver speaks.
    pub active: Option<Arm>,
    /// The arms.
    pub arms: BTreeMap<Arm, ArmView>,
    /// The arm whose requests the host has given to the other one, because it does not answer.
    pub ejected: Option<Arm>,
    /// The arm that gets no more than its gates give it, whatever becomes of the other one.
    #[serde(default)]
    pub candidate: Option<Arm>,
    /// Who holds the service's lease.
    pub lease: Option<LeaseView>,
    /// The canary's lease.
    pub canary: Option<CanaryView>,
    /// The highest epoch seen.
    pub epoch: u64,
    /// Where the site listens, `127.0.0.1:8080`.
    pub site: Option<String>,
    /// Lines of the access log that could not be understood.
    pub broken_lines: u64,
    /// In what the host differs from what was ordered.
    #[serde(default)]
    pub drift: Vec<Said>,
    /// What the host's logs lack: room, or a rotation that could not be done.
    #[serde(default)]
    pub troubles: Vec<Said>,
    /// What is not as it should be between nginx and the service.
    #[serde(default)]
    pub pieces: Option<Drift>,
    /// Pieces of nginx configuration that were put back last, since the agent was started.
    #[serde(default)]
    pub put_back: Option<PutBack>,
}

/// An arm.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArmView {
    /// The release it points to.
    pub release: Option<Digest>,
    /// Its port.
    pub port: u16,
    /// Its process.
    pub pid: Option<u32>,
    /// It answers its probes.
    pub is_ready: bool,
    /// It failed its last probes, as many as are declared. An agent that has just started knows of
    /// neither.
    pub is_failing: bool,
    /// It crashes again and again.
    pub is_crashing: bool,
    /// It runs and gives no sign of life.
    #[serde(default)]
    pub is_hung: bool,
    /// How often it was started anew for that, within the declared time.
    #[serde(default)]
    pub restarts: u32,
}

/// A service's lease.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseView {
    /// Who holds it.
    pub holder: String,
    /// When it ends by itself at the latest, in milliseconds from now.
    pub ends_in_ms: u64,
}

/// A canary's lease.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CanaryView {
    /// The number of the share command whose lease it is.
    pub seq: u64,
    /// The candidate's arm.
    pub arm: Arm,
    /// It ran out, and the agent sent everything to the stable arm.
    pub has_expired: bool,
}
