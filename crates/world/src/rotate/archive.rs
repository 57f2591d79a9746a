//! A log's archives: their names, how the newest is packed, how each moves on. A packed archive
//! says in its own header where it begins, so none is taken for another whatever was killed.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use flate2::{Compression, GzBuilder};

use super::Step;
use crate::files;

/// What a packed archive says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Label {
    /// Where it begins, in bytes ever written to the log.
    pub begin: u64,
    /// How many bytes it holds.
    pub length: u64,
    /// When it was written last, seconds since 1970.
    pub written_secs: u64,
}

/// Returns the name of an archive that is not packed.
pub fn plain(log: &Path, number: u32) -> PathBuf {
    beside(log, &format!(".{number}"))
}

/// Returns the name of a packed archive.
pub fn packed(log: &Path, number: u32) -> PathBuf {
    beside(log, &format!(".{number}.gz"))
}

/// Returns every packed archive of a log with its number, newest first.
pub fn all_packed(log: &Path) -> io::Result<Vec<(u32, PathBuf)>> {
    let (Some(folder), Some(name)) = (log.parent(), log.file_name()) else {
        return Ok(Vec::new());
    };
    let name = format!("{}.", name.to_string_lossy());
    let mut found: Vec<(u32, PathBuf)> = files::folder_names(folder)?
        .iter()
        .filter_map(|other| other.strip_prefix(&name)?.strip_suffix(".gz")?.parse().ok())
        .map(|number| (number, packed(log, number)))
        .collect();
    found.sort_unstable();
    Ok(found)
}

/// Reads what a packed archive says of itself; `None` for one that guanka did not pack.
pub fn label(path: &Path) -> io::Result<Option<Label>> {
    let mut decoder = GzDecoder::new(File::open(path)?);
    // The header is read with the first byte; what cannot be read is not ours.
    if decoder.read(&mut [0]).is_err() {
        return Ok(None);
    }
    let Some(header) = decoder.header() else { return Ok(None) };
    let comment = header.comment().map(String::from_utf8_lossy).unwrap_or_default();
    let numbers = comment.strip_prefix("guanka ").and_then(|rest| rest.split_once('+'));
    let Some((begin, length)) = numbers else { return Ok(None) };
    let written_secs = u64::from(header.mtime());
    Ok(match (begin.parse(), length.parse()) {
        (Ok(begin), Ok(length)) => Some(Label { begin, length, written_secs }),
        _ => None,
    })
}

/// Makes room for the newest archive: the oldest goes, the others move on, the last newest is
/// packed. Returns whether the disk was too full for all of them. Killed anywhere, the next call
/// goes on.
pub(super) fn shift(
    log: &Path,
    keep: u32,
    newest: Option<u64>,
    step: &mut Step<'_>,
) -> io::Result<bool> {
    let keep = keep.max(1);
    let first = plain(log, 1);
    let is_there = first.exists();
    let is_packed = match (is_there, newest) {
        (true, Some(begin)) if packed(log, 2).exists() => {
            label(&packed(log, 2))?.is_some_and(|label| label.begin == begin)
        }
        _ => false,
    };
    let mut is_full = false;
    if is_there && !is_packed {
        for (number, path) in all_packed(log)?.into_iter().rev() {
            if number >= keep {
                files::remove(&path)?;
            } else {
                fs::rename(&path, packed(log, number + 1))?;
                step("moved on")?;
            }
        }
        if keep > 1 {
            is_full = pack_or_drop(log, &first, newest.unwrap_or(0))?;
        }
        step("packed")?;
    }
    files::remove(&first)?;
    Ok(is_full)
}

/// Packs the newest archive. On a full disk the oldest archives go, one by one, and at last the
/// newest itself: the log that is being written is worth more. Returns whether any went.
fn pack_or_drop(log: &Path, first: &Path, begin: u64) -> io::Result<bool> {
    let mut is_full = false;
    loop {
        match pack(first, &packed(log, 2), begin) {
            Err(error) if is_no_room(&error) => is_full = true,
            other => return other.map(|()| is_full),
        }
        match all_packed(log)?.pop() {
            Some((_, oldest)) => files::remove(&oldest)?,
            None => return Ok(true),
        }
    }
}

/// Returns whether an error says that the disk, or what this user may have of it, is full.
pub(super) fn is_no_room(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Packs a file whole or not at all, with the owner and mode it had.
fn pack(from: &Path, to: &Path, begin: u64) -> io::Result<()> {
    let part = part(to);
    let packed = write_packed(from, &part, begin).and_then(|()| fs::rename(&part, to));
    if packed.is_err() {
        files::remove(&part)?;
    }
    packed?;
    files::sync_parent(to)
}

fn write_packed(from: &Path, part: &Path, begin: u64) -> io::Result<()> {
    let mut source = File::open(from)?;
    let metadata = source.metadata()?;
    let comment = format!("guanka {begin}+{}", metadata.len());
    let written = u32::try_from(metadata.mtime()).unwrap_or(0);
    let builder = GzBuilder::new().comment(comment).mtime(written);
    let mut encoder = builder.write(File::create(part)?, Compression::default());
    io::copy(&mut source, &mut encoder)?;
    let mut file = encoder.finish()?;
    file.flush()?;
    take_over_owner(&file, &metadata)?;
    file.sync_all()
}

/// Gives a file the mode and, as root, the owner of another.
pub(super) fn take_over_owner(file: &File, of: &fs::Metadata) -> io::Result<()> {
    file.set_permissions(of.permissions())?;
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::fchown(file, Some(of.uid()), Some(of.gid()))?;
    }
    Ok(())
}

/// Returns the hidden name under which an archive is prepared.
pub(super) fn part(archive: &Path) -> PathBuf {
    let name = archive.file_name().unwrap_or_default().to_string_lossy();
    archive.with_file_name(format!(".{name}.part"))
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}
