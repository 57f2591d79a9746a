//! What the worker holds: its root, its stores, its services, the way to the helper.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use guanka_core::name::ServiceName;
use guanka_core::say::Said;
use guanka_world::hostroot::HostRoot;
use guanka_world::store::StoreError;
use guanka_world::store::audit::AuditLog;
use guanka_world::store::journal::Journal;
use guanka_world::store::metrics::Metrics;
use guanka_world::{clock, files, obstacle};

use super::hands::{Hands, UNFIT, said};
use super::service::Service;
use super::verb::{Reply, Verb};

/// The agent of one root, its worker half.
pub(super) struct Agent {
    pub(super) host: HostRoot,
    pub(super) hands: Hands,
    journal: Mutex<Journal>,
    audit: Mutex<AuditLog>,
    metrics: Mutex<Metrics>,
    services: Mutex<BTreeMap<ServiceName, Arc<Service>>>,
}

impl Agent {
    /// Opens the stores and knows again every service that was configured.
    pub(super) fn open(host: HostRoot, hands: Hands) -> Result<Self, Said> {
        let agent = Self::with_stores(host, hands).map_err(|error| error.said())?;
        match agent.hands.ask(&Verb::Services) {
            Ok(Reply::Services(known)) => {
                for settings in known {
                    let service = agent.service(&settings.declared.service);
                    service.use_settings(settings);
                    service.look(&agent);
                }
                Ok(agent)
            }
            Ok(Reply::Answer(answer)) => Err(said(*answer)),
            Ok(_) => Err(UNFIT.said()),
            Err(error) => Err(obstacle::said(&error)),
        }
    }

    fn with_stores(host: HostRoot, hands: Hands) -> Result<Self, StoreError> {
        let state = host.worker_state();
        files::make_dir(&state, 0o700)?;
        Ok(Self {
            journal: Mutex::new(Journal::open(&state.join("journal.db"))?),
            audit: Mutex::new(AuditLog::open(&state.join("audit.db"))?),
            metrics: Mutex::new(Metrics::open(&state.join("metrics.db"))?),
            services: Mutex::default(),
            hands,
            host,
        })
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
