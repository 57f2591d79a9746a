//! What both processes of the agent cost while two services serve and nobody asks: processor time
//! over a minute, and memory, with pages that both share counted once.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::ground::{Ground, Service};
use super::{Part, say};

/// Nothing but the defaults and no gates.
const PLAIN: &str = "[gates.settle]\nfor = \"0s\"\n";
/// What was just shipped is cleared up by then.
const CALM: Duration = Duration::from_secs(10);
const SPAN: Duration = Duration::from_secs(60);
/// A hundredth of a second: what the kernel counts processor time in.
const TICKS: f64 = 100.0;
const CPU_LIMIT: f64 = 0.5;
const MEMORY_LIMIT: f64 = 30.0;

/// Ships two services and looks at the agent for a minute.
pub(super) fn idle(ground: &Ground) -> Result<Part> {
    say("releases: two idle services");
    for service in Service::BOTH {
        ground.release(service, "idle", PLAIN)?;
        let shipped = ground.ship(service)?;
        ensure!(shipped.exit == 0, "a service is not there: {}", shipped.report);
    }
    thread::sleep(CALM);
    let agent = agent(ground.root())?;
    let ticks = || agent.iter().map(|process| ticks(process)).sum::<Result<u64>>();
    let (before, began) = (ticks()?, Instant::now());
    thread::sleep(SPAN);
    let used = (ticks()? - before) as f64 / TICKS;
    let cpu = used / began.elapsed().as_secs_f64() * 100.0;
    let memory = agent.iter().map(|process| memory_mb(process)).sum::<Result<f64>>()?;
    let mut lacks = Vec::new();
    if cpu >= CPU_LIMIT {
        lacks.push(format!("idle: the agent takes {cpu:.2} % of a processor (limit {CPU_LIMIT})"));
    }
    if memory >= MEMORY_LIMIT {
        lacks.push(format!("idle: the agent has {memory:.1} MB (limit {MEMORY_LIMIT})"));
    }
    say(&format!(
        "releases: idle agent {cpu:.2} % of a processor (limit {CPU_LIMIT}), {memory:.1} MB (limit \
         {MEMORY_LIMIT})"
    ));
    Ok(Part { name: "idle", figures: json!({"cpu_percent": cpu, "memory_mb": memory}), lacks })
}

/// Finds the root's agent; returns the folders of its two processes in /proc.
fn agent(root: &Path) -> Result<Vec<PathBuf>> {
    let own = root.as_os_str().as_encoded_bytes();
    let is_agent = |folder: &Path| {
        let line = fs::read(folder.join("cmdline")).unwrap_or_default();
        let words: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
        words.first().is_some_and(|program| program.ends_with(b"/guanka"))
            && words.contains(&b"agent".as_slice())
            && words.contains(&own)
    };
    let folders = fs::read_dir("/proc").context("read /proc")?.flatten().map(|entry| entry.path());
    let found: Vec<PathBuf> = folders.filter(|folder| is_agent(folder)).collect();
    ensure!(found.len() == 2, "{} processes of the agent run, where 2 should", found.len());
    Ok(found)
}

/// Returns the processor time of all its threads.
fn ticks(agent: &Path) -> Result<u64> {
    let stat = fs::read_to_string(agent.join("stat")).context("read the agent's times")?;
    let (_, fields) = stat.rsplit_once(')').context("the agent's times")?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let time = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok());
    time(11).zip(time(12)).map(|(user, system)| user + system).context("the agent's times")
}

/// Returns a process's memory; a page that several processes share counts as a part for each.
fn memory_mb(agent: &Path) -> Result<f64> {
    let rollup = fs::read_to_string(agent.join("smaps_rollup"));
    let rollup = rollup.context("read the agent's memory")?;
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    Ok(kib.context("the agent's memory")? * 1024.0 / 1e6)
}
