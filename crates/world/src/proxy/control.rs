//! nginx on one host: where its files lie, its own test, and a reload that is over only when the
//! workers of before are gone.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use guanka_core::facts::Reason;
use guanka_core::facts::nginx::Directive;
use guanka_core::quantity::Millis;
use rustix::process::{Pid, Signal, kill_process};

use crate::clock;
use crate::files;
use crate::hostroot::HostRoot;
use crate::process;

/// What a program file says of its version, while the file stays the one it was. The agent looks at
/// nginx many times a minute, and to start it each time costs more than everything else it does.
static VERSIONS: Mutex<BTreeMap<PathBuf, (Stamp, Version)>> = Mutex::new(BTreeMap::new());

/// The file's number, size and change: an update in place changes one of them.
type Stamp = (u64, u64, Option<SystemTime>);
type Version = (u32, u32, u32);

/// How long nginx's test and its signal may take: hosts with hundreds of sites need seconds.
const COMMAND_LIMIT: Millis = Millis::from_secs(30);
/// How long new workers may take to appear after a reload.
const APPEAR_LIMIT: Millis = Millis::from_secs(15);
/// How long the old workers may take to be gone. Websockets can hold one for hours, so this is
/// where guanka stops waiting and says so.
const TURNOVER_LIMIT: Millis = Millis::from_secs(30);
/// The last of the error log that is shown when a reload does not take.
const LOG_TAIL_LINES: usize = 5;

/// nginx on one host.
#[derive(Clone, Debug)]
pub struct Nginx {
    /// The program.
    pub binary: PathBuf,
    /// The folder that relative paths start from; `None` where it is the program's own, as it is
    /// for distributions: their modules are loaded from it and lie beside no configuration.
    pub prefix: Option<PathBuf>,
    /// The main file.
    pub main_file: PathBuf,
    /// The master's pid file.
    pub pid_file: PathBuf,
    /// The folder of http-level files.
    pub http_folder: PathBuf,
    /// The panel's folder of server-level files; `None` on a host without a panel.
    pub extension_folder: Option<PathBuf>,
    /// The version, when it could be told.
    pub version: Option<Version>,
    /// The error log, as the main file names it.
    pub error_log: PathBuf,
    /// The workers' user, as the main file names it.
    pub user: Option<String>,
}

/// How a reload went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Turnover {
    /// Every worker of before is gone.
    Complete,
    /// Some still serve connections of before, by their process numbers.
    OldWorkersLeft(Vec<u32>),
}

/// A worker: its number and when it was started, since numbers are used again.
type Workers = BTreeMap<u32, u64>;

impl Nginx {
    /// Finds nginx below a host's root, the panel's, else the distribution's, and asks it what it
    /// is.
    pub fn find(host: &HostRoot) -> Option<Self> {
        let mut found = Self::places(host)?;
        found.look_inside(host);
        Some(found)
    }

    /// Finds where its files lie, without starting it and without reading any: cheap enough for
    /// every look at a host.
    pub(super) fn places(host: &HostRoot) -> Option<Self> {
        let panel = host.at("/www/server/nginx/conf/nginx.conf");
        if panel.is_file() {
            let vhost = host.at("/www/server/panel/vhost/nginx");
            let prefix = host.at("/www/server/nginx");
            return Some(Self {
                binary: prefix.join("sbin/nginx"),
                pid_file: prefix.join("logs/nginx.pid"),
                error_log: prefix.join("logs/error.log"),
                prefix: Some(prefix),
                main_file: panel,
                extension_folder: vhost.is_dir().then(|| vhost.join("extension")),
                http_folder: vhost,
                version: None,
                user: None,
            });
        }
        let main_file = host.at("/etc/nginx/nginx.conf");
        let own = host.at("/usr/sbin/nginx");
        let found = Self {
            binary: if own.is_file() { own } else { PathBuf::from("nginx") },
            prefix: None,
            pid_file: host.at("/run/nginx.pid"),
            error_log: host.at("/var/log/nginx/error.log"),
            http_folder: host.at("/etc/nginx/conf.d"),
            extension_folder: None,
            version: None,
            user: None,
            main_file,
        };
        found.main_file.is_file().then_some(found)
    }

