//! Rotates logs without losing a line: by rename where the writer opens its log anew when told to,
//! in place where it never does. Archives are `LOG.1`, `LOG.2.gz`, … `LOG.KEEP.gz`, newest first;
//! the newest stays as it is until the next rotation, for whoever still reads it. Beside them lies
//! `.LOG.rotation`, which says where in all that was ever written each of them begins.

pub mod archive;
mod budget;
mod in_place;
pub mod record;
mod rename;
#[cfg(test)]
mod tests;

use std::io;
use std::path::Path;

use guanka_core::facts::declared::Logs;

pub use budget::{Usage, make_room};
pub use in_place::in_place;
pub use rename::{Reopen, by_rename};

/// What a rotation is to hold to.
#[derive(Clone, Copy, Debug)]
pub struct Turn<'a> {
    /// The log.
    pub log: &'a Path,
    /// When it is due, and how many archives stay.
    pub logs: &'a Logs,
    /// The time, milliseconds since 1970.
    pub now_ms: u64,
}

/// What became of a log that was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was not due.
    NotDue,
    /// It was rotated.
    Rotated,
    /// It was rotated, and archives went before their time, because the disk is full.
    RotatedOnFullDisk,
}

/// A place in a rotation at which a test lets it end as a kill would.
type Step<'a> = dyn FnMut(&'static str) -> io::Result<()> + 'a;

/// The step of every real rotation: on to the next.
fn on(_: &'static str) -> io::Result<()> {
    Ok(())
}
