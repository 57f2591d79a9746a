//! The note of an nginx change that is under way: which files it touches and what they held before.
//! It is durable before the first file changes and gone only after nginx serves the new ones.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::files;
use crate::hostroot::HostRoot;

/// A file before the change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Before {
    path: PathBuf,
    /// Its bytes and mode; `None` when it was not there.
    content: Option<(Vec<u8>, u32)>,
    /// Its group, where that was not root's.
    #[serde(default)]
    group: Option<u32>,
}

/// A change under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Pending {
    files: Vec<Before>,
}

impl Before {
    fn of(path: &Path) -> io::Result<Self> {
        let (content, group) = match fs::read(path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => (None, None),
            read => {
                let found = fs::metadata(path)?;
                let group = Some(found.gid()).filter(|group| *group != 0);
                (Some((read?, found.mode() & 0o777)), group)
            }
        };
        Ok(Self { path: path.to_owned(), content, group })
    }
}

impl Pending {
    /// Remembers files as they are now.
    pub(super) fn remember<'a>(paths: impl Iterator<Item = &'a Path>) -> io::Result<Self> {
        Ok(Self { files: paths.map(Before::of).collect::<io::Result<_>>()? })
    }

    /// Returns the note of a change that was interrupted.
    pub(super) fn load(host: &HostRoot) -> io::Result<Option<Self>> {
        match fs::read(path(host)) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            read => Ok(Some(serde_json::from_slice(&read?)?)),
        }
    }

    /// Makes the note durable.
    pub(super) fn store(&self, host: &HostRoot) -> io::Result<()> {
        files::make_dir(&host.state(), 0o711)?;
        files::replace(&path(host), &serde_json::to_vec(self)?, 0o600)
    }

    /// Puts every file back, the last first: what is referred to goes after what refers to it. One
    /// that is as it was is not written: its disk may be the reason for all this.
    pub(super) fn restore(&self) -> io::Result<()> {
        for before in self.files.iter().rev() {
            if before.path.parent().is_some_and(Path::is_dir) {
                files::clear_beside(&before.path)?;
            }
            if Before::of(&before.path).is_ok_and(|found| found == *before) {
                continue;
            }
            match &before.content {
                Some((bytes, mode)) => {
                    files::replace_for_group(&before.path, bytes, *mode, before.group)?;
                }
                None => delete(&before.path)?,
            }
        }
        Ok(())
    }

    /// Takes the note away: the change is whole.
    pub(super) fn clear(host: &HostRoot) -> io::Result<()> {
        delete(&path(host))
    }
}

fn path(host: &HostRoot) -> PathBuf {
    host.state().join("nginx-change.json")
}

/// Deletes a file durably; one that is not there is fine.
pub(super) fn delete(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed.and_then(|()| files::sync_parent(path)),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::MetadataExt;
    use std::path::PathBuf;

    use super::Pending;

    #[test]
    fn what_is_as_it_was_is_not_written_and_what_changed_comes_back() {
        let dir = tempfile::tempdir().expect("a folder");
        let files: [PathBuf; 3] = ["same", "changed", "new"].map(|name| dir.path().join(name));
        let [same, changed, new] = &files;
        for path in [same, changed] {
            fs::write(path, "old").expect("written");
        }
        let before = Pending::remember(files.iter().map(PathBuf::as_path)).expect("read");
        let inode = fs::metadata(same).expect("there").ino();
        fs::write(changed, "other").expect("changed");
        fs::write(new, "new").expect("made");
        before.restore().expect("put back");
        assert_eq!(fs::metadata(same).expect("there").ino(), inode, "it was written anew");
        assert_eq!(fs::read(changed).expect("there"), b"old");
        assert!(!new.exists());
    }
}
