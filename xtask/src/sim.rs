//! The simulator as a chore: fresh seeds first, then every planted bug. Its own last line is this
//! chore's last line.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// How many fresh seeds are lived.
const SEEDS: &str = "2000";

/// Lives the seeds, then looks for the planted bugs.
pub(crate) fn run(repository: &Path) -> Result<()> {
    for words in [&["--seeds", SEEDS][..], &["--planted"]] {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        command.args(["run", "--quiet", "--locked", "-p", "guanka-sim", "--"]).args(words);
        let status = command.current_dir(repository).status().context("start guanka-sim")?;
        ensure!(status.success(), "guanka-sim {} ended with {status}", words.join(" "));
    }
    Ok(())
}
