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
/// guanka ends at once; the machine may be busy.
const GUANKA_LIMIT: Duration = Duration::from_secs(10);

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
        Self::open_with(tools, afterwards, |_| Ok(()))
    }

    /// Does the same, with something changed on the host before anything runs there.
    pub(crate) fn open_with(
        tools: &Tools,
        afterwards: Afterwards,
        prepare: impl FnOnce(&HostRootInfo) -> Result<()>,
    ) -> Result<Self> {
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
        prepare(&ground.host)?;
        hostroot::start(&ground.host.root)?;
        Ok(ground)
    }

    /// Stops what was started and removes the folder, or leaves it.
    pub(crate) fn close(&mut self) -> Result<()> {
        self.is_closed = true;
        stop(&self.folder)?;
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

/// Ends the folder's guanka processes, then its Supervisor with every program, then its nginx.
fn stop(folder: &Path) -> Result<()> {
    let places = [folder.join("host"), folder.join("shop")];
    for pid in guanka_at(&places) {
        // One that has ended meanwhile is what is wanted.
        let _ = kill_process(pid, Signal::TERM);
    }
    let are_gone = process::wait_for("guanka ends", GUANKA_LIMIT, || {
        guanka_at(&places).is_empty().then_some(())
    });
    hostroot::stop(&places[0])?;
    are_gone
}

/// Returns the guanka processes that name one of these places as a whole word on their command
/// line: the agent of its host, and a `ship` whose caller was killed.
fn guanka_at(places: &[PathBuf]) -> Vec<Pid> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let is_at = |number: &i32| {
        let line = fs::read(format!("/proc/{number}/cmdline")).unwrap_or_default();
        // The line ends with a zero byte: behind it lies an empty word that is none.
        let mut words = line.split(|byte| *byte == 0).filter(|word| !word.is_empty());
        let is_guanka = words.next().is_some_and(|program| program.ends_with(b"/guanka"));
        is_guanka
            && words.any(|word| places.iter().any(|p| p.as_os_str().as_encoded_bytes() == word))
    };
    let numbers = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    numbers.filter(is_at).filter_map(Pid::from_raw).collect()
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
        let _ = stop(&entry.path());
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
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::process::{Child, Command};
    use std::time::Duration;

    use super::guanka_at;
    use crate::process;

    /// A program that is called like guanka and waits; ended in the end.
    struct Waiting(Child);

    impl Drop for Waiting {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    #[test]
    fn only_guanka_processes_that_name_the_very_place_are_found() {
        let own = std::env::temp_dir().join(format!("guanka-ground-{}", std::process::id()));
        fs::create_dir_all(&own).expect("a folder");
        let program = own.join("guanka");
        symlink("/usr/bin/tail", &program).expect("a link");
        let place = own.join("host");
        fs::write(&place, "").expect("a file");
        let child = Command::new(&program).arg("-f").arg(&place).spawn().expect("it starts");
        let child = Waiting(child);
        let pid = i32::try_from(child.0.id()).expect("a pid");
        let found = process::wait_for("it is found", Duration::from_secs(10), || {
            let found = guanka_at(std::slice::from_ref(&place));
            (!found.is_empty()).then_some(found)
        });
        let pids: Vec<i32> =
            found.expect("it").iter().map(|pid| pid.as_raw_nonzero().get()).collect();
        assert_eq!(pids, [pid]);
        assert!(guanka_at(std::slice::from_ref(&own)).is_empty(), "not by the place's beginning");
        drop(child);
        fs::remove_dir_all(&own).expect("there");
    }
}
