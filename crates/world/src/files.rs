//! Files that survive a crash: written beside, synced, renamed, the folder synced. Never truncated
//! in place.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use guanka_core::name::ServiceName;
use guanka_core::quantity::Millis;
use rustix::fs::{FlockOperation, flock};

use crate::clock;
use crate::hostroot::HostRoot;
use crate::obstacle::at;

/// How long a lock is waited for: the longest holder is one nginx install with its reload, and the
/// next one says who is busy instead of hanging.
const LOCK_WAIT: Millis = Millis::from_secs(30);

/// A lock on a file, held until it is dropped; the kernel gives it up when the process dies.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock, waiting for another holder up to half a minute.
    pub fn hold(path: &Path) -> io::Result<Self> {
        Self::hold_within(path, LOCK_WAIT)
    }

    /// Takes the lock, waiting for another holder no longer than a limit.
    pub fn hold_within(path: &Path, limit: Millis) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).write(true).mode(0o600);
        let file = options.open(path).map_err(at(path))?;
        let taken = clock::wait_for(limit, Millis(5), || {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Err(e) if e == rustix::io::Errno::WOULDBLOCK => None,
                other => Some(other),
            }
        });
        match taken {
            Some(Ok(())) => Ok(Self { _file: file }),
            Some(Err(error)) => Err(error.into()),
            None => Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("{} is held by another process", path.display()),
            )),
        }
    }
}

/// Makes a folder and those above it; its own mode is set explicitly, whatever the umask. One that
/// is as it should be is not touched: it may lie on a disk that takes nothing.
pub fn make_dir(path: &Path, mode: u32) -> io::Result<()> {
    if !path.is_dir() {
        fs::create_dir_all(path).and_then(|()| sync_parent(path)).map_err(at(path))?;
    }
    if fs::metadata(path).is_ok_and(|found| found.permissions().mode() & 0o7777 == mode) {
        return Ok(());
    }
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(at(path))
}

/// Finds out whether a folder takes a new file: writes one of this size, syncs it, removes it.
pub fn takes(folder: &Path, bytes: usize) -> io::Result<()> {
    let trial = folder.join(".trial");
    remove(&trial).map_err(at(folder))?;
    let written = write_synced(&trial, &vec![0; bytes], 0o600).map_err(at(folder));
    // What a full disk took of it must not fill it further.
    let removed = remove(&trial).map_err(at(folder));
    written.and(removed)
}

/// Makes the places that nginx workers must be able to look through: `/var/lib/guanka` and a
/// service's folder in it, searchable by all and listable by root alone.
pub fn make_state(host: &HostRoot, service: &ServiceName) -> io::Result<()> {
    make_dir(&host.state(), 0o711)?;
    make_dir(&host.service_state(service), 0o711)
}

/// Syncs a folder, so that the names in it are durable.
pub fn sync_dir(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Replaces a file's content in one step; mode is set explicitly, whatever the umask.
pub fn replace(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    replace_for_group(path, content, mode, None)
}

/// Replaces a file's content in one step and gives it to a group before anybody can see it.
pub fn replace_for_group(
    path: &Path,
    content: &[u8],
    mode: u32,
    group: Option<u32>,
) -> io::Result<()> {
    clear_beside(path)?;
    let beside = beside(path)?;
    let written = write_synced(&beside, content, mode).and_then(|()| match group {
        // A change of owner takes some bits of the mode away, none of those that are used here.
        Some(_) => std::os::unix::fs::chown(&beside, None, group),
        None => Ok(()),
    });
    if let Err(error) = written.and_then(|()| fs::rename(&beside, path)) {
        let _ = fs::remove_file(&beside);
        return Err(at(path)(error));
    }
    sync_parent(path).map_err(at(path))
}

/// Points a symbolic link somewhere else in one step.
pub fn replace_link(link: &Path, target: &Path) -> io::Result<()> {
    clear_beside(link)?;
    let beside = beside(link)?;
    symlink(target, &beside)
        .and_then(|()| fs::rename(&beside, link))
        .and_then(|()| sync_parent(link))
        .map_err(at(link))
}

/// Reads a text file of at most `most` bytes; what is not UTF-8 is replaced.
pub fn read_text(path: &Path, most: u64) -> io::Result<String> {
    let file = File::open(path)?;
    let size = file.metadata()?.len();
    if size > most {
        let text = format!("{size} bytes, but at most {most} are read");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, text));
    }
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Returns what was appended to a text file since it had a size, at most `most` bytes of it.
pub fn appended(path: &Path, since: u64, most: u64) -> io::Result<String> {
    let mut file = File::open(path)?;
    io::Seek::seek(&mut file, io::SeekFrom::Start(since))?;
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Returns a file's size; one that is not there has none.
pub fn size(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |found| found.len())
}

