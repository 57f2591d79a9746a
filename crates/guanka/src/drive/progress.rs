//! What a person sees while a release is under way: a line when a step begins and ends, a moving
//! line on a terminal in between, and one JSON object per event for machines.

use std::cell::{Cell, RefCell};
use std::io::{IsTerminal, Write};
use std::time::Instant;

use guanka_core::checks::CheckRun;
use guanka_core::facts::release::Manifest;
use guanka_core::gates::Judgement;
use guanka_core::name::Digest;
use guanka_core::quantity::Bytes;
use guanka_core::rollout::describe;
use guanka_core::rollout::state::{Rollout, State};
use guanka_core::rollout::verdict::Verdict;
use guanka_core::say::Said;
use guanka_world::transport::wire::ArmView;
use serde_json::json;

use crate::terminal::{Terminal, width};

/// Tells how a rollout goes.
pub(crate) struct Progress {
    terminal: Terminal,
    is_live: bool,
    began: Instant,
    step: RefCell<Instant>,
    shown: RefCell<String>,
    noted: RefCell<Option<Instant>>,
    was_ready: Cell<Option<u32>>,
}

impl Progress {
    /// Begins to tell.
    pub(crate) fn new(terminal: &Terminal, rollout: &Rollout) -> Self {
        let is_live = !terminal.json && std::io::stderr().is_terminal() && terminal.color;
        let progress = Self {
            terminal: *terminal,
            is_live,
            began: Instant::now(),
            step: RefCell::new(Instant::now()),
            shown: RefCell::default(),
            noted: RefCell::default(),
            was_ready: Cell::new(None),
        };
        progress.say("state", rollout.state.code(), &describe::rollout(rollout));
        progress
    }

    /// Tells that the rollout has moved.
    pub(crate) fn moved(&self, before: &Rollout, after: &Rollout) {
        if before.state.code() == after.state.code() && !is_new_part(before, after) {
            return;
        }
        let took = self.step.replace(Instant::now()).elapsed().as_millis() as u64;
        self.was_ready.set(None);
        if self.terminal.json {
            let event = json!({
                "schema": 1,
                "event": "state",
                "state": after.state.code(),
                "before": before.state.code(),
                "took_ms": took,
                "says": describe::rollout(after),
            });
            self.terminal.line(&event.to_string());
        } else {
            let secs = self.began.elapsed().as_secs_f64();
            let text = describe::rollout(after);
            self.clear();
            self.terminal.note(&format!("{secs:6.1}s  {}", self.terminal.said(&text)));
        }
    }

    /// Tells how far a long effect is.
    pub(crate) fn working(&self, said: &Said) {
        if self.terminal.json || said.en == "begun" {
            return;
        }
        let text = self.terminal.said(said).to_owned();
        if self.is_live {
            let secs = self.began.elapsed().as_secs_f64();
            let line = format!("{secs:6.1}s    {text}");
            self.clear();
            let _ = write!(std::io::stderr().lock(), "{line}");
            *self.shown.borrow_mut() = line;
        } else if self.is_time_to_note() {
            let secs = self.began.elapsed().as_secs_f64();
            self.terminal.note(&format!("{secs:6.1}s    {text}"));
        }
    }

    /// Tells what a gate sees now.
    pub(crate) fn judged(&self, judgement: &Judgement) {
        if self.terminal.json {
            let event = json!({
                "schema": 1,
                "event": "judged",
                "gate": judgement.gate,
                "verdict": judgement.verdict.code(),
                "faults": judgement.faults.iter().map(|fault| &fault.said).collect::<Vec<_>>(),
                "objectives": judgement.objectives.iter().map(|o| json!({
                    "slo": o.slo, "route": o.route, "n": o.n, "x": o.x, "lower": o.lower,
                    "upper": o.upper, "limit": o.limit, "verdict": o.verdict.code(),
                })).collect::<Vec<_>>(),
            });
            self.terminal.line(&event.to_string());
            return;
        }
        let worst = judgement
            .objectives
            .iter()
            .max_by_key(|objective| objective.verdict)
            .map(|objective| objective.sentence.clone());
        let fault = judgement.faults.first().map(|fault| fault.said.clone());
        let decided = matches!(judgement.verdict, Verdict::Bad | Verdict::Good);
        if let Some(said) = fault.or(worst) {
            if decided {
                let title = judgement.gate.title();
                let verdict = judgement.verdict.title();
                let text = format!(
                    "{}: {} — {}",
                    self.terminal.text(&title),
                    self.terminal.text(&verdict),
                    self.terminal.said(&said)
                );
                self.working(&Said::new(text.clone(), text));
            } else {
                self.working(&said);
            }
        }
    }

