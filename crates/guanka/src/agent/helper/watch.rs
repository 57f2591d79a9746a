//! The helper's own clock: leases that run out, logs that have grown, a host that was changed.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::thread;

use guanka_core::quantity::Millis;
use guanka_world::clock;

use super::keeping::Helper;
use super::{reconcile, rotation, share, wired};

/// How often leases are looked at: a canary's ends within its own length plus little.
const LEASES: Millis = Millis(500);
/// How often pieces of nginx configuration are compared with what was written.
const PIECES: Millis = Millis::from_secs(2);
/// How often the host is compared with what was ordered, and the sizes of logs are looked at.
const HOST: Millis = Millis::from_secs(10);

/// Starts the threads.
pub(super) fn start(helper: &Arc<Helper>) {
    let leased = Arc::clone(helper);
    thread::spawn(move || {
        loop {
            for service in leased.all() {
                share::expire(&leased.host, &service);
            }
            clock::pause(LEASES);
        }
    });
    let laid = Arc::clone(helper);
    thread::spawn(move || {
        loop {
            for service in laid.all() {
                wired::tick(&laid.host, &service);
            }
            clock::pause(PIECES);
        }
    });
    let kept = Arc::clone(helper);
    thread::spawn(move || {
        let mut noted = BTreeSet::new();
        loop {
            for service in kept.all() {
                rotation::tick(&kept.host, &service, &mut noted);
                reconcile::tick(&kept.host, &service);
                if service.is_removed(&kept.host) {
                    kept.forget(&service.name);
                }
            }
            clock::pause(HOST);
        }
    });
}
