//! Brings a release onto the host: written into a hidden folder beside its final name, every file
//! synced and hashed, renamed as the last step. A folder that is there already is re-hashed.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use guanka_core::facts::release::{Manifest, ReleaseFile};
use guanka_core::say::Text;
use ring::digest::{Context, SHA256};
use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::{MANIFEST_FILE, StageError, Staged, Store, digest_of, remove, verify};
use crate::files;
use crate::hash;

const MAKING: Text = Text { zh: "创建", en: "making" };
const LOCKING: Text = Text { zh: "锁定", en: "locking" };
const REMOVING: Text = Text { zh: "删除", en: "removing" };
const WRITING: Text = Text { zh: "写入", en: "writing" };
const SYNCING: Text = Text { zh: "落盘", en: "syncing" };
const OPENING: Text = Text { zh: "打开内容", en: "opening the content of" };
const READING: Text = Text { zh: "读取内容", en: "reading the content of" };
const RENAMING: Text = Text { zh: "改名为", en: "renaming to" };

/// Gives a file's content; called once for each file of a manifest that must be written.
pub type Open<'a> = dyn FnMut(&ReleaseFile) -> io::Result<Box<dyn Read>> + 'a;

impl Store {
    /// Stages a release. When it returns `Ok`, the whole release is durable under its digest; when
    /// it returns an error, nothing of it is left.
    pub fn stage(&self, manifest: &Manifest, open: &mut Open<'_>) -> Result<Staged, StageError> {
        verify::acceptable(manifest, &self.service).map_err(StageError::Manifest)?;
        let digest = digest_of(manifest);
        let target = self.path(&digest);
        files::make_dir(&self.dir, 0o755).map_err(io_at(MAKING, &self.dir))?;
        let _lock = files::Lock::hold(&self.dir.join(".lock"))
            .map_err(io_at(LOCKING, &self.dir.join(".lock")))?;
        let damage = match self.verify(&digest) {
            Ok(_) => return Ok(Staged { digest, was_there: true, healed: None }),
            Err(_) if fs::symlink_metadata(&target).is_err() => None,
            Err(damage) => Some(damage),
        };
        let beside = self.dir.join(format!(".{digest}.tmp"));
        let put = self
            .has_room(manifest)
            .and_then(|()| write_all(&beside, manifest, open))
            .and_then(|()| put_in_place(&beside, &target));
        if let Err(error) = put {
            // The error at hand is the one to tell; a left-over is removed by `recover` too.
            let _ = remove(&beside);
            return Err(error.with_room(self, manifest));
        }
        Ok(Staged { digest, was_there: false, healed: damage })
    }

    /// Asks for the room of the whole release before the first byte is written.
    fn has_room(&self, manifest: &Manifest) -> Result<(), StageError> {
        let needed: u64 = manifest.files.iter().map(|f| f.size_bytes).sum();
        let free = self.free_bytes();
        if free < needed {
            return Err(StageError::NoSpace { dir: self.dir.clone(), needed, free });
        }
        Ok(())
    }

    /// Returns the bytes free below the store; an unknown amount is no reason to stop.
    fn free_bytes(&self) -> u64 {
        rustix::fs::statvfs(&self.dir).map_or(u64::MAX, |s| s.f_bavail.saturating_mul(s.f_frsize))
    }
}

impl StageError {
    /// Turns the operating system's "no space" into the error that says how much is missing.
    fn with_room(self, store: &Store, manifest: &Manifest) -> Self {
        match self {
            Self::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull => {
                Self::NoSpace {
                    dir: store.dir.clone(),
                    needed: manifest.files.iter().map(|f| f.size_bytes).sum(),
                    free: store.free_bytes(),
                }
            }
            other => other,
        }
    }
}

