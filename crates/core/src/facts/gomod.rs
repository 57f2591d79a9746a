//! What `go.mod` says.

use serde::{Deserialize, Serialize};

use super::{Fact, Problem, Span};

/// One `go.mod`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GoMod {
    /// The file.
    pub file: String,
    /// The module path.
    pub module: Fact<String>,
    /// The `go` line, say `1.22` or `1.22.5`.
    pub go: Fact<String>,
    /// The `toolchain` line.
    pub toolchain: Option<Fact<String>>,
    /// Each required module.
    pub requires: Vec<Require>,
    /// What was not understood.
    pub problems: Vec<Problem>,
}

/// One required module.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Require {
    /// The module path.
    pub path: String,
    /// The version.
    pub version: String,
    /// Marked `// indirect`.
    pub is_indirect: bool,
    /// Where it stands.
    pub span: Span,
}
