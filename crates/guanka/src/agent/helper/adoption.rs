//! Adoption's hands: the record of what ran, nginx in front of it, its keeper's own switches. Each
//! step is durable in the record before it is made.

use std::time::Duration;

use guanka_core::facts::declared::Declared;
use guanka_core::name::{Arm, ServiceName};
use guanka_core::quantity::{Millis, SharePercent};
use guanka_core::rollout::share::on_disk;
use guanka_core::say::{Said, Text};
use guanka_world::adoption::{self, ARM, Adopted, Phase, Running, Wanted};
use guanka_world::hostroot::HostRoot;
use guanka_world::managers::spec::{self, ArmSpec};
use guanka_world::proxy::{self, Consent};
use guanka_world::transport::wire::Answer;
use guanka_world::{clock, files, ports};

use super::super::adoption::{
    adopted_already, installed_already, not_adopted, preview, preview_leaving, record,
};
use super::super::refusal::{NOT_CONFIGURED, refused};
use super::super::stores::lock;
use super::super::verb::{AdoptionSeen, Reply};
use super::arms::{self, refusal};
use super::service::Kept;
use crate::failure::because;

/// How long the worker may take to prove through nginx that the program answers.
const PROVEN_WITHIN: Duration = Duration::from_secs(120);

const NO_ADOPTION: Text =
    Text { zh: "没有正在进行的接管", en: "nothing is being adopted" };

/// Answers what runs and what adopting it would change.
pub(super) fn plan(
    host: &HostRoot,
    service: &ServiceName,
    wanted: &Wanted,
    declared: Option<&Declared>,
    consent: Consent,
) -> Answer {
    match preview(host, service, wanted, declared, consent) {
        Ok((found, changes)) => Answer::Adoption { found: Box::new(found), changes },
        Err(why) => refused(why),
    }
}

/// Answers what leaving brings back.
pub(super) fn plan_leaving(host: &HostRoot, service: &ServiceName) -> Answer {
    match preview_leaving(host, service) {
        Ok(lines) => Answer::Leaving { lines },
        Err(why) => refused(why),
    }
}

/// Returns how far an adoption is.
pub(super) fn seen(host: &HostRoot, service: &ServiceName) -> Reply {
    match Adopted::load(host, service) {
        Ok(found) => Reply::Adoption(found.map(|adopted| AdoptionSeen {
            runs: adopted.process().is_some(),
            port: adopted.running.port,
            phase: adopted.phase,
        })),
        Err(error) => refusal(&error),
    }
}

/// Takes the running program in. On any failure the host is as it was.
pub(super) fn adopt(host: &HostRoot, service: &Kept, wanted: &Wanted, consent: Consent) -> Answer {
    match begun(host, service, wanted, consent) {
        Ok(()) => Answer::Done,
        Err(why) => refused(why),
    }
}

fn begun(host: &HostRoot, service: &Kept, wanted: &Wanted, consent: Consent) -> Result<(), Said> {
    let name = &service.name;
    let settings = service.settings().ok_or(NOT_CONFIGURED)?;
    match record(host, name)? {
        // Whoever began it has gone: it begins anew.
        Some(adopted) if adopted.phase == Phase::Begun => taken_out(host, service)?,
        Some(adopted) => return Err(adopted_already(&adopted)),
        None if proxy::access_log_of(host, name).is_some() => return Err(installed_already()),
        None => {}
    }
    let running = adoption::find(host, wanted).map_err(|error| error.said())?;
    *lock(&service.adopting) = Some(clock::monotonic());
    // First, so that a kill after any of what follows is gone back from.
    Adopted::new(name, running.clone()).store(host).map_err(|error| because(&error))?;
    let done = take_in(host, service, &settings.declared, &running, consent);
    if done.is_err() {
        undo(host, service);
    }
    done
}

/// Puts the running program in blue's place and nginx in front of it.
fn take_in(
    host: &HostRoot,
    service: &Kept,
    declared: &Declared,
    running: &Running,
    consent: Consent,
) -> Result<(), Said> {
    let name = &service.name;
    let allotted = ports::adopt(host, name, running.port).map_err(|error| error.said())?;
    let wiring = proxy::plan_with(host, name, &declared.proxy, allotted, consent)
        .map_err(|error| error.said())?;
    adoption::stage(host, declared, running).map_err(|error| error.said())?;
    service.hold_idle_ports(host, arms::manager(host, service).ok().as_deref());
    proxy::install(host, &wiring).map_err(|error| error.said())?;
    let release = service.store(host).arm_release(ARM).ok_or(NOT_CONFIGURED)?;
    let none = on_disk(ARM.other(), SharePercent::NONE);
    let wanted = service.change(host, |desired| {
        desired.green = Some(none);
        desired.arms.insert(ARM, release);
    });
    wanted.map_err(|error| because(&error))
}