fn write_all(beside: &Path, manifest: &Manifest, open: &mut Open<'_>) -> Result<(), StageError> {
    remove(beside).map_err(io_at(REMOVING, beside))?;
    make_folder(beside)?;
    let mut folders = vec![beside.to_owned()];
    for file in &manifest.files {
        make_folders(beside, &file.path, &mut folders)?;
        write_file(beside, file, open)?;
    }
    let path = beside.join(MANIFEST_FILE);
    files::write_synced(&path, manifest.canonical().as_bytes(), 0o644)
        .map_err(io_at(WRITING, &path))?;
    for folder in folders.iter().rev() {
        files::sync_dir(folder).map_err(io_at(SYNCING, folder))?;
    }
    Ok(())
}

/// Makes the folders above a release's file that are not there yet, outermost first.
fn make_folders(beside: &Path, path: &str, folders: &mut Vec<PathBuf>) -> Result<(), StageError> {
    let mut folder = beside.to_owned();
    let above = Path::new(path).parent().unwrap_or(Path::new(""));
    for part in above {
        folder.push(part);
        if !folders.contains(&folder) {
            make_folder(&folder)?;
            folders.push(folder.clone());
        }
    }
    Ok(())
}

fn make_folder(path: &Path) -> Result<(), StageError> {
    fs::create_dir(path)
        .and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(0o755)))
        .map_err(io_at(MAKING, path))
}

/// Writes one file, never more than the manifest's size, and compares its hash before the sync.
fn write_file(beside: &Path, file: &ReleaseFile, open: &mut Open<'_>) -> Result<(), StageError> {
    let path = beside.join(&file.path);
    let content = open(file).map_err(io_at(OPENING, &path))?;
    let mut options = OpenOptions::new();
    let mut out: File = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)
        .map_err(io_at(MAKING, &path))?;
    let wrong = |why: String| StageError::Content { path: file.path.clone(), why };
    let mut hasher = Context::new(&SHA256);
    let mut left = file.size_bytes;
    let mut reader = content.take(file.size_bytes.saturating_add(1));
    let mut buffer = vec![0; 128 << 10];
    loop {
        let read = match reader.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(io_at(READING, &path)(e)),
        };
        left = left.checked_sub(read as u64).ok_or_else(|| {
            wrong(format!("it is longer than the {} bytes of the manifest", file.size_bytes))
        })?;
        hasher.update(&buffer[..read]);
        out.write_all(&buffer[..read]).map_err(io_at(WRITING, &path))?;
    }
    if left > 0 {
        return Err(wrong(format!("it is {left} bytes shorter than the manifest says")));
    }
    if hash::finish(hasher) != file.sha256 {
        return Err(wrong("its SHA-256 is not the manifest's".to_owned()));
    }
    out.set_permissions(fs::Permissions::from_mode(file.mode))
        .and_then(|()| out.sync_all())
        .map_err(io_at(SYNCING, &path))
}

/// Gives the prepared folder its final name. A damaged folder of that name changes places with it
/// in one step, so that an arm's link never points at nothing.
fn put_in_place(beside: &Path, target: &Path) -> Result<(), StageError> {
    let is_taken = fs::symlink_metadata(target).is_ok();
    let renamed = if is_taken {
        match renameat_with(CWD, beside, CWD, target, RenameFlags::EXCHANGE) {
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => step_aside(beside, target),
            other => other.map_err(io::Error::from),
        }
    } else {
        fs::rename(beside, target)
    };
    renamed.and_then(|()| files::sync_parent(target)).map_err(io_at(RENAMING, target))?;
    if is_taken {
        remove(beside).map_err(io_at(REMOVING, beside))?;
    }
    Ok(())
}

/// Does the exchange in three renames, for kernels and file systems that cannot do it in one.
fn step_aside(beside: &Path, target: &Path) -> io::Result<()> {
    let aside = beside.with_extension("bad");
    remove(&aside)?;
    fs::rename(target, &aside)?;
    if let Err(error) = fs::rename(beside, target) {
        fs::rename(&aside, target)?;
        return Err(error);
    }
    remove(&aside)
}

fn io_at(doing: Text, path: &Path) -> impl FnOnce(io::Error) -> StageError {
    let path = path.to_owned();
    move |source| StageError::Io { doing, path, source }
}
