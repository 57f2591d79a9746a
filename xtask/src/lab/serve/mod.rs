//! The controller on a host root with users: releases handed over and followed, the controller
//! asked to end, killed and started again, people who go between. Nobody of the users may fail.

mod cases;
mod office;

use std::path::Path;
use std::time::Instant;

use anyhow::{Result, bail, ensure};

use crate::setup;
use office::Office;

/// A case: what it shows, and the trial.
type Case = (&'static str, fn(&mut Office) -> Result<()>);

/// Runs every case; the last line says how many held.
pub(crate) fn run(repository: &Path) -> Result<()> {
    let tools = setup::ensure()?;
    let guanka = super::bad_input::build(repository)?;
    let mut office = Office::open(repository, &tools, guanka)?;
    let mut held = 0;
    for (name, case) in cases::CASES {
        let since = Instant::now();
        let outcome = case(&mut office).and_then(|()| office.is_tidy());
        let secs = since.elapsed().as_secs_f64();
        match outcome {
            Ok(()) => {
                held += 1;
                println!("✓ {secs:5.1}s  {name}");
            }
            // What comes after builds on it.
            Err(error) => {
                println!("✗ {secs:5.1}s  {name}: {error:#}");
                println!("{}", office.controller_said());
                break;
            }
        }
    }
    let (sent, failed, first) = office.users();
    println!("users: {sent} requests, {failed} failed{}", first.unwrap_or_default());
    let count = cases::CASES.len();
    println!("lab serve: {held} of {count} cases hold");
    ensure!(failed == 0 && sent > 0, "users failed");
    if held < count { bail!("{} cases do not hold", count - held) } else { Ok(()) }
}
