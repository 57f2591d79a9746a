//! `cargo xtask test`: every stage of the whole suite, each timed, all of them even when one fails.
//! The last line is `N passed, M failed`: the tests that cargo ran count one each, every other
//! stage counts as one.

mod count;
mod stages;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::{Told, process};
use count::Count;
use stages::{STAGES, Stage, Work};

/// The longest one stage may take: a first build of everything on one slow processor.
const LIMIT: Duration = Duration::from_secs(3600);

/// How a stage went.
struct Done {
    stage: Stage,
    count: Count,
    took: Duration,
}

/// Runs the suite.
pub(crate) fn run(root: &Path) -> Result<()> {
    let mut done = Vec::new();
    for (at, stage) in STAGES.iter().enumerate() {
        println!("\n== {}/{}: {} ==", at + 1, STAGES.len(), stage.name);
        let began = Instant::now();
        let count = perform(root, stage).unwrap_or_else(|error| {
            println!("{}: {error:#}", stage.name);
            Count::one(false)
        });
        done.push(Done { stage: *stage, count, took: began.elapsed() });
    }
    close(&done)
}

/// Performs a stage; an error is one failure.
fn perform(root: &Path, stage: &Stage) -> Result<Count> {
    match stage.work {
        Work::Own(work) => work(root).map(|()| Count::one(true)),
        Work::Cargo(arguments) => {
            let mut child = Guarded(cargo(root, arguments).spawn().context("start cargo")?);
            child.ends_well()?;
            Ok(Count::one(true))
        }
        Work::Tests(arguments) => tests(root, arguments),
    }
}

/// Runs cargo's tests, hands their output on and counts them.
fn tests(root: &Path, arguments: &[&str]) -> Result<Count> {
    let mut command = cargo(root, arguments);
    let mut child = Guarded(command.stdout(Stdio::piped()).spawn().context("start cargo")?);
    let stdout = child.0.stdout.take().context("cargo's output")?;
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    let end = Instant::now() + LIMIT;
    let mut count = Count::default();
    while let Ok(line) = receiver.recv_timeout(end.saturating_duration_since(Instant::now())) {
        println!("{line}");
        count.add(Count::of_line(&line).unwrap_or_default());
    }
    let ended = child.ends_well();
    if ended.is_err() && count.failed == 0 {
        // It did not build, or a test program broke off before it could count.
        count.failed = 1;
    }
    if let Err(error) = ended {
        println!("{error:#}");
    }
    ensure!(count.passed + count.failed > 0, "no test was run");
    Ok(count)
}

fn cargo(root: &Path, arguments: &[&str]) -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command.args(arguments).current_dir(root).stdin(Stdio::null());
    command
}

/// A child that is ended whatever happens.
struct Guarded(Child);

impl Guarded {
    fn ends_well(&mut self) -> Result<()> {
        let status = process::wait_for("cargo", LIMIT, || self.0.try_wait().transpose())?;
        let status = status.context("wait for cargo")?;
        ensure!(status.success(), "cargo ended with {status}");
        Ok(())
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Shows the table and says how it all went.
fn close(done: &[Done]) -> Result<()> {
    println!("\n{:<12} {:>8} {:>8} {:>9}", "stage", "passed", "failed", "seconds");
    let mut sum = Count::default();
    for Done { stage, count, took } in done {
        let Count { passed, failed } = *count;
        println!("{:<12} {passed:>8} {failed:>8} {:>9.1}", stage.name, took.as_secs_f64());
        sum.add(*count);
    }
    println!("{} passed, {} failed", sum.passed, sum.failed);
    if sum.failed > 0 { Err(Told.into()) } else { Ok(()) }
}
