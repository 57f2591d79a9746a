//! A log and its archives as one stream of bytes, each at its place in all that was ever written.
//! What a rotation changes while it is read is read again, so a line comes once or not yet.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use flate2::read::GzDecoder;
use guanka_parse::logtime;

use super::Unfinished;
use crate::clock;
use crate::rotate::archive;
use crate::rotate::record::Record;

/// The most bytes that one piece holds: as JSON it stays far below a frame's bound.
const PIECE_MAX: u64 = 4 << 20;
/// A longer line is given in parts.
const LINE_MAX: u64 = 1 << 20;
/// How often a look that a rotation went through is taken anew.
const TRIES: u32 = 20;

/// Lines from a place on.
#[derive(Debug, PartialEq, Eq)]
pub struct Piece {
    /// Complete lines, without their newline.
    pub lines: Vec<String>,
    /// The place behind them.
    pub next: u64,
    /// More is there already.
    pub is_more: bool,
}

/// A log with its archives at one moment, oldest first.
struct Snapshot {
    record: Record,
    segments: Vec<Segment>,
    /// Where the live file begins.
    live: u64,
    end: u64,
}

/// One file of the stream.
struct Segment {
    file: File,
    is_packed: bool,
    begin: u64,
    length: u64,
    written_ms: u64,
}

/// Reads the lines from a place on. Where archives have gone meanwhile it goes on with the oldest
/// one that is left.
pub fn read(log: &Path, place: u64, unfinished: Unfinished) -> io::Result<Piece> {
    let piece = look(log, |snapshot| snapshot.piece(place, unfinished))?;
    // Under way for long: nothing can be told yet, and nothing is skipped.
    Ok(piece.unwrap_or(Piece { lines: Vec::new(), next: place, is_more: false }))
}

/// Returns the place where the last lines begin.
pub fn place_of_last(log: &Path, lines: usize) -> io::Result<u64> {
    Ok(look(log, |snapshot| snapshot.last(lines))?.unwrap_or(0))
}

/// Returns the place of the first line that is not older than a time. A file in which no line
/// carries a time is taken whole when it was written to since.
pub fn place_since(log: &Path, since_ms: u64, offset_secs: i64) -> io::Result<u64> {
    Ok(look(log, |snapshot| snapshot.since(since_ms, offset_secs))?.unwrap_or(0))
}

