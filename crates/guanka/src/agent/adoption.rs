//! A program that ran before guanka came, taken in as the arm blue where it runs, and given back:
//! first nginx in one reload, then everything by the ordinary steps of a rollout.

use std::sync::Arc;

use guanka_core::facts::declared::Declared;
use guanka_core::name::{Arm, ServiceName};
use guanka_core::quantity::{Millis, SharePercent};
use guanka_core::rollout::event::Event;
use guanka_core::rollout::share::on_disk;
use guanka_core::rollout::spec::HostName;
use guanka_core::say::Said;
use guanka_world::adoption::view::FoundView;
use guanka_world::adoption::{self, ARM, AdoptError, Adopted, Phase, Running, Wanted};
use guanka_world::hostroot::HostRoot;
use guanka_world::managers::spec::{self, ArmSpec};
use guanka_world::ports::ArmPorts;
use guanka_world::proxy::{self, Consent, Wiring};
use guanka_world::releases::Store;
use guanka_world::transport::wire::{Answer, HostChange};
use guanka_world::{ports, probe};

use super::answer::refused;
use super::arms::{self, ArmCommand};
use super::jobs::Progress;
use super::service::Service;
use super::stores::{Agent, lock};
use super::{preview, share};
use crate::failure::because;

/// How long the program that is given back may take until it is ready.
const BACK_LIMIT: Millis = Millis::from_secs(60);

/// Returns what runs and what adopting it would change; reads only.
pub(crate) fn preview(
    host: &HostRoot,
    service: &ServiceName,
    wanted: &Wanted,
    declared: Option<&Declared>,
    consent: Consent,
) -> Result<(FoundView, Vec<HostChange>), Said> {
    if let Some(adopted) = record(host, service)? {
        return Err(adopted_already(&adopted));
    }
    if proxy::access_log_of(host, service).is_some() {
        return Err(installed_already());
    }
    let running = adoption::find(host, wanted).map_err(|error| error.said())?;
    let changes = match declared {
        Some(declared) => {
            let allotted = planned_ports(host, service, running.port)?;
            let wiring = plan(host, declared, allotted, consent)?;
            proxy::ready(&wiring).map_err(|error| error.said())?;
            preview::of_wiring(&wiring)
        }
        None => Vec::new(),
    };
    Ok((running.view(), changes))
}

/// Returns what leaving brings back.
pub(crate) fn preview_leaving(host: &HostRoot, service: &ServiceName) -> Result<Vec<Said>, Said> {
    let adopted = record(host, service)?.ok_or_else(|| not_adopted(service))?;
    let running = &adopted.running;
    let keeper = running.keeper.said();
    let (program, port) = (running.program.display(), running.port);
    let mut lines = Vec::new();
    if adopted.phase != Phase::External {
        lines.push(Said::new(
            format!("+ 重新启动 {program}(看管者:{}),端口 {port},就绪后才交还流量", keeper.zh),
            format!("+ {program} started again, kept by {}, port {port}, ready first", keeper.en),
        ));
    } else {
        lines.push(Said::new(
            format!("= {program} 照常运行(看管者:{}),端口 {port}", keeper.zh),
            format!("= {program} is kept by {} on port {port} still", keeper.en),
        ));
    }
    lines.push(Said::new(
        "- nginx 片段;站点恢复自己的配置(重载,等旧 worker 全部退出)",
        "- pieces of nginx; the site answers by its own configuration again (tested reloads)",
    ));
    lines.push(Said::new(
        format!("- 两臂、发布与状态 guanka-{service}"),
        format!("- both arms, releases and state of {service}"),
    ));
    Ok(lines)
}

/// Adopts the program behind the service's site. On any failure the host is as it was.
pub(super) fn adopt(agent: &Agent, service: &Service, wanted: &Wanted, consent: Consent) -> Answer {
    let _doing = lock(&service.doing);
    match adopted(agent, service, wanted, consent) {
        Ok(()) => Answer::Done,
        Err(why) => refused(why),
    }
}

fn adopted(
    agent: &Agent,
    service: &Service,
    wanted: &Wanted,
    consent: Consent,
) -> Result<(), Said> {
    let (host, name) = (&agent.host, &service.name);
    let settings = service.settings().ok_or_else(not_configured)?;
    match record(host, name)? {
        Some(adopted) => return Err(adopted_already(&adopted)),
        None if proxy::access_log_of(host, name).is_some() => {
            return Err(installed_already());
        }
        None => {}
    }
    let running = adoption::find(host, wanted).map_err(|error| error.said())?;
    let declared = &settings.declared;
    let probed = probe::once(running.port, &declared.proxy.domain, &declared.probe);
    if !matches!(probed, probe::Probed::Passed { .. }) {
        let path = &declared.probe.path;
        return Err(Said::new(
            format!("正在运行的程序没有通过就绪探测 {path}"),
            format!("the running program does not pass its readiness probe {path}"),
        ));
    }
    let allotted = ports::adopt(host, name, running.port).map_err(|error| error.said())?;
    let done = take_in(agent, service, declared, running, (allotted, consent));
    if done.is_err() {
        undo(agent, service);
    }
    done
}

