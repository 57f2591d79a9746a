//! Keeping logs at the size that is declared: the access log by rename, the arms' own output in
//! place where systemd writes it. Supervisor rotates what it writes itself.

use std::collections::BTreeSet;

use guanka_core::facts::declared::Manager;
use guanka_core::name::Arm;
use guanka_world::managers::systemd::Systemd;
use guanka_world::{proxy, rotate};

use super::service::Service;
use super::stores::Agent;

/// Rotates what is due; what cannot be rotated is noted once, not at every look.
pub(super) fn tick(agent: &Agent, service: &Service, noted: &mut BTreeSet<String>) {
    let Some(settings) = service.settings() else { return };
    let logs = &settings.declared.logs;
    let mut note = |path: &std::path::Path, error: &std::io::Error| {
        let text = format!("{}: {error}", path.display());
        if noted.insert(text.clone()) {
            agent.note(&service.name, "log-not-rotated", serde_json::json!({ "why": text }));
        }
    };
    if let Some(log) = proxy::access_log_of(&agent.host, &service.name) {
        let mut reopen = || proxy::reopen_logs(&agent.host).map_err(std::io::Error::other);
        if let Err(error) = rotate::by_rename(&log, logs, &mut reopen) {
            note(&log, &error);
        }
    }
    let is_supervisors = settings.declared.process.manager == Manager::Supervisor;
    if is_supervisors || Systemd::find(&agent.host).is_none() {
        return;
    }
    for arm in [Arm::Blue, Arm::Green] {
        let log = agent.host.arm_log(&service.name, arm);
        if let Err(error) = rotate::in_place(&log, logs) {
            note(&log, &error);
        }
    }
}
