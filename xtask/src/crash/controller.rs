//! `guanka serve` as a process of its own: started, killed, asked to end, started again.

use std::fs::{self, File};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::process;

/// Names the controller's folder to guanka: no command here meets a controller of the machine's.
pub(crate) const FOLDER: &str = "GUANKA_SERVE_DIR";
/// It answers within a second; the machine may be busy.
const LIMIT: Duration = Duration::from_secs(30);

/// A controller that runs.
pub(crate) struct Controller {
    child: Child,
    folder: PathBuf,
}

impl Controller {
    /// Starts it; `serve` is the command, whose folder is known to its environment, too.
    pub(crate) fn start(mut serve: Command, folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
        let log = folder.join("log");
        let out = File::options().create(true).append(true).open(&log).context("write a log")?;
        let again = out.try_clone().context("share the log")?;
        serve.env(FOLDER, folder).stdin(Stdio::null()).stdout(out).stderr(again);
        let child = serve.spawn().context("start guanka serve")?;
        let controller = Self { child, folder: folder.to_owned() };
        let socket = folder.join("serve.sock");
        let answers = || UnixStream::connect(&socket).ok();
        process::wait_for("guanka serve answers", LIMIT, answers)?;
        Ok(controller)
    }

    /// Kills it, now.
    pub(crate) fn kill(&mut self) -> Result<()> {
        self.child.kill().context("kill guanka serve")?;
        self.child.wait().context("wait for guanka serve").map(|_| ())
    }

    /// Asks it to end, and returns its exit code.
    pub(crate) fn ask_to_end(&mut self) -> Result<i32> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        kill_process(pid.context("a process number")?, Signal::TERM).context("end guanka serve")?;
        let ended = || self.child.try_wait().transpose();
        let status = process::wait_for("guanka serve ends", LIMIT, ended)?;
        Ok(status.context("wait for guanka serve")?.code().unwrap_or(-1))
    }

    /// Returns what it has written into its log, over all of its lives.
    pub(crate) fn said(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// Waits until nothing stands on its list.
    pub(crate) fn is_idle(&self) -> Result<()> {
        let path = self.folder.join("rollouts.json");
        let empty = || {
            let text = fs::read_to_string(&path).ok()?;
            let list: Value = serde_json::from_str(&text).ok()?;
            list["rollouts"].as_array()?.is_empty().then_some(())
        };
        let waited = process::wait_for("the controller's list is empty", LIMIT, empty);
        waited.with_context(|| fs::read_to_string(&path).unwrap_or_default())?;
        let names = fs::read_dir(&self.folder).context("list the controller's folder")?;
        let known = ["log", "rollouts.json", "serve.lock", "serve.sock"];
        for name in names.flatten().map(|entry| entry.file_name()) {
            let name = name.to_string_lossy();
            ensure!(known.contains(&&*name), "{name} is left in the controller's folder");
        }
        Ok(())
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        // Killed before it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
