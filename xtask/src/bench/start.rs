//! How long guanka takes to start and how large it is: the binary that goes out, as `dist` makes
//! it. The time is from starting the process to having waited for its end; nothing is subtracted.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use super::say;
use crate::dist;

/// How often it is started.
const STARTS: usize = 50;
/// The median start must stay below this.
const LIMIT_MS: f64 = 15.0;
/// The binary must stay below this.
const LIMIT_MB: f64 = 20.0;

/// Builds the binary, measures both and fails at a limit.
pub(crate) fn run(root: &Path) -> Result<()> {
    let binary = dist::build(root)?;
    let mut times = (0..STARTS).map(|_| start_ms(&binary)).collect::<Result<Vec<f64>>>()?;
    times.sort_by(f64::total_cmp);
    let (median, size) = (times[STARTS / 2], fs::metadata(&binary)?.len() as f64 / 1e6);
    let load = fs::read_to_string("/proc/loadavg")?;
    say(&format!("start: {:.2} to {:.2} ms", times[0], times[STARTS - 1]));
    say(&format!("start: load average {}", load.trim()));
    let figures = format!(
        "start: median {median:.2} ms of {STARTS} starts (limit {LIMIT_MS} ms), one static file of \
         {size:.1} MB (limit {LIMIT_MB} MB)"
    );
    say(&figures);
    ensure!(median < LIMIT_MS && size < LIMIT_MB, "falls short: {figures}");
    Ok(())
}

/// Starts the binary once, until it has ended.
fn start_ms(binary: &Path) -> Result<f64> {
    let mut command = Command::new(binary);
    command.arg("--version").stdin(Stdio::null()).stdout(Stdio::null());
    let before = Instant::now();
    let status = command.status().context("starting guanka")?;
    let took = before.elapsed();
    ensure!(status.success(), "guanka --version ended with {status}");
    Ok(took.as_secs_f64() * 1000.0)
}
