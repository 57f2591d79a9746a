//! The other side: handing a rollout over to this user's controller, and following it to its end
//! as if it were driven here, over restarts of the controller.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use guanka_core::facts::declared::HostAddress;
use guanka_core::name::ServiceName;
use guanka_core::quantity::Millis;
use guanka_core::rollout::ending::Ending;
use guanka_core::say::Said;
use guanka_world::controller::{Entry, Place};
use guanka_world::transport::line::{Heard, Line};
use guanka_world::transport::wire::{Answer, Request};
use guanka_world::{clock, interrupt};

use super::message::{Ask, Driven, End, PROTOCOL, Tell};
use super::shown;
use crate::drive::driver::{Driver, exit_of};
use crate::drive::ledger::Ledger;
use crate::drive::link::Link;
use crate::drive::screen::Screen;
use crate::drive::told::{Ear, Told};
use crate::failure::codes::{CONTROLLER, CONTROLLER_AWAY};
use crate::failure::{Exit, Failure, because, say};

/// How long one answer may take: the list is written and synced before it comes.
const ANSWER_LIMIT: Millis = Millis::from_secs(20);
/// How long it may take to say who it is, which needs no disk: nobody waits longer with an abort
/// for a controller that hangs.
const HELLO_LIMIT: Millis = Millis::from_secs(5);
/// How soon Ctrl-C is noticed.
const TURN: Millis = Millis(200);
/// A controller that is there says so every five seconds.
const SILENCE_SECS: u64 = 30;
/// How long a controller that has ended is waited for: its unit starts it again after a second.
const RETURN_LIMIT: Millis = Millis::from_secs(60);

/// A connection to this user's controller.
pub(crate) struct Controller {
    line: Line,
}

/// Which rollout is followed.
#[derive(Clone, Debug)]
pub(crate) struct Handed {
    /// The host.
    pub(crate) host: HostAddress,
    /// The service.
    pub(crate) service: ServiceName,
    /// The rollout's number.
    pub(crate) number: u64,
}

/// What was heard of a rollout so far.
struct HeardOf {
    has_reported: bool,
    /// By the controller that it was handed over to.
    is_first: bool,
}

/// How following ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Followed {
    /// The rollout has ended so, or waits for a person.
    Ended(Ending),
    /// Ctrl-C: it goes on without who followed.
    Left,
}

impl Followed {
    /// Returns the exit code of who followed.
    pub(crate) const fn exit(self) -> Exit {
        match self {
            Self::Ended(ending) => exit_of(ending),
            Self::Left => Exit::Interrupted,
        }
    }
}

/// How one connection's telling went.
enum Listened {
    /// To the end, or the controller does not drive it.
    Over,
    /// Ctrl-C.
    Interrupted,
    /// The controller is gone or goes.
    Lost,
}

impl Controller {
    /// Connects to this user's controller; nothing where none runs.
    pub(crate) fn find() -> Option<Self> {
        let place = Place::own().ok()?;
        let mut found = Self { line: Line::connect(&place.socket).ok()? };
        match found.ask_within(HELLO_LIMIT, &Ask::Hello { protocol: PROTOCOL }) {
            // One of another version is as good as none: the command drives by itself.
            Ok(Tell::Hello { protocol: PROTOCOL }) => Some(found),
            _ => None,
        }
    }

    /// Returns what it knows of a service.
    pub(crate) fn driven(&mut self, host: &HostAddress, service: &ServiceName) -> Option<Driven> {
        self.list().into_iter().find(|known| known.host == *host && known.service == *service)
    }

    /// Returns everything it drives.
    pub(crate) fn list(&mut self) -> Vec<Driven> {
        match self.ask(&Ask::List) {
            Ok(Tell::Driven { driven }) => driven,
            _ => Vec::new(),
        }
    }

    fn ask(&mut self, ask: &Ask) -> std::io::Result<Tell> {
        self.ask_within(ANSWER_LIMIT, ask)
    }

    fn ask_within(&mut self, limit: Millis, ask: &Ask) -> std::io::Result<Tell> {
        self.line.say(ask)?;
        match self.line.hear(limit)? {
            Heard::Message(tell) => Ok(tell),
            Heard::Silence | Heard::End => Err(std::io::Error::other("it does not answer")),
        }
    }
}

/// Gives a rollout that has begun here to the controller, and the lease back in any case.
pub(crate) fn hand_over(
    controller: &mut Controller,
    driver: &mut Driver,
) -> Result<Handed, Failure> {
    driver.give_lease();
    let host = driver.link.address().clone();
    let service = driver.ledger.service.clone();
    let doing = |number: u64| {
        Said::new(
            format!("正在把 {service} 第 {number} 次发布交给控制器"),
            format!("handing rollout {number} of {service} over to the controller"),
        )
    };
    let Some(chapter) = driver.ledger.newest() else {
        return Err(Failure::new(&CONTROLLER, doing(0), say("日志是空的", "the journal is empty")));
    };
    let (number, project) = (chapter.number, chapter.project.clone());
    let entry = Entry {
        host: host.clone(),
        service: service.clone(),
        number,
        project,
        declared: chapter.declaration(),
        stopped: None,
    };
    let ask = Ask::Drive { entry };
    let why = match controller.ask(&ask) {
        Ok(Tell::TakenOn) => {
            return Ok(Handed { host, service: service.clone(), number });
        }
        Ok(Tell::Refused { why }) => why,
        Ok(_) => say("应答与问题不符", "its answer does not fit"),
        Err(error) => because(&error),
    };
    let env = service.env();
    let next = format!("guanka resume --foreground --env {env}");
    Err(Failure::new(&CONTROLLER, doing(number), why).next(Said::new(next.clone(), next)))
}

