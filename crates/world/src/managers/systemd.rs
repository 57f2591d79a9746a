//! Keeps arms under systemd through `systemctl`, by argument lists with a time limit.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use guanka_core::facts::systemd::Exposure;
use guanka_core::name::{Arm, ServiceName};
use guanka_core::quantity::Millis;

use super::spec::ArmSpec;
use super::unit::{self, UnitText};
use super::{ArmStatus, Installed, Manager, ManagerError, Preview, io_at, stop_limit};
use crate::cgroup;
use crate::clock;
use crate::files;
use crate::hostroot::HostRoot;
use crate::process;

/// Where an administrator's units lie.
const FOLDER: &str = "/etc/systemd/system";
/// systemd is there and runs: the test that its own manual gives.
const RUNS: &str = "/run/systemd/system";
/// How the units begin that hold programs which were adopted and are back.
pub(crate) const RETURNED: &str = "guanka-returned-";
/// How long `systemctl` may take for anything but a stop.
const CLIENT_LIMIT: Millis = Millis::from_secs(30);
/// How long an arm may take to be up or given up.
const START_LIMIT: Millis = Millis::from_secs(20);
/// How long one may take that says itself when it is ready: its unit's time and a margin.
const READY_LIMIT: Millis = Millis::from_secs(unit::READY_SECS as u64 + 15);
/// How often it is asked while waiting.
const ASK_EVERY: Millis = Millis(50);

/// Returns the text of an arm's unit, parsed back and found to be what was meant.
pub fn unit_text(host: &HostRoot, spec: &ArmSpec) -> Result<String, ManagerError> {
    let path = host.at(FOLDER).join(unit::name(&spec.service, spec.arm));
    UnitText::new(host, spec, cgroup::room_of_unit(spec.cpu))?.checked_text(&path)
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

    fn ask(&self, args: &[&str], limit: Millis) -> Result<String, ManagerError> {
        ask(args, limit)
    }
}

/// Returns the score of exposure of every arm's unit on a host, by the unit's name. Empty where no
/// score can be given.
pub fn exposures(host: &HostRoot) -> Vec<(String, Exposure)> {
    let folder = host.at(FOLDER);
    let names = files::folder_names(&folder).unwrap_or_default();
    let arms = names.into_iter().filter(|n| n.starts_with("guanka-") && n.contains('@'));
    let scored = arms.filter_map(|name| {
        let mut command = Command::new("systemd-analyze");
        command.args(["--no-pager", "--offline=yes", "security"]).arg(folder.join(&name));
        let output = process::run(&mut command, CLIENT_LIMIT).ok()?;
        Some((name, guanka_parse::systemd_analyze::exposure(&output.stdout)?))
    });
    scored.collect()
}

/// Whether the program that a unit starts must be there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Program {
    /// It must.
    Staged,
    /// It comes later.
    Coming,
}

/// Has systemd's own checker and its score of exposure read a unit before it is put in place.
/// `None` where this systemd gives no score to a file.
fn analyze(
    folder: &Path,
    name: &str,
    text: &str,
    program: Program,
) -> Result<Option<Exposure>, ManagerError> {
    files::make_dir(folder, 0o700).map_err(io_at(format!("making {}", folder.display())))?;
    let path = folder.join(name);
    files::replace(&path, text.as_bytes(), 0o644)
        .map_err(io_at(format!("writing {}", path.display())))?;
    let ask = |words: &[&str]| {
        let mut command = Command::new("systemd-analyze");
        command.arg("--no-pager").args(words).arg(&path);
        process::run(&mut command, CLIENT_LIMIT)
    };
    let verified = ask(&["--man=no", "--recursive-errors=no", "verify"]);
    let scored = ask(&["--offline=yes", "security"]);
    let _ = fs::remove_file(&path);
    let output = match verified {
        // The checker is a package of its own on some systems; systemd itself reads next.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(io_at("running systemd-analyze"))?,
    };
    let counts = |says: &str| program == Program::Staged || !says.contains("is not executable");
    let complaints: Vec<String> = guanka_parse::systemd_analyze::complaints(name, &output.stderr)
        .into_iter()
        .filter(|complaint| counts(&complaint.says))
        .map(|complaint| match complaint.line {
            Some(line) => format!("{name}:{line}: {}", complaint.says),
            None => format!("{name}: {}", complaint.says),
        })
        .collect();
    if complaints.is_empty() {
        return Ok(scored.ok().and_then(|o| guanka_parse::systemd_analyze::exposure(&o.stdout)));
    }
    Err(ManagerError::Refused { argv: output.argv.join(" "), text: complaints.join("; ") })
}

