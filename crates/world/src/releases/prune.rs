//! Removes old releases: never one that an arm points at or that is named as in use.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::SystemTime;

use guanka_core::facts::declared::Releases;
use guanka_core::name::{Arm, Digest};
use guanka_core::plan::keeping::{self, Kept};
use guanka_core::quantity::Bytes;

use super::{Store, remove};
use crate::files;

impl Store {
    /// Removes what is beyond a number and a budget, oldest first, and never what is in use: by an
    /// arm, or named here. Returns the removed ones. A folder is renamed to a hidden name first, so
    /// a half-removed release is never taken for one.
    pub fn prune(&self, limits: &Releases, in_use: &[Digest]) -> io::Result<Vec<Digest>> {
        let mut by_age: Vec<(SystemTime, Digest)> = Vec::new();
        for digest in self.list()? {
            by_age.push((fs::symlink_metadata(self.path(&digest))?.modified()?, digest));
        }
        by_age.sort_by(|a, b| b.cmp(a));
        let pointed: Vec<Digest> =
            [Arm::Blue, Arm::Green].into_iter().filter_map(|arm| self.arm_release(arm)).collect();
        let weigh = |digest: &Digest| Kept {
            size: taken(&self.path(digest)),
            is_in_use: in_use.contains(digest) || pointed.contains(digest),
        };
        let kept: Vec<Kept> = by_age.iter().map(|(_, digest)| weigh(digest)).collect();
        let mut removed = Vec::new();
        for place in keeping::releases_to_go(&kept, limits) {
            let digest = by_age[place].1.clone();
            let gone = self.dir.join(format!(".{digest}.gone"));
            remove(&gone)?;
            fs::rename(self.path(&digest), &gone)?;
            files::sync_dir(&self.dir)?;
            remove(&gone)?;
            removed.push(digest);
        }
        Ok(removed)
    }
}

/// Returns what a folder takes on disk.
fn taken(folder: &Path) -> Bytes {
    let found = walkdir::WalkDir::new(folder).into_iter().flatten();
    let blocks = found.filter_map(|entry| Some(entry.metadata().ok()?.blocks()));
    Bytes(blocks.sum::<u64>() * 512)
}
