//! How a command ends: an exit code of the one table, or a failure that says what was being done,
//! to which thing, why it did not work and what to do next.

pub(crate) mod codes;

use guanka_core::facts::Span;
use guanka_core::say::{Said, Text};
use guanka_world::obstacle;
use guanka_world::store::StoreError;

pub(crate) use codes::{ALL, ErrorCode, FILE, START, USAGE};

/// The one table of exit codes, for all verbs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done, or nothing to do.
    Done = 0,
    /// Could not do it.
    CouldNot = 1,
    /// Usage or configuration is wrong.
    Usage = 2,
    /// Blocked by a gate; traffic untouched.
    Blocked = 3,
    /// Waits for approval or for a gate, with `--no-wait`.
    Waits = 4,
    /// Tried and taken back; the old version is whole.
    TakenBack = 5,
    /// Needs a human: some host unknown or partial.
    NeedsHuman = 6,
    /// The lock is held by another.
    Locked = 7,
    /// The plan has changes, with `--exit-code`.
    HasChanges = 8,
    /// Not proven: a gate not yet or invalid, a required check unknown.
    NotProven = 9,
    /// Interrupted; safe to repeat.
    Interrupted = 130,
}

/// A failure, complete enough for a tired operator at night.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    /// What kind of failure it is; carries code, exit and explanation.
    pub(crate) kind: &'static ErrorCode,
    /// What was being done, to which thing.
    pub(crate) doing: Said,
    /// Why it did not work.
    pub(crate) why: Said,
    /// What to do next; usually a command.
    pub(crate) next: Said,
    /// The place in a file of the user's, if there is one.
    pub(crate) span: Option<Span>,
}

impl Failure {
    /// Builds a failure; what to do next is the code's own advice until `next` says it better.
    pub(crate) fn new(kind: &'static ErrorCode, doing: Said, why: Said) -> Self {
        Self { kind, doing, why, next: kind.fix.said(), span: None }
    }

    /// Says what to do next.
    pub(crate) fn next(mut self, next: Said) -> Self {
        self.next = next;
        self
    }

    /// Points at a place in a file.
    pub(crate) fn at(mut self, span: Span) -> Self {
        self.span = Some(span);
        self
    }
}

/// Builds a pair of an error: a file's and a store's have words in both languages, others are the
/// same in both.
pub(crate) fn because(error: &(dyn std::error::Error + 'static)) -> Said {
    if let Some(error) = error.downcast_ref::<std::io::Error>() {
        return obstacle::said(error);
    }
    if let Some(error) = error.downcast_ref::<StoreError>() {
        return error.said();
    }
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        source = inner.source();
    }
    Said::new(text.clone(), text)
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Returns a sentence pair for a constant text; shorthand for `text.said()` at call sites.
pub(crate) fn say(zh: &'static str, en: &'static str) -> Said {
    Text { zh, en }.said()
}
