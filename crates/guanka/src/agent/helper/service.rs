//! One service as the helper keeps it: its settings, the document of what is wanted, the ports of
//! arms that do not run.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use guanka_core::name::{Arm, ServiceName};
use guanka_core::rollout::desired::{Desired, SCHEMA};
use guanka_core::say::Said;
use guanka_world::adoption::{self, Adopted};
use guanka_world::hostroot::HostRoot;
use guanka_world::managers::{ArmStatus, Manager};
use guanka_world::ports::{self, HeldPort};
use guanka_world::releases::Store;
use guanka_world::transport::wire::Answer;
use guanka_world::{files, obstacle};

use super::super::refusal::could_not;
use super::super::service::Settings;
use super::super::stores::lock;
use super::wired::Wired;

/// A service.
pub(in super::super) struct Kept {
    pub(super) name: ServiceName,
    pub(super) settings: Mutex<Option<Arc<Settings>>>,
    desired: Mutex<Result<Desired, Said>>,
    /// The document on disk is older than the one that counts.
    unsaved: Mutex<bool>,
    /// When the canary's lease was renewed last; a helper that was started anew gives it its whole
    /// time once more and no longer.
    pub(super) renewed: Mutex<Instant>,
    pub(super) held: Mutex<BTreeMap<Arm, HeldPort>>,
    pub(super) wired: Mutex<Wired>,
    /// What its logs lack, as it was seen last.
    pub(super) troubles: Mutex<Vec<Said>>,
    /// When an adoption was begun that is not proven yet.
    pub(super) adopting: Mutex<Option<Instant>>,
    /// One verb at a time changes the service.
    pub(super) doing: Mutex<()>,
}

impl Kept {
    /// Reads what is stored of a service.
    pub(super) fn load(host: &HostRoot, name: &ServiceName) -> Self {
        let settings = files::read_text(&host.settings(name), 4 << 20)
            .ok()
            .and_then(|text| serde_json::from_str(&text).ok())
            .map(Arc::new);
        Self {
            settings: Mutex::new(settings),
            desired: Mutex::new(read(host, name)),
            unsaved: Mutex::default(),
            renewed: Mutex::new(Instant::now()),
            held: Mutex::default(),
            wired: Mutex::default(),
            troubles: Mutex::default(),
            adopting: Mutex::default(),
            doing: Mutex::default(),
            name: name.clone(),
        }
    }

    /// Returns the document, or why nothing may be done without it.
    pub(super) fn desired(&self) -> Result<Desired, Answer> {
        lock(&self.desired).clone().map_err(could_not)
    }

    /// Changes the document; it is on disk when this returns.
    pub(super) fn change(
        &self,
        host: &HostRoot,
        change: impl FnOnce(&mut Desired),
    ) -> io::Result<()> {
        let mut kept = lock(&self.desired);
        let mut desired =
            kept.clone().map_err(|why| obstacle::saying(io::ErrorKind::Other, why))?;
        change(&mut desired);
        if kept.as_ref() != Ok(&desired) {
            write(host, &self.name, &desired)?;
            *kept = Ok(desired);
        }
        Ok(())
    }

    /// Changes the document for something that must be done whatever the disk says: requests taken
    /// from a candidate. It counts from now on, and is written as soon as it can be.
    pub(super) fn change_at_once(&self, host: &HostRoot, change: impl FnOnce(&mut Desired)) {
        {
            let mut kept = lock(&self.desired);
            let Ok(desired) = kept.as_mut() else { return };
            change(desired);
        }
        *lock(&self.unsaved) = true;
        self.save(host);
    }

    /// Writes what could not be written when it was decided.
    pub(super) fn save(&self, host: &HostRoot) {
        let mut unsaved = lock(&self.unsaved);
        let kept = lock(&self.desired);
        if let (true, Ok(desired)) = (*unsaved, kept.as_ref()) {
            *unsaved = write(host, &self.name, desired).is_err();
        }
    }

    /// Takes the service's state off the disk; nothing that still holds the service writes there
    /// again.
    pub(super) fn remove_state(&self, host: &HostRoot) -> io::Result<()> {
        let mut kept = lock(&self.desired);
        files::remove_whole(&host.service_state(&self.name))?;
        *kept =
            Err(Said::new(format!("{} 已移除", self.name), format!("{} was removed", self.name)));
        *lock(&self.settings) = None;
        Ok(())
    }

    /// Returns whether it was removed.
    pub(super) fn is_removed(&self, host: &HostRoot) -> bool {
        lock(&self.desired).is_err() && !host.service_state(&self.name).exists()
    }

    /// Notes what was done without being asked.
    pub(super) fn note(&self, host: &HostRoot, action: &str, detail: &serde_json::Value) {
        // A full disk must not keep a candidate in traffic.
        let _ = self.change(host, |desired| desired.note(action, detail.to_string()));
    }

    pub(super) fn settings(&self) -> Option<Arc<Settings>> {
        lock(&self.settings).clone()
    }

