//! `guanka resume`, `abort` and `rollback`: go on with a rollout where its journal says it stands,
//! end it, or give the old release everything back. Where this user has a controller, what was
//! asked for is written down here and driven there.

use std::sync::Arc;

use guanka_core::rollout::ending::Ending;
use guanka_core::rollout::event::Event;
use guanka_core::rollout::state::State;
use guanka_core::say::Said;
use guanka_world::transport::wire::Taking;

use super::project::Project;
use super::ship::{Patience, ear};
use crate::drive::driver::{Driver, Waiting, exit_of};
use crate::drive::ledger::Ledger;
use crate::drive::link::Link;
use crate::drive::screen::Screen;
use crate::drive::seat::Seat;
use crate::drive::submission;
use crate::drive::takeover::{Manner, has_ended, take_over};
use crate::drive::told::{Ear, Told};
use crate::failure::codes::NOTHING;
use crate::failure::{Exit, Failure};
use crate::serve::{self, Controller, Driven, Followed, Handed};
use crate::terminal::Terminal;

/// Which service, and who drives it from now on.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    project: Project,
    /// Drive here, even where a controller is there.
    #[arg(long)]
    foreground: bool,
}

/// Which service, and why.
#[derive(clap::Args)]
pub(crate) struct AbortArgs {
    #[command(flatten)]
    project: Project,
    /// Why; kept in the audit log.
    #[arg(long, value_name = "TEXT", default_value = "")]
    reason: String,
    /// Drive here, even where a controller is there.
    #[arg(long)]
    foreground: bool,
}

/// What a person wants of an unfinished rollout.
enum Wish {
    GoOn,
    Abort(String),
    Back,
}

/// Goes on with the unfinished rollout.
pub(crate) fn run(args: &Args, terminal: &Terminal) -> Result<Exit, Failure> {
    drive(&args.project, terminal, (&Wish::GoOn, found(args.foreground)))
}

/// Ends the unfinished rollout; the stable release keeps or gets everything.
pub(crate) fn abort(args: &AbortArgs, terminal: &Terminal) -> Result<Exit, Failure> {
    let wish = Wish::Abort(args.reason.clone());
    drive(&args.project, terminal, (&wish, found(args.foreground)))
}

/// Gives the old release everything back: within a rollout by its machine, after it by a rollout of
/// the old release's own.
pub(crate) fn rollback(args: &Args, terminal: &Terminal) -> Result<Exit, Failure> {
    drive(&args.project, terminal, (&Wish::Back, found(args.foreground)))
}

fn found(in_foreground: bool) -> Option<Controller> {
    if in_foreground { None } else { Controller::find() }
}

fn drive(
    project: &Project,
    terminal: &Terminal,
    (wish, mut controller): (&Wish, Option<Controller>),
) -> Result<Exit, Failure> {
    let declared = project.declared(terminal)?;
    let service = declared.service.clone();
    let mut link = Link::to(submission::host(&declared)?)?;
    let ledger = Ledger::read(&mut link, &service)?;
    let Some(chapter) = ledger.newest().cloned() else { return Err(nothing(&service)) };
    let rollout = chapter.rollout(&service)?;
    if rollout.state.is_final() {
        match wish {
            Wish::Back => {
                return super::back::run((link, ledger), &chapter, (controller, terminal));
            }
            Wish::GoOn if !has_ended(&rollout) => {}
            _ => return Err(nothing(&service)),
        }
    }
    let screen = Arc::new(Screen::new(terminal));
    let is_held =
        |state: &State| matches!(state, State::Held { .. } | State::RollbackFailed { .. });
    let goes_on = matches!(wish, Wish::GoOn) && !is_held(&rollout.state);
    let asked = controller.as_mut().filter(|_| goes_on);
    let known = asked.and_then(|c| c.driven(link.address(), &service));
    let moves = |known: &Driven| known.waits.is_none() && known.number == chapter.number;
    if known.is_some_and(|known| moves(&known))
        && let Some(controller) = controller
    {
        // It is driven already: all that is left to do is to look on.
        let handed = Handed { host: link.address().clone(), service, number: chapter.number };
        return serve::follow(controller, &handed, &screen).map(Followed::exit);
    }
    // Who stops a release does not wait for its driver, nor who decides about a held one; who goes
    // on with one that moves does.
    let manner = Manner {
        taking: if goes_on { Taking::Free } else { Taking::Over },
        seat: Seat::Foreground,
        waiting: Waiting::Stay,
        ear: ear(&screen, controller.as_ref()),
    };
    let taken = take_over(link, &service, manner, &mut None)?;
    let Some(mut driver) = taken else { return Err(nothing(&service)) };
    let actor = guanka_world::process::who();
    match wish {
        Wish::GoOn if is_held(&driver.rollout.state) => driver.happen(Event::Resume { actor })?,
        Wish::GoOn => {}
        Wish::Abort(reason) => {
            driver.happen(Event::Abort { actor, reason: reason.clone() })?;
        }
        Wish::Back => driver.happen(Event::RollbackAsked { actor })?,
    }
    if matches!(wish, Wish::GoOn) {
        return super::ship::drive(driver, controller, (&screen, Patience::Follow));
    }
    stop(driver, controller, &screen)
}

