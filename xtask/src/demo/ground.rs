//! Where the demonstration takes place: a new folder with a host root and a project in it. What was
//! started there is stopped and the folder removed however the run ends; what a killed run left
//! behind is put away by the next one.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};

use crate::hostroot::{self, HostRootInfo, Ports};
use crate::process;
use crate::setup::Tools;

/// Where the folders lie: passable for nginx's workers, and not emptied by a restart half way.
const BASE: &str = "/var/tmp";
/// How their names begin; the process id follows.
const PREFIX: &str = "guanka-demo-";
/// A mark in a folder that is to stay.
const KEPT: &str = "kept";
/// An agent ends at once; the machine may be busy.
const AGENT_LIMIT: Duration = Duration::from_secs(10);

/// What becomes of the folder in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Afterwards {
    /// It is removed.
    Remove,
    /// It stays to be looked at; nothing runs in it.
    Keep,
}

/// The folder and what is in it.
pub(crate) struct Ground {
    /// The folder itself.
    pub(crate) folder: PathBuf,
    /// The project.
    pub(crate) project: PathBuf,
    /// The host.
    pub(crate) host: HostRootInfo,
    afterwards: Afterwards,
    is_closed: bool,
}

impl Ground {
    /// Makes the folder and starts the host's nginx and Supervisor.
    pub(crate) fn open(tools: &Tools, afterwards: Afterwards) -> Result<Self> {
        sweep();
        let folder = Path::new(BASE).join(format!("{PREFIX}{}", std::process::id()));
        make(&folder)?;
        let project = folder.join("shop");
        make(&project)?;
        let host = hostroot::create(&folder.join("host"), tools, Ports::free()?);
        let host = host.inspect_err(|_| {
            let _ = fs::remove_dir_all(&folder);
        })?;
        let ground = Self { folder, project, host, afterwards, is_closed: false };
        if afterwards == Afterwards::Keep {
            fs::write(ground.folder.join(KEPT), "").context("mark the folder as kept")?;
        }
        hostroot::start(&ground.host.root)?;
        Ok(ground)
    }

    /// Stops what was started and removes the folder, or leaves it.
    pub(crate) fn close(&mut self) -> Result<()> {
        self.is_closed = true;
        stop(&self.host.root)?;
        match self.afterwards {
            Afterwards::Keep => Ok(()),
            Afterwards::Remove => fs::remove_dir_all(&self.folder)
                .with_context(|| format!("remove {}", self.folder.display())),
        }
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        if !self.is_closed
            && let Err(error) = self.close()
        {
            eprintln!("{error:#}");
        }
    }
}

/// Ends the root's agents, then its Supervisor with every program, then its nginx.
fn stop(root: &Path) -> Result<()> {
    for pid in agents(root) {
        // One that has ended meanwhile is what is wanted.
        let _ = kill_process(pid, Signal::TERM);
    }
    let are_gone =
        process::wait_for("the agent ends", AGENT_LIMIT, || agents(root).is_empty().then_some(()));
    hostroot::stop(root)?;
    are_gone
}

/// Returns the agents of a root: `guanka agent --root ROOT` on their command line.
fn agents(root: &Path) -> Vec<Pid> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let wanted = [b"agent".as_slice(), b"--root", root.as_os_str().as_encoded_bytes()];
    let is_agent = |number: &i32| {
        let line = fs::read(format!("/proc/{number}/cmdline")).unwrap_or_default();
        let words: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
        words.first().is_some_and(|program| program.ends_with(b"guanka"))
            && words.get(1..4) == Some(&wanted)
    };
    let numbers = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    numbers.filter(is_agent).filter_map(Pid::from_raw).collect()
}

/// Puts away what runs that were killed have left: their process is gone and nobody wanted to keep
/// the folder.
fn sweep() {
    let Ok(entries) = fs::read_dir(BASE) else { return };
    let own = fs::metadata("/proc/self").map(|meta| meta.uid()).ok();
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some(pid) = name.strip_prefix(PREFIX) else { continue };
        let is_running = Path::new("/proc").join(pid).exists();
        let is_ours = entry.metadata().is_ok_and(|meta| meta.is_dir() && Some(meta.uid()) == own);
        if is_running || !is_ours || entry.path().join(KEPT).exists() {
            continue;
        }
        // Best effort: what cannot be put away stays for a person.
        let _ = stop(&entry.path().join("host"));
        let _ = fs::remove_dir_all(entry.path());
    }
}

/// Makes a new folder through which everybody can get.
fn make(folder: &Path) -> Result<()> {
    ensure!(!folder.exists(), "{} is there already", folder.display());
    fs::create_dir(folder).with_context(|| format!("create {}", folder.display()))?;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755))
        .with_context(|| format!("set the mode of {}", folder.display()))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::agents;

    #[test]
    fn no_process_is_an_agent_of_a_root_that_it_does_not_name() {
        assert!(agents(Path::new("/var/tmp/no-such-root")).is_empty());
        assert!(agents(Path::new("")).is_empty());
    }
}
