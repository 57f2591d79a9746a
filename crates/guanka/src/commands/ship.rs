//! `guanka ship`: from source to all of its traffic, or back. Where this user has a controller, it
//! drives and this command follows; else this command drives. After a kill the controller goes on,
//! or `guanka resume`.

use std::sync::Arc;

use guanka_core::rollout::event::Event;
use guanka_core::rollout::spec::{Past, Stage};
use guanka_core::rollout::state::Rollout;
use guanka_core::say::Said;
use guanka_world::clock;
use guanka_world::transport::wire::{Request, Taking};

use super::project::Project;
use crate::drive::central::{Central, project_folder};
use crate::drive::driver::{Driver, Waiting};
use crate::drive::install;
use crate::drive::ledger::Ledger;
use crate::drive::link::{Link, lease, view};
use crate::drive::screen::Screen;
use crate::drive::seat::Seat;
use crate::drive::submission;
use crate::drive::told::{Deaf, Ear, Told};
use crate::failure::codes::UNFINISHED;
use crate::failure::{Exit, Failure};
use crate::serve::{self, Controller, Followed};
use crate::terminal::Terminal;

/// What to ship, and how far.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    project: Project,
    /// Stop after this step and wait: check, build, stage, load, bake or canary.
    #[arg(
        long,
        value_name = "STEP",
        value_parser = ["check", "build", "stage", "load", "bake", "canary"]
    )]
    until: Option<String>,
    /// Leave as soon as the controller has it; without one when only time is missing (the bake).
    #[arg(long)]
    no_wait: bool,
    /// Drive here, even where a controller is there.
    #[arg(long)]
    foreground: bool,
    /// Ship a release that was taken back before, for this reason.
    #[arg(long, value_name = "REASON")]
    r#override: Option<String>,
}

/// Ships.
pub(crate) fn run(args: &Args, terminal: &Terminal) -> Result<Exit, Failure> {
    let since_ms = clock::now_ms();
    let declared = args.project.declared(terminal)?;
    let mut link = Link::to(submission::host(&declared)?)?;
    let project = project_folder(&args.project.project)?;
    let service = declared.service.clone();
    let controller = if args.foreground { None } else { Controller::find() };
    let epoch = lease(&mut link, &service, Taking::Free, Seat::Foreground)?;
    let begun = (|| {
        let mut ledger = Ledger::read(&mut link, &service)?;
        refuse_unfinished(&ledger)?;
        install::preview(&mut link, &declared)?;
        let past = match &args.r#override {
            Some(reason) => {
                Past::Overridden { actor: guanka_world::process::who(), reason: reason.clone() }
            }
            None => Past::Clean,
        };
        let view = view(&mut link, &service)?;
        let spec = submission::spec(&declared, &project, &view, (until(args), past));
        let last = ledger.last_seq();
        let shown = project.display().to_string();
        ledger.begin(&mut link, epoch, &declared, (&shown, since_ms))?;
        let draft = Rollout::draft(spec.clone(), epoch, last);
        Ok((ledger, draft, spec))
    })();
    let (ledger, draft, spec) = match begun {
        Ok(begun) => begun,
        Err(failed) => {
            // Nothing has begun: the next one need not wait for this lease to end by itself.
            let _ = link.ask(&Request::GiveLease { service, epoch });
            return Err(failed);
        }
    };
    let central = Central::new(declared, project);
    let waiting = if args.no_wait { Waiting::Leave } else { Waiting::Stay };
    let screen = Arc::new(Screen::new(terminal));
    let ear = ear(&screen, controller.as_ref());
    let mut driver = Driver::new(ear, (link, ledger), epoch, draft, (central, waiting));
    let actor = guanka_world::process::who();
    driver.happen(Event::Submitted { spec: Box::new(spec), actor })?;
    let patience = if args.no_wait { Patience::Leave } else { Patience::Follow };
    drive(driver, controller, (&screen, patience))
}

/// Whether a rollout that was handed over is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Patience {
    /// To its end.
    Follow,
    /// Not at all.
    Leave,
}

/// Returns who is told while the rollout is still here: nobody, where the controller tells it all.
pub(super) fn ear(screen: &Arc<Screen>, controller: Option<&Controller>) -> Arc<dyn Ear> {
    match controller {
        Some(_) => Arc::new(Deaf),
        None => Arc::clone(screen) as Arc<dyn Ear>,
    }
}

/// Drives a rollout that has begun: in the controller where there is one, else here.
pub(super) fn drive(
    mut driver: Driver,
    controller: Option<Controller>,
    (screen, patience): (&Arc<Screen>, Patience),
) -> Result<Exit, Failure> {
    let Some(mut controller) = controller else { return driver.run() };
    let handed = serve::hand_over(&mut controller, &mut driver)?;
    // The host's agent need not keep a connection for who looks on.
    drop(driver);
    if patience == Patience::Follow {
        return serve::follow(controller, &handed, screen).map(Followed::exit);
    }
    let note = || "note".to_owned();
    screen.hear(Told::Line { event: note(), state: note(), says: serve::goes_on(&handed) });
    Ok(Exit::Waits)
}

/// Refuses to begin while an earlier rollout is unfinished: its end is a person's choice.
pub(crate) fn refuse_unfinished(ledger: &Ledger) -> Result<(), Failure> {
    let Some(chapter) = ledger.newest() else { return Ok(()) };
    let rollout = chapter.rollout(&ledger.service)?;
    if rollout.state.is_final() {
        return Ok(());
    }
    let (service, number) = (&ledger.service, chapter.number);
    let stands = guanka_core::rollout::describe::rollout(&rollout);
    Err(Failure::new(
        &UNFINISHED,
        Said::new(format!("正在发布 {service}"), format!("shipping {service}")),
        Said::new(
            format!("第 {number} 次发布尚未结束:{}", stands.zh),
            format!("rollout {number} has not ended: {}", stands.en),
        ),
    ))
}

fn until(args: &Args) -> Option<Stage> {
    match args.until.as_deref()? {
        "check" => Some(Stage::Check),
        "build" => Some(Stage::Build),
        "stage" => Some(Stage::Stage),
        "load" => Some(Stage::Load),
        "bake" => Some(Stage::Bake),
        _ => Some(Stage::Canary),
    }
}
