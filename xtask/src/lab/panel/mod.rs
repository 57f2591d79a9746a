//! Beside the panel: what the panel does to its sites, and guanka's traffic lives through or is put
//! back; running programs adopted and given back; places where guanka writes and where it does not.

mod adoption;
mod edits;
mod ground;
mod kills;
mod mending;
mod places;
mod strike;
mod survival;
pub(super) mod visitors;
mod way_back;

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::lab::bad_input;
use crate::setup::{self, Tools};
use ground::Ground;

/// How a case went when it did not fail.
enum Outcome {
    /// Everything was as it must be.
    Clear,
    /// It could not be tried here, for this reason.
    Skipped(String),
}

/// A case: what happens, and the trial.
type Case = (&'static str, fn(&mut Ground) -> Result<Outcome>);

/// What the cases have come to.
#[derive(Default)]
struct Score {
    clear: usize,
    failed: usize,
    skipped: usize,
}

/// Runs every case; the last line says how many went as they must.
pub(crate) fn run(repository: &Path) -> Result<()> {
    run_with(repository, adoption::CASES)
}

/// Goes back to adopted programs, and kills adoptions in the middle; minutes of it.
pub(crate) fn run_kills(repository: &Path) -> Result<()> {
    let tools = setup::ensure()?;
    let guanka = bad_input::build(repository)?;
    let mut score = Score::default();
    let cases = [way_back::CASES, kills::CASES].concat();
    score.each_alone((repository, &tools, &guanka), &cases, "k")?;
    score.conclude("lab adoption")
}

/// Runs every edit of the panel's and one adoption: each takes more than a minute.
pub(crate) fn run_short(repository: &Path) -> Result<()> {
    run_with(repository, &adoption::CASES[..1])
}

fn run_with(repository: &Path, adoptions: &[Case]) -> Result<()> {
    let tools = setup::ensure()?;
    let guanka = bad_input::build(repository)?;
    let mut score = Score::default();
    beside(repository, &tools, &guanka, &mut score)?;
    {
        let mut ground = Ground::open(repository, &tools, &guanka, "p")?;
        score.try_all(&mut ground, places::CASES);
    }
    score.each_alone((repository, &tools, &guanka), adoptions, "a")?;
    score.conclude("lab panel")
}

/// The cases of a service that is installed behind a Go project's site.
fn beside(repository: &Path, tools: &Tools, guanka: &Path, score: &mut Score) -> Result<()> {
    let mut ground = Ground::open(repository, tools, guanka, "b")?;
    ground.call(&["ship"])?.exits(0).context("the first release")?;
    ground.serves("1")?;
    score.try_all(&mut ground, survival::CASES);
    score.try_all(&mut ground, mending::CASES);
    Ok(())
}

impl Score {
    /// Tries each case on a host of its own.
    fn each_alone(
        &mut self,
        (repository, tools, guanka): (&Path, &Tools, &Path),
        cases: &[Case],
        name: &str,
    ) -> Result<()> {
        for (number, case) in cases.iter().enumerate() {
            let mut ground = Ground::open(repository, tools, guanka, &format!("{name}{number}"))?;
            self.try_all(&mut ground, std::slice::from_ref(case));
        }
        Ok(())
    }

    fn conclude(self, part: &str) -> Result<()> {
        let Self { clear, failed, skipped } = self;
        if skipped > 0 {
            println!("skipped: {skipped}");
        }
        println!("{part}: {clear} of {} cases as they must be", clear + failed);
        if failed > 0 { bail!("{failed} cases are not") } else { Ok(()) }
    }

    fn try_all(&mut self, ground: &mut Ground, cases: &[Case]) {
        for (name, case) in cases {
            let since = Instant::now();
            let outcome = case(ground);
            let secs = since.elapsed().as_secs_f64();
            match outcome {
                Ok(Outcome::Clear) => {
                    self.clear += 1;
                    println!("✓ {secs:5.1}s  {name}");
                }
                Ok(Outcome::Skipped(why)) => {
                    self.skipped += 1;
                    println!("- {secs:5.1}s  {name}: skipped, {why}");
                }
                Err(error) => {
                    self.failed += 1;
                    println!("✗ {secs:5.1}s  {name}: {error:#}");
                }
            }
        }
    }
}