/// Follows a rollout in the controller to its end.
pub(crate) fn follow(
    mut controller: Controller,
    handed: &Handed,
    screen: &Screen,
) -> Result<Followed, Failure> {
    let interrupted = interrupt::on_interrupt().map_err(|error| {
        let doing = say("正在跟随控制器", "following the controller");
        Failure::new(&CONTROLLER, doing, because(&error))
    })?;
    let mut heard = HeardOf { has_reported: false, is_first: true };
    loop {
        let one = one_connection(&mut controller, handed, screen, (&interrupted, &mut heard));
        match one? {
            Listened::Over => return conclude(handed, screen, &heard),
            Listened::Interrupted => break,
            Listened::Lost => note(
                screen,
                &say("控制器已离开,等它回来", "the controller is gone; waiting for it"),
            ),
        }
        let back = clock::wait_for(RETURN_LIMIT, TURN, || {
            let is_over = interrupted.load(Ordering::SeqCst);
            if is_over { Some(None) } else { Controller::find().map(Some) }
        });
        match back {
            Some(Some(found)) => {
                controller = found;
                heard.is_first = false;
            }
            Some(None) => break,
            None => return Err(gone(handed)),
        }
    }
    note(screen, &goes_on(handed));
    Ok(Followed::Left)
}

/// Says how a rollout that is left to the controller is watched and stopped.
pub(crate) fn goes_on(handed: &Handed) -> Said {
    let (service, env) = (&handed.service, handed.service.env());
    Said::new(
        format!(
            "{service} 由控制器继续发布。查看:guanka status -w --env {env};中止:guanka abort \
             --env {env}"
        ),
        format!(
            "the controller goes on with {service}. Watch: guanka status -w --env {env}; stop: \
             guanka abort --env {env}"
        ),
    )
}

fn one_connection(
    controller: &mut Controller,
    handed: &Handed,
    screen: &Screen,
    (interrupted, so_far): (&Arc<AtomicBool>, &mut HeardOf),
) -> Result<Listened, Failure> {
    let Handed { host, service, .. } = handed.clone();
    if controller.line.say(&Ask::Follow { host, service }).is_err() {
        return Ok(Listened::Lost);
    }
    let mut heard = Instant::now();
    loop {
        if interrupted.load(Ordering::SeqCst) {
            return Ok(Listened::Interrupted);
        }
        match controller.line.hear::<Tell>(TURN) {
            Ok(Heard::Silence) if heard.elapsed().as_secs() < SILENCE_SECS => continue,
            Ok(Heard::Message(Tell::Told { at_ms, told })) => {
                so_far.has_reported |= matches!(told, Told::Reported { .. });
                if so_far.is_first {
                    screen.show(Duration::from_millis(at_ms), told);
                } else {
                    // Another controller counts from its own beginning; here time goes on.
                    screen.hear(told);
                }
            }
            Ok(Heard::Message(Tell::Alive)) => {}
            Ok(Heard::Message(Tell::NotDriven | Tell::Ended { end: End::Over })) => {
                return Ok(Listened::Over);
            }
            Ok(Heard::Message(Tell::Ended { end: End::Failed(failure) })) => {
                return Err(Failure::from(*failure));
            }
            Ok(Heard::Message(_) | Heard::Silence | Heard::End) | Err(_) => {
                return Ok(Listened::Lost);
            }
        }
        heard = Instant::now();
    }
}

/// Ends as the journal says that the rollout has ended.
fn conclude(handed: &Handed, screen: &Screen, heard: &HeardOf) -> Result<Followed, Failure> {
    let Handed { host, service, number } = handed;
    let mut link = Link::to(host)?;
    let ledger = Ledger::read(&mut link, service)?;
    let chapter = ledger.chapters.iter().find(|chapter| chapter.number == *number);
    let Some(chapter) = chapter else { return Err(gone(handed)) };
    let Some(ending) = chapter.rollout(service)?.ending() else { return Err(stopped(handed)) };
    if !heard.has_reported {
        let request = Request::ReadReport { service: service.clone(), number: Some(*number) };
        // A rollout that is held has none yet.
        if let Ok(Answer::Report { report, .. }) = link.ask(&request)
            && let Ok(report) = serde_json::from_str(&report)
        {
            screen.hear(Told::Reported { report: Box::new(report) });
        }
    }
    Ok(Followed::Ended(ending))
}

fn note(screen: &Screen, said: &Said) {
    let kind = || "note".to_owned();
    screen.hear(Told::Line { event: kind(), state: kind(), says: said.clone() });
}

/// Says that the controller does not come back.
fn gone(handed: &Handed) -> Failure {
    away(handed, say("控制器没有在 60 秒内回来", "the controller did not come back within 60 s"))
}

/// Says that the controller does not drive the rollout although it has not ended.
fn stopped(handed: &Handed) -> Failure {
    let known = Controller::find().and_then(|mut c| c.driven(&handed.host, &handed.service));
    let why = known.and_then(|driven| driven.waits);
    away(
        handed,
        why.unwrap_or_else(|| say("控制器没有在驱动它", "the controller does not drive it")),
    )
}

fn away(handed: &Handed, why: Said) -> Failure {
    let (service, number, host) = (&handed.service, handed.number, shown(&handed.host));
    let doing = Said::new(
        format!("正在跟随 {service} 第 {number} 次发布({host})"),
        format!("following rollout {number} of {service} on {host}"),
    );
    Failure::new(&CONTROLLER_AWAY, doing, why)
}
