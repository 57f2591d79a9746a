//! The panel's two log cutters: sites' logs are renamed, packed while nginx still writes to them,
//! and nginx is told last; a Go project's output is copied and cut to nothing in its place.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::{LIMIT, Panel};
use crate::process;

/// The second cutter copies in pieces of this size.
const PIECE: usize = 100 * 1024;

impl Panel {
    /// Cuts the logs of sites, nginx told only when all are packed.
    pub(crate) fn cut_site_logs(&self, sites: &[&str]) -> Result<Vec<PathBuf>> {
        let mut packed = Vec::new();
        for site in sites {
            for ending in ["log", "error.log"] {
                let log = self.at("/www/wwwlogs").join(format!("{site}.{ending}"));
                if !log.is_file() {
                    continue;
                }
                let folder = self.at("/www/wwwlogs/history_backups").join(site);
                fs::create_dir_all(&folder)?;
                let kept = folder.join(format!("{site}_{ending}_{}", packed.len()));
                fs::rename(&log, &kept).with_context(|| format!("move {}", log.display()))?;
                let mut gzip = process::clean("/bin/gzip".as_ref());
                // It warns where nginx still writes, and goes on.
                process::status(gzip.arg(&kept), &self.log("gzip"), LIMIT)?;
                packed.push(kept);
            }
        }
        self.reload()?;
        Ok(packed)
    }

    /// Cuts a Go project's output: copied piece by piece, then the file is emptied.
    pub(crate) fn cut_project_log(&self, log: &Path) -> Result<PathBuf> {
        let name = log.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let folder = log.with_file_name(format!("{name}-history_logs"));
        fs::create_dir_all(&folder)?;
        let kept = folder.join(format!("{name}.1.log"));
        let mut from = File::open(log).with_context(|| format!("open {}", log.display()))?;
        let mut to = File::create(&kept)?;
        let mut piece = vec![0; PIECE];
        loop {
            let read = from.read(&mut piece)?;
            if read == 0 {
                break;
            }
            to.write_all(&piece[..read])?;
        }
        OpenOptions::new().write(true).truncate(true).open(log).context("empty the log")?;
        Ok(kept)
    }
}
