//! A program that ran before guanka came, taken in as the arm blue where it runs, and given back.
//! The helper does each step; here is their order, what is asked of the program through nginx, and
//! what is taken back where it does not come about.

use std::sync::Arc;

use guanka_core::facts::declared::Declared;
use guanka_core::name::ServiceName;
use guanka_core::quantity::{Millis, SharePercent};
use guanka_core::rollout::effect::Hold;
use guanka_core::rollout::event::Event;
use guanka_core::rollout::share::on_disk;
use guanka_core::rollout::spec::HostName;
use guanka_core::say::Said;
use guanka_world::adoption::view::FoundView;
use guanka_world::adoption::{self, ARM, Adopted, Phase, Wanted};
use guanka_world::hostroot::HostRoot;
use guanka_world::ports::{self, ArmPorts};
use guanka_world::probe;
use guanka_world::proxy::{self, Consent};
use guanka_world::transport::wire::{Answer, HostChange};

use super::arms::{self, ArmCommand};
use super::hands::{UNFIT, said};
use super::refusal::{NOT_CONFIGURED, could_not, refused};

use super::jobs::Progress;
use super::service::Service;
use super::stores::{Agent, lock};
use super::verb::{AdoptionSeen, Reply, ShareOrder, Verb};
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
    match record(host, service)? {
        // One that was begun and not ended begins anew.
        Some(adopted) if adopted.phase == Phase::Begun => {}
        Some(adopted) => return Err(adopted_already(&adopted)),
        None if proxy::access_log_of(host, service).is_some() => return Err(installed_already()),
        None => {}
    }
    let running = adoption::find(host, wanted).map_err(|error| error.said())?;
    let changes = match declared {
        Some(declared) => {
            let green = ports::preview(host, service).map_err(|error| error.said())?.green;
            let allotted = ArmPorts { blue: running.port, green };
            let wiring = proxy::plan_with(host, service, &declared.proxy, allotted, consent)
                .map_err(|error| error.said())?;
            proxy::ready(&wiring).map_err(|error| error.said())?;
            preview::of_wiring(&wiring, &declared.proxy.domain)
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
    if matches!(adopted.phase, Phase::Retired { .. }) {
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
pub(super) fn adopt(
    agent: &Agent,
    service: &Service,
    epoch: u64,
    wanted: Wanted,
    consent: Consent,
) -> Answer {
    let _doing = lock(&service.doing);
    if let Err(answer) = answers_already(agent, service, &wanted, consent) {
        return answer;
    }
    let name = service.name.clone();
    let taken = Verb::Adopt { service: name.clone(), epoch, wanted, consent };
    let answer = agent.hands.answer(&taken);
    if !matches!(answer, Answer::Done) {
        agent.forget(&name);
        return answer;
    }
    service.look(agent);
    let none = on_disk(ARM.other(), SharePercent::NONE);
    let proven = match share::prove(agent, service, none) {
        Ok(proven) if proven.contains_key(&ARM) => Ok(()),
        Ok(_) => Err(share::unanswered(ARM)),
        Err(cause) => Err(cause),
    };
    let ended = match proven {
        Ok(()) => agent.hands.answer(&Verb::Adopted { service: name.clone(), epoch }),
        Err(cause) => refused(not_proven(&cause)),
    };
    if !matches!(ended, Answer::Done) {
        // The reason is told already; what cannot be taken back the helper tries again.
        let _ = agent.hands.ask(&Verb::Unadopt { service: name.clone(), epoch });
        agent.forget(&name);
    }
    ended
}

/// Holds the program to its readiness probe before anything is changed for it.
fn answers_already(
    agent: &Agent,
    service: &Service,
    wanted: &Wanted,
    consent: Consent,
) -> Result<(), Answer> {
    let settings = service.settings().ok_or_else(|| refused(NOT_CONFIGURED.said()))?;
    let declared = &settings.declared;
    let plan = Verb::PlanAdoption {
        service: service.name.clone(),
        wanted: wanted.clone(),
        declared: Some(Box::new(declared.clone())),
        consent,
    };
    let port = match agent.hands.answer(&plan) {
        Answer::Adoption { found, .. } => found.port,
        other => return Err(other),
    };
    match probe::once(port, &declared.proxy.domain, &declared.probe) {
        probe::Probed::Passed { .. } => Ok(()),
        _ => {
            let path = &declared.probe.path;
            Err(refused(Said::new(
                format!("正在运行的程序没有通过就绪探测 {path}"),
                format!("the running program does not pass its readiness probe {path}"),
            )))
        }
    }
}

/// Gives the site's requests back, or says how far that is.
pub(super) fn leave(agent: &Arc<Agent>, service: &Arc<Service>, epoch: u64) -> Answer {
    let (agent, service) = (Arc::clone(agent), Arc::clone(service));
    let (jobs, key) = (service.jobs.clone(), format!("leave-{epoch}"));
    let begin = Said::new("已开始", "begun");
    let answer = jobs.ask(&key, begin, move |progress| {
        let done = hand_back(&agent, &service, epoch, progress);
        Some(done.map_or_else(|answer| answer, |()| Answer::Done))
    });
    if matches!(answer, Answer::Failed { .. }) {
        jobs.forget(&key);
    }
    answer
}

/// Gives the site's requests back to the program that was adopted, under whoever kept it.
fn hand_back(
    agent: &Agent,
    service: &Service,
    epoch: u64,
    progress: &Progress,
) -> Result<(), Answer> {
    let _doing = lock(&service.doing);
    let name = service.name.clone();
    let seen = seen(agent, service)?.ok_or_else(|| refused(not_adopted(&name)))?;
    if seen.phase == Phase::HandedBack {
        return Ok(());
    }
    let settings = service.settings().ok_or_else(|| refused(NOT_CONFIGURED.said()))?;
    let declared = &settings.declared;
    if matches!(seen.phase, Phase::Retired { .. }) {
        if !seen.runs || matches!(seen.phase, Phase::Retired { is_ended: false, .. }) {
            free_its_port(agent, service, (declared, epoch), progress)?;
        }
        // Done again where it was cut short: a program that is back already stays as it is.
        done(agent.hands.answer(&Verb::BringBack { service: name.clone(), epoch }))?;
        let domain = &declared.proxy.domain;
        probe::wait_ready(seen.port, domain, &declared.probe, BACK_LIMIT, &mut || false)
            .map_err(|not| refused(not.said()))?;
    }
    done(agent.hands.answer(&Verb::HandBack { service: name, epoch }))?;
    arms::drain(agent, service, declared, ARM.other(), progress);
    Ok(())
}

/// Moves a release that serves from blue to green, so that blue's port, which was the adopted
/// program's, is free for it.
fn free_its_port(
    agent: &Agent,
    service: &Service,
    (declared, epoch): (&Declared, u64),
    progress: &Progress,
) -> Result<(), Answer> {
    let host = HostName("local".to_owned());
    let command = |arm| ArmCommand { host: host.clone(), seq: 0, arm, epoch };
    let green = ARM.other();
    if proxy::share::read(&agent.host, &service.name) != Some(on_disk(green, SharePercent::ALL)) {
        let view = agent.hands.view(&service.name).map_err(could_not)?;
        let release = view.arms.get(&ARM).and_then(|arm| arm.release.clone());
        let release = release.ok_or_else(|| refused(NOT_CONFIGURED.said()))?;
        match arms::start(agent, service, &command(green), &release, progress) {
            Ok(Event::ArmReady { .. }) => {}
            _ => return Err(refused(Said::new("green 没有就绪", "green did not become ready"))),
        }
        let share = SharePercent::ALL;
        let order = ShareOrder { seq: 0, candidate: green, share, hold: Hold::Lasting };
        match share::set(agent, service, &host, epoch, order) {
            Ok(Event::ShareSet { .. }) => {}
            Ok(_) => return Err(refused(not_proven(&share::unanswered(green)))),
            Err(cause) => return Err(refused(not_proven(&cause))),
        }
    }
    share::keep(agent, service, epoch, green).map_err(could_not)?;
    arms::drain(agent, service, declared, ARM, progress);
    let stop = Verb::StopArm { service: service.name.clone(), epoch, arm: ARM };
    match agent.hands.ask(&stop) {
        Ok(Reply::Done) => Ok(()),
        Ok(Reply::Answer(answer)) => Err(*answer),
        Ok(_) => Err(could_not(UNFIT)),
        Err(error) => Err(could_not(&error)),
    }
}

fn seen(agent: &Agent, service: &Service) -> Result<Option<AdoptionSeen>, Answer> {
    match agent.hands.ask(&Verb::Adoption { service: service.name.clone() }) {
        Ok(Reply::Adoption(seen)) => Ok(seen),
        Ok(Reply::Answer(answer)) => Err(could_not(said(*answer))),
        Ok(_) => Err(could_not(UNFIT)),
        Err(error) => Err(could_not(&error)),
    }
}

fn done(answer: Answer) -> Result<(), Answer> {
    match answer {
        Answer::Done => Ok(()),
        other => Err(other),
    }
}

pub(super) fn record(host: &HostRoot, service: &ServiceName) -> Result<Option<Adopted>, Said> {
    Adopted::load(host, service).map_err(|error| because(&error))
}

pub(super) fn adopted_already(adopted: &Adopted) -> Said {
    let (service, keeper) = (&adopted.service, adopted.running.keeper.said());
    Said::new(
        format!("{service} 已接管了程序(看管者:{})", keeper.zh),
        format!("{service} has adopted the program kept by {} already", keeper.en),
    )
}

pub(super) fn installed_already() -> Said {
    Said::new("该服务已经安装", "the service is installed already")
}

pub(super) fn not_adopted(service: &ServiceName) -> Said {
    Said::new(
        format!("{service} 没有接管过程序;用 `guanka remove` 移除"),
        format!("{service} has adopted no program; `guanka remove` takes it off"),
    )
}

fn not_proven(why: &Said) -> Said {
    Said::new(
        format!("经 nginx 的验证没有通过:{}", why.zh),
        format!("not proven through nginx: {}", why.en),
    )
}
