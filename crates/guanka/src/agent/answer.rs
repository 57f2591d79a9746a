//! Requests in, answers out. What changes a service needs the present epoch; what only looks needs
//! nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use guanka_core::facts::declared::Declared;
use guanka_core::facts::release::Manifest;
use guanka_core::name::{Arm, ServiceName};
use guanka_core::say::Said;
use guanka_world::managers::ArmStatus;
use guanka_world::ports::{ArmPorts, PortError};
use guanka_world::releases::Store;
use guanka_world::store::StoreError;
use guanka_world::transport::server::Session;
use guanka_world::transport::wire::{
    Answer, ArmView, CanaryView, FailedKind, HostView, PROTOCOL, Request,
};
use guanka_world::{clock, files, ports, process, proxy};

use super::effects::{could_not, fenced};
use super::service::{Service, Settings};
use super::stores::{Agent, lock};
use super::{adoption, arms, effects, ejection, lease, output, preview};

/// Answers one request.
pub(super) fn answer(agent: &Arc<Agent>, request: Request, session: &mut Session<'_>) -> Answer {
    match request {
        Request::Hello { protocol } => hello(agent, protocol),
        Request::TakeLease { service, holder, taking } => {
            let service = agent.service(&service);
            lease::take(agent, &service, &holder, taking).unwrap_or_else(store_failed)
        }
        Request::RenewLease { service, epoch } => {
            done_if(lease::renew(&agent.service(&service), epoch), epoch)
        }
        Request::GiveLease { service, epoch } => {
            lease::give(agent, &agent.service(&service), epoch);
            Answer::Done
        }
        Request::Append { service, epoch, number, record } => {
            guarded(agent, &service, epoch, |agent, service| {
                let now = clock::now_ms();
                match agent.journal().append(&service.name, number, now, &record) {
                    Ok(row) => Answer::Appended { row },
                    Err(error) => store_failed(error),
                }
            })
        }
        Request::Configure { epoch, declared, routes } => {
            let name = declared.service.clone();
            guarded(agent, &name, epoch, |agent, service| {
                let settings = Settings { declared: *declared, routes };
                match service.configure(&agent.host, settings) {
                    Ok(()) => Answer::Done,
                    Err(error) => could_not(&error.to_string()),
                }
            })
        }
        Request::Install { service, epoch } => guarded(agent, &service, epoch, install),
        Request::Remove { service, epoch } => guarded(agent, &service, epoch, |agent, service| {
            match adoption::refuse_removal(agent, service) {
                Some(refused) => refused,
                None => remove(agent, service),
            }
        }),
        Request::Adopt { service, epoch, wanted, consent } => {
            guarded(agent, &service, epoch, |agent, service| {
                adoption::adopt(agent, service, &wanted, consent)
            })
        }
        Request::Leave { service, epoch } => {
            let service = agent.service(&service);
            match lease::allows(&service, epoch) {
                true => adoption::leave(agent, &service, epoch),
                false => fenced(epoch),
            }
        }
        Request::Stage { service, epoch, manifest } => {
            stage(agent, &service, epoch, &manifest, session)
        }
        Request::Perform { service, effect, release } => {
            let service = agent.service(&service);
            effects::perform(agent, &service, *effect, release)
        }
        Request::Audit { service, epoch, record } => {
            guarded(agent, &service, epoch, |agent, service| {
                let name = service.name.to_string();
                match agent.audit().append(&name, clock::now_ms(), &record) {
                    Ok(_) => Answer::Done,
                    Err(error) => store_failed(error),
                }
            })
        }
        other => look(agent, other),
    }
}

