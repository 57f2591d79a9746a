//! What a start script says about the program it starts: whether the shell makes way for it.

use serde::{Deserialize, Serialize};

use super::{Fact, Span};

/// A shell script that Supervisor or systemd runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Script {
    /// The file, as the command names it.
    pub path: String,
    /// Its last command and whether that replaces the shell by `exec`; `Unknown` when the script
    /// could not be read.
    pub last: Fact<LastCommand>,
}

/// The command that keeps a script running.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastCommand {
    /// Where it stands.
    pub span: Span,
    /// It begins with `exec`: the program takes the shell's place and gets its signals.
    pub is_exec: bool,
}
