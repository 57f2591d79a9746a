//! The arms, from the worker's side: started by the helper and ready by their own probes, stopped
//! once nobody is connected any more.

use guanka_core::facts::declared::Declared;
use guanka_core::name::{Arm, Digest};
use guanka_core::quantity::Millis;
use guanka_core::rollout::event::{Event, Fault};
use guanka_core::rollout::spec::HostName;
use guanka_core::say::Said;
use guanka_world::managers::ArmStatus;
use guanka_world::transport::wire::Answer;
use guanka_world::{clock, obstacle, ports, probe};

use super::hands::{UNFIT, said};
use super::jobs::Progress;
use super::refusal::{NOT_CONFIGURED, could_not};
use super::service::Service;
use super::stores::{Agent, lock};
use super::verb::{Reply, Verb};

/// How long a program may take from its start to its last readiness pass.
const READY_LIMIT: Millis = Millis::from_secs(60);
/// How often the connections of an arm are counted while it drains.
const DRAIN_EVERY: Millis = Millis(200);

/// What a command about an arm says.
#[derive(Clone)]
pub(super) struct ArmCommand {
    pub(super) host: HostName,
    pub(super) seq: u64,
    pub(super) arm: Arm,
    pub(super) epoch: u64,
}

/// Starts a release in an arm and waits until it is ready. What stands in the way of it on the host
/// is an answer and no event: the rollout stays where it is until a person has put it right.
pub(super) fn start(
    agent: &Agent,
    service: &Service,
    command: &ArmCommand,
    release: &Digest,
    progress: &Progress,
) -> Result<Event, Answer> {
    let ArmCommand { host, seq, arm, epoch } = command.clone();
    let failed = |fault| Event::ArmFailed { host: host.clone(), seq, fault };
    progress.say(Said::new(format!("正在启动 {arm}"), format!("starting {arm}")));
    // Forgotten before the start and not after it: a driver that has already seen the new program
    // ready would take the gap for a lost readiness.
    lock(&service.health).forget(arm);
    let name = service.name.clone();
    let verb = Verb::StartArm { service: name, epoch, arm, release: release.clone() };
    match agent.hands.ask(&verb) {
        Ok(Reply::Done) => {}
        Ok(Reply::Fault(fault)) => return Ok(failed(fault)),
        Ok(Reply::Answer(answer)) => return Err(*answer),
        Ok(_) => return Err(could_not(UNFIT)),
        Err(error) => return Err(could_not(&error)),
    }
    service.look(agent);
    let Some((settings, allotted)) = service.settings().zip(service.ports()) else {
        return Err(could_not(NOT_CONFIGURED));
    };
    progress.say(Said::new(format!("等待 {arm} 就绪"), format!("waiting for {arm}")));
    let declared = &settings.declared;
    let domain = &declared.proxy.domain;
    let view = || agent.hands.view(&service.name).ok();
    let status = || view().and_then(|view| view.arms.get(&arm).and_then(|arm| arm.status.clone()));
    let mut has_failed = || matches!(status(), Some(ArmStatus::Failed { .. }));
    let port = allotted.of(arm);
    match probe::wait_ready(port, domain, &declared.probe, READY_LIMIT, &mut has_failed) {
        Err(not) => Ok(failed(Fault::Other(not_ready(not.said(), status())))),
        Ok(_) if agent.hands.owns_port(&service.name, arm) => Ok(Event::ArmReady { host, seq }),
        Ok(_) => Ok(failed(Fault::NotReady)),
    }
}

/// Says why an arm is not ready: what its probe saw, and what its manager knows of its end.
fn not_ready(seen: Said, status: Option<ArmStatus>) -> Said {
    match status {
        Some(ArmStatus::Retrying { why } | ArmStatus::Failed { why }) => Said::new(
            format!("{};进程反复退出:{why};输出见 guanka logs", seen.zh),
            format!("{}; it ends again and again: {why}; see guanka logs", seen.en),
        ),
        _ => seen,
    }
}

/// Waits until nobody is connected to an arm, at the latest when every connection that nginx could
/// still hold has run out.
pub(super) fn drain(
    agent: &Agent,
    service: &Service,
    declared: &Declared,
    arm: Arm,
    progress: &Progress,
) {
    let Some(allotted) = service.ports() else { return };
    let limit = Millis(declared.proxy.keepalive.0 + declared.proxy.read_timeout.0);
    let port = allotted.of(arm);
    let drained = clock::wait_for(limit, DRAIN_EVERY, || {
        let open = ports::connections_to(port);
        progress.say(Said::new(
            format!("{arm} 还有 {open} 个连接"),
            format!("{arm} still has {open} connections"),
        ));
        (open == 0).then_some(())
    });
    if drained.is_none() {
        agent.note(&service.name, "stopped-with-open-connections", serde_json::json!(arm));
    }
}

/// Stops an arm once nobody is connected to it, at the latest when every connection that nginx
/// could still hold has run out; the program's own shutdown answers what is open then.
pub(super) fn stop(
    agent: &Agent,
    service: &Service,
    command: &ArmCommand,
    progress: &Progress,
) -> Result<Event, Said> {
    let ArmCommand { host, seq, arm, epoch } = command.clone();
    let settings = service.settings().ok_or(NOT_CONFIGURED)?;
    let declared = &settings.declared;
    drain(agent, service, declared, arm, progress);
    match agent.hands.ask(&Verb::StopArm { service: service.name.clone(), epoch, arm }) {
        Ok(Reply::Done) => {}
        Ok(Reply::Answer(answer)) => return Err(said(*answer)),
        Ok(_) => return Err(UNFIT.said()),
        Err(error) => return Err(obstacle::said(&error)),
    }
    lock(&service.health).forget(arm);
    service.look(agent);
    Ok(Event::ArmStopped { host, seq, arm })
}
