//! The controller: a process that lives on when terminals close and drives the rollouts handed over
//! to it, each in a thread. Its own list and the hosts' journals are all it knows: killed at any
//! moment and started again, it goes on where they stand.

mod client;
mod desk;
mod feed;
mod message;
mod policy;
mod shift;

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use guanka_core::facts::declared::HostAddress;
use guanka_core::name::ServiceName;
use guanka_core::quantity::Millis;
use guanka_core::say::Said;
use guanka_world::controller::{Entry, Place, Roster};
use guanka_world::transport::server::Server;
use guanka_world::{clock, files, interrupt};

pub(crate) use client::{Controller, Followed, Handed, follow, goes_on, hand_over};
pub(crate) use message::Driven;

use crate::failure::codes::CONTROLLER;
use crate::failure::{Exit, Failure, because};
use crate::terminal::Terminal;
use shift::Shift;

/// How long a controller that is asked to end waits for its drivers to reach a safe moment. A build
/// takes longer and is left behind: it is begun anew.
const LEAVE_LIMIT: Millis = Millis::from_secs(8);

/// How long a killed controller's socket may go on to answer.
const DYING_LIMIT: Millis = Millis::from_secs(3);

/// What drives: a service on a host.
type Key = (HostAddress, ServiceName);

/// A running controller.
struct Office {
    terminal: Terminal,
    roster: Mutex<Roster>,
    shifts: Mutex<BTreeMap<Key, Arc<Shift>>>,
    called: Arc<AtomicBool>,
}

/// Serves until it is asked to end.
pub(crate) fn run(place: &Place, terminal: &Terminal) -> Result<Exit, Failure> {
    let failed = |error: &io::Error| {
        let socket = place.socket.display();
        let doing = Said::new(
            format!("正在启动控制器 {socket}"),
            format!("starting the controller at {socket}"),
        );
        Failure::new(&CONTROLLER, doing, because(error))
    };
    place.prepare().map_err(|error| failed(&error))?;
    // The socket comes first: it is what makes sure that a user has one controller only.
    let server = bind(place).map_err(|error| failed(&error))?;
    let roster = Roster::load(&place.folder).map_err(|error| failed(&error))?;
    let called = interrupt::on_end().map_err(|error| failed(&error))?;
    let office = Arc::new(Office {
        terminal: *terminal,
        roster: Mutex::new(roster),
        shifts: Mutex::default(),
        called: Arc::clone(&called),
    });
    office.note(&Said::new(
        format!("控制器已就绪:{}", place.socket.display()),
        format!("the controller is ready: {}", place.socket.display()),
    ));
    office.go_on();
    let answering = Arc::clone(&office);
    let ended = Arc::new(Mutex::new(None));
    let end = Arc::clone(&ended);
    thread::spawn(move || {
        let answer = Arc::new(move |stream| desk::answer(&answering, stream));
        let how = server.each(answer);
        *lock(&end) = Some(how.err());
    });
    while !called.load(Ordering::SeqCst) {
        if let Some(how) = lock(&ended).take() {
            let error = how.unwrap_or_else(|| io::Error::other("the socket has ended"));
            return Err(failed(&error));
        }
        clock::pause(Millis(100));
    }
    office.leave();
    // Left behind it is replaced by the next one.
    let _ = files::remove(&place.socket);
    Ok(Exit::Done)
}

/// Takes the socket; one that was killed just now may answer until the last of its threads is gone.
fn bind(place: &Place) -> io::Result<Server> {
    let mut last = io::Error::from(io::ErrorKind::AddrInUse);
    let bound = clock::wait_for(DYING_LIMIT, Millis(100), || match Server::bind(&place.socket) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            last = error;
            None
        }
        other => Some(other),
    });
    bound.unwrap_or(Err(last))
}

impl Office {
    /// Begins to drive everything that is on the list.
    fn go_on(self: &Arc<Self>) {
        let entries = lock(&self.roster).entries().to_vec();
        for entry in entries {
            let entry = Entry { stopped: None, ..entry };
            if let Err(error) = self.drive(entry) {
                self.note(&because(&error));
            }
        }
    }

    /// Takes a rollout on: on the list first, then driven.
    fn drive(self: &Arc<Self>, entry: Entry) -> io::Result<()> {
        let key = (entry.host.clone(), entry.service.clone());
        let mut shifts = lock(&self.shifts);
        lock(&self.roster).put(entry.clone())?;
        let shift = Arc::new(Shift::new(entry));
        // The older one loses the lease to the newer one as to any other driver.
        if let Some(older) = shifts.insert(key, Arc::clone(&shift)) {
            older.retire();
        }
        shift::start(self, &shift);
        Ok(())
    }

    /// Returns who drives a service.
    fn shift(&self, host: &HostAddress, service: &ServiceName) -> Option<Arc<Shift>> {
        lock(&self.shifts).get(&(host.clone(), service.clone())).cloned()
    }

    /// Forgets a rollout that has nothing left to drive.
    fn forget(&self, shift: &Arc<Shift>) {
        let entry = shift.entry();
        let mut shifts = lock(&self.shifts);
        let key = (entry.host.clone(), entry.service.clone());
        if shifts.get(&key).is_some_and(|known| Arc::ptr_eq(known, shift)) {
            shifts.remove(&key);
            if let Err(error) = lock(&self.roster).remove(&entry.host, &entry.service) {
                self.note(&because(&error));
            }
        }
    }

    /// Keeps on the list why a rollout is not driven any more.
    fn stop(&self, shift: &Arc<Shift>, why: &Said) {
        let entry = Entry { stopped: Some(why.clone()), ..shift.entry().clone() };
        let key = (entry.host.clone(), entry.service.clone());
        let mut shifts = lock(&self.shifts);
        if shifts.get(&key).is_some_and(|known| Arc::ptr_eq(known, shift)) {
            shifts.remove(&key);
            if let Err(error) = lock(&self.roster).put(entry) {
                self.note(&because(&error));
            }
        }
    }

    /// Waits for the drivers to leave at a safe moment, and says what is unfinished.
    fn leave(&self) {
        let none_drives = || {
            let is_over = lock(&self.shifts).values().all(|shift| shift.has_left());
            is_over.then_some(())
        };
        let _ = clock::wait_for(LEAVE_LIMIT, Millis(50), none_drives);
        for entry in lock(&self.roster).entries() {
            let (service, number, host) = (&entry.service, entry.number, shown(&entry.host));
            self.note(&Said::new(
                format!("未结束:{service} 第 {number} 次发布({host});重新启动控制器即继续"),
                format!(
                    "unfinished: rollout {number} of {service} on {host}; it goes on when the \
                     controller is started again"
                ),
            ));
        }
        self.note(&Said::new("控制器已结束", "the controller has ended"));
    }

    /// Writes a line of the controller's own log.
    fn note(&self, said: &Said) {
        let at = clock::rfc3339(clock::now_ms());
        self.terminal.note(&format!("{at}  {}", self.terminal.said(said)));
    }
}

/// Returns a host as it is written in guanka.toml.
pub(crate) fn shown(host: &HostAddress) -> String {
    match host {
        HostAddress::Local(root) => format!("local:{root}"),
        HostAddress::Ssh(name) => name.clone(),
    }
}

/// Locks; a thread that panicked has left plain data behind.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
