//! What the agent holds: its root, its stores, its services.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use guanka_core::name::ServiceName;
use guanka_world::hostroot::HostRoot;
use guanka_world::store::StoreError;
use guanka_world::store::audit::AuditLog;
use guanka_world::store::journal::Journal;
use guanka_world::store::metrics::Metrics;
use guanka_world::{clock, files, proxy};

use super::arms;
use super::service::Service;

/// The agent of one root.
pub(super) struct Agent {
    pub(super) host: HostRoot,
    journal: Mutex<Journal>,
    audit: Mutex<AuditLog>,
    metrics: Mutex<Metrics>,
    services: Mutex<BTreeMap<ServiceName, Arc<Service>>>,
}

impl Agent {
    /// Opens the stores, puts this program where arms are started from, and knows again every
    /// service that was configured.
    pub(super) fn open(host: HostRoot) -> Result<Self, StoreError> {
        files::make_dir(&host.state(), 0o711)?;
        install_launcher(&host)?;
        let state = host.state();
        let agent = Self {
            journal: Mutex::new(Journal::open(&state.join("journal.db"))?),
            audit: Mutex::new(AuditLog::open(&state.join("audit.db"))?),
            metrics: Mutex::new(Metrics::open(&state.join("metrics.db"))?),
            services: Mutex::default(),
            host,
        };
        for name in files::folder_names(&state)? {
            if let Ok(service) = ServiceName::try_from(name)
                && Service::settings_path(&agent.host, &service).is_file()
            {
                agent.service(&service);
            }
        }
        Ok(agent)
    }

    /// Puts right what a kill may have left: a change of nginx half done, releases half staged,
    /// arms' ports not held.
    pub(super) fn recover(&self) {
        // A host without nginx, or with one that fails its own test, is found again and said when
        // something is asked of it.
        let _ = proxy::recover(&self.host);
        for service in self.all() {
            let manager = arms::manager(self, &service).ok();
            let _ = guanka_world::releases::Store::new(&self.host, &service.name).recover();
            service.hold_idle_ports(&self.host, manager.as_deref());
        }
    }

    /// Returns a service, known from now on.
    pub(super) fn service(&self, name: &ServiceName) -> Arc<Service> {
        let mut services = lock(&self.services);
        let found = services
            .entry(name.clone())
            .or_insert_with(|| Arc::new(Service::load(&self.host, name)));
        Arc::clone(found)
    }

    /// Forgets a service that was removed.
    pub(super) fn forget(&self, name: &ServiceName) {
        lock(&self.services).remove(name);
    }

    /// Returns the services, in name order.
    pub(super) fn all(&self) -> Vec<Arc<Service>> {
        lock(&self.services).values().cloned().collect()
    }

    pub(super) fn journal(&self) -> MutexGuard<'_, Journal> {
        lock(&self.journal)
    }

    pub(super) fn audit(&self) -> MutexGuard<'_, AuditLog> {
        lock(&self.audit)
    }

    pub(super) fn metrics(&self) -> MutexGuard<'_, Metrics> {
        lock(&self.metrics)
    }

    /// Writes down what the agent did by itself.
    pub(super) fn note(&self, service: &ServiceName, action: &str, detail: serde_json::Value) {
        let record = serde_json::json!({ "actor": "agent", "action": action, "detail": detail });
        // A full disk must not keep the agent from taking a candidate out of traffic.
        let _ = self.audit().append(&service.to_string(), clock::now_ms(), &record.to_string());
    }
}

/// Locks; a thread that panicked while it held the lock has left plain data behind.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Copies this program to where process managers start it from, unless it is there already.
fn install_launcher(host: &HostRoot) -> io::Result<()> {
    let launcher = host.at("/opt/guanka/bin/guanka");
    let own = guanka_world::process::own_program()?;
    if own == launcher {
        return Ok(());
    }
    let is_same = launcher.is_file()
        && guanka_world::hash::of_file(&launcher)? == guanka_world::hash::of_file(&own)?;
    if is_same {
        return Ok(());
    }
    for folder in ["/opt/guanka", "/opt/guanka/bin"] {
        files::make_dir(&host.at(folder), 0o755)?;
    }
    files::replace(&launcher, &files::read_bytes(&own, 1 << 30)?, 0o755)
}
