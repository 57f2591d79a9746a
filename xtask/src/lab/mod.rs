//! The lab: parts that put guanka on a real host root and try on it what a test beside the code
//! cannot: real daemons, real processes, real mistakes.

mod bad_input;
mod example;
mod host;
mod machine;
mod panel;
mod serve;

use std::path::Path;

use anyhow::{Result, bail};

/// A part: its name on the command line, and what runs it.
type Part = (&'static str, fn(&Path) -> Result<()>);

/// Every part of the lab.
const PARTS: &[Part] = &[
    ("bad-input", bad_input::run),
    ("host", host::run),
    ("logs", host::run_logs),
    ("slow", host::run_slow),
    ("panel", panel::run),
    ("adoption", panel::run_kills),
    ("adoption-ssh", host::run_adoption),
    ("serve", serve::run),
    ("programs", host::run_programs),
    ("newest", host::run_newest),
    ("pypi", host::run_pypi),
];

pub(crate) use host::run_where_possible as host_where_possible;
pub(crate) use panel::run_short as panel_short;

/// Runs one part by its name.
pub(crate) fn run(repository: &Path, name: &str) -> Result<()> {
    match PARTS.iter().find(|(known, _)| *known == name) {
        Some((_, part)) => part(repository),
        None => {
            let names: Vec<&str> = PARTS.iter().map(|(name, _)| *name).collect();
            bail!("the lab has no part {name:?}; it has: {}", names.join(", "))
        }
    }
}
