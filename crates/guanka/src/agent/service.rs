//! One service on this host: its settings, its lease, its canary, its jobs, its arms' ports.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use guanka_core::facts::declared::{Declared, Indicator, Limit};
use guanka_core::name::{Arm, ServiceName};
use guanka_core::rollout::effect::Lane;
use guanka_core::signals::request::Counting;
use guanka_core::signals::route::RouteTable;
use guanka_world::adoption::{self, Adopted};
use guanka_world::hostroot::HostRoot;
use guanka_world::managers::{ArmStatus, Manager};
use guanka_world::ports::{self, ArmPorts, HeldPort};
use guanka_world::{files, signals};
use serde::{Deserialize, Serialize};

use super::health::Health;
use super::jobs::Jobs;
use super::lease::Lease;
use super::reconcile::Wired;
use super::share::Canary;
use super::stores::lock;

/// A service.
pub(super) struct Service {
    pub(super) name: ServiceName,
    pub(super) settings: Mutex<Option<Arc<Settings>>>,
    pub(super) lease: Mutex<Option<Lease>>,
    pub(super) canary: Mutex<Option<Canary>>,
    pub(super) jobs: Jobs,
    pub(super) held: Mutex<BTreeMap<Arm, HeldPort>>,
    pub(super) health: Mutex<Health>,
    pub(super) log: Mutex<Followed>,
    pub(super) wired: Mutex<Wired>,
    /// The newest number of each lane of commands, with its epoch: an older one is refused.
    pub(super) newest: Mutex<BTreeMap<Lane, (u64, u64)>>,
    /// One effect at a time changes the service.
    pub(super) doing: Mutex<()>,
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
    /// Reads what is stored of a service.
    pub(super) fn load(host: &HostRoot, name: &ServiceName) -> Self {
        let read = |path: PathBuf| files::read_text(&path, 4 << 20).ok();
        let settings = read(Self::settings_path(host, name))
            .and_then(|text| serde_json::from_str(&text).ok())
            .map(Arc::new);
        Self {
            settings: Mutex::new(settings),
            lease: Mutex::new(Lease::load(host, name)),
            canary: Mutex::new(Canary::load(host, name)),
            jobs: Jobs::default(),
            held: Mutex::default(),
            health: Mutex::default(),
            log: Mutex::default(),
            wired: Mutex::default(),
            newest: Mutex::default(),
            doing: Mutex::default(),
            name: name.clone(),
        }
    }

    /// Returns where a service's settings lie.
    pub(super) fn settings_path(host: &HostRoot, name: &ServiceName) -> PathBuf {
        host.service_state(name).join("settings.json")
    }

    /// Stores the settings and uses them from now on.
    pub(super) fn configure(&self, host: &HostRoot, settings: Settings) -> std::io::Result<()> {
        files::make_state(host, &self.name)?;
        let text = serde_json::to_vec_pretty(&settings)?;
        // Arguments of the program may hold secrets: root's alone.
        files::replace(&Self::settings_path(host, &self.name), &text, 0o600)?;
        *lock(&self.settings) = Some(Arc::new(settings));
        Ok(())
    }

    pub(super) fn settings(&self) -> Option<Arc<Settings>> {
        lock(&self.settings).clone()
    }

