//! Keeps arms under Supervisor through its own client, by argument lists with a time limit. Each
//! arm is a file of its own, and only that arm's group is ever updated.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use guanka_core::name::{Arm, ServiceName};
use guanka_core::quantity::Millis;
use rustix::process::{Pid, Signal, kill_process};

use super::ini::{self, Ini};
use super::spec::ArmSpec;
use super::{ArmStatus, Installed, Manager, ManagerError, Preview};
use super::{credentials, io_at, mirror, program_name, rpc, stop_limit};
use crate::clock;
use crate::files;
use crate::hostroot::HostRoot;
use crate::process;

/// Where its configuration lies: the panel's and the packages' place, then the one that Supervisor
/// itself looks in, for one that came from PyPI.
const CONFIGS: &[&str] = &["/etc/supervisor/supervisord.conf", "/etc/supervisord.conf"];
/// Where its client lies.
const CLIENTS: &[&str] = &[
    "/usr/bin/supervisorctl",
    "/www/server/panel/pyenv/bin/supervisorctl",
    "/usr/local/bin/supervisorctl",
];
/// How long the client may take for anything but a stop; it is a Python program on a busy host.
const CLIENT_LIMIT: Millis = Millis::from_secs(30);
/// How long an arm may take to be up or given up: its first tries, not all ten.
const START_LIMIT: Millis = Millis::from_secs(20);
/// How often it is asked while waiting; where the socket does not answer, each question starts a
/// Python program.
const ASK_EVERY: Millis = Millis(200);

pub use super::ini::Autostart;

/// Returns the text of an arm's file, parsed back and found to be what was meant.
pub fn program_text(
    host: &HostRoot,
    spec: &ArmSpec,
    autostart: Autostart,
) -> Result<String, ManagerError> {
    Ini::new(host, spec, autostart)?.checked_text()
}

/// Supervisor on one host.
#[derive(Clone, Debug)]
pub struct Supervisor {
    host: HostRoot,
    client: PathBuf,
    config: PathBuf,
    /// Where Supervisor itself answers.
    socket: Option<PathBuf>,
    folder: PathBuf,
    ending: String,
}

impl Supervisor {
    /// Finds Supervisor below a host's root; `None` where it is not set up.
    pub fn find(host: &HostRoot) -> Result<Option<Self>, ManagerError> {
        let there = CONFIGS.iter().map(|path| host.at(path)).find(|path| path.exists());
        let Some(config) = there else { return Ok(None) };
        let text =
            fs::read_to_string(&config).map_err(io_at(format!("reading {}", config.display())))?;
        let (folder, ending) = folder(host, &config, &text)
            .ok_or_else(|| ManagerError::NoFolder { file: config.display().to_string() })?;
        let (host, client, socket) = (host.clone(), client(host), rpc::socket(host, &text));
        Ok(Some(Self { host, client, config, socket, folder, ending }))
    }

    /// Has Supervisor open all its logs anew; returns the process that writes them.
    pub fn reopen_logs(&self) -> Result<Vec<u32>, ManagerError> {
        let text = self.ask(&["pid"], CLIENT_LIMIT)?;
        let refused = |text: &str| ManagerError::Refused {
            argv: "supervisorctl pid".to_owned(),
            text: text.trim().to_owned(),
        };
        let number = text.trim().parse::<i32>().ok().filter(|number| *number > 1);
        let pid = number.and_then(Pid::from_raw).ok_or_else(|| refused(&text))?;
        kill_process(pid, Signal::USR2)
            .map_err(|error| refused(&format!("signal process {text}: {error}")))?;
        Ok(vec![pid.as_raw_nonzero().get().unsigned_abs()])
    }

    /// Runs a command of the client's about a program that is not an arm.
    pub(crate) fn command(&self, args: &[&str], limit: Millis) -> Result<String, ManagerError> {
        self.ask(args, limit)
    }

