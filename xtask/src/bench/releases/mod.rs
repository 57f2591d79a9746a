//! Releases under users of seven kinds, on a host root with a real nginx and Supervisor: cycles of
//! starting, switching and stopping with the gates off, fully gated releases, an arm killed and one
//! frozen, and what the agent costs when nothing happens. Fails when a request is lost that nothing
//! had to lose.

mod arms;
mod clients;
mod ground;
mod idle;
mod seen;
mod ships;

use std::path::Path;

use anyhow::Result;
use serde_json::{Value, json};

use super::say;
use crate::Told;
use crate::demo::ground::Afterwards;
use crate::dist;
use crate::setup;
use ground::Ground;

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wish {
    /// Cycles with the gates off: 1,000 are the figure, and take some hours.
    cycles: u32,
    /// Gated releases in a row.
    gated: u32,
    afterwards: Afterwards,
}

/// What one part showed.
struct Part {
    name: &'static str,
    figures: Value,
    /// What falls short of the figure.
    lacks: Vec<String>,
}

impl Wish {
    /// Reads the words behind `bench releases`.
    pub(crate) fn read(words: &[&str]) -> Option<Self> {
        let mut wish = Self { cycles: 200, gated: 20, afterwards: Afterwards::Remove };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            match *word {
                "--cycles" => wish.cycles = words.next()?.parse().ok()?,
                "--gated" => wish.gated = words.next()?.parse().ok()?,
                "--keep" => wish.afterwards = Afterwards::Keep,
                _ => return None,
            }
        }
        Some(wish)
    }
}

/// Runs every part; the last line but one is JSON, the last the figure.
pub(crate) fn run(repository: &Path, wish: Wish) -> Result<()> {
    let tools = setup::ensure()?;
    setup::ensure_programs(&[("openssl", "openssl")])?;
    // What goes out, and not what this machine's C library would make of it.
    let program = dist::build(repository)?;
    let mut ground = Ground::open(&tools, program, wish.afterwards)?;
    let mut parts = Vec::new();
    let shown = every_part(&mut ground, wish, &mut parts);
    ground.close()?;
    shown?;
    let figures: serde_json::Map<String, Value> =
        parts.iter().map(|part| (part.name.to_owned(), part.figures.clone())).collect();
    let lacks: Vec<&String> = parts.iter().flat_map(|part| &part.lacks).collect();
    say(&json!({"schema": 1, "bench": "releases", "parts": figures, "lacks": lacks}).to_string());
    for lack in &lacks {
        say(&format!("releases: {lack}"));
    }
    let of = |name: &str, key: &str| figures.get(name).and_then(|part| part[key].as_u64());
    let sum = |key| of("cycles", key).unwrap_or(0) + of("gated", key).unwrap_or(0);
    say(&format!(
        "releases: {} cycles and {} gated releases, {} of {} requests failed (limit 0); {} figures \
         missed",
        wish.cycles,
        wish.gated,
        sum("failed"),
        sum("requests"),
        lacks.len()
    ));
    if lacks.is_empty() { Ok(()) } else { Err(Told.into()) }
}

fn every_part(ground: &mut Ground, wish: Wish, parts: &mut Vec<Part>) -> Result<()> {
    ships::first(ground)?;
    if wish.cycles > 0 {
        parts.push(ships::cycles(ground, wish.cycles)?);
    }
    if wish.gated > 0 {
        parts.push(ships::gated(ground, wish.gated)?);
    }
    parts.push(arms::killed(ground)?);
    parts.push(arms::frozen(ground)?);
    parts.push(idle::idle(ground)?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Afterwards, Wish};

    #[test]
    fn the_words_behind_the_bench_are_read_and_others_refused() {
        let usual = Wish { cycles: 200, gated: 20, afterwards: Afterwards::Remove };
        assert_eq!(Wish::read(&[]), Some(usual));
        let asked = Wish::read(&["--cycles", "1000", "--gated", "0"]);
        assert_eq!(asked, Some(Wish { cycles: 1000, gated: 0, ..usual }));
        for wrong in [&["--cycles"][..], &["--gated", "x"], &["--fast"]] {
            assert_eq!(Wish::read(wrong), None, "{wrong:?}");
        }
    }
}
