//! guanka as it is called here: built from this source, a short command run to its end with its
//! last line read as JSON, and a ship under way whose states are seen as they come.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::controller::{Controller, FOLDER};
use super::points::{Rehearsals, SPANS};
use crate::process;
use crate::setup::Tools;

/// The longest a command may take: a resume that ships on a machine where everything is killed.
const LIMIT: Duration = Duration::from_secs(120);

/// How one lane calls guanka.
pub(crate) struct Guanka {
    program: PathBuf,
    search: std::ffi::OsString,
    folder: PathBuf,
}

/// How a command ended.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// Its exit code; -1 when a signal ended it.
    pub(crate) exit: i32,
    /// Its last line.
    pub(crate) last: Value,
    /// Everything it said.
    pub(crate) said: String,
}

/// A ship under way.
pub(crate) struct Ship {
    child: Child,
    lines: Receiver<(Instant, String)>,
    began: Instant,
    /// The states it has entered, in order, each with its time.
    pub(crate) seen: Vec<(String, Instant)>,
    last: Value,
    /// When its output ended.
    ended: Option<Instant>,
}

/// Builds guanka; cargo shows its own progress. Returns where the program lies.
pub(crate) fn build(repository: &Path) -> Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "--release", "--locked", "-p", "guanka"]).current_dir(repository);
    let status = command.status().context("start cargo")?;
    ensure!(status.success(), "guanka does not build");
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let target = target.unwrap_or_else(|| "target".into());
    Ok(repository.join(target).join("release/guanka"))
}

/// A half of an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Half {
    /// The root half, which started the other one.
    Helper,
    /// The half without privileges.
    Worker,
}

/// Returns the halves of a root's agents, helpers first: `guanka agent --root ROOT` on their
/// command line.
pub(crate) fn agents(root: &Path) -> Vec<(Half, Pid)> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let wanted = [b"agent".as_slice(), b"--root", root.as_os_str().as_encoded_bytes()];
    let half = |number: i32| {
        let line = fs::read(format!("/proc/{number}/cmdline")).unwrap_or_default();
        let words: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
        let is_agent = words.first().is_some_and(|program| program.ends_with(b"guanka"))
            && words.get(1..4) == Some(&wanted);
        let is_worker = words.contains(&b"--worker".as_slice());
        let half = if is_worker { Half::Worker } else { Half::Helper };
        is_agent.then_some((half, Pid::from_raw(number)?))
    };
    let numbers = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let mut found: Vec<_> = numbers.filter_map(half).collect();
    found.sort_by_key(|(half, _)| *half);
    found
}

/// Kills the agents of a root; one that has ended meanwhile is what is wanted.
pub(crate) fn kill_agents(root: &Path, signal: Signal) {
    for (_, pid) in agents(root) {
        let _ = kill_process(pid, signal);
    }
}

/// Kills one half of a root's agent.
pub(crate) fn kill_half(root: &Path, half: Half) {
    for (_, pid) in agents(root).into_iter().filter(|(found, _)| *found == half) {
        let _ = kill_process(pid, Signal::KILL);
    }
}

impl Guanka {
    /// Prepares calls that find the Go toolchain first; what they say goes below `folder`.
    pub(crate) fn new(program: &Path, tools: &Tools, folder: &Path) -> Result<Self> {
        let own = tools.go.parent().map(Path::to_path_buf);
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = own.into_iter().chain(std::env::split_paths(&path));
        let search = std::env::join_paths(folders).context("put Go's folder on PATH")?;
        Ok(Self { program: program.to_owned(), search, folder: folder.to_owned() })
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(words).args(["--json", "--lang", "en"]).env("PATH", &self.search);
        command.env(FOLDER, self.controller());
        command
    }

    /// Returns the folder of the controller that these calls know; there need not be one.
    fn controller(&self) -> PathBuf {
        self.folder.join("serve")
    }

