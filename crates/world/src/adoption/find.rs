//! Finds the program behind a site, and all that it takes to start it again: read from the
//! machine's own record of the process, never guessed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use guanka_core::name::Domain;
use guanka_core::quantity::Millis;
use serde::{Deserialize, Serialize};

use super::{AdoptError, Keeper, Running, bare};
use crate::clock;
use crate::collect::keepers;
use crate::collect::processes::{Process, Processes};
use crate::collect::tree::HostTree;
use crate::collect::{accounts, supervisor};
use crate::hostroot::HostRoot;
use crate::managers::supervisor::Supervisor;
use crate::ports;
use crate::proxy;

/// Folders that hold what users gave, by the names that programs use.
const DATA_NAMES: &[&str] = &["data", "files", "storage", "upload", "uploads"];

/// Parents that end with the session and start nothing again.
const SHELLS: &[&str] =
    &["bash", "dash", "sh", "zsh", "sshd", "screen", "tmux: server", "su", "sudo"];

/// How long a program may be on its way up in its keeper's list.
const SEEN_LIMIT: Millis = Millis::from_secs(5);

/// What is looked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wanted {
    /// Whatever the site of a domain passes its requests to.
    Behind(Domain),
    /// Whatever listens on a port.
    Port(u16),
}

/// Finds the running program; reads only.
pub fn find(host: &HostRoot, wanted: &Wanted) -> Result<Running, AdoptError> {
    let port = match wanted {
        Wanted::Port(port) => *port,
        Wanted::Behind(domain) => proxy::backend_port(host, domain)
            .ok_or_else(|| AdoptError::NoBackend(domain.clone()))?,
    };
    let owner = ports::owner_of(port).ok_or(AdoptError::Nobody(port))?;
    let processes = Processes::read();
    let process = processes.get(owner.pid).ok_or(AdoptError::Nobody(port))?;
    let tree = HostTree::new(host.root());
    let keeper = keeper(host, &tree, process, &processes, port)?;
    answers(port)?;
    read(&tree, process, port, keeper)
}

/// Makes sure that it answers where arms are asked.
fn answers(port: u16) -> Result<(), AdoptError> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let connected = TcpStream::connect_timeout(&address, Duration::from_secs(2));
    connected.map(|_| ()).map_err(|_| AdoptError::NotLoopback(port))
}

fn keeper(
    host: &HostRoot,
    tree: &HostTree,
    process: &Process,
    processes: &Processes,
    port: u16,
) -> Result<Keeper, AdoptError> {
    let refused = |keeper: &str| AdoptError::Keeper { port, keeper: keeper.to_owned() };
    let projects = keepers::panel_projects(tree);
    match keepers::keeper(process, processes, &projects, tree).as_str() {
        "guanka" => Err(AdoptError::Ours(port)),
        "nohup" => Ok(Keeper::Nobody),
        "panel go project" => go_project(tree, process, processes).ok_or_else(|| refused("?")),
        "supervisor" => supervised(host, process, processes)?
            .ok_or_else(|| refused("a Supervisor of another configuration")),
        "systemd" => unit(&process.cgroup)
            .map(|unit| Keeper::Systemd { unit })
            .ok_or_else(|| refused("systemd")),
        other => match other.strip_prefix("started by ") {
            Some(shell) if SHELLS.contains(&shell) => Ok(Keeper::Nobody),
            _ => Err(refused(other)),
        },
    }
}

/// Finds the pid file that names the process or a shell around it.
fn go_project(tree: &HostTree, process: &Process, processes: &Processes) -> Option<Keeper> {
    let chain: BTreeSet<u32> = std::iter::once(process.pid)
        .chain(processes.ancestors(process).iter().map(|p| p.pid))
        .collect();
    tree.glob("/var/tmp/gopids/*.pid").into_iter().find_map(|pid_file| {
        let pid = fs::read_to_string(&pid_file).ok()?.trim().parse::<u32>().ok()?;
        let name = pid_file.file_stem()?.to_string_lossy().into_owned();
        chain.contains(&pid).then_some(Keeper::GoProject { name, pid_file })
    })
}

/// Finds Supervisor's program of the process.
fn supervised(
    host: &HostRoot,
    process: &Process,
    processes: &Processes,
) -> Result<Option<Keeper>, AdoptError> {
    let Some(found) = Supervisor::find(host)? else { return Ok(None) };
    let mut chain = vec![process.pid];
    chain.extend(processes.ancestors(process).iter().map(|p| p.pid));
    // A program that was just started has no process number in Supervisor's list yet.
    let seen = clock::wait_for(SEEN_LIMIT, Millis(200), || found.program_of(&chain).transpose());
    let Some(program) = seen.transpose()? else { return Ok(None) };
    let (programs, _) = supervisor::read(host.root());
    let file = programs.into_iter().find(|p| p.name == program).map(|p| p.span.file);
    Ok(file.map(|file| Keeper::Supervisor { program, file: PathBuf::from(file) }))
}

