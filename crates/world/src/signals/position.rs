//! How far a log file has been read: by what the file is, never by its name, so a renamed,
//! truncated or replaced file is recognised after any pause.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};

use serde::{Deserialize, Serialize};

use crate::hash;

/// How many bytes at the start of a file identify it. One log line is longer, so two files with the
/// same head are the same log.
pub(super) const HEAD_BYTES: u64 = 256;

/// What a file is and how far it was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// The file system.
    pub device: u64,
    /// The file.
    pub inode: u64,
    /// How many of its first bytes `head` is over; at most 256.
    pub head_bytes: u64,
    /// The digest of those bytes.
    pub head: String,
    /// The bytes read so far; always the end of a line.
    pub offset: u64,
}

impl Position {
    /// Takes a file's identity, with nothing read.
    pub fn start(file: &File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        let head_bytes = metadata.len().min(HEAD_BYTES);
        Ok(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            head_bytes,
            head: head(file, head_bytes)?,
            offset: 0,
        })
    }

    /// Returns whether the metadata is of the same file.
    pub fn is_file(&self, metadata: &Metadata) -> bool {
        self.device == metadata.dev() && self.inode == metadata.ino()
    }

    /// Returns whether a file still begins with what was read, and is at least as long: not so
    /// after a truncation, even when the file has grown past the offset again meanwhile.
    pub fn holds(&self, file: &File) -> io::Result<bool> {
        let long_enough = file.metadata()?.len() >= self.offset.max(self.head_bytes);
        Ok(long_enough && head(file, self.head_bytes)? == self.head)
    }

    /// Returns the position after more was read; a head that was short because the file was young
    /// grows with it.
    pub fn advanced(&self, file: &File, offset: u64) -> io::Result<Self> {
        let mut next = Self { offset, ..self.clone() };
        if next.head_bytes < HEAD_BYTES && offset > next.head_bytes {
            next.head_bytes = offset.min(HEAD_BYTES);
            next.head = head(file, next.head_bytes)?;
        }
        Ok(next)
    }
}

/// Returns the digest of a file's first bytes; nothing for a file that has fewer.
pub(super) fn head(file: &File, bytes: u64) -> io::Result<String> {
    let mut buffer = vec![0; bytes as usize];
    match file.read_exact_at(&mut buffer, 0) {
        Ok(()) => Ok(hash::of_bytes(&buffer).as_str().to_owned()),
        // Shorter than it was: it cannot be the same content.
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(String::new()),
        Err(error) => Err(error),
    }
}
