//! The processes of the running machine, as far as this user may look at them, and which of them
//! belong to a host root.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::tree::{self, HostTree};

/// How many processes are looked at.
const PROCESSES_MAX: usize = 100_000;

/// The most that is read of one file below /proc; the kernel's own command line limit is 2 MiB.
const PROC_FILE_MAX: u64 = 2 << 20;

/// One process.
#[derive(Clone, Debug, Default)]
pub(crate) struct Process {
    /// Its number.
    pub(crate) pid: u32,
    /// Its parent's number.
    pub(crate) parent: u32,
    /// The user it acts as.
    pub(crate) uid: u32,
    /// Its short name.
    pub(crate) name: String,
    /// Its program file; `None` for kernel threads and where it may not be read.
    pub(crate) program: Option<PathBuf>,
    /// The program file was replaced or removed since the start.
    pub(crate) is_replaced: bool,
    /// Its program file may not be read by this user.
    pub(crate) is_hidden: bool,
    /// Its arguments.
    pub(crate) argv: Vec<String>,
    /// Its working folder.
    pub(crate) folder: Option<PathBuf>,
    /// Its root folder.
    pub(crate) root: Option<PathBuf>,
    /// Its control groups, as /proc shows them.
    pub(crate) cgroup: String,
    /// Its network namespace.
    pub(crate) network: Option<PathBuf>,
}

/// All processes by number.
#[derive(Clone, Debug, Default)]
pub(crate) struct Processes(BTreeMap<u32, Process>);

impl Processes {
    /// Looks at every process once. Those that end meanwhile are left out.
    pub(crate) fn read() -> Self {
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = entries.filter_map(|e| e.file_name().to_str()?.parse::<u32>().ok());
        Self(pids.take(PROCESSES_MAX).filter_map(|pid| Some((pid, Process::read(pid)?))).collect())
    }

    /// Returns all, by number.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Process> {
        self.0.values()
    }

    /// Returns one.
    pub(crate) fn get(&self, pid: u32) -> Option<&Process> {
        self.0.get(&pid)
    }

    /// Returns a process's parent, the parent's parent and so on, without the process itself.
    pub(crate) fn ancestors(&self, process: &Process) -> Vec<&Process> {
        let mut found: Vec<&Process> = Vec::new();
        let mut next = process.parent;
        while let Some(parent) = self.get(next) {
            if parent.pid == process.pid || found.iter().any(|known| known.pid == parent.pid) {
                break;
            }
            found.push(parent);
            next = parent.parent;
        }
        found
    }

    /// Returns the processes that belong to a root: all for `/`, else those whose program, folder,
    /// root or arguments lie below it. guanka itself is left out.
    pub(crate) fn belonging_to(&self, tree: &HostTree) -> BTreeSet<u32> {
        let own = std::process::id();
        self.iter()
            .filter(|p| p.pid != own && (tree.is_machine() || p.belongs_to(tree)))
            .map(|p| p.pid)
            .collect()
    }

    #[cfg(test)]
    pub(super) fn of(list: impl IntoIterator<Item = Process>) -> Self {
        Self(list.into_iter().map(|p| (p.pid, p)).collect())
    }
}

impl Process {
    fn read(pid: u32) -> Option<Self> {
        let folder = PathBuf::from(format!("/proc/{pid}"));
        let status = text(&folder.join("status"))?;
        let link = fs::read_link(folder.join("exe"));
        let is_hidden = matches!(&link, Err(e) if e.kind() == std::io::ErrorKind::PermissionDenied);
        let shown = link.ok().map(|path| path.to_string_lossy().into_owned());
        let bare = shown.as_deref().map(|path| path.strip_suffix(" (deleted)").unwrap_or(path));
        Some(Self {
            pid,
            parent: field(&status, "PPid:").and_then(|v| v.parse().ok()).unwrap_or(0),
            uid: field(&status, "Uid:")?.split_whitespace().nth(1)?.parse().ok()?,
            name: field(&status, "Name:").unwrap_or_default().to_owned(),
            program: bare.map(PathBuf::from),
            is_replaced: bare != shown.as_deref(),
            is_hidden,
            argv: arguments(&folder),
            folder: fs::read_link(folder.join("cwd")).ok(),
            root: fs::read_link(folder.join("root")).ok(),
            cgroup: text(&folder.join("cgroup")).unwrap_or_default(),
            network: fs::read_link(folder.join("ns/net")).ok(),
        })
    }

    /// Returns the path under which its program can be opened even when it was replaced.
    pub(crate) fn program_door(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/exe", self.pid))
    }

    fn belongs_to(&self, tree: &HostTree) -> bool {
        [&self.program, &self.folder, &self.root].into_iter().flatten().any(|path| tree.holds(path))
            || self.argv.iter().any(|argument| tree.is_named_in(argument))
    }
}

/// Returns how many processes this user may not look into: what runs there stays unknown.
pub fn hidden_count() -> usize {
    Processes::read().iter().filter(|p| p.is_hidden).count()
}

/// Returns whether a process's program file was replaced or removed since it started.
pub fn is_replaced(pid: u32) -> bool {
    Process::read(pid).is_some_and(|process| process.is_replaced)
}

fn text(path: &Path) -> Option<String> {
    // Files below /proc claim a size of 0, so the limit is what bounds the read.
    let bytes = tree::read(path, PROC_FILE_MAX).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

fn arguments(folder: &Path) -> Vec<String> {
    let whole = text(&folder.join("cmdline")).unwrap_or_default();
    whole.trim_end_matches('\0').split('\0').map(str::to_owned).collect()
}

/// Returns the value behind a key of a `status` file.
fn field<'a>(status: &'a str, key: &str) -> Option<&'a str> {
    status.lines().find_map(|line| line.strip_prefix(key)).map(str::trim)
}