/// Answers what changes nothing, and reports, which change only what is read.
fn look(agent: &Arc<Agent>, request: Request) -> Answer {
    match request {
        Request::ReadJournal { service, from } => match agent.journal().read(&service, from) {
            Ok(rows) => Answer::Journal { rows },
            Err(error) => store_failed(error),
        },
        Request::PlanInstall { declared } => plan(agent, &declared),
        Request::HostFacts => {
            let facts = guanka_world::collect::host_facts(agent.host.root());
            Answer::HostFacts { facts: Box::new(facts) }
        }
        Request::PlanAdoption { service, wanted, declared, consent } => {
            let declared = declared.as_deref();
            match adoption::preview(&agent.host, &service, &wanted, declared, consent) {
                Ok((found, changes)) => Answer::Adoption { found: Box::new(found), changes },
                Err(why) => refused(why),
            }
        }
        Request::PlanLeaving { service } => {
            match adoption::preview_leaving(&agent.host, &service) {
                Ok(lines) => Answer::Leaving { lines },
                Err(why) => refused(why),
            }
        }
        Request::Observe { service } => observe(agent, &service),
        Request::Windows { service, source, from_ms, to_ms } => {
            let read_to_ms = lock(&agent.service(&service).log).read_to_ms;
            match agent.metrics().windows(&service, source, from_ms, to_ms) {
                Ok(windows) => Answer::Windows { windows, read_to_ms },
                Err(error) => store_failed(error),
            }
        }
        Request::Logs { service, arm, lines } => {
            match output::tail(agent, &agent.service(&service), arm, lines) {
                Ok(lines) => Answer::Lines { lines },
                Err(error) => could_not(&error.to_string()),
            }
        }
        Request::Services => Answer::Services {
            services: agent.all().iter().map(|service| service.name.clone()).collect(),
        },
        Request::ReadAudit { from } => match agent.audit().read(from) {
            Ok(entries) => Answer::AuditLog { entries },
            Err(error) => store_failed(error),
        },
        Request::Verify => verify(agent),
        Request::StoreReport { service, number, report } => {
            let folder = agent.host.service_state(&service).join("reports");
            let path = folder.join(format!("{number}.json"));
            let stored = files::make_state(&agent.host, &service)
                .and_then(|()| files::make_dir(&folder, 0o700))
                .and_then(|()| files::replace(&path, report.as_bytes(), 0o600));
            stored.map_or_else(|error| could_not(&error.to_string()), |()| Answer::Done)
        }
        Request::ReadReport { service, number } => read_report(agent, &service, number),
        _ => could_not("this request changes something and came the wrong way"),
    }
}

fn hello(agent: &Agent, protocol: u32) -> Answer {
    if protocol != PROTOCOL {
        return Answer::Failed {
            kind: FailedKind::Refused,
            why: Said::new(
                format!("命令行的协议版本是 {protocol},agent 的是 {PROTOCOL}"),
                format!("the command line speaks protocol {protocol}, the agent {PROTOCOL}"),
            ),
            next: Said::new("让两边用同一版 guanka", "use the same guanka on both sides"),
        };
    }
    match clock::reading() {
        Ok(clock) => Answer::Hello {
            protocol: PROTOCOL,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            root: agent.host.root().display().to_string(),
            arch: guanka_world::build::host_arch().to_owned(),
            clock,
        },
        Err(error) => could_not(&error.to_string()),
    }
}

/// Does something that changes a service, for the driver that holds its lease.
fn guarded(
    agent: &Arc<Agent>,
    service: &ServiceName,
    epoch: u64,
    act: impl FnOnce(&Agent, &Service) -> Answer,
) -> Answer {
    let service = agent.service(service);
    if lease::allows(&service, epoch) { act(agent, &service) } else { fenced(epoch) }
}

