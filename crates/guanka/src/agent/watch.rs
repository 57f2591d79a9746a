//! The worker's own clock: the log, the probes, the bake's traffic. It has no orders; it keeps what
//! was ordered.

use std::sync::Arc;
use std::thread;

use guanka_core::quantity::Millis;
use guanka_world::clock;

use super::stores::Agent;
use super::{bake, health, liveness, traffic};

/// How often the log is read.
const EVERY: Millis = Millis(500);

/// How often probes that are due are looked for.
const PROBES: Millis = Millis(50);

/// How often it is looked whether an arm is to be asked for life.
const LIFE: Millis = Millis(500);

/// How long 10 s windows are kept beyond the longest gate.
const KEPT_MS: u64 = 10 * 86_400_000;

/// Starts the threads.
pub(super) fn start(agent: &Arc<Agent>) {
    let watched = Arc::clone(agent);
    thread::spawn(move || {
        loop {
            for service in watched.all() {
                bake::tick(&watched, &service);
                let Some(settings) = service.settings() else { continue };
                let Some(allotted) = service.ports() else { continue };
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
                if let Some(allotted) = service.ports() {
                    health::tick(&probed, &service, &settings, allotted);
                }
            }
            clock::pause(PROBES);
        }
    });
    let lives = Arc::clone(agent);
    thread::spawn(move || {
        loop {
            for service in lives.all() {
                let Some(settings) = service.settings() else { continue };
                if let Some(allotted) = service.ports() {
                    liveness::tick(&lives, &service, &settings, allotted);
                }
            }
            clock::pause(LIFE);
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
