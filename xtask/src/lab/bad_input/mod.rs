//! Bad input on a host that serves: every case must end in one clear error with the right exit
//! code, leave the host as it was, and the old release must go on answering.

mod config;
mod disk;
mod exits;
pub(super) mod ground;
mod host;
mod panel;
pub(super) mod program;
pub(super) mod snapshot;
mod source;
mod words;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::setup;
use ground::Ground;

/// The longest the whole part may take after its build.
const LIMIT: Duration = Duration::from_secs(180);

/// How a case went when it did not fail.
pub(crate) enum Outcome {
    /// Everything was as it must be.
    Clear,
    /// It could not be tried here, for this reason.
    Skipped(String),
}

/// A case: what is wrong, and the trial.
type Case = (&'static str, fn(&mut Ground) -> Result<Outcome>);

/// Runs every case; the last line says how many ended clearly.
pub(crate) fn run(repository: &Path) -> Result<()> {
    let tools = setup::ensure()?;
    let guanka = build(repository)?;
    let began = Instant::now();
    let mut ground = Ground::open(repository, &tools, guanka)?;
    let cases: Vec<Case> = [
        exits::FIRST,
        config::CASES,
        words::CASES,
        source::CASES,
        host::CASES,
        disk::CASES,
        panel::CASES,
        exits::CASES,
    ]
    .concat();
    let (mut clear, mut skipped) = (0, 0);
    for (name, case) in &cases {
        let since = Instant::now();
        let outcome = case(&mut ground);
        let secs = since.elapsed().as_secs_f64();
        match outcome {
            Ok(Outcome::Clear) => {
                clear += 1;
                println!("✓ {secs:5.1}s  {name}");
            }
            Ok(Outcome::Skipped(why)) => {
                skipped += 1;
                println!("- {secs:5.1}s  {name}: skipped, {why}");
            }
            Err(error) => println!("✗ {secs:5.1}s  {name}: {error:#}"),
        }
        // Each case begins with the same declaration.
        ground.restore()?;
    }
    drop(ground);
    let (took, tried) = (began.elapsed(), cases.len() - skipped);
    if skipped > 0 {
        println!("skipped: {skipped}");
    }
    println!("lab bad-input: {clear} of {tried} cases end clearly");
    ensure!(took <= LIMIT, "it took {} s, more than {} s", took.as_secs(), LIMIT.as_secs());
    if clear < tried { bail!("{} cases do not end clearly", tried - clear) } else { Ok(()) }
}

/// Builds guanka; returns where it lies.
pub(crate) fn build(repository: &Path) -> Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "--quiet", "--locked", "-p", "guanka"]).current_dir(repository);
    let status = command.status().context("start cargo")?;
    ensure!(status.success(), "guanka does not build");
    let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    Ok(repository.join(target).join("debug/guanka"))
}
