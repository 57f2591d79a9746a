//! Becomes an arm's program: limits, secrets, environment, user, then exec in the same process. No
//! shell, no process of its own stays behind, so the manager's signals reach the program itself.

use std::io;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use guanka_core::name::{Arm, ServiceName};
use guanka_core::plan::processors;
use guanka_core::say::Said;
use rustix::fs::Mode;
use rustix::process::{Gid, Uid};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit, umask};
use rustix::thread::{self, CapabilitySet, CapabilitySets};

use super::credentials::{self, CredentialError};
use super::spec::{ArmSpec, RunAs};
use crate::cgroup;
use crate::hostroot::HostRoot;

/// The search path of every arm, free of whatever the manager's own environment holds.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// Why a program was not started.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// The arm's file cannot be used.
    #[error("reading {path}: {source}")]
    Spec {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A name or a value cannot be passed to a program.
    #[error("{what} cannot be passed to a program")]
    Value {
        /// Which one; never its value, which may be a secret.
        what: String,
    },
    /// A limit could not be set.
    #[error("setting the limit of open files to {nofile}: {source}")]
    Limit {
        /// The limit.
        nofile: u64,
        /// Why not.
        source: io::Error,
    },
    /// A secret could not be handed over.
    #[error("{0}")]
    Credential(#[from] CredentialError),
    /// The user or what it may do could not be set.
    #[error("becoming the arm's user: {0}")]
    User(io::Error),
    /// The program could not be executed.
    #[error("starting {program}: {source}")]
    Exec {
        /// The program.
        program: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// Turns this process into the arm's program; returns only when that failed.
pub fn become_arm(host: &HostRoot, service: &ServiceName, arm: Arm) -> LaunchError {
    let spec = match ArmSpec::load(host, service, arm) {
        Ok(spec) => spec,
        Err(source) => return LaunchError::Spec { path: host.arm_spec(service, arm), source },
    };
    match prepare(host, &spec) {
        Ok(mut command) => {
            let program = PathBuf::from(command.get_program());
            LaunchError::Exec { program, source: command.exec() }
        }
        Err(error) => error,
    }
}

/// Sets what is inherited over an exec and builds the rest into a command.
fn prepare(host: &HostRoot, spec: &ArmSpec) -> Result<Command, LaunchError> {
    // Read here, in the group that Supervisor and so the program stands in.
    let processors = processors::to_tell(spec.runtime(), cgroup::own_room(), spec.cpu);
    let mut command = command(host, spec, processors)?;
    limit_files(spec.nofile)?;
    umask(Mode::WGRP | Mode::RWXO);
    if !spec.credentials.is_empty() {
        let whose = (&spec.service, spec.arm);
        let folder = credentials::hand_over(host, whose, &spec.credentials, &spec.run_as)?;
        command.env("CREDENTIALS_DIRECTORY", folder);
    }
    if let RunAs::User { name, uid, gid } = &spec.run_as {
        command.env("USER", name);
        become_user(*uid, *gid, spec.low_ports).map_err(|error| LaunchError::User(error.into()))?;
    }
    Ok(command)
}

/// Becomes a user without any of root's groups, rights or ways back to them. The one right that may
/// be asked for is taken along over the change and over the exec.
fn become_user(uid: u32, gid: u32, low_ports: bool) -> rustix::io::Result<()> {
    let (user, group) = (Uid::from_raw(uid), Gid::from_raw(gid));
    let right = CapabilitySet::NET_BIND_SERVICE;
    thread::set_thread_groups(&[])?;
    thread::set_thread_res_gid(group, group, group)?;
    thread::set_keep_capabilities(low_ports)?;
    thread::set_thread_res_uid(user, user, user)?;
    if low_ports {
        let sets = CapabilitySets { effective: right, permitted: right, inheritable: right };
        thread::set_capabilities(None, sets)?;
        thread::configure_capability_in_ambient_set(right, true)?;
    }
    thread::set_no_new_privs(true)
}

fn command(
    host: &HostRoot,
    spec: &ArmSpec,
    processors: Option<u32>,
) -> Result<Command, LaunchError> {
    let value_error = |what: String| LaunchError::Value { what };
    if !is_file_name(&spec.program) {
        return Err(value_error("the program's name".to_owned()));
    }
    if spec.args.iter().any(|arg| arg.contains('\0')) {
        return Err(value_error("an argument".to_owned()));
    }
    for (name, value) in &spec.env {
        if !is_variable(name) || value.contains('\0') {
            return Err(value_error(format!("the variable {name:?}")));
        }
    }
    let home = host.arm(&spec.service, spec.arm);
    let mut command = Command::new(home.join("bin").join(&spec.program));
    let folder = spec.folder.as_ref().unwrap_or(&home);
    command.args(&spec.args).current_dir(folder).env_clear();
    command.envs(environment(host, spec, processors));
    Ok(command)
}

/// Returns an arm's whole environment, whichever manager starts it.
pub(super) fn environment(
    host: &HostRoot,
    spec: &ArmSpec,
    processors: Option<u32>,
) -> Vec<(String, String)> {
    let mut found = vec![("PATH", PATH.to_owned()), ("LANG", "C.UTF-8".to_owned())];
    if let Some(memory) = spec.memory.or(spec.soft_memory) {
        // A tenth is left for what Go's own limit does not see: stacks of C code, mapped files.
        found.push(("GOMEMLIMIT", (memory.0 / 10 * 9).to_string()));
    }
    if let Some(processors) = processors {
        found.push(("GOMAXPROCS", processors.to_string()));
    }
    found.extend(spec.env.iter().map(|(name, value)| (name.as_str(), value.clone())));
    found.push(("GUANKA_ARM", spec.arm.to_string()));
    found.push(("GUANKA_ACTIVE_FILE", host.active_file(&spec.service).display().to_string()));
    found.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Sets both limits of open files; without root the hard limit stays the most there is.
fn limit_files(nofile: u64) -> Result<(), LaunchError> {
    let hard = getrlimit(Resource::Nofile).maximum;
    let set = |n: u64| setrlimit(Resource::Nofile, Rlimit { current: Some(n), maximum: Some(n) });
    let tried = match set(nofile) {
        Err(rustix::io::Errno::PERM) => set(hard.map_or(nofile, |h| h.min(nofile))),
        other => other,
    };
    tried.map_err(|e| LaunchError::Limit { nofile, source: e.into() })
}

/// Accepts the name of a file in the arm's own `bin/`, and no way out of it.
pub(super) fn is_file_name(name: &str) -> bool {
    !matches!(name, "" | "." | "..") && !name.contains(['/', '\0'])
}

/// Accepts `[A-Za-z_][A-Za-z0-9_]*`.
pub(crate) fn is_variable(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

impl LaunchError {
    /// Returns the sentence for people.
    pub fn said(&self) -> Said {
        let zh = match self {
            Self::Spec { path, source } => format!("读取 {} 失败:{source}", path.display()),
            Self::Value { what } => format!("{what} 无法传给程序"),
            Self::Limit { nofile, source } => {
                format!("无法把打开文件数上限设为 {nofile}:{source}")
            }
            Self::Credential(error) => return error.said(),
            Self::User(source) => format!("无法切换到臂的运行用户:{source}"),
            Self::Exec { program, source } => {
                format!("启动 {} 失败:{source}", program.display())
            }
        };
        Said::new(zh, self.to_string())
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use guanka_core::quantity::Bytes;

    use super::super::spec::ArmSpec;
    use super::super::spec::tests_support::spec;
    use super::command;
    use crate::hostroot::HostRoot;

    #[test]
    fn the_environment_is_short_and_the_memory_limit_is_nine_tenths() {
        let host = HostRoot::new("/r");
        let command = command(&host, &spec(), Some(3)).expect("good");
        assert_eq!(command.get_program(), "/r/opt/guanka/shop.prod/arms/green/bin/shop");
        let env: Vec<(&OsStr, &OsStr)> =
            command.get_envs().map(|(k, v)| (k, v.expect("set"))).collect();
        let expected = [
            ("GOMAXPROCS", "3"),
            ("GOMEMLIMIT", "900"),
            ("GUANKA_ACTIVE_FILE", "/r/var/lib/guanka/shop.prod/active"),
            ("GUANKA_ARM", "green"),
            ("LANG", "C.UTF-8"),
            ("PATH", super::PATH),
            ("PORT", "18001"),
        ];
        assert_eq!(env, expected.map(|(k, v)| (OsStr::new(k), OsStr::new(v))));
        let small = ArmSpec { memory: None, soft_memory: Some(Bytes(500)), ..spec() };
        let told = super::environment(&host, &small, None);
        assert!(told.contains(&("GOMEMLIMIT".to_owned(), "450".to_owned())), "{told:?}");
    }

    #[test]
    fn values_that_cannot_be_passed_are_refused() {
        let host = HostRoot::new("/r");
        let mut variable = spec();
        variable.env.insert("A=B".to_owned(), String::new());
        let mut program = spec();
        program.program = "../../x".to_owned();
        let mut arg = spec();
        arg.args.push("\0".to_owned());
        for bad in [variable, program, arg] {
            assert!(command(&host, &bad, None).is_err(), "{bad:?}");
        }
    }
}