/// Reads a file of at most `most` bytes.
pub fn read_bytes(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    let size = file.metadata()?.len();
    if size > most {
        let text = format!("{size} bytes, but at most {most} are read");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, text));
    }
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Returns a path without links and dots; the thing must exist.
pub fn absolute(path: &Path) -> io::Result<PathBuf> {
    fs::canonicalize(path)
}

/// Returns whether something is there, a broken link included.
pub fn exists(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

/// Removes a file; one that is not there is removed already.
pub fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// How the name of a folder begins while it is removed; no service's does.
const REMOVED: &str = ".removed-";

/// Removes a folder and all below it; links are removed, not followed.
pub fn remove_tree(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Removes a folder and all below it so that a kill leaves all of it or nothing under its name;
/// [`sweep_removed`] finishes what a kill has left.
pub fn remove_whole(path: &Path) -> io::Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let aside = path.with_file_name(format!("{REMOVED}{name}"));
    remove_tree(&aside)?;
    match fs::rename(path, &aside) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        moved => moved?,
    }
    sync_parent(path)?;
    remove_tree(&aside)
}

/// Removes what is left in a folder of folders whose removal was cut short.
pub fn sweep_removed(folder: &Path) -> io::Result<()> {
    let names = folder_names(folder)?;
    let mut left = names.iter().filter(|name| name.starts_with(REMOVED));
    left.try_for_each(|name| remove_tree(&folder.join(name)))
}

/// Returns the names in a folder, in order; a folder that is not there has none.
pub fn folder_names(folder: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut names = Vec::new();
    for entry in entries {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

/// Returns the last lines of a text file, reading no more of it than needed.
pub fn last_lines(path: &Path, lines: usize) -> io::Result<Vec<String>> {
    /// The most that is read from the end: 10,000 lines of 800 bytes.
    const TAIL: u64 = 8 << 20;
    let file = File::open(path)?;
    let from = file.metadata()?.len().saturating_sub(TAIL);
    let mut bytes = Vec::new();
    let mut reader = io::BufReader::new(file);
    io::Seek::seek(&mut reader, io::SeekFrom::Start(from))?;
    reader.take(TAIL).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let mut all: Vec<&str> = text.lines().collect();
    if from > 0 && !all.is_empty() {
        // The first one is cut.
        all.remove(0);
    }
    let skipped = all.len().saturating_sub(lines);
    Ok(all[skipped..].iter().map(|line| (*line).to_owned()).collect())
}

/// Writes a new file and syncs it; it must not exist.
pub fn write_synced(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(mode))?;
    file.write_all(content)?;
    file.sync_all()
}

/// Syncs the folder that holds a path, so that a rename in it is durable.
pub fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => File::open(parent)?.sync_all(),
        _ => File::open(".")?.sync_all(),
    }
}

/// Removes what an interrupted `replace` of this path may have left beside it.
pub fn clear_beside(path: &Path) -> io::Result<()> {
    let beside = beside(path)?;
    // A read-only disk refuses the removal even of what is not there.
    if exists(&beside) { remove(&beside).map_err(at(path)) } else { Ok(()) }
}

/// Returns the hidden name beside a path under which its next content is prepared. It begins with a
/// dot and does not end in `.conf` or `.ini`, so no include pattern takes it.
fn beside(path: &Path) -> io::Result<PathBuf> {
    let name = path
        .file_name()
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "a path without a file name"))?;
    Ok(path.with_file_name(format!(".{}.new", name.to_string_lossy())))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::MetadataExt;

    use super::{replace, replace_link};

    #[test]
    fn a_left_over_beside_does_not_stop_the_next_write() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("a.conf");
        fs::write(dir.path().join(".a.conf.new"), "torn").expect("a left-over");
        replace(&path, b"whole", 0o640).expect("replaced");
        assert_eq!(fs::read(&path).expect("there"), b"whole");
        assert_eq!(fs::metadata(&path).expect("there").mode() & 0o777, 0o640);
        let link = dir.path().join("live");
        replace_link(&link, "one".as_ref()).expect("linked");
        replace_link(&link, "two".as_ref()).expect("linked again");
        assert_eq!(fs::read_link(&link).expect("there").to_str(), Some("two"));
    }
}
