//! Keeps arms under systemd through `systemctl`, by argument lists with a time limit.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use guanka_core::name::{Arm, ServiceName};
use guanka_core::quantity::Millis;

use super::spec::ArmSpec;
use super::unit::{self, UnitText};
use super::{ArmStatus, Installed, Manager, ManagerError, io_at, stop_limit};
use crate::clock;
use crate::files;
use crate::hostroot::HostRoot;
use crate::process;

/// Where an administrator's units lie.
const FOLDER: &str = "/etc/systemd/system";
/// systemd is there and runs: the test that its own manual gives.
const RUNS: &str = "/run/systemd/system";
/// How long `systemctl` may take for anything but a stop.
const CLIENT_LIMIT: Millis = Millis::from_secs(30);
/// How long an arm may take to be up or given up.
const START_LIMIT: Millis = Millis::from_secs(20);
/// How often it is asked while waiting.
const ASK_EVERY: Millis = Millis(50);

/// Returns the text of an arm's unit, parsed back and found to be what was meant.
pub fn unit_text(host: &HostRoot, spec: &ArmSpec) -> Result<String, ManagerError> {
    let path = host.at(FOLDER).join(unit::name(&spec.service, spec.arm));
    UnitText::new(host, spec)?.checked_text(&path)
}

/// systemd on this machine.
#[derive(Clone, Debug)]
pub struct Systemd {
    host: HostRoot,
}

impl Systemd {
    /// Finds systemd; `None` below a root folder that is not the machine's own and where another
    /// program is the machine's first.
    pub fn find(host: &HostRoot) -> Option<Self> {
        (host.is_machine() && Path::new(RUNS).is_dir()).then(|| Self { host: host.clone() })
    }

    fn file(&self, service: &ServiceName, arm: Arm) -> PathBuf {
        self.host.at(FOLDER).join(unit::name(service, arm))
    }

    fn ask(&self, args: &[&str], limit: Millis) -> Result<String, ManagerError> {
        let mut command = Command::new("systemctl");
        command.args(["--no-pager", "--no-ask-password"]).args(args);
        let output = process::run(&mut command, limit).map_err(io_at("running systemctl"))?;
        if output.is_success() {
            return Ok(output.stdout);
        }
        let text = format!("{}{}", output.stdout, output.stderr).trim().to_owned();
        if output.status.is_none() || text.contains("Failed to connect to bus") {
            return Err(ManagerError::Unreachable { text });
        }
        Err(ManagerError::Refused { argv: output.argv.join(" "), text })
    }

    /// Has systemd's own checker read a unit before it is put in place. It ends with 0 for a key it
    /// does not know and says so on its error stream, which is what counts.
    fn verify(&self, name: &str, text: &str) -> Result<(), ManagerError> {
        let folder = self.host.at("/run/guanka/verify");
        files::make_dir(&folder, 0o700).map_err(io_at(format!("making {}", folder.display())))?;
        let path = folder.join(name);
        files::replace(&path, text.as_bytes(), 0o644)
            .map_err(io_at(format!("writing {}", path.display())))?;
        let mut command = Command::new("systemd-analyze");
        command.args(["--no-pager", "--man=no", "--recursive-errors=no", "verify"]).arg(&path);
        let checked = process::run(&mut command, CLIENT_LIMIT);
        let _ = fs::remove_file(&path);
        let output = match checked {
            // The checker is a package of its own on some systems; systemd itself reads next.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => other.map_err(io_at("running systemd-analyze"))?,
        };
        let about_us: Vec<&str> = output.stderr.lines().filter(|l| l.contains(name)).collect();
        if about_us.is_empty() {
            return Ok(());
        }
        Err(ManagerError::Refused { argv: output.argv.join(" "), text: about_us.join("; ") })
    }
}

impl Manager for Systemd {
    fn install(&self, spec: &ArmSpec) -> Result<Installed, ManagerError> {
        let name = unit::name(&spec.service, spec.arm);
        let path = self.file(&spec.service, spec.arm);
        let text = unit_text(&self.host, spec)?;
        if fs::read_to_string(&path).is_ok_and(|found| found == text) {
            return Ok(Installed::Unchanged);
        }
        match self.status(&spec.service, spec.arm)? {
            ArmStatus::Stopped | ArmStatus::Failed { .. } => {}
            _ => return Err(ManagerError::Running { program: name }),
        }
        let logs = self.host.arm_logs(&spec.service);
        files::make_dir(&logs, 0o755).map_err(io_at(format!("making {}", logs.display())))?;
        self.verify(&name, &text)?;
        files::replace(&path, text.as_bytes(), 0o644)
            .map_err(io_at(format!("writing {}", path.display())))?;
        self.ask(&["daemon-reload"], CLIENT_LIMIT)?;
        Ok(Installed::Written)
    }