/// Looks at a log while no rotation goes through it; `None` when one always does.
fn look<T>(log: &Path, see: impl Fn(&Snapshot) -> io::Result<T>) -> io::Result<Option<T>> {
    for _ in 0..TRIES {
        let record = Record::read(log, 0)?;
        if !record.is_moving() {
            let seen = Snapshot::take(log, record).and_then(|snapshot| {
                let seen = see(&snapshot)?;
                Ok((Record::read(log, 0)? == snapshot.record).then_some(seen))
            });
            match seen {
                Ok(Some(seen)) => return Ok(Some(seen)),
                Ok(None) => {}
                // An archive went between being listed and being opened.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        clock::pause(guanka_core::quantity::Millis(2));
    }
    Ok(None)
}

impl Snapshot {
    fn take(log: &Path, record: Record) -> io::Result<Self> {
        let mut segments = Vec::new();
        for (_, path) in archive::all_packed(log)? {
            if let Some(label) = archive::label(&path)? {
                segments.push(Segment {
                    file: File::open(&path)?,
                    is_packed: true,
                    begin: label.begin,
                    length: label.length,
                    written_ms: (label.written_secs + 1) * 1000,
                });
            }
        }
        let newest = archive::plain(log, 1);
        if let (Some(begin), true) = (record.newest, newest.exists()) {
            segments.push(Segment::plain(File::open(&newest)?, begin)?);
        }
        let live = record.begin;
        if fs::symlink_metadata(log).is_ok_and(|found| found.is_file()) {
            segments.push(Segment::plain(File::open(log)?, live)?);
        }
        segments.sort_by_key(|segment| segment.begin);
        // Killed between packing and removing, the same archive may be there twice.
        segments.dedup_by_key(|segment| segment.begin);
        let end = segments.last().map_or(live, |last| last.begin + last.length).max(live);
        Ok(Self { record, segments, live, end })
    }

    fn piece(&self, place: u64, unfinished: Unfinished) -> io::Result<Piece> {
        // Somebody emptied the log: it is read from its beginning.
        let from = if place > self.end { self.live } else { place };
        let mut lines = Lines { carry: Vec::new(), found: Vec::new(), next: from };
        let (mut at, mut left) = (from, PIECE_MAX);
        for segment in self.segments.iter().filter(|s| s.begin + s.length > from) {
            if segment.begin > at {
                lines.skip_to(segment.begin);
                at = segment.begin;
            }
            let bytes = segment.bytes(at - segment.begin, left)?;
            at += bytes.len() as u64;
            left -= bytes.len() as u64;
            lines.add(&bytes, at);
            if left == 0 {
                break;
            }
        }
        let is_end = at >= self.end;
        if is_end && unfinished == Unfinished::Given {
            lines.skip_to(at);
        }
        Ok(Piece { lines: lines.found, next: lines.next, is_more: !is_end })
    }

    fn last(&self, lines: usize) -> io::Result<u64> {
        if lines == 0 {
            return Ok(self.end);
        }
        let mut starts: VecDeque<u64> = VecDeque::new();
        for segment in self.segments.iter().rev() {
            let older = segment.line_starts(lines, self.end)?;
            for start in older.into_iter().rev() {
                starts.push_front(start);
            }
            if starts.len() >= lines {
                break;
            }
        }
        let first = self.segments.first().map_or(self.end, |segment| segment.begin);
        // The first line of all has no newline before it.
        let is_short = starts.len() < lines;
        if is_short { Ok(first) } else { Ok(starts[starts.len() - lines]) }
    }

    fn since(&self, since_ms: u64, offset_secs: i64) -> io::Result<u64> {
        for segment in &self.segments {
            if segment.written_ms >= since_ms
                && let Some(place) = segment.since(since_ms, offset_secs)?
            {
                return Ok(place);
            }
        }
        Ok(self.end)
    }
}

impl Segment {
    fn plain(file: File, begin: u64) -> io::Result<Self> {
        let found = file.metadata()?;
        let written = u64::try_from(found.mtime()).unwrap_or(0);
        let (length, written_ms) = (found.len(), (written + 1) * 1000);
        Ok(Self { file, is_packed: false, begin, length, written_ms })
    }

    /// Returns its bytes from an offset on, no more than a number.
    fn bytes(&self, from: u64, most: u64) -> io::Result<Vec<u8>> {
        let wanted = self.length.saturating_sub(from).min(most);
        let mut bytes = vec![0; wanted as usize];
        if self.is_packed {
            let mut reader = self.reader()?;
            io::copy(&mut reader.by_ref().take(from), &mut io::sink())?;
            reader.read_exact(&mut bytes)?;
        } else {
            self.file.read_exact_at(&mut bytes, from).map_err(|error| match error.kind() {
                // Shorter than it was a moment ago: looked at anew.
                io::ErrorKind::UnexpectedEof => io::Error::from(io::ErrorKind::NotFound),
                _ => error,
            })?;
        }
        Ok(bytes)
    }

    /// Opens it from its beginning.
    fn reader(&self) -> io::Result<Box<dyn BufRead + '_>> {
        io::Seek::rewind(&mut &self.file)?;
        let whole = BufReader::with_capacity(64 << 10, &self.file);
        Ok(if self.is_packed {
            Box::new(BufReader::with_capacity(64 << 10, GzDecoder::new(whole)))
        } else {
            Box::new(whole.take(self.length))
        })
    }

    /// Returns the places behind its last newlines, but for that at the very end of all.
    fn line_starts(&self, most: usize, end: u64) -> io::Result<VecDeque<u64>> {
        let mut starts = VecDeque::new();
        let mut reader = self.reader()?;
        let mut at = self.begin;
        loop {
            let bytes = reader.fill_buf()?;
            if bytes.is_empty() {
                return Ok(starts);
            }
            for (offset, _) in bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n') {
                let start = at + offset as u64 + 1;
                if start < end {
                    starts.push_back(start);
                }
                if starts.len() > most {
                    starts.pop_front();
                }
            }
            let read = bytes.len();
            at += read as u64;
            reader.consume(read);
        }
    }

    /// Returns the place of its first line that is not older than a time; `None` when all are.
    fn since(&self, since_ms: u64, offset_secs: i64) -> io::Result<Option<u64>> {
        let mut reader = self.reader()?;
        let (mut at, mut is_timed) = (self.begin, false);
        loop {
            let mut line = Vec::new();
            let read = reader.by_ref().take(LINE_MAX).read_until(b'\n', &mut line)?;
            if read == 0 {
                return Ok((!is_timed).then_some(self.begin));
            }
            let time = logtime::of_line(&String::from_utf8_lossy(&line), offset_secs);
            is_timed |= time.is_some();
            if time.is_some_and(|time| time >= since_ms) {
                return Ok(Some(at));
            }
            at += read as u64;
        }
    }
}

