//! A machine: systemd as its first process, an overlay as its file system, a network namespace of
//! its own with one wire to the namespace that its users and its administrators sit in.

mod net;
pub(crate) mod rootfs;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::process;
pub(crate) use net::Wire;

/// systemd comes up in about a second; a busy machine takes longer.
const BOOT_LIMIT: Duration = Duration::from_secs(60);
/// One command in a machine.
const ASK_LIMIT: Duration = Duration::from_secs(120);
/// How long a machine may take to go down in order.
const HALT_LIMIT: Duration = Duration::from_secs(60);

/// Puts the launcher into control groups of its own, then becomes it: what systemd-nspawn makes are
/// children of its caller's groups, and two machines would share them.
const LAUNCH: &str = "for d in $GROUPS_OF_MACHINE; do mkdir -p \"$d\" && echo $$ >\"$d/cgroup.procs\"; done; exec \"$@\"";

/// The controllers of version 1 that systemd enforces limits with.
const CONTROLLERS: &[&str] = &["cpu", "cpuacct", "memory", "pids"];

/// Which control groups a machine sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Groups {
    /// Those of the machine that runs it.
    Given,
    /// Version 2 alone, which is all that newer systemds know.
    Unified,
}

/// A machine that runs.
pub(crate) struct Machine {
    folder: PathBuf,
    name: String,
    groups: Vec<PathBuf>,
    sees: Groups,
    pub(crate) wire: Wire,
    launcher: Option<Child>,
    leader: u32,
}

impl Machine {
    /// Lays a machine out in a folder and boots it. `prepare` gets its file system before.
    pub(crate) fn boot(
        (rootfs, sees): (&Path, Groups),
        folder: &Path,
        name: &str,
        prepare: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<Self> {
        for part in ["up", "work", "root"] {
            let path = folder.join(part);
            fs::create_dir_all(&path).with_context(|| format!("make {}", path.display()))?;
        }
        let wire = Wire::new(name)?;
        let mut machine = Self {
            folder: folder.to_owned(),
            name: name.to_owned(),
            groups: own_groups(name)?,
            sees,
            wire,
            launcher: None,
            leader: 0,
        };
        let shown = |part: &str| folder.join(part).display().to_string();
        let options = format!(
            "lowerdir={},upperdir={},workdir={}",
            rootfs.display(),
            shown("up"),
            shown("work")
        );
        let root = machine.root();
        let mut mount = process::clean(Path::new("mount"));
        mount.args(["-t", "overlay", "overlay", "-o", &options]).arg(&root);
        process::run(&mut mount, &folder.join("mount.log"), ASK_LIMIT)?;
        prepare(&root)?;
        machine.start()?;
        Ok(machine)
    }

    /// Returns where its file system is seen from outside.
    pub(crate) fn root(&self) -> PathBuf {
        self.folder.join("root")
    }

    /// Boots it from what its disk holds.
    pub(crate) fn start(&mut self) -> Result<()> {
        ensure!(self.launcher.is_none(), "{} runs already", self.name);
        let log = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.folder.join("console.log"))
            .context("open the console's log")?;
        let groups: Vec<String> = self.groups.iter().map(|g| g.display().to_string()).collect();
        let mut command = process::clean(Path::new("sh"));
        command.env("GROUPS_OF_MACHINE", groups.join(" "));
        if self.sees == Groups::Unified {
            command.env("SYSTEMD_NSPAWN_UNIFIED_HIERARCHY", "1");
        }
        command.args(["-c", LAUNCH, "launch", "setsid", "-w", "systemd-nspawn", "-q", "-b", "-D"]);
        command.arg(self.root()).args(["--register=no", "--keep-unit", "--console=pipe", "-M"]);
        command.arg(&self.name);
        command.arg(format!("--network-namespace-path=/run/netns/{}", self.wire.machine));
        let again = log.try_clone().context("share the console's log")?;
        let child = command.stdin(Stdio::null()).stdout(log).stderr(again).spawn();
        let child = child.context("start systemd-nspawn")?;
        let launcher = child.id();
        self.launcher = Some(child);
        self.leader = process::wait_for("the machine's first process", BOOT_LIMIT, || {
            descendant(launcher, "systemd")
        })
        .with_context(|| self.console())?;
        process::wait_for("the machine runs", BOOT_LIMIT, || {
            let said = self.run(&["systemctl", "is-system-running"]);
            // It ends with 1 for "degraded" and for what is on its way.
            let text = format!("{said:?}");
            (said.is_ok() || text.contains("degraded")).then_some(())
        })
        .with_context(|| self.console())
    }

