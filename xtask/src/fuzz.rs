//! The fuzzer as a chore: builds it as fast as a release with its arithmetic checked, and hands its
//! words on. Failing tapes are left in `target/fuzz/failed.txt`. Its last line is this chore's.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// Runs the fuzzer: 10 million cases where nothing else is asked for.
pub(crate) fn run(repository: &Path, words: &[&str]) -> Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["run", "--quiet", "--locked", "--profile", "fuzz", "-p", "guanka-fuzz", "--"]);
    command.args(["--keep", "target/fuzz/failed.txt"]).args(words);
    let status = command.current_dir(repository).status().context("start guanka-fuzz")?;
    ensure!(status.success(), "guanka-fuzz {} ended with {status}", words.join(" "));
    Ok(())
}
