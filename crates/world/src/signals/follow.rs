//! Follows one log file through rename, copy-and-truncate and replacement. Complete lines come out
//! in batches, each with the positions to commit in the same transaction as their counts, so that
//! no line is lost or counted twice over any restart.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use guanka_core::quantity::Millis;

use super::packed::Packed;
use super::position::{self, HEAD_BYTES, Position};
use crate::{clock, files};

/// The most that one batch holds; a following poll goes on.
const BATCH_BYTES: u64 = 8 << 20;

/// A line longer than this is no log line of ours: it is counted as broken and passed over.
const LINE_MAX: usize = 1 << 20;

/// How long a file is still read after its name has gone to another and nothing more was written to
/// it. guanka's own rotation needs milliseconds; the panel's packs every site's log first and has
/// nginx reopen in the end.
const LINGER: Millis = Millis::from_secs(20);

/// What was cut and never seen is looked for among files of this age: a day's cuts.
const UNSEEN: Millis = Millis::from_secs(86_400);

/// The most files that are read on beside the current one.
const OLD_MAX: usize = 256;

/// The most files that are remembered; far more than archives are kept.
const KNOWN_MAX: usize = 1000;

/// How many sibling files are looked at when the followed one has been moved away.
const SIBLINGS_MAX: usize = 1000;

/// Lines with the positions that hold once they are counted.
#[derive(Debug, Default)]
pub struct Batch {
    /// Complete lines, without their newline.
    pub lines: Vec<Vec<u8>>,
    /// Lines too long to be one.
    pub broken: u64,
    /// Where each file is read up to then.
    pub positions: Vec<Position>,
    /// More could be read at once.
    pub is_full: bool,
}

/// Follows one path.
pub struct Follower {
    path: PathBuf,
    current: Option<Open>,
    old: Vec<Open>,
    /// Every file read so far: what stands beside the log and is not among them came and went
    /// unseen.
    known: Vec<Position>,
    /// Positions to be stored with the next batch.
    noted: Vec<Position>,
}

struct Open {
    file: File,
    position: Position,
    /// When it was found with nothing new first, since it lost its name.
    quiet: Option<Instant>,
}

impl Follower {
    /// Starts from the positions that were committed last. A file that is not among them is read
    /// from its beginning; with no position at all, from its end when `from_end` says so.
    pub fn new(path: &Path, committed: &[Position], start: Start) -> io::Result<Self> {
        let known = committed.to_vec();
        let (path, old, noted) = (path.to_path_buf(), Vec::new(), Vec::new());
        let mut follower = Self { path, current: None, old, known, noted };
        for position in committed {
            follower.reopen(position)?;
        }
        follower.take_unseen()?;
        if committed.is_empty()
            && start == Start::AtEnd
            && let Some(file) = open(&follower.path)?
        {
            let begin = Position::start(&file)?;
            let end = last_line_end(&file)?;
            let position = begin.advanced(&file, end)?;
            follower.current = Some(Open { file, position, quiet: None });
        }
        Ok(follower)
    }

    /// Reads what is new. Nothing moves on until the batch's positions are handed to `commit`.
    pub fn poll(&mut self) -> io::Result<Batch> {
        self.look()?;
        let mut batch = Batch { positions: std::mem::take(&mut self.noted), ..Batch::default() };
        for open in &mut self.old {
            let before = batch.lines.len();
            read_lines(open, &mut batch)?;
            let is_quiet = batch.lines.len() == before;
            open.quiet = is_quiet.then(|| open.quiet.unwrap_or_else(clock::monotonic));
        }
        if let Some(open) = &self.current {
            read_lines(open, &mut batch)?;
        }
        Ok(batch)
    }

