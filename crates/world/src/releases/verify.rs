//! Says whether a release folder is whole: its manifest hashes to its name, every file of the
//! manifest is there with its size, mode and content, and nothing else is.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use guanka_core::facts::release::{MANIFEST_SCHEMA, Manifest, ReleaseFile};
use guanka_core::name::Digest;
use guanka_core::say::Said;

use super::{MANIFEST_FILE, MANIFEST_MAX_BYTES, Store};
use crate::hash;

/// A file of a release that is not as its manifest says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {why}")]
pub struct VerifyError {
    /// The file, below the release folder.
    pub path: String,
    /// How it differs.
    pub why: Damage,
}

/// How a file of a release differs from its manifest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// It is not there.
    #[error("is not there")]
    Missing,
    /// It is there and should not be.
    #[error("does not belong to the release")]
    Foreign,
    /// It is a link, a folder, a device.
    #[error("is not a regular file")]
    Kind,
    /// Its permission bits differ.
    #[error("has mode {found:o}, not {expected:o}")]
    Mode {
        /// What the manifest says.
        expected: u32,
        /// What it has.
        found: u32,
    },
    /// Its content differs.
    #[error("has other content than the manifest says")]
    Content,
    /// It could not be read.
    #[error("could not be read: {0}")]
    Unreadable(String),
    /// The manifest is not one, or belongs to another service.
    #[error("is not this release's manifest: {0}")]
    Manifest(String),
}

impl Store {
    /// Re-hashes a release and returns its manifest.
    pub fn verify(&self, digest: &Digest) -> Result<Manifest, VerifyError> {
        let dir = self.path(digest);
        let manifest = self.read_manifest(&dir, digest)?;
        let mut expected = BTreeSet::from([MANIFEST_FILE.to_owned()]);
        for file in &manifest.files {
            verify_file(&dir, file)?;
            expected.insert(file.path.clone());
        }
        no_strangers(&dir, &expected)?;
        Ok(manifest)
    }

    fn read_manifest(&self, dir: &Path, digest: &Digest) -> Result<Manifest, VerifyError> {
        let wrong = |why| VerifyError { path: MANIFEST_FILE.to_owned(), why };
        let path = dir.join(MANIFEST_FILE);
        let bytes = match File::open(&path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                return Err(wrong(Damage::Missing));
            }
            Err(e) => return Err(wrong(Damage::Unreadable(e.to_string()))),
            Ok(file) => {
                let mut bytes = Vec::new();
                file.take(MANIFEST_MAX_BYTES)
                    .read_to_end(&mut bytes)
                    .map_err(|e| wrong(Damage::Unreadable(e.to_string())))?;
                bytes
            }
        };
        if hash::of_bytes(&bytes) != *digest {
            return Err(wrong(Damage::Content));
        }
        let manifest: Manifest =
            serde_json::from_slice(&bytes).map_err(|e| wrong(Damage::Manifest(e.to_string())))?;
        acceptable(&manifest, &self.service).map_err(|why| wrong(Damage::Manifest(why)))?;
        Ok(manifest)
    }
}

/// Refuses a manifest that may not be unpacked, whoever made it: other service, other form, paths
/// that leave the release or are named twice.
pub(super) fn acceptable(
    manifest: &Manifest,
    service: &guanka_core::name::ServiceName,
) -> Result<(), String> {
    if manifest.schema != MANIFEST_SCHEMA {
        return Err(format!("schema {} is not {MANIFEST_SCHEMA}", manifest.schema));
    }
    if manifest.service != *service {
        return Err(format!("it is for {}, not for {service}", manifest.service));
    }
    let program = format!("bin/{}", manifest.program);
    let mut seen = BTreeSet::new();
    for file in &manifest.files {
        let path = &file.path;
        if !is_inside(path) {
            return Err(format!("{path:?} is not a path below bin/, conf/ or static/"));
        }
        if !matches!(file.mode, 0o755 | 0o644) {
            return Err(format!("{path} has mode {:o}", file.mode));
        }
        if !seen.insert(path.as_str()) {
            return Err(format!("{path} is named twice"));
        }
    }
    if manifest.program.contains('/') || !seen.contains(program.as_str()) {
        return Err(format!("its program {program} is not among its files"));
    }
    Ok(())
}

/// Accepts `bin/x`, `conf/a/b.toml`: known top folder, no empty part, no dot part, no control byte.
fn is_inside(path: &str) -> bool {
    let mut parts = path.split('/');
    let top = parts.next().unwrap_or_default();
    let rest: Vec<&str> = parts.collect();
    matches!(top, "bin" | "conf" | "static")
        && !rest.is_empty()
        && rest.iter().all(|part| !matches!(*part, "" | "." | ".."))
        && path.len() <= 4096
        && !path.chars().any(char::is_control)
}

fn verify_file(dir: &Path, file: &ReleaseFile) -> Result<(), VerifyError> {
    let wrong = |why| VerifyError { path: file.path.clone(), why };
    let path = dir.join(&file.path);
    let found = match fs::symlink_metadata(&path) {
        Ok(found) => found,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Err(wrong(Damage::Missing)),
        Err(e) => return Err(wrong(Damage::Unreadable(e.to_string()))),
    };
    if !found.is_file() {
        return Err(wrong(Damage::Kind));
    }
    let mode = found.mode() & 0o7777;
    if mode != file.mode {
        return Err(wrong(Damage::Mode { expected: file.mode, found: mode }));
    }
    match hash::of_file(&path) {
        Ok(hash) if hash == file.sha256 && found.len() == file.size_bytes => Ok(()),
        Ok(_) => Err(wrong(Damage::Content)),
        Err(e) => Err(wrong(Damage::Unreadable(e.to_string()))),
    }
}

/// Finds anything below a release that its manifest does not name.
fn no_strangers(dir: &Path, expected: &BTreeSet<String>) -> Result<(), VerifyError> {
    for entry in walkdir::WalkDir::new(dir).min_depth(1).follow_links(false) {
        let entry = entry.map_err(|e| VerifyError {
            path: e.path().unwrap_or(dir).display().to_string(),
            why: Damage::Unreadable(e.to_string()),
        })?;
        let below = entry.path().strip_prefix(dir).unwrap_or(entry.path());
        let name = below.to_string_lossy();
        let is_known = if entry.file_type().is_dir() {
            let folder = format!("{name}/");
            expected.range(folder.clone()..).next().is_some_and(|p| p.starts_with(&folder))
        } else {
            expected.contains(name.as_ref())
        };
        if !is_known {
            return Err(VerifyError { path: name.into_owned(), why: Damage::Foreign });
        }
    }
    Ok(())
}

impl VerifyError {
    /// Returns the sentence for people.
    pub fn said(&self) -> Said {
        let path = &self.path;
        let zh = match &self.why {
            Damage::Missing => format!("缺少文件 {path}"),
            Damage::Foreign => format!("{path} 不属于该发布"),
            Damage::Kind => format!("{path} 不是普通文件"),
            Damage::Mode { expected, found } => {
                format!("{path} 的权限是 {found:o},应为 {expected:o}")
            }
            Damage::Content => format!("{path} 的内容与清单不符"),
            Damage::Unreadable(why) => format!("{path} 无法读取:{why}"),
            Damage::Manifest(why) => format!("{path} 不是该发布的清单:{why}"),
        };
        Said::new(zh, self.to_string())
    }
}