    /// Returns the program that one of these processes belongs to.
    pub(crate) fn program_of(&self, pids: &[u32]) -> Result<Option<String>, ManagerError> {
        let text = self.ask(&["status"], CLIENT_LIMIT)?;
        let found = text.lines().find_map(|line| {
            let (_, rest) = line.split_once(" pid ")?;
            let pid: u32 = rest.split(',').next()?.trim().parse().ok()?;
            let name = line.split_whitespace().next()?;
            pids.contains(&pid).then(|| name.split(':').next().unwrap_or(name).to_owned())
        });
        Ok(found)
    }

    /// Runs the client and returns what it printed.
    fn ask(&self, args: &[&str], limit: Millis) -> Result<String, ManagerError> {
        let mut command = Command::new(&self.client);
        command.arg("-c").arg(&self.config).args(args);
        let output = process::run(&mut command, limit)
            .map_err(io_at(format!("running {}", self.client.display())))?;
        let text = format!("{}{}", output.stdout, output.stderr);
        let is_away = ["refused connection", "no such file", "SHUTDOWN_STATE"];
        if output.status.is_none() || is_away.iter().any(|words| text.contains(words)) {
            return Err(ManagerError::Unreachable { text: text.trim().to_owned() });
        }
        Ok(text)
    }

    /// Has Supervisor read its files again and apply one arm's, and nobody else's.
    fn update(&self, program: &str, limit: Millis) -> Result<(), ManagerError> {
        let text = self.ask(&["update", program], limit)?;
        if text.contains("ERROR") && !text.contains("no such group") {
            let argv = format!("supervisorctl update {program}");
            return Err(ManagerError::Refused { argv, text: text.trim().to_owned() });
        }
        Ok(())
    }

    /// Writes an arm's file if it differs; returns whether it did.
    fn write(&self, spec: &ArmSpec, autostart: Autostart) -> Result<Installed, ManagerError> {
        let text = program_text(&self.host, spec, autostart)?;
        let path = self.file(&spec.service, spec.arm);
        if fs::read_to_string(&path).is_ok_and(|found| found == text) {
            return Ok(Installed::Unchanged);
        }
        files::replace(&path, text.as_bytes(), 0o644)
            .map_err(io_at(format!("writing {}", path.display())))?;
        Ok(Installed::Written)
    }

    /// Returns whether both files of an arm are as they should be. The arm's own may have been
    /// stored by somebody else before, so it alone says nothing.
    fn is_installed(&self, spec: &ArmSpec) -> Result<bool, ManagerError> {
        let Ok(found) = fs::read_to_string(self.file(&spec.service, spec.arm)) else {
            return Ok(false);
        };
        let is_stored =
            ArmSpec::load(&self.host, &spec.service, spec.arm).is_ok_and(|f| f == *spec);
        let disabled = program_text(&self.host, spec, Autostart::Disabled)?;
        let enabled = program_text(&self.host, spec, Autostart::Enabled)?;
        Ok(is_stored && (found == disabled || found == enabled))
    }

    fn load(&self, service: &ServiceName, arm: Arm) -> Result<ArmSpec, ManagerError> {
        let path = self.host.arm_spec(service, arm);
        ArmSpec::load(&self.host, service, arm)
            .map_err(io_at(format!("reading {}", path.display())))
    }
}

impl Manager for Supervisor {
    fn file(&self, service: &ServiceName, arm: Arm) -> PathBuf {
        self.folder.join(format!("{}.{}", program_name(service, arm), self.ending))
    }

    fn preview(&self, spec: &ArmSpec) -> Result<Preview, ManagerError> {
        let text = Ini::new(&self.host, spec, Autostart::Disabled)?.checked_text()?;
        Ok(Preview { file: self.file(&spec.service, spec.arm), text, exposure: None })
    }

    fn install(&self, spec: &ArmSpec) -> Result<Installed, ManagerError> {
        let program = program_name(&spec.service, spec.arm);
        if self.is_installed(spec)? {
            return Ok(Installed::Unchanged);
        }
        match self.status(&spec.service, spec.arm)? {
            ArmStatus::Stopped | ArmStatus::Failed { .. } => {}
            _ => return Err(ManagerError::Running { program }),
        }
        let logs = self.host.arm_logs(&spec.service);
        files::make_dir(&logs, 0o755).map_err(io_at(format!("making {}", logs.display())))?;
        spec.store(&self.host).map_err(io_at(format!("storing {program}'s start")))?;
        self.write(spec, Autostart::Disabled)?;
        self.update(&program, CLIENT_LIMIT)?;
        let command = ini::command_line(&self.host, spec)?;
        mirror::add(&self.host, &program, &command, spec).map_err(io_at("listing the program"))?;
        Ok(Installed::Written)
    }

