//! `guanka resume`, `abort` and `rollback`: go on with a rollout where its journal says it stands,
//! end it, or give the old release everything back.

use guanka_core::rollout::event::Event;
use guanka_core::rollout::state::State;
use guanka_core::say::Said;
use guanka_world::transport::wire::Taking;

use super::project::Project;
use super::ship::lease;
use crate::drive::central::Central;
use crate::drive::driver::{Driver, Waiting};
use crate::drive::ledger::Ledger;
use crate::drive::link::Link;
use crate::drive::submission;
use crate::failure::codes::NOTHING;
use crate::failure::{Exit, Failure};
use crate::terminal::Terminal;

/// Which service.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    project: Project,
}

/// Which service, and why.
#[derive(clap::Args)]
pub(crate) struct AbortArgs {
    #[command(flatten)]
    project: Project,
    /// Why; kept in the audit log.
    #[arg(long, value_name = "TEXT", default_value = "")]
    reason: String,
}

/// What a person wants of an unfinished rollout.
enum Wish {
    GoOn,
    Abort(String),
    Back,
}

/// Goes on with the unfinished rollout.
pub(crate) fn run(args: &Args, terminal: &Terminal) -> Result<Exit, Failure> {
    drive(&args.project, terminal, &Wish::GoOn)
}

/// Ends the unfinished rollout; the stable release keeps or gets everything.
pub(crate) fn abort(args: &AbortArgs, terminal: &Terminal) -> Result<Exit, Failure> {
    drive(&args.project, terminal, &Wish::Abort(args.reason.clone()))
}

/// Gives the old release everything back: within a rollout by its machine, after it by a rollout of
/// the old release's own.
pub(crate) fn rollback(args: &Args, terminal: &Terminal) -> Result<Exit, Failure> {
    drive(&args.project, terminal, &Wish::Back)
}

fn drive(project: &Project, terminal: &Terminal, wish: &Wish) -> Result<Exit, Failure> {
    let declared = project.declared(terminal)?;
    let service = declared.service.clone();
    let mut link = Link::to(submission::host(&declared)?)?;
    let ledger = Ledger::read(&mut link, &service)?;
    let Some(chapter) = ledger.newest().cloned() else { return Err(nothing(&service)) };
    let rollout = chapter.rollout(&service)?;
    if rollout.state.is_final() {
        let has_ended = guanka_core::rollout::effect::outstanding(&rollout).is_empty();
        match wish {
            Wish::Back => return super::back::run(link, ledger, &chapter, terminal),
            Wish::GoOn if !has_ended => {}
            _ => return Err(nothing(&service)),
        }
    }
    // Who stops a release does not wait for its driver; who goes on with one does.
    let taking = if matches!(wish, Wish::GoOn) { Taking::Free } else { Taking::Over };
    let epoch = lease(&mut link, &service, taking)?;
    // Read again under the lease: another driver may have gone on meanwhile.
    let ledger = Ledger::read(&mut link, &service)?;
    let Some(chapter) = ledger.newest().cloned() else { return Err(nothing(&service)) };
    let rollout = chapter.rollout(&service)?;
    let central = Central::new(chapter.declared.clone(), chapter.project.clone().into());
    let is_held = matches!(rollout.state, State::Held { .. } | State::RollbackFailed { .. });
    let parts = (central, Waiting::Stay);
    let mut driver = Driver::new(terminal, (link, ledger), epoch, rollout, parts);
    driver.tell_missing()?;
    let actor = guanka_world::process::who();
    driver.happen(Event::TakenOver { epoch, actor: actor.clone() })?;
    match wish {
        Wish::GoOn if is_held => driver.happen(Event::Resume { actor })?,
        Wish::GoOn => {}
        Wish::Abort(reason) => {
            driver.happen(Event::Abort { actor, reason: reason.clone() })?;
        }
        Wish::Back => driver.happen(Event::RollbackAsked { actor })?,
    }
    let exit = driver.run()?;
    // Who asked for the end of a release that no user had met got what was asked for.
    let is_ended = driver.rollout.state == State::Cancelled && !matches!(wish, Wish::GoOn);
    Ok(if is_ended { Exit::Done } else { exit })
}

fn nothing(service: &guanka_core::name::ServiceName) -> Failure {
    Failure::new(
        &NOTHING,
        Said::new(format!("正在处理 {service}"), format!("looking at {service}")),
        Said::new("没有未结束的发布", "no rollout is unfinished"),
    )
}