    /// Reads the version from the program, pid file and user from the main file.
    fn look_inside(&mut self, host: &HostRoot) {
        self.version = version(&self.binary);
        let tree = self.read_tree(host, &self.main_file);
        let value = |name: &str| {
            let found = tree.iter().find(|d| d.name == name)?;
            found.args.first().cloned()
        };
        self.user = value("user");
        if let Some(pid) = value("pid").filter(|pid| pid.starts_with('/')) {
            self.pid_file = PathBuf::from(pid);
        }
        if let Some(log) = value("error_log").filter(|log| log.starts_with('/')) {
            self.error_log = PathBuf::from(log);
        }
    }

    /// Reads a file and what it includes into a tree, bounded by the parser.
    pub(super) fn read_tree(&self, host: &HostRoot, file: &Path) -> Vec<Directive> {
        let place = |text: &str| {
            let path = Path::new(text);
            // As nginx itself reads it, else below the root: some hosts are only mounted here.
            if path.starts_with(host.root()) || path.exists() { path.into() } else { host.at(text) }
        };
        let mut load =
            |name: &str| fs::read(place(name)).map_err(|_| Reason::NotReadable(name.to_owned()));
        let mut list = |pattern: &str| matching(&place(pattern));
        // Includes start from the main file's folder, whatever the prefix is.
        let prefix = self.main_file.parent().unwrap_or(Path::new("/")).to_string_lossy();
        let file = file.to_string_lossy();
        guanka_parse::nginx::read(&file, &prefix, &mut load, &mut list).0
    }

    /// Runs nginx's own test of the whole configuration; the error is its text.
    pub fn test(&self) -> Result<(), String> {
        self.run(&["-t"])
    }

    /// Returns the running master, by the pid file. The panel itself kills and restarts nginx when
    /// that file is broken, so a broken one is a reason to touch nothing.
    pub fn master(&self) -> Result<u32, String> {
        let shown = self.pid_file.display();
        let text = fs::read_to_string(&self.pid_file).map_err(|e| format!("{shown}: {e}"))?;
        let pid: u32 = text.trim().parse().map_err(|_| format!("{shown} holds no number"))?;
        let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        if command.starts_with(b"nginx: master") {
            Ok(pid)
        } else {
            Err(format!("{shown} names process {pid}, which is no nginx master"))
        }
    }

    /// Has nginx open its logs anew: by the master's signal, which needs no configuration to be
    /// read. Returns the processes that write logs, those that are shutting down among them.
    pub fn reopen(&self) -> Result<Vec<u32>, String> {
        let master = self.master()?;
        let pid = i32::try_from(master).ok().and_then(Pid::from_raw).ok_or("no such process")?;
        kill_process(pid, Signal::USR1).map_err(|error| format!("signal nginx: {error}"))?;
        Ok(workers(master).into_keys().chain([master]).collect())
    }

    /// Reloads nginx and waits until the workers of before are gone.
    pub fn reload(&self) -> Result<Turnover, String> {
        let master = self.master()?;
        let before = workers(master);
        self.run(&["-s", "reload"])?;
        let has_new = || {
            let now = workers(master);
            now.iter().any(|(pid, start)| before.get(pid) != Some(start)).then_some(())
        };
        if clock::wait_for(APPEAR_LIMIT, Millis(5), has_new).is_none() {
            return Err(format!("no new worker appeared after the reload: {}", self.log_tail()));
        }
        let left = || -> Vec<u32> {
            let now = workers(master);
            let old = before.iter().filter(|(pid, start)| now.get(pid) == Some(start));
            old.map(|(pid, _)| *pid).collect()
        };
        let gone = clock::wait_for(TURNOVER_LIMIT, Millis(5), || left().is_empty().then_some(()));
        Ok(match gone {
            Some(()) => Turnover::Complete,
            None => Turnover::OldWorkersLeft(left()),
        })
    }

