//! Requests in, answers out; what needs root is the helper's to do. What changes a service needs
//! the present epoch; what only looks needs nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use guanka_core::facts::declared::Proxy;
use guanka_core::facts::release::Manifest;
use guanka_core::name::ServiceName;
use guanka_core::rollout::desired::Drift;
use guanka_core::say::{Said, Text};
use guanka_world::managers::{ArmStatus, spec};
use guanka_world::store::StoreError;
use guanka_world::transport::server::Session;
use guanka_world::transport::wire::{
    Answer, ArmView, CanaryView, FailedKind, HostView, PROTOCOL, Request,
};
use guanka_world::{clock, files, process, prove, proxy};

use super::hands::UNFIT;
use super::refusal::{NO_PORTS, could_not, fenced, no_file, refused, stopped};
use super::service::{Service, Settings};
use super::stores::{Agent, lock};
use super::verb::{Reply, Verb};
use super::{adoption, effects, lease, liveness};

const WRONG_WAY: Text = Text {
    zh: "这个请求会改动服务,却被当作只读请求处理",
    en: "this request changes something and came the wrong way",
};

/// Answers one request.
pub(super) fn answer(agent: &Arc<Agent>, request: Request, session: &mut Session<'_>) -> Answer {
    match request {
        Request::Hello { protocol } => hello(agent, protocol),
        Request::TakeLease { service, holder, taking } => {
            let service = agent.service(&service);
            let taken = lease::take(agent, &service, &holder, taking);
            taken.unwrap_or_else(|error| refused(of_store(agent, error)))
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
                    Err(error) => store_failed(agent, error),
                }
            })
        }
        Request::Configure { epoch, declared, routes } => {
            let name = declared.service.clone();
            guarded(agent, &name, epoch, |agent, service| {
                let settings = Settings { declared: *declared, routes };
                let kept = Box::new(settings.clone());
                let answer = agent.hands.answer(&Verb::Configure { epoch, settings: kept });
                if matches!(answer, Answer::Done) {
                    service.use_settings(settings);
                }
                answer
            })
        }
        Request::Install { service, epoch } => {
            guarded(agent, &service, epoch, |agent, service| install(agent, service, epoch))
        }
        Request::Remove { service, epoch } => {
            guarded(agent, &service, epoch, |agent, service| remove(agent, service, epoch))
        }
        Request::Adopt { service, epoch, wanted, consent } => {
            guarded(agent, &service, epoch, |agent, service| {
                adoption::adopt(agent, service, epoch, wanted, consent)
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
                    Err(error) => store_failed(agent, error),
                }
            })
        }
        other => look(agent, other),
    }
}

