//! The share: set by one rename, proven through nginx, and taken back by the agent alone when the
//! canary's lease runs out. Core's one function turns the candidate's share into what lies on disk.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use guanka_core::name::{Arm, Digest, ServiceName};
use guanka_core::quantity::{Millis, SharePercent};
use guanka_core::rollout::effect::Hold;
use guanka_core::rollout::event::{Event, Fault};
use guanka_core::rollout::share::{of_candidate, on_disk};
use guanka_core::rollout::spec::HostName;
use guanka_core::say::Said;
use guanka_world::hostroot::HostRoot;
use guanka_world::prove::{self, Question};
use guanka_world::releases::Store;
use guanka_world::{files, ports, proxy};
use serde::{Deserialize, Serialize};

use super::service::Service;
use super::stores::{Agent, lock};
use crate::failure::because;

/// How long the proof through nginx may take: two requests and their log lines.
const PROOF_LIMIT: Millis = Millis::from_secs(5);

/// A canary's lease.
#[derive(Clone, Debug)]
pub(super) struct Canary {
    pub(super) stored: StoredCanary,
    renewed: Instant,
}

/// What of it survives a restart.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct StoredCanary {
    pub(super) arm: Arm,
    pub(super) seq: u64,
    pub(super) ttl: Millis,
    pub(super) has_expired: bool,
}

/// What a share command says.
pub(super) struct ShareCommand {
    pub(super) host: HostName,
    pub(super) seq: u64,
    pub(super) candidate: Arm,
    pub(super) share: SharePercent,
    pub(super) hold: Hold,
}

impl Canary {
    /// Reads the lease that an agent before this one kept. How long ago it was renewed is not
    /// known; it holds for its whole time once more and no longer.
    pub(super) fn load(host: &HostRoot, service: &ServiceName) -> Option<Self> {
        let text = files::read_text(&path(host, service), 1 << 16).ok()?;
        Some(Self { stored: serde_json::from_str(&text).ok()?, renewed: Instant::now() })
    }

    fn is_over(&self) -> bool {
        self.renewed.elapsed() >= Duration::from_millis(self.stored.ttl.0)
    }
}

/// Sets a share and proves it. On any doubt the share before is back.
pub(super) fn set(agent: &Agent, service: &Service, command: &ShareCommand) -> Event {
    let failed =
        |fault: Fault| Event::ShareFailed { host: command.host.clone(), seq: command.seq, fault };
    let Some(before) = proxy::share::read(&agent.host, &service.name) else {
        let why = Said::new("流量份额尚未安装", "the share has never been installed");
        return failed(Fault::Other(why));
    };
    let getting = if command.share == SharePercent::NONE {
        command.candidate.other()
    } else {
        command.candidate
    };
    if !super::arms::owns_its_port(agent, service, getting) {
        let fault = match command.share {
            SharePercent::NONE => Fault::StableNotReady,
            _ => Fault::NotReady,
        };
        return failed(fault);
    }
    // The lease is on disk before the share is: a kill in between leaves a lease without a canary,
    // which costs nothing, and never a canary without a lease.
    if let Err(error) = keep_lease(agent, service, command) {
        return failed(Fault::Other(because(&error)));
    }
    let green = on_disk(command.candidate, command.share);
    if let Err(error) = proxy::share::swap(&agent.host, &service.name, green) {
        return failed(Fault::Other(error.said()));
    }
    match prove(agent, service, green) {
        Ok(proven) => {
            if command.share == SharePercent::NONE {
                drop_lease(agent, service);
            }
            let serves = proven.get(&command.candidate).cloned();
            Event::ShareSet {
                host: command.host.clone(),
                seq: command.seq,
                share: command.share,
                proven: serves,
            }
        }
        Err(cause) => {
            // Going back to the stable arm stays in force even when it cannot be proven.
            if command.share != SharePercent::NONE {
                let _ = proxy::share::swap(&agent.host, &service.name, before);
            }
            agent.note(&service.name, "share-not-proven", serde_json::json!({ "cause": cause }));
            failed(Fault::NotProven)
        }
    }
}