    /// Takes a batch's positions as reached, after they were stored.
    pub fn commit(&mut self, batch: &Batch) {
        for open in self.old.iter_mut().chain(self.current.as_mut()) {
            for position in &batch.positions {
                // What the same file held before it was emptied stays known: its copy begins so.
                let is_older = |p: &Position| {
                    let is_file = (p.device, p.inode) == (position.device, position.inode);
                    is_file && (p.head_bytes < HEAD_BYTES || p.head == position.head)
                };
                self.known.retain(|p| !is_older(p));
                self.known.push(position.clone());
                if position.device == open.position.device && position.inode == open.position.inode
                {
                    open.position = position.clone();
                }
            }
        }
        self.known.drain(..self.known.len().saturating_sub(KNOWN_MAX));
        if !batch.is_full {
            let now = clock::monotonic();
            let linger = Duration::from_millis(LINGER.0);
            self.old.retain(|open| open.quiet.is_none_or(|since| now - since < linger));
            self.old.drain(..self.old.len().saturating_sub(OLD_MAX));
        }
    }

    /// Finds the file that now has the name, and what became of the one that had it.
    fn look(&mut self) -> io::Result<()> {
        let Some(named) = open(&self.path)? else { return Ok(()) };
        let metadata = named.metadata()?;
        match self.current.take() {
            None => {
                let position = Position::start(&named)?;
                self.current = Some(Open { file: named, position, quiet: None });
            }
            Some(open) if !open.position.is_file(&metadata) => {
                self.old.push(open);
                self.take_unseen()?;
                let position = Position::start(&named)?;
                self.current = Some(Open { file: named, position, quiet: None });
            }
            Some(open) if !open.position.holds(&named)? => {
                // Copied and truncated: the rest of what was there lies in the copy.
                if let Some(copy) = self.copy_of(&open.position)? {
                    self.old.push(copy);
                }
                self.take_unseen()?;
                let position = Position::start(&named)?;
                self.current = Some(Open { file: named, position, quiet: None });
            }
            Some(open) => {
                // Seen empty only: filled, copied and emptied again it would look the same.
                if open.position.head_bytes == 0 {
                    self.take_unseen()?;
                }
                self.current = Some(open);
            }
        }
        Ok(())
    }

    /// Finds the file of a committed position: under its name, or renamed beside it.
    fn reopen(&mut self, position: &Position) -> io::Result<()> {
        if let Some(file) = open(&self.path)?
            && position.is_file(&file.metadata()?)
        {
            if position.holds(&file)? {
                self.current = Some(Open { file, position: position.clone(), quiet: None });
            } else if let Some(copy) = self.copy_of(position)? {
                self.old.push(copy);
            }
            return Ok(());
        }
        for path in self.siblings()? {
            let Some(file) = open(&path)? else { continue };
            if position.is_file(&file.metadata()?) && position.holds(&file)? {
                self.old.push(Open { file, position: position.clone(), quiet: None });
                return Ok(());
            }
        }
        Ok(())
    }

    /// Opens the files beside the log that nobody has read: written and rotated away between two
    /// looks. Without any known file nothing beside the log is ours.
    fn take_unseen(&mut self) -> io::Result<()> {
        if self.known.is_empty() {
            return Ok(());
        }
        let named = open(&self.path)?;
        let mut unseen = Vec::new();
        for path in self.siblings()? {
            let Some(file) = open(&path)? else { continue };
            let metadata = file.metadata()?;
            let is_ours = metadata.is_file() && !self.is_known(&file, &metadata)?;
            // A copy of what has the name now is being made, and will be found by its head.
            let is_copy = match &named {
                Some(named) => begins_alike(&file, named)?,
                None => false,
            };
            if is_ours && !is_copy && is_recent(metadata.modified()?) {
                let position = Position::start(&file)?;
                unseen.push((metadata.modified()?, Open { file, position, quiet: None }));
            }
        }
        let mut noted = Vec::new();
        for packed in self.packed() {
            let reading = self.old.iter().map(|open| &open.position);
            let alike = self.known.iter().chain(reading).filter(|known| packed.begins_as(known));
            let (itself, others): (Vec<_>, Vec<_>) = alike.partition(|known| packed.is_of(known));
            let is_known = others.iter().any(|known| known.head_bytes == HEAD_BYTES);
            if is_known && itself.is_empty() {
                // Known from now on by itself: the copy it was packed from is gone, and its number
                // will be another file's.
                noted.extend(packed.position());
            }
            let is_known = is_known || !itself.is_empty();
            let is_copy = match &named {
                Some(named) => packed.begins_alike(named)?,
                None => false,
            };
            let modified = packed.metadata.modified()?;
            if !is_known
                && !is_copy
                && is_recent(modified)
                && let Some((file, position)) = packed.unpack()?
            {
                unseen.push((modified, Open { file, position, quiet: None }));
            }
        }
        self.noted.append(&mut noted);
        unseen.sort_by_key(|(modified, _)| *modified);
        self.old.extend(unseen.into_iter().map(|(_, open)| open));
        Ok(())
    }