    fn start(&self, service: &ServiceName, arm: Arm) -> Result<ArmStatus, ManagerError> {
        let name = unit::name(service, arm);
        if let running @ ArmStatus::Running { .. } = self.status(service, arm)? {
            return Ok(running);
        }
        self.ask(&["enable", &name], CLIENT_LIMIT)?;
        // Starts that an earlier release used up are not held against this one.
        let _ = self.ask(&["reset-failed", &name], CLIENT_LIMIT);
        let asked = self.ask(&["start", &name], CLIENT_LIMIT);
        let settled = clock::wait_for(START_LIMIT, ASK_EVERY, || match self.status(service, arm) {
            Ok(ArmStatus::Starting | ArmStatus::Stopped | ArmStatus::Stopping) => None,
            other => Some(other),
        });
        match (settled, asked) {
            (Some(settled), _) => settled,
            (None, Err(refused)) => Err(refused),
            (None, Ok(_)) => {
                let status = self.status(service, arm)?;
                Err(ManagerError::Late { program: name, status, limit: START_LIMIT })
            }
        }
    }

    fn stop(&self, service: &ServiceName, arm: Arm, grace: Millis) -> Result<(), ManagerError> {
        let name = unit::name(service, arm);
        if self.status(service, arm)? != ArmStatus::Stopped {
            self.ask(&["stop", &name], stop_limit(grace))?;
            // One that had failed is idle from now on, and so it is shown.
            let _ = self.ask(&["reset-failed", &name], CLIENT_LIMIT);
        }
        // Disabled only now: a crash in between leaves an arm that a reboot brings back, never one
        // that has requests and does not come back.
        if self.file(service, arm).exists() {
            self.ask(&["disable", &name], CLIENT_LIMIT)?;
        }
        match self.status(service, arm)? {
            ArmStatus::Stopped => Ok(()),
            status => Err(ManagerError::Late { program: name, status, limit: stop_limit(grace) }),
        }
    }

    fn status(&self, service: &ServiceName, arm: Arm) -> Result<ArmStatus, ManagerError> {
        let name = unit::name(service, arm);
        let wanted = "--property=LoadState,ActiveState,SubState,MainPID,Result,ExecMainStatus";
        let text = self.ask(&["show", wanted, &name], CLIENT_LIMIT)?;
        parse_status(&text).ok_or_else(|| ManagerError::Refused {
            argv: format!("systemctl show {name}"),
            text: text.trim().to_owned(),
        })
    }

    fn remove(&self, service: &ServiceName, arm: Arm, grace: Millis) -> Result<(), ManagerError> {
        let path = self.file(service, arm);
        if path.exists() {
            self.stop(service, arm, grace)?;
            fs::remove_file(&path)
                .and_then(|()| files::sync_parent(&path))
                .map_err(io_at(format!("removing {}", path.display())))?;
            self.ask(&["daemon-reload"], CLIENT_LIMIT)?;
        }
        let spec = self.host.arm_spec(service, arm);
        files::remove(&spec).map_err(io_at(format!("removing {}", spec.display())))
    }
}

/// Reads the properties that `systemctl show` prints, a line each.
fn parse_status(text: &str) -> Option<ArmStatus> {
    let of = |key: &str| {
        text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('=')).unwrap_or("")
    };
    let why = || {
        let (result, status) = (of("Result"), of("ExecMainStatus"));
        format!("{result}, exit status {status}")
    };
    Some(match (of("ActiveState"), of("SubState")) {
        ("active" | "reloading", _) => ArmStatus::Running { pid: of("MainPID").parse().ok()? },
        ("activating", "auto-restart") => ArmStatus::Retrying { why: why() },
        ("activating", _) => ArmStatus::Starting,
        ("deactivating", _) => ArmStatus::Stopping,
        ("inactive", _) => ArmStatus::Stopped,
        ("failed", _) => ArmStatus::Failed { why: why() },
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::super::ArmStatus;
    use super::parse_status;

    #[test]
    fn the_properties_become_a_status() {
        let show = |active: &str, sub: &str| {
            format!(
                "LoadState=loaded\nActiveState={active}\nSubState={sub}\nMainPID=12\n\
                 Result=exit-code\nExecMainStatus=1\n"
            )
        };
        let why = || "exit-code, exit status 1".to_owned();
        let cases = [
            ("active", "running", ArmStatus::Running { pid: 12 }),
            ("activating", "start", ArmStatus::Starting),
            ("activating", "auto-restart", ArmStatus::Retrying { why: why() }),
            ("deactivating", "stop-sigterm", ArmStatus::Stopping),
            ("inactive", "dead", ArmStatus::Stopped),
            ("failed", "failed", ArmStatus::Failed { why: why() }),
        ];
        for (active, sub, expected) in cases {
            assert_eq!(parse_status(&show(active, sub)), Some(expected));
        }
        assert_eq!(parse_status("Failed to connect\n"), None);
    }
}
