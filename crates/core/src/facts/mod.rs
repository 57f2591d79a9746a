//! Facts: what guanka knows about a service and where it will live, each value with the place it
//! comes from. Plain data; parsers and collectors fill it in, checks judge it.

pub mod binary;
pub mod declared;
pub mod gomod;
pub mod gosource;
pub mod guard;
pub mod host;
pub mod nginx;
pub mod release;
pub mod script;
pub mod supervisor;
pub mod systemd;

use serde::{Deserialize, Serialize};

/// A stretch of one line of a file, with that line's text so that it can be shown without reading
/// the file again (it may lie on another host).
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Span {
    /// The file, as the user would name it.
    pub file: String,
    /// The line, from 1.
    pub line: u32,
    /// The first column, from 1, counted in characters.
    pub column: u32,
    /// The number of characters; at least 1.
    pub length: u32,
    /// The line's text, cut at 400 characters.
    pub excerpt: String,
}

/// Where a value was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Provenance {
    /// A place in a text file.
    Span(Span),
    /// What the software does when nothing is written.
    Default {
        /// The software and the version the row is for, say `nginx 1.22.1`.
        software: String,
        /// The setting's name.
        key: String,
    },
    /// A file or directory as a whole, or a file under /proc or /sys.
    Path(String),
    /// A place in a binary.
    Binary {
        /// The binary.
        file: String,
        /// The byte offset.
        offset: u64,
    },
    /// The output of a program.
    Command {
        /// Its argument list.
        argv: Vec<String>,
        /// Its exit status, if it ended by itself.
        status: Option<i32>,
    },
}

/// A value and its provenance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sourced<T> {
    /// The value.
    pub value: T,
    /// Where it comes from.
    pub from: Provenance,
}

/// Why a value is not known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The file may not be read.
    NotReadable(String),
    /// The thing does not exist.
    NotThere(String),
    /// The text could not be understood.
    NotParsed(Span),
    /// The value is made at run time: from the environment, a flag, a file, a call.
    NotConstant {
        /// What it comes from, say `$IDLE` or `cfg.Idle`.
        what: String,
        /// Where that stands.
        span: Span,
    },
    /// The host did not answer.
    NotReachable(String),
    /// A program is missing.
    ToolMissing(String),
    /// Nothing on the machine can tell, say a cloud's firewall.
    OutsideOurSight(String),
}

/// A value that is known, unknown with a reason, or told differently by two sources. No default
/// fills a gap silently.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fact<T> {
    /// One value.
    Known(Sourced<T>),
    /// No value, and why.
    Unknown(Reason),
    /// Two or more values.
    Conflict(Vec<Sourced<T>>),
}

/// A place in a text that a parser did not understand; it went on behind it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// Where.
    pub span: Span,
    /// What was wrong.
    pub what: crate::say::Said,
}

/// All that one run of the checks may look at. A part that was not collected is `None`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Facts {
    /// What `guanka.toml` declares for the service.
    pub declared: Option<declared::Declared>,
    /// The Go module's source.
    pub source: Option<gosource::GoSource>,
    /// `go.mod`.
    pub module: Option<gomod::GoMod>,
    /// The built or running binary.
    pub binary: Option<binary::Binary>,
    /// The nginx configuration, includes resolved.
    pub nginx: Option<nginx::Nginx>,
    /// The programs that Supervisor keeps.
    pub supervisor: Vec<supervisor::Program>,
    /// The systemd units that run something of the user's.
    pub units: Vec<systemd::Unit>,
    /// The scripts that a process manager starts a program through.
    pub scripts: Vec<script::Script>,
    /// The host itself.
    pub host: Option<host::Host>,
    /// What the parsers did not understand.
    pub problems: Vec<Problem>,
}

impl Facts {
    /// Takes over what was collected of a host, here or by its agent; what is known of the source
    /// stays.
    pub fn take_host(&mut self, host: Self) {
        self.nginx = host.nginx;
        self.supervisor = host.supervisor;
        self.units = host.units;
        self.scripts = host.scripts;
        self.host = host.host;
        self.problems.extend(host.problems);
    }
}

impl Provenance {
    /// Returns the place in words: `main.go:29`, a path, a command line, a default's row.
    pub fn place(&self) -> String {
        match self {
            Self::Span(span) => span.place(),
            Self::Default { software, key } => format!("{software}: {key}"),
            Self::Path(path) => path.clone(),
            Self::Binary { file, offset } => format!("{file}@{offset:#x}"),
            Self::Command { argv, .. } => argv.join(" "),
        }
    }
}

impl Span {
    /// Returns `file:line`.
    pub fn place(&self) -> String {
        format!("{}:{}", self.file, self.line)
    }
}

impl<T> Fact<T> {
    /// Builds a value read at a place in a text.
    pub fn at(value: T, span: Span) -> Self {
        Self::Known(Sourced { value, from: Provenance::Span(span) })
    }

    /// Builds a value that the software itself assumes.
    pub fn default_of(value: T, software: &str, key: &str) -> Self {
        Self::Known(Sourced {
            value,
            from: Provenance::Default { software: software.to_owned(), key: key.to_owned() },
        })
    }

    /// Returns the value if exactly one is known.
    pub fn known(&self) -> Option<&T> {
        match self {
            Self::Known(sourced) => Some(&sourced.value),
            Self::Unknown(_) | Self::Conflict(_) => None,
        }
    }

    /// Returns the place in a text where the value stands, if it stands in one.
    pub fn span(&self) -> Option<&Span> {
        match self {
            Self::Known(Sourced { from: Provenance::Span(span), .. })
            | Self::Unknown(Reason::NotConstant { span, .. } | Reason::NotParsed(span)) => {
                Some(span)
            }
            Self::Known(_) | Self::Unknown(_) | Self::Conflict(_) => None,
        }
    }

    /// Returns whether the value was written by somebody, not assumed by the software.
    pub fn is_written(&self) -> bool {
        matches!(self, Self::Known(Sourced { from: Provenance::Span(_), .. }))
    }
}