/// Answers what changes nothing, and reports, which change only what is read.
fn look(agent: &Arc<Agent>, request: Request) -> Answer {
    match request {
        Request::ReadJournal { service, from } => match agent.journal().page(&service, from) {
            Ok(page) => Answer::Journal { rows: page.records, next: page.next },
            Err(error) => store_failed(agent, error),
        },
        Request::PlanInstall { declared } => agent.hands.answer(&Verb::Plan { declared }),
        Request::HostFacts => agent.hands.answer(&Verb::HostFacts),
        Request::PlanAdoption { service, wanted, declared, consent } => {
            agent.hands.answer(&Verb::PlanAdoption { service, wanted, declared, consent })
        }
        Request::PlanLeaving { service } => agent.hands.answer(&Verb::PlanLeaving { service }),
        Request::Observe { service } => observe(agent, &service),
        Request::Windows { service, source, from_ms, to_ms } => {
            let read_to_ms = lock(&agent.service(&service).log).read_to_ms;
            match agent.metrics().windows(&service, source, from_ms, to_ms) {
                Ok(windows) => Answer::Windows { windows, read_to_ms },
                Err(error) => store_failed(agent, error),
            }
        }
        Request::Logs { service, arm, from, unfinished } => {
            agent.hands.answer(&Verb::Output { service, arm, from, unfinished })
        }
        Request::Services => Answer::Services {
            services: agent.all().iter().map(|service| service.name.clone()).collect(),
        },
        Request::ReadAudit { from } => match agent.audit().page(from) {
            Ok(page) => Answer::AuditLog { entries: page.records, next: page.next },
            Err(error) => store_failed(agent, error),
        },
        Request::Verify => verify(agent),
        Request::StoreReport { service, number, report } => {
            let own = agent.host.worker_service(&service);
            let folder = own.join("reports");
            let path = folder.join(format!("{number}.json"));
            let stored = files::make_dir(&own, 0o700)
                .and_then(|()| files::make_dir(&folder, 0o700))
                .and_then(|()| files::replace(&path, report.as_bytes(), 0o600));
            stored.map_or_else(|error| no_file(&error), |()| Answer::Done)
        }
        Request::ReadReport { service, number } => read_report(agent, &service, number),
        _ => could_not(WRONG_WAY),
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
        Err(error) => could_not(&error),
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
    let mut files = match session.files() {
        Ok(files) => files,
        Err(error) => return could_not(&error),
    };
    let answer = if lease::allows(&agent.service(service), epoch) {
        agent.hands.stage((service, epoch), manifest, &mut files)
    } else {
        fenced(epoch)
    };
    // What follows the request is read all the same: the next one stands behind it.
    match files.pass(manifest.files.len()) {
        Ok(()) => answer,
        Err(error) => could_not(&error),
    }
}

/// Has a service put behind nginx, and proves that what is to be closed is.
fn install(agent: &Agent, service: &Service, epoch: u64) -> Answer {
    let _doing = lock(&service.doing);
    let answer = agent.hands.answer(&Verb::Install { service: service.name.clone(), epoch });
    service.look(agent);
    match (answer, service.settings()) {
        (Answer::Done, Some(settings)) => closed(agent, service, &settings.declared.proxy),
        (other, _) => other,
    }
}

/// Takes a service off the host, and forgets what was kept of it here.
fn remove(agent: &Agent, service: &Service, epoch: u64) -> Answer {
    let _doing = lock(&service.doing);
    let answer = agent.hands.answer(&Verb::Remove { service: service.name.clone(), epoch });
    if !matches!(answer, Answer::Done) {
        return answer;
    }
    let gone = files::remove_tree(&agent.host.worker_service(&service.name));
    agent.forget(&service.name);
    gone.map_or_else(|error| could_not(&error), |()| Answer::Done)
}

/// Proves that what is closed to the outside is closed, whoever else's site leads to an arm.
fn closed(agent: &Agent, service: &Service, proxy: &Proxy) -> Answer {
    let Some(ports) = service.ports() else { return could_not(NO_PORTS) };
    let ways = match agent.hands.ask(&Verb::Ways { service: service.name.clone() }) {
        Ok(Reply::Ways(ways)) => ways,
        Ok(_) => return could_not(UNFIT),
        Err(error) => return could_not(&error),
    };
    let nonce = match prove::Nonce::fresh() {
        Ok(nonce) => nonce,
        Err(error) => return could_not(&error),
    };
    // Known as ours before the first question, so that none counts as a user's.
    lock(&service.log).ours.insert(nonce.as_str().to_owned());
    match prove::closed::prove(&ways, proxy, ports, &nonce) {
        Ok(found) => {
            let detail = serde_json::json!({
                "questions": found.questions, "unasked": found.unasked,
            });
            agent.note(&service.name, "closed-paths-proven", detail);
            Answer::Done
        }
        Err(open) => {
            let detail = serde_json::json!({ "cause": open.to_string() });
            agent.note(&service.name, "closed-path-open", detail);
            Answer::Failed { kind: FailedKind::CouldNot, why: open.said(), next: open.next() }
        }
    }
}

fn observe(agent: &Agent, name: &ServiceName) -> Answer {
    let service = agent.service(name);
    let view = match agent.hands.view(name) {
        Ok(view) => view,
        Err(why) => return could_not(why),
    };
    service.place(&view);
    let liveness = service.settings().map(|s| s.declared.process.liveness.clone());
    let mut arms = BTreeMap::new();
    for (arm, seen) in &view.arms {
        let pid = match seen.status {
            Some(ArmStatus::Running { pid }) => Some(pid),
            _ => None,
        };
        let health = lock(&service.health);
        arms.insert(
            *arm,
            ArmView {
                release: seen.release.clone(),
                port: view.ports.map_or(0, |ports| ports.of(*arm)),
                pid,
                is_ready: pid.is_some() && health.is_ready(*arm),
                is_failing: health.is_failing(*arm),
                is_crashing: matches!(seen.status, Some(ArmStatus::Failed { .. })),
                is_hung: liveness
                    .as_ref()
                    .is_some_and(|l| lock(&service.liveness).is_hung(*arm, l)),
                restarts: liveness
                    .as_ref()
                    .map_or(0, |l| liveness::restarts(&agent.host, name, *arm, l)),
            },
        );
    }
    let epoch = match agent.journal().epoch(name) {
        Ok(epoch) => epoch.max(view.epoch),
        Err(error) => return store_failed(agent, error),
    };
    let desired = service.desired(&agent.host);
    let canary = desired.canary.as_ref().map(|canary| CanaryView {
        seq: canary.seq,
        arm: canary.arm,
        has_expired: canary.has_expired,
    });
    let view = HostView {
        is_installed: view.access_log.is_some(),
        green: proxy::share::read(&agent.host, name),
        active: spec::active(&agent.host, name),
        arms,
        ejected: desired.ejected.map(|ejected| ejected.arm),
        candidate: desired.candidate(),
        lease: lock(&service.lease).as_ref().and_then(lease::Lease::view),
        canary,
        epoch,
        site: view.listens.first().map(ToString::to_string),
        broken_lines: lock(&service.log).broken,
        drift: view.drift.iter().map(Drift::said).collect(),
        troubles: view.troubles,
        pieces: view.pieces,
        put_back: view.put_back,
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
        Err(error) => return store_failed(agent, error),
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
    let folder = agent.host.worker_service(service).join("reports");
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

fn store_failed(agent: &Agent, error: StoreError) -> Answer {
    stopped(of_store(agent, error))
}

fn of_store(agent: &Agent, error: StoreError) -> Said {
    error.in_folder(&agent.host.worker_state()).said()
}

/// Returns who this process is, as the holder of a lease.
pub(crate) fn own_name() -> String {
    let pid = std::process::id();
    let start = process::started(pid).unwrap_or(0);
    format!("{} pid {pid} start {start}", process::who())
}
