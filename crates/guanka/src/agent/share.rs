//! The share, from the worker's side: the helper sets it by one rename; here it is proven through
//! nginx, and put back on any doubt.

use std::collections::BTreeMap;
use std::io;

use guanka_core::name::{Arm, Digest};
use guanka_core::quantity::{Millis, SharePercent};
use guanka_core::rollout::event::{Event, Fault};
use guanka_core::rollout::share::on_disk;
use guanka_core::rollout::spec::HostName;
use guanka_world::prove::{self, Question};
use guanka_world::proxy;

use super::hands::{UNFIT, why};
use super::service::Service;
use super::stores::{Agent, lock};
use super::verb::{Program, Reply, ShareOrder, Verb};

/// How long the proof through nginx may take: two requests and their log lines.
const PROOF_LIMIT: Millis = Millis::from_secs(5);

/// Sets a share and proves it. On any doubt the share before is back.
pub(super) fn set(
    agent: &Agent,
    service: &Service,
    host: &HostName,
    epoch: u64,
    order: ShareOrder,
) -> Result<Event, String> {
    let (name, seq) = (&service.name, order.seq);
    let failed = |fault: Fault| Event::ShareFailed { host: host.clone(), seq, fault };
    let verb = Verb::SetShare { service: name.clone(), epoch, order };
    let before = match agent.hands.ask(&verb).map_err(|error| error.to_string())? {
        Reply::Set { before } => before,
        Reply::Fault(fault) => return Ok(failed(fault)),
        Reply::Answer(answer) => return Err(why(&answer)),
        _ => return Err(UNFIT.to_owned()),
    };
    match prove(agent, service, on_disk(order.candidate, order.share)) {
        Ok(proven) => {
            let proof = Verb::Proven { service: name.clone(), epoch, order };
            agent.hands.ask(&proof).map_err(|error| error.to_string())?;
            let serves = proven.get(&order.candidate).cloned();
            Ok(Event::ShareSet { host: host.clone(), seq, share: order.share, proven: serves })
        }
        Err(cause) => {
            // Going back to the stable arm stays in force even when it cannot be proven.
            let back = Verb::PutBack { service: name.clone(), epoch, order, before };
            agent.hands.ask(&back).map_err(|error| error.to_string())?;
            agent.note(name, "share-not-proven", serde_json::json!({ "cause": cause }));
            Ok(failed(Fault::NotProven))
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
    let view = agent.hands.view(&service.name)?;
    let ports = view.ports.ok_or("the service has no ports")?;
    let access_log = view.access_log.clone().ok_or("the service has no access log")?;
    let programs = programs(agent, service)?;
    let expected = programs.iter().map(|(arm, program)| (*arm, program.expected.clone())).collect();
    let serving = |arm: Arm| -> io::Result<Option<(u32, Digest)>> {
        Ok(programs.get(&arm).and_then(|program| program.serves.clone()))
    };
    // The follower waits meanwhile: the probes' lines must be known as ours before it counts them.
    let mut log = lock(&service.log);
    let proof = prove::prove(
        &agent.host,
        &Question {
            service: &service.name,
            domain: &declared.proxy.domain,
            listens: &view.listens,
            access_log: &access_log,
            sticky: &declared.proxy.sticky,
            ports,
            green,
            programs: &expected,
            serving: &serving,
            path: &declared.probe.path,
            limit: PROOF_LIMIT,
        },
    )
    .map_err(|cause| cause.to_string())?;
    log.ours.insert(proof.nonce.as_str().to_owned());
    let served = programs.into_iter().filter(|(arm, _)| proof.arms.contains_key(arm));
    Ok(served.map(|(arm, program)| (arm, program.release)).collect())
}

/// Returns the program of each arm. The helper looks: only root sees what another user's process
/// runs.
fn programs(agent: &Agent, service: &Service) -> Result<BTreeMap<Arm, Program>, String> {
    match agent.hands.ask(&Verb::Programs { service: service.name.clone() }) {
        Ok(Reply::Programs(programs)) => Ok(programs),
        Ok(Reply::Answer(answer)) => Err(why(&answer)),
        Ok(_) => Err(UNFIT.to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// Keeps a candidate as the stable arm: its lease ends, and the program is told.
pub(super) fn keep(
    agent: &Agent,
    service: &Service,
    epoch: u64,
    arm: Arm,
) -> Result<Digest, String> {
    let green = proxy::share::read(&agent.host, &service.name).ok_or("no share is installed")?;
    let serves = prove(agent, service, green)?;
    let release = serves.get(&arm).cloned().ok_or("the arm did not answer")?;
    match agent.hands.ask(&Verb::Keep { service: service.name.clone(), epoch, arm }) {
        Ok(Reply::Done) => Ok(release),
        Ok(Reply::Answer(answer)) => Err(why(&answer)),
        Ok(_) => Err(UNFIT.to_owned()),
        Err(error) => Err(error.to_string()),
    }
}
