//! What is told of a program that could be adopted: no value of its environment.

use guanka_core::say::Said;
use serde::{Deserialize, Serialize};

/// A program that runs and could be adopted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundView {
    /// Its process.
    pub pid: u32,
    /// Its program file.
    pub program: String,
    /// Its arguments, secrets blanked out.
    pub args: Vec<String>,
    /// The variable that tells it where to listen, as far as that can be seen.
    pub listen_env: Option<String>,
    /// That variable holds the port alone.
    pub is_port_only: bool,
    /// The variables that its releases are given too.
    pub carried: Vec<String>,
    /// Its working folder.
    pub folder: String,
    /// Its user.
    pub user: String,
    /// Its port.
    pub port: u16,
    /// Whoever keeps it.
    pub keeper: Said,
    /// Folders it writes to.
    pub data_dirs: Vec<String>,
}
