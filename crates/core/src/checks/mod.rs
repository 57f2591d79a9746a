//! The checks: one file each, all of one shape. A check sees facts only, never text or a path, and
//! says finding, clean, unknown or not applicable; unknown is never clean.

mod defaults;
mod judgement;
mod names;
mod proxying;
mod run;
mod subject;

// BEGIN modules
pub mod ambient_next_upstream;
pub mod ambient_proxy_cache;
pub mod artifact_in_docroot;
pub mod drain_longer_than_stop_window;
pub mod keepalive_race;
pub mod listen_address_constant;
pub mod listen_error_swallowed;
pub mod orphan_after_stop;
pub mod plus_only_health_check;
pub mod pprof_on_public_mux;
pub mod service_runs_as_root;
pub mod sigterm_unhandled;
pub mod upstream_port_mismatch;
pub mod write_timeout_before_proxy;
pub mod wrong_machine;
// END modules

use serde::Serialize;

use crate::facts::{Facts, Reason};
use crate::finding::{Checkpoint, Confidence, Finding, FixKind, Severity};
use crate::say::{Said, Text};

pub use names::{find, nearest};
pub use run::{Allowed, CheckRun, Ending, Note, Unknown, run_all};

/// Every check, sorted by code.
pub static ALL: &[&Check] = &[
    // BEGIN checks
    &ambient_proxy_cache::CHECK,
    &ambient_next_upstream::CHECK,
    &artifact_in_docroot::CHECK,
    &wrong_machine::CHECK,
    &sigterm_unhandled::CHECK,
    &listen_error_swallowed::CHECK,
    &listen_address_constant::CHECK,
    &upstream_port_mismatch::CHECK,
    &plus_only_health_check::CHECK,
    &pprof_on_public_mux::CHECK,
    &orphan_after_stop::CHECK,
    &service_runs_as_root::CHECK,
    &keepalive_race::CHECK,
    &write_timeout_before_proxy::CHECK,
    &drain_longer_than_stop_window::CHECK,
    // END checks
];

/// What a check is, apart from what it finds.
pub struct Check {
    /// The short stable handle, `XX034`. Never reused.
    pub code: &'static str,
    /// The name that reads well after "allow": it names the fault.
    pub name: &'static str,
    /// The checkpoint it stands at.
    pub checkpoint: Checkpoint,
    /// What is wrong, in a few words.
    pub title: Text,
    /// Why it matters: what happens, measured where it was.
    pub why: Text,
    /// What to do.
    pub fix: Text,
    /// How bad it is as a rule.
    pub base: Severity,
    /// How sure it is at best.
    pub confidence: Confidence,
    /// How far a machine may mend it.
    pub fix_kind: FixKind,
    /// Why a risky fix is risky; empty for the others.
    pub why_risky: Text,
    /// A release must not go forward while this one is unknown.
    pub is_required: bool,
    /// The first version of guanka that has it.
    pub since: &'static str,
    /// What the article says about it and what is true; empty where it says nothing.
    pub article: Text,
    /// Where the reader can learn more.
    pub references: &'static [&'static str],
    /// Examples for people and for tests.
    pub examples: &'static [Example],
    /// The judgement.
    pub run: fn(&Facts) -> Outcome,
}

/// An example of a check.
pub struct Example {
    /// What must come out of it.
    pub expect: Expect,
    /// The files, by name: `main.go`, `nginx.conf`, `shop.ini`, `shop.service`, `guanka.toml`.
    pub files: &'static [(&'static str, &'static str)],
}

/// What must come out of an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// Must fire.
    Bad,
    /// Must be quiet.
    Good,
    /// Looks bad, is right, must be quiet.
    NearMiss,
    /// Cannot be told.
    Unknown,
}

/// What a check says. `Partly` keeps a small fault from hiding that a large one was not looked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// One or more faults.
    Found(Vec<Finding>),
    /// One or more faults, and beside them something that could not be told.
    Partly(Vec<Finding>, Vec<Missing>),
    /// Every fact that the decision needed is known, and there is no fault.
    Clean,
    /// Could not tell, and what was missing.
    Unknown(Vec<Missing>),
    /// The thing that the check is about is not there.
    NotApplicable,
}

/// A fact that was missing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Missing {
    /// Which fact, in words.
    pub what: Said,
    /// Why it is missing.
    pub reason: Reason,
}
