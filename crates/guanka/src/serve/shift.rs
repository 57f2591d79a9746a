//! One rollout in the controller: its driver's thread, over hosts that are away, drivers that took
//! over and restarts, to its end.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use guanka_core::quantity::Millis;
use guanka_core::say::Said;
use guanka_world::clock;
use guanka_world::controller::Entry;
use guanka_world::transport::wire::Taking;

use super::feed::Feed;
use super::message::{Driven, End};
use super::policy::{self, Next};
use super::{Office, lock, shown};
use crate::drive::central::Central;
use crate::drive::driver::Waiting;
use crate::drive::ledger::{Chapter, Ledger};
use crate::drive::link::Link;
use crate::drive::seat::Seat;
use crate::drive::takeover::{self, Manner, take_over};
use crate::drive::told::{Ear, Told, ToldFailure};
use crate::failure::codes::JOURNAL;
use crate::failure::{Exit, Failure, say};

/// A drive that lasted this long was no flutter of the host's.
const STEADY: Duration = Duration::from_secs(60);
/// A wait that a request to end cuts short is cut into pieces of this length.
const PIECE: Millis = Millis(100);

/// A rollout that is driven here.
pub(super) struct Shift {
    entry: Entry,
    /// A new one after somebody else has taken over.
    feed: Mutex<Arc<Feed>>,
    waits: Mutex<Option<Said>>,
    is_retired: AtomicBool,
    has_left: AtomicBool,
}

/// How one drive went.
enum Outcome {
    /// There is nothing left to drive.
    Over,
    /// The controller was asked to end.
    Called,
}

/// Begins to drive in a thread of its own.
pub(super) fn start(office: &Arc<Office>, shift: &Arc<Shift>) {
    let (office, shift) = (Arc::clone(office), Arc::clone(shift));
    thread::spawn(move || {
        // A fault of ours in one rollout must not leave it on the list as if it were driven.
        let driven = catch_unwind(AssertUnwindSafe(|| shift.work(&office)));
        if driven.is_err() {
            let why = say("控制器内部出错", "the controller itself is at fault");
            office.stop(&shift, &why);
            shift.feed().end(End::Over);
        }
        shift.has_left.store(true, Ordering::SeqCst);
    });
}

impl Shift {
    pub(super) fn new(entry: Entry) -> Self {
        Self {
            entry,
            feed: Mutex::new(Arc::new(Feed::new())),
            waits: Mutex::default(),
            is_retired: AtomicBool::new(false),
            has_left: AtomicBool::new(false),
        }
    }

    pub(super) const fn entry(&self) -> &Entry {
        &self.entry
    }

    /// Returns what followers read.
    pub(super) fn feed(&self) -> Arc<Feed> {
        Arc::clone(&lock(&self.feed))
    }

    /// Makes way for a newer one of the same service.
    pub(super) fn retire(&self) {
        self.is_retired.store(true, Ordering::SeqCst);
    }

    /// Returns whether nobody drives here any more.
    pub(super) fn has_left(&self) -> bool {
        self.has_left.load(Ordering::SeqCst)
    }

    /// Returns what people are shown of it.
    pub(super) fn driven(&self) -> Driven {
        let Entry { host, service, number, .. } = self.entry.clone();
        Driven { host, service, number, waits: lock(&self.waits).clone() }
    }

    /// Drives to the end, however often it is interrupted.
    fn work(self: &Arc<Self>, office: &Arc<Office>) {
        let mut central = None;
        let mut tries = 0;
        while !office.called.load(Ordering::SeqCst) && !self.is_retired.load(Ordering::SeqCst) {
            let failed = match self.drive(office, (&mut central, &mut tries)) {
                Ok(Outcome::Over) => {
                    self.log(office, &say("已无可做之事", "nothing is left to do"));
                    office.forget(self);
                    self.feed().end(End::Over);
                    return;
                }
                Ok(Outcome::Called) => break,
                Err(failed) => failed,
            };
            match policy::after(&failed) {
                Next::Again => {
                    let pause = policy::pause(tries);
                    tries = tries.saturating_add(1);
                    self.wait(office, away(&failed, pause), pause);
                }
                Next::LetGo => {
                    let told = Box::new(ToldFailure::from(&failed));
                    let old = std::mem::replace(&mut *lock(&self.feed), Arc::new(Feed::new()));
                    old.end(End::Failed(told));
                    self.wait(office, failed.why, policy::LOOK);
                }
                Next::Wait => self.wait(office, failed.why, policy::LOOK),
                Next::Stop => {
                    self.log(office, &failed.why);
                    office.stop(self, &failed.why);
                    self.feed().end(End::Failed(Box::new(ToldFailure::from(&failed))));
                    return;
                }
            }
        }
        self.feed().end(End::Leaving);
    }

