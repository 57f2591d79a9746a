//! What `guanka doctor` asks of a laptop and a host, one small question each: the Go tools, nginx's
//! own test and pid file, sockets, disk space, the clock. Whether an answer is good is not decided
//! here.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use guanka_core::facts::Reason;
use guanka_core::facts::nginx::{Directive, Nginx};
use guanka_core::quantity::Millis;
use rustix::io::Errno;
use rustix::net::{self, AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use super::processes::Processes;
use super::tree::HostTree;
use crate::hostroot::HostRoot;
use crate::process::{self, Output};

/// How long a Go tool may take to print; a cold start from a slow disk takes a second or two.
const GO_LIMIT: Millis = Millis(15_000);

/// How long nginx may take to test its configuration; with names to resolve it takes a while.
const NGINX_LIMIT: Millis = Millis(30_000);

/// How long `timedatectl` may take.
const CLOCK_LIMIT: Millis = Millis(3_000);

/// A `go` that may be called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GoTool {
    /// Where it was found.
    pub path: PathBuf,
    /// It is on the PATH, not only at a usual place.
    pub is_on_path: bool,
    /// What `go version` calls it, `go1.22.5`.
    pub version: Result<String, String>,
}

/// What `nginx.pid` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PidFile {
    /// It names a living nginx.
    Alive(u32),
    /// It is not there.
    Missing,
    /// It has no number in it.
    NoNumber,
    /// It names no living process.
    Dead(u32),
    /// It names a process of another program.
    Another(u32, String),
    /// It may not be read.
    NotReadable(String),
}

/// Whether somebody answers on a unix socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Socket {
    /// Somebody takes the connection.
    Open,
    /// There is no such file.
    Missing,
    /// The file is there and nobody takes the connection.
    Refused,
    /// This user may not connect.
    NotAllowed(String),
}

/// Returns every `go`: those on the PATH in its order, then those at the usual places.
pub fn go_tools() -> Vec<GoTool> {
    let path = env::var_os("PATH").unwrap_or_default();
    let on_path = env::split_paths(&path).map(|folder| (folder.join("go"), true));
    let usual =
        ["/usr/local/go/bin/go", "/usr/local/btgo/bin/go"].map(|p| (PathBuf::from(p), false));
    let mut seen = Vec::new();
    let mut tools = Vec::new();
    for (path, is_on_path) in on_path.chain(usual) {
        let Ok(real) = fs::canonicalize(&path) else { continue };
        if !real.is_file() || seen.contains(&real) {
            continue;
        }
        let version = go_version(&path);
        tools.push(GoTool { path, is_on_path, version });
        seen.push(real);
    }
    tools
}

fn go_version(path: &Path) -> Result<String, String> {
    // Outside any module, so that no go.mod makes it fetch another version of itself.
    let mut command = Command::new(path);
    command.arg("version").env("GOTOOLCHAIN", "local").env_remove("GOROOT").current_dir("/");
    let output = process::run(&mut command, GO_LIMIT).map_err(|error| error.to_string())?;
    let word = output.stdout.split_whitespace().nth(2).map(str::to_owned);
    match word.filter(|word| output.is_success() && word.starts_with("go")) {
        Some(version) => Ok(version),
        None => Err(first_line(&output)),
    }
}

/// Returns what `go env` says for some keys, in a folder.
pub fn go_env(
    tool: &Path,
    folder: &Path,
    keys: &[&str],
) -> Result<BTreeMap<String, String>, Reason> {
    let shown = tool.display().to_string();
    let mut command = Command::new(tool);
    command.arg("env").args(keys).env("GOTOOLCHAIN", "local").current_dir(folder);
    let output = process::run(&mut command, GO_LIMIT)
        .map_err(|error| Reason::ToolMissing(format!("{shown}: {error}")))?;
    if !output.is_success() {
        return Err(Reason::ToolMissing(format!("{shown} env: {}", first_line(&output))));
    }
    // An address may hold a password; the first argument is a program's name and never blanked.
    let lines: Vec<String> = std::iter::once(shown.as_str())
        .chain(output.stdout.split('\n'))
        .map(str::to_owned)
        .collect();
    let values = super::arguments::blanked(&lines).into_iter().skip(1);
    Ok(keys.iter().map(|key| (*key).to_owned()).zip(values).collect())
}

/// Returns whether guanka runs with root's rights.
pub fn is_superuser() -> bool {
    rustix::process::geteuid().is_root()
}

/// Returns the folder that holds a Go tool's own installation, links resolved.
pub fn go_home(tool: &Path) -> Option<PathBuf> {
    let real = fs::canonicalize(tool).ok()?;
    Some(real.parent()?.parent()?.to_owned())
}