/// Drives what somebody has asked to be taken back: in the controller where one takes it on, else
/// here. A controller at fault must not keep a release from being stopped.
pub(super) fn stop(
    mut driver: Driver,
    controller: Option<Controller>,
    screen: &Arc<Screen>,
) -> Result<Exit, Failure> {
    let Some(mut controller) = controller else { return stop_here(driver) };
    let failed = match serve::hand_over(&mut controller, &mut driver) {
        Ok(handed) => {
            drop(driver);
            return serve::follow(controller, &handed, screen).map(|followed| match followed {
                Followed::Ended(ending) => stopped(ending),
                Followed::Left => followed.exit(),
            });
        }
        Err(failed) => failed,
    };
    let says = Said::new(
        format!("控制器没有接下,改在这里驱动:{}", failed.why.zh),
        format!("the controller did not take it on, so it is driven here: {}", failed.why.en),
    );
    let note = || "note".to_owned();
    screen.hear(Told::Line { event: note(), state: note(), says });
    let service = driver.ledger.service.clone();
    let manner = Manner {
        taking: Taking::Over,
        seat: Seat::Foreground,
        waiting: Waiting::Stay,
        ear: Arc::clone(screen) as Arc<dyn Ear>,
    };
    match take_over(driver.link, &service, manner, &mut Some(driver.central))? {
        Some(driver) => stop_here(driver),
        // It was taken on all the same, and has ended.
        None => Ok(driver.rollout.ending().map_or(Exit::Done, stopped)),
    }
}

fn stop_here(mut driver: Driver) -> Result<Exit, Failure> {
    let exit = driver.run()?;
    Ok(driver.rollout.ending().map_or(exit, stopped))
}

/// Returns the exit code of who stopped a rollout: who asked for the end of a release that no user
/// had met got what was asked for.
const fn stopped(ending: Ending) -> Exit {
    match ending {
        Ending::Cancelled => Exit::Done,
        other => exit_of(other),
    }
}

fn nothing(service: &guanka_core::name::ServiceName) -> Failure {
    Failure::new(
        &NOTHING,
        Said::new(format!("正在处理 {service}"), format!("looking at {service}")),
        Said::new("没有未结束的发布", "no rollout is unfinished"),
    )
}

#[cfg(test)]
mod tests {
    use guanka_core::rollout::ending::Ending;

    use super::stopped;
    use crate::failure::Exit;

    #[test]
    fn a_release_that_was_stopped_before_any_user_met_it_ends_as_was_asked() {
        assert_eq!(stopped(Ending::Cancelled), Exit::Done);
        assert_eq!(stopped(Ending::TakenBack), Exit::TakenBack);
        assert_eq!(stopped(Ending::NeedsHuman), Exit::NeedsHuman);
    }
}
