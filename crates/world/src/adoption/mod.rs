//! A program that ran before guanka came: found behind its site with whoever keeps it, taken in as
//! the arm blue where it runs, ended only when a release has taken over, brought back as it was.
//! The record `/var/lib/guanka/<service>/adopted.json` (0600: environments hold secrets) is durable
//! before each step and goes last, so that whoever comes after a kill goes on or goes back.

mod back;
mod error;
mod find;
mod keeper;
mod release;
pub mod view;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::PathBuf;

use guanka_core::name::{Arm, ServiceName};
use guanka_core::say::Said;
use serde::{Deserialize, Serialize};

use crate::collect::arguments;
use crate::files;
use crate::hostroot::HostRoot;
use crate::managers::spec::ArmSpec;
use crate::ports;

pub use back::become_program;
pub use error::AdoptError;
pub use find::{Wanted, find};
pub use keeper::{retire, revive};
pub use release::stage;
use view::FoundView;

/// The version of the record's form.
const SCHEMA: u32 = 1;

/// The arm that an adopted program is.
pub const ARM: Arm = Arm::Blue;

/// Variables of a session or of a keeper's own: they say nothing of the program.
const NOT_CARRIED: &[&str] = &[
    "_",
    "COLORTERM",
    "DBUS_SESSION_BUS_ADDRESS",
    "HISTFILE",
    "HISTSIZE",
    "HOME",
    "HOSTNAME",
    "INVOCATION_ID",
    "JOURNAL_STREAM",
    "LOGNAME",
    "LS_COLORS",
    "MAIL",
    "MAINPID",
    "MANAGERPID",
    "NOTIFY_SOCKET",
    "OLDPWD",
    "PATH",
    "PWD",
    "SHELL",
    "SHLVL",
    "SYSTEMD_EXEC_PID",
    "TERM",
    "USER",
];

/// The beginnings of more of them.
const NOT_CARRIED_STARTS: &[&str] =
    &["GUANKA_", "LC_", "LISTEN_", "SSH_", "SUDO_", "SUPERVISOR_", "XDG_"];

/// Whoever keeps a program alive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Keeper {
    /// Nobody: it was started with nohup, or from a shell that has ended.
    Nobody,
    /// The panel, as a Go project, by a pid file.
    GoProject {
        /// The project.
        name: String,
        /// The file; the panel's guard starts again only what has one.
        pid_file: PathBuf,
    },
    /// Supervisor, or the panel's plugin of it.
    Supervisor {
        /// The program's name.
        program: String,
        /// The file that holds it.
        file: PathBuf,
    },
    /// systemd.
    Systemd {
        /// The unit.
        unit: String,
    },
}

/// A running program: all that is needed to start it again as it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Running {
    /// Its process.
    pub pid: u32,
    /// Its program file.
    pub program: PathBuf,
    /// Its arguments, without the program's own name.
    pub args: Vec<String>,
    /// Its whole environment.
    pub env: BTreeMap<String, String>,
    /// Its working folder.
    pub folder: PathBuf,
    /// Its user's name.
    pub user: String,
    /// Its user's number.
    pub uid: u32,
    /// Its group's number.
    pub gid: u32,
    /// Where its output goes, when that is a file.
    pub output: Option<PathBuf>,
    /// The port it listens on.
    pub port: u16,
    /// Whoever keeps it.
    pub keeper: Keeper,
    /// Folders it writes to.
    pub data_dirs: Vec<PathBuf>,
}

/// How far an adoption is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "phase")]
pub enum Phase {
    /// nginx is being put in front of it; a kill from here on is gone back from.
    Begun,
    /// The program runs where it ran, as the arm blue, proven through nginx.
    External,
    /// A release has taken over; the program is ended, or is being ended.
    Retired {
        /// A file of the keeper's before and after it was changed.
        changed: Option<ChangedFile>,
        /// The keeper starts it by itself after a reboot when this is put back.
        was_enabled: bool,
        /// It is ended, and its keeper does not start it again.
        #[serde(default = "ended_once")]
        is_ended: bool,
    },
    /// The site's requests reach the program by the site's own configuration again.
    HandedBack,
}

/// Records that do not say it are of programs that were ended long ago.
const fn ended_once() -> bool {
    true
}

/// A file of a keeper's that was changed so that it does not start the program again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangedFile {
    path: PathBuf,
    before: String,
    after: String,
}

/// An adoption.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Adopted {
    schema: u32,
    /// The service.
    pub service: ServiceName,
    /// The program as it was found.
    pub running: Running,
    /// How far it is.
    pub phase: Phase,
}

impl Adopted {
    /// Begins an adoption.
    pub fn new(service: &ServiceName, running: Running) -> Self {
        Self { schema: SCHEMA, service: service.clone(), running, phase: Phase::Begun }
    }

    /// Makes the record durable.
    pub fn store(&self, host: &HostRoot) -> io::Result<()> {
        files::make_state(host, &self.service)?;
        files::replace(&path(host, &self.service), &serde_json::to_vec_pretty(self)?, 0o600)
    }