    fn run(&self, args: &[&str]) -> Result<(), String> {
        let mut command = Command::new(&self.binary);
        // Older ones write to a log of their own until they have read the configuration.
        if self.version.is_some_and(|v| v >= (1, 19, 5)) {
            command.args(["-e", "stderr"]);
        }
        if let Some(prefix) = &self.prefix {
            command.arg("-p").arg(prefix);
        }
        command.arg("-c").arg(&self.main_file).args(args);
        let output = process::run(&mut command, COMMAND_LIMIT).map_err(|e| e.to_string())?;
        if output.is_success() { Ok(()) } else { Err(output.stderr.trim().to_owned()) }
    }

    /// Returns the end of nginx's error log; nothing where it cannot be read.
    fn log_tail(&self) -> String {
        files::last_lines(&self.error_log, LOG_TAIL_LINES).unwrap_or_default().join("\n")
    }
}

/// Asks nginx's program for its version, once for each file that it was.
fn version(program: &Path) -> Option<Version> {
    let stamp = fs::metadata(program)
        .ok()
        .map(|data| (MetadataExt::ino(&data), data.len(), data.modified().ok()));
    let versions = || VERSIONS.lock().unwrap_or_else(PoisonError::into_inner);
    let known = versions().get(program).copied();
    if let Some((was, version)) = known
        && Some(was) == stamp
    {
        return Some(version);
    }
    let output = process::run(Command::new(program).arg("-V"), COMMAND_LIMIT).ok()?;
    let text = format!("{}{}", output.stderr, output.stdout);
    let version = guanka_parse::nginx::version(&text).known().map(|v| v.number)?;
    if let Some(stamp) = stamp {
        versions().insert(program.to_owned(), (stamp, version));
    }
    Some(version)
}

/// Returns a master's children that are workers, old ones that are shutting down among them.
fn workers(master: u32) -> Workers {
    let Ok(entries) = fs::read_dir("/proc") else { return Workers::new() };
    let pids = entries.flatten().filter_map(|e| e.file_name().to_str()?.parse::<u32>().ok());
    pids.filter_map(|pid| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name may hold anything, so fields are counted behind its closing bracket.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let is_dead = fields.first() == Some(&"Z");
        let parent: u32 = fields.get(1)?.parse().ok()?;
        (parent == master && !is_dead).then(|| Some((pid, fields.get(19)?.parse().ok()?)))?
    })
    .collect()
}

/// Returns the files that match a pattern whose last part may hold one `*`.
fn matching(pattern: &Path) -> Vec<String> {
    let name = pattern.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let Some((before, after)) = name.split_once('*') else {
        return vec![pattern.to_string_lossy().into_owned()];
    };
    let folder = pattern.parent().unwrap_or(Path::new("/"));
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    entries
        .flatten()
        .map(|e| e.file_name().to_string_lossy().into_owned())
        .filter(|n| {
            let is_long = n.len() >= before.len() + after.len();
            is_long && !n.starts_with('.') && n.starts_with(before) && n.ends_with(after)
        })
        .map(|n| folder.join(n).to_string_lossy().into_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::version;

    #[test]
    fn a_program_is_asked_again_once_it_is_another() {
        let dir = tempfile::tempdir().expect("a folder");
        let program = dir.path().join("nginx");
        let count = dir.path().join("asked");
        let write = |number: &str| {
            let beside = dir.path().join("beside");
            let text = format!(
                "#!/bin/sh\necho x >> {}\necho 'nginx version: nginx/{number}' >&2\n",
                count.display()
            );
            fs::write(&beside, text).expect("written");
            fs::set_permissions(&beside, fs::Permissions::from_mode(0o755)).expect("set");
            fs::rename(&beside, &program).expect("put there");
        };
        write("1.22.1");
        assert_eq!([version(&program), version(&program)], [Some((1, 22, 1)); 2]);
        assert_eq!(fs::read_to_string(&count).expect("asked"), "x\n");
        write("1.30.0");
        assert_eq!(version(&program), Some((1, 30, 0)));
        fs::remove_file(&program).expect("removed");
        assert_eq!(version(&program), None);
    }
}
