//! Where a service stands on the host: its settings, its release folders, its pieces of nginx; put
//! there and taken away again.

use guanka_core::facts::declared::Declared;
use guanka_core::facts::release::Manifest;
use guanka_core::name::{Arm, Digest, ServiceName};
use guanka_core::quantity::Millis;
use guanka_core::rollout::event::Fault;
use guanka_core::say::Said;
use guanka_world::hostroot::HostRoot;
use guanka_world::ports::{ArmPorts, PortError};
use guanka_world::releases::Store;
use guanka_world::transport::server::Session;
use guanka_world::transport::wire::{Answer, FailedKind};
use guanka_world::{files, obstacle, ports, proxy};

use super::super::preview;
use super::super::refusal::{NO_PORTS, NOT_CONFIGURED, could_not, refused, stopped};
use super::super::stores::lock;
use super::super::verb::{Reply, View};
use super::adoption;
use super::arms;
use super::service::Kept;

/// Returns what an install would change, or what stands in its way: before a rollout begins and not
/// in the middle of it.
pub(super) fn plan(host: &HostRoot, service: &Kept, declared: &Declared) -> Answer {
    if let Some(refused) = adoption::refuse_half_left(host, service) {
        return refused;
    }
    // Ports that were never allotted are free by the way they are chosen.
    match ports::allotted(host, &service.name) {
        Ok(Some(allotted)) => {
            service.hold_idle_ports(host, arms::manager(host, service).ok().as_deref());
            if let Some(taken) = taken_port(host, service, allotted) {
                return arms::port_taken(&taken);
            }
        }
        Ok(None) => {}
        Err(error) => return could_not(error.said()),
    }
    match preview::changes(host, declared) {
        Ok(changes) => Answer::Plan { changes },
        Err(why) => refused(why),
    }
}

/// Returns the port of an arm that somebody else has. An arm that runs has its own port; any other
/// port that nobody holds for us is told of now, before a build and not after it.
fn taken_port(host: &HostRoot, service: &Kept, allotted: ArmPorts) -> Option<PortError> {
    [Arm::Blue, Arm::Green].into_iter().find_map(|arm| {
        let is_own = arms::owns_its_port(host, service, arm);
        if is_own { None } else { arms::is_free(service, arm, allotted.of(arm)).err() }
    })
}

/// Puts the service behind nginx.
pub(super) fn install(host: &HostRoot, service: &Kept) -> Answer {
    let Some(settings) = service.settings() else {
        return could_not(NOT_CONFIGURED);
    };
    if let Some(refused) = adoption::refuse_half_left(host, service) {
        return refused;
    }
    let allotted = match ports::allot(host, &service.name) {
        Ok(allotted) => allotted,
        Err(error) => return stopped(error.said()),
    };
    if let Some(why) = preview::second_rotator(host, &service.name) {
        return stopped(why);
    }
    let planned = proxy::plan(host, &service.name, &settings.declared.proxy, allotted);
    let wiring = match planned {
        Ok(wiring) => wiring,
        Err(error) => return stopped(error.said()),
    };
    service.hold_idle_ports(host, arms::manager(host, service).ok().as_deref());
    if let Some(taken) = taken_port(host, service, allotted) {
        return arms::port_taken(&taken);
    }
    match proxy::install(host, &wiring) {
        Ok(applied) => {
            let changed = matches!(applied, proxy::Applied::Reloaded { .. });
            service.note(host, "installed", &serde_json::json!({ "reloaded": changed }));
            Answer::Done
        }
        Err(error) => stopped(error.said()),
    }
}

