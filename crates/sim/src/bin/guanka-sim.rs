//! `guanka-sim`: lives seeds of the simulated world and says whether a rule was broken.
//!
//! `--seeds N [--from S]` lives N seeds, fresh ones unless S is given, and the kept ones;
//! `--plant NAME` lives them with one bug planted; `--planted` looks for every planted bug.

use std::io::Write as _;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use guanka_sim::campaign::{find, run, run_kept};
use guanka_sim::plant::Plant;

/// What was asked for.
struct Wish {
    seeds: u64,
    from: u64,
    plant: Option<Plant>,
    planted: bool,
}

fn main() -> ExitCode {
    let mut out = std::io::stdout().lock();
    let outcome = match wish(std::env::args().skip(1)) {
        Ok(wish) if wish.planted => planted(&wish, &mut out),
        Ok(wish) => seeds(&wish, &mut out),
        Err(problem) => writeln!(out, "{problem}").map(|()| 2),
    };
    ExitCode::from(outcome.unwrap_or(1))
}

fn wish(mut words: impl Iterator<Item = String>) -> Result<Wish, String> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    // A multiple of four keeps the calm seeds where they are.
    let fresh = (since.as_millis() as u64) & !3;
    let mut wish = Wish { seeds: 2_000, from: fresh, plant: None, planted: false };
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
        let number = |text: String| text.parse().map_err(|_| format!("{text} is not a number"));
        match word.as_str() {
            "--seeds" => wish.seeds = number(value()?)?,
            "--from" => wish.from = number(value()?)?,
            "--plant" => {
                let name = value()?;
                let plant = Plant::parse(&name).ok_or_else(|| format!("no bug called {name}"))?;
                wish.plant = Some(plant);
            }
            "--planted" => wish.planted = true,
            _ => {
                return Err(format!("{word}? known: --seeds N, --from S, --plant NAME, --planted"));
            }
        }
    }
    Ok(wish)
}

fn seeds(wish: &Wish, out: &mut impl std::io::Write) -> std::io::Result<u8> {
    let mut violations = 0;
    let kept = run_kept();
    let fresh = run(wish.from, wish.seeds, wish.plant);
    for (seed, rule) in kept.violations.iter().chain(&fresh.violations) {
        writeln!(out, "seed {seed}: {rule}")?;
        violations += 1;
    }
    let ends: Vec<String> = fresh.ends.iter().map(|(end, n)| format!("{n} {end}")).collect();
    writeln!(out, "sim: from seed {}; {}", wish.from, ends.join(", "))?;
    writeln!(out, "sim: {} % of the good releases in rough seeds done", fresh.done_percent())?;
    writeln!(out, "sim: {} seeds, {} steps, {violations} violations", fresh.seeds, fresh.steps)?;
    Ok(u8::from(violations > 0))
}

fn planted(wish: &Wish, out: &mut impl std::io::Write) -> std::io::Result<u8> {
    let mut seen = 0;
    for plant in Plant::ALL {
        match find(plant, wish.from) {
            Some((after, rule)) => {
                writeln!(out, "{}: seed {}, {rule}", plant.name(), wish.from + after)?;
                seen += 1;
            }
            None => writeln!(out, "{}: not seen, from seed {}", plant.name(), wish.from)?,
        }
    }
    let all = Plant::ALL.len();
    writeln!(out, "sim: {seen} of {all} planted bugs seen")?;
    Ok(u8::from(seen < all))
}