    /// Reads the record of a service; `None` where nothing was adopted.
    pub fn load(host: &HostRoot, service: &ServiceName) -> io::Result<Option<Self>> {
        let path = path(host, service);
        let bytes = match fs::read(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            read => read?,
        };
        let found: Self = serde_json::from_slice(&bytes)?;
        if found.schema != SCHEMA || found.service != *service {
            let why = format!("{} is not {service}'s", path.display());
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
        Ok(Some(found))
    }

    /// Returns whether the adopted program is still what the arm is.
    pub fn is_external(&self, arm: Arm) -> bool {
        arm == ARM && matches!(self.phase, Phase::Begun | Phase::External)
    }

    /// Returns whether an arm's port is the adopted program's to listen on.
    pub fn has_port_of(&self, arm: Arm) -> bool {
        arm == ARM && !matches!(self.phase, Phase::Retired { .. })
    }

    /// Returns the process of the adopted program, if it has its port: the keeper may have started
    /// it anew meanwhile.
    pub fn process(&self) -> Option<u32> {
        let owner = ports::owner_of(self.running.port)?;
        let program = bare(&owner.exe?);
        (program == self.running.program).then_some(owner.pid)
    }

    /// Gives an arm what the program had: its environment and its working folder.
    pub fn carry(&self, spec: &mut ArmSpec) {
        let carried = self.running.env.iter().filter(|(name, _)| is_carried(name));
        for (name, value) in carried {
            spec.env.entry(name.clone()).or_insert_with(|| value.clone());
        }
        spec.folder = Some(self.running.folder.clone());
    }
}

impl Running {
    /// Returns it for people and the other side of a wire: no value of a variable, no secret.
    pub fn view(&self) -> FoundView {
        let variable = |wanted: &str| {
            let found = self.env.iter().find(|(_, value)| value.as_str() == wanted);
            found.map(|(name, _)| name.clone())
        };
        let bare = variable(&self.port.to_string());
        let end = format!(":{}", self.port);
        let whole = self.env.iter().find(|(_, value)| value.ends_with(&end));
        FoundView {
            pid: self.pid,
            program: self.program.display().to_string(),
            args: arguments::blanked_arguments(&self.args),
            is_port_only: bare.is_some(),
            listen_env: bare.or_else(|| whole.map(|(name, _)| name.clone())),
            carried: self.carried(),
            folder: self.folder.display().to_string(),
            user: self.user.clone(),
            port: self.port,
            keeper: self.keeper.said(),
            data_dirs: self.data_dirs.iter().map(|path| path.display().to_string()).collect(),
        }
    }

    /// Returns the names of the variables that its releases are given too.
    pub fn carried(&self) -> Vec<String> {
        self.env.keys().filter(|name| is_carried(name)).cloned().collect()
    }
}

impl Keeper {
    /// Names it for people.
    pub fn said(&self) -> Said {
        match self {
            Self::Nobody => Said::new("无人看管(nohup)", "nobody (nohup)"),
            Self::GoProject { name, .. } => {
                Said::new(format!("面板 Go 项目 {name}"), format!("the panel's Go project {name}"))
            }
            Self::Supervisor { program, .. } => Said::new(
                format!("Supervisor 程序 {program}"),
                format!("Supervisor's program {program}"),
            ),
            Self::Systemd { unit } => {
                Said::new(format!("systemd 单元 {unit}"), format!("systemd's unit {unit}"))
            }
        }
    }
}

fn is_carried(name: &str) -> bool {
    !NOT_CARRIED.contains(&name)
        && !NOT_CARRIED_STARTS.iter().any(|start| name.starts_with(start))
        && crate::managers::launch::is_variable(name)
}

/// Takes the kernel's mark of a program file that was replaced off its path.
fn bare(program: &std::path::Path) -> PathBuf {
    let text = program.to_string_lossy();
    PathBuf::from(text.strip_suffix(" (deleted)").unwrap_or(&text))
}

fn path(host: &HostRoot, service: &ServiceName) -> PathBuf {
    host.service_state(service).join("adopted.json")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use guanka_core::name::Arm;

    use super::{Adopted, Keeper, Phase, Running};
    use crate::hostroot::HostRoot;
    use crate::managers::spec::tests_support::spec;

    fn running() -> Running {
        let env = [("PORT", "127.0.0.1:8080"), ("DB", "x"), ("SSH_TTY", "y"), ("PWD", "/z")];
        Running {
            pid: 1,
            program: "/www/wwwroot/api/api".into(),
            args: Vec::new(),
            env: BTreeMap::from(env.map(|(name, value)| (name.to_owned(), value.to_owned()))),
            folder: "/www/wwwroot/api".into(),
            user: "www".to_owned(),
            uid: 1001,
            gid: 1001,
            output: None,
            port: 8080,
            keeper: Keeper::Nobody,
            data_dirs: Vec::new(),
        }
    }

    #[test]
    fn an_arm_gets_the_environment_but_not_the_old_address_nor_the_session() {
        let mut arm = spec();
        let adopted = Adopted::new(&arm.service, running());
        adopted.carry(&mut arm);
        let env: Vec<(&str, &str)> =
            arm.env.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(env, [("DB", "x"), ("PORT", "18001")]);
        assert_eq!(arm.folder.as_deref(), Some("/www/wwwroot/api".as_ref()));
    }

    #[test]
    fn the_record_is_the_services_own_and_only_blue_is_external() {
        let dir = tempfile::tempdir().expect("a folder");
        let host = HostRoot::new(dir.path());
        let service = spec().service;
        assert_eq!(Adopted::load(&host, &service).expect("none"), None);
        let adopted = Adopted::new(&service, running());
        adopted.store(&host).expect("stored");
        assert_eq!(Adopted::load(&host, &service).expect("one"), Some(adopted.clone()));
        assert!(adopted.is_external(Arm::Blue) && !adopted.is_external(Arm::Green));
        assert!(adopted.has_port_of(Arm::Blue) && !adopted.has_port_of(Arm::Green));
        let phase = Phase::Retired { changed: None, was_enabled: true, is_ended: false };
        assert!(!Adopted { phase, ..adopted }.has_port_of(Arm::Blue), "it is guanka's to hold");
    }
}
