//! Copies that a cutter has packed before anybody read them: found by the lines they begin with,
//! unpacked into memory, and read on as if they had never been packed.

use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use rustix::fs::MemfdFlags;

use super::position::{HEAD_BYTES, Position};
use crate::hash;

/// The most that a copy may hold unpacked: it lies in memory while it is read.
const UNPACKED_MAX: u64 = 256 << 20;

/// A packed copy, seen by its first bytes.
pub(super) struct Packed {
    path: PathBuf,
    /// Of the packed file: what it is known by.
    pub(super) metadata: Metadata,
    head: Vec<u8>,
}

impl Packed {
    /// Looks at a packed file; `None` for one that is gone or cannot be unpacked.
    pub(super) fn look(path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok().filter(Metadata::is_file)?;
        let mut head = Vec::new();
        GzDecoder::new(File::open(path).ok()?).take(HEAD_BYTES).read_to_end(&mut head).ok()?;
        Some(Self { path: path.to_owned(), metadata, head })
    }

    /// Returns whether it begins as the file of a position did.
    pub(super) fn begins_as(&self, position: &Position) -> bool {
        let bytes = position.head_bytes as usize;
        let head = self.head.get(..bytes);
        bytes > 0 && head.is_some_and(|head| hash::of_bytes(head).as_str() == position.head)
    }

    /// Returns whether a position is of this very file.
    pub(super) fn is_of(&self, position: &Position) -> bool {
        position.is_file(&self.metadata)
    }

    /// Returns what it is known by once nothing in it is new.
    pub(super) fn position(&self) -> Option<Position> {
        let head_bytes = self.head.len() as u64;
        let head = hash::of_bytes(&self.head).as_str().to_owned();
        let (device, inode) = (self.metadata.dev(), self.metadata.ino());
        (head_bytes > 0).then_some(Position { device, inode, head_bytes, head, offset: head_bytes })
    }

    /// Returns whether it begins as a file does.
    pub(super) fn begins_alike(&self, file: &File) -> io::Result<bool> {
        let bytes = self.head.len() as u64;
        Ok(super::position::head(file, bytes)? == hash::of_bytes(&self.head).as_str())
    }

    /// Unpacks it, with the position of its beginning; `None` when it is too large or not whole.
    pub(super) fn unpack(&self) -> io::Result<Option<(File, Position)>> {
        let mut file = File::from(rustix::fs::memfd_create("guanka-copy", MemfdFlags::CLOEXEC)?);
        // Gone between two looks: whoever keeps no copies has none to be read.
        let Ok(packed) = File::open(&self.path) else { return Ok(None) };
        let mut reader = GzDecoder::new(packed).take(UNPACKED_MAX);
        let Ok(unpacked) = io::copy(&mut reader, &mut file) else { return Ok(None) };
        if unpacked == UNPACKED_MAX {
            return Ok(None);
        }
        let (device, inode) = (self.metadata.dev(), self.metadata.ino());
        let position = Position { device, inode, ..Position::start(&file)? };
        Ok(Some((file, position)))
    }
}
