//! A panel host under systemd with guanka on it, reached over SSH from its administrator's side of
//! a wire: from the first contact to releases, power cuts and hostile programs. The cases build on
//! one another; each says what it shows.

mod adoption;
mod arms;
mod drift;
mod ground;
mod life;
mod logs;
mod newest;
mod plain;
mod programs;
mod pypi;
mod reach;
mod sandbox;
mod slow;

use std::path::Path;
use std::time::Instant;

use anyhow::{Result, bail};

pub(super) use pypi::run as run_pypi;

use crate::lab::machine::rootfs::Suite;
use ground::{Ground, NoMachine, Shape};

/// A case: what it shows, and the trial.
type Case = (&'static str, fn(&mut Ground) -> Result<()>);

/// Runs the cases of one life where a machine can be booted; else says why not. For the suite, which
/// must run for everybody and has no minutes for slow requests.
pub(crate) fn run_where_possible(repository: &Path) -> Result<()> {
    match life_of_a_host(repository, &[]) {
        Err(error) if error.is::<NoMachine>() => {
            println!("lab host: skipped: {error:#}");
            Ok(())
        }
        other => other,
    }
}

/// Runs every case; the last line says how many held.
pub(crate) fn run(repository: &Path) -> Result<()> {
    life_of_a_host(repository, slow::CASES)?;
    slow_under("supervisor", repository)
}

fn life_of_a_host(repository: &Path, slow: &[Case]) -> Result<()> {
    let shape = Shape { suite: Suite::Bookworm, manager: "systemd" };
    let mut ground = Ground::open(repository, shape)?;
    let cases: Vec<Case> =
        [reach::CASES, life::CASES, drift::CASES, arms::CASES, slow, sandbox::CASES].concat();
    try_all("lab host", &mut ground, &cases)
}

/// Runs the cases about slow requests alone, under both managers.
pub(crate) fn run_slow(repository: &Path) -> Result<()> {
    slow_under("systemd", repository)?;
    slow_under("supervisor", repository)
}

fn slow_under(manager: &'static str, repository: &Path) -> Result<()> {
    let mut ground = Ground::open(repository, Shape { suite: Suite::Bookworm, manager })?;
    let cases: Vec<Case> = [&[ADD], slow::CASES].concat();
    try_all(&format!("lab host, slow requests, {manager}"), &mut ground, &cases)
}

/// Runs the cases about logs, with as few before them as they need.
pub(crate) fn run_logs(repository: &Path) -> Result<()> {
    let shape = Shape { suite: Suite::Bookworm, manager: "systemd" };
    let mut ground = Ground::open(repository, shape)?;
    try_all("lab logs", &mut ground, &[reach::NEEDED, life::NEEDED, logs::CASES].concat())
}

/// Adopts programs of a systemd machine over SSH and leaves again.
pub(crate) fn run_adoption(repository: &Path) -> Result<()> {
    let shape = Shape { suite: Suite::Bookworm, manager: "systemd" };
    let mut ground = Ground::open(repository, shape)?;
    try_all("lab adoption-ssh", &mut ground, &[reach::NEEDED, adoption::CASES].concat())
}

/// Runs every program that a host must live with, under systemd and under Supervisor.
pub(crate) fn run_programs(repository: &Path) -> Result<()> {
    for manager in ["systemd", "supervisor"] {
        let mut ground = Ground::open(repository, Shape { suite: Suite::Bookworm, manager })?;
        programs::prepare(&ground)?;
        let holds = ground.machine.enforce_limits()?;
        let mut cases: Vec<Case> = [&[ADD], programs::CASES].concat();
        if manager == "systemd" && holds {
            // Behind the program's first release.
            let at = cases.len().min(5);
            cases.splice(at..at, programs::SYSTEMD.iter().copied());
        } else if manager == "systemd" {
            println!("lab programs: the limits of groups are skipped: they do not hold here");
        }
        if manager == "systemd" {
            cases.extend_from_slice(programs::LAST);
        }
        try_all(&format!("lab programs, {manager}"), &mut ground, &cases)?;
    }
    Ok(())
}

/// Lives a service's life on the newest of everything that Debian has.
pub(crate) fn run_newest(repository: &Path) -> Result<()> {
    let shape = Shape { suite: Suite::Sid, manager: "systemd" };
    let mut ground = Ground::open(repository, shape)?;
    let cases: Vec<Case> = [newest::CASES, &[ADD], newest::LIFE, plain::CASES].concat();
    try_all("lab newest", &mut ground, &cases)
}

/// The first contact, which every life begins with.
const ADD: Case = ("guanka on the host", reach::added);

fn try_all(name: &str, ground: &mut Ground, cases: &[Case]) -> Result<()> {
    let mut held = 0;
    for (shows, case) in cases {
        let since = Instant::now();
        let outcome = case(ground);
        let secs = since.elapsed().as_secs_f64();
        match outcome {
            Ok(()) => {
                held += 1;
                println!("✓ {secs:5.1}s  {shows}");
            }
            // What comes after builds on it.
            Err(error) => {
                println!("✗ {secs:5.1}s  {shows}: {error:#}");
                break;
            }
        }
    }
    let count = cases.len();
    println!("{name}: {held} of {count} cases hold");
    if held < count { bail!("{} cases do not hold", count - held) } else { Ok(()) }
}