/// Makes the adopted program, proven through nginx, the stable arm.
pub(super) fn adopted(host: &HostRoot, service: &Kept) -> Reply {
    let mut found = match Adopted::load(host, &service.name) {
        Ok(Some(found)) if found.phase == Phase::Begun => found,
        Ok(Some(found)) if found.phase == Phase::External => return Reply::Done,
        Ok(_) => return refusal(NO_ADOPTION),
        Err(error) => return refusal(&error),
    };
    found.phase = Phase::External;
    let stored = spec::mark_active(host, &service.name, ARM).and_then(|()| found.store(host));
    if let Err(error) = stored {
        return refusal(&error);
    }
    *lock(&service.adopting) = None;
    let (keeper, port) = (found.running.keeper.said(), found.running.port);
    let says = Said::new(
        format!("程序(看管者:{})已接管为 blue,端口 {port}", keeper.zh),
        format!("the program kept by {} is the arm blue, port {port}", keeper.en),
    );
    service.note(host, "adopted", &serde_json::json!({ "says": says }));
    Reply::Done
}

/// Takes back an adoption that did not come about; the program has run on all the while. What
/// cannot be taken back now is tried again by `give_up`: the record of it goes last.
pub(super) fn undo(host: &HostRoot, service: &Kept) -> Reply {
    match record(host, &service.name) {
        Ok(Some(found)) if found.phase == Phase::Begun => {}
        Ok(_) => return refusal(NO_ADOPTION),
        Err(why) => return refusal(why),
    }
    let gone = taken_out(host, service)
        .and_then(|()| service.remove_state(host).map_err(|error| because(&error)));
    *lock(&service.adopting) = gone.is_err().then(clock::monotonic);
    gone.map_or_else(refusal, |()| Reply::Done)
}

/// Takes an adoption that was not proven out of nginx, then what it had beside nginx.
fn taken_out(host: &HostRoot, service: &Kept) -> Result<(), Said> {
    let name = &service.name;
    let unwanted = service.change(host, |desired| {
        desired.green = None;
        desired.arms.remove(&ARM);
    });
    unwanted.map_err(|error| because(&error))?;
    proxy::remove(host, name).map_err(|error| error.said())?;
    lock(&service.held).clear();
    ports::give_back(host, name).map_err(|error| error.said())?;
    files::remove_tree(&host.home(name)).map_err(|error| because(&error))
}

/// Takes back what a helper had begun that was killed.
pub(super) fn recover(host: &HostRoot, service: &Kept) {
    let begun = record(host, &service.name).ok().flatten();
    if begun.is_some_and(|found| found.phase == Phase::Begun) {
        undo(host, service);
    }
}

/// Takes back an adoption whose worker never came to say that it is proven.
pub(super) fn give_up(host: &HostRoot, service: &Kept) {
    let begun = *lock(&service.adopting);
    if begun.is_some_and(|since| since.elapsed() > PROVEN_WITHIN) {
        recover(host, service);
    }
}

/// Refuses to put a service in place whose site was given back already.
pub(super) fn refuse_half_left(host: &HostRoot, service: &Kept) -> Option<Answer> {
    let found = record(host, &service.name).ok().flatten()?;
    (found.phase == Phase::HandedBack).then(|| {
        refused(Said::new(
            "站点已交还给原程序;请先用 `guanka leave --yes` 收尾",
            "the site was given back to the program that was adopted: end it with \
             `guanka leave --yes` first",
        ))
    })
}

/// Ends the adopted program where the arm is it; returns whether it was. What it had is durable
/// before, so that `leave` brings it back.
pub(super) fn retire(
    host: &HostRoot,
    service: &Kept,
    arm: Arm,
    grace: Millis,
) -> Result<bool, Said> {
    let found = Adopted::load(host, &service.name).map_err(|error| because(&error))?;
    let Some(mut adopted) = found.filter(|_| arm == ARM) else { return Ok(false) };
    // Ended half before a kill it is ended now; ended whole, the port is the arm's own.
    let is_its = matches!(
        adopted.phase,
        Phase::Begun | Phase::External | Phase::Retired { is_ended: false, .. }
    );
    if !is_its {
        return Ok(false);
    }
    adoption::retire(host, &mut adopted, grace).map_err(|error| error.said())?;
    let keeper = adopted.running.keeper.said();
    let says = Said::new(
        format!("程序(看管者:{})已停止,不再自动启动;`guanka leave` 可恢复", keeper.zh),
        format!("the program kept by {} is stopped; `guanka leave` brings it back", keeper.en),
    );
    service.note(host, "adopted-program-stopped", &serde_json::json!({ "says": says }));
    Ok(true)
}

/// Returns whether an arm is the adopted program, and a process it.
pub(super) fn is_external(host: &HostRoot, service: &Kept, arm: Arm, pid: u32) -> bool {
    let adopted = Adopted::load(host, &service.name).ok().flatten();
    adopted.is_some_and(|found| found.is_external(arm) && found.process() == Some(pid))
}