/// Lines put together from bytes as they come.
struct Lines {
    carry: Vec<u8>,
    found: Vec<String>,
    /// The place behind the last line that was found.
    next: u64,
}

impl Lines {
    /// Adds bytes that end at a place.
    fn add(&mut self, bytes: &[u8], end: u64) {
        let mut at = end - bytes.len() as u64;
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            at += part.len() as u64;
            self.carry.extend_from_slice(part);
            if part.ends_with(b"\n") || self.carry.len() as u64 >= LINE_MAX {
                self.skip_to(at);
            }
        }
    }

    /// Gives what is there as a line and goes on at a place.
    fn skip_to(&mut self, place: u64) {
        if !self.carry.is_empty() {
            let text = self.carry.strip_suffix(b"\n").unwrap_or(&self.carry);
            let text = text.strip_suffix(b"\r").unwrap_or(text);
            self.found.push(String::from_utf8_lossy(text).into_owned());
            self.carry.clear();
        }
        self.next = place;
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File, OpenOptions};
    use std::io::Write;
    use std::path::{Path, PathBuf};

    use guanka_core::facts::declared::{LogPlace, Logs};
    use guanka_core::quantity::Bytes;

    use super::super::Unfinished;
    use super::{place_of_last, place_since, read};
    use crate::rotate::{self, Outcome, Turn, archive};

    /// A log that is written and rotated.
    struct Log {
        path: PathBuf,
        next: u32,
        _dir: tempfile::TempDir,
    }

    impl Log {
        fn new() -> Self {
            let dir = tempfile::tempdir().expect("a folder");
            Self { path: dir.path().join("blue.log"), next: 0, _dir: dir }
        }

        fn file(&self) -> File {
            OpenOptions::new().create(true).append(true).open(&self.path).expect("opened")
        }

        /// Writes numbered lines, one a minute from eight o'clock on.
        fn write(&mut self, count: u32) {
            let mut text = String::new();
            for n in self.next..self.next + count {
                let (hour, minute) = (8 + n / 60, n % 60);
                text.push_str(&format!("2020/11/24 {hour:02}:{minute:02}:00 line {n}\n"));
            }
            self.next += count;
            self.file().write_all(text.as_bytes()).expect("written");
        }

        fn rotate(&self, keep: u32) {
            let budget = Bytes(1 << 40);
            let place = LogPlace::File;
            let logs = Logs { rotate: Bytes(1), every: None, keep, budget, place };
            let turn = Turn { log: &self.path, logs: &logs, now_ms: 1000 };
            let done = rotate::by_rename(&turn, &mut || Ok(Vec::new())).expect("rotated");
            assert_eq!(done, Outcome::Rotated);
        }
    }

    /// Returns the numbers of all lines from a place on, and the place behind them.
    fn numbers(log: &Path, mut place: u64) -> (Vec<u32>, u64) {
        let mut found = Vec::new();
        loop {
            let piece = read(log, place, Unfinished::Left).expect("read");
            let number = |line: &String| line.rsplit(' ').next()?.parse::<u32>().ok();
            found.extend(piece.lines.iter().map(|line| number(line).expect("a number")));
            place = piece.next;
            if !piece.is_more {
                return (found, place);
            }
        }
    }

    #[test]
    fn whoever_goes_on_from_a_place_gets_each_line_once_over_rotations() {
        let mut log = Log::new();
        let (mut place, mut seen) = (0, Vec::new());
        for round in 0..30 {
            log.write(7);
            if round % 4 != 3 {
                let (more, next) = numbers(&log.path, place);
                seen.extend(more);
                place = next;
            }
            log.rotate(7);
        }
        seen.extend(numbers(&log.path, place).0);
        assert_eq!(seen, (0..210).collect::<Vec<_>>());
    }

    #[test]
    fn behind_archives_that_are_gone_the_oldest_that_is_left_comes_next() {
        let mut log = Log::new();
        log.write(1);
        let (_, place) = numbers(&log.path, 0);
        for _ in 0..5 {
            log.write(10);
            log.rotate(2);
        }
        log.write(1);
        assert_eq!(numbers(&log.path, place).0, (31..52).collect::<Vec<_>>());
    }

    #[test]
    fn the_last_lines_are_found_over_archives() {
        let mut log = Log::new();
        for _ in 0..3 {
            log.write(10);
            log.rotate(7);
        }
        log.write(3);
        let last = |count| {
            let place = place_of_last(&log.path, count).expect("found");
            numbers(&log.path, place).0
        };
        assert_eq!(last(0), Vec::<u32>::new());
        assert_eq!(last(2), [31, 32]);
        assert_eq!(last(14), (19..33).collect::<Vec<_>>());
        assert_eq!(last(33), (0..33).collect::<Vec<_>>());
        assert_eq!(last(5000), (0..33).collect::<Vec<_>>());
    }

    #[test]
    fn a_time_is_found_in_the_archive_it_belongs_to() {
        let mut log = Log::new();
        for _ in 0..3 {
            log.write(30);
            log.rotate(7);
        }
        log.write(30);
        // 2020-11-24T08:00:00Z; the times of files are of today, so only lines can tell.
        let eight = 1_606_204_800_000;
        let from = |minute: u64| {
            let place = place_since(&log.path, eight + minute * 60_000, 0).expect("found");
            numbers(&log.path, place).0.first().copied()
        };
        assert_eq!(from(0), Some(0));
        assert_eq!(from(45), Some(45));
        assert_eq!(from(100), Some(100));
        let zone = place_since(&log.path, eight, 8 * 3600).expect("found");
        assert_eq!(numbers(&log.path, zone).0, Vec::<u32>::new(), "noon there is four here");
    }

    #[test]
    fn an_unfinished_line_is_given_to_who_looks_once_and_left_to_who_goes_on() {
        let mut log = Log::new();
        log.write(1);
        log.file().write_all(b"panic: hal").expect("written");
        let left = read(&log.path, 0, Unfinished::Left).expect("read");
        let given = read(&log.path, 0, Unfinished::Given).expect("read");
        assert_eq!((left.lines.len(), given.lines.len()), (1, 2));
        log.rotate(7);
        log.file().write_all(b"f a line 1\n").expect("written");
        assert_eq!(numbers(&log.path, left.next).0, [1], "put together over the rotation");
    }

    #[test]
    fn a_log_that_somebody_emptied_is_read_from_its_beginning() {
        let mut log = Log::new();
        log.write(5);
        let (_, place) = numbers(&log.path, 0);
        fs::write(&log.path, "").expect("emptied");
        log.write(1);
        assert_eq!(numbers(&log.path, place).0, [5]);
        assert!(!archive::plain(&log.path, 1).exists());
    }
}
