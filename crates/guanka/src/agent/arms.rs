//! The arms: started when idle, ready by their own probes, stopped once nobody is connected any
//! more.

use guanka_core::facts::declared;
use guanka_core::name::{Arm, Digest};
use guanka_core::quantity::Millis;
use guanka_core::rollout::event::{Event, Fault};
use guanka_core::rollout::spec::HostName;
use guanka_core::say::Said;
use guanka_world::managers::spec::ArmSpec;
use guanka_world::managers::{self, ArmStatus, Manager, users};
use guanka_world::ports::{self, PortError};
use guanka_world::releases::{PointError, Store, VerifyError};
use guanka_world::transport::wire::{Answer, FailedKind};
use guanka_world::{clock, probe};

use super::adoption;
use super::jobs::Progress;
use super::service::Service;
use super::stores::{Agent, lock};
use crate::failure::because;

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

/// Why an arm was not started.
enum NotStarted {
    /// The program or the process manager did not do it: a try that the rollout counts.
    Fault(Fault),
    /// Something on the host stands in the way that has nothing to do with the release.
    PortTaken(PortError),
    /// What lies on the host is not the release that was proven.
    Damaged(VerifyError),
}

/// Returns the process manager that a service is kept by; before it is configured, the host's
/// choice.
pub(super) fn manager(agent: &Agent, service: &Service) -> Result<Box<dyn Manager>, Said> {
    let settings = service.settings();
    let wanted = settings.map_or(declared::Manager::Auto, |s| s.declared.process.manager);
    match managers::find(&agent.host, wanted) {
        Ok(Some(found)) => Ok(found),
        Ok(None) => Err(match wanted {
            declared::Manager::Auto => Said::new(
                "这台主机上既没有 systemd 也没有 Supervisor",
                "there is neither systemd nor Supervisor on this host",
            ),
            declared::Manager::Systemd => Said::new(
                "这台主机上没有运行 systemd,而 [process] manager = \"systemd\"",
                "systemd does not run on this host, and [process] manager = \"systemd\"",
            ),
            declared::Manager::Supervisor => {
                Said::new("这台主机上没有找到 Supervisor", "no Supervisor was found on this host")
            }
        }),
        Err(error) => Err(error.said()),
    }
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
    let ArmCommand { host, seq, arm } = command.clone();
    match started(agent, service, arm, release, progress) {
        Ok(()) => Ok(Event::ArmReady { host, seq }),
        Err(NotStarted::Fault(fault)) => Ok(Event::ArmFailed { host, seq, fault }),
        Err(NotStarted::PortTaken(error)) => Err(port_taken(&error)),
        Err(NotStarted::Damaged(error)) => Err(damaged(service, release, &error)),
    }
}

/// Builds the answer for a port that another process has.
pub(super) fn port_taken(error: &PortError) -> Answer {
    Answer::Failed {
        kind: FailedKind::PortTaken,
        why: error.said(),
        next: Said::new(
            "停掉占用端口的进程后,用 `guanka resume` 继续(尚未开始的发布用 `guanka ship`)",
            "end the process that has it, then go on with `guanka resume` (with `guanka ship` \
             where nothing had begun)",
        ),
    }
}

fn damaged(service: &Service, release: &Digest, error: &VerifyError) -> Answer {
    let (short, why) = (release.short(), error.said());
    Answer::Failed {
        kind: FailedKind::Damaged,
        why: Said::new(
            format!("主机上的发布 {short} 已被改动:{}", why.zh),
            format!("release {short} on the host was changed: {}", why.en),
        ),
        next: Said::new(
            format!("查明是谁改的;用 `guanka abort --env {0}` 结束后重新发布", service.name.env()),
            format!(
                "find out who did; `guanka abort --env {0}`, then ship again",
                service.name.env()
            ),
        ),
    }
}