/// Returns whether an arm is the adopted program's, which its own keeper starts; so it counts where
/// the record cannot be read.
pub(super) fn is_kept_elsewhere(host: &HostRoot, service: &Kept, arm: Arm) -> bool {
    match Adopted::load(host, &service.name) {
        Ok(found) => found.is_some_and(|found| found.is_external(arm)),
        Err(_) => arm == ARM,
    }
}

/// Gives an arm the environment and the folder of the adopted program, where there is one.
pub(super) fn carry(host: &HostRoot, service: &Kept, spec: &mut ArmSpec) -> std::io::Result<()> {
    if let Some(adopted) = Adopted::load(host, &service.name)? {
        adopted.carry(spec);
    }
    Ok(())
}

/// Refuses to remove a service whose site would be left without its program.
pub(super) fn refuse_removal(host: &HostRoot, service: &Kept) -> Option<Answer> {
    match record(host, &service.name) {
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

/// Starts the adopted program again under whoever kept it; its port is free by now.
pub(super) fn bring_back(host: &HostRoot, service: &Kept) -> Answer {
    let adopted = match record(host, &service.name) {
        Ok(Some(adopted)) => adopted,
        Ok(None) => return refused(not_adopted(&service.name)),
        Err(why) => return refused(why),
    };
    if let Some(held) = lock(&service.held).remove(&ARM) {
        held.release();
    }
    match adoption::revive(host, &adopted) {
        Ok(()) => Answer::Done,
        Err(error) => {
            service.hold_idle_ports(host, arms::manager(host, service).ok().as_deref());
            refused(error.said())
        }
    }
}

/// Gives the site back to its own configuration, which leads to the adopted program.
pub(super) fn hand_back(host: &HostRoot, service: &Kept) -> Answer {
    match given_back(host, service) {
        Ok(()) => Answer::Done,
        Err(why) => refused(why),
    }
}

fn given_back(host: &HostRoot, service: &Kept) -> Result<(), Said> {
    let name = &service.name;
    let mut adopted = record(host, name)?.ok_or_else(|| not_adopted(name))?;
    // Nothing of it is to be put right any more.
    let unwanted = service.change(host, |desired| {
        desired.green = None;
        desired.arms.remove(&ARM);
    });
    unwanted.map_err(|error| because(&error))?;
    proxy::remove(host, name).map_err(|error| error.said())?;
    adopted.phase = Phase::HandedBack;
    adopted.store(host).map_err(|error| because(&error))?;
    let keeper = adopted.running.keeper.said();
    let says = Said::new(
        format!("流量已交还原程序(看管者:{})", keeper.zh),
        format!("the program kept by {} has its requests back", keeper.en),
    );
    service.note(host, "handed-back", &serde_json::json!({ "says": says }));
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use guanka_core::name::ServiceName;
    use guanka_world::adoption::{Adopted, Keeper, Phase, Running};
    use guanka_world::hostroot::HostRoot;
    use guanka_world::ports;

    use super::super::service::Kept;
    use super::{adopted, recover, refuse_half_left};

    /// A host whose service has adopted a program and is as far as this.
    fn at(phase: &Phase, look: impl FnOnce(&HostRoot, &Kept)) {
        let dir = tempfile::tempdir().expect("a folder");
        let host = HostRoot::new(dir.path());
        let name = ServiceName::new("shop", "demo").expect("a good name");
        let running = Running {
            pid: 1,
            program: "/www/wwwroot/api/api".into(),
            args: Vec::new(),
            env: BTreeMap::new(),
            folder: "/www/wwwroot/api".into(),
            user: "www".to_owned(),
            uid: 1001,
            gid: 1001,
            output: None,
            port: 1,
            keeper: Keeper::Nobody,
            data_dirs: Vec::new(),
        };
        ports::adopt(&host, &name, running.port).expect("ports");
        let mut record = Adopted::new(&name, running);
        record.phase = phase.clone();
        record.store(&host).expect("stored");
        std::fs::create_dir_all(host.home(&name)).expect("a home");
        look(&host, &Kept::load(&host, &name));
    }

    #[test]
    fn an_adoption_that_was_not_proven_is_taken_back_whole() {
        at(&Phase::Begun, |host, service| {
            recover(host, service);
            assert!(!host.service_state(&service.name).exists());
            assert!(!host.home(&service.name).exists());
            assert_eq!(ports::allotted(host, &service.name).expect("read"), None);
        });
    }

    #[test]
    fn one_that_was_proven_stays_and_may_be_proven_again() {
        at(&Phase::Begun, |host, service| {
            adopted(host, service);
            adopted(host, service);
            recover(host, service);
            let found = Adopted::load(host, &service.name).expect("read").expect("there");
            assert_eq!(found.phase, Phase::External);
            assert!(ports::allotted(host, &service.name).expect("read").is_some());
        });
    }

    #[test]
    fn a_site_that_was_given_back_takes_no_install() {
        at(&Phase::HandedBack, |host, service| {
            assert!(refuse_half_left(host, service).is_some());
            recover(host, service);
            assert!(host.service_state(&service.name).exists());
        });
        at(&Phase::External, |host, service| assert!(refuse_half_left(host, service).is_none()));
    }
}
