//! How the program is kept: by which manager, as whom, within which limits, and when it counts as
//! hung.

use serde::{Deserialize, Serialize};

use crate::quantity::{Bytes, CpuPercent, Millis};

/// `[process]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// What keeps the program running.
    pub manager: Manager,
    /// How long the program may take to stop.
    pub stop_grace: Millis,
    /// The memory limit.
    pub memory: Option<Bytes>,
    /// The user; `None` is `gk_<app>_<env>`.
    pub user: Option<String>,
    /// What came later. Left out of the text where it is as it always was, so that a release from
    /// before keeps its name.
    #[serde(default, skip_serializing_if = "Limits::is_default")]
    pub limits: Limits,
    /// When a program that runs and does not answer is started anew.
    #[serde(default, skip_serializing_if = "Liveness::is_default")]
    pub liveness: Liveness,
}

/// The keys of `[process]` beside its manager, user, memory and time to stop.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// The processor time it may use.
    pub cpu: Option<CpuPercent>,
    /// The files it may have open.
    pub files: u32,
    /// Whether it tells systemd itself when it is ready.
    pub notify: Notify,
    /// Whether it may listen on ports below 1024.
    pub low_ports: bool,
    /// The names of the secrets it is handed, each a file of the host's administrator.
    pub credentials: Vec<String>,
}

impl Limits {
    /// Open files where nothing is declared: two for each proxied connection, far above nginx's own
    /// 1024 or 4096.
    pub const FILES: u32 = 65_536;

    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            cpu: None,
            files: Self::FILES,
            notify: Notify::Auto,
            low_ports: false,
            credentials: Vec::new(),
        }
    }
}

/// Whether a program tells systemd itself when it is ready (`READY=1`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Notify {
    /// What the program holds decides.
    Auto,
    /// It does.
    Yes,
    /// It does not.
    No,
}

/// `[liveness]`: when a program that runs and does not answer is started anew. Any HTTP answer is
/// life, whatever its status: a program that says 503 is not hung.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Liveness {
    /// Whether it is asked at all.
    pub is_on: bool,
    /// The path; `None` is the probe's.
    pub path: Option<String>,
    /// The time between two questions.
    pub every: Millis,
    /// Questions in a row without an answer.
    pub fails: u32,
    /// The time one answer may take.
    pub timeout: Millis,
    /// Nothing is asked for so long after a start.
    pub after: Millis,
    /// The most restarts within the time below; then a person has to look.
    pub restarts: u32,
    /// The time that restarts are counted in.
    pub within: Millis,
}

impl Liveness {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl Default for Liveness {
    fn default() -> Self {
        Self {
            is_on: true,
            path: None,
            every: Millis::from_secs(10),
            fails: 3,
            timeout: Millis::from_secs(5),
            after: Millis::from_secs(60),
            restarts: 3,
            within: Millis::from_secs(600),
        }
    }
}

/// What keeps a program running.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Manager {
    /// The host's choice.
    Auto,
    /// systemd units.
    Systemd,
    /// Supervisor programs.
    Supervisor,
}
