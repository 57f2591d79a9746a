//! What is fuzzed: a named function from a tape to an end, and the two ends that are right.

use crate::parsers;
use crate::renderers;
use crate::tape::Tape;

/// How a case ended when nothing is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It was written and read back as the intent, or read without a problem.
    Whole,
    /// It was refused with a reason, or read with problems that have their places.
    Refused,
}

/// Something that takes tapes.
#[derive(Clone, Copy)]
pub struct Target {
    /// Its name.
    pub name: &'static str,
    /// How many parts of all cases it gets.
    pub weight: u64,
    /// Runs one case; the error says what is wrong.
    pub run: fn(&mut Tape<'_>) -> Result<End, String>,
}

/// Returns all of them.
pub fn all() -> Vec<Target> {
    [renderers::TARGETS, parsers::TARGETS].concat()
}