/// Returns whether two paths name the same thing once links are resolved.
pub fn is_same_place(one: &Path, other: &Path) -> bool {
    matches!((fs::canonicalize(one), fs::canonicalize(other)), (Ok(a), Ok(b)) if a == b)
}

/// Returns the variable `GOROOT` if somebody exported it.
pub fn exported_goroot() -> Option<String> {
    env::var("GOROOT").ok().filter(|value| !value.is_empty())
}

/// Returns the nearest `go.mod` at or above a folder, and its text.
pub fn module_file(folder: &Path) -> Option<(PathBuf, String)> {
    let start = fs::canonicalize(folder).ok()?;
    start.ancestors().map(|above| above.join("go.mod")).find_map(|path| {
        let bytes = super::tree::read(&path, 4 << 20).ok()?;
        Some((path, String::from_utf8_lossy(&bytes).into_owned()))
    })
}

/// Returns what nginx's own test of a host root says. The test makes the pid file and log files
/// that are missing; those are taken away again, so that an empty pid file does not mislead
/// anybody.
pub fn nginx_test(root: &Path, nginx: &Nginx) -> Result<Output, Reason> {
    let tree = HostTree::new(root);
    let Some(program) = super::nginx::program(&tree) else {
        return Err(Reason::ToolMissing(format!("nginx: {}", tree.root().display())));
    };
    let main = Path::new(&nginx.main_file);
    let mut command = Command::new(&program);
    command.arg("-t").arg("-c").arg(main);
    if !tree.is_machine() && is_panel_file(main) {
        command.arg("-p").arg(tree.locate("/www/server/nginx"));
    }
    let missing: Vec<PathBuf> =
        made_by_test(&tree, nginx).into_iter().filter(|path| !path.exists()).collect();
    let shown = program.display().to_string();
    let answer = process::run(&mut command, NGINX_LIMIT)
        .map_err(|error| Reason::ToolMissing(format!("{shown}: {error}")));
    // An nginx that starts in this moment may just have opened them.
    if !missing.is_empty() && !has_nginx_process(&tree) {
        for path in missing {
            let is_ours = fs::symlink_metadata(&path).is_ok_and(|m| m.is_file() && m.len() == 0);
            if is_ours {
                let _ = fs::remove_file(path);
            }
        }
    }
    answer
}

fn has_nginx_process(tree: &HostTree) -> bool {
    let processes = Processes::read();
    let ours = processes.belonging_to(tree);
    ours.iter().filter_map(|pid| processes.get(*pid)).any(|process| process.name == "nginx")
}

/// Returns the files that nginx's test makes when they are missing.
fn made_by_test(tree: &HostTree, nginx: &Nginx) -> Vec<PathBuf> {
    fn logs<'a>(block: &'a [Directive], found: &mut Vec<&'a str>) {
        for directive in block {
            if ["error_log", "access_log"].contains(&directive.name.as_str()) {
                found.extend(directive.args.first().map(String::as_str));
            }
            logs(directive.inner(), found);
        }
    }
    let mut written = Vec::new();
    logs(&nginx.tree, &mut written);
    let absolute = written.into_iter().filter(|path| path.starts_with('/') && !path.contains('$'));
    // nginx itself takes a path as written; it may lie outside a folder that stands for a host.
    absolute.map(PathBuf::from).chain([pid_path(tree, nginx)]).chain(written_pid(nginx)).collect()
}

/// Returns the pid file's path exactly as nginx takes it.
fn written_pid(nginx: &Nginx) -> Option<PathBuf> {
    let directive = nginx.tree.iter().find(|d| d.name == "pid")?;
    directive.args.first().filter(|path| path.starts_with('/')).map(PathBuf::from)
}

fn is_panel_file(main: &Path) -> bool {
    main.ends_with("www/server/nginx/conf/nginx.conf")
}

/// Returns where nginx's pid file lies and what it says.
pub fn nginx_pid(root: &Path, nginx: &Nginx) -> (PathBuf, PidFile) {
    let tree = HostTree::new(root);
    let path = pid_path(&tree, nginx);
    let text = match super::tree::read(&path, 64) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(Reason::NotThere(_)) => return (path, PidFile::Missing),
        Err(Reason::NotReadable(why)) => return (path, PidFile::NotReadable(why)),
        Err(_) => return (path, PidFile::Missing),
    };
    let Ok(pid) = text.trim().parse::<u32>() else { return (path, PidFile::NoNumber) };
    let state = match Processes::read().get(pid) {
        None => PidFile::Dead(pid),
        Some(process) if process.name == "nginx" => PidFile::Alive(pid),
        Some(process) => PidFile::Another(pid, process.name.clone()),
    };
    (path, state)
}

