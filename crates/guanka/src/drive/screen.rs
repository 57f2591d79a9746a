//! What a person sees while a release is under way: a line when a step begins and ends, a moving
//! line on a terminal in between, and one JSON object per event for machines.

use std::io::{IsTerminal, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use guanka_core::gates::Judgement;
use guanka_core::rollout::verdict::Verdict;
use guanka_core::say::Said;
use serde_json::json;

use super::report;
use super::told::{Ear, Told};
use crate::failure::Failure;
use crate::terminal::{Terminal, failure, width};

/// Shows what is told.
pub(crate) struct Screen {
    terminal: Terminal,
    is_live: bool,
    began: Instant,
    moving: Mutex<Moving>,
}

/// The moving line, and when the last line in its place was written where nobody watches.
#[derive(Default)]
struct Moving {
    shown: String,
    noted: Option<Instant>,
}

impl Ear for Screen {
    fn hear(&self, told: Told) {
        self.show(self.began.elapsed(), told);
    }
}

impl Screen {
    /// Begins to show; times are counted from here.
    pub(crate) fn new(terminal: &Terminal) -> Self {
        let is_live = !terminal.json && std::io::stderr().is_terminal() && terminal.color;
        Self { terminal: *terminal, is_live, began: Instant::now(), moving: Mutex::default() }
    }

    /// Shows one thing that was told at a time after the beginning.
    pub(crate) fn show(&self, at: Duration, told: Told) {
        match told {
            Told::Moved { before, state, took_ms, says } => {
                let event = json!({
                    "schema": 1, "event": "state", "state": state, "before": before,
                    "took_ms": took_ms, "says": says,
                });
                self.line(at, &event, &says);
            }
            Told::Line { event, state, says } => {
                let object = json!({ "schema": 1, "event": event, "state": state, "says": says });
                self.line(at, &object, &says);
            }
            Told::Working { says } => self.working(at, &says),
            Told::Judged { judgement } => self.judged(at, &judgement),
            Told::Failed { failure: told } => {
                self.clear();
                if !self.terminal.json {
                    failure::show(&self.terminal, &Failure::from(told));
                }
            }
            Told::Reported { report } => {
                self.clear();
                report::show(&self.terminal, &report);
            }
        }
    }

    /// Ends the moving line.
    fn clear(&self) {
        self.wipe(&mut self.moving());
    }

    fn line(&self, at: Duration, event: &serde_json::Value, says: &Said) {
        if self.terminal.json {
            self.terminal.line(&event.to_string());
            return;
        }
        self.clear();
        let text = self.terminal.said(says);
        self.terminal.note(&format!("{:6.1}s  {text}", at.as_secs_f64()));
    }

    fn working(&self, at: Duration, said: &Said) {
        if self.terminal.json || said.en == "begun" {
            return;
        }
        let text = self.terminal.harmless(self.terminal.said(said));
        let line = format!("{:6.1}s    {text}", at.as_secs_f64());
        let mut moving = self.moving();
        if self.is_live {
            self.wipe(&mut moving);
            let _ = write!(std::io::stderr().lock(), "{line}");
            moving.shown = line;
        } else if moving.noted.is_none_or(|noted| noted.elapsed().as_secs() >= 10) {
            // Where nobody watches a terminal, a line every ten seconds is enough.
            moving.noted = Some(Instant::now());
            self.terminal.note(&line);
        }
    }

    fn judged(&self, at: Duration, judgement: &Judgement) {
        if self.terminal.json {
            self.terminal.line(&judged_event(judgement).to_string());
            return;
        }
        let worst = judgement
            .objectives
            .iter()
            .max_by_key(|objective| objective.verdict)
            .map(|objective| objective.sentence.clone());
        let fault = judgement.faults.first().map(|fault| fault.said.clone());
        let Some(said) = fault.or(worst) else { return };
        if !matches!(judgement.verdict, Verdict::Bad | Verdict::Good) {
            self.working(at, &said);
            return;
        }
        let text = format!(
            "{}: {} — {}",
            self.terminal.text(&judgement.gate.title()),
            self.terminal.text(&judgement.verdict.title()),
            self.terminal.said(&said)
        );
        self.working(at, &Said::new(text.clone(), text));
    }

    fn wipe(&self, moving: &mut Moving) {
        if !moving.shown.is_empty() {
            let blank = " ".repeat(width(&moving.shown));
            let _ = write!(std::io::stderr().lock(), "\r{blank}\r");
            moving.shown.clear();
        }
    }

    fn moving(&self) -> MutexGuard<'_, Moving> {
        self.moving.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Returns what a gate sees as one JSON object.
pub(crate) fn judged_event(judgement: &Judgement) -> serde_json::Value {
    json!({
        "schema": 1,
        "event": "judged",
        "gate": judgement.gate,
        "verdict": judgement.verdict.code(),
        "faults": judgement.faults.iter().map(|fault| &fault.said).collect::<Vec<_>>(),
        "objectives": judgement.objectives.iter().map(|o| json!({
            "slo": o.slo, "route": o.route, "n": o.n, "x": o.x, "lower": o.lower,
            "upper": o.upper, "limit": o.limit, "verdict": o.verdict.code(),
        })).collect::<Vec<_>>(),
    })
}
