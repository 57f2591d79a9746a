//! The adopted program as a release: its very bytes, read through the process, so that proofs by
//! the program's hash hold for it as for any other and a rollout has a stable release.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use guanka_core::facts::declared::Declared;
use guanka_core::facts::release::{MANIFEST_SCHEMA, Manifest, ReleaseFile};
use guanka_core::name::Digest;

use super::error::io_at;
use super::{ARM, AdoptError, Running};
use crate::build::{digests, host_arch};
use crate::hash;
use crate::hostroot::HostRoot;
use crate::releases::{PointError, Store};

/// Puts the running program in place as a release and points blue at it.
pub fn stage(
    host: &HostRoot,
    declared: &Declared,
    running: &Running,
) -> Result<Digest, AdoptError> {
    let door = PathBuf::from(format!("/proc/{}/exe", running.pid));
    let doing = || format!("reading {}", running.program.display());
    let name = running.program.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let file = ReleaseFile {
        path: format!("bin/{name}"),
        size_bytes: std::fs::metadata(&door).map_err(io_at(doing()))?.size(),
        mode: 0o755,
        sha256: hash::of_file(&door).map_err(io_at(doing()))?,
    };
    let target = format!("linux/{}", host_arch());
    let files = vec![file];
    let manifest = Manifest {
        schema: MANIFEST_SCHEMA,
        service: declared.service.clone(),
        artifact: digests::artifact(&target, &files),
        config: digests::config(declared, &files),
        target,
        program: name,
        go: "external".to_owned(),
        revision: None,
        files,
    };
    let store = Store::new(host, &declared.service);
    let staged = store.stage(&manifest, &mut |_| Ok(Box::new(File::open(&door)?)))?;
    store.point_arm(ARM, &staged.digest).map_err(|error| match error {
        PointError::Io(source) => AdoptError::Io { doing: doing(), source },
        PointError::Damaged(damage) => {
            AdoptError::Io { doing: doing(), source: io::Error::other(damage.to_string()) }
        }
    })?;
    Ok(staged.digest)
}
