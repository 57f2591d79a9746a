//! A release: artifact (binary and static files) plus config, each with a digest; the release is
//! named by the SHA-256 of the manifest that holds both.

use serde::{Deserialize, Serialize};

use crate::name::{Digest, ServiceName};

/// The version of the manifest's form.
pub const MANIFEST_SCHEMA: u32 = 1;

/// What a release directory holds. Its canonical JSON is what the release's digest is taken over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// `MANIFEST_SCHEMA`.
    pub schema: u32,
    /// The service.
    pub service: ServiceName,
    /// The target, `linux/amd64`.
    pub target: String,
    /// The program's file name under `bin/`.
    pub program: String,
    /// The digest over the target and every file outside `conf/`.
    pub artifact: Digest,
    /// The digest over the service's settings and the files under `conf/`.
    pub config: Digest,
    /// The Go toolchain that built it.
    pub go: String,
    /// The commit; absent in what guanka builds, so that equal sources in two commits give one
    /// release. The commit is recorded beside it.
    pub revision: Option<String>,
    /// Every file, in byte order of its path.
    pub files: Vec<ReleaseFile>,
}

/// One file of a release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseFile {
    /// The path below the release directory: `bin/shop`, `static/a.css`.
    pub path: String,
    /// The size.
    pub size_bytes: u64,
    /// The permission bits: 0o755 for programs, else 0o644.
    pub mode: u32,
    /// The SHA-256 of its content.
    pub sha256: Digest,
}

impl Manifest {
    /// Returns the text that the release's digest is taken over. Field order is the struct's, so
    /// the same release gives the same bytes everywhere.
    pub fn canonical(&self) -> String {
        serde_json::to_string(self).expect("a manifest has only strings and numbers as keys")
    }
}
