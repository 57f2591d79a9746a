//! Keeping logs at the size that is declared: the access log by rename, the arms' own output in
//! place where systemd writes it. Supervisor rotates what it writes itself.

use std::collections::BTreeSet;

use guanka_core::facts::declared::Manager;
use guanka_core::name::Arm;
use guanka_world::managers::systemd::Systemd;
use guanka_world::{proxy, rotate};

use guanka_world::hostroot::HostRoot;

use super::service::Kept;

/// Rotates what is due; what cannot be rotated is noted once, not at every look.
pub(super) fn tick(host: &HostRoot, service: &Kept, noted: &mut BTreeSet<String>) {
    let Some(settings) = service.settings() else { return };
    let logs = &settings.declared.logs;
    let mut note = |path: &std::path::Path, error: &std::io::Error| {
        let text = format!("{}: {error}", path.display());
        if noted.insert(text.clone()) {
            service.note(host, "log-not-rotated", &serde_json::json!({ "why": text }));
        }
    };
    if let Some(log) = proxy::access_log_of(host, &service.name) {
        let mut reopen = || proxy::reopen_logs(host).map_err(std::io::Error::other);
        if let Err(error) = rotate::by_rename(&log, logs, &mut reopen) {
            note(&log, &error);
        }
    }
    let is_supervisors = settings.declared.process.manager == Manager::Supervisor;
    if is_supervisors || Systemd::find(host).is_none() {
        return;
    }
    for arm in [Arm::Blue, Arm::Green] {
        let log = host.arm_log(&service.name, arm);
        if let Err(error) = rotate::in_place(&log, logs) {
            note(&log, &error);
        }
    }
}
