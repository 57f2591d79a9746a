//! What the machine itself says: its kind, its panel, who listens, which Go programs run, what lies
//! below the web roots.

use serde::{Deserialize, Serialize};

use super::{Fact, Span};

/// One host, seen through its root folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// The root that was looked at, `/` or a folder.
    pub root: String,
    /// The machine in Go's words: `amd64`, `arm64`.
    pub arch: Fact<String>,
    /// The panel, if one was found.
    pub panel: Option<Panel>,
    /// Each listening TCP socket; `Unknown` where /proc does not show this root's processes.
    pub listeners: Fact<Vec<Listener>>,
    /// Each running Go program.
    pub programs: Vec<RunningProgram>,
    /// Each folder that nginx serves files from, with what stands out below it.
    pub web_roots: Vec<WebRoot>,
}

/// A control panel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Panel {
    /// `baota` or `aapanel`.
    pub kind: String,
    /// The version, `11.7.0`.
    pub version: Fact<String>,
    /// The panel's sites.
    pub sites: Vec<PanelSite>,
}

/// A site as the panel's own database names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PanelSite {
    /// Its name, which need not be a domain.
    pub name: String,
    /// Its path: a folder, or the binary of a Go project.
    pub path: String,
    /// `PHP`, `Go`, `proxy`, `html` …
    pub kind: String,
}

/// A listening TCP socket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listener {
    /// The address, `127.0.0.1`, `0.0.0.0`, `::`.
    pub address: String,
    /// The port.
    pub port: u16,
    /// The process, when it could be told.
    pub pid: Option<u32>,
    /// Its program file.
    pub program: Option<String>,
}

/// A running Go program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunningProgram {
    /// The process.
    pub pid: u32,
    /// Its program file.
    pub program: String,
    /// Its arguments, secrets blanked out.
    pub argv: Vec<String>,
    /// Its user's name or number.
    pub user: String,
    /// Its user's number.
    pub uid: u32,
    /// Who keeps it: `supervisor`, `systemd`, `panel go project`, `guanka`, `container`; nobody:
    /// `nohup`, or `started by bash`.
    pub kept_by: String,
    /// The ports it listens on.
    pub ports: Vec<u16>,
    /// Its Go version and module, when build information could be read.
    pub go: Option<String>,
}

/// A folder that nginx serves files from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebRoot {
    /// The folder.
    pub path: String,
    /// The `root` or `alias` that names it.
    pub span: Option<Span>,
    /// Files below it that should not be there. The search is bounded; `is_complete` says so.
    pub suspects: Vec<Suspect>,
    /// Everything below the folder was looked at.
    pub is_complete: bool,
}

/// A file below a web root that should not be there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suspect {
    /// The file.
    pub path: String,
    /// What it is.
    pub kind: SuspectKind,
    /// Its permission bits.
    pub mode: u32,
}

/// What a suspect file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SuspectKind {
    /// An ELF program.
    Program,
    /// Go source, `go.mod`, `.git`.
    Source,
    /// A key, a certificate's key, `.env`, a configuration file with a password in its name.
    Secret,
}
