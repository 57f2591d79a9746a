//! The share, from the worker's side: the helper sets it by one rename; here it is proven through
//! nginx, and put back on any doubt.

use std::collections::BTreeMap;
use std::io;

use guanka_core::name::{Arm, Digest};
use guanka_core::quantity::{Millis, SharePercent};
use guanka_core::rollout::event::{Event, Fault};
use guanka_core::rollout::share::on_disk;
use guanka_core::rollout::spec::HostName;
use guanka_core::say::{Said, Text};
use guanka_world::prove::{self, Question};
use guanka_world::{obstacle, proxy};

use super::hands::{UNFIT, said};
use super::refusal::{NO_PORTS, NO_SHARE, NOT_CONFIGURED};
use super::service::Service;
use super::stores::{Agent, lock};
use super::verb::{Program, Reply, ShareOrder, Verb};

/// How long the proof through nginx may take: two requests and their log lines.
const PROOF_LIMIT: Millis = Millis::from_secs(5);

const NO_LOG: Text =
    Text { zh: "服务还没有访问日志", en: "the service has no access log" };

/// Sets a share and proves it. On any doubt the share before is back.
pub(super) fn set(
    agent: &Agent,
    service: &Service,
    host: &HostName,
    epoch: u64,
    order: ShareOrder,
) -> Result<Event, Said> {
    let (name, seq) = (&service.name, order.seq);
    let failed = |fault: Fault| Event::ShareFailed { host: host.clone(), seq, fault };
    let verb = Verb::SetShare { service: name.clone(), epoch, order };
    let before = match agent.hands.ask(&verb).map_err(|error| obstacle::said(&error))? {
        Reply::Set { before } => before,
        Reply::Fault(fault) => return Ok(failed(fault)),
        Reply::Answer(answer) => return Err(said(*answer)),
        _ => return Err(UNFIT.said()),
    };
    match prove(agent, service, on_disk(order.candidate, order.share)) {
        Ok(proven) => {
            let proof = Verb::Proven { service: name.clone(), epoch, order };
            agent.hands.ask(&proof).map_err(|error| obstacle::said(&error))?;
            let serves = proven.get(&order.candidate).cloned();
            Ok(Event::ShareSet { host: host.clone(), seq, share: order.share, proven: serves })
        }
        Err(cause) => {
            // Going back to the stable arm stays in force even when it cannot be proven.
            let back = Verb::PutBack { service: name.clone(), epoch, order, before };
            agent.hands.ask(&back).map_err(|error| obstacle::said(&error))?;
            agent.note(name, "share-not-proven", serde_json::json!({ "cause": cause.en }));
            Ok(failed(Fault::NotProven))
        }
    }
}

/// Asks through nginx who answers; returns the release of each arm that did.
pub(super) fn prove(
    agent: &Agent,
    service: &Service,
    green: SharePercent,
) -> Result<BTreeMap<Arm, Digest>, Said> {
    let settings = service.settings().ok_or(NOT_CONFIGURED)?;
    let declared = &settings.declared;
    let view = agent.hands.view(&service.name)?;
    let ports = view.ports.ok_or(NO_PORTS)?;
    let access_log = view.access_log.clone().ok_or(NO_LOG)?;
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
    .map_err(|cause| cause.said())?;
    log.ours.insert(proof.nonce.as_str().to_owned());
    let served = programs.into_iter().filter(|(arm, _)| proof.arms.contains_key(arm));
    Ok(served.map(|(arm, program)| (arm, program.release)).collect())
}

/// Returns the program of each arm. The helper looks: only root sees what another user's process
/// runs.
fn programs(agent: &Agent, service: &Service) -> Result<BTreeMap<Arm, Program>, Said> {
    match agent.hands.ask(&Verb::Programs { service: service.name.clone() }) {
        Ok(Reply::Programs(programs)) => Ok(programs),
        Ok(Reply::Answer(answer)) => Err(said(*answer)),
        Ok(_) => Err(UNFIT.said()),
        Err(error) => Err(obstacle::said(&error)),
    }
}

/// Keeps a candidate as the stable arm: its lease ends, and the program is told.
pub(super) fn keep(agent: &Agent, service: &Service, epoch: u64, arm: Arm) -> Result<Digest, Said> {
    let green = proxy::share::read(&agent.host, &service.name).ok_or(NO_SHARE)?;
    let serves = prove(agent, service, green)?;
    let release = serves.get(&arm).cloned().ok_or_else(|| unanswered(arm))?;
    match agent.hands.ask(&Verb::Keep { service: service.name.clone(), epoch, arm }) {
        Ok(Reply::Done) => Ok(release),
        Ok(Reply::Answer(answer)) => Err(said(*answer)),
        Ok(_) => Err(UNFIT.said()),
        Err(error) => Err(obstacle::said(&error)),
    }
}

/// Says that an arm did not answer through nginx.
pub(super) fn unanswered(arm: Arm) -> Said {
    Said::new(format!("{arm} 没有应答"), format!("{arm} did not answer"))
}
