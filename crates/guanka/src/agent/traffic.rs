//! Users' traffic: the access log followed into windows, log position and counts in one
//! transaction, and an empty window for each ten seconds in which the log was readable and nobody
//! came.

use std::collections::BTreeMap;

use guanka_core::signals::window::{WINDOW, Window};
use guanka_parse::accesslog;
use guanka_world::clock;
use guanka_world::ports::ArmPorts;
use guanka_world::signals::follow::{Follower, Start};
use guanka_world::store::metrics::Source;

use super::service::{Followed, Service, Settings};
use super::stores::{Agent, lock};

/// A line may be this late in the log and still belong to its window: nginx writes when a request
/// ends, and a log is read twice a second.
const LATE_MS: u64 = 2_000;

/// Reads what is new in the log and counts it.
pub(super) fn tick(
    agent: &Agent,
    service: &Service,
    settings: &Settings,
    ports: ArmPorts,
) -> Result<(), String> {
    let mut log = lock(&service.log);
    if log.follower.is_none() {
        let path = lock(&service.place).access_log.clone();
        let path = path.ok_or("the service has no access log")?;
        let committed = agent.metrics().positions(&service.name).map_err(|e| e.to_string())?;
        let follower = Follower::new(&path, &committed, Start::AtBeginning);
        log.follower = Some(follower.map_err(|error| error.to_string())?);
    }
    let counting = settings.counting(ports);
    loop {
        let now = clock::now_ms();
        let Followed { follower, ours, broken, .. } = &mut *log;
        let Some(follower) = follower else { return Ok(()) };
        let batch = follower.poll().map_err(|error| error.to_string())?;
        let mut windows = BTreeMap::new();
        *broken += batch.broken;
        for line in &batch.lines {
            match accesslog::read_line(line) {
                Some(line) => counting.count(&line, ours, now, &mut windows),
                None => *broken += 1,
            }
        }
        let mut windows: Vec<Window> = windows.into_values().collect();
        let (read_to, filled_to) = (log.read_to_ms, log.filled_to_ms);
        if !batch.is_full {
            windows.extend(empty_windows(read_to.max(filled_to), now));
        }
        if !windows.is_empty() || !batch.lines.is_empty() {
            agent
                .metrics()
                .add(&service.name, Source::Live, &windows, &batch.positions, now)
                .map_err(|error| error.to_string())?;
        }
        if let Some(follower) = &mut log.follower {
            follower.commit(&batch);
        }
        if !batch.is_full {
            log.read_to_ms = now.saturating_sub(LATE_MS);
            log.filled_to_ms = now - now % WINDOW.0;
            return Ok(());
        }
    }
}

/// Returns an empty window for each ten seconds that ended since the log was read to its end last.
/// A time in which nobody followed gets none: it is uncovered.
fn empty_windows(since_ms: u64, now: u64) -> Vec<Window> {
    let end = now - now % WINDOW.0;
    let first = since_ms - since_ms % WINDOW.0;
    if since_ms == 0 || end.saturating_sub(first) > 6 * WINDOW.0 {
        return Vec::new();
    }
    (first..end)
        .step_by(WINDOW.0 as usize)
        .map(|start_ms| Window { start_ms, ..Window::default() })
        .collect()
}
