//! The arms' hands: a release put into an idle arm and started, an arm stopped, who listens on its
//! port.

use guanka_core::facts::declared;
use guanka_core::name::{Arm, Digest};
use guanka_core::rollout::event::Fault;
use guanka_core::say::Said;
use guanka_world::hostroot::HostRoot;
use guanka_world::managers::prepare::prepare;
use guanka_world::managers::{self, ArmStatus, Manager, spec};
use guanka_world::ports::{self, PortError};
use guanka_world::prove;
use guanka_world::releases::{PointError, VerifyError};
use guanka_world::transport::wire::{Answer, FailedKind};

use super::super::refusal::{NO_PORTS, NOT_CONFIGURED, Reason, could_not, no_file};
use super::super::stores::lock;
use super::super::verb::{ArmSeen, Program, Reply};
use super::adoption;
use super::service::Kept;
use crate::failure::because;

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
pub(super) fn manager(host: &HostRoot, service: &Kept) -> Result<Box<dyn Manager>, Said> {
    let settings = service.settings();
    let wanted = settings.map_or(declared::Manager::Auto, |s| s.declared.process.manager);
    match managers::find(host, wanted) {
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

/// Starts a release in an arm, unless it runs there. What stands in the way of it on the host is an
/// answer and no fault: the rollout stays where it is until a person has put it right.
pub(super) fn start(host: &HostRoot, service: &Kept, arm: Arm, release: &Digest) -> Reply {
    match started(host, service, arm, release) {
        Ok(()) => Reply::Done,
        Err(NotStarted::Fault(fault)) => Reply::Fault(fault),
        Err(NotStarted::PortTaken(error)) => Reply::Answer(Box::new(port_taken(&error))),
        Err(NotStarted::Damaged(error)) => {
            Reply::Answer(Box::new(damaged(service, release, &error)))
        }
    }
}

fn other(why: Said) -> NotStarted {
    NotStarted::Fault(Fault::Other(why))
}

fn started(host: &HostRoot, service: &Kept, arm: Arm, release: &Digest) -> Result<(), NotStarted> {
    let settings = service.settings().ok_or_else(|| other(NOT_CONFIGURED.said()))?;
    let declared = &settings.declared;
    let manager = manager(host, service).map_err(other)?;
    let store = service.store(host);
    let allotted = ports::allot(host, &service.name).map_err(|e| other(e.said()))?;
    let status = manager.status(&service.name, arm).map_err(|e| other(e.said()))?;
    // A helper that was started anew may have taken the port of an arm that was just being started:
    // such an arm runs without its port, and is started again.
    let runs_it = matches!(status, ArmStatus::Running { .. })
        && !lock(&service.held).contains_key(&arm)
        && store.arm_release(arm).as_ref() == Some(release);
    if runs_it {
        return wanted(host, service, arm, release);
    }
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
    let mut start = prepare(host, declared, &manifest.program, (arm, port))
        .map_err(|error| other(error.said()))?;
    adoption::carry(host, service, &mut start).map_err(|error| other(because(&error)))?;
    start.store(host).map_err(|error| other(because(&error)))?;
    manager.install(&start).map_err(|error| other(error.said()))?;
    wanted(host, service, arm, release)?;
    if let Some(held) = lock(&service.held).remove(&arm) {
        held.release();
    }
    match manager.start(&service.name, arm).map_err(|error| other(error.said()))? {
        ArmStatus::Failed { why } => Err(other(Said::new(why.clone(), why))),
        _ => Ok(()),
    }
}

fn wanted(host: &HostRoot, service: &Kept, arm: Arm, release: &Digest) -> Result<(), NotStarted> {
    let stable = spec::active(host, &service.name);
    let done = service.change(host, |desired| desired.start(arm, release.clone(), stable));
    done.map_err(|error| other(because(&error)))
}

/// Stops an arm; its port is kept for it from then on.
pub(super) fn stop(host: &HostRoot, service: &Kept, arm: Arm) -> Reply {
    let Some(settings) = service.settings() else {
        return refusal(NOT_CONFIGURED);
    };
    let manager = match manager(host, service) {
        Ok(manager) => manager,
        Err(why) => return refusal(why),
    };
    if let Err(error) = service.change(host, |desired| desired.stop(arm)) {
        return refusal(&error);
    }
    let grace = settings.declared.process.stop_grace;
    // An adopted program is its keeper's to stop; after it the arm is guanka's own.
    let stopped = match adoption::retire(host, service, arm, grace) {
        Ok(true) => Ok(()),
        Ok(false) => manager.stop(&service.name, arm, grace).map_err(|error| error.said()),
        Err(why) => Err(why),
    };
    match stopped {
        Ok(()) => {
            service.hold_idle_ports(host, Some(manager.as_ref()));
            Reply::Done
        }
        Err(why) => refusal(why),
    }
}

pub(super) fn refusal(why: impl Reason) -> Reply {
    Reply::Answer(Box::new(could_not(why)))
}

/// Builds the reply for a file that could not be written.
pub(super) fn unwritten(error: &std::io::Error) -> Reply {
    Reply::Answer(Box::new(no_file(error)))
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

fn damaged(service: &Kept, release: &Digest, error: &VerifyError) -> Answer {
    let (short, why) = (release.short(), error.said());
    let env = service.name.env();
    Answer::Failed {
        kind: FailedKind::Damaged,
        why: Said::new(
            format!("主机上的发布 {short} 已被改动:{}", why.zh),
            format!("release {short} on the host was changed: {}", why.en),
        ),
        next: Said::new(
            format!("查明是谁改的;用 `guanka abort --env {env}` 结束后重新发布"),
            format!("find out who did; `guanka abort --env {env}`, then ship again"),
        ),
    }
}

/// Returns an error where a stopped arm's port is another process's. A port that the helper holds
/// is free for the arm.
pub(super) fn is_free(service: &Kept, arm: Arm, port: u16) -> Result<(), PortError> {
    if lock(&service.held).contains_key(&arm) {
        return Ok(());
    }
    ports::hold(port).map(ports::HeldPort::release)
}

/// Returns what an arm is and does, without asking the process manager where the port already
/// tells: a held port has no arm behind it, and a listener on the arm's own port is the arm.
pub(super) fn seen(host: &HostRoot, service: &Kept, arm: Arm, port: u16) -> ArmSeen {
    let release = service.store(host).arm_release(arm);
    if lock(&service.held).contains_key(&arm) {
        return ArmSeen {
            release,
            status: Some(ArmStatus::Stopped),
            is_held: true,
            owns_port: false,
        };
    }
    if let Some(owner) = ports::owner_of(port) {
        let status = Some(ArmStatus::Running { pid: owner.pid });
        let owns_port = is_own(host, service, arm, &owner);
        return ArmSeen { release, status, is_held: false, owns_port };
    }
    let manager = manager(host, service).ok();
    let status = manager.and_then(|manager| manager.status(&service.name, arm).ok());
    ArmSeen { release, status, is_held: false, owns_port: false }
}

/// Returns whether the listener on an arm's port is that arm.
pub(super) fn owns_its_port(host: &HostRoot, service: &Kept, arm: Arm) -> bool {
    let allotted = ports::allotted(host, &service.name).ok().flatten();
    let owner = allotted.and_then(|allotted| ports::owner_of(allotted.of(arm)));
    owner.is_some_and(|owner| is_own(host, service, arm, &owner))
}

/// Returns whether a process is an arm: it runs the program of the arm's own release. Where the
/// program cannot be seen, the process manager is asked for its process instead.
fn is_own(host: &HostRoot, service: &Kept, arm: Arm, owner: &ports::Owner) -> bool {
    if adoption::is_external(host, service, arm, owner.pid) {
        return true;
    }
    let store = service.store(host);
    if let (Some(program), Some(release)) = (&owner.exe, store.arm_release(arm)) {
        return program.starts_with(store.path(&release));
    }
    let Ok(manager) = manager(host, service) else { return false };
    let status = manager.status(&service.name, arm);
    matches!(status, Ok(ArmStatus::Running { pid }) if pid == owner.pid)
}

/// Returns the program of each arm that has a release.
pub(super) fn programs(host: &HostRoot, service: &Kept) -> Reply {
    let Ok(Some(allotted)) = ports::allotted(host, &service.name) else {
        return refusal(NO_PORTS);
    };
    let store = service.store(host);
    let mut found = std::collections::BTreeMap::new();
    for arm in [Arm::Blue, Arm::Green] {
        let Some(release) = store.arm_release(arm) else { continue };
        let Ok(manifest) = store.verify(&release) else { continue };
        let path = format!("bin/{}", manifest.program);
        let Some(file) = manifest.files.iter().find(|file| file.path == path) else { continue };
        let expected = file.sha256.clone();
        // A process that ends while it is looked at serves nobody.
        let serves = prove::program_on(allotted.of(arm)).ok().flatten();
        found.insert(arm, Program { release, expected, serves });
    }
    Reply::Programs(found)
}
