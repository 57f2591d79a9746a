//! Rotates logs without losing a line: by rename where the writer opens its log anew when told to,
//! in place where it never does. Archives are `LOG.1`, `LOG.2.gz`, … `LOG.KEEP.gz`, newest first;
//! the newest stays as it is until the next rotation, for whoever still reads it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use guanka_core::facts::declared::Logs;
use rustix::fs::{FallocateFlags, fallocate};

use crate::files;

/// File systems take whole blocks out of a file; no one in use has larger ones.
const BLOCK: u64 = 64 << 10;

/// Rotates a log by rename when it has reached its size; `reopen` has its writer open it anew.
/// Returns whether it was due. Killed after the rename, the next call finds no log and has the
/// writer open one.
pub fn by_rename(
    log: &Path,
    logs: &Logs,
    reopen: &mut dyn FnMut() -> io::Result<()>,
) -> io::Result<bool> {
    let size = match fs::metadata(log) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if archive(log, 1).exists() {
                reopen()?;
            }
            return Ok(false);
        }
        other => other?.len(),
    };
    if size < logs.rotate.0 {
        return Ok(false);
    }
    shift(log, logs.keep)?;
    fs::rename(log, archive(log, 1))?;
    files::sync_parent(log)?;
    reopen()?;
    Ok(true)
}

/// Rotates a log in place when it has reached its size: its head is copied, then taken out of the
/// file by the file system itself, while the writer goes on behind it. Nothing is lost or doubled;
/// a line may begin in one archive and end in the next. Returns whether it was due.
pub fn in_place(log: &Path, logs: &Logs) -> io::Result<bool> {
    let file = match OpenOptions::new().read(true).write(true).open(log) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        other => other?,
    };
    let mark = beside(log, ".rotating");
    if mark.exists() {
        finish(&file, log)?;
        files::remove(&mark)?;
    }
    let size = file.metadata()?.len();
    let whole = size - size % BLOCK;
    if size < logs.rotate.0 || whole == 0 {
        return Ok(false);
    }
    shift(log, logs.keep)?;
    let newest = archive(log, 1);
    let part = beside(&newest, ".part");
    let mut copy = File::create(&part)?;
    let mut reader = &file;
    reader.seek(SeekFrom::Start(0))?;
    io::copy(&mut reader.take(whole), &mut copy)?;
    take_over_owner(&copy, &file.metadata()?)?;
    copy.sync_all()?;
    // From here on a kill leaves a mark, and only with it is the log's head looked for in the
    // archive: a program may well write the same lines for ever.
    files::replace(&mark, b"", 0o600)?;
    fs::rename(&part, &newest)?;
    files::sync_parent(log)?;
    collapse(&file, whole)?;
    files::remove(&mark)?;
    Ok(true)
}

/// Takes out of a log what an earlier call has copied and, killed, left in it: the log then begins
/// with the whole of its newest archive.
fn finish(file: &File, log: &Path) -> io::Result<()> {
    let newest = match File::open(archive(log, 1)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    let size = newest.metadata()?.len();
    if size == 0 || size % BLOCK != 0 || file.metadata()?.len() < size {
        return Ok(());
    }
    let mut reader = file;
    reader.seek(SeekFrom::Start(0))?;
    if same(&mut reader.take(size), &mut (&newest).take(size))? {
        collapse(file, size)?;
    }
    Ok(())
}

/// Returns whether two readers hold the same bytes.
fn same(one: &mut dyn Read, other: &mut dyn Read) -> io::Result<bool> {
    let (mut a, mut b) = (vec![0; 64 << 10], vec![0; 64 << 10]);
    loop {
        let read = one.read(&mut a)?;
        if read == 0 {
            return Ok(other.read(&mut b)? == 0);
        }
        if other.read_exact(&mut b[..read]).is_err() || a[..read] != b[..read] {
            return Ok(false);
        }
    }
}

fn collapse(file: &File, length: u64) -> io::Result<()> {
    let taken = fallocate(file, FallocateFlags::COLLAPSE_RANGE, 0, length);
    taken.map_err(|error| {
        let error = io::Error::from(error);
        let why = format!("the file system cannot take the head out of a file: {error}");
        io::Error::new(error.kind(), why)
    })
}

/// Makes room for the newest archive: the oldest goes, the others move on, the last newest is
/// packed.
fn shift(log: &Path, keep: u32) -> io::Result<()> {
    let keep = keep.max(1);
    files::remove(&packed(log, keep))?;
    for number in (2..keep).rev() {
        let from = packed(log, number);
        if from.exists() {
            fs::rename(&from, packed(log, number + 1))?;
        }
    }
    let newest = archive(log, 1);
    if keep > 1 && newest.exists() {
        pack(&newest, &packed(log, 2))?;
    }
    files::remove(&newest)
}

/// Packs a file whole or not at all, with the owner and mode it had.
fn pack(from: &Path, to: &Path) -> io::Result<()> {
    let part = beside(to, ".part");
    let mut source = File::open(from)?;
    let metadata = source.metadata()?;
    let mut encoder = GzEncoder::new(File::create(&part)?, Compression::default());
    io::copy(&mut source, &mut encoder)?;
    let mut file = encoder.finish()?;
    file.flush()?;
    take_over_owner(&file, &metadata)?;
    file.sync_all()?;
    fs::rename(&part, to)?;
    files::sync_parent(to)
}

fn take_over_owner(file: &File, of: &fs::Metadata) -> io::Result<()> {
    file.set_permissions(of.permissions())?;
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::fchown(file, Some(of.uid()), Some(of.gid()))?;
    }
    Ok(())
}

