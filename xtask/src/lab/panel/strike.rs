//! Kills one process of guanka at a chosen step of its work: strace lets it come to a system call
//! that changes something, for the so-manieth time in one thread, and kills it there.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};

use super::ground::Ground;
use crate::crash::guanka::{Half, agents};
use crate::lab::bad_input::program::{Answer, Lang};
use crate::process;
use crate::setup;

/// How long strace may take to be there, and to go.
const LIMIT: Duration = Duration::from_secs(20);
/// What changes files and processes: the helper's work is made of it.
const CHANGES: &str = "rename,renameat,renameat2,unlink,unlinkat,kill";
/// The worker's steps are questions to the helper, one connection each.
const QUESTIONS: &str = "connect";
/// The command's steps are requests to the worker and lines for people.
const REQUESTS: &str = "write,sendto,sendmsg";

/// Who is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Victim {
    Command,
    Worker,
    Helper,
}

/// One kill: who, and at which of its steps.
#[derive(Clone, Copy, Debug)]
pub(super) struct Blow<'a> {
    pub(super) victim: Victim,
    pub(super) step: u32,
    /// Only steps that touch this file count.
    pub(super) path: Option<&'a Path>,
}

/// What a struck call came to.
pub(super) struct Struck {
    /// The victim was killed; else it had fewer steps than that.
    pub(super) was_killed: bool,
    pub(super) answer: Answer,
}

impl Victim {
    pub(super) const ALL: [Self; 3] = [Self::Command, Self::Worker, Self::Helper];

    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Command => "command",
            Self::Worker => "worker",
            Self::Helper => "helper",
        }
    }

    const fn steps(self) -> &'static str {
        match self {
            Self::Command => REQUESTS,
            Self::Worker => QUESTIONS,
            Self::Helper => CHANGES,
        }
    }
}

impl Blow<'_> {
    fn strace(&self, ground: &Ground) -> Command {
        let steps = self.victim.steps();
        let mut command = process::clean(Path::new("strace"));
        command.args(["-o", "/dev/null", "-e", &format!("trace={steps}")]);
        command.args(["-e", &format!("inject={steps}:signal=SIGKILL:when={}", self.step)]);
        if let Some(path) = self.path {
            command.arg("-P").arg(path);
        }
        command.current_dir(&ground.folder);
        command
    }

    /// Makes a call whose victim is killed at the step, should it come to it.
    pub(super) fn strike(&self, ground: &Ground, words: &[&str]) -> Result<Struck> {
        setup::ensure_programs(&[("strace", "strace")])?;
        // Brings the agent up where an earlier blow has ended it.
        ground.call(&["status"])?;
        match self.victim {
            Victim::Command => self.strike_command(ground, words),
            Victim::Worker => self.strike_half(ground, words, Half::Worker),
            Victim::Helper => self.strike_half(ground, words, Half::Helper),
        }
    }

    fn strike_command(&self, ground: &Ground, words: &[&str]) -> Result<Struck> {
        let project = ground.project.to_str().unwrap_or_default();
        let own = ground.guanka.command(Lang::En, &[words, &["-C", project]].concat());
        let mut strace = self.strace(ground);
        strace.arg(own.get_program()).args(own.get_args());
        for (key, value) in own.get_envs() {
            strace.env(key, value.unwrap_or_default());
        }
        let answer = ground.guanka.start_command(strace, &words.join(" "))?.end()?;
        // strace ends as its victim did: by the signal, with no code.
        Ok(Struck { was_killed: answer.exit == -1, answer })
    }

    fn strike_half(&self, ground: &Ground, words: &[&str], half: Half) -> Result<Struck> {
        let root = &ground.host.root;
        let find = || agents(root).into_iter().find(|(found, _)| *found == half);
        let (_, pid) = process::wait_for("the agent runs", LIMIT, find)?;
        let said = ground.folder.join("strace.said");
        let log = fs::File::create(&said).context("write what strace says")?;
        let mut strace = self.strace(ground);
        strace.args(["-f", "-p", &pid.as_raw_nonzero().to_string()]);
        strace.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let tracer = Tracer(strace.spawn().context("start strace")?);
        process::wait_for("strace is there", LIMIT, || {
            fs::read_to_string(&said).is_ok_and(|text| text.contains("attached")).then_some(())
        })?;
        let answer = ground.call(words)?;
        let was_killed = !is_alive(pid);
        drop(tracer);
        Ok(Struck { was_killed, answer })
    }
}

/// A strace that lets go of whom it traces when it is dropped.
struct Tracer(Child);

impl Drop for Tracer {
    fn drop(&mut self) {
        if let Some(pid) = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw) {
            // It has ended where its victim has.
            let _ = kill_process(pid, Signal::INT);
        }
        let ended = process::wait_for("strace ends", LIMIT, || self.0.try_wait().ok().flatten());
        if ended.is_err() {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
}

fn is_alive(pid: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()));
    stat.is_ok_and(|text| !text.contains(") Z "))
}
