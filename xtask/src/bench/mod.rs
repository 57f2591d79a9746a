//! The benches. Each holds a figure against its limit, prints it on its last line and fails when it
//! falls short; a failure repeats that line.

mod load;
mod releases;
mod start;

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::setup;

/// Runs a bench by its name.
pub(crate) fn run(root: &Path, name: &str, options: &[&str]) -> Result<()> {
    match (name, options) {
        ("load", []) => load::run(),
        ("prove", []) => of_crate(root, "guanka-core", "prove"),
        ("rotate", []) => {
            setup::ensure()?;
            of_crate(root, "guanka-world", "rotate")
        }
        ("start", []) => start::run(root),
        ("switch", []) => {
            setup::ensure()?;
            of_crate(root, "guanka-world", "switch")
        }
        ("releases", options) => match releases::Wish::read(options) {
            Some(wish) => releases::run(root, wish),
            None => bail!("usage: cargo xtask bench releases [--cycles N] [--gated N] [--keep]"),
        },
        _ => bail!("usage: cargo xtask bench switch|prove|load|releases|rotate|start"),
    }
}

/// Runs a crate's own bench; what it says is passed on as it comes.
fn of_crate(root: &Path, package: &str, name: &str) -> Result<()> {
    let mut cargo = Command::new("cargo");
    cargo.args(["bench", "--quiet", "--locked", "--package", package, "--bench", name]);
    let mut child =
        cargo.current_dir(root).stdout(Stdio::piped()).spawn().context("starting cargo")?;
    let output = child.stdout.take().context("the bench's output")?;
    let mut last = String::new();
    for line in BufReader::new(output).lines() {
        last = line.context("reading the bench's output")?;
        say(&last);
    }
    let status = child.wait().context("waiting for the bench")?;
    if !status.success() {
        bail!("falls short: {last}");
    }
    Ok(())
}

/// Prints a line; a closed pipe is the reader's choice.
fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}
