//! What the process was started with that matters to a build, read once. A build's own environment
//! is made from a short list of it: a stale GOROOT, a stray GOFLAGS or a CGO_ENABLED from a shell's
//! profile must not reach the compiler.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What goes on to the go command: where it may fetch from, where it caches, how it authenticates.
const KEPT: &[&str] = &[
    "HOME",
    "XDG_CONFIG_HOME",
    "XDG_CACHE_HOME",
    "TMPDIR",
    "NETRC",
    "SSH_AUTH_SOCK",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "ALL_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "all_proxy",
    "GOENV",
    "GOPATH",
    "GOCACHE",
    "GOMODCACHE",
    "GOPROXY",
    "GOPRIVATE",
    "GONOPROXY",
    "GONOSUMDB",
    "GOSUMDB",
    "GOINSECURE",
    "GOVCS",
    "GOAUTH",
];

/// The part of the process's environment that matters to a build.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// The folders on PATH, absolute ones only.
    pub path: Vec<PathBuf>,
    /// HOME.
    pub home: Option<PathBuf>,
    /// GOROOT: a place to look for a toolchain, never handed on.
    pub goroot: Option<PathBuf>,
    /// What is handed on.
    pub kept: BTreeMap<String, OsString>,
}

impl Surroundings {
    /// Reads the process's own environment.
    pub fn of_process() -> Self {
        let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let path = variable("PATH").unwrap_or_default();
        Self {
            path: std::env::split_paths(&path).filter(|dir| dir.is_absolute()).collect(),
            home: variable("HOME").map(PathBuf::from),
            goroot: variable("GOROOT").map(PathBuf::from),
            kept: KEPT
                .iter()
                .filter_map(|name| Some(((*name).to_owned(), variable(name)?)))
                .collect(),
        }
    }

    /// Returns the folder of the first program of a name on PATH.
    pub(super) fn folder_of(&self, program: &str) -> Option<&Path> {
        self.path.iter().map(PathBuf::as_path).find(|dir| dir.join(program).is_file())
    }

    /// Returns a command with only the kept variables, the same language and the same time zone
    /// everywhere, and no toolchain switched or downloaded behind guanka's back.
    pub(super) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .envs(&self.kept)
            .env("GOTOOLCHAIN", "local")
            .env("TZ", "UTC")
            .env("LC_ALL", "C");
        command
    }
}
