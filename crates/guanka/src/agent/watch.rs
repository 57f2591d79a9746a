//! The agent's own clock: leases that run out, the log, the probes, the bake's traffic. It has no
//! orders; it keeps what was ordered.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::thread;

use guanka_core::quantity::Millis;
use guanka_world::{clock, ports};

use super::stores::Agent;
use super::{bake, health, reconcile, rotation, share, traffic};

/// How often the agent looks: fast enough that a canary's lease ends within its own length plus
/// little, slow enough to cost nothing.
const EVERY: Millis = Millis(500);

/// How often probes that are due are looked for.
const PROBES: Millis = Millis(50);

/// How often the sizes of logs are looked at.
const SIZES: Millis = Millis::from_secs(10);

/// How often pieces of nginx configuration are compared with what was written.
const PIECES: Millis = Millis::from_secs(2);

/// How long 10 s windows are kept beyond the longest gate.
const KEPT_MS: u64 = 10 * 86_400_000;

/// Starts the threads.
pub(super) fn start(agent: &Arc<Agent>) {
    let watched = Arc::clone(agent);
    thread::spawn(move || {
        loop {
            for service in watched.all() {
                share::expire(&watched, &service);
                bake::tick(&watched, &service);
                let Some(settings) = service.settings() else { continue };
                let Ok(Some(allotted)) = ports::allotted(&watched.host, &service.name) else {
                    continue;
                };
                // A log that cannot be read leaves windows out, and the gate sees uncovered time.
                let _ = traffic::tick(&watched, &service, &settings, allotted);
            }
            clock::pause(EVERY);
        }
    });
    // Whether a probe is due is looked at far more often than the shortest interval.
    let probed = Arc::clone(agent);
    thread::spawn(move || {
        loop {
            for service in probed.all() {
                let Some(settings) = service.settings() else { continue };
                if let Ok(Some(allotted)) = ports::allotted(&probed.host, &service.name) {
                    health::tick(&probed, &service, &settings, allotted);
                }
            }
            clock::pause(PROBES);
        }
    });
    let wired = Arc::clone(agent);
    thread::spawn(move || {
        loop {
            for service in wired.all() {
                reconcile::tick(&wired, &service);
            }
            clock::pause(PIECES);
        }
    });
    let kept = Arc::clone(agent);
    thread::spawn(move || {
        let mut noted = BTreeSet::new();
        loop {
            for service in kept.all() {
                rotation::tick(&kept, &service, &mut noted);
            }
            clock::pause(SIZES);
        }
    });
    let pruned = Arc::clone(agent);
    thread::spawn(move || {
        loop {
            let now = clock::now_ms();
            for service in pruned.all() {
                let _ = pruned.metrics().prune(&service.name, now.saturating_sub(KEPT_MS), now);
            }
            clock::pause(Millis::from_secs(3600));
        }
    });
}
