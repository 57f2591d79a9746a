//! A panel host under systemd with guanka on it, reached over SSH from its administrator's side of
//! a wire: from the first contact to releases, power cuts and hostile programs. The cases build on
//! one another; each says what it shows.

mod arms;
mod ground;
mod life;
mod logs;
mod reach;
mod sandbox;

use std::path::Path;
use std::time::Instant;

use anyhow::{Result, bail};

use ground::{Ground, NoMachine};

/// A case: what it shows, and the trial.
type Case = (&'static str, fn(&mut Ground) -> Result<()>);

/// Runs every case where a machine can be booted; else says why not. For the suite, which must run
/// for everybody.
pub(crate) fn run_where_possible(repository: &Path) -> Result<()> {
    match run(repository) {
        Err(error) if error.is::<NoMachine>() => {
            println!("lab host: skipped: {error:#}");
            Ok(())
        }
        other => other,
    }
}

/// Runs every case; the last line says how many held.
pub(crate) fn run(repository: &Path) -> Result<()> {
    let all = [reach::CASES, life::CASES, logs::CASES, arms::CASES, sandbox::CASES];
    run_cases(repository, "host", &all.concat())
}

/// Runs the cases about logs, with as few before them as they need.
pub(crate) fn run_logs(repository: &Path) -> Result<()> {
    run_cases(repository, "logs", &[reach::NEEDED, life::NEEDED, logs::CASES].concat())
}

fn run_cases(repository: &Path, part: &str, cases: &[Case]) -> Result<()> {
    let mut ground = Ground::open(repository)?;
    let mut held = 0;
    for (name, case) in cases {
        let since = Instant::now();
        let outcome = case(&mut ground);
        let secs = since.elapsed().as_secs_f64();
        match outcome {
            Ok(()) => {
                held += 1;
                println!("✓ {secs:5.1}s  {name}");
            }
            // What comes after builds on it.
            Err(error) => {
                println!("✗ {secs:5.1}s  {name}: {error:#}");
                break;
            }
        }
    }
    let count = cases.len();
    println!("lab {part}: {held} of {count} cases hold");
    if held < count { bail!("{} cases do not hold", count - held) } else { Ok(()) }
}
