//! Starts and stops a host root's nginx and Supervisor, and only those: each is named by its
//! process id together with its start time, so that another process with the same number is left
//! alone.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::HostRootInfo;
use crate::process;

/// Where the running daemons are written down.
const RUNNING: &str = ".hostroot-running.json";

/// Both answer within a second; Python on a busy machine takes longer.
const START_LIMIT: Duration = Duration::from_secs(30);

/// nginx waits for the requests under way; after this it is told to drop them.
const QUIT_LIMIT: Duration = Duration::from_secs(10);

/// Supervisor waits for its programs, each up to its own stop time (20 s in what guanka writes).
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(60);

/// A running process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Process {
    /// Its number.
    pub(crate) pid: u32,
    /// When it was started, in the kernel's ticks since boot.
    started: u64,
}

/// A root's two daemons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Running {
    /// nginx's master.
    pub(crate) nginx: Process,
    /// Supervisor.
    pub(crate) supervisord: Process,
}

/// Starts what is not running yet and waits until both answer.
pub(crate) fn start(root: &Path) -> Result<Running> {
    let info = HostRootInfo::read(root)?;
    let before = read_running(&info.root);
    let nginx = match before.0.filter(|process| process.is_alive()) {
        Some(process) => process,
        None => start_nginx(&info)?,
    };
    // Written at once: if Supervisor does not start, `stop` still finds nginx.
    write_running(&info.root, Some(nginx), before.1)?;
    let supervisord = match before.1.filter(|process| process.is_alive()) {
        Some(process) => process,
        None => start_supervisord(&info)?,
    };
    write_running(&info.root, Some(nginx), Some(supervisord))?;
    Ok(Running { nginx, supervisord })
}

/// Stops both, Supervisor first so that nginx still answers while the programs end.
pub(crate) fn stop(root: &Path) -> Result<()> {
    let info = HostRootInfo::read(root)?;
    let (nginx, supervisord) = read_running(&info.root);
    if let Some(process) = supervisord.filter(|process| process.is_alive()) {
        let log = info.root.join("var/log/supervisor/shutdown.log");
        process::run(supervisorctl(&info).arg("shutdown"), &log, START_LIMIT)?;
        process.wait_until_gone("supervisord ends", SHUTDOWN_LIMIT)?;
    }
    if let Some(process) = nginx.filter(|process| process.is_alive()) {
        let log = info.root.join("www/server/nginx/logs/stop.log");
        process::run(nginx_command(&info).args(["-s", "quit"]), &log, START_LIMIT)?;
        if process.wait_until_gone("nginx quits", QUIT_LIMIT).is_err() {
            process::run(nginx_command(&info).args(["-s", "stop"]), &log, START_LIMIT)?;
            process.wait_until_gone("nginx stops", QUIT_LIMIT)?;
        }
    }
    write_running(&info.root, None, None)
}

/// Has the root's nginx read its configuration, and fails when nginx would not take it.
pub(crate) fn test(info: &HostRootInfo) -> Result<()> {
    let log = info.root.join("www/server/nginx/logs/test.log");
    process::run(nginx_command(info).arg("-t"), &log, START_LIMIT).map(|_| ())
}

fn start_nginx(info: &HostRootInfo) -> Result<Process> {
    let logs = info.root.join("www/server/nginx/logs");
    process::run(nginx_command(info).arg("-t"), &logs.join("test.log"), START_LIMIT)?;
    process::run(&mut nginx_command(info), &logs.join("start.log"), START_LIMIT)?;
    let pid_file = logs.join("nginx.pid");
    process::wait_for("nginx answers", START_LIMIT, || {
        let process = Process::of_file(&pid_file)?;
        answers(info.ports.status, "127.0.0.1", "/nginx_status").then_some(process)
    })
    .with_context(|| format!("see {}", logs.display()))
}

