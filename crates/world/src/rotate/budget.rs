//! The budget of a service's logs: what they take together, and archives removed, oldest first,
//! until they are within it. A log that is being written is never touched.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use guanka_core::plan::keeping::{self, Archive, Room};
use guanka_core::quantity::Bytes;

use super::archive;
use super::record::Record;
use crate::files;

/// What a service's logs take, after room was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Logs and archives together.
    pub all: Bytes,
    /// How many archives went.
    pub gone: usize,
    /// What the file system's reserve still lacks; nothing where there is room enough.
    pub lacking: Bytes,
}

/// Removes the oldest archives of some logs until all are within their budget and the disk has its
/// reserve.
pub fn make_room(logs: &[PathBuf], budget: Bytes) -> io::Result<Usage> {
    let mut live = 0;
    let mut archives: Vec<(PathBuf, Archive)> = Vec::new();
    for log in logs {
        live += size(log)?.map_or(0, |(size, _)| size.0);
        // One that is under way is whole again at the next look.
        if Record::read(log, 0)?.is_moving() {
            continue;
        }
        let packed = archive::all_packed(log)?.into_iter().map(|(_, path)| path);
        for path in packed.chain([archive::plain(log, 1)]) {
            if let Some((size, written_ms)) = size(&path)? {
                archives.push((path, Archive { size, written_ms }));
            }
        }
    }
    let room = room(logs)?;
    let weighed: Vec<Archive> = archives.iter().map(|(_, archive)| *archive).collect();
    let goes = keeping::archives_to_go(&weighed, Bytes(live), budget, room);
    let all = weighed.iter().fold(live, |sum, archive| sum + archive.size.0);
    let mut freed = 0;
    for place in &goes {
        files::remove(&archives[*place].0)?;
        freed += weighed[*place].size.0;
    }
    let lacking = Bytes(room.missing().0.saturating_sub(freed));
    Ok(Usage { all: Bytes(all - freed), gone: goes.len(), lacking })
}

/// Returns what a file takes on disk and when it was written last.
fn size(path: &Path) -> io::Result<Option<(Bytes, u64)>> {
    match fs::symlink_metadata(path) {
        Ok(found) => {
            let written = u64::try_from(found.mtime()).unwrap_or(0) * 1000;
            Ok(Some((Bytes(found.len()), written + found.mtime_nsec() as u64 / 1_000_000)))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Returns the least room of the file systems that some logs lie on.
fn room(logs: &[PathBuf]) -> io::Result<Room> {
    let mut least: Option<Room> = None;
    for folder in logs.iter().filter_map(|log| log.parent()).filter(|folder| folder.is_dir()) {
        let found = rustix::fs::statvfs(folder)?;
        let room = Room {
            free: Bytes(found.f_bavail.saturating_mul(found.f_frsize)),
            total: Bytes(found.f_blocks.saturating_mul(found.f_frsize)),
        };
        if least.is_none_or(|least| room.missing() > least.missing()) {
            least = Some(room);
        }
    }
    Ok(least.unwrap_or(Room { free: Bytes(0), total: Bytes(0) }))
}
