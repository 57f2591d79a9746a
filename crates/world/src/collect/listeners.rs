//! Who listens: the kernel's socket tables joined with the open files of processes.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use guanka_core::facts::host::Listener;
use guanka_core::facts::{Fact, Provenance, Reason, Sourced};
use guanka_parse::procnet::{self, Socket, State};

use super::processes::{Process, Processes};
use super::tree::{self, HostTree};

/// The largest socket table that is read: about 400,000 sockets.
const TABLE_MAX: u64 = 64 << 20;

/// How many open files of one process are looked at.
const FILES_MAX: usize = 200_000;

/// The listening sockets of a root, and which process holds which.
pub(super) struct Listening {
    /// Each socket once.
    pub(super) listeners: Fact<Vec<Listener>>,
    /// The ports of each process that holds a listening socket, workers that share one included.
    pub(super) ports: BTreeMap<u32, BTreeSet<u16>>,
}

/// Looks for the listening sockets of a root. For `/` these are all; for a folder those held by its
/// processes, and those whose port its configuration names.
pub(super) fn read(
    tree: &HostTree,
    processes: &Processes,
    ours: &BTreeSet<u32>,
    named: &BTreeSet<u16>,
) -> Listening {
    let sockets = match sockets(tree, processes, ours) {
        Ok(sockets) => sockets,
        Err(reason) => {
            return Listening { listeners: Fact::Unknown(reason), ports: BTreeMap::new() };
        }
    };
    let inodes: BTreeSet<u64> = sockets.keys().copied().collect();
    let holders = holders(processes, &inodes);
    let mut ports: BTreeMap<u32, BTreeSet<u16>> = BTreeMap::new();
    let mut listeners = Vec::new();
    for (inode, socket) in &sockets {
        let held_by = holders.get(inode).cloned().unwrap_or_default();
        let is_ours = tree.is_machine()
            || held_by.iter().any(|pid| ours.contains(pid))
            || named.contains(&socket.port);
        if !is_ours {
            continue;
        }
        for pid in &held_by {
            ports.entry(*pid).or_default().insert(socket.port);
        }
        listeners.push(listener(socket, first_holder(processes, &held_by)));
    }
    listeners.sort_by(|a, b| (a.port, &a.address).cmp(&(b.port, &b.address)));
    let from = Provenance::Path("/proc/net/tcp".to_owned());
    Listening { listeners: Fact::Known(Sourced { value: listeners, from }), ports }
}

fn listener(socket: &Socket, holder: Option<&Process>) -> Listener {
    let program = holder.and_then(|p| p.program.as_ref());
    Listener {
        address: socket.address.to_string(),
        port: socket.port,
        pid: holder.map(|p| p.pid),
        program: program.map(|path| path.display().to_string()),
    }
}

/// Returns the holder that the others got the socket from: a master rather than its workers.
fn first_holder<'a>(processes: &'a Processes, held_by: &BTreeSet<u32>) -> Option<&'a Process> {
    let known = || held_by.iter().filter_map(|pid| processes.get(*pid));
    known().find(|p| !held_by.contains(&p.parent)).or_else(|| known().next())
}

/// Returns the listening sockets by inode: of this network namespace, and for a folder also of the
/// namespaces that its processes live in.
fn sockets(
    tree: &HostTree,
    processes: &Processes,
    ours: &BTreeSet<u32>,
) -> Result<BTreeMap<u64, Socket>, Reason> {
    let mut found = table(Path::new("/proc/net"))?;
    if tree.is_machine() {
        return Ok(found);
    }
    let own = fs::read_link("/proc/self/ns/net").ok();
    let mut seen: BTreeSet<Option<PathBuf>> = BTreeSet::from([own, None]);
    for process in ours.iter().filter_map(|pid| processes.get(*pid)) {
        if seen.insert(process.network.clone()) {
            let folder = PathBuf::from(format!("/proc/{}/net", process.pid));
            found.extend(table(&folder).unwrap_or_default());
        }
    }
    Ok(found)
}

fn table(folder: &Path) -> Result<BTreeMap<u64, Socket>, Reason> {
    let four = tree::read(&folder.join("tcp"), TABLE_MAX)?;
    // A kernel without IPv6 has no second table.
    let six = tree::read(&folder.join("tcp6"), TABLE_MAX).unwrap_or_default();
    let listening = [four, six]
        .into_iter()
        .flat_map(|bytes| procnet::read(&String::from_utf8_lossy(&bytes)))
        .filter(|socket| socket.state == State::Listen);
    Ok(listening.map(|socket| (socket.inode, socket)).collect())
}

/// Returns who holds each of the sockets; processes that may not be looked into are left out.
fn holders(processes: &Processes, inodes: &BTreeSet<u64>) -> BTreeMap<u64, BTreeSet<u32>> {
    let mut found: BTreeMap<u64, BTreeSet<u32>> = BTreeMap::new();
    for process in processes.iter() {
        let entries = fs::read_dir(format!("/proc/{}/fd", process.pid));
        for entry in entries.into_iter().flatten().flatten().take(FILES_MAX) {
            let Ok(link) = fs::read_link(entry.path()) else { continue };
            let inode = link
                .to_str()
                .and_then(|text| text.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok());
            if let Some(inode) = inode
                && inodes.contains(&inode)
            {
                found.entry(inode).or_default().insert(process.pid);
            }
        }
    }
    found
}