/// Puts the running program in blue's place and nginx in front of it.
fn take_in(
    agent: &Agent,
    service: &Service,
    declared: &Declared,
    running: Running,
    (allotted, consent): (ArmPorts, Consent),
) -> Result<(), Said> {
    let (host, name) = (&agent.host, &service.name);
    let wiring = plan(host, declared, allotted, consent)?;
    adoption::stage(host, declared, &running).map_err(|error| error.said())?;
    let keeper = running.keeper.said();
    let adopted = Adopted::new(name, running);
    adopted.store(host).map_err(|error| because(&error))?;
    service.hold_idle_ports(host, arms::manager(agent, service).ok().as_deref());
    proxy::install(host, &wiring).map_err(|error| error.said())?;
    let none = SharePercent::NONE;
    let proven = share::prove(agent, service, on_disk(ARM.other(), none)).map_err(not_proven)?;
    if !proven.contains_key(&ARM) {
        return Err(not_proven(format!("{ARM} did not answer")));
    }
    spec::mark_active(host, name, ARM).map_err(|error| because(&error))?;
    let says = Said::new(
        format!("程序(看管者:{})已接管为 blue,端口 {}", keeper.zh, allotted.blue),
        format!("the program kept by {} is the arm blue, port {}", keeper.en, allotted.blue),
    );
    agent.note(name, "adopted", serde_json::json!({ "says": says }));
    Ok(())
}

/// Takes back an adoption that did not come about; the program has run on all the while.
fn undo(agent: &Agent, service: &Service) {
    let (host, name) = (&agent.host, &service.name);
    // Each on its own: one that fails must not keep the others, and the reason is told already.
    let _ = proxy::remove(host, name);
    let _ = Adopted::forget(host, name);
    lock(&service.held).clear();
    let _ = ports::give_back(host, name);
    for folder in [host.home(name), host.service_state(name)] {
        let _ = guanka_world::files::remove_tree(&folder);
    }
    agent.forget(name);
}

/// Ends the adopted program where the arm is it; returns whether it was. What it had is durable
/// before, so that `leave` brings it back.
pub(super) fn retire(
    agent: &Agent,
    service: &Service,
    arm: Arm,
    grace: Millis,
) -> Result<bool, String> {
    let found = Adopted::load(&agent.host, &service.name).map_err(|error| error.to_string())?;
    let Some(mut adopted) = found.filter(|_| arm == ARM) else { return Ok(false) };
    let was_external = adopted.is_external(arm);
    // Ended half before a kill: its process has the port still.
    if !was_external && adopted.process().is_none() {
        return Ok(false);
    }
    adoption::retire(&agent.host, &mut adopted, grace).map_err(|error| error.to_string())?;
    let keeper = adopted.running.keeper.said();
    let says = Said::new(
        format!("程序(看管者:{})已停止,不再自动启动;`guanka leave` 可恢复", keeper.zh),
        format!("the program kept by {} is stopped; `guanka leave` brings it back", keeper.en),
    );
    agent.note(&service.name, "adopted-program-stopped", serde_json::json!({ "says": says }));
    Ok(true)
}

/// Returns whether an arm is the adopted program, and a process it.
pub(super) fn is_external(agent: &Agent, service: &Service, arm: Arm, pid: u32) -> bool {
    let adopted = Adopted::load(&agent.host, &service.name).ok().flatten();
    adopted.is_some_and(|found| found.is_external(arm) && found.process() == Some(pid))
}

/// Gives an arm the environment and the folder of the adopted program, where there is one.
pub(super) fn carry(agent: &Agent, service: &Service, spec: &mut ArmSpec) -> std::io::Result<()> {
    if let Some(adopted) = Adopted::load(&agent.host, &service.name)? {
        adopted.carry(spec);
    }
    Ok(())
}

/// Refuses to remove a service whose site would be left without its program.
pub(super) fn refuse_removal(agent: &Agent, service: &Service) -> Option<Answer> {
    match record(&agent.host, &service.name) {
        Ok(None) => None,
        Ok(Some(found)) if found.phase == Phase::HandedBack => None,
        Ok(Some(_)) => Some(refused(Said::new(
            "这个服务是接管来的;移除后站点将没有程序。请用 `guanka leave` 恢复原样",
            "this service was adopted: its site would be left without a program; use \
             `guanka leave`",
        ))),
        Err(why) => Some(refused(why)),
    }
}

/// Gives the site's requests back, or says how far that is.
pub(super) fn leave(agent: &Arc<Agent>, service: &Arc<Service>, epoch: u64) -> Answer {
    let (agent, service) = (Arc::clone(agent), Arc::clone(service));
    let (jobs, key) = (service.jobs.clone(), format!("leave-{epoch}"));
    let begin = Said::new("已开始", "begun");
    let answer =
        jobs.ask(&key, begin, move |progress| match hand_back(&agent, &service, progress) {
            Ok(()) => Answer::Done,
            Err(why) => refused(why),
        });
    if matches!(answer, Answer::Failed { .. }) {
        jobs.forget(&key);
    }
    answer
}

