//! The arms: started when idle, ready by their own probes, stopped once nobody is connected any
//! more.

use guanka_core::name::{Arm, Digest};
use guanka_core::quantity::Millis;
use guanka_core::rollout::event::{Event, Fault};
use guanka_core::rollout::spec::HostName;
use guanka_core::say::Said;
use guanka_world::managers::spec::ArmSpec;
use guanka_world::managers::supervisor::Supervisor;
use guanka_world::managers::{ArmStatus, Manager, users};
use guanka_world::releases::Store;
use guanka_world::{clock, ports, probe};

use super::jobs::Progress;
use super::service::Service;
use super::stores::{Agent, lock};

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
}

/// Returns the host's process manager.
pub(super) fn manager(agent: &Agent) -> Result<Box<dyn Manager>, String> {
    match Supervisor::find(&agent.host) {
        Ok(Some(supervisor)) => Ok(Box::new(supervisor)),
        Ok(None) => Err("no Supervisor was found on this host".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// Starts a release in an arm and waits until it is ready.
pub(super) fn start(
    agent: &Agent,
    service: &Service,
    command: &ArmCommand,
    release: &Digest,
    progress: &Progress,
) -> Event {
    let ArmCommand { host, seq, arm } = command.clone();
    match started(agent, service, arm, release, progress) {
        Ok(()) => Event::ArmReady { host, seq },
        Err(fault) => Event::ArmFailed { host, seq, fault },
    }
}

fn started(
    agent: &Agent,
    service: &Service,
    arm: Arm,
    release: &Digest,
    progress: &Progress,
) -> Result<(), Fault> {
    let other = |error: String| Fault::Other(error);
    let settings =
        service.settings().ok_or_else(|| other("the service is not configured".to_owned()))?;
    let declared = &settings.declared;
    let manager = manager(agent).map_err(other)?;
    let store = Store::new(&agent.host, &service.name);
    let allotted = ports::allot(&agent.host, &service.name).map_err(|e| other(e.to_string()))?;
    let status = manager.status(&service.name, arm).map_err(|e| other(e.to_string()))?;
    let runs_it = matches!(status, ArmStatus::Running { .. })
        && store.arm_release(arm).as_ref() == Some(release);
    if !runs_it {
        progress.say(Said::new(format!("正在启动 {arm}"), format!("starting {arm}")));
        // The arm's link moves only while the arm is stopped.
        manager
            .stop(&service.name, arm, declared.process.stop_grace)
            .map_err(|error| other(error.to_string()))?;
        let manifest = store.point_arm(arm, release).map_err(|error| other(error.to_string()))?;
        let wanted = declared.process.user.as_deref();
        let run_as = users::resolve(&agent.host, &service.name, wanted)
            .map_err(|error| other(error.to_string()))?;
        for folder in &declared.data_dirs {
            users::give_folder(&agent.host.at(folder), &run_as)
                .map_err(|error| other(error.to_string()))?;
        }
        let port = allotted.of(arm);
        let spec =
            ArmSpec::from_declared(&agent.host, declared, &manifest.program, (arm, port), run_as);
        spec.store(&agent.host).map_err(|error| other(error.to_string()))?;
        manager.install(&spec).map_err(|error| other(error.to_string()))?;
        if let Some(held) = lock(&service.held).remove(&arm) {
            held.release();
        }
        let status = manager.start(&service.name, arm).map_err(|error| other(error.to_string()))?;
        if let ArmStatus::Failed { why } = status {
            return Err(other(why));
        }
    }
    progress.say(Said::new(format!("等待 {arm} 就绪"), format!("waiting for {arm}")));
    let domain = &declared.proxy.domain;
    probe::wait_ready(allotted.of(arm), domain, &declared.probe, READY_LIMIT)
        .map_err(|not| other(not.to_string()))?;
    lock(&service.health).forget(arm);
    if owns_its_port(agent, service, arm) { Ok(()) } else { Err(Fault::NotReady) }
}

/// Returns what an arm does, without asking the process manager where the port already tells: a
/// held port has no arm behind it, and a listener on the arm's own port is the arm.
pub(super) fn seen(agent: &Agent, service: &Service, arm: Arm, port: u16) -> ArmStatus {
    if lock(&service.held).contains_key(&arm) {
        return ArmStatus::Stopped;
    }
    if let Some(owner) = ports::owner_of(port) {
        return ArmStatus::Running { pid: owner.pid };
    }
    let asked = manager(agent).ok().and_then(|manager| manager.status(&service.name, arm).ok());
    asked.unwrap_or(ArmStatus::Stopped)
}

/// Returns whether the listener on an arm's port is that arm: it runs the program of the arm's own
/// release. Where the program cannot be seen, the process manager is asked for its process instead.
pub(super) fn owns_its_port(agent: &Agent, service: &Service, arm: Arm) -> bool {
    let store = Store::new(&agent.host, &service.name);
    let listener = ports::allotted(&agent.host, &service.name)
        .ok()
        .flatten()
        .and_then(|allotted| ports::owner_of(allotted.of(arm)));
    let Some(owner) = listener else { return false };
    if let (Some(program), Some(release)) = (&owner.exe, store.arm_release(arm)) {
        return program.starts_with(store.path(&release));
    }
    let Ok(manager) = manager(agent) else { return false };
    let status = manager.status(&service.name, arm);
    matches!(status, Ok(ArmStatus::Running { pid }) if pid == owner.pid)
}

/// Stops an arm once nobody is connected to it, at the latest when every connection that nginx
/// could still hold has run out; the program's own shutdown answers what is open then.
pub(super) fn stop(
    agent: &Agent,
    service: &Service,
    command: &ArmCommand,
    progress: &Progress,
) -> Result<Event, String> {
    let ArmCommand { host, seq, arm } = command.clone();
    let settings = service.settings().ok_or("the service is not configured")?;
    let declared = &settings.declared;
    let manager = manager(agent)?;
    if let Ok(Some(allotted)) = ports::allotted(&agent.host, &service.name) {
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
    manager
        .stop(&service.name, arm, declared.process.stop_grace)
        .map_err(|error| error.to_string())?;
    lock(&service.health).forget(arm);
    service.hold_idle_ports(&agent.host);
    Ok(Event::ArmStopped { host, seq, arm })
}
