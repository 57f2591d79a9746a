//! The stages of the suite, in order: what is quick to fail comes first, what needs the machine to
//! itself last. A new stage is one entry here.

use std::path::Path;

use anyhow::{Context, Result};

use crate::{crash, demo, lab, setup, sim, tidy};

/// What a stage does.
#[derive(Clone, Copy)]
pub(super) enum Work {
    /// A chore of this program.
    Own(fn(&Path) -> Result<()>),
    /// Cargo with these arguments.
    Cargo(&'static [&'static str]),
    /// Cargo's tests with these arguments; each test counts.
    Tests(&'static [&'static str]),
}

/// A stage of the suite.
#[derive(Clone, Copy)]
pub(super) struct Stage {
    /// Its name.
    pub(super) name: &'static str,
    /// What it does.
    pub(super) work: Work,
}

const fn stage(name: &'static str, work: Work) -> Stage {
    Stage { name, work }
}

/// The suite.
pub(super) const STAGES: [Stage; 11] = [
    stage("setup", Work::Own(|_| setup::ensure().map(|_| ()))),
    stage("tidy", Work::Own(tidy::run)),
    stage("fmt", Work::Cargo(&["fmt", "--all", "--check"])),
    stage("clippy", Work::Cargo(CLIPPY)),
    stage("tests", Work::Tests(&["test", "--workspace", "--locked", "--no-fail-fast"])),
    stage("sim", Work::Own(sim::run)),
    stage("demo-short", Work::Own(|root| demo::run(root, demo::Wish::short()))),
    stage("bad-input", Work::Own(|root| lab::run(root, "bad-input"))),
    stage("lab-panel", Work::Own(lab::panel_short)),
    stage("lab-host", Work::Own(lab::host_where_possible)),
    stage("crash-short", Work::Own(crash_short)),
];

const CLIPPY: &[&str] =
    &["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"];

fn crash_short(root: &Path) -> Result<()> {
    crash::run(root, crash::Wish::read(&["--short"]).context("read --short")?)
}
