//! The panel's Go project: started by a script with nohup, stopped by a SIGTERM that nobody waits
//! for, alive as long as the process of its pid file is; its guard revives only what has such a file.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use super::{LIMIT, Panel, read, write};
use crate::process;

/// How long the panel gives a program before it looks whether its process is there.
const LOOK_AFTER: Duration = Duration::from_secs(1);

/// Becomes the user `www` of a host root in the same process.
const RUN_AS: &str = "/usr/bin/setpriv --reuid 1001 --regid 1001 --clear-groups ";

/// A Go project as the panel's database has it.
#[derive(Clone, Debug)]
pub(crate) struct GoProject {
    /// Its name.
    pub(crate) name: String,
    /// The program.
    pub(crate) program: PathBuf,
    /// What it is given.
    pub(crate) env: Vec<(String, String)>,
}

impl Panel {
    /// Returns a project's pid file.
    pub(crate) fn pid_file(&self, project: &GoProject) -> PathBuf {
        self.at("/var/tmp/gopids").join(format!("{}.pid", project.name))
    }

    /// Returns a project's process, if its pid file names a living one.
    pub(crate) fn project_pid(&self, project: &GoProject) -> Option<u32> {
        let pid: u32 = fs::read_to_string(self.pid_file(project)).ok()?.trim().parse().ok()?;
        is_alive(pid).then_some(pid)
    }

    /// Starts a project: whether it came up is told by its process alone.
    pub(crate) fn start_project(&self, project: &GoProject) -> Result<u32> {
        let script =
            self.at("/www/server/go_project/vhost/scripts").join(format!("{}.sh", project.name));
        write(&script, &self.script(project))?;
        fs::set_permissions(&script, fs::Permissions::from_mode(0o777))?;
        let mut command = process::clean(&script);
        command.process_group(0);
        process::run(&mut command, &self.log("start"), LIMIT)?;
        std::thread::sleep(LOOK_AFTER);
        match self.project_pid(project) {
            Some(pid) => Ok(pid),
            None => {
                // Not there is what the panel wants here.
                let _ = fs::remove_file(self.pid_file(project));
                bail!("启动失败")
            }
        }
    }

    /// Stops a project: a signal, and the pid file goes.
    pub(crate) fn stop_project(&self, project: &GoProject) -> Result<()> {
        let pid = self.project_pid(project).context("项目未启动")?;
        end(pid)?;
        fs::remove_file(self.pid_file(project)).context("remove the pid file")
    }

    /// Restarts it: the stop does not wait for the end, the start follows at once.
    pub(crate) fn restart_project(&self, project: &GoProject) -> Result<u32> {
        self.stop_project(project)?;
        self.start_project(project)
    }

    /// One turn of the guard: a project whose pid file names nobody is started again; one without a
    /// pid file is left alone. Returns whether it was started.
    pub(crate) fn guard(&self, project: &GoProject) -> Result<bool> {
        if !self.pid_file(project).exists() || self.project_pid(project).is_some() {
            return Ok(false);
        }
        self.start_project(project).map(|_| true)
    }

    fn script(&self, project: &GoProject) -> String {
        let folder = project.program.parent().unwrap_or(Path::new("/"));
        let exports: String =
            project.env.iter().map(|(name, value)| format!("export {name}={value}\n")).collect();
        format!(
            // The panel runs the script as the project's user; the output is opened before.
            "#!/bin/bash\nPATH=/bin:/sbin:/usr/bin:/usr/sbin:/usr/local/bin:/usr/local/sbin\n\
             export PATH\ncd {}\n{exports}nohup {RUN_AS}{} >> {} 2>&1 &\necho $! > {}\n",
            folder.display(),
            project.program.display(),
            self.at("/www/wwwlogs/go").join(format!("{}.log", project.name)).display(),
            self.pid_file(project).display(),
        )
    }
}

fn pid_of(pid: u32) -> Result<Pid> {
    let number = i32::try_from(pid).context("a process number")?;
    Pid::from_raw(number).context("a process number")
}

/// Asks a process to end.
pub(crate) fn end(pid: u32) -> Result<()> {
    kill_process(pid_of(pid)?, Signal::TERM).with_context(|| format!("end process {pid}"))
}

/// Returns whether a process is there and has not ended.
pub(crate) fn is_alive(pid: u32) -> bool {
    let stat = read(Path::new(&format!("/proc/{pid}/stat"))).unwrap_or_default();
    let is_there = pid_of(pid).is_ok_and(|pid| test_kill_process(pid).is_ok());
    is_there && !stat.contains(") Z ")
}

impl GoProject {
    /// Checks what the panel checks of a new project.
    pub(crate) fn checked(self) -> Result<Self> {
        let is_word = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        ensure!(is_word(&self.name), "a project's name has only word characters");
        Ok(self)
    }
}
