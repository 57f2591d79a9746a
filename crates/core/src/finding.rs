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

impl Severity {
    /// Returns the letter of the fault table: C, H, M, L, I.
    pub const fn letter(self) -> char {
        match self {
            Self::Info => 'I',
            Self::Low => 'L',
            Self::Medium => 'M',
            Self::High => 'H',
            Self::Critical => 'C',
        }
    }

    /// Returns the word shown to people.
    pub const fn title(self) -> Text {
        match self {
            Self::Info => Text { zh: "提示", en: "info" },
            Self::Low => Text { zh: "低", en: "low" },
            Self::Medium => Text { zh: "中", en: "medium" },
            Self::High => Text { zh: "高", en: "high" },
            Self::Critical => Text { zh: "严重", en: "critical" },
        }
    }
}

impl Confidence {
    /// Returns the word shown to people.
    pub const fn title(self) -> Text {
        match self {
            Self::Guess => Text { zh: "猜测", en: "guess" },
            Self::Likely => Text { zh: "很可能", en: "likely" },
            Self::Certain => Text { zh: "确定", en: "certain" },
        }
    }
}

impl Exposure {
    /// Returns how far it reaches as a number: a larger one is worse. What is not known counts as
    /// public but filtered to a list.
    pub const fn rank(self) -> u8 {
        match self {
            Self::Loopback => 0,
            Self::GuardedProxy => 1,
            Self::Private => 2,
            Self::Filtered | Self::Unknown => 3,
            Self::Public => 4,
        }
    }

    /// Returns the words shown to people.
    pub const fn title(self) -> Text {
        match self {
            Self::Loopback => Text { zh: "仅本机", en: "this machine only" },
            Self::GuardedProxy => Text {
                zh: "经由带访问控制的 nginx",
                en: "through nginx with access control",
            },
            Self::Private => Text { zh: "内网", en: "a private network" },
            Self::Filtered => Text { zh: "公网,限名单", en: "public, filtered to a list" },
            Self::Public => Text { zh: "公网", en: "public" },
            Self::Unknown => Text {
                zh: "未知(按公网限名单处理)",
                en: "not known (taken as public, filtered)",
            },
        }
    }
}

impl FixKind {
    /// Returns the word shown to people.
    pub const fn title(self) -> Text {
        match self {
            Self::Safe => Text { zh: "安全", en: "safe" },
            Self::Risky => Text { zh: "有风险", en: "risky" },
            Self::DisplayOnly => Text { zh: "需人工决定", en: "a person decides" },
        }
    }
}

impl Evidence {
    /// Builds a piece of evidence.
    pub fn new(from: Provenance, says: Said) -> Self {
        Self { from, says }
    }

    /// Builds a piece of evidence that stands at a place in a text.
    pub fn at(span: &Span, says: Said) -> Self {
        Self { from: Provenance::Span(span.clone()), says }
    }
}

impl Finding {
    /// Adds a place that proves it.
    pub fn with(mut self, evidence: Evidence) -> Self {
        self.related.push(evidence);
        self
    }

    /// Sets how bad it is here.
    pub fn rated(mut self, severity: Severity) -> Self {
        self.severity = severity;
        self
    }

    /// Sets how sure it is.
    pub fn sure(mut self, confidence: Confidence) -> Self {
        self.confidence = confidence;
        self
    }

    /// Sets how far it can be reached.
    pub fn exposed(mut self, exposure: Exposure) -> Self {
        self.exposure = Some(exposure);
        self
    }

    /// Sets what to do, with the values seen here.
    pub fn advise(mut self, advice: Said) -> Self {
        self.advice = advice;
        self
    }

    /// Returns the place that the finding is about, as a person would write it: `main.go:29`.
    pub fn place(&self) -> String {
        self.primary.from.place()
    }

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
