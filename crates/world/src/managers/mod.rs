//! What keeps an arm running: one interface, one file for each kind of manager. An arm is enabled
//! (comes back after a reboot) exactly while it is meant to run.

pub mod credentials;
mod ini;
pub mod launch;
pub mod mirror;
pub mod own_unit;
pub mod prepare;
pub mod program;
mod rpc;
pub mod serve_unit;
pub mod spec;
pub mod supervisor;
pub mod systemd;
mod unit;
pub mod users;

use std::io;
use std::path::PathBuf;

use guanka_core::facts::declared;
use guanka_core::facts::systemd::Exposure;
use guanka_core::name::{Arm, ServiceName};
use guanka_core::quantity::Millis;
use guanka_core::say::{Said, Text};
use serde::{Deserialize, Serialize};

use crate::hostroot::HostRoot;
use crate::plain::PlainError;
use spec::ArmSpec;
use supervisor::Supervisor;
use systemd::Systemd;

/// A manager waits this much longer than the program's own grace before it kills.
const STOP_MARGIN_SECS: u64 = 5;

/// Keeps the arms of services running on one host. Every call may be repeated; none touches a
/// program that is not the named arm.
pub trait Manager {
    /// Returns where an arm's file lies, written or not.
    fn file(&self, service: &ServiceName, arm: Arm) -> PathBuf;
    /// Says what an install would write, once the manager's own checker takes it. Changes nothing;
    /// the program need not be there yet.
    fn preview(&self, spec: &ArmSpec) -> Result<Preview, ManagerError>;
    /// Makes an arm known without starting it. One that runs may not be changed.
    fn install(&self, spec: &ArmSpec) -> Result<Installed, ManagerError>;
    /// Enables and starts an arm, and waits until it runs, has failed or has ended too soon.
    fn start(&self, service: &ServiceName, arm: Arm) -> Result<ArmStatus, ManagerError>;
    /// Stops an arm, giving it the time to finish its requests, and disables it.
    fn stop(&self, service: &ServiceName, arm: Arm, grace: Millis) -> Result<(), ManagerError>;
    /// Says what an arm does.
    fn status(&self, service: &ServiceName, arm: Arm) -> Result<ArmStatus, ManagerError>;
    /// Stops an arm and forgets it.
    fn remove(&self, service: &ServiceName, arm: Arm, grace: Millis) -> Result<(), ManagerError>;
}

/// What an install would write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preview {
    /// The manager's file of the arm.
    pub file: PathBuf,
    /// Its text.
    pub text: String,
    /// How open the arm is by systemd's own score, where it gives one.
    pub exposure: Option<Exposure>,
}

/// What an install did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Installed {
    /// Everything was as it should be.
    Unchanged,
    /// The arm was made known or its settings were changed.
    Written,
}

/// What an arm does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ArmStatus {
    /// It runs.
    Running {
        /// Its process.
        pid: u32,
    },
    /// It is on its way up.
    Starting,
    /// It ended too soon and waits for its next try.
    Retrying {
        /// The manager's words.
        why: String,
    },
    /// It is on its way down.
    Stopping,
    /// It does not run and is not meant to, or is not known.
    Stopped,
    /// The manager has given up on it.
    Failed {
        /// The manager's words.
        why: String,
    },
}

impl ArmStatus {
    /// Returns the state in a word.
    pub const fn word(&self) -> Text {
        match self {
            Self::Running { .. } => Text { zh: "运行中", en: "running" },
            Self::Starting => Text { zh: "启动中", en: "starting" },
            Self::Retrying { .. } => Text { zh: "重试中", en: "between two tries" },
            Self::Stopping => Text { zh: "停止中", en: "stopping" },
            Self::Stopped => Text { zh: "已停止", en: "stopped" },
            Self::Failed { .. } => Text { zh: "启动失败", en: "given up" },
        }
    }
}

