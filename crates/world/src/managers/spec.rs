//! How an arm is started: the file `/var/lib/guanka/<service>/<arm>.json` (0600: environments hold
//! secrets), written by the agent and read by the launcher.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::PathBuf;

use guanka_core::facts::declared::{Declared, ListenBy, Logs, Notify};
use guanka_core::name::{Arm, ServiceName};
use guanka_core::plan::processors::Runtime;
use guanka_core::plan::warm;
use guanka_core::quantity::{Bytes, CpuPercent, Millis};
use serde::{Deserialize, Serialize};

use super::program::Traits;
use crate::collect::memory;
use crate::files;
use crate::hostroot::HostRoot;

/// The version of the file's form.
const SCHEMA: u32 = 1;

/// How an arm is started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArmSpec {
    /// The form's version.
    pub schema: u32,
    /// The service.
    pub service: ServiceName,
    /// The arm.
    pub arm: Arm,
    /// The program's file name below the arm's `bin/`.
    pub program: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// Its whole environment but for the few variables that the launcher adds.
    pub env: BTreeMap<String, String>,
    /// The port it is told to listen on.
    pub port: u16,
    /// The limit of open files.
    pub nofile: u64,
    /// The memory it may use. Go is told nine tenths of it; an address-space limit would break Go.
    pub memory: Option<Bytes>,
    /// The memory that Go is told of where none is declared: on a small host two arms must fit.
    #[serde(default)]
    pub soft_memory: Option<Bytes>,
    /// The processor time it may use.
    #[serde(default)]
    pub cpu: Option<CpuPercent>,
    /// Its runtime minds a limit of processor time by itself.
    #[serde(default)]
    pub reads_quota: bool,
    /// It tells systemd itself when it is ready.
    #[serde(default)]
    pub notifies: bool,
    /// It may listen on ports below 1024.
    #[serde(default)]
    pub low_ports: bool,
    /// The secrets it is handed, by name.
    #[serde(default)]
    pub credentials: Vec<String>,
    /// Whom it runs as.
    pub run_as: RunAs,
    /// The folder it works in, where that is not its release: an adopted program's.
    #[serde(default)]
    pub folder: Option<PathBuf>,
    /// The folders it may write to beside its temporary ones, as they lie on the host.
    #[serde(default)]
    pub data_dirs: Vec<PathBuf>,
    /// How long it may take to stop.
    pub stop_grace: Millis,
    /// When its output is rotated and how much is kept.
    pub logs: Logs,
    /// The guanka binary whose `exec` starts it.
    pub launcher: PathBuf,
}

/// Whom an arm runs as.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunAs {
    /// Whoever starts it; all that is possible without root.
    Caller,
    /// A user of the host.
    User {
        /// The name.
        name: String,
        /// The user's number.
        uid: u32,
        /// The group's number.
        gid: u32,
    },
}

impl ArmSpec {
    /// Builds an arm's start from what guanka.toml declares.
    pub fn from_declared(
        host: &HostRoot,
        declared: &Declared,
        (program, traits): (&str, Traits),
        (arm, port): (Arm, u16),
        run_as: RunAs,
    ) -> Self {
        let address = format!("127.0.0.1:{port}");
        let limits = &declared.process.limits;
        let mut env = BTreeMap::new();
        if let ListenBy::Env { name, is_port_only } = &declared.app.listen {
            let value = if *is_port_only { port.to_string() } else { address.clone() };
            env.insert(name.clone(), value);
        }
        let args = declared.app.args.iter().map(|arg| arg.replace("{listen}", &address));
        Self {
            schema: SCHEMA,
            service: declared.service.clone(),
            arm,
            program: program.to_owned(),
            args: args.collect(),
            env,
            port,
            nofile: u64::from(limits.files),
            memory: declared.process.memory,
            soft_memory: memory::read(std::iter::empty())
                .and_then(|memory| warm::soft_limit(memory.total, declared.process.memory)),
            cpu: limits.cpu,
            reads_quota: traits.runtime == Runtime::ReadsQuota,
            notifies: match limits.notify {
                Notify::Auto => traits.notifies,
                Notify::Yes => true,
                Notify::No => false,
            },
            low_ports: limits.low_ports,
            credentials: limits.credentials.clone(),
            run_as,
            folder: None,
            data_dirs: declared.data_dirs.iter().map(|folder| host.at(folder)).collect(),
            stop_grace: declared.process.stop_grace,
            logs: declared.logs.clone(),
            launcher: host.at("/opt/guanka/bin/guanka"),
        }
    }

    /// Returns what its runtime does about processors.
    pub(super) fn runtime(&self) -> Runtime {
        if self.reads_quota { Runtime::ReadsQuota } else { Runtime::TakesAll }
    }

    /// Stores the file, readable by its owner alone.
    pub fn store(&self, host: &HostRoot) -> io::Result<()> {
        files::make_state(host, &self.service)?;
        let text = serde_json::to_vec_pretty(self)?;
        files::replace(&host.arm_spec(&self.service, self.arm), &text, 0o600)
    }

    /// Reads an arm's file and makes sure that it is that arm's.
    pub fn load(host: &HostRoot, service: &ServiceName, arm: Arm) -> io::Result<Self> {
        let path = host.arm_spec(service, arm);
        let spec: Self = serde_json::from_slice(&fs::read(&path)?)?;
        if spec.schema != SCHEMA || spec.service != *service || spec.arm != arm {
            let why = format!("{} is not {service}'s {arm}", path.display());
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
        Ok(spec)
    }
}

/// Says which arm is the stable one, to programs with work that must not run twice.
pub fn mark_active(host: &HostRoot, service: &ServiceName, arm: Arm) -> io::Result<()> {
    files::make_state(host, service)?;
    files::replace(&host.active_file(service), format!("{arm}\n").as_bytes(), 0o644)
}

/// Returns the stable arm's name as the programs are told it; none before the first release.
pub fn active(host: &HostRoot, service: &ServiceName) -> Option<Arm> {
    Arm::parse(files::read_text(&host.active_file(service), 64).ok()?.trim())
}

#[cfg(test)]
pub(crate) mod tests_support {
    use std::collections::BTreeMap;

    use guanka_core::facts::declared::{LogPlace, Logs};
    use guanka_core::name::{Arm, ServiceName};
    use guanka_core::quantity::{Bytes, Millis};

    use super::{ArmSpec, RunAs};

    /// Logs of a size and number.
    pub(in super::super) fn logs(rotate: Bytes, keep: u32) -> Logs {
        Logs { rotate, every: None, keep, budget: Bytes(2 << 30), place: LogPlace::File }
    }

    /// An arm's start with something in every field.
    pub(crate) fn spec() -> ArmSpec {
        ArmSpec {
            schema: 1,
            service: ServiceName::new("shop", "prod").expect("a good name"),
            arm: Arm::Green,
            program: "shop".to_owned(),
            args: vec!["-v".to_owned()],
            env: BTreeMap::from([("PORT".to_owned(), "18001".to_owned())]),
            port: 18001,
            nofile: 1024,
            memory: Some(Bytes(1000)),
            soft_memory: None,
            cpu: None,
            reads_quota: true,
            notifies: false,
            low_ports: false,
            credentials: Vec::new(),
            run_as: RunAs::Caller,
            folder: None,
            data_dirs: Vec::new(),
            stop_grace: Millis(1),
            logs: logs(Bytes(1), 1),
            launcher: "/opt/guanka/bin/guanka".into(),
        }
    }
}