fn started(
    agent: &Agent,
    service: &Service,
    arm: Arm,
    release: &Digest,
    progress: &Progress,
) -> Result<(), NotStarted> {
    let other = |why: Said| NotStarted::Fault(Fault::Other(why));
    let settings = service.settings().ok_or_else(|| other(not_configured()))?;
    let declared = &settings.declared;
    let manager = manager(agent, service).map_err(other)?;
    let store = Store::new(&agent.host, &service.name);
    let allotted = ports::allot(&agent.host, &service.name).map_err(|e| other(e.said()))?;
    let status = manager.status(&service.name, arm).map_err(|e| other(e.said()))?;
    // An agent that was started anew may have taken the port of an arm that was just being started:
    // such an arm runs without its port, and is started again.
    let runs_it = matches!(status, ArmStatus::Running { .. })
        && !lock(&service.held).contains_key(&arm)
        && store.arm_release(arm).as_ref() == Some(release);
    if !runs_it {
        progress.say(Said::new(format!("正在启动 {arm}"), format!("starting {arm}")));
        // The arm's link moves only while the arm is stopped.
        manager
            .stop(&service.name, arm, declared.process.stop_grace)
            .map_err(|error| other(error.said()))?;
        let port = allotted.of(arm);
        is_free(service, arm, port).map_err(NotStarted::PortTaken)?;
        let manifest = store.point_arm(arm, release).map_err(|error| match error {
            PointError::Damaged(damage) => NotStarted::Damaged(damage),
            PointError::Io(error) => other(because(&error)),
        })?;
        let wanted = declared.process.user.as_deref();
        let run_as = users::resolve(&agent.host, &service.name, wanted)
            .map_err(|error| other(because(&error)))?;
        for folder in &declared.data_dirs {
            users::give_folder(&agent.host.at(folder), &run_as)
                .map_err(|error| other(because(&error)))?;
        }
        let mut spec =
            ArmSpec::from_declared(&agent.host, declared, &manifest.program, (arm, port), run_as);
        adoption::carry(agent, service, &mut spec).map_err(|error| other(because(&error)))?;
        spec.store(&agent.host).map_err(|error| other(because(&error)))?;
        manager.install(&spec).map_err(|error| other(error.said()))?;
        if let Some(held) = lock(&service.held).remove(&arm) {
            held.release();
        }
        // Forgotten before the start and not after it: a driver that has already seen the new
        // program ready would take the gap for a lost readiness.
        lock(&service.health).forget(arm);
        let status = manager.start(&service.name, arm).map_err(|error| other(error.said()))?;
        if let ArmStatus::Failed { why } = status {
            return Err(other(Said::new(why.clone(), why)));
        }
    }
    progress.say(Said::new(format!("等待 {arm} 就绪"), format!("waiting for {arm}")));
    let domain = &declared.proxy.domain;
    probe::wait_ready(allotted.of(arm), domain, &declared.probe, READY_LIMIT)
        .map_err(|not| other(not.said()))?;
    if owns_its_port(agent, service, arm) {
        Ok(())
    } else {
        Err(NotStarted::Fault(Fault::NotReady))
    }
}

fn not_configured() -> Said {
    Said::new("服务尚未配置", "the service is not configured")
}

/// Returns an error where a stopped arm's port is another process's. A port that the agent holds
/// is free for the arm.
pub(super) fn is_free(service: &Service, arm: Arm, port: u16) -> Result<(), PortError> {
    if lock(&service.held).contains_key(&arm) {
        return Ok(());
    }
    ports::hold(port).map(ports::HeldPort::release)
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
    let manager = manager(agent, service).ok();
    let asked = manager.and_then(|manager| manager.status(&service.name, arm).ok());
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
    if adoption::is_external(agent, service, arm, owner.pid) {
        return true;
    }
    if let (Some(program), Some(release)) = (&owner.exe, store.arm_release(arm)) {
        return program.starts_with(store.path(&release));
    }
    let Ok(manager) = manager(agent, service) else { return false };
    let status = manager.status(&service.name, arm);
    matches!(status, Ok(ArmStatus::Running { pid }) if pid == owner.pid)
}

/// Waits until nobody is connected to an arm, at the latest when every connection that nginx could
/// still hold has run out.
pub(super) fn drain(
    agent: &Agent,
    service: &Service,
    declared: &declared::Declared,
    arm: Arm,
    progress: &Progress,
) {
    let Ok(Some(allotted)) = ports::allotted(&agent.host, &service.name) else { return };
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
) -> Result<Event, String> {
    let ArmCommand { host, seq, arm } = command.clone();
    let settings = service.settings().ok_or("the service is not configured")?;
    let declared = &settings.declared;
    let manager = manager(agent, service).map_err(|why| why.en)?;
    drain(agent, service, declared, arm, progress);
    // An adopted program is its keeper's to stop; after it the arm is guanka's own.
    if !adoption::retire(agent, service, arm, declared.process.stop_grace)? {
        manager
            .stop(&service.name, arm, declared.process.stop_grace)
            .map_err(|error| error.to_string())?;
    }
    lock(&service.health).forget(arm);
    service.hold_idle_ports(&agent.host, Some(manager.as_ref()));
    Ok(Event::ArmStopped { host, seq, arm })
}
