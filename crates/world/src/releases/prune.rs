//! Removes old releases: never one that an arm points at or that is named as in use.

use std::fs;
use std::io;
use std::time::SystemTime;

use guanka_core::name::{Arm, Digest};

use super::{Store, remove};
use crate::files;

impl Store {
    /// Keeps the newest `keep` releases and those in use; returns the removed ones. A folder is
    /// renamed to a hidden name first, so a half-removed release is never taken for one.
    pub fn prune(&self, keep: usize, in_use: &[Digest]) -> io::Result<Vec<Digest>> {
        let mut by_age: Vec<(SystemTime, Digest)> = Vec::new();
        for digest in self.list()? {
            by_age.push((fs::symlink_metadata(self.path(&digest))?.modified()?, digest));
        }
        by_age.sort_by(|a, b| b.cmp(a));
        let pointed: Vec<Digest> =
            [Arm::Blue, Arm::Green].into_iter().filter_map(|arm| self.arm_release(arm)).collect();
        let mut removed = Vec::new();
        for (_, digest) in by_age.into_iter().skip(keep) {
            if in_use.contains(&digest) || pointed.contains(&digest) {
                continue;
            }
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