fn start_supervisord(info: &HostRootInfo) -> Result<Process> {
    let logs = info.root.join("var/log/supervisor");
    let mut command = process::clean(&info.supervisord);
    command.arg("-c").arg(supervisor_conf(info)).current_dir(&info.root);
    process::run(&mut command, &logs.join("start.log"), START_LIMIT)?;
    let pid_file = info.root.join("var/run/supervisord.pid");
    let log = logs.join("pid.log");
    process::wait_for("supervisord answers", START_LIMIT, || {
        let process = Process::of_file(&pid_file)?;
        let said = process::run(supervisorctl(info).arg("pid"), &log, START_LIMIT).ok()?;
        (said.trim() == process.pid.to_string()).then_some(process)
    })
    .with_context(|| format!("see {}", logs.display()))
}

/// Returns nginx with this root's prefix, configuration and first error log, and nothing of the
/// machine's.
fn nginx_command(info: &HostRootInfo) -> Command {
    let home = info.root.join("www/server/nginx");
    let mut command = process::clean(&home.join("sbin/nginx"));
    command
        .arg("-e")
        .arg(home.join("logs/error.log"))
        .arg("-p")
        .arg(home.join(""))
        .arg("-c")
        .arg(home.join("conf/nginx.conf"))
        .current_dir(&info.root);
    command
}

fn supervisorctl(info: &HostRootInfo) -> Command {
    let mut command = process::clean(&info.supervisorctl);
    command.arg("-c").arg(supervisor_conf(info)).current_dir(&info.root);
    command
}

fn supervisor_conf(info: &HostRootInfo) -> PathBuf {
    info.root.join("etc/supervisor/supervisord.conf")
}

/// Returns whether a site on a port answers a request with 200.
pub(super) fn answers(port: u16, site: &str, path: &str) -> bool {
    let ask = || {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        write!(stream, "GET {path} HTTP/1.0\r\nHost: {site}\r\n\r\n")?;
        let mut head = [0; 12];
        stream.read_exact(&mut head)?;
        Ok::<_, std::io::Error>(head.ends_with(b" 200"))
    };
    ask().unwrap_or(false)
}

impl Process {
    /// Returns the running process that a pid file names.
    fn of_file(path: &Path) -> Option<Self> {
        let pid = fs::read_to_string(path).ok()?.trim().parse().ok()?;
        Some(Self { pid, started: start_of(pid)? })
    }

    /// Returns whether it still runs, and is not another one with its number.
    pub(crate) fn is_alive(self) -> bool {
        start_of(self.pid) == Some(self.started)
    }

    fn wait_until_gone(self, what: &str, limit: Duration) -> Result<()> {
        process::wait_for(what, limit, || (!self.is_alive()).then_some(()))
    }

    fn to_json(self) -> Value {
        json!({"pid": self.pid, "started": self.started})
    }

    fn of_json(value: &Value) -> Option<Self> {
        let pid = u32::try_from(value["pid"].as_u64()?).ok()?;
        Some(Self { pid, started: value["started"].as_u64()? })
    }
}

/// Returns when a process was started; `None` when it has ended, also as a zombie nobody waits for.
fn start_of(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The program's name, in parentheses, may hold blanks: the fields are counted behind it.
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    let state = fields.next()?;
    // The start time is field 22, the state field 3.
    let started = fields.nth(18)?.parse().ok()?;
    (state != "Z").then_some(started)
}

fn read_running(root: &Path) -> (Option<Process>, Option<Process>) {
    let text = fs::read_to_string(root.join(RUNNING)).unwrap_or_default();
    let value: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
    (Process::of_json(&value["nginx"]), Process::of_json(&value["supervisord"]))
}

fn write_running(root: &Path, nginx: Option<Process>, supervisord: Option<Process>) -> Result<()> {
    let path = root.join(RUNNING);
    if nginx.is_none() && supervisord.is_none() {
        return match fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                bail!("remove {}: {error}", path.display())
            }
            _ => Ok(()),
        };
    }
    let value = json!({
        "nginx": nginx.map(Process::to_json),
        "supervisord": supervisord.map(Process::to_json),
    });
    fs::write(&path, format!("{value:#}\n")).with_context(|| format!("write {}", path.display()))
}
