//! A finding: what a check found, with every place that proves it, how bad it is and what to do.

use serde::{Deserialize, Serialize};

use crate::facts::{Provenance, Span};
use crate::say::{Said, Text};

/// One of the seven checkpoints (七关); every check belongs to one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Checkpoint {
    /// 1: the Go toolchain.
    Toolchain,
    /// 2: the build and what lies where.
    Build,
    /// 3: limits, health, declarations.
    Runtime,
    /// 4: nginx and its time limits.
    Proxy,
    /// 5: signals, stop, users, managers.
    Process,
    /// 6: logs.
    Logs,
    /// 7: security and observability.
    Security,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// L.
    Low,
    /// M.
    Medium,
    /// H: blocks a release.
    High,
    /// C: blocks a release.
    Critical,
}

/// How sure a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Confidence {
    /// Never blocks.
    Guess,
    /// Very probably.
    Likely,
    /// All constants, or seen live.
    Certain,
}

/// How far the network can reach the thing, computed once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exposure {
    /// E0: loopback or a unix socket.
    Loopback,
    /// E1: through nginx with access control only.
    GuardedProxy,
    /// E2: a private network.
    Private,
    /// E3: public, filtered to a list.
    Filtered,
    /// E4: public.
    Public,
    /// E?: not known; treated as E3, and said.
    Unknown,
}

/// What can be done about a finding by machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FixKind {
    /// Cannot change behaviour except to cure the fault.
    Safe,
    /// Could break something; the text says why.
    Risky,
    /// A person must decide.
    DisplayOnly,
}

/// A place that proves a finding, with the value seen there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// Where.
    pub from: Provenance,
    /// What stands there and what it means, `IdleTimeout = 5s`.
    pub says: Said,
}

/// One fault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The check's code, `XX034`.
    pub code: String,
    /// The check's name, `keepalive-race`.
    pub name: String,
    /// The checkpoint.
    pub checkpoint: Checkpoint,
    /// How bad it is here.
    pub severity: Severity,
    /// How bad it is as a rule.
    pub base: Severity,
    /// How far it can be reached, where that matters.
    pub exposure: Option<Exposure>,
    /// How sure it is.
    pub confidence: Confidence,
    /// What is wrong here, in one sentence with the values.
    pub message: Said,
    /// The place it is about.
    pub primary: Evidence,
    /// The other places that prove it, in other files or layers.
    pub related: Vec<Evidence>,
    /// What to do, with the values.
    pub advice: Said,
    /// How far a machine may do it.
    pub fix_kind: FixKind,
    /// What stays the same when lines move: code, resource, normalised context.
    pub fingerprint: String,
}

impl Checkpoint {
    /// All seven, in order.
    pub const ALL: [Self; 7] = [
        Self::Toolchain,
        Self::Build,
        Self::Runtime,
        Self::Proxy,
        Self::Process,
        Self::Logs,
        Self::Security,
    ];

    /// Returns the checkpoint's name.
    pub const fn title(self) -> Text {
        match self {
            Self::Toolchain => Text { zh: "工具链", en: "toolchain" },
            Self::Build => Text { zh: "构建", en: "build" },
            Self::Runtime => Text { zh: "运行时", en: "runtime" },
            Self::Proxy => Text { zh: "代理", en: "proxy" },
            Self::Process => Text { zh: "进程", en: "process" },
            Self::Logs => Text { zh: "日志", en: "logs" },
            Self::Security => Text { zh: "安全与可观测", en: "security and observability" },
        }
    }
}

impl Finding {
    /// Returns whether it blocks a release: high or critical, and more than a guess.
    pub fn blocks(&self) -> bool {
        self.severity >= Severity::High && self.confidence >= Confidence::Likely
    }

    /// Returns the line the finding is about, if it is about one.
    pub fn span(&self) -> Option<&Span> {
        match &self.primary.from {
            Provenance::Span(span) => Some(span),
            _ => None,
        }
    }
}
