//! A host's root folder and the places below it: the real `/`, or a folder laid out like a panel
//! host. Every path on a host is made here from names that are already allowed in paths.

use std::path::{Path, PathBuf};

use guanka_core::name::{Arm, Digest, ServiceName};

/// A host's root folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostRoot {
    root: PathBuf,
}

impl HostRoot {
    /// Takes an absolute folder.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Returns the folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Returns whether this is the machine's own root.
    pub fn is_machine(&self) -> bool {
        self.root == Path::new("/")
    }

    /// Returns where an absolute path of the host lies, `/etc/passwd` below the root.
    pub fn at(&self, absolute: &str) -> PathBuf {
        self.root.join(absolute.trim_start_matches('/'))
    }

    /// Returns `/opt/guanka/<service>`.
    pub fn home(&self, service: &ServiceName) -> PathBuf {
        self.at("/opt/guanka").join(service.to_string())
    }

    /// Returns the folder of all releases of a service.
    pub fn releases(&self, service: &ServiceName) -> PathBuf {
        self.home(service).join("releases")
    }

    /// Returns one release's folder.
    pub fn release(&self, service: &ServiceName, digest: &Digest) -> PathBuf {
        self.releases(service).join(digest.as_str())
    }

    /// Returns an arm's link to its release.
    pub fn arm(&self, service: &ServiceName, arm: Arm) -> PathBuf {
        self.home(service).join("arms").join(arm.as_str())
    }

    /// Returns `/var/lib/guanka`.
    pub fn state(&self) -> PathBuf {
        self.at("/var/lib/guanka")
    }

    /// Returns `/var/lib/guanka/<service>`: the share directories and the `live` link.
    pub fn service_state(&self, service: &ServiceName) -> PathBuf {
        self.state().join(service.to_string())
    }

    /// Returns the folder whose numbered folders hold the slots of green.
    pub fn shares(&self, service: &ServiceName) -> PathBuf {
        self.service_state(service).join("shares")
    }

    /// Returns the link whose target is green's share.
    pub fn live(&self, service: &ServiceName) -> PathBuf {
        self.service_state(service).join("live")
    }

    /// Returns what the driver declared of a service; only root reads it.
    pub fn settings(&self, service: &ServiceName) -> PathBuf {
        self.service_state(service).join("settings.json")
    }

    /// Returns the record of programs that were started anew because they gave no sign of life.
    pub fn restarts(&self, service: &ServiceName) -> PathBuf {
        self.service_state(service).join("restarts.json")
    }

    /// Returns the document of what a service is to be on this host.
    pub fn desired(&self, service: &ServiceName) -> PathBuf {
        self.service_state(service).join("desired.json")
    }

    /// Returns the folder of what the agent's worker keeps: journal, audit log, counts.
    pub fn worker_state(&self) -> PathBuf {
        self.state().join("agent")
    }

    /// Returns the worker's own folder of a service: its lease, its reports.
    pub fn worker_service(&self, service: &ServiceName) -> PathBuf {
        self.worker_state().join(service.to_string())
    }

    /// Returns the file that holds the stable arm's name, for programs with work that must not run
    /// twice.
    pub fn active_file(&self, service: &ServiceName) -> PathBuf {
        self.service_state(service).join("active")
    }

    /// Returns the file that says how an arm is started.
    pub fn arm_spec(&self, service: &ServiceName, arm: Arm) -> PathBuf {
        self.service_state(service).join(format!("{arm}.json"))
    }

    /// Returns the host-wide file of the agent: the ports of all services.
    pub fn agent_file(&self) -> PathBuf {
        self.state().join("agent.json")
    }

    /// Returns an arm's own output.
    pub fn arm_log(&self, service: &ServiceName, arm: Arm) -> PathBuf {
        self.arm_logs(service).join(format!("{arm}.log"))
    }

    /// Returns the folder of the arms' own output.
    pub fn arm_logs(&self, service: &ServiceName) -> PathBuf {
        self.at("/var/log/guanka").join(service.to_string())
    }

    /// Returns the socket of the agent's root helper, in a folder that only the helper changes.
    pub fn helper_socket(&self) -> PathBuf {
        self.at("/run/guanka-helper/helper.sock")
    }

    /// Returns the agent's socket.
    pub fn agent_socket(&self) -> PathBuf {
        self.at("/run/guanka/agent.sock")
    }
}