/// Why a manager did not do it.
#[derive(Debug, thiserror::Error)]
pub enum ManagerError {
    /// The manager's configuration has no folder for programs.
    #[error("{file} includes no folder of *.ini or *.conf files, so a program cannot be added")]
    NoFolder {
        /// The configuration.
        file: String,
    },
    /// The manager does not answer.
    #[error("the manager does not answer: {text}")]
    Unreachable {
        /// What its client printed.
        text: String,
    },
    /// The manager refused.
    #[error("{argv}: {text}")]
    Refused {
        /// The client's argument list.
        argv: String,
        /// What it printed.
        text: String,
    },
    /// An arm that runs cannot be changed.
    #[error("{program} is running; stop it before it is changed")]
    Running {
        /// The arm's program name.
        program: String,
    },
    /// It is in the wrong state after the time limit.
    #[error("{program} is still {} after {limit}", status.word().en)]
    Late {
        /// The arm's program name.
        program: String,
        /// What it does.
        status: ArmStatus,
        /// How long was waited.
        limit: Millis,
    },
    /// A setting may not be written into the manager's file.
    #[error("{0}")]
    Plain(#[from] PlainError),
    /// The rendered text does not read back as what was meant.
    #[error("the rendered configuration reads back differently: {0}")]
    ReadBack(String),
    /// The operating system refused.
    #[error("{doing}: {source}")]
    Io {
        /// What was being done.
        doing: String,
        /// Why not.
        source: io::Error,
    },
}

impl ManagerError {
    /// Returns the sentence for people.
    pub fn said(&self) -> Said {
        let zh = match self {
            Self::NoFolder { file } => {
                format!("{file} 没有包含任何 *.ini 或 *.conf 目录,无法添加程序")
            }
            Self::Unreachable { text } => format!("进程管理器没有应答:{text}"),
            Self::Refused { argv, text } => format!("{argv} 失败:{text}"),
            Self::Running { program } => format!("{program} 正在运行,停止后才能修改"),
            Self::Late { program, status, limit } => {
                format!("{program} 在 {limit} 后仍处于“{}”状态", status.word().zh)
            }
            Self::Plain(error) => format!("该值不能写入配置:{error}"),
            Self::ReadBack(what) => format!("生成的配置读回后与原意不符:{what}"),
            Self::Io { doing, source } => format!("{doing}:{source}"),
        };
        Said::new(zh, self.to_string())
    }
}

/// Finds the manager that a service is kept by: the declared one, else systemd on a machine that it
/// runs, else Supervisor.
pub fn find(
    host: &HostRoot,
    wanted: declared::Manager,
) -> Result<Option<Box<dyn Manager>>, ManagerError> {
    let systemd = || Systemd::find(host).map(|found| Box::new(found) as Box<dyn Manager>);
    let supervisor = || {
        let found = Supervisor::find(host)?;
        Ok(found.map(|found| Box::new(found) as Box<dyn Manager>))
    };
    match wanted {
        declared::Manager::Systemd => Ok(systemd()),
        declared::Manager::Supervisor => supervisor(),
        declared::Manager::Auto => match systemd() {
            Some(found) => Ok(Some(found)),
            None => supervisor(),
        },
    }
}

/// Returns an arm's file that another manager than the given one has, if a service was kept by it.
/// Two managers would each start the arms of their own.
pub fn left_elsewhere(
    host: &HostRoot,
    service: &ServiceName,
    manager: &dyn Manager,
) -> Option<PathBuf> {
    let all = [declared::Manager::Systemd, declared::Manager::Supervisor];
    let found = all.into_iter().filter_map(|kind| find(host, kind).ok().flatten());
    let files = found.flat_map(|other| {
        [Arm::Blue, Arm::Green].map(|arm| (other.file(service, arm), manager.file(service, arm)))
    });
    files.into_iter().find(|(other, own)| other != own && other.exists()).map(|(other, _)| other)
}

/// Returns how long to wait for a stop: what the manager itself waits, and a little for its client.
fn stop_limit(grace: Millis) -> Millis {
    Millis(grace.0 + (STOP_MARGIN_SECS + 10) * 1000)
}

/// Returns the name under which Supervisor knows an arm.
pub fn program_name(service: &ServiceName, arm: Arm) -> String {
    format!("guanka-{service}-{arm}")
}

/// Builds the error of a file operation.
fn io_at(doing: impl Into<String>) -> impl FnOnce(io::Error) -> ManagerError {
    let doing = doing.into();
    move |source| ManagerError::Io { doing, source }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use guanka_core::name::{Arm, ServiceName};

    use super::supervisor::Supervisor;
    use super::{ArmSpec, ArmStatus, Installed, Manager, ManagerError, Millis, Preview};
    use super::{HostRoot, left_elsewhere};

    /// A manager with files of its own and nothing else.
    struct Elsewhere;

    impl Manager for Elsewhere {
        fn file(&self, service: &ServiceName, arm: Arm) -> PathBuf {
            PathBuf::from(format!("/elsewhere/{service}-{arm}"))
        }
        fn preview(&self, _: &ArmSpec) -> Result<Preview, ManagerError> {
            unreachable!("only its files are asked for")
        }
        fn install(&self, _: &ArmSpec) -> Result<Installed, ManagerError> {
            unreachable!("only its files are asked for")
        }
        fn start(&self, _: &ServiceName, _: Arm) -> Result<ArmStatus, ManagerError> {
            unreachable!("only its files are asked for")
        }
        fn stop(&self, _: &ServiceName, _: Arm, _: Millis) -> Result<(), ManagerError> {
            unreachable!("only its files are asked for")
        }
        fn status(&self, _: &ServiceName, _: Arm) -> Result<ArmStatus, ManagerError> {
            unreachable!("only its files are asked for")
        }
        fn remove(&self, _: &ServiceName, _: Arm, _: Millis) -> Result<(), ManagerError> {
            unreachable!("only its files are asked for")
        }
    }

    #[test]
    fn an_arm_that_another_manager_keeps_is_found_and_ones_own_is_not() {
        let dir = tempfile::tempdir().expect("a folder");
        let host = HostRoot::new(dir.path());
        fs::create_dir_all(dir.path().join("etc/supervisor/conf.d")).expect("made");
        let config = "[include]\nfiles = /etc/supervisor/conf.d/*.conf\n";
        fs::write(dir.path().join("etc/supervisor/supervisord.conf"), config).expect("written");
        let service = ServiceName::new("shop", "prod").expect("a good name");
        let supervisor = Supervisor::find(&host).expect("usable").expect("there");
        assert_eq!(left_elsewhere(&host, &service, &Elsewhere), None);
        let file = supervisor.file(&service, Arm::Green);
        fs::write(&file, "").expect("written");
        assert_eq!(left_elsewhere(&host, &service, &Elsewhere), Some(file));
        assert_eq!(left_elsewhere(&host, &service, &supervisor), None);
    }
}
