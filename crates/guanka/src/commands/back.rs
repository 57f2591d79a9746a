//! Going back after a rollout has ended: the release that served before is rolled out again from
//! where it lies on the host. It passed its gates in its own time, so none stands in the way.

use std::sync::Arc;

use guanka_core::facts::declared::Declared;
use guanka_core::name::ServiceName;
use guanka_core::rollout::event::Event;
use guanka_core::rollout::spec::{GatePlan, Origin, Past, ReleaseId, Spec, Stable};
use guanka_core::rollout::state::{Rollout, State};
use guanka_core::say::Said;
use guanka_world::clock;
use guanka_world::transport::wire::{Answer, HostView, Request, Taking};

use super::resume::stop;
use super::ship::ear;
use crate::drive::central::Central;
use crate::drive::driver::{Driver, Waiting};
use crate::drive::ledger::{Chapter, Ledger};
use crate::drive::link::{Link, lease, view};
use crate::drive::screen::Screen;
use crate::drive::seat::Seat;
use crate::drive::submission::host_name;
use crate::failure::codes::NOTHING;
use crate::failure::{Exit, Failure};
use crate::serve::Controller;
use crate::terminal::Terminal;

/// Rolls out the release before the one that serves: in the controller where there is one.
pub(super) fn run(
    (mut link, mut ledger): (Link, Ledger),
    chapter: &Chapter,
    (controller, terminal): (Option<Controller>, &Terminal),
) -> Result<Exit, Failure> {
    let service = ledger.service.clone();
    let seen = view(&mut link, &service)?;
    let target = target(&ledger, &seen).map_err(|none| or_leave(none, &mut link, &service))?;
    let epoch = lease(&mut link, &service, Taking::Free, Seat::Foreground)?;
    let (spec, declared) = match begin((&mut link, &mut ledger), chapter, epoch, target) {
        Ok(begun) => begun,
        Err(failed) => {
            // Nothing has begun: the next one need not wait for this lease to end by itself.
            let _ = link.ask(&Request::GiveLease { service, epoch });
            return Err(failed);
        }
    };
    let draft = Rollout::draft(spec.clone(), epoch, ledger.last_seq());
    let project = chapter.project.clone().into();
    let central = Central::of_kept(declared, project, spec.release.clone());
    let screen = Arc::new(Screen::new(terminal));
    let ear = ear(&screen, controller.as_ref());
    let parts = (central, Waiting::Stay);
    let mut driver = Driver::new(ear, (link, ledger), epoch, draft, parts);
    let actor = guanka_world::process::who();
    driver.happen(Event::Submitted { spec: Box::new(spec), actor })?;
    stop(driver, controller, &screen)
}

/// Tells the host which settings hold from now on, and opens a chapter of the journal.
fn begin(
    (link, ledger): (&mut Link, &mut Ledger),
    chapter: &Chapter,
    epoch: u64,
    (stable, before, declared): (Stable, ReleaseId, Declared),
) -> Result<(Spec, Declared), Failure> {
    let since_ms = clock::now_ms();
    let spec = Spec {
        service: ledger.service.clone(),
        release: before,
        origin: Origin::Artifact,
        hosts: vec![host_name(link.address())],
        candidate: stable.arm.other(),
        stable: Some(stable),
        gates: GatePlan { settle: declared.gates.settle, ..GatePlan::default() },
        until: None,
        past: Past::Clean,
    };
    // The old release runs with the settings it was released with.
    let project = &chapter.project;
    let routes = crate::drive::central::routes(project.as_ref());
    link.ask(&Request::Configure { epoch, declared: Box::new(declared.clone()), routes })?;
    ledger.begin(link, epoch, &declared, (project, since_ms))?;
    Ok((spec, declared))
}

/// Says, where no release but a program that was adopted served before, how that is had back.
fn or_leave(none: Failure, link: &mut Link, service: &ServiceName) -> Failure {
    match link.ask(&Request::PlanLeaving { service: service.clone() }) {
        Ok(Answer::Leaving { .. }) => {
            let doing = Said::new(format!("正在回退 {service}"), format!("taking {service} back"));
            let why = Said::new(
                "没有更早的发布;要回到接管前的程序,请用 `guanka leave`",
                "no release served before; the way back to the program as it was adopted is \
                 `guanka leave`",
            );
            Failure::new(&NOTHING, doing, why)
                .next(Said::new("guanka leave --yes", "guanka leave --yes"))
        }
        _ => none,
    }
}

/// Finds what serves, and the release that served before it: the newest one that a rollout ended
/// with and that was never taken back for a fault of its own.
fn target(ledger: &Ledger, seen: &HostView) -> Result<(Stable, ReleaseId, Declared), Failure> {
    let none = || {
        let service = &ledger.service;
        Failure::new(
            &NOTHING,
            Said::new(format!("正在回退 {service}"), format!("taking {service} back")),
            Said::new("没有更早的、未被判坏的发布", "no earlier release that was not proven bad"),
        )
    };
    let stable = crate::drive::submission::stable(seen).ok_or_else(none)?;
    let served = ledger.chapters.iter().rev().find_map(|chapter| {
        let rollout = chapter.rollout(&ledger.service).ok()?;
        let release = rollout.release().clone();
        let has_served = rollout.state == State::Done && release.release != stable.release;
        let is_good = !ledger.marked_bad(&release.release);
        (has_served && is_good).then(|| (release, chapter.declared.clone()))
    });
    let (release, declared) = served.ok_or_else(none)?;
    Ok((stable, release, declared))
}
