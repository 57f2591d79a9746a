//! Taking an arm out of traffic that no longer answers its probes: a dead, a frozen, a failing one.
//! The decision is core's; here are its hands.

use std::path::PathBuf;

use guanka_core::name::ServiceName;
use guanka_core::rollout::eject::{self, Ejected, Move, all_to};
use guanka_world::hostroot::HostRoot;
use guanka_world::{files, proxy};

use super::service::Service;
use super::share;
use super::stores::{Agent, lock};

/// Looks at the arms and moves requests where one has stopped answering.
pub(super) fn tick(agent: &Agent, service: &Service) {
    // An effect under way changes share and arms itself.
    let Ok(_doing) = service.doing.try_lock() else { return };
    let Some(green) = proxy::share::read(&agent.host, &service.name) else { return };
    let canary = lock(&service.canary).clone();
    let leased = canary.filter(|c| !c.stored.has_expired).map(|c| c.stored.arm);
    let known = ejected(&agent.host, &service.name);
    let health = |arm| lock(&service.health).of(arm);
    match eject::decide(green, health, known, leased) {
        None => {}
        // Its driver hears of it as of a lease that ran out, and takes the release back.
        Some(Move::Eject(ejected)) if leased == Some(ejected.arm) => {
            share::give_up(agent, service, "candidate-not-answering");
        }
        Some(Move::Eject(ejected)) => eject(agent, service, ejected),
        Some(Move::GiveBack(ejected)) => give_back(agent, service, ejected),
        Some(Move::Forget) => {
            let _ = files::remove(&path(&agent.host, &service.name));
        }
    }
}

fn eject(agent: &Agent, service: &Service, ejected: Ejected) {
    // The note of what was is on disk first: a kill in between leaves a note that the share
    // contradicts, which is forgotten, and never a share that nobody gives back.
    let green = all_to(ejected.arm.other());
    let moved = keep(&agent.host, &service.name, &ejected).is_ok()
        && proxy::share::swap(&agent.host, &service.name, green).is_ok();
    if moved {
        let detail = serde_json::json!({ "arm": ejected.arm, "green": green });
        agent.note(&service.name, "arm-out-of-traffic", detail);
    }
}

fn give_back(agent: &Agent, service: &Service, ejected: Ejected) {
    if proxy::share::swap(&agent.host, &service.name, ejected.before).is_err() {
        return;
    }
    let _ = files::remove(&path(&agent.host, &service.name));
    let detail = serde_json::json!({ "arm": ejected.arm, "green": ejected.before });
    agent.note(&service.name, "arm-back-in-traffic", detail);
}

/// Returns the arm that is out of traffic, if one is.
pub(super) fn ejected(host: &HostRoot, service: &ServiceName) -> Option<Ejected> {
    let text = files::read_text(&path(host, service), 1 << 16).ok()?;
    serde_json::from_str(&text).ok()
}

fn keep(host: &HostRoot, service: &ServiceName, ejected: &Ejected) -> std::io::Result<()> {
    files::replace(&path(host, service), &serde_json::to_vec(ejected)?, 0o600)
}

fn path(host: &HostRoot, service: &ServiceName) -> PathBuf {
    host.service_state(service).join("ejected.json")
}
