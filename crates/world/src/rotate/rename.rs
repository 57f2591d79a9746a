//! Rotation by rename: the log gets an archive's name, a new file with the owner and mode of the
//! old one takes its place, and the writer is told to open it. The archive is complete once no
//! process holds it any more.

use std::fs::{self, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use guanka_core::plan::keeping;
use guanka_core::quantity::{Bytes, Millis};

use super::record::{Identity, Moving, Record};
use super::{Outcome, Step, Turn, archive, on};
use crate::clock;
use crate::files;

/// How long a writer may take to open its log anew; nginx's workers do within milliseconds.
const REOPEN_LIMIT: Millis = Millis::from_secs(5);

/// Has a log's writer open it anew; returns the processes that may hold the old file.
pub type Reopen<'a> = dyn FnMut() -> io::Result<Vec<u32>> + 'a;

/// Rotates a log by rename when it is due; `reopen` has its writer open it anew.
pub fn by_rename(turn: &Turn<'_>, reopen: &mut Reopen<'_>) -> io::Result<Outcome> {
    stepwise(turn, reopen, &mut on)
}

pub(super) fn stepwise(
    turn: &Turn<'_>,
    reopen: &mut Reopen<'_>,
    step: &mut Step<'_>,
) -> io::Result<Outcome> {
    let Turn { log, logs, now_ms } = *turn;
    let mut record = Record::read(log, now_ms)?;
    match record.moving {
        Some(Moving::Renaming(old)) => finish(turn, &mut record, old, reopen, step)?,
        // Archives that moved on are where they should be; the rest is begun anew.
        Some(_) => record.moving = None,
        None => {}
    }
    let metadata = match fs::symlink_metadata(log) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Outcome::NotDue),
        other => other?,
    };
    if !metadata.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the log is no regular file"));
    }
    if !keeping::is_due(logs, Bytes(metadata.len()), record.rotated_ms, now_ms) {
        record.begin(log)?;
        return Ok(Outcome::NotDue);
    }
    record.enter(log, Moving::Shifting)?;
    step("told")?;
    let is_full = archive::shift(log, logs.keep, record.newest, step)?;
    let old = Identity::of(&metadata);
    record.enter(log, Moving::Renaming(old))?;
    step("about to rename")?;
    fs::rename(log, archive::plain(log, 1))?;
    step("renamed")?;
    finish(turn, &mut record, old, reopen, step)?;
    Ok(if is_full { Outcome::RotatedOnFullDisk } else { Outcome::Rotated })
}

/// Does what comes after the rename, as often as it is asked to: the new file, the writer told, the
/// archive complete, the owner as it was.
fn finish(
    turn: &Turn<'_>,
    record: &mut Record,
    old: Identity,
    reopen: &mut Reopen<'_>,
    step: &mut Step<'_>,
) -> io::Result<()> {
    let log = turn.log;
    let archive = archive::plain(log, 1);
    let renamed = match fs::symlink_metadata(&archive) {
        Ok(found) => Identity::of(&found).is_same(&old),
        Err(_) => false,
    };
    if !renamed {
        record.moving = None;
        return Ok(());
    }
    // There before the writer is told: it keeps the mode it finds.
    let made = OpenOptions::new().write(true).create_new(true).mode(old.mode).open(log);
    match made {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => old.give(log)?,
    }
    files::sync_parent(log)?;
    step("made")?;
    let holders = reopen()?;
    let is_free = || (!holders.iter().any(|pid| holds(*pid, &old))).then_some(());
    if clock::wait_for(REOPEN_LIMIT, Millis(1), is_free).is_none() {
        let text = format!("its writer has not opened {} anew", log.display());
        return Err(io::Error::new(io::ErrorKind::TimedOut, text));
    }
    // nginx gives what it opens anew to its workers' user. They hold it by now.
    old.give(log)?;
    step("reopened")?;
    let length = fs::metadata(&archive)?.len();
    *record = Record {
        begin: record.begin + length,
        newest: Some(record.begin),
        rotated_ms: turn.now_ms,
        moving: None,
    };
    record.store(log)
}

impl Identity {
    fn of(metadata: &fs::Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            uid: metadata.uid(),
            gid: metadata.gid(),
            mode: metadata.mode() & 0o7777,
        }
    }

    fn is_same(&self, other: &Self) -> bool {
        (self.device, self.inode) == (other.device, other.inode)
    }

    /// Gives a file this owner and mode.
    fn give(&self, path: &Path) -> io::Result<()> {
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::lchown(path, Some(self.uid), Some(self.gid))?;
        }
        fs::set_permissions(path, Permissions::from_mode(self.mode))
    }
}

/// Returns whether a process has a file open to write. One that is gone or not ours to see has not.
fn holds(pid: u32, file: &Identity) -> bool {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    entries.flatten().any(|entry| {
        let open = fs::metadata(entry.path());
        let is_it = open.is_ok_and(|open| Identity::of(&open).is_same(file));
        is_it && is_writable(pid, &entry.file_name().to_string_lossy())
    })
}

/// Returns whether an open file may be written; whoever only reads the log does not matter.
fn is_writable(pid: u32, number: &str) -> bool {
    let text = fs::read_to_string(format!("/proc/{pid}/fdinfo/{number}")).unwrap_or_default();
    let flags = text.lines().find_map(|line| line.strip_prefix("flags:"));
    let flags = flags.and_then(|flags| u32::from_str_radix(flags.trim(), 8).ok()).unwrap_or(1);
    flags & 0o3 != 0
}