    /// Takes the rollout over and drives it as far as it goes.
    fn drive(
        &self,
        office: &Office,
        (central, tries): (&mut Option<Central>, &mut u32),
    ) -> Result<Outcome, Failure> {
        let service = &self.entry.service;
        let mut link = Link::to(&self.entry.host)?;
        let ledger = Ledger::read(&mut link, service)?;
        let Some(chapter) = ledger.newest().filter(|c| c.number == self.entry.number) else {
            return Ok(Outcome::Over);
        };
        let rollout = chapter.rollout(service)?;
        if takeover::has_ended(&rollout) || takeover::waits_for_person(&rollout) {
            return Ok(Outcome::Over);
        }
        self.is_what_was_handed_over(chapter)?;
        let manner = Manner {
            taking: Taking::Free,
            seat: Seat::Controller,
            waiting: Waiting::UntilCalled(Arc::clone(&office.called)),
            ear: self.feed(),
        };
        let Some(mut driver) = take_over(link, service, manner, central)? else {
            return Ok(Outcome::Over);
        };
        *lock(&self.waits) = None;
        self.log(office, &say("已接手", "taken over"));
        let began = Instant::now();
        let ended = driver.run();
        // A host that comes and goes is tried ever more slowly, too.
        if began.elapsed() >= STEADY {
            *tries = 0;
        }
        let stands = guanka_core::rollout::describe::rollout(&driver.rollout);
        *central = Some(driver.central);
        match ended? {
            Exit::Interrupted => Ok(Outcome::Called),
            _ => {
                self.log(office, &stands);
                Ok(Outcome::Over)
            }
        }
    }

    /// Refuses a journal that names another folder or other settings than were handed over: what is
    /// built here and how must not be the host's to choose.
    fn is_what_was_handed_over(&self, chapter: &Chapter) -> Result<(), Failure> {
        let Entry { service, number, project, declared, .. } = &self.entry;
        if chapter.project == *project && chapter.declaration() == *declared {
            return Ok(());
        }
        let doing = Said::new(
            format!("正在接手 {service} 第 {number} 次发布"),
            format!("taking over rollout {number} of {service}"),
        );
        let why = say(
            "主机日志里的项目目录或声明与交来时不同",
            "the host's journal names another project folder or declaration than was handed over",
        );
        Err(Failure::new(&JOURNAL, doing, why))
    }

    /// Waits, and says why to those who follow: once in a line, then in the moving one.
    fn wait(&self, office: &Office, why: Said, pause: Millis) {
        let is_new = lock(&self.waits).is_none();
        let feed = self.feed();
        if is_new {
            self.log(office, &why);
            let (event, state) = ("note".to_owned(), "waits".to_owned());
            feed.hear(Told::Line { event, state, says: why.clone() });
        } else {
            feed.hear(Told::Working { says: why.clone() });
        }
        *lock(&self.waits) = Some(why);
        let is_called = || office.called.load(Ordering::SeqCst).then_some(());
        let _ = clock::wait_for(pause, PIECE, is_called);
    }

    fn log(&self, office: &Office, said: &Said) {
        let Entry { host, service, number, .. } = &self.entry;
        let host = shown(host);
        office.note(&Said::new(
            format!("{service} #{number}({host}):{}", said.zh),
            format!("{service} #{number} on {host}: {}", said.en),
        ));
    }
}

/// Says that a host is away, and when it is tried again.
fn away(failed: &Failure, pause: Millis) -> Said {
    let secs = pause.0.div_ceil(1000);
    let (zh, en) = (&failed.why.zh, &failed.why.en);
    Said::new(
        format!("主机暂时无法联系,{secs} 秒后再试:{zh}"),
        format!("the host is away, next try in {secs} s: {en}"),
    )
}
