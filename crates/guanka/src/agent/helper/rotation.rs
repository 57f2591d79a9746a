//! Keeping logs within what is declared: room made for them first, then the access log and, under
//! Supervisor, the arms' output by rename, under systemd in place. What cannot be done is shown by
//! `status` until it can, and noted once.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use guanka_core::facts::declared::{Declared, LogPlace, Manager};
use guanka_core::name::Arm;
use guanka_core::say::Said;
use guanka_world::hostroot::HostRoot;
use guanka_world::managers::supervisor::Supervisor;
use guanka_world::managers::systemd::Systemd;
use guanka_world::rotate::{self, Outcome, Turn};
use guanka_world::{clock, proxy};

use super::super::stores::lock;
use super::service::Kept;

/// How an arm's writer gives up a log.
enum Writer {
    /// It opens it anew when told to.
    Reopens(Supervisor),
    /// It holds it for ever.
    Holds,
}

/// Looks at a service's logs. `noted` remembers what was said, so that it is said once.
pub(super) fn tick(host: &HostRoot, service: &Kept, noted: &mut BTreeSet<String>) {
    let Some(settings) = service.settings() else { return };
    let declared = &settings.declared;
    let access = proxy::access_log_of(host, &service.name);
    let arms = [Arm::Blue, Arm::Green].map(|arm| host.arm_log(&service.name, arm));
    let all: Vec<PathBuf> = access.iter().chain(&arms).cloned().collect();
    let mut troubles = Vec::new();
    make_room(host, service, declared, &all, &mut troubles);
    let mut look = |log: &Path, rotated: io::Result<Outcome>| match rotated {
        Ok(Outcome::NotDue | Outcome::Rotated) => {}
        Ok(Outcome::RotatedOnFullDisk) => troubles.push(full(log)),
        Err(error) => troubles.push(not_rotated(log, &error)),
    };
    let now_ms = clock::now_ms();
    if let Some(log) = &access {
        let mut reopen = || proxy::reopen_logs(host).map_err(io::Error::other);
        let turn = Turn { log, logs: &declared.logs, now_ms };
        look(log, rotate::by_rename(&turn, &mut reopen));
    }
    if declared.logs.place == LogPlace::File {
        let writer = writer(host, declared);
        for log in &arms {
            let turn = Turn { log, logs: &declared.logs, now_ms };
            let rotated = match &writer {
                None => continue,
                Some(Writer::Holds) => rotate::in_place(&turn),
                Some(Writer::Reopens(supervisor)) => rotate::by_rename(&turn, &mut || {
                    supervisor.reopen_logs().map_err(io::Error::other)
                }),
            };
            look(log, rotated);
        }
    }
    for trouble in &troubles {
        if noted.insert(format!("{} {}", service.name, trouble.en)) {
            let why = serde_json::json!({ "why": trouble.en });
            service.note(host, "log-trouble", &why);
        }
    }
    *lock(&service.troubles) = troubles;
}

/// Returns who writes the arms' output; `None` where no manager is found.
fn writer(host: &HostRoot, declared: &Declared) -> Option<Writer> {
    let is_systemd = declared.process.manager != Manager::Supervisor;
    if is_systemd && Systemd::find(host).is_some() {
        return Some(Writer::Holds);
    }
    Supervisor::find(host).ok().flatten().map(Writer::Reopens)
}

/// Has the oldest archives go where logs are beyond their budget or the disk is nearly full.
fn make_room(
    host: &HostRoot,
    service: &Kept,
    declared: &Declared,
    logs: &[PathBuf],
    troubles: &mut Vec<Said>,
) {
    match rotate::make_room(logs, declared.logs.budget) {
        Ok(usage) => {
            if usage.gone > 0 {
                let detail = serde_json::json!({ "archives": usage.gone, "left": usage.all });
                service.note(host, "log-archives-removed", &detail);
            }
            if usage.lacking.0 > 0 {
                let (all, lacking) = (usage.all.0 >> 20, usage.lacking.0 >> 20);
                troubles.push(Said::new(
                    format!(
                        "日志所在磁盘快满,归档已无可删(还差 {lacking} MiB);日志占 {all} MiB,写满后\
                         新日志会丢。请清理磁盘"
                    ),
                    format!(
                        "the disk of the logs is nearly full and no archive is left to go \
                         ({lacking} MiB are missing; logs take {all} MiB): once it is full, new \
                         lines are lost. Make room"
                    ),
                ));
            } else if usage.all > declared.logs.budget {
                troubles.push(Said::new(
                    format!("日志超出预算:共 {} MiB,已无归档可删", usage.all.0 >> 20),
                    format!(
                        "logs are beyond their budget: {} MiB, and no archive is left to go",
                        usage.all.0 >> 20
                    ),
                ));
            }
        }
        Err(error) => troubles.push(Said::new(
            format!("无法清点日志:{error}"),
            format!("logs could not be counted: {error}"),
        )),
    }
}

fn full(log: &Path) -> Said {
    let log = log.display();
    Said::new(
        format!("磁盘已满:切割 {log} 时提前删除了最旧的归档。请清理磁盘"),
        format!("the disk is full: the oldest archives of {log} went early. Make room"),
    )
}

fn not_rotated(log: &Path, error: &io::Error) -> Said {
    let log = log.display();
    Said::new(format!("{log} 未能切割:{error}"), format!("{log} was not rotated: {error}"))
}