/// Reads the service from a control group.
fn unit(cgroup: &str) -> Option<String> {
    let paths = cgroup.lines().filter_map(|line| line.splitn(3, ':').nth(2));
    let mut parts = paths.flat_map(|path| path.rsplit('/'));
    parts.find(|part| part.ends_with(".service")).map(str::to_owned)
}

fn read(
    tree: &HostTree,
    process: &Process,
    port: u16,
    keeper: Keeper,
) -> Result<Running, AdoptError> {
    let pid = process.pid;
    let hidden = |source| AdoptError::Hidden { pid, source };
    let proc = PathBuf::from(format!("/proc/{pid}"));
    let program = fs::read_link(proc.join("exe")).map_err(hidden)?;
    let folder = fs::read_link(proc.join("cwd")).map_err(hidden)?;
    let meta = fs::metadata(&proc).map_err(hidden)?;
    let env = fs::read(proc.join("environ")).map_err(hidden)?;
    let output = fs::read_link(proc.join("fd/1")).ok().filter(|path| path.is_file());
    // As the host calls them: guanka.toml knows no root folder.
    let inner = |path: PathBuf| match path.strip_prefix(tree.root()) {
        Ok(below) => Path::new("/").join(below),
        Err(_) => path,
    };
    let data_dirs = data_dirs(&proc, &folder, output.as_deref()).into_iter().map(inner).collect();
    Ok(Running {
        pid,
        program: bare(&program),
        args: process.argv.iter().skip(1).cloned().collect(),
        env: variables(&env),
        folder,
        user: accounts::Accounts::read(tree).name(meta.uid()),
        uid: meta.uid(),
        gid: meta.gid(),
        output,
        port,
        keeper,
        data_dirs,
    })
}

/// Reads `NAME=value` pieces that end with a zero byte.
pub(super) fn variables(bytes: &[u8]) -> BTreeMap<String, String> {
    let pieces = bytes.split(|byte| *byte == 0);
    pieces
        .filter_map(|piece| {
            let (name, value) = std::str::from_utf8(piece).ok()?.split_once('=')?;
            Some((name.to_owned(), value.to_owned()))
        })
        .collect()
}

/// Returns the folders that the program writes to: those of files it has open for writing below its
/// working folder, and those there that are called as such folders are.
fn data_dirs(proc: &Path, folder: &Path, output: Option<&Path>) -> Vec<PathBuf> {
    let mut found: BTreeSet<PathBuf> =
        DATA_NAMES.iter().map(|name| folder.join(name)).filter(|path| path.is_dir()).collect();
    for entry in fs::read_dir(proc.join("fd")).into_iter().flatten().flatten() {
        let Ok(target) = fs::read_link(entry.path()) else { continue };
        let is_inside = target.starts_with(folder) && target.parent() != Some(folder);
        if is_inside && target.is_file() && Some(target.as_path()) != output {
            let info = fs::read_to_string(proc.join("fdinfo").join(entry.file_name()));
            if info.is_ok_and(|info| is_written(&info)) {
                found.extend(target.parent().map(Path::to_path_buf));
            }
        }
    }
    found.into_iter().collect()
}

/// Reads from the kernel's record of an open file whether it may be written to.
fn is_written(info: &str) -> bool {
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
    let mode = flags.and_then(|flags| u32::from_str_radix(flags.trim(), 8).ok());
    mode.is_some_and(|mode| matches!(mode & 3, 1 | 2))
}

#[cfg(test)]
mod tests {
    use super::{is_written, unit, variables};

    #[test]
    fn variables_flags_and_units_are_read_as_the_kernel_writes_them() {
        let found = variables(b"A=1\0B=x=y\0broken\0\xff=z\0");
        let list: Vec<(&str, &str)> = found.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(list, [("A", "1"), ("B", "x=y")]);
        assert!(is_written("pos:\t0\nflags:\t0102001\n") && is_written("flags:\t02"));
        assert!(!is_written("flags:\t0100000\n") && !is_written(""));
        assert_eq!(unit("0::/system.slice/api.service\n").as_deref(), Some("api.service"));
        assert_eq!(unit("0::/user.slice/session-1.scope"), None);
    }
}
