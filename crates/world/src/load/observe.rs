//! What others see of a run while it goes on: each answer, and the running totals.

use guanka_core::quantity::Millis;
use serde::{Deserialize, Serialize};

use super::run::Outcome;

/// One request that ended, for an observer.
#[derive(Clone, Copy, Debug)]
pub struct AnswerSeen<'a> {
    /// How it ended.
    pub outcome: Outcome,
    /// Whether that is bad.
    pub is_bad: bool,
    /// The time since it was due.
    pub latency_us: u64,
    /// Its kind's place in the plan.
    pub kind: usize,
    /// Its user, if the plan has cookies and it was sent.
    pub user: Option<u32>,
    /// The first 64 bytes of the body.
    pub body_start: &'a [u8],
}

/// Looks at each answer, from the thread that received it; it must be quick.
pub type Observer<'a> = &'a (dyn Fn(&AnswerSeen<'_>) + Sync);

/// Running totals of one thread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Snapshot {
    /// Requests due so far.
    pub(super) due: u64,
    /// Requests that ended so far.
    pub(super) ended: u64,
    /// Those of them that were bad.
    pub(super) bad: u64,
    /// Requests that are on a connection now.
    pub(super) in_flight: u64,
}

/// Running totals of a run, the warm-up included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The time since the start.
    pub elapsed: Millis,
    /// Requests due so far.
    pub due: u64,
    /// Requests that ended so far.
    pub ended: u64,
    /// Those of them that were bad.
    pub bad: u64,
    /// Requests that wait for an answer now.
    pub in_flight: u64,
    /// Requests that are due and wait for a connection now.
    pub backlog: u64,
}
