//! Rotates logs under writers that go on, and counts every line at its readers: 10,000 times by
//! guanka's own rename under a real nginx, 1,000 times in place under a program that never reopens,
//! and 1,000 times by each of the panel's two cutters. What a cutter itself loses on disk, which no
//! reader can see, is told apart.

mod cutters;
mod host;
mod load;
mod readers;

use std::error::Error;
use std::fs;
use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use guanka_core::facts::declared::{LogPlace, Logs};
use guanka_core::quantity::{Bytes, Millis};
use guanka_world::clock;
use guanka_world::rotate::{self, Outcome, Turn};

use crate::host::Host;
use crate::load::{Load, Numbers};
use crate::readers::{Agent, Follow, Reader};

/// What may go wrong while measuring.
type Fallible<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// guanka's own rotations by rename.
const OWN: u32 = 10_000;
/// guanka's own rotations in place, and the cuts of each of the panel's cutters.
const OTHERS: u32 = 1_000;
/// How long anything here may take.
const LIMIT: Millis = Millis::from_secs(20);
/// The most lines a program here writes.
const LINES_MAX: u32 = 4_000_000;

/// What one kind of rotation showed.
struct Shown {
    sentence: String,
    wrong: u64,
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let done = match words.as_slice() {
        [] => bench(OWN, OTHERS),
        [own, others] => match (own.parse(), others.parse()) {
            (Ok(own), Ok(others)) => bench(own, others),
            _ => Err("usage: rotate [OWN OTHERS]".into()),
        },
        _ => Err("usage: rotate [OWN OTHERS]".into()),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            say(&format!("rotate: not measured: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Measures, prints all figures and returns whether nothing was lost or doubled.
fn bench(own: u32, others: u32) -> Fallible<bool> {
    let cores = std::thread::available_parallelism()?;
    say(&format!("rotate: {cores} cores, load average {}", average()?));
    let mut wrong = 0;
    let mut show = |shown: Shown| {
        say(&format!("rotate: {}", shown.sentence));
        wrong += shown.wrong;
    };
    show(by_rename(own)?);
    show(in_place(others)?);
    show(cutters::late_reload(others)?);
    show(cutters::copy_and_truncate(others)?);
    say(&format!(
        "rotate: {wrong} lines lost or doubled by guanka over {own} rotations by rename, {others} \
         in place and {others} of each panel cutter (limit 0)"
    ));
    Ok(wrong == 0)
}

/// Rotates nginx's access log as the agent does, while the agent's follower, thrown away and begun
/// anew now and then, and `guanka logs` both read it.
fn by_rename(count: u32) -> Fallible<Shown> {
    let host = Host::start()?;
    let load = Load::start(host.address, 2)?;
    let agent = Reader::start(Agent::restarted(&host.log)?, &load.numbers);
    let follow = Reader::start(Follow::new(&host.log), &load.numbers);
    let since = Instant::now();
    for _ in 0..count {
        due(&host, 1, &[&agent.polls, &follow.polls])?;
        let turn = Turn { log: &host.log, logs: &logs(1), now_ms: clock::now_ms() };
        let rotated = rotate::by_rename(&turn, &mut || host.reopen())?;
        if rotated != Outcome::Rotated {
            return Err("a log that was due was not rotated".into());
        }
    }
    let secs = since.elapsed().as_secs_f64();
    let numbers = load.stop()?;
    let (agent, follow) = (agent.stop(&numbers)?, follow.stop(&numbers)?);
    let owner = host.owner()?;
    Ok(Shown {
        sentence: format!(
            "own, by rename under nginx: {count} rotations in {secs:.0} s, {} requests answered; \
             agent: {agent}; logs -f: {follow}; owner and mode of the log: {owner}",
            numbers.answered(),
        ),
        wrong: agent.wrong() + follow.wrong(),
    })
}

/// Rotates a program's output in place while the program writes and `guanka logs` reads.
fn in_place(count: u32) -> Fallible<Shown> {
    let folder = tempfile::tempdir_in(host::base())?;
    let log = folder.path().join("blue.log");
    let numbers = Arc::new(Numbers::new());
    let program = load::Program::start(&log, &numbers)?;
    let follow = Reader::start(Follow::new(&log), &numbers);
    let since = Instant::now();
    let mut done = 0;
    while done < count {
        // Far faster than its rotation a log would only grow.
        program.may_write(64 << 10);
        readers::wait_for_polls(&[&follow.polls])?;
        let turn = Turn { log: &log, logs: &logs(8 << 10), now_ms: clock::now_ms() };
        done += u32::from(rotate::in_place(&turn)? == Outcome::Rotated);
        if since.elapsed().as_secs() > 600 {
            return Err("the program does not write".into());
        }
    }
    let secs = since.elapsed().as_secs_f64();
    program.stop()?;
    let counted = follow.stop(&numbers)?;
    Ok(Shown {
        sentence: format!(
            "own, in place under a program: {count} rotations in {secs:.0} s, {} lines written; \
             logs -f: {counted}",
            numbers.answered(),
        ),
        wrong: counted.wrong(),
    })
}

/// Waits until the log holds so many bytes and each reader has looked since the last rotation.
fn due(host: &Host, least: u64, polls: &[&Arc<readers::Polls>]) -> Fallible<()> {
    readers::wait_for_polls(polls)?;
    let holds = || fs::metadata(&host.log).is_ok_and(|found| found.len() >= least).then_some(());
    clock::wait_for(LIMIT, Millis(1), holds).ok_or_else(|| "nginx writes no log".into())
}

fn logs(rotate: u64) -> Logs {
    let (budget, place) = (Bytes(1 << 40), LogPlace::File);
    Logs { rotate: Bytes(rotate), every: None, keep: 7, budget, place }
}

fn average() -> Fallible<String> {
    Ok(fs::read_to_string("/proc/loadavg")?.trim().to_owned())
}

/// Prints a line; a closed pipe is the reader's choice.
fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}