fn archive(log: &Path, number: u32) -> PathBuf {
    beside(log, &format!(".{number}"))
}

fn packed(log: &Path, number: u32) -> PathBuf {
    beside(log, &format!(".{number}.gz"))
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File, OpenOptions};
    use std::io::{Read, Write};
    use std::path::{Path, PathBuf};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::thread;

    use flate2::read::GzDecoder;
    use guanka_core::facts::declared::Logs;
    use guanka_core::quantity::Bytes;

    use super::{archive, beside, by_rename, in_place, packed};
    use crate::signals::follow::{Follower, Start};

    const MANY: u32 = 100_000;

    /// Returns everything that was ever written, oldest archive first.
    fn all_text(log: &Path) -> String {
        let mut text = String::new();
        for number in
            (2..MANY).take_while(|n| packed(log, *n).exists()).collect::<Vec<_>>().iter().rev()
        {
            let file = File::open(packed(log, *number)).expect("an archive");
            GzDecoder::new(file).read_to_string(&mut text).expect("whole");
        }
        for path in [archive(log, 1), log.to_owned()] {
            text.push_str(&fs::read_to_string(path).unwrap_or_default());
        }
        text
    }

    fn append(path: &Path) -> File {
        OpenOptions::new().create(true).append(true).open(path).expect("opened")
    }

    fn numbered(from: u32, to: u32) -> String {
        (from..to).map(|n| format!("line {n:06} {}\n", "x".repeat(50))).collect()
    }

    #[test]
    fn in_place_a_writer_that_never_reopens_loses_and_doubles_nothing() {
        let dir = tempfile::tempdir().expect("a folder");
        let log = dir.path().join("blue.log");
        let rotations = Arc::new(AtomicU32::new(0));
        let (seen, mut file) = (Arc::clone(&rotations), append(&log));
        let writer = thread::spawn(move || {
            let mut next = 0;
            while seen.load(Ordering::SeqCst) < 6 {
                // Far faster than the rotation the file would only grow.
                if file.metadata().expect("there").len() < 600 << 10 {
                    file.write_all(numbered(next, next + 10).as_bytes()).expect("written");
                    next += 10;
                }
                thread::yield_now();
            }
            next
        });
        let logs = Logs { rotate: Bytes(128 << 10), keep: MANY };
        while !writer.is_finished() {
            match in_place(&log, &logs) {
                Ok(done) => rotations.fetch_add(u32::from(done), Ordering::SeqCst),
                // A file system without the call is told of and left alone.
                Err(error) => {
                    rotations.store(6, Ordering::SeqCst);
                    writer.join().expect("no panic");
                    assert!(error.to_string().contains("cannot take the head"), "{error}");
                    return;
                }
            };
        }
        let written = writer.join().expect("no panic");
        assert!(all_text(&log) == numbered(0, written), "lost or doubled");
    }

    #[test]
    fn killed_between_copy_and_removal_nothing_is_doubled() {
        let dir = tempfile::tempdir().expect("a folder");
        let log = dir.path().join("blue.log");
        let text = numbered(0, 5000);
        fs::write(&log, &text).expect("written");
        let logs = Logs { rotate: Bytes(64 << 10), keep: 5 };
        if in_place(&log, &logs).is_err() {
            return;
        }
        assert_eq!(all_text(&log), text);
        // As a kill would have left it: the copy made, the head still there.
        let rest = fs::read(&log).expect("there");
        let mut whole = fs::read(archive(&log, 1)).expect("there");
        whole.extend(&rest);
        fs::write(&log, &whole).expect("written");
        fs::write(beside(&log, ".rotating"), "").expect("marked");
        let big = Logs { rotate: Bytes(1 << 30), keep: 5 };
        in_place(&log, &big).expect("finished");
        assert_eq!(all_text(&log), text);
    }

    #[test]
    fn a_program_that_writes_one_line_for_ever_keeps_all_of_them() {
        let dir = tempfile::tempdir().expect("a folder");
        let log = dir.path().join("blue.log");
        let logs = Logs { rotate: Bytes(64 << 10), keep: 50 };
        let mut file = append(&log);
        let piece = "the same lines!\n".repeat(20_000);
        for _ in 0..5 {
            file.write_all(piece.as_bytes()).expect("written");
            if in_place(&log, &logs).is_err() {
                return;
            }
        }
        assert_eq!(all_text(&log).len(), 5 * piece.len());
    }

    #[test]
    fn by_rename_a_follower_sees_every_line_once_and_the_oldest_archives_go() {
        let dir = tempfile::tempdir().expect("a folder");
        let log = dir.path().join("shop.demo.json");
        let mut writer = append(&log);
        let mut follower = Follower::new(&log, &[], Start::AtBeginning).expect("follows");
        let mut seen = Vec::new();
        let mut read = |follower: &mut Follower| {
            let batch = follower.poll().expect("read");
            seen.extend(batch.lines.clone());
            follower.commit(&batch);
        };
        // Beside a log that was never read nothing is ours.
        read(&mut follower);
        let logs = Logs { rotate: Bytes(1), keep: 3 };
        for round in 0..50 {
            writer.write_all(numbered(round * 20, round * 20 + 10).as_bytes()).expect("written");
            if round % 3 != 0 {
                read(&mut follower);
            }
            let mut fresh = None;
            let done = by_rename(&log, &logs, &mut || {
                // What nginx still writes before it has opened the new file.
                fresh = Some(append(&log));
                Ok(())
            });
            assert!(done.expect("rotated"));
            writer.write_all(numbered(round * 20 + 10, round * 20 + 20).as_bytes()).expect("late");
            writer = fresh.expect("opened anew");
            read(&mut follower);
        }
        let text: Vec<u8> =
            seen.into_iter().flat_map(|line| [line, b"\n".to_vec()].concat()).collect();
        let text = String::from_utf8(text).expect("text");
        let lines: Vec<&str> = text.lines().map(|line| &line[5..11]).collect();
        let wanted = numbered(0, 1000);
        let wanted: Vec<&str> = wanted.lines().map(|line| &line[5..11]).collect();
        let first = lines.iter().zip(&wanted).position(|(is, was)| is != was);
        assert!(lines == wanted, "{} lines, the first wrong one at {first:?}", lines.len());
        let there: Vec<PathBuf> = [archive(&log, 1), packed(&log, 2), packed(&log, 3)].into();
        assert!(there.iter().all(|path| path.exists()), "{there:?}");
        assert!(!packed(&log, 4).exists() && !archive(&log, 2).exists());
    }

    #[test]
    fn a_log_that_was_renamed_and_never_opened_anew_is_asked_for_again() {
        let dir = tempfile::tempdir().expect("a folder");
        let log = dir.path().join("a.json");
        let logs = Logs { rotate: Bytes(1), keep: 3 };
        let mut asked = 0;
        let mut reopen = || {
            asked += 1;
            Ok(())
        };
        assert!(!by_rename(&log, &logs, &mut reopen).expect("nothing there"));
        fs::write(archive(&log, 1), "x").expect("written");
        assert!(!by_rename(&log, &logs, &mut reopen).expect("asked"));
        assert_eq!(asked, 1);
    }
}
