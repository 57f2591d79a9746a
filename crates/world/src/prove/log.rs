//! Finds the lines of one run in an access log that nginx is writing: from where it ended before
//! the run, over a rotation, until all are there or the time is over.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use guanka_core::quantity::Millis;
use serde::Deserialize;

use super::Nonce;
use crate::clock;

/// The most that is read of one look; a busy site writes a few megabytes in a probe's time.
const READ_MAX: u64 = 32 << 20;
/// How often the log is looked at.
const LOOK_EVERY: Millis = Millis(2);

/// One line of the log, as far as a proof needs it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Line {
    pub(super) arm: String,
    pub(super) slot: String,
    pub(super) status: String,
    pub(super) upstream_addr: String,
    pub(super) upstream_cache_status: String,
    nonce: String,
}

/// A log, from a place on.
pub(super) struct Log {
    path: PathBuf,
    inode: u64,
    offset: u64,
}

impl Line {
    /// Returns the address that served at the first try; with more than one address the first try
    /// failed and another arm may have served.
    pub(super) fn only_upstream(&self) -> Option<&str> {
        let is_one = !self.upstream_addr.contains([',', ' ']);
        is_one.then_some(self.upstream_addr.as_str())
    }
}

impl Log {
    /// Begins at the end of what is there; a log that is not there yet begins at nothing.
    pub(super) fn at_end(path: &Path) -> io::Result<Self> {
        let (inode, offset) = match std::fs::metadata(path) {
            Ok(found) => (found.ino(), found.len()),
            Err(e) if e.kind() == io::ErrorKind::NotFound => (0, 0),
            Err(e) => return Err(e),
        };
        Ok(Self { path: path.to_owned(), inode, offset })
    }

    /// Reads until so many lines carry the nonce or the time is over; returns those there are.
    pub(super) fn lines_of(
        &mut self,
        nonce: &Nonce,
        count: usize,
        limit: Millis,
    ) -> io::Result<Vec<Line>> {
        let mut found = Vec::new();
        let done = clock::wait_for(limit, LOOK_EVERY, || match self.more() {
            Err(error) => Some(Err(error)),
            Ok(bytes) => {
                let lines = bytes.split(|b| *b == b'\n');
                let parsed = lines.filter_map(|l| serde_json::from_slice::<Line>(l).ok());
                found.extend(parsed.filter(|line| line.nonce == nonce.as_str()));
                (found.len() >= count).then_some(Ok(()))
            }
        });
        done.unwrap_or(Ok(())).map(|()| found)
    }

    /// Returns the whole lines that came since the last look; one without its end is none yet.
    fn more(&mut self) -> io::Result<Vec<u8>> {
        let mut file = match File::open(&self.path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            opened => opened?,
        };
        let found = file.metadata()?;
        if found.ino() != self.inode || found.len() < self.offset {
            (self.inode, self.offset) = (found.ino(), 0);
        }
        file.seek(SeekFrom::Start(self.offset))?;
        let mut bytes = Vec::new();
        file.take(READ_MAX).read_to_end(&mut bytes)?;
        let whole = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
        bytes.truncate(whole);
        self.offset += whole as u64;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, OpenOptions};
    use std::io::Write;
    use std::path::Path;

    use guanka_core::quantity::Millis;

    use super::super::Nonce;
    use super::Log;

    fn append(path: &Path, text: &str) {
        let file = OpenOptions::new().create(true).append(true).open(path);
        file.and_then(|mut f| f.write_all(text.as_bytes())).expect("written");
    }

    fn line(slot: &str, nonce: &str) -> String {
        format!(
            "{{\"time\":1.5,\"arm\":\"blue\",\"slot\":\"{slot}\",\"status\":\"200\",\
             \"upstream_addr\":\"127.0.0.1:1, 127.0.0.1:2\",\"upstream_cache_status\":\"\",\
             \"nonce\":\"{nonce}\"}}\n"
        )
    }

    #[test]
    fn only_whole_lines_of_the_run_count_over_a_rotation() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("a.json");
        let nonce = Nonce::fresh().expect("random");
        append(&path, &line("s01", nonce.as_str()));
        let mut log = Log::at_end(&path).expect("there");
        append(&path, &line("s02", "someone else's"));
        append(&path, "torn {\n");
        append(&path, &line("s03", nonce.as_str()));
        let half = line("s04", nonce.as_str());
        append(&path, &half[..20]);
        let found = log.lines_of(&nonce, 2, Millis(5)).expect("read");
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].slot.as_str(), found[0].only_upstream()), ("s03", None));
        append(&path, &half[20..]);
        assert_eq!(log.lines_of(&nonce, 1, Millis(5)).expect("read")[0].slot, "s04");
        fs::rename(&path, dir.path().join("old")).expect("rotated");
        append(&path, &line("s05", nonce.as_str()));
        assert_eq!(log.lines_of(&nonce, 1, Millis(5)).expect("read")[0].slot, "s05");
    }
}