fn ask(args: &[&str], limit: Millis) -> Result<String, ManagerError> {
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

/// Stops a unit that is not an arm's and keeps it from starting after a reboot.
pub(crate) fn retire(unit: &str, limit: Millis) -> Result<(), ManagerError> {
    ask(&["stop", unit], limit)?;
    ask(&["disable", unit], CLIENT_LIMIT).map(|_| ())
}

/// Starts a unit that is not an arm's, enabled as it was.
pub(crate) fn revive(unit: &str, is_enabled: bool) -> Result<(), ManagerError> {
    if is_enabled {
        ask(&["enable", unit], CLIENT_LIMIT)?;
    }
    ask(&["start", unit], CLIENT_LIMIT).map(|_| ())
}

/// Starts an adopted program again that nobody but systemd keeps now. What it is stands in the
/// record of its adoption, since anybody may read what a unit says.
pub(crate) fn start_returned(host: &HostRoot, service: &ServiceName) -> Result<(), ManagerError> {
    let mut command = Command::new("systemd-run");
    command.args(["--quiet", "--collect", "--property=Type=exec"]);
    command.arg(format!("--unit={RETURNED}{service}.service"));
    command.arg(host.at("/opt/guanka/bin/guanka")).args(["exec", "--returned", "--root"]);
    command.arg(host.root()).args(["--service", &service.to_string()]);
    let output = process::run(&mut command, CLIENT_LIMIT).map_err(io_at("running systemd-run"))?;
    if output.is_success() {
        return Ok(());
    }
    let text = format!("{}{}", output.stdout, output.stderr).trim().to_owned();
    Err(ManagerError::Refused { argv: output.argv.join(" "), text })
}

/// Returns whether a unit starts after a reboot.
pub(crate) fn is_enabled(unit: &str) -> Result<bool, ManagerError> {
    match ask(&["is-enabled", unit], CLIENT_LIMIT) {
        Ok(said) => Ok(said.trim() == "enabled"),
        // It ends with 1 for every other word.
        Err(ManagerError::Refused { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

impl Manager for Systemd {
    fn file(&self, service: &ServiceName, arm: Arm) -> PathBuf {
        self.host.at(FOLDER).join(unit::name(service, arm))
    }

    fn preview(&self, spec: &ArmSpec) -> Result<Preview, ManagerError> {
        let text = unit_text(&self.host, spec)?;
        let name = unit::name(&spec.service, spec.arm);
        // Not the folder of an install: this may be asked by somebody who is not root.
        let folder = std::env::temp_dir().join(format!("guanka-verify-{}", std::process::id()));
        let exposure = analyze(&folder, &name, &text, Program::Coming);
        let _ = fs::remove_dir(&folder);
        Ok(Preview { file: self.file(&spec.service, spec.arm), text, exposure: exposure? })
    }

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
        analyze(&self.host.at("/run/guanka/verify"), &name, &text, Program::Staged)?;
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
        // One that says itself when it is ready keeps whoever waits for it waiting.
        let notifies = ArmSpec::load(&self.host, service, arm).is_ok_and(|spec| spec.notifies);
        let limit = if notifies { READY_LIMIT } else { START_LIMIT };
        let words: &[&str] = if notifies { &["start", "--no-block"] } else { &["start"] };
        let asked = self.ask(&[words, &[&name]].concat(), CLIENT_LIMIT);
        let settled = clock::wait_for(limit, ASK_EVERY, || match self.status(service, arm) {
            Ok(ArmStatus::Starting | ArmStatus::Stopped | ArmStatus::Stopping) => None,
            other => Some(other),
        });
        match (settled, asked) {
            (Some(settled), _) => settled,
            (None, Err(refused)) => Err(refused),
            (None, Ok(_)) => {
                let status = self.status(service, arm)?;
                Err(ManagerError::Late { program: name, status, limit })
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
        let wanted = "--property=LoadState,ActiveState,SubState,Type,MainPID,Result,ExecMainStatus";
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

/// Returns the name of an arm's unit.
pub fn unit_name(service: &ServiceName, arm: Arm) -> String {
    unit::name(service, arm)
}

/// Reads the properties that `systemctl show` prints, a line each.
fn parse_status(text: &str) -> Option<ArmStatus> {
    let of = |key: &str| {
        text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('=')).unwrap_or("")
    };
    let why = || {
        let (result, status) = (of("Result"), of("ExecMainStatus"));
        match (result, of("Type")) {
            ("timeout", "notify") => {
                "READY=1 did not come in time; a program that never says it: notify = \"no\" in \
                 [process]"
                    .to_owned()
            }
            ("oom-kill", _) => "killed for the memory it took".to_owned(),
            _ => format!("{result}, exit status {status}"),
        }
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
    use guanka_core::facts::systemd::Exposure;
    use guanka_core::quantity::CpuPercent;

    use super::super::spec::tests_support::spec;
    use super::super::spec::{ArmSpec, RunAs};
    use super::super::{ArmStatus, ManagerError};
    use super::{Program, Systemd, analyze, parse_status, unit_text};
    use crate::hostroot::HostRoot;

    #[test]
    #[expect(clippy::print_stderr, reason = "a skipped test says why")]
    fn systemds_own_checker_takes_every_unit_and_its_score_stays_low() {
        if std::process::Command::new("systemd-analyze").arg("--version").output().is_err() {
            eprintln!("skipped: no systemd-analyze on this machine");
            return;
        }
        let dir = tempfile::tempdir().expect("a folder");
        let systemd = Systemd { host: HostRoot::new("/") };
        let user = RunAs::User { name: "gk_shop_prod".to_owned(), uid: 990, gid: 990 };
        let plain = ArmSpec { run_as: user, ..spec() };
        let full = ArmSpec {
            cpu: Some(CpuPercent(150)),
            notifies: true,
            low_ports: true,
            credentials: vec!["db".to_owned()],
            data_dirs: vec!["/srv/shop".into()],
            ..plain.clone()
        };
        for arm in [plain, full] {
            let text = unit_text(&systemd.host, &arm).expect("plain values");
            let score = analyze(dir.path(), "guanka-x@green.service", &text, Program::Coming);
            let score = score.expect("taken");
            assert!(score.is_none_or(|score| score <= Exposure(20)), "{score:?}\n{text}");
            let odd = text.replace("Type=", "Tpye=");
            let error = analyze(dir.path(), "guanka-x@green.service", &odd, Program::Coming);
            let Err(ManagerError::Refused { text, .. }) = error else { panic!("{error:?}") };
            assert!(text.contains("guanka-x@green.service:9: Unknown key 'Tpye'"), "{text}");
        }
        let left = std::fs::read_dir(dir.path()).expect("readable").count();
        assert_eq!(left, 0, "what was checked is removed");
    }

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