fn stage(
    agent: &Arc<Agent>,
    service: &ServiceName,
    epoch: u64,
    manifest: &Manifest,
    session: &mut Session<'_>,
) -> Answer {
    let mut contents = BTreeMap::new();
    for file in &manifest.files {
        match session.file(file.size_bytes) {
            Ok(bytes) => contents.insert(file.path.clone(), bytes),
            Err(error) => return could_not(&error.to_string()),
        };
    }
    guarded(agent, service, epoch, |agent, service| {
        let store = Store::new(&agent.host, &service.name);
        let staged = store.stage(manifest, &mut |file| {
            let bytes = contents.get(&file.path).cloned().unwrap_or_default();
            Ok(Box::new(std::io::Cursor::new(bytes)))
        });
        match staged {
            Ok(staged) => {
                if let Some(damage) = &staged.healed {
                    let detail = serde_json::json!({
                        "release": staged.digest, "damage": damage.to_string(),
                    });
                    agent.note(&service.name, "damaged-release-replaced", detail);
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
    })
}

/// Returns what an install would change, or what stands in its way: before a rollout begins and not
/// in the middle of it.
fn plan(agent: &Agent, declared: &Declared) -> Answer {
    let service = agent.service(&declared.service);
    // Ports that were never allotted are free by the way they are chosen.
    match ports::allotted(&agent.host, &service.name) {
        Ok(Some(allotted)) => {
            service.hold_idle_ports(&agent.host, arms::manager(agent, &service).ok().as_deref());
            if let Some(taken) = taken_port(agent, &service, allotted) {
                return arms::port_taken(&taken);
            }
        }
        Ok(None) => {}
        Err(error) => return could_not(&error.to_string()),
    }
    match preview::changes(&agent.host, declared) {
        Ok(changes) => Answer::Plan { changes },
        Err(why) => refused(why),
    }
}

/// Returns the port of an arm that somebody else has. An arm that runs has its own port; any other
/// port that nobody holds for us is told of now, before a build and not after it.
fn taken_port(agent: &Agent, service: &Service, allotted: ArmPorts) -> Option<PortError> {
    [Arm::Blue, Arm::Green].into_iter().find_map(|arm| {
        let is_own = arms::owns_its_port(agent, service, arm);
        if is_own { None } else { arms::is_free(service, arm, allotted.of(arm)).err() }
    })
}

fn install(agent: &Agent, service: &Service) -> Answer {
    let Some(settings) = service.settings() else {
        return could_not("the service is not configured");
    };
    let _doing = lock(&service.doing);
    let allotted = match ports::allot(&agent.host, &service.name) {
        Ok(allotted) => allotted,
        Err(error) => return refused(error.said()),
    };
    let planned = proxy::plan(&agent.host, &service.name, &settings.declared.proxy, allotted);
    let wiring = match planned {
        Ok(wiring) => wiring,
        Err(error) => return refused(error.said()),
    };
    service.hold_idle_ports(&agent.host, arms::manager(agent, service).ok().as_deref());
    if let Some(taken) = taken_port(agent, service, allotted) {
        return arms::port_taken(&taken);
    }
    match proxy::install(&agent.host, &wiring) {
        Ok(applied) => {
            let changed = matches!(applied, proxy::Applied::Reloaded { .. });
            agent.note(&service.name, "installed", serde_json::json!({ "reloaded": changed }));
            Answer::Done
        }
        Err(error) => refused(error.said()),
    }
}

/// Takes a service off the host: first out of nginx, then its arms, then its folders.
fn remove(agent: &Agent, service: &Service) -> Answer {
    let _doing = lock(&service.doing);
    if let Err(error) = proxy::remove(&agent.host, &service.name) {
        return refused(error.said());
    }
    let grace = service.settings().map(|s| s.declared.process.stop_grace);
    let grace = grace.unwrap_or(guanka_core::quantity::Millis::from_secs(15));
    if let Ok(manager) = arms::manager(agent, service) {
        for arm in [Arm::Blue, Arm::Green] {
            if let Err(error) = manager.remove(&service.name, arm, grace) {
                return refused(error.said());
            }
        }
    }
    lock(&service.held).clear();
    let gone = ports::give_back(&agent.host, &service.name)
        .map_err(|error| error.to_string())
        .and_then(|()| {
            let folders = [
                agent.host.home(&service.name),
                agent.host.service_state(&service.name),
                agent.host.arm_logs(&service.name),
            ];
            folders.iter().try_for_each(|f| files::remove_tree(f)).map_err(|e| e.to_string())
        });
    agent.forget(&service.name);
    gone.map_or_else(|why| could_not(&why), |()| Answer::Done)
}

fn observe(agent: &Agent, name: &ServiceName) -> Answer {
    let service = agent.service(name);
    let allotted = match ports::allotted(&agent.host, name) {
        Ok(allotted) => allotted,
        Err(error) => return could_not(&error.to_string()),
    };
    let store = Store::new(&agent.host, name);
    let mut views = BTreeMap::new();
    for arm in [Arm::Blue, Arm::Green] {
        let Some(allotted) = allotted else { continue };
        let status = arms::seen(agent, &service, arm, allotted.of(arm));
        let pid = match status {
            ArmStatus::Running { pid } => Some(pid),
            _ => None,
        };
        views.insert(
            arm,
            ArmView {
                release: store.arm_release(arm),
                port: allotted.of(arm),
                pid,
                is_ready: pid.is_some() && lock(&service.health).is_ready(arm),
                is_failing: lock(&service.health).is_failing(arm),
                is_crashing: matches!(status, ArmStatus::Failed { .. }),
            },
        );
    }
    let site = service.settings().zip(allotted).and_then(|(settings, allotted)| {
        let proxy = &settings.declared.proxy;
        let wiring = proxy::plan(&agent.host, name, proxy, allotted).ok()?;
        wiring.listens.first().map(ToString::to_string)
    });
    let epoch = match agent.journal().epoch(name) {
        Ok(epoch) => epoch,
        Err(error) => return store_failed(error),
    };
    let canary = lock(&service.canary).as_ref().map(|canary| CanaryView {
        seq: canary.stored.seq,
        arm: canary.stored.arm,
        has_expired: canary.stored.has_expired,
    });
    let (drift, put_back) = lock(&service.wired).found();
    let view = HostView {
        is_installed: proxy::access_log_of(&agent.host, name).is_some(),
        green: proxy::share::read(&agent.host, name),
        active: files::read_text(&agent.host.active_file(name), 64)
            .ok()
            .and_then(|text| Arm::parse(text.trim())),
        arms: views,
        ejected: ejection::ejected(&agent.host, name).map(|ejected| ejected.arm),
        lease: lock(&service.lease).as_ref().and_then(lease::Lease::view),
        canary,
        epoch,
        site,
        broken_lines: lock(&service.log).broken,
        drift,
        put_back,
    };
    Answer::Observed { view: Box::new(view) }
}

fn verify(agent: &Agent) -> Answer {
    let (audit, head) = match agent.audit().verify() {
        Ok(found) => found,
        Err(error) => return broken("the audit log", "审计日志", &error),
    };
    let journal = agent.journal();
    let services = match journal.services() {
        Ok(services) => services,
        Err(error) => return store_failed(error),
    };
    let mut journals = BTreeMap::new();
    for service in services {
        match journal.verify(&service) {
            Ok(count) => journals.insert(service.to_string(), count),
            Err(error) => {
                let (en, zh) = (format!("the journal of {service}"), format!("{service} 的日志"));
                return broken(&en, &zh, &error);
            }
        };
    }
    Answer::Verified { audit, head, journals }
}

fn read_report(agent: &Agent, service: &ServiceName, number: Option<u64>) -> Answer {
    let folder = agent.host.service_state(service).join("reports");
    let numbers = files::folder_names(&folder).unwrap_or_default();
    let newest = numbers
        .iter()
        .filter_map(|name| name.strip_suffix(".json").and_then(|n| n.parse::<u64>().ok()))
        .max();
    let none = || Answer::Failed {
        kind: FailedKind::NotThere,
        why: Said::new(format!("{service} 没有这份报告"), format!("{service} has no such report")),
        next: Said::new("用 `guanka status` 查看发布编号", "see the numbers with `guanka status`"),
    };
    let Some(number) = number.or(newest) else { return none() };
    match files::read_text(&folder.join(format!("{number}.json")), 64 << 20) {
        Ok(report) => Answer::Report { number, report },
        Err(_) => none(),
    }
}

fn done_if(is_done: bool, epoch: u64) -> Answer {
    if is_done { Answer::Done } else { fenced(epoch) }
}

pub(super) fn refused(why: Said) -> Answer {
    Answer::Failed {
        kind: FailedKind::CouldNot,
        why,
        next: Said::new(
            "什么也没有改动;修好后再试",
            "nothing was changed; put it right and try again",
        ),
    }
}

fn broken(en: &str, zh: &str, error: &StoreError) -> Answer {
    Answer::Failed {
        kind: FailedKind::Broken,
        why: Said::new(format!("{zh}不完整:{error}"), format!("{en} is not whole: {error}")),
        next: Said::new(
            "不要继续发布;与备份比对,找出被改动的行",
            "stop shipping; compare with a backup and find the changed row",
        ),
    }
}

fn store_failed(error: StoreError) -> Answer {
    could_not(&error.to_string())
}

/// Returns who this process is, as the holder of a lease.
pub(crate) fn own_name() -> String {
    let pid = std::process::id();
    let start = process::started(pid).unwrap_or(0);
    format!("{} pid {pid} start {start}", process::who())
}
