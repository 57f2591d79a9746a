//! Keeping a host at what was ordered: looked at again and again, whatever changed it. What is
//! decided is core's; what cannot be put right, or may not be, is told to whoever asks.

use guanka_core::name::Arm;
use guanka_core::rollout::desired::{Desired, Drift, Seen};
use guanka_world::hostroot::HostRoot;
use guanka_world::managers::ArmStatus;
use guanka_world::{ports, proxy};

use super::super::verb::View;
use super::adoption;
use super::arms;
use super::service::Kept;

/// Returns in what the host differs from the document.
pub(super) fn drift(host: &HostRoot, service: &Kept, desired: &Desired, view: &View) -> Vec<Drift> {
    let mut seen = Seen { green: proxy::share::read(host, &service.name), ..Seen::default() };
    for (arm, found) in &view.arms {
        seen.releases.extend(found.release.clone().map(|release| (*arm, release)));
        match found.status {
            // A listener that is somebody else's is no arm.
            Some(ArmStatus::Running { .. }) if found.owns_port => seen.running.push(*arm),
            Some(ArmStatus::Stopped) => seen.stopped.push(*arm),
            _ => {}
        }
    }
    desired.drift(&seen)
}

/// Puts right what the host does by itself.
pub(super) fn tick(host: &HostRoot, service: &Kept) {
    // A verb under way changes host and document one after the other.
    let Ok(_doing) = service.doing.try_lock() else { return };
    service.save(host);
    adoption::give_up(host, service);
    let Ok(desired) = service.desired() else { return };
    if desired.green.is_none() && desired.arms.is_empty() {
        return;
    }
    let Ok(Some(allotted)) = ports::allotted(host, &service.name) else { return };
    let mut view = View::default();
    for arm in [Arm::Blue, Arm::Green] {
        view.arms.insert(arm, arms::seen(host, service, arm, allotted.of(arm)));
    }
    for drift in drift(host, service, &desired, &view) {
        let done = desired.puts_right(&drift) && put_right(host, service, &drift);
        if done {
            let detail = serde_json::json!({ "was": drift });
            service.note(host, "drift-put-right", &detail);
        }
    }
}

fn put_right(host: &HostRoot, service: &Kept, drift: &Drift) -> bool {
    match drift {
        Drift::Share { wanted, .. } => {
            // The folders of the shares may be gone with the link.
            proxy::share::build(host, &service.name).is_ok()
                && proxy::share::swap(host, &service.name, *wanted).is_ok()
        }
        Drift::Stopped { arm } => {
            // An adopted program is its keeper's to start.
            if adoption::is_kept_elsewhere(host, service, *arm) {
                return false;
            }
            let Ok(manager) = arms::manager(host, service) else { return false };
            super::super::stores::lock(&service.held).remove(arm);
            manager.start(&service.name, *arm).is_ok()
        }
        Drift::Runs { .. } | Drift::Release { .. } => false,
    }
}
