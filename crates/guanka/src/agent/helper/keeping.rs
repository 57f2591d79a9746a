//! What the helper holds: its root, its services, and the worker that it started.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use guanka_core::name::ServiceName;
use guanka_core::quantity::Millis;
use guanka_core::rollout::desired::Note;
use guanka_world::hostroot::HostRoot;
use guanka_world::managers::own_unit::{self, WorkerUser};
use guanka_world::{clock, files, hash, process, proxy};

use super::super::service::Settings;
use super::super::stores::lock;
use super::service::Kept;
use super::{adoption, arms};

/// How soon a worker that ended is started again, unless it had just been started.
const AGAIN: Millis = Millis(100);
/// A worker that ends sooner than this after its start is not the one to hurry for.
const YOUNG: Duration = Duration::from_secs(5);

/// The helper of one root.
pub(super) struct Helper {
    pub(super) host: HostRoot,
    services: Mutex<BTreeMap<ServiceName, Arc<Kept>>>,
}

impl Helper {
    /// Makes the worker's folders, puts this program where arms are started from, and knows again
    /// every service that was configured.
    pub(super) fn open(host: HostRoot, worker: Option<WorkerUser>) -> io::Result<Self> {
        files::make_dir(&host.state(), 0o711)?;
        install_launcher(&host)?;
        own_unit::make_worker_folders(&host, worker)?;
        let helper = Self { services: Mutex::default(), host };
        for name in files::folder_names(&helper.host.state())? {
            if let Ok(service) = ServiceName::try_from(name)
                && helper.host.settings(&service).is_file()
            {
                helper.service(&service);
            }
        }
        Ok(helper)
    }

    /// Puts right what a kill may have left: a change of nginx half done, releases half staged,
    /// arms' ports not held.
    pub(super) fn recover(&self) {
        let _ = files::sweep_removed(&self.host.state());
        // A host without nginx, or with one that fails its own test, is found again and said when
        // something is asked of it.
        let _ = proxy::recover(&self.host);
        for service in self.all() {
            let manager = arms::manager(&self.host, &service).ok();
            let _ = service.store(&self.host).recover();
            service.hold_idle_ports(&self.host, manager.as_deref());
            adoption::recover(&self.host, &service);
            self.forget(&service.name);
        }
    }

    /// Returns a service, known from now on.
    pub(super) fn service(&self, name: &ServiceName) -> Arc<Kept> {
        let mut services = lock(&self.services);
        let found =
            services.entry(name.clone()).or_insert_with(|| Arc::new(Kept::load(&self.host, name)));
        Arc::clone(found)
    }

    /// Forgets a service that was removed.
    pub(super) fn forget(&self, name: &ServiceName) {
        if !self.host.service_state(name).exists() {
            lock(&self.services).remove(name);
        }
    }

    /// Returns the services, in name order.
    pub(super) fn all(&self) -> Vec<Arc<Kept>> {
        lock(&self.services).values().cloned().collect()
    }

    /// Returns the settings of every service that has any.
    pub(super) fn settings(&self) -> Vec<Settings> {
        self.all().iter().filter_map(|s| s.settings()).map(|s| (*s).clone()).collect()
    }

    /// Returns what was done without being asked, and forgets what was fetched before.
    pub(super) fn notes(&self, fetched: &BTreeMap<ServiceName, u64>) -> Vec<(ServiceName, Note)> {
        let mut notes = Vec::new();
        for service in self.all() {
            if let Some(up_to) = fetched.get(&service.name) {
                let _ = service.change(&self.host, |desired| {
                    desired.forget_notes(*up_to);
                });
            }
            let waiting = service.desired().map(|desired| desired.notes).unwrap_or_default();
            notes.extend(waiting.into_iter().map(|note| (service.name.clone(), note)));
        }
        notes
    }
}

/// Starts the worker and starts it again whenever it ends, for as long as this process lives.
pub(super) fn keep_worker(host: HostRoot, worker: Option<WorkerUser>) -> io::Result<()> {
    let mut child = own_unit::start_worker(&host, worker)?;
    thread::spawn(move || {
        loop {
            let since = Instant::now();
            let _ = child.wait();
            let waits = if since.elapsed() < YOUNG { Millis::from_secs(1) } else { AGAIN };
            clock::pause(waits);
            // Without a worker nobody can ask; the next try may find memory again.
            child = loop {
                match own_unit::start_worker(&host, worker) {
                    Ok(child) => break child,
                    Err(_) => clock::pause(Millis::from_secs(1)),
                }
            };
        }
    });
    Ok(())
}

/// Copies this program to where process managers start it from, unless it is there already.
fn install_launcher(host: &HostRoot) -> io::Result<()> {
    let launcher: PathBuf = host.at("/opt/guanka/bin/guanka");
    let own = process::own_program()?;
    if own == launcher {
        return Ok(());
    }
    let is_same = launcher.is_file() && hash::of_file(&launcher)? == hash::of_file(&own)?;
    if is_same {
        return Ok(());
    }
    for folder in ["/opt/guanka", "/opt/guanka/bin"] {
        files::make_dir(&host.at(folder), 0o755)?;
    }
    files::replace(&launcher, &files::read_bytes(&own, 1 << 30)?, 0o755)
}
