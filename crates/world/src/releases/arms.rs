//! Points an arm at a release. The caller has made sure that the arm is stopped.

use std::fs;
use std::io;
use std::path::Path;

use guanka_core::facts::release::Manifest;
use guanka_core::name::{Arm, Digest};

use super::{Store, VerifyError};
use crate::files;

/// Why an arm does not point where it should.
#[derive(Debug, thiserror::Error)]
pub enum PointError {
    /// The release is not whole.
    #[error("the release is damaged: {0}")]
    Damaged(#[from] VerifyError),
    /// The link could not be written.
    #[error("pointing the arm: {0}")]
    Io(#[from] io::Error),
}

impl Store {
    /// Points a stopped arm at a release that has just been re-hashed, in one step.
    pub fn point_arm(&self, arm: Arm, digest: &Digest) -> Result<Manifest, PointError> {
        let manifest = self.verify(digest)?;
        let link = self.host.arm(&self.service, arm);
        if let Some(arms) = link.parent() {
            files::make_dir(arms, 0o755)?;
        }
        if self.arm_release(arm).as_ref() != Some(digest) {
            files::replace_link(&link, &Path::new("../releases").join(digest.as_str()))?;
        }
        Ok(manifest)
    }

    /// Returns the release an arm points at; whether that release is whole is not asked.
    pub fn arm_release(&self, arm: Arm) -> Option<Digest> {
        let target = fs::read_link(self.host.arm(&self.service, arm)).ok()?;
        Digest::new(target.strip_prefix("../releases").ok()?.to_str()?).ok()
    }
}