    fn start(&self, service: &ServiceName, arm: Arm) -> Result<ArmStatus, ManagerError> {
        let program = program_name(service, arm);
        if let running @ ArmStatus::Running { .. } = self.status(service, arm)? {
            return Ok(running);
        }
        // The new setting alone starts it: Supervisor takes the changed group out and in again.
        let written = self.write(&self.load(service, arm)?, Autostart::Enabled)?;
        self.update(&program, CLIENT_LIMIT)?;
        let is_idle = || {
            self.status(service, arm)
                .map(|s| matches!(s, ArmStatus::Stopped | ArmStatus::Failed { .. }))
        };
        if written == Installed::Unchanged && is_idle()? {
            self.ask(&["start", &program], CLIENT_LIMIT)?;
        }
        let settled = clock::wait_for(START_LIMIT, ASK_EVERY, || match self.status(service, arm) {
            Ok(ArmStatus::Starting | ArmStatus::Stopped | ArmStatus::Stopping) => None,
            other => Some(other),
        });
        settled.unwrap_or_else(|| self.status(service, arm))
    }

    fn stop(&self, service: &ServiceName, arm: Arm, grace: Millis) -> Result<(), ManagerError> {
        let program = program_name(service, arm);
        let limit = stop_limit(grace);
        let before = self.status(service, arm)?;
        if before != ArmStatus::Stopped {
            self.ask(&["stop", &program], limit)?;
        }
        if let ArmStatus::Running { pid } = before {
            // Supervisor kills a group only when it has to kill its program: a child that is deaf
            // to SIGTERM would outlive a program that stopped in time.
            process::end_group_without_leader(pid);
        }
        // Disabled only now: a crash in between leaves an arm that a reboot brings back, never one
        // that has requests and does not come back.
        if self.file(service, arm).exists() {
            self.write(&self.load(service, arm)?, Autostart::Disabled)?;
            self.update(&program, limit)?;
        }
        match self.status(service, arm)? {
            ArmStatus::Stopped => Ok(()),
            status => Err(ManagerError::Late { program, status, limit }),
        }
    }

    fn status(&self, service: &ServiceName, arm: Arm) -> Result<ArmStatus, ManagerError> {
        let program = program_name(service, arm);
        let asked = self.socket.as_deref().and_then(|socket| rpc::status_line(socket, &program));
        if let Some(known) = asked.and_then(|line| parse_status(&program, &line)) {
            return Ok(known);
        }
        let text = self.ask(&["status", &program], CLIENT_LIMIT)?;
        parse_status(&program, &text).ok_or_else(|| ManagerError::Refused {
            argv: format!("supervisorctl status {program}"),
            text: text.trim().to_owned(),
        })
    }

    fn remove(&self, service: &ServiceName, arm: Arm, grace: Millis) -> Result<(), ManagerError> {
        let program = program_name(service, arm);
        let path = self.file(service, arm);
        if path.exists() {
            self.stop(service, arm, grace)?;
            fs::remove_file(&path)
                .and_then(|()| files::sync_parent(&path))
                .map_err(io_at(format!("removing {}", path.display())))?;
        }
        self.update(&program, stop_limit(grace))?;
        let spec = self.host.arm_spec(service, arm);
        files::remove(&spec).map_err(io_at(format!("removing {}", spec.display())))?;
        let secrets = credentials::folder(&self.host, service, arm);
        files::remove_tree(&secrets).map_err(io_at(format!("removing {}", secrets.display())))?;
        mirror::remove(&self.host, &program).map_err(io_at("unlisting the program"))
    }
}