    /// Lets its systemd enforce limits of memory and processor time: it is given its own part of
    /// each controller to write to, and looks again. Returns whether limits hold here.
    pub(crate) fn enforce_limits(&self) -> Result<bool> {
        for controller in CONTROLLERS {
            let mount = format!("/sys/fs/cgroup/{controller}");
            if self.run(&["mount", "-o", "remount,bind,rw", &mount]).is_err() {
                return Ok(false);
            }
        }
        self.run(&["systemctl", "daemon-reexec"])?;
        let limit = ["--property=MemoryMax=64M", "--property=CPUQuota=50%"];
        let unit = "--unit=guanka-lab-limits";
        let words = ["systemd-run", "--quiet", unit, limit[0], limit[1], "sleep", "60"];
        self.run(&words)?;
        let group = "/sys/fs/cgroup/memory/system.slice/guanka-lab-limits.service";
        let said = self.run(&["cat", &format!("{group}/memory.limit_in_bytes")]);
        self.run(&["systemctl", "stop", "guanka-lab-limits.service"])?;
        Ok(said.is_ok_and(|text| text.trim() == "67108864"))
    }

    /// Runs a command in the machine and returns what it said.
    pub(crate) fn run(&self, words: &[&str]) -> Result<String> {
        process::run(&mut self.command(words), &self.log(), ASK_LIMIT)
    }

    /// Builds a command in the machine.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = process::clean(Path::new("nsenter"));
        command.args(["-t", &self.leader.to_string(), "-a", "--"]).args(words);
        command
    }

    /// Returns whether a unit is active.
    pub(crate) fn is_active(&self, unit: &str) -> bool {
        self.run(&["systemctl", "is-active", "--quiet", unit]).is_ok()
    }

    /// Takes the power away: every process dies at once.
    pub(crate) fn cut_power(&mut self) -> Result<()> {
        kill(self.leader, rustix::process::Signal::KILL)?;
        self.gone()
    }

    fn gone(&mut self) -> Result<()> {
        let Some(mut child) = self.launcher.take() else { return Ok(()) };
        let ended = process::wait_for("the machine goes down", HALT_LIMIT, || {
            child.try_wait().ok().flatten()
        });
        self.leader = 0;
        ended.map(|_| ())
    }

    fn log(&self) -> PathBuf {
        static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        self.folder.join(format!("ask-{}.log", number % 64))
    }

    fn console(&self) -> String {
        let text = fs::read_to_string(self.folder.join("console.log")).unwrap_or_default();
        let last: Vec<&str> = text.lines().rev().take(5).collect();
        format!("{}'s console: {}", self.name, last.join(" | "))
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // Best effort in each: what is not there any more needs no end.
        if self.leader != 0 {
            let _ = self.cut_power();
        }
        let mut umount = process::clean(Path::new("umount"));
        let _ = process::run(umount.arg(self.root()), &self.folder.join("umount.log"), ASK_LIMIT);
        for group in &self.groups {
            remove_groups(group);
        }
    }
}

/// Returns this process's groups in the hierarchies that systemd uses, with one more below them.
fn own_groups(name: &str) -> Result<Vec<PathBuf>> {
    let text = fs::read_to_string("/proc/self/cgroup").context("read /proc/self/cgroup")?;
    let of = |wanted: &str| {
        text.lines().find_map(|line| {
            let (_, rest) = line.split_once(':')?;
            let (kind, path) = rest.split_once(':')?;
            (kind == wanted).then(|| path.trim_matches('/').to_owned())
        })
    };
    let mut hierarchies = vec![("systemd", "name=systemd"), ("unified", "")];
    hierarchies.extend(CONTROLLERS.iter().map(|controller| (*controller, *controller)));
    let mount = |folder: &str| Path::new("/sys/fs/cgroup").join(folder);
    let there = hierarchies.iter().filter(|(folder, _)| mount(folder).is_dir());
    Ok(there
        .filter_map(|(folder, kind)| of(kind).map(|own| mount(folder).join(own).join(name)))
        .collect())
}

/// Removes a group and those below it, innermost first; they are empty by then.
fn remove_groups(group: &Path) {
    let below = fs::read_dir(group).into_iter().flatten().flatten();
    for entry in below.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
        remove_groups(&entry.path());
    }
    let _ = fs::remove_dir(group);
}

/// Returns the first process below another one that has a name.
fn descendant(pid: u32, name: &str) -> Option<u32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    let children = children.split_whitespace().filter_map(|word| word.parse::<u32>().ok());
    children.into_iter().find_map(|child| {
        let comm = fs::read_to_string(format!("/proc/{child}/comm")).unwrap_or_default();
        if comm.trim() == name { Some(child) } else { descendant(child, name) }
    })
}

fn kill(pid: u32, signal: rustix::process::Signal) -> Result<()> {
    let Some(pid) = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw) else {
        bail!("no process {pid}");
    };
    match rustix::process::kill_process(pid, signal) {
        Err(error) if error != rustix::io::Errno::SRCH => {
            Err(io::Error::from(error)).with_context(|| format!("end process {pid:?}"))
        }
        _ => Ok(()),
    }
}
