//! What people call a source tree, and the machine that would run what is built from it.

use std::path::Path;
use std::process::Command;

use guanka_core::quantity::Millis;

use crate::process;

/// How long git may take to say where a tree stands.
const GIT_LIMIT: Millis = Millis::from_secs(10);

/// Returns the short commit of a source tree, with `+` behind it where files have changed since;
/// nothing where the tree is no repository or git is missing.
pub fn revision(source: &Path) -> Option<String> {
    let ask = |arguments: &[&str]| {
        let mut git = Command::new("git");
        git.args(arguments).current_dir(source);
        let output = process::run(&mut git, GIT_LIMIT).ok()?;
        output.is_success().then(|| output.stdout.trim().to_owned())
    };
    let short = ask(&["rev-parse", "--short=10", "--verify", "HEAD"])?;
    let is_hex = !short.is_empty() && short.bytes().all(|b| b.is_ascii_hexdigit());
    let is_clean = ask(&["status", "--porcelain", "--", "."])?.is_empty();
    is_hex.then(|| if is_clean { short } else { format!("{short}+") })
}

/// Returns this machine in Go's words.
pub fn host_arch() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