/// Reads the client's line on one program: `name  RUNNING  pid 12, uptime 0:00:05`.
fn parse_status(program: &str, text: &str) -> Option<ArmStatus> {
    if text.contains("no such process") || text.contains("no such group") {
        return Some(ArmStatus::Stopped);
    }
    let line = text.lines().find(|line| line.split_whitespace().next() == Some(program))?;
    let mut words = line.split_whitespace().skip(1);
    let state = words.next()?;
    let rest = words.collect::<Vec<_>>().join(" ");
    Some(match state {
        "RUNNING" => {
            let pid = rest.strip_prefix("pid ")?.split(',').next()?.parse().ok()?;
            ArmStatus::Running { pid }
        }
        "STARTING" => ArmStatus::Starting,
        "BACKOFF" => ArmStatus::Retrying { why: rest },
        "STOPPING" => ArmStatus::Stopping,
        "STOPPED" => ArmStatus::Stopped,
        _ => ArmStatus::Failed { why: format!("{state} {rest}").trim().to_owned() },
    })
}

/// Finds the folder that the configuration includes: the first `DIR/*.ini` or `DIR/*.conf` whose
/// folder is there, as written or below the host's root.
fn folder(host: &HostRoot, config: &Path, text: &str) -> Option<(PathBuf, String)> {
    let (_, patterns, _) = guanka_parse::supervisor::read(&config.to_string_lossy(), text);
    patterns.iter().find_map(|pattern| {
        let (dir, file) = pattern.rsplit_once('/')?;
        let ending = file.strip_prefix("*.").filter(|e| matches!(*e, "ini" | "conf"))?;
        let written = config.parent()?.join(dir);
        let below = if written.starts_with(host.root()) { written } else { host.at(dir) };
        below.is_dir().then(|| (below, ending.to_owned()))
    })
}

/// Finds the client: the host's own, the panel's, else the one on the search path.
fn client(host: &HostRoot) -> PathBuf {
    CLIENTS
        .iter()
        .map(|path| host.at(path))
        .find(|path| path.exists())
        .unwrap_or_else(|| PathBuf::from("supervisorctl"))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::ArmStatus;
    use super::{folder, parse_status};
    use crate::hostroot::HostRoot;

    #[test]
    fn the_clients_words_become_a_status() {
        let name = "guanka-shop.prod-blue";
        let cases = [
            ("RUNNING   pid 12, uptime 0:00:05", ArmStatus::Running { pid: 12 }),
            ("STARTING", ArmStatus::Starting),
            (
                "BACKOFF   Exited too quickly",
                ArmStatus::Retrying { why: "Exited too quickly".to_owned() },
            ),
            ("STOPPED   Nov 24 08:00 AM", ArmStatus::Stopped),
            (
                "FATAL     can't find command",
                ArmStatus::Failed { why: "FATAL can't find command".to_owned() },
            ),
        ];
        for (words, expected) in cases {
            let text = format!("warning of the client's\n{name}            {words}\n");
            assert_eq!(parse_status(name, &text), Some(expected));
        }
        let unknown = format!("{name}: ERROR (no such process)\n");
        assert_eq!(parse_status(name, &unknown), Some(ArmStatus::Stopped));
        assert_eq!(parse_status(name, "guanka-shop.prod-blue2 RUNNING pid 1, uptime 0"), None);
    }

    #[test]
    fn the_included_folder_is_found_below_the_root() {
        let dir = tempfile::tempdir().expect("a folder");
        let host = HostRoot::new(dir.path());
        let config = host.at("/etc/supervisor/supervisord.conf");
        let profile = host.at("/www/server/panel/plugin/supervisor/profile");
        fs::create_dir_all(&profile).expect("made");
        let plain = "[include]\nfiles = /nowhere/*.ini\n  \
                     /www/server/panel/plugin/supervisor/profile/*.ini ; the panel's\n";
        let expected = Some((profile.clone(), "ini".to_owned()));
        assert_eq!(folder(&host, &config, plain), expected);
        let rooted = format!("[include]\nfiles={}/*.ini\n[x]\nfiles=/etc/*.ini", profile.display());
        assert_eq!(folder(&host, &config, &rooted), expected);
        assert_eq!(folder(&host, &config, "[supervisord]\nfiles=/etc/*.ini\n"), None);
    }
}