/// Asks through nginx who answers; returns the release of each arm that did.
pub(super) fn prove(
    agent: &Agent,
    service: &Service,
    green: SharePercent,
) -> Result<BTreeMap<Arm, Digest>, String> {
    let settings = service.settings().ok_or("the service is not configured")?;
    let declared = &settings.declared;
    let allotted = ports::allotted(&agent.host, &service.name).map_err(|e| e.to_string())?;
    let allotted = allotted.ok_or("the service has no ports")?;
    let wiring = proxy::plan(&agent.host, &service.name, &declared.proxy, allotted)
        .map_err(|error| error.to_string())?;
    let store = Store::new(&agent.host, &service.name);
    let mut releases = BTreeMap::new();
    let mut programs = BTreeMap::new();
    for arm in [Arm::Blue, Arm::Green] {
        let Some(release) = store.arm_release(arm) else { continue };
        let Ok(manifest) = store.verify(&release) else { continue };
        let path = format!("bin/{}", manifest.program);
        if let Some(file) = manifest.files.iter().find(|file| file.path == path) {
            programs.insert(arm, file.sha256.clone());
            releases.insert(arm, release);
        }
    }
    // The follower waits meanwhile: the probes' lines must be known as ours before it counts them.
    let mut log = lock(&service.log);
    let proof = prove::prove(
        &agent.host,
        &Question {
            service: &service.name,
            domain: &declared.proxy.domain,
            listens: &wiring.listens,
            access_log: &wiring.access_log,
            sticky: &declared.proxy.sticky,
            ports: allotted,
            green,
            programs: &programs,
            path: &declared.probe.path,
            limit: PROOF_LIMIT,
        },
    )
    .map_err(|cause| cause.to_string())?;
    log.ours.insert(proof.nonce.as_str().to_owned());
    Ok(releases.into_iter().filter(|(arm, _)| proof.arms.contains_key(arm)).collect())
}

/// Keeps a candidate as the stable arm: its lease ends, and the program is told.
pub(super) fn keep(agent: &Agent, service: &Service, arm: Arm) -> Result<Digest, String> {
    let green = proxy::share::read(&agent.host, &service.name).ok_or("no share is installed")?;
    if of_candidate(arm, green) != SharePercent::ALL {
        return Err(format!("{arm} has {} of the requests, not all", of_candidate(arm, green)));
    }
    let serves = prove(agent, service, green)?;
    let release = serves.get(&arm).cloned().ok_or("the arm did not answer")?;
    guanka_world::managers::spec::mark_active(&agent.host, &service.name, arm)
        .map_err(|error| error.to_string())?;
    drop_lease(agent, service);
    Ok(release)
}

/// Renews the canary's lease; false when it has run out or is another one.
pub(super) fn renew(service: &Service, ttl: Millis) -> bool {
    let mut canary = lock(&service.canary);
    match canary.as_mut().filter(|canary| !canary.stored.has_expired) {
        Some(canary) => {
            canary.renewed = Instant::now();
            canary.stored.ttl = ttl;
            true
        }
        None => false,
    }
}

/// Takes all requests from a candidate whose driver is silent. The driver hears of it when it is
/// back.
pub(super) fn expire(agent: &Agent, service: &Service) {
    let _doing = lock(&service.doing);
    if lock(&service.canary).as_ref().is_some_and(Canary::is_over) {
        give_up(agent, service, "canary-lease-expired");
    }
}

/// Takes all requests from a candidate and ends its lease; the caller sees to it that no effect is
/// under way.
pub(super) fn give_up(agent: &Agent, service: &Service, action: &str) {
    let mut canary = lock(&service.canary);
    let Some(over) = canary.as_mut().filter(|c| !c.stored.has_expired) else { return };
    let green = on_disk(over.stored.arm, SharePercent::NONE);
    if proxy::share::swap(&agent.host, &service.name, green).is_err() {
        return;
    }
    over.stored.has_expired = true;
    let _ = store(&agent.host, &service.name, &over.stored);
    let detail = serde_json::json!({ "arm": over.stored.arm, "green": green });
    drop(canary);
    agent.note(&service.name, action, detail);
}

fn keep_lease(agent: &Agent, service: &Service, command: &ShareCommand) -> std::io::Result<()> {
    let Hold::Leased(ttl) = command.hold else {
        if command.share != SharePercent::NONE {
            drop_lease(agent, service);
        }
        return Ok(());
    };
    let stored = StoredCanary { arm: command.candidate, seq: command.seq, ttl, has_expired: false };
    store(&agent.host, &service.name, &stored)?;
    *lock(&service.canary) = Some(Canary { stored, renewed: Instant::now() });
    Ok(())
}

fn drop_lease(agent: &Agent, service: &Service) {
    *lock(&service.canary) = None;
    let _ = files::remove(&path(&agent.host, &service.name));
}

fn path(host: &HostRoot, service: &ServiceName) -> PathBuf {
    host.service_state(service).join("canary.json")
}

fn store(host: &HostRoot, service: &ServiceName, canary: &StoredCanary) -> std::io::Result<()> {
    files::replace(&path(host, service), &serde_json::to_vec(canary)?, 0o600)
}
