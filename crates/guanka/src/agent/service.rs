//! One service on this host, as the worker keeps it: its settings, its lease, its jobs, its health,
//! its log.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use guanka_core::facts::declared::{Declared, Indicator, Limit};
use guanka_core::name::{Arm, ServiceName};
use guanka_core::rollout::desired::Desired;
use guanka_core::rollout::effect::Lane;
use guanka_core::signals::request::Counting;
use guanka_core::signals::route::RouteTable;
use guanka_world::hostroot::HostRoot;
use guanka_world::ports::ArmPorts;
use guanka_world::{files, signals};
use serde::{Deserialize, Serialize};

use super::health::Health;
use super::jobs::Jobs;
use super::lease::Lease;
use super::liveness::Watch;
use super::stores::{Agent, lock};
use super::verb::View;

/// A service.
pub(super) struct Service {
    pub(super) name: ServiceName,
    pub(super) settings: Mutex<Option<Arc<Settings>>>,
    pub(super) lease: Mutex<Option<Lease>>,
    pub(super) jobs: Jobs,
    pub(super) place: Mutex<Place>,
    pub(super) health: Mutex<Health>,
    pub(super) liveness: Mutex<Watch>,
    pub(super) log: Mutex<Followed>,
    /// The newest number of each lane of commands, with its epoch: an older one is refused.
    pub(super) newest: Mutex<BTreeMap<Lane, (u64, u64)>>,
    /// One effect at a time changes the service.
    pub(super) doing: Mutex<()>,
}

/// Where the service stands on the host, as the helper said last.
#[derive(Default)]
pub(super) struct Place {
    ports: Option<ArmPorts>,
    pub(super) access_log: Option<PathBuf>,
    /// The arms whose ports the helper keeps: nobody is there.
    pub(super) idle: BTreeSet<Arm>,
}

/// How far the service's access log was followed.
#[derive(Default)]
pub(super) struct Followed {
    pub(super) follower: Option<signals::follow::Follower>,
    /// Nonces of our own requests.
    pub(super) ours: BTreeSet<String>,
    pub(super) broken: u64,
    /// Everything logged before this time has been counted.
    pub(super) read_to_ms: u64,
    /// The newest window for which an empty one was written.
    pub(super) filled_to_ms: u64,
}

/// What the driver told of a service.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Settings {
    pub(super) declared: Declared,
    pub(super) routes: Vec<String>,
}

impl Service {
    /// Reads what the worker stored of a service.
    pub(super) fn load(host: &HostRoot, name: &ServiceName) -> Self {
        Self {
            settings: Mutex::default(),
            lease: Mutex::new(Lease::load(host, name)),
            jobs: Jobs::default(),
            place: Mutex::default(),
            health: Mutex::default(),
            liveness: Mutex::default(),
            log: Mutex::default(),
            newest: Mutex::default(),
            doing: Mutex::default(),
            name: name.clone(),
        }
    }

    /// Uses settings from now on.
    pub(super) fn use_settings(&self, settings: Settings) {
        *lock(&self.settings) = Some(Arc::new(settings));
    }

    pub(super) fn settings(&self) -> Option<Arc<Settings>> {
        lock(&self.settings).clone()
    }

    /// Asks the helper where the service stands on the host, and remembers it for the clocks that
    /// look many times a second.
    pub(super) fn look(&self, agent: &Agent) {
        let Ok(view) = agent.hands.view(&self.name) else { return };
        self.place(&view);
    }

    /// Remembers where the service stands.
    pub(super) fn place(&self, view: &View) {
        let idle = view.arms.iter().filter(|(_, arm)| arm.is_held).map(|(arm, _)| *arm);
        *lock(&self.place) =
            Place { ports: view.ports, access_log: view.access_log.clone(), idle: idle.collect() };
    }

    /// Returns the arms' ports, once they are allotted.
    pub(super) fn ports(&self) -> Option<ArmPorts> {
        lock(&self.place).ports
    }

    /// Returns the document of what the host is to be; the worker reads what the helper writes.
    pub(super) fn desired(&self, host: &HostRoot) -> Desired {
        files::read_text(&host.desired(&self.name), 1 << 20)
            .ok()
            .and_then(|text| serde_json::from_str(&text).ok())
            .unwrap_or_default()
    }
}

impl Settings {
    /// Returns how the service's log lines are counted.
    pub(super) fn counting(&self, ports: ArmPorts) -> Counting {
        let slos = self.declared.slos.values();
        let own = slos.clone().filter_map(|slo| slo.route.as_ref().map(|route| route.0.as_str()));
        let routes = RouteTable::new(self.routes.iter().map(String::as_str).chain(own));
        let bad_when = slos.map(|slo| (slo.route.clone(), slo.bad_when.clone())).collect();
        let address = |arm| (arm, format!("127.0.0.1:{}", ports.of(arm)));
        Counting {
            routes,
            thresholds_ms: self.thresholds_ms(),
            bad_when,
            addresses: [address(Arm::Blue), address(Arm::Green)].into(),
        }
    }

    /// Returns every latency that an objective or a gate asks about.
    pub(super) fn thresholds_ms(&self) -> Vec<u64> {
        let gates = &self.declared.gates;
        let mut limits: Vec<Limit> = Vec::new();
        for slo in self.declared.slos.values() {
            limits.extend(slo.limit);
            if let Indicator::Latency { objective, .. } = slo.indicator {
                limits.push(Limit::Latency(objective));
            }
        }
        let of_gates = [
            gates.load.as_ref().map(|gate| &gate.slos),
            gates.bake.as_ref().map(|gate| &gate.slos),
            gates.canary.as_ref().map(|gate| &gate.slos),
        ];
        limits.extend(of_gates.into_iter().flatten().flatten().map(|slo| slo.limit));
        let mut thresholds: Vec<u64> = limits
            .into_iter()
            .filter_map(|limit| match limit {
                Limit::Latency(limit) => Some(limit.0),
                Limit::BadShare(_) => None,
            })
            .collect();
        thresholds.sort_unstable();
        thresholds.dedup();
        thresholds
    }
}