fn pid_path(tree: &HostTree, nginx: &Nginx) -> PathBuf {
    let main = Path::new(&nginx.main_file);
    let conf = main.parent().unwrap_or(tree.root());
    let is_panel = is_panel_file(main);
    let written = nginx.tree.iter().find(|d| d.name == "pid").and_then(|d| d.args.first());
    match (written, is_panel) {
        (Some(path), _) if path.starts_with('/') => tree.locate(path),
        (Some(path), true) => tree.locate("/www/server/nginx").join(path),
        (Some(path), false) => conf.join(path),
        (None, true) => tree.locate("/www/server/nginx/logs/nginx.pid"),
        (None, false) => tree.locate("/run/nginx.pid"),
    }
}

/// Returns Supervisor's socket of a host root and whether it answers; `None` without a Supervisor.
pub fn supervisor_socket(root: &Path) -> Option<(PathBuf, Socket)> {
    let tree = HostTree::new(root);
    let main = super::supervisor::main_file(&tree)?;
    let text = tree.text(&main.to_string_lossy()).unwrap_or_default();
    let mut is_inside = false;
    let mut written = None;
    for line in text.lines().map(str::trim) {
        if line.starts_with('[') {
            is_inside = line.starts_with("[unix_http_server]");
        } else if is_inside && let Some((key, value)) = line.split_once('=') {
            let value = value.split(" ;").next().unwrap_or(value).trim();
            written = if key.trim() == "file" { Some(value.to_owned()) } else { written };
        }
    }
    let path = tree.locate(written.as_deref().unwrap_or("/var/run/supervisor.sock"));
    let state = connect(&path);
    Some((path, state))
}

/// Returns the socket of guanka's agent on a host root and whether it answers.
pub fn agent_socket(root: &Path) -> (PathBuf, Socket) {
    let tree = HostTree::new(root);
    let path = HostRoot::new(tree.root()).agent_socket();
    let state = connect(&path);
    (path, state)
}

/// Connects and hangs up: nothing is sent, and a full queue does not make it wait.
fn connect(path: &Path) -> Socket {
    let attempt = || -> rustix::io::Result<()> {
        let address = SocketAddrUnix::new(path)?;
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        net::connect(&socket, &address)
    };
    match attempt() {
        Ok(()) => Socket::Open,
        Err(Errno::NOENT | Errno::NOTDIR) => Socket::Missing,
        Err(error @ (Errno::ACCESS | Errno::PERM)) => Socket::NotAllowed(error.to_string()),
        Err(_) => Socket::Refused,
    }
}

/// Returns the free and the whole size in bytes of the file system that a host's path lies on, or
/// would lie on once made.
pub fn disk_space(root: &Path, path: &str) -> Result<(u64, u64), Reason> {
    let tree = HostTree::new(root);
    let wanted = tree.locate(path);
    let nearest = wanted.ancestors().find(|above| above.exists()).unwrap_or(tree.root());
    let found = rustix::fs::statvfs(nearest)
        .map_err(|error| Reason::NotReadable(format!("{}: {error}", nearest.display())))?;
    Ok((
        found.f_bavail.saturating_mul(found.f_frsize),
        found.f_blocks.saturating_mul(found.f_frsize),
    ))
}

/// Returns whether the system says that its clock is kept in step.
pub fn is_clock_synchronized() -> Result<bool, Reason> {
    let mut command = Command::new("timedatectl");
    command.args(["show", "--property=NTPSynchronized", "--value"]);
    let output = process::run(&mut command, CLOCK_LIMIT)
        .map_err(|error| Reason::ToolMissing(format!("timedatectl: {error}")))?;
    match output.stdout.trim() {
        "yes" => Ok(true),
        "no" => Ok(false),
        _ => Err(Reason::NotReachable(format!("timedatectl: {}", first_line(&output)))),
    }
}

/// Returns the time in milliseconds since 1970 at which guanka's own program file was written.
pub fn own_program_time() -> Option<u64> {
    let path = env::current_exe().ok()?;
    let changed = fs::metadata(path).ok()?.modified().ok()?;
    let since = changed.duration_since(std::time::UNIX_EPOCH).ok()?;
    u64::try_from(since.as_millis()).ok()
}

fn first_line(output: &Output) -> String {
    let text = if output.stderr.trim().is_empty() { &output.stdout } else { &output.stderr };
    match text.lines().find(|line| !line.trim().is_empty()) {
        Some(line) => line.trim().chars().take(200).collect(),
        None if output.status.is_none() => "no answer in time".to_owned(),
        None => "no output".to_owned(),
    }
}
