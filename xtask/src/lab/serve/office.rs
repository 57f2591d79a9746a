//! What the cases share: the host root of the other parts, users, a controller.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::crash::controller::Controller;
use crate::crash::users::Users;
use crate::lab::bad_input::ground::Ground;
use crate::lab::bad_input::program::{Answer, Lang, Running};
use crate::process;
use crate::setup::Tools;

/// What a state or a line may take to come: a build and a start of the program lie between.
const LIMIT: Duration = Duration::from_secs(60);
/// The canary of the other parts, and one long enough to be interrupted in.
const STEP: &str = "50% 1s";
const LONG_STEP: &str = "50% 12s";

/// Everything a case needs.
pub(super) struct Office {
    /// First, so that it ends before the host that it would start an agent on.
    controller: Option<Controller>,
    /// From the first release on.
    users: Option<Users>,
    pub(super) ground: Ground,
}

impl Office {
    /// Lays the host out, starts users and a controller.
    pub(super) fn open(repository: &Path, tools: &Tools, guanka: PathBuf) -> Result<Self> {
        let ground = Ground::open(repository, tools, guanka)?;
        let mut office = Self { controller: None, users: None, ground };
        office.start()?;
        Ok(office)
    }

    /// Lets users in; from here on nobody may fail.
    pub(super) fn open_doors(&mut self) {
        self.users = Some(Users::start(self.ground.host.ports.shop));
    }

    /// Starts the controller, again.
    pub(super) fn start(&mut self) -> Result<()> {
        let guanka = &self.ground.guanka;
        let command = guanka.command(Lang::En, &["serve"]);
        self.controller = Some(Controller::start(command, &guanka.controller())?);
        Ok(())
    }

    /// Kills the controller.
    pub(super) fn kill(&mut self) -> Result<()> {
        self.controller.as_mut().context("a controller runs")?.kill()
    }

    /// Asks the controller to end; returns its exit code.
    pub(super) fn end(&mut self) -> Result<i32> {
        self.controller.as_mut().context("a controller runs")?.ask_to_end()
    }

    /// Returns the controller's log, over all of its lives.
    pub(super) fn controller_said(&self) -> String {
        self.controller.as_ref().map(Controller::said).unwrap_or_default()
    }

    /// Returns how often the controller has taken a rollout over.
    pub(super) fn taken_over(&self) -> usize {
        self.controller_said().matches(": taken over").count()
    }

    /// Returns the rollouts on the controller's list.
    pub(super) fn listed(&self) -> usize {
        let path = self.ground.guanka.controller().join("rollouts.json");
        let text = fs::read_to_string(path).unwrap_or_default();
        let list: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
        list["rollouts"].as_array().map_or(0, Vec::len)
    }

    /// Holds the host to what must be true between two cases.
    pub(super) fn is_tidy(&self) -> Result<()> {
        let controller = self.controller.as_ref().context("a controller runs")?;
        controller.is_idle()?;
        self.ground.restore()?;
        self.ground.still_serves()
    }

    /// Returns how many requests users sent, how many failed, and how the first one did.
    pub(super) fn users(&self) -> (u64, u64, Option<String>) {
        let Some(users) = &self.users else { return (0, 0, None) };
        let (sent, failed) = users.counts();
        (sent, failed, users.first_failure().map(|first| format!(": {first}")))
    }

    /// Makes the project a release with a canary that is long enough to be interrupted in.
    pub(super) fn long_release(&self, name: &str) -> Result<()> {
        self.ground.release(name)?;
        self.ground.rewrite("guanka.toml", STEP, LONG_STEP)
    }

    /// Begins a call about the project.
    pub(super) fn begin(&self, words: &[&str]) -> Result<Running> {
        self.ground.guanka.start(Lang::En, &self.ground.words(words))
    }

    /// Makes a call about the project.
    pub(super) fn call(&self, words: &[&str]) -> Result<Answer> {
        self.begin(words)?.end()
    }

    /// Waits until the controller drives the canary.
    pub(super) fn is_in_canary(&self) -> Result<()> {
        self.ground.wait_for_state("\"canary\"")?;
        let status = self.ground.status()?;
        ensure!(status["driver"]["seat"] == "controller", "who drives? {}", status["driver"]);
        Ok(())
    }
}

/// Waits until a call has said something.
pub(super) fn says(running: &Running, words: &str) -> Result<()> {
    let said = || running.so_far().contains(words).then_some(());
    process::wait_for(words, LIMIT, said).with_context(|| running.so_far())
}

/// Sends Ctrl-C to a call.
pub(super) fn interrupt(running: &Running) -> Result<()> {
    let pid = i32::try_from(running.pid()).ok().and_then(Pid::from_raw);
    kill_process(pid.context("a process number")?, Signal::INT).context("interrupt guanka")
}