/// Gives the site's requests back to the program that was adopted, under whoever kept it.
fn hand_back(agent: &Agent, service: &Service, progress: &Progress) -> Result<(), Said> {
    let _doing = lock(&service.doing);
    let (host, name) = (&agent.host, &service.name);
    let mut adopted = record(host, name)?.ok_or_else(|| not_adopted(name))?;
    if adopted.phase == Phase::HandedBack {
        return Ok(());
    }
    let settings = service.settings().ok_or_else(not_configured)?;
    let declared = &settings.declared;
    if adopted.phase != Phase::External && adopted.process().is_none() {
        free_its_port(agent, service, declared, progress)?;
        if let Some(held) = lock(&service.held).remove(&ARM) {
            held.release();
        }
        let back = adoption::revive(host, &adopted).map_err(|error: AdoptError| error.said());
        let ready = back.and_then(|()| {
            let port = adopted.running.port;
            probe::wait_ready(port, &declared.proxy.domain, &declared.probe, BACK_LIMIT)
                .map_err(|not| not.said())
        });
        if let Err(why) = ready {
            service.hold_idle_ports(host, arms::manager(agent, service).ok().as_deref());
            return Err(why);
        }
    }
    proxy::remove(host, name).map_err(|error| error.said())?;
    adopted.phase = Phase::HandedBack;
    adopted.store(host).map_err(|error| because(&error))?;
    arms::drain(agent, service, declared, ARM.other(), progress);
    let keeper = adopted.running.keeper.said();
    let says = Said::new(
        format!("流量已交还原程序(看管者:{})", keeper.zh),
        format!("the program kept by {} has its requests back", keeper.en),
    );
    agent.note(name, "handed-back", serde_json::json!({ "says": says }));
    Ok(())
}

/// Moves a release that serves from blue to green, so that blue's port, which was the adopted
/// program's, is free for it.
fn free_its_port(
    agent: &Agent,
    service: &Service,
    declared: &Declared,
    progress: &Progress,
) -> Result<(), Said> {
    let host = &agent.host;
    let store = Store::new(host, &service.name);
    let command = |arm| ArmCommand { host: HostName("local".to_owned()), seq: 0, arm };
    let all_green = on_disk(ARM.other(), SharePercent::ALL);
    if proxy::share::read(host, &service.name) != Some(all_green) {
        let release = store.arm_release(ARM).ok_or_else(not_configured)?;
        match arms::start(agent, service, &command(ARM.other()), &release, progress) {
            Ok(Event::ArmReady { .. }) => {}
            _ => return Err(Said::new("green 没有就绪", "green did not become ready")),
        }
        proxy::share::swap(host, &service.name, all_green).map_err(|error| error.said())?;
        share::prove(agent, service, all_green).map_err(not_proven)?;
        spec::mark_active(host, &service.name, ARM.other()).map_err(|error| because(&error))?;
    }
    arms::drain(agent, service, declared, ARM, progress);
    let manager = arms::manager(agent, service)?;
    let stopped = manager.stop(&service.name, ARM, declared.process.stop_grace);
    stopped.map_err(|error| error.said())
}

fn plan(
    host: &HostRoot,
    declared: &Declared,
    allotted: ArmPorts,
    consent: Consent,
) -> Result<Wiring, Said> {
    proxy::plan_with(host, &declared.service, &declared.proxy, allotted, consent)
        .map_err(|error| error.said())
}

fn planned_ports(host: &HostRoot, service: &ServiceName, blue: u16) -> Result<ArmPorts, Said> {
    let green = ports::preview(host, service).map_err(|error| error.said())?.green;
    Ok(ArmPorts { blue, green })
}

fn record(host: &HostRoot, service: &ServiceName) -> Result<Option<Adopted>, Said> {
    Adopted::load(host, service).map_err(|error| because(&error))
}

fn adopted_already(adopted: &Adopted) -> Said {
    let (service, keeper) = (&adopted.service, adopted.running.keeper.said());
    Said::new(
        format!("{service} 已接管了程序(看管者:{})", keeper.zh),
        format!("{service} has adopted the program kept by {} already", keeper.en),
    )
}

fn installed_already() -> Said {
    Said::new("该服务已经安装", "the service is installed already")
}

fn not_adopted(service: &ServiceName) -> Said {
    Said::new(
        format!("{service} 没有接管过程序;用 `guanka remove` 移除"),
        format!("{service} has adopted no program; `guanka remove` takes it off"),
    )
}

fn not_configured() -> Said {
    Said::new("服务尚未配置", "the service is not configured")
}

fn not_proven(why: String) -> Said {
    Said::new(format!("经 nginx 的验证没有通过:{why}"), format!("not proven through nginx: {why}"))
}