    /// Stores the settings and uses them from now on.
    pub(super) fn configure(&self, host: &HostRoot, settings: Settings) -> io::Result<()> {
        files::make_state(host, &self.name)?;
        let text = serde_json::to_vec_pretty(&settings)?;
        // Arguments of the program may hold secrets: root's alone.
        files::replace(&host.settings(&self.name), &text, 0o600)?;
        *lock(&self.settings) = Some(Arc::new(settings));
        Ok(())
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

    /// Returns the releases of the service.
    pub(super) fn store(&self, host: &HostRoot) -> Store {
        Store::new(host, &self.name)
    }
}

fn write(host: &HostRoot, name: &ServiceName, desired: &Desired) -> io::Result<()> {
    files::make_state(host, name)?;
    let text = serde_json::to_vec_pretty(desired)?;
    // No secret in it: the worker reads it as everybody may.
    files::replace(&host.desired(name), &text, 0o644)
}

fn read(host: &HostRoot, name: &ServiceName) -> Result<Desired, Said> {
    let path = host.desired(name);
    let shown = path.display();
    let text = match files::read_text(&path, 1 << 20) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Desired::default()),
        other => other.map_err(|error| obstacle::said(&obstacle::at(&path)(error)))?,
    };
    let desired: Desired = serde_json::from_str(&text).map_err(|error| {
        Said::new(format!("{shown} 已损坏:{error}"), format!("{shown}: {error}"))
    })?;
    let form = desired.schema;
    if form == SCHEMA {
        Ok(desired)
    } else {
        Err(Said::new(
            format!("{shown} 的格式是 {form},这个 guanka 只认识 {SCHEMA}"),
            format!("{shown} has the form {form} and this guanka knows {SCHEMA}"),
        ))
    }
}

#[cfg(test)]
mod tests {
    use guanka_core::name::{Arm, ServiceName};
    use guanka_core::quantity::Millis;
    use guanka_world::hostroot::HostRoot;
    use guanka_world::managers::spec::ArmSpec;
    use guanka_world::managers::{ArmStatus, Installed, Manager, ManagerError, Preview};
    use guanka_world::ports;

    use super::super::super::stores::lock;
    use super::Kept;

    /// A manager that knows what the arms do and nothing else.
    struct Says(fn(Arm) -> Option<ArmStatus>);

    impl Manager for Says {
        fn file(&self, _: &ServiceName, _: Arm) -> std::path::PathBuf {
            unreachable!("only asked")
        }
        fn preview(&self, _: &ArmSpec) -> Result<Preview, ManagerError> {
            unreachable!("only asked")
        }
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

    fn shop() -> ServiceName {
        ServiceName::new("shop", "demo").expect("a good name")
    }

    fn held_when(status: fn(Arm) -> Option<ArmStatus>) -> Vec<Arm> {
        held_on(status, |_| {})
    }

    fn held_on(status: fn(Arm) -> Option<ArmStatus>, lay_out: impl FnOnce(&HostRoot)) -> Vec<Arm> {
        let dir = tempfile::tempdir().expect("a folder");
        let host = HostRoot::new(dir.path());
        ports::allot(&host, &shop()).expect("two ports");
        lay_out(&host);
        let service = Kept::load(&host, &shop());
        service.hold_idle_ports(&host, Some(&Says(status)));
        lock(&service.held).keys().copied().collect()
    }

    #[test]
    fn the_port_of_an_adopted_program_is_left_to_its_keeper() {
        let unreadable = |host: &HostRoot| {
            let folder = host.service_state(&shop());
            std::fs::create_dir_all(&folder).expect("made");
            std::fs::write(folder.join("adopted.json"), "half a rec").expect("written");
        };
        assert_eq!(held_on(|_| Some(ArmStatus::Stopped), unreadable), [Arm::Green]);
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
    fn what_must_be_done_counts_at_once_and_is_written_when_it_can_be() {
        let dir = tempfile::tempdir().expect("a folder");
        let host = HostRoot::new(dir.path());
        let service = Kept::load(&host, &shop());
        service.change(&host, |desired| desired.epoch = 3).expect("stored");
        // A folder in the document's place takes no text, whoever writes.
        std::fs::remove_file(host.desired(&shop())).expect("removed");
        std::fs::create_dir(host.desired(&shop())).expect("in the way");
        std::fs::write(host.desired(&shop()).join("x"), "").expect("not empty");
        assert!(service.change(&host, |desired| desired.epoch = 4).is_err());
        service.change_at_once(&host, |desired| desired.epoch = 5);
        assert_eq!(service.desired().expect("known").epoch, 5);
        std::fs::remove_dir_all(host.desired(&shop())).expect("out of the way");
        service.save(&host);
        assert_eq!(Kept::load(&host, &shop()).desired().expect("read").epoch, 5);
    }

    #[test]
    fn nothing_is_written_where_a_service_was_removed() {
        let dir = tempfile::tempdir().expect("a folder");
        let host = HostRoot::new(dir.path());
        let service = Kept::load(&host, &shop());
        service.change(&host, |desired| desired.epoch = 3).expect("stored");
        service.remove_state(&host).expect("removed");
        assert!(service.is_removed(&host));
        service.note(&host, "late", &serde_json::json!({}));
        service.change_at_once(&host, |desired| desired.epoch = 4);
        assert!(!host.service_state(&shop()).exists());
        let anew = Kept::load(&host, &shop());
        assert!(anew.change(&host, |desired| desired.epoch = 5).is_ok());
    }

    #[test]
    fn the_document_is_there_again_after_a_restart_and_a_damaged_one_stops_everything() {
        let dir = tempfile::tempdir().expect("a folder");
        let host = HostRoot::new(dir.path());
        Kept::load(&host, &shop()).change(&host, |desired| desired.epoch = 9).expect("stored");
        assert_eq!(Kept::load(&host, &shop()).desired().expect("read").epoch, 9);
        std::fs::write(host.desired(&shop()), "{").expect("damaged");
        let service = Kept::load(&host, &shop());
        assert!(service.desired().is_err());
        assert!(service.change(&host, |desired| desired.epoch = 1).is_err());
    }
}