    /// Takes the ports of arms that do not run, so that nobody else gets the service's requests. An
    /// arm that is on its way up, or that its process manager will start again, has no listener
    /// either: its port is its own, and so it is where the manager cannot tell.
    pub(super) fn hold_idle_ports(&self, host: &HostRoot, manager: Option<&dyn Manager>) {
        let Ok(Some(ports)) = ports::allotted(host, &self.name) else { return };
        // An adopted program that its keeper starts again must find its port free, and so it must
        // where the record of it cannot be read.
        let adopted = Adopted::load(host, &self.name);
        let is_kept_elsewhere = |arm| match &adopted {
            Ok(found) => found.as_ref().is_some_and(|found| found.has_port_of(arm)),
            Err(_) => arm == adoption::ARM,
        };
        for arm in [Arm::Blue, Arm::Green] {
            if is_kept_elsewhere(arm)
                || lock(&self.held).contains_key(&arm)
                || ports::owner_of(ports.of(arm)).is_some()
            {
                continue;
            }
            let status = manager.map(|manager| manager.status(&self.name, arm));
            if matches!(status, None | Some(Ok(ArmStatus::Stopped)))
                && let Ok(port) = ports::hold(ports.of(arm))
            {
                lock(&self.held).insert(arm, port);
            }
        }
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

#[cfg(test)]
mod tests {
    use guanka_core::name::{Arm, ServiceName};
    use guanka_core::quantity::Millis;
    use guanka_world::hostroot::HostRoot;
    use guanka_world::managers::spec::ArmSpec;
    use guanka_world::managers::{ArmStatus, Installed, Manager, ManagerError};
    use guanka_world::ports;

    use super::super::stores::lock;
    use super::Service;

    /// A manager that knows what the arms do and nothing else.
    struct Says(fn(Arm) -> Option<ArmStatus>);

    impl Manager for Says {
        fn status(&self, _: &ServiceName, arm: Arm) -> Result<ArmStatus, ManagerError> {
            let silent = || ManagerError::Unreachable { text: "no answer".to_owned() };
            (self.0)(arm).ok_or_else(silent)
        }
        fn install(&self, _: &ArmSpec) -> Result<Installed, ManagerError> {
            unreachable!("only asked")
        }
        fn start(&self, _: &ServiceName, _: Arm) -> Result<ArmStatus, ManagerError> {
            unreachable!("only asked")
        }
        fn stop(&self, _: &ServiceName, _: Arm, _: Millis) -> Result<(), ManagerError> {
            unreachable!("only asked")
        }
        fn remove(&self, _: &ServiceName, _: Arm, _: Millis) -> Result<(), ManagerError> {
            unreachable!("only asked")
        }
    }

    fn held_when(status: fn(Arm) -> Option<ArmStatus>) -> Vec<Arm> {
        held_on(status, |_, _| {})
    }

    fn held_on(
        status: fn(Arm) -> Option<ArmStatus>,
        lay_out: impl FnOnce(&HostRoot, &ServiceName),
    ) -> Vec<Arm> {
        let dir = tempfile::tempdir().expect("a folder");
        let host = HostRoot::new(dir.path());
        let name = ServiceName::new("shop", "demo").expect("a good name");
        ports::allot(&host, &name).expect("two ports");
        lay_out(&host, &name);
        let service = Service::load(&host, &name);
        service.hold_idle_ports(&host, Some(&Says(status)));
        lock(&service.held).keys().copied().collect()
    }

    #[test]
    fn the_port_of_an_arm_on_its_way_up_is_not_taken_from_it() {
        let blue_starts = |arm| match arm {
            Arm::Blue => Some(ArmStatus::Starting),
            Arm::Green => Some(ArmStatus::Stopped),
        };
        assert_eq!(held_when(blue_starts), [Arm::Green]);
        assert_eq!(held_when(|_| Some(ArmStatus::Retrying { why: "x".to_owned() })), []);
        assert_eq!(held_when(|_| None), []);
        assert_eq!(held_when(|_| Some(ArmStatus::Stopped)), [Arm::Blue, Arm::Green]);
    }

    #[test]
    fn the_port_of_an_adopted_program_is_left_to_its_keeper() {
        let stopped = |_: Arm| Some(ArmStatus::Stopped);
        let unreadable = |host: &HostRoot, name: &ServiceName| {
            let folder = host.service_state(name);
            std::fs::create_dir_all(&folder).expect("made");
            std::fs::write(folder.join("adopted.json"), "half a rec").expect("written");
        };
        assert_eq!(held_on(stopped, unreadable), [Arm::Green]);
    }
}