    /// Starts a controller for these calls.
    pub(crate) fn serve(&self) -> Result<Controller> {
        Controller::start(self.command(&["serve"]), &self.controller())
    }

    /// Runs a command to its end, whatever its exit code.
    pub(crate) fn ask(&self, words: &[&str]) -> Result<Answer> {
        let log = self.folder.join("guanka.log");
        let status = process::status(&mut self.command(words), &log, LIMIT)?;
        let said = fs::read_to_string(&log).unwrap_or_default();
        let last = said.lines().rev().find_map(|line| serde_json::from_str(line).ok());
        Ok(Answer { exit: status.code().unwrap_or(-1), last: last.unwrap_or(Value::Null), said })
    }

    /// Begins to ship a project.
    pub(crate) fn ship(&self, project: &Path) -> Result<Ship> {
        let errors = File::create(self.folder.join("ship.log")).context("write ship.log")?;
        let mut command = self.command(&["ship", "--project", &project.display().to_string()]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(errors);
        let began = Instant::now();
        let mut child = command.spawn().context("start guanka ship")?;
        let stdout = child.stdout.take().context("guanka's output")?;
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send((Instant::now(), line)).is_err() {
                    return;
                }
            }
        });
        Ok(Ship { child, lines, began, seen: Vec::new(), last: Value::Null, ended: None })
    }
}

impl Ship {
    /// Waits until a stretch begins; false when the ship has ended without it.
    pub(crate) fn reaches(&mut self, span: &str) -> Result<bool> {
        let end = self.began + LIMIT;
        while span != SPANS[0] && !self.seen.iter().any(|(state, _)| state == span) {
            if self.ended.is_some() {
                return Ok(false);
            }
            self.listen(end)?;
        }
        Ok(true)
    }

    /// Waits until it ends by itself.
    pub(crate) fn wait(&mut self) -> Result<Answer> {
        let end = Instant::now() + LIMIT;
        while self.ended.is_none() {
            self.listen(end)?;
        }
        let status =
            process::wait_for("guanka ship ends", LIMIT, || self.child.try_wait().transpose())?;
        let exit = status.context("wait for guanka ship")?.code().unwrap_or(-1);
        Ok(Answer { exit, last: self.last.clone(), said: self.last.to_string() })
    }

    /// Kills it, now.
    pub(crate) fn kill(&mut self) -> Result<()> {
        self.child.kill().context("kill guanka ship")?;
        self.child.wait().context("wait for guanka ship").map(|_| ())
    }

    /// Adds how long each stretch took.
    pub(crate) fn measure(&self, rehearsals: &mut Rehearsals) {
        let first = (SPANS[0].to_owned(), self.began);
        let known = |(state, _): &&(String, Instant)| SPANS.contains(&state.as_str());
        let starts: Vec<_> = [&first].into_iter().chain(self.seen.iter().filter(known)).collect();
        for (index, (state, at)) in starts.iter().enumerate() {
            let next = starts.get(index + 1).map(|(_, at)| *at).or(self.ended);
            let Some(span) = SPANS.into_iter().find(|span| span == state) else { continue };
            if let Some(next) = next {
                let took = next.duration_since(*at).as_millis() as u64;
                rehearsals.entry(span).or_default().push(took);
            }
        }
    }

    fn listen(&mut self, end: Instant) -> Result<()> {
        if Instant::now() >= end {
            bail!("guanka ship: not ended within {} s", LIMIT.as_secs());
        }
        match self.lines.recv_timeout(Duration::from_millis(200)) {
            Ok((at, line)) => {
                self.last = serde_json::from_str(&line)
                    .with_context(|| format!("guanka ship --json said no JSON: {line}"))?;
                if self.last["event"] == "state"
                    && let Some(state) = self.last["state"].as_str()
                {
                    self.seen.push((state.to_owned(), at));
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => self.ended = Some(Instant::now()),
        }
        Ok(())
    }
}

impl Drop for Ship {
    fn drop(&mut self) {
        // Waited for in order it has ended before.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
