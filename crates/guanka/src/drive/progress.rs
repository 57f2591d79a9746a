//! What the driver tells of its rollout: a line when a step begins and ends, what is going on in
//! between, and the little it must remember to tell it.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::Instant;

use guanka_core::checks::CheckRun;
use guanka_core::facts::release::Manifest;
use guanka_core::gates::Judgement;
use guanka_core::name::Digest;
use guanka_core::quantity::Bytes;
use guanka_core::report::release::ReleaseReport;
use guanka_core::rollout::describe;
use guanka_core::rollout::state::{Rollout, State};
use guanka_core::say::Said;
use guanka_world::transport::wire::ArmView;

use super::told::{Ear, Told, ToldFailure};
use crate::failure::Failure;

/// Tells how a rollout goes.
pub(crate) struct Progress {
    ear: Arc<dyn Ear>,
    step: RefCell<Instant>,
    was_ready: Cell<Option<u32>>,
}

impl Progress {
    /// Begins to tell.
    pub(crate) fn new(ear: Arc<dyn Ear>, rollout: &Rollout) -> Self {
        let step = RefCell::new(Instant::now());
        let progress = Self { ear, step, was_ready: Cell::new(None) };
        progress.say("state", rollout.state.code(), describe::rollout(rollout));
        progress
    }

    /// Tells that the rollout has moved.
    pub(crate) fn moved(&self, before: &Rollout, after: &Rollout) {
        if before.state.code() == after.state.code() && !is_new_part(before, after) {
            return;
        }
        let took_ms = self.step.replace(Instant::now()).elapsed().as_millis() as u64;
        self.was_ready.set(None);
        self.ear.hear(Told::Moved {
            before: before.state.code().to_owned(),
            state: after.state.code().to_owned(),
            took_ms,
            says: describe::rollout(after),
        });
    }

    /// Tells how far a long effect is.
    pub(crate) fn working(&self, said: &Said) {
        self.ear.hear(Told::Working { says: said.clone() });
    }

    /// Tells what a gate sees now.
    pub(crate) fn judged(&self, judgement: &Judgement) {
        self.ear.hear(Told::Judged { judgement: Box::new(judgement.clone()) });
    }

    /// Tells what a gate needs before it can prove anything.
    pub(crate) fn foretold(&self, said: &Said) {
        let said = Said::new(format!("  {}", said.zh), format!("  {}", said.en));
        self.say("needs", "needs", said);
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

    /// Tells what happened beside the steps.
    pub(crate) fn note(&self, said: &Said) {
        self.say("note", "note", said.clone());
    }

    /// Tells of a failure that the rollout itself has taken in.
    pub(crate) fn failed(&self, failure: &Failure) {
        self.ear.hear(Told::Failed { failure: ToldFailure::from(failure) });
    }

    /// Tells the end.
    pub(crate) fn reported(&self, report: &ReleaseReport) {
        self.ear.hear(Told::Reported { report: Box::new(report.clone()) });
    }

    fn say(&self, event: &str, state: &str, says: Said) {
        self.ear.hear(Told::Line { event: event.to_owned(), state: state.to_owned(), says });
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
