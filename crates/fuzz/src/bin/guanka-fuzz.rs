//! `guanka-fuzz`: runs cases over all targets and says what failed, each failure made small.
//!
//! `[--cases N] [--seed S] [--threads N] [--keep FILE] [TARGET…]`; the kept tapes come first.

use std::io::Write as _;
use std::process::ExitCode;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use guanka_fuzz::campaign::{self, Failure, Outcome, Plan};
use guanka_fuzz::kept;
use guanka_fuzz::target;

/// What was asked for.
struct Wish {
    plan: Plan,
    /// Where failures are written down.
    keep: Option<String>,
}

fn main() -> ExitCode {
    // A panic is a case's failure and told as one, with its tape.
    std::panic::set_hook(Box::new(|_| ()));
    let mut out = std::io::stdout();
    let code = match wish(std::env::args().skip(1)) {
        Ok(wish) => run(&wish, &mut out),
        Err(problem) => writeln!(out, "{problem}").map(|()| 2),
    };
    ExitCode::from(code.unwrap_or(1))
}

fn wish(mut words: impl Iterator<Item = String>) -> Result<Wish, String> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get());
    let all = target::all();
    let seed = since.as_millis() as u64;
    let mut plan = Plan { targets: Vec::new(), cases: 10_000_000, seed, threads };
    let mut keep = None;
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
        let number =
            |text: String| text.parse::<u64>().map_err(|_| format!("{text} is not a number"));
        match word.as_str() {
            "--cases" => plan.cases = number(value()?)?,
            "--seed" => plan.seed = number(value()?)?,
            "--threads" => plan.threads = number(value()?)? as usize,
            "--keep" => keep = Some(value()?),
            name => match all.iter().find(|target| target.name == name) {
                Some(found) => plan.targets.push(*found),
                None => {
                    let names: Vec<&str> = all.iter().map(|target| target.name).collect();
                    let options = "--cases N, --seed S, --threads N, --keep FILE";
                    return Err(format!("{name}? known: {options}, {}", names.join(", ")));
                }
            },
        }
    }
    if plan.targets.is_empty() {
        plan.targets = all;
    }
    Ok(Wish { plan, keep })
}

fn run(wish: &Wish, out: &mut impl std::io::Write) -> std::io::Result<u8> {
    let plan = &wish.plan;
    writeln!(out, "fuzz: seed {}, {} cases on {} threads", plan.seed, plan.cases, plan.threads)?;
    let mut failures = match old(plan) {
        Ok(failures) => failures,
        Err(problem) => return writeln!(out, "{problem}").map(|()| 1),
    };
    let began = Instant::now();
    let outcome = campaign::run(plan, &mut |done| {
        let secs = began.elapsed().as_secs_f64();
        // Progress is a courtesy; a closed pipe ends the run at its last line.
        let _ = writeln!(out, "  {done:>10} cases, {:>8.0}/s", done as f64 / secs);
    });
    let secs = began.elapsed().as_secs_f64();
    table(&outcome, out)?;
    failures.extend(outcome.failures.iter().cloned());
    let lines: Vec<String> =
        failures.iter().map(|f| kept::line(f.target, &f.tape, &f.what)).collect();
    for line in &lines {
        writeln!(out, "✗ {line}")?;
    }
    if let (Some(path), false) = (&wish.keep, lines.is_empty()) {
        std::fs::write(path, format!("{}\n", lines.join("\n")))?;
        writeln!(out, "fuzz: the failing tapes are in {path}")?;
    }
    let (cases, rate) = (outcome.cases(), outcome.cases() as f64 / secs);
    let bad = outcome.tallies.iter().map(|t| t.failed).sum::<u64>() + failures.len() as u64;
    writeln!(
        out,
        "fuzz: {cases} cases over {} targets in {secs:.0} s, {rate:.0}/s, {} faults",
        plan.targets.len(),
        failures.len()
    )?;
    Ok(u8::from(bad > 0))
}

/// Runs the kept tapes of the plan's targets.
fn old(plan: &Plan) -> Result<Vec<Failure>, String> {
    let mut failures = Vec::new();
    for kept in kept::read(kept::LIST)? {
        let Some(target) = plan.targets.iter().find(|t| t.name == kept.target) else { continue };
        if let Err(what) = campaign::live(target, &kept.tape) {
            failures.push(Failure { target: target.name, tape: kept.tape, what });
        }
    }
    Ok(failures)
}

fn table(outcome: &Outcome, out: &mut impl std::io::Write) -> std::io::Result<()> {
    let names = ["target", "whole", "refused", "failed", "µs/case"];
    let [a, b, c, d, e] = names;
    writeln!(out, "{a:<16} {b:>9} {c:>9} {d:>7} {e:>8}")?;
    for tally in &outcome.tallies {
        let cases = (tally.whole + tally.refused + tally.failed).max(1);
        let micros = tally.took.as_secs_f64() * 1e6 / cases as f64;
        let (whole, refused, failed) = (tally.whole, tally.refused, tally.failed);
        writeln!(out, "{:<16} {whole:>9} {refused:>9} {failed:>7} {micros:>8.1}", tally.target)?;
    }
    Ok(())
}