/// Takes a service off the host: first out of nginx, then its arms, then its folders.
pub(super) fn remove(host: &HostRoot, service: &Kept) -> Answer {
    if let Some(refused) = adoption::refuse_removal(host, service) {
        return refused;
    }
    if let Err(error) = proxy::remove(host, &service.name) {
        return refused(error.said());
    }
    let grace = service.settings().map(|s| s.declared.process.stop_grace);
    let grace = grace.unwrap_or(Millis::from_secs(15));
    if let Ok(manager) = arms::manager(host, service) {
        for arm in [Arm::Blue, Arm::Green] {
            if let Err(error) = manager.remove(&service.name, arm, grace) {
                return refused(error.said());
            }
        }
    }
    lock(&service.held).clear();
    let gone = ports::give_back(host, &service.name).map_err(|error| error.said()).and_then(|()| {
        let folders = [host.home(&service.name), host.arm_logs(&service.name)];
        // The state goes last and as one: whoever comes after a kill finds what is left to do.
        let gone = folders.iter().try_for_each(|f| files::remove_tree(f));
        gone.and_then(|()| service.remove_state(host)).map_err(|e| obstacle::said(&e))
    });
    gone.map_or_else(could_not, |()| Answer::Done)
}

/// Puts a release in place whose files come on the session, read as they are written.
pub(super) fn stage(
    host: &HostRoot,
    service: &Kept,
    manifest: &Manifest,
    session: &mut Session<'_>,
) -> Answer {
    let mut files = match session.files() {
        Ok(files) => files,
        Err(error) => return could_not(&error),
    };
    // They come in the manifest's order, which is the order in which they are written.
    let staged = Store::new(host, &service.name).stage(manifest, &mut |_| Ok(files.next_file()));
    // A release that is there already, or that was refused half way, leaves files unread.
    if let Err(error) = files.pass(manifest.files.len()) {
        return could_not(&error);
    }
    match staged {
        Ok(staged) => {
            if let Some(damage) = &staged.healed {
                let detail = serde_json::json!({
                    "release": staged.digest, "damage": damage.to_string(),
                });
                service.note(host, "damaged-release-replaced", &detail);
            }
            Answer::Staged { was_there: staged.was_there, healed: staged.healed.is_some() }
        }
        Err(error) => Answer::Failed {
            kind: FailedKind::CouldNot,
            why: error.said(),
            next: Said::new(
                "腾出空间或修好目录后用 `guanka resume` 继续",
                "make room or put the folder right, then `guanka resume`",
            ),
        },
    }
}

/// Compares a release with its manifest.
pub(super) fn verify(host: &HostRoot, service: &Kept, release: &Digest) -> Reply {
    match service.store(host).verify(release) {
        Ok(_) => Reply::Done,
        Err(error) => Reply::Fault(Fault::Other(error.said())),
    }
}

/// Returns every way through nginx to the service's arms.
pub(super) fn ways(host: &HostRoot, service: &ServiceName) -> Reply {
    match ports::allotted(host, service) {
        Ok(Some(allotted)) => Reply::Ways(proxy::ways(host, service, allotted)),
        _ => arms::refusal(NO_PORTS),
    }
}

/// Returns how the service stands.
pub(super) fn view(host: &HostRoot, service: &Kept) -> Result<View, Answer> {
    let desired = service.desired()?;
    let allotted = ports::allotted(host, &service.name).map_err(|e| could_not(e.said()))?;
    let mut view = View {
        ports: allotted,
        access_log: proxy::access_log_of(host, &service.name),
        epoch: desired.epoch,
        ..View::default()
    };
    view.troubles = lock(&service.troubles).clone();
    let Some(allotted) = allotted else { return Ok(view) };
    for arm in [Arm::Blue, Arm::Green] {
        view.arms.insert(arm, arms::seen(host, service, arm, allotted.of(arm)));
    }
    view.listens = service
        .settings()
        .and_then(|settings| {
            proxy::plan(host, &service.name, &settings.declared.proxy, allotted).ok()
        })
        .map(|wiring| wiring.listens)
        .unwrap_or_default();
    (view.pieces, view.put_back) = lock(&service.wired).found();
    view.drift = super::reconcile::drift(host, service, &desired, &view);
    Ok(view)
}
