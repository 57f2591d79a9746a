//! The release store of one service on one host: folders named by their digest, immutable, whole or
//! absent, and re-hashed before every use. A folder's name is never trusted.

mod arms;
mod prune;
mod stage;
mod verify;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use guanka_core::facts::release::Manifest;
use guanka_core::name::{Digest, ServiceName};
use guanka_core::say::{Said, Text};

use crate::hash;
use crate::hostroot::HostRoot;
use crate::obstacle;

pub use arms::PointError;
pub use stage::Open;
pub use verify::{Damage, VerifyError};

/// The name of the manifest's file inside a release.
const MANIFEST_FILE: &str = "manifest.json";
/// A manifest larger than this is not one of ours: 10,000 files at 200 bytes each are 2 MB.
const MANIFEST_MAX_BYTES: u64 = 16 << 20;

/// The releases of one service on one host.
#[derive(Clone, Debug)]
pub struct Store {
    host: HostRoot,
    service: ServiceName,
    dir: PathBuf,
}

/// What staging a release did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Staged {
    /// The release.
    pub digest: Digest,
    /// It was there already and whole; nothing was written.
    pub was_there: bool,
    /// It was there and damaged in this way; it has been replaced.
    pub healed: Option<VerifyError>,
}

/// Why a release could not be staged. Nothing of it is left on the host.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// The manifest may not be unpacked.
    #[error("the manifest is refused: {0}")]
    Manifest(String),
    /// A file is not what the manifest says.
    #[error("{path}: {why}")]
    Content {
        /// The file, below the release.
        path: String,
        /// How it differs.
        why: String,
    },
    /// The disk is full.
    #[error("no space left below {dir}: {needed} bytes are needed, {free} are free")]
    NoSpace {
        /// The folder.
        dir: PathBuf,
        /// The bytes of the whole release.
        needed: u64,
        /// The bytes that are free.
        free: u64,
    },
    /// The operating system refused.
    #[error("{} {path}", doing.en)]
    Io {
        /// What was being done.
        doing: Text,
        /// To which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

impl Store {
    /// Names the store of a service; nothing is touched.
    pub fn new(host: &HostRoot, service: &ServiceName) -> Self {
        Self { host: host.clone(), service: service.clone(), dir: host.releases(service) }
    }

    /// Returns a release's folder.
    pub fn path(&self, digest: &Digest) -> PathBuf {
        self.dir.join(digest.as_str())
    }

    /// Returns where a release's program lies.
    pub fn program(&self, digest: &Digest, manifest: &Manifest) -> PathBuf {
        self.path(digest).join("bin").join(&manifest.program)
    }

    /// Returns the digests of all release folders in byte order, whole or not.
    pub fn list(&self) -> io::Result<Vec<Digest>> {
        let mut found: Vec<Digest> =
            names(&self.dir)?.iter().filter_map(|name| Digest::new(name).ok()).collect();
        found.sort();
        Ok(found)
    }

    /// Removes what an interrupted run left: folders and links whose names begin with a dot.
    pub fn recover(&self) -> io::Result<Vec<PathBuf>> {
        let mut removed = Vec::new();
        for dir in [self.dir.clone(), self.host.home(&self.service).join("arms")] {
            for name in names(&dir)?.iter().filter(|name| name.starts_with('.')) {
                let path = dir.join(name);
                remove(&path)?;
                removed.push(path);
            }
            if dir.is_dir() {
                crate::files::sync_dir(&dir)?;
            }
        }
        Ok(removed)
    }
}

impl StageError {
    /// Returns the sentence for people.
    pub fn said(&self) -> Said {
        match self {
            Self::Manifest(why) => Said::new(
                format!("发布清单被拒绝:{why}"),
                format!("the manifest is refused: {why}"),
            ),
            Self::Content { path, why } => {
                Said::new(format!("文件 {path} 与清单不符:{why}"), format!("{path}: {why}"))
            }
            Self::NoSpace { dir, needed, free } => Said::new(
                format!("{} 磁盘空间不足:需要 {needed} 字节,剩余 {free} 字节", dir.display()),
                self.to_string(),
            ),
            Self::Io { doing, path, source } => {
                let (path, why) = (path.display(), obstacle::words(source));
                Said::new(
                    format!("{} {path} 失败:{}", doing.zh, why.zh),
                    format!("{} {path}: {}", doing.en, why.en),
                )
            }
        }
    }
}

/// Returns the release digest a manifest gives.
pub fn digest_of(manifest: &Manifest) -> Digest {
    hash::of_bytes(manifest.canonical().as_bytes())
}

/// Returns the names in a folder; a folder that is not there has none.
fn names(dir: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(e),
    };
    entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
}

/// Removes a file, a link or a whole folder; what is not there is fine.
fn remove(path: &Path) -> io::Result<()> {
    let gone = match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(e) => Err(e),
    };
    match gone {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests;