    /// Tells what a gate needs before it can prove anything.
    pub(crate) fn foretold(&self, said: &Said) {
        self.say("needs", "needs", &Said::new(format!("  {}", said.zh), format!("  {}", said.en)));
    }

    /// Tells what the static checks found.
    pub(crate) fn checked(&self, run: &CheckRun) {
        let (findings, block) = (run.findings.len(), run.blocking());
        let unknown = run.unknowns.len();
        self.note(&Said::new(
            format!("静态检查:发现 {findings} 个,其中 {block} 个拦截,{unknown} 个无法判断"),
            format!("static checks: {findings} findings, {block} block, {unknown} unknown"),
        ));
    }

    /// Tells what was built.
    pub(crate) fn built(&self, release: &Digest, go: &str, manifest: &Manifest) {
        let size: u64 = manifest.files.iter().map(|file| file.size_bytes).sum();
        let (short, mega) = (release.short(), Bytes(size).0 as f64 / f64::from(1 << 20));
        self.note(&Said::new(
            format!("已用 {go} 构建 {short},{mega:.1} MB"),
            format!("built {short} with {go}, {mega:.1} MB"),
        ));
    }

    /// Returns whether a candidate that was ready no longer is: the agent counts the declared
    /// failures itself, so one look is enough. It begins anew with each step.
    pub(crate) fn lost_readiness(&self, arm: &ArmView) -> bool {
        if arm.is_ready {
            self.was_ready.set(arm.pid);
            return false;
        }
        // Not known to be ready is no loss: an agent that was started anew has to ask first.
        self.was_ready.get().is_some() && (arm.is_failing || arm.pid.is_none())
    }

    /// Ends the moving line.
    pub(crate) fn done(&self) {
        self.clear();
    }

    /// Tells what happened beside the steps.
    pub(crate) fn note(&self, said: &Said) {
        self.say("note", "note", said);
    }

    fn say(&self, event: &str, code: &str, said: &Said) {
        if self.terminal.json {
            let event = json!({ "schema": 1, "event": event, "state": code, "says": said });
            self.terminal.line(&event.to_string());
        } else {
            self.clear();
            let secs = self.began.elapsed().as_secs_f64();
            self.terminal.note(&format!("{secs:6.1}s  {}", self.terminal.said(said)));
        }
    }

    /// Where nobody watches a terminal, a line every ten seconds is enough.
    fn is_time_to_note(&self) -> bool {
        let mut noted = self.noted.borrow_mut();
        if noted.is_some_and(|at| at.elapsed().as_secs() < 10) {
            return false;
        }
        *noted = Some(Instant::now());
        true
    }

    fn clear(&self) {
        let mut shown = self.shown.borrow_mut();
        if !shown.is_empty() {
            let blank = " ".repeat(width(&shown));
            let _ = write!(std::io::stderr().lock(), "\r{blank}\r");
            shown.clear();
        }
    }
}

/// Returns whether a state of the same name has gone on to its next part: a canary's step, a host.
fn is_new_part(before: &Rollout, after: &Rollout) -> bool {
    match (&before.state, &after.state) {
        (State::Canary { step: a, .. }, State::Canary { step: b, .. }) => a != b,
        (State::Staged { attempt: a }, State::Staged { attempt: b }) => a != b,
        (State::Promoting { turn: a }, State::Promoting { turn: b }) => a != b,
        _ => false,
    }
}
