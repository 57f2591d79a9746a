//! What a program file says about itself: its ELF header and Go's build information.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Fact;

/// A program file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Binary {
    /// The file.
    pub file: String,
    /// Its size.
    pub size_bytes: u64,
    /// Its ELF header; `Unknown` when it is no ELF file.
    pub elf: Fact<Elf>,
    /// Go's build information; `Unknown` when there is none.
    pub build: Fact<BuildInfo>,
}

/// What the loader will look at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Elf {
    /// `e_machine`: 62 is x86-64, 183 aarch64, 40 arm, 3 i386.
    pub machine: u16,
    /// 64 or 32.
    pub bits: u8,
    /// `PT_INTERP`: the loader it needs, if it needs one.
    pub interpreter: Option<String>,
    /// `DT_NEEDED`: the libraries it needs.
    pub needed: Vec<String>,
    /// The highest `GLIBC_x` version it asks for.
    pub glibc: Option<String>,
    /// It is an executable or a position-independent one.
    pub is_executable: bool,
}

/// Go's own record in the binary.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildInfo {
    /// The toolchain, say `go1.26.8`.
    pub go: String,
    /// The main package's path.
    pub path: String,
    /// The main module's path and version.
    pub module: Option<(String, String)>,
    /// Each dependency's path and version (the replacement's, where there is one).
    pub deps: Vec<(String, String)>,
    /// The `build` lines: `CGO_ENABLED`, `GOARCH`, `-trimpath`, `vcs.revision` …
    pub settings: BTreeMap<String, String>,
}

/// Returns the GOARCH name of an ELF machine, when guanka builds for it.
pub const fn machine_arch(machine: u16) -> Option<&'static str> {
    match machine {
        62 => Some("amd64"),
        183 => Some("arm64"),
        40 => Some("arm"),
        3 => Some("386"),
        _ => None,
    }
}
