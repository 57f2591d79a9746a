//! Rotation in place, for a writer that never opens its log anew: the head is copied, then taken
//! out of the file by the file system itself, while the writer goes on behind it. Nothing is lost
//! or doubled; a line may begin in one archive and end in the next.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use guanka_core::plan::keeping;
use guanka_core::quantity::Bytes;
use rustix::fs::{FallocateFlags, OFlags, fallocate};

use super::record::{Moving, Record};
use super::{Outcome, Step, Turn, archive, on};
use crate::files;

/// File systems take whole blocks out of a file; no one in use has larger ones.
const BLOCK: u64 = 64 << 10;
/// What most of them have: a small log that is due by its time goes in these.
const SMALL_BLOCK: u64 = 4 << 10;

/// Rotates a log in place when it is due. What is less than a block stays until there is more.
pub fn in_place(turn: &Turn<'_>) -> io::Result<Outcome> {
    stepwise(turn, &mut on)
}

pub(super) fn stepwise(turn: &Turn<'_>, step: &mut Step<'_>) -> io::Result<Outcome> {
    let Turn { log, logs, now_ms } = *turn;
    let no_link = i32::try_from(OFlags::NOFOLLOW.bits()).unwrap_or(0);
    let opened = OpenOptions::new().read(true).write(true).custom_flags(no_link).open(log);
    let file = match opened {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Outcome::NotDue),
        other => other?,
    };
    let mut record = Record::read(log, now_ms)?;
    recover(turn, &file, &mut record, step)?;
    let size = file.metadata()?.len();
    let whole = head_of(size);
    if whole == 0 || !keeping::is_due(logs, Bytes(size), record.rotated_ms, now_ms) {
        record.begin(log)?;
        return Ok(Outcome::NotDue);
    }
    record.enter(log, Moving::Shifting)?;
    step("told")?;
    let mut is_full = archive::shift(log, logs.keep, record.newest, step)?;
    record.newest = None;
    record.enter(log, Moving::Copying(whole))?;
    step("about to copy")?;
    match copy_or_drop(log, &file, whole) {
        Ok(dropped) => is_full |= dropped,
        Err(error) => {
            // The log is as it was, and whoever reads it may go on.
            record.moving = None;
            let _ = record.store(log);
            return Err(error);
        }
    }
    step("copied")?;
    take_out(turn, &file, &mut record, whole, step)?;
    Ok(if is_full { Outcome::RotatedOnFullDisk } else { Outcome::Rotated })
}

/// Returns how much of a file goes: whole blocks, and never all of it, which no file system takes.
fn head_of(size: u64) -> u64 {
    let block = if size > BLOCK { BLOCK } else { SMALL_BLOCK };
    size.saturating_sub(1) / block * block
}

/// Goes on where a kill ended the rotation before.
fn recover(
    turn: &Turn<'_>,
    file: &File,
    record: &mut Record,
    step: &mut Step<'_>,
) -> io::Result<()> {
    let newest = archive::plain(turn.log, 1);
    match record.moving {
        None => Ok(()),
        // The archive comes by a rename: there, it is whole.
        Some(Moving::Copying(whole) | Moving::Emptying(whole)) if newest.exists() => {
            take_out(turn, file, record, whole, step)
        }
        Some(Moving::Collapsing(whole)) => {
            // Whatever the program writes, it does not write a whole block of nothing: an empty
            // one at the head is the one that was emptied.
            if is_empty(file)? {
                collapse(file, whole)?;
            }
            done(turn, record, whole)
        }
        Some(_) => {
            record.moving = None;
            Ok(())
        }
    }
}

/// Takes a head that was copied out of the file. Its first block is emptied before, so that after a
/// kill the file itself tells whether the head is still there.
fn take_out(
    turn: &Turn<'_>,
    file: &File,
    record: &mut Record,
    whole: u64,
    step: &mut Step<'_>,
) -> io::Result<()> {
    record.enter(turn.log, Moving::Emptying(whole))?;
    let empty = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    fallocate(file, empty, 0, SMALL_BLOCK).map_err(|error| cannot(error.into()))?;
    step("emptied")?;
    record.enter(turn.log, Moving::Collapsing(whole))?;
    step("about to collapse")?;
    collapse(file, whole)?;
    step("collapsed")?;
    done(turn, record, whole)
}

fn done(turn: &Turn<'_>, record: &mut Record, whole: u64) -> io::Result<()> {
    *record = Record {
        begin: record.begin + whole,
        newest: Some(record.begin),
        rotated_ms: turn.now_ms,
        moving: None,
    };
    record.store(turn.log)
}

/// Copies the head into the newest archive. On a full disk older archives make room, oldest first;
/// without any left the log stays as it is and the error says so.
fn copy_or_drop(log: &Path, file: &File, whole: u64) -> io::Result<bool> {
    let mut is_full = false;
    loop {
        match copy(log, file, whole) {
            Err(error) if archive::is_no_room(&error) => match archive::all_packed(log)?.pop() {
                Some((_, oldest)) => files::remove(&oldest)?,
                None => return Err(error),
            },
            other => return other.map(|()| is_full),
        }
        is_full = true;
    }
}

fn copy(log: &Path, file: &File, whole: u64) -> io::Result<()> {
    let newest = archive::plain(log, 1);
    let part = archive::part(&newest);
    let copied = copy_into(&part, file, whole).and_then(|()| fs::rename(&part, &newest));
    if copied.is_err() {
        files::remove(&part)?;
    }
    copied?;
    files::sync_parent(log)
}

fn copy_into(part: &Path, file: &File, whole: u64) -> io::Result<()> {
    let mut copy = File::create(part)?;
    let mut reader = file;
    reader.seek(SeekFrom::Start(0))?;
    io::copy(&mut reader.take(whole), &mut copy)?;
    archive::take_over_owner(&copy, &file.metadata()?)?;
    copy.sync_all()
}

/// Returns whether a file's first block holds nothing but zeros.
fn is_empty(file: &File) -> io::Result<bool> {
    let mut block = [1; SMALL_BLOCK as usize];
    match file.read_exact_at(&mut block, 0) {
        Ok(()) => Ok(block.iter().all(|byte| *byte == 0)),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

fn collapse(file: &File, length: u64) -> io::Result<()> {
    fallocate(file, FallocateFlags::COLLAPSE_RANGE, 0, length).map_err(|error| cannot(error.into()))
}

fn cannot(error: io::Error) -> io::Error {
    let why = format!(
        "the file system cannot take the head out of a file: {error}; set [logs] place = \
         \"journald\""
    );
    io::Error::new(error.kind(), why)
}
