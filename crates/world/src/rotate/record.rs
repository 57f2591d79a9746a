//! What is known of a log's rotations, in `.LOG.rotation` beside it: where the live file begins in
//! all that was ever written, when it was rotated last, and, while a rotation is under way, how far
//! it is. It is written before each step, so a kill at any moment leaves what to do next.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::files;

/// Where the first byte of a log stands that was never rotated. Not at nothing, so that a record
/// that was lost and begun anew cannot be taken for an old place.
const BEGIN: u64 = 1 << 40;

/// The record of one log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Where the live file begins, in bytes ever written.
    pub begin: u64,
    /// Where the newest archive, `LOG.1`, begins; `None` where there is none.
    pub newest: Option<u64>,
    /// The last rotation, milliseconds since 1970; before the first, when the log was first seen.
    pub rotated_ms: u64,
    /// How far a rotation is that is under way.
    pub(super) moving: Option<Moving>,
}

/// How far a rotation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Moving {
    /// Room is made for the newest archive.
    Shifting,
    /// The live file gets the archive's name and its writer another file.
    Renaming(Identity),
    /// The head of the live file is being copied.
    Copying(u64),
    /// It is copied, and its first block is being emptied.
    Emptying(u64),
    /// The block is empty, and the head is being taken out.
    Collapsing(u64),
}

/// Which file is renamed, and whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Identity {
    pub(super) device: u64,
    pub(super) inode: u64,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) mode: u32,
}

impl Record {
    /// Reads a log's record; a log without one was never rotated, and was first seen now.
    pub fn read(log: &Path, now_ms: u64) -> io::Result<Self> {
        match fs::read(path(log)) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(io::Error::other),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Ok(Self { begin: BEGIN, newest: None, rotated_ms: now_ms, moving: None })
            }
            Err(error) => Err(error),
        }
    }

    /// Returns whether a rotation is under way: what lies there is not to be read just now.
    pub fn is_moving(&self) -> bool {
        self.moving.is_some()
    }

    /// Stores it where there is none yet: the time of a rotation is counted from then on.
    pub(super) fn begin(&self, log: &Path) -> io::Result<()> {
        if path(log).exists() { Ok(()) } else { self.store(log) }
    }

    /// Stores it.
    pub(super) fn store(&self, log: &Path) -> io::Result<()> {
        let text = serde_json::to_vec(self)?;
        files::replace(&path(log), &text, 0o644)
    }

    /// Stores it with a rotation's next step.
    pub(super) fn enter(&mut self, log: &Path, moving: Moving) -> io::Result<()> {
        self.moving = Some(moving);
        self.store(log)
    }
}

/// Returns where a log's record lies. Hidden: whatever follows a log by the beginning of its name
/// must not take it for one.
pub fn path(log: &Path) -> PathBuf {
    let name = log.file_name().unwrap_or_default().to_string_lossy();
    log.with_file_name(format!(".{name}.rotation"))
}