    /// Returns whether a file, or one that begins as it does, was read or is being read.
    fn is_known(&self, file: &File, metadata: &fs::Metadata) -> io::Result<bool> {
        let head = position::head(file, HEAD_BYTES)?;
        let reading = self.old.iter().map(|open| &open.position);
        for position in self.known.iter().chain(reading) {
            let is_it = if position.is_file(metadata) {
                position.holds(file)?
            } else {
                let is_whole = position.head_bytes == HEAD_BYTES;
                is_whole && position.head == head && metadata.len() >= position.offset
            };
            if is_it {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Finds the copy that a truncating rotation made: another file with the same head.
    fn copy_of(&self, position: &Position) -> io::Result<Option<Open>> {
        if position.head_bytes == 0 {
            return Ok(None);
        }
        for path in self.siblings()? {
            let Some(file) = open(&path)? else { continue };
            let metadata = file.metadata()?;
            if !position.is_file(&metadata)
                && position.holds(&file)?
                && !self.is_read(&file, &metadata)?
            {
                let own =
                    Position { device: metadata.dev(), inode: metadata.ino(), ..position.clone() };
                return Ok(Some(Open { file, position: own, quiet: None }));
            }
        }
        for packed in self.packed().filter(|packed| packed.begins_as(position)) {
            let is_it = |known: &Position| packed.is_of(known) && packed.begins_as(known);
            if !self.known.iter().any(is_it)
                && let Some((file, start)) = packed.unpack()?
                && position.holds(&file)?
            {
                let (device, inode) = (start.device, start.inode);
                let own = Position { device, inode, ..position.clone() };
                return Ok(Some(Open { file, position: own, quiet: None }));
            }
        }
        Ok(None)
    }

    /// Returns whether a file has a position of its own already.
    fn is_read(&self, file: &File, metadata: &fs::Metadata) -> io::Result<bool> {
        for position in &self.known {
            if position.is_file(metadata) && position.holds(file)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Returns the files beside the followed one whose names begin with its name, and those in the
    /// folders that the panel's cutters make beside it.
    fn siblings(&self) -> io::Result<Vec<PathBuf>> {
        let (Some(folder), Some(name)) = (self.path.parent(), self.path.file_name()) else {
            return Ok(Vec::new());
        };
        let name = name.to_string_lossy().into_owned();
        let mut found = Vec::new();
        for entry in fs::read_dir(folder)?.take(SIBLINGS_MAX) {
            let path = entry?.path();
            let other = path.file_name().map(|n| n.to_string_lossy().into_owned());
            // A packed archive holds what was read before it was packed, and no lines to read.
            let is_log = |other: String| {
                other != name && other.starts_with(&name) && !other.ends_with(".gz")
            };
            if other.is_some_and(is_log) {
                found.push(path);
            }
        }
        found.extend(self.cut().into_iter().filter(|path| !is_packed(path)));
        found.sort();
        found.dedup();
        Ok(found)
    }

    /// Returns the packed copies that the panel's cutters made.
    fn packed(&self) -> impl Iterator<Item = Packed> {
        let packed = self.cut().into_iter().filter(|path| is_packed(path));
        packed.filter_map(|path| Packed::look(&path))
    }

    /// Returns the files in the folders that the panel's cutters make beside the log.
    fn cut(&self) -> Vec<PathBuf> {
        let (Some(folder), Some(name)) = (self.path.parent(), self.path.file_name()) else {
            return Vec::new();
        };
        let stem = self.path.file_stem().map(|stem| stem.to_string_lossy()).unwrap_or_default();
        let cut = [
            folder.join(format!("{}-history_logs", name.to_string_lossy())),
            folder.join(format!("{stem}-history_logs")),
            folder.join("history_backups").join(&*stem),
        ];
        let in_folder = |folder: &PathBuf| {
            // One that may not be looked into holds nothing for us.
            let names = files::folder_names(folder).unwrap_or_default().into_iter();
            names.take(SIBLINGS_MAX).map(|name| folder.join(name)).collect::<Vec<_>>()
        };
        cut.iter().flat_map(in_folder).collect()
    }
}

/// Returns whether a file was written to lately: older ones were read, or forgotten, long ago.
fn is_recent(modified: SystemTime) -> bool {
    modified.elapsed().is_ok_and(|age| age.as_millis() < u128::from(UNSEEN.0))
        || modified > SystemTime::now()
}

fn is_packed(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == "gz")
}

/// Where a file is read from when nothing is known of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// From its beginning.
    AtBeginning,
    /// From its end: what lies in it was counted by nobody and is not ours to count.
    AtEnd,
}

/// Reads complete lines into a batch, up to its size.
fn read_lines(open: &Open, batch: &mut Batch) -> io::Result<()> {
    let length = open.file.metadata()?.len();
    let from = open.position.offset;
    let wanted = length.saturating_sub(from).min(BATCH_BYTES);
    let mut bytes = vec![0; wanted as usize];
    let read = read_at_most(&open.file, &mut bytes, from)?;
    bytes.truncate(read);
    let Some(last) = bytes.iter().rposition(|byte| *byte == b'\n') else {
        if bytes.len() > LINE_MAX {
            batch.broken += 1;
            let position = open.position.advanced(&open.file, from + bytes.len() as u64)?;
            batch.positions.push(position);
        } else {
            // Said even when nothing is new: it takes the place of what the file was before.
            batch.positions.push(open.position.clone());
        }
        return Ok(());
    };
    let offset = from + last as u64 + 1;
    let position = open.position.advanced(&open.file, offset)?;
    // Emptied while it was read: what was read may begin in the middle of a line. The next poll
    // finds the copy.
    if !position.holds(&open.file)? {
        batch.positions.push(open.position.clone());
        return Ok(());
    }
    for line in bytes[..last].split(|byte| *byte == b'\n') {
        if line.len() > LINE_MAX {
            batch.broken += 1;
        } else {
            batch.lines.push(line.to_vec());
        }
    }
    batch.is_full |= offset < length && wanted == BATCH_BYTES;
    batch.positions.push(position);
    Ok(())
}

/// Returns whether one file is the beginning of another, as far as heads tell.
fn begins_alike(file: &File, other: &File) -> io::Result<bool> {
    let bytes = file.metadata()?.len().min(HEAD_BYTES);
    Ok(bytes == 0 || position::head(file, bytes)? == position::head(other, bytes)?)
}

fn read_at_most(file: &File, buffer: &mut [u8], from: u64) -> io::Result<usize> {
    let mut done = 0;
    while done < buffer.len() {
        match file.read_at(&mut buffer[done..], from + done as u64)? {
            0 => break,
            more => done += more,
        }
    }
    Ok(done)
}

/// Returns where the last complete line ends.
fn last_line_end(file: &File) -> io::Result<u64> {
    let length = file.metadata()?.len();
    let from = length.saturating_sub(LINE_MAX as u64);
    let mut bytes = vec![0; (length - from) as usize];
    let read = read_at_most(file, &mut bytes, from)?;
    let end = bytes[..read].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at as u64 + 1);
    Ok(from + end)
}

/// Opens a file that may not be there.
fn open(path: &Path) -> io::Result<Option<File>> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
#[path = "follow_tests.rs"]
mod tests;
