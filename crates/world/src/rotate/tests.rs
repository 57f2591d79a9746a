//! Rotations under writers that go on, and rotations ended at each of their steps as by a kill.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use flate2::read::GzDecoder;
use guanka_core::facts::declared::{LogPlace, Logs};
use guanka_core::quantity::{Bytes, Millis};

use super::archive::{all_packed, label, packed, plain};
use super::record::Record;
use super::{Outcome, Turn, in_place, make_room, rename};
use crate::signals::follow::{Follower, Start};

const MANY: u32 = 100_000;
/// No writer here writes more than this many lines, whatever became of its reader.
const LINES_MAX: u32 = 200_000;

/// Returns everything that was ever written, oldest archive first.
fn all_text(log: &Path) -> String {
    let mut text = String::new();
    for (_, path) in all_packed(log).expect("listed").into_iter().rev() {
        let file = File::open(path).expect("an archive");
        GzDecoder::new(file).read_to_string(&mut text).expect("whole");
    }
    for path in [plain(log, 1), log.to_owned()] {
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

fn logs(rotate: u64, keep: u32) -> Logs {
    let budget = Bytes(1 << 40);
    Logs { rotate: Bytes(rotate), every: None, keep, budget, place: LogPlace::File }
}

fn turn<'a>(log: &'a Path, logs: &'a Logs) -> Turn<'a> {
    Turn { log, logs, now_ms: 1000 }
}

fn is_unable(error: &io::Error) -> bool {
    error.to_string().contains("cannot take the head")
}

#[test]
fn in_place_a_writer_that_never_reopens_loses_and_doubles_nothing() {
    let dir = tempfile::tempdir().expect("a folder");
    let log = dir.path().join("blue.log");
    let rotations = Arc::new(AtomicU32::new(0));
    let (seen, mut file) = (Arc::clone(&rotations), append(&log));
    let writer = thread::spawn(move || {
        let mut next = 0;
        while seen.load(Ordering::SeqCst) < 6 && next < LINES_MAX {
            // Far faster than the rotation the file would only grow.
            if file.metadata().expect("there").len() < 600 << 10 {
                file.write_all(numbered(next, next + 10).as_bytes()).expect("written");
                next += 10;
            }
            thread::yield_now();
        }
        next
    });
    let logs = logs(128 << 10, MANY);
    while !writer.is_finished() {
        match in_place(&turn(&log, &logs)) {
            Ok(done) => rotations.fetch_add(u32::from(done == Outcome::Rotated), Ordering::SeqCst),
            // A file system without the call is told of and left alone.
            Err(error) => {
                rotations.store(6, Ordering::SeqCst);
                writer.join().expect("no panic");
                assert!(is_unable(&error), "{error}");
                return;
            }
        };
    }
    let written = writer.join().expect("no panic");
    assert!(rotations.load(Ordering::SeqCst) >= 6, "the writer reached its bound");
    assert!(all_text(&log) == numbered(0, written), "lost or doubled");
}

/// Lets a rotation end at its n-th step and goes on with another; nothing may be lost or doubled,
/// whatever the program writes. Returns how many steps there are.
fn killed_everywhere(line: fn(u32) -> String) -> Option<u32> {
    for at in 0.. {
        let dir = tempfile::tempdir().expect("a folder");
        let log = dir.path().join("blue.log");
        let logs = logs(64 << 10, 50);
        let mut text = String::new();
        let mut steps = 0;
        for round in 0..4 {
            let more: String = (round * 2000..(round + 1) * 2000).map(line).collect();
            append(&log).write_all(more.as_bytes()).expect("written");
            text.push_str(&more);
            let mut kill = |_: &'static str| {
                steps += 1;
                // Once only, in the third rotation: there is an archive to pack and one to move on.
                if round == 2 && steps == at { Err(io::Error::other("killed")) } else { Ok(()) }
            };
            match super::in_place::stepwise(&turn(&log, &logs), &mut kill) {
                Err(error) if is_unable(&error) => return None,
                Err(error) => assert_eq!(error.to_string(), "killed"),
                Ok(_) => {}
            }
            if round == 1 {
                steps = 0;
            }
        }
        // What a kill left is put right at the next look, due or not.
        in_place(&turn(&log, &super::tests::logs(1 << 30, 50))).expect("goes on");
        assert!(all_text(&log) == text, "killed at step {at}: lost or doubled");
        if at > steps {
            return Some(steps);
        }
    }
    None
}

#[test]
fn killed_at_any_step_in_place_nothing_is_lost_or_doubled() {
    if let Some(steps) = killed_everywhere(|n| format!("line {n:06} {}\n", "x".repeat(50))) {
        assert!(steps > 8, "only {steps} steps were seen");
    }
}

#[test]
fn a_program_that_writes_one_line_for_ever_keeps_all_of_them_over_any_kill() {
    let _ = killed_everywhere(|_| format!("the same line {}\n", "x".repeat(49)));
}

/// A writer that opens its log anew when told to, as nginx does: what it still writes before lands
/// in the archive.
struct Writer {
    log: PathBuf,
    file: File,
}

impl Writer {
    fn write(&mut self, from: u32, to: u32) {
        self.file.write_all(numbered(from, to).as_bytes()).expect("written");
    }

    fn reopen(&mut self) -> io::Result<Vec<u32>> {
        self.file = append(&self.log);
        Ok(vec![std::process::id()])
    }
}

#[test]
fn killed_at_any_step_by_rename_nothing_is_lost_or_doubled() {
    for at in 0.. {
        let dir = tempfile::tempdir().expect("a folder");
        let log = dir.path().join("a.json");
        let mut writer = Writer { log: log.clone(), file: append(&log) };
        let logs = logs(1, 50);
        let mut steps = 0;
        for round in 0..5 {
            writer.write(round * 20, round * 20 + 10);
            let mut kill = |_: &'static str| {
                steps += 1;
                if round == 2 && steps == at { Err(io::Error::other("killed")) } else { Ok(()) }
            };
            let done = rename::stepwise(&turn(&log, &logs), &mut || writer.reopen(), &mut kill);
            if let Err(error) = done {
                assert_eq!(error.to_string(), "killed");
            }
            writer.write(round * 20 + 10, round * 20 + 20);
            if round == 1 {
                steps = 0;
            }
        }
        assert!(all_text(&log) == numbered(0, 100), "killed at step {at}: lost or doubled");
        let begin = Record::read(&log, 0).expect("a record").begin;
        let here = fs::metadata(&log).expect("there").len();
        let all = numbered(0, 100).len() as u64;
        assert_eq!(begin + here - (1 << 40), all, "killed at step {at}: the place is wrong");
        if at > steps {
            assert!(steps > 6, "only {steps} steps were seen");
            return;
        }
    }
}

#[test]
fn by_rename_a_follower_sees_every_line_once_and_the_oldest_archives_go() {
    let dir = tempfile::tempdir().expect("a folder");
    let log = dir.path().join("shop.demo.json");
    let mut writer = Writer { log: log.clone(), file: append(&log) };
    let mut follower = Follower::new(&log, &[], Start::AtBeginning).expect("follows");
    let mut seen = Vec::new();
    let mut read = |follower: &mut Follower| {
        let batch = follower.poll().expect("read");
        seen.extend(batch.lines.clone());
        follower.commit(&batch);
    };
    // Beside a log that was never read nothing is ours.
    read(&mut follower);
    let logs = logs(1, 3);
    for round in 0..50 {
        writer.write(round * 20, round * 20 + 10);
        if round % 3 != 0 {
            read(&mut follower);
        }
        let done = rename::by_rename(&turn(&log, &logs), &mut || {
            // What nginx still writes before it has opened the new file.
            writer.write(round * 20 + 10, round * 20 + 15);
            writer.reopen()
        });
        assert_eq!(done.expect("rotated"), Outcome::Rotated);
        writer.write(round * 20 + 15, round * 20 + 20);
        read(&mut follower);
    }
    let lines = String::from_utf8(seen.join(&b'\n')).expect("text") + "\n";
    assert!(lines == numbered(0, 1000), "{} lines", lines.lines().count());
    let there: Vec<PathBuf> = [plain(&log, 1), packed(&log, 2), packed(&log, 3)].into();
    assert!(there.iter().all(|path| path.exists()), "{there:?}");
    assert!(!packed(&log, 4).exists() && !plain(&log, 2).exists());
}

#[test]
fn owner_and_mode_stay_and_each_archive_says_where_it_begins() {
    let dir = tempfile::tempdir().expect("a folder");
    let log = dir.path().join("a.json");
    let mut writer = Writer { log: log.clone(), file: append(&log) };
    fs::set_permissions(&log, fs::Permissions::from_mode(0o640)).expect("set");
    let logs = logs(1, 3);
    for round in 0..3 {
        writer.write(round, round + 1);
        rename::by_rename(&turn(&log, &logs), &mut || {
            writer.reopen()?;
            // As nginx does with what it opens anew.
            fs::set_permissions(&log, fs::Permissions::from_mode(0o644))?;
            Ok(vec![std::process::id()])
        })
        .expect("rotated");
        assert_eq!(fs::metadata(&log).expect("there").mode() & 0o777, 0o640);
    }
    let line = numbered(0, 1).len() as u64;
    let oldest = label(&packed(&log, 3)).expect("read").expect("ours");
    assert_eq!((oldest.begin, oldest.length), (1 << 40, line));
    let record = Record::read(&log, 0).expect("a record");
    assert_eq!((record.newest, record.begin), (Some((1 << 40) + 2 * line), (1 << 40) + 3 * line));
}

#[test]
fn a_log_due_by_its_time_is_rotated_by_the_time_in_its_record() {
    let dir = tempfile::tempdir().expect("a folder");
    let log = dir.path().join("a.json");
    let mut writer = Writer { log: log.clone(), file: append(&log) };
    let logs = Logs { every: Some(Millis(5000)), ..logs(1 << 30, 3) };
    let look = |writer: &mut Writer, now_ms| {
        let turn = Turn { log: &log, logs: &logs, now_ms };
        rename::by_rename(&turn, &mut || writer.reopen()).expect("looked")
    };
    writer.write(0, 1);
    assert_eq!(look(&mut writer, 1000), Outcome::NotDue, "first seen");
    assert_eq!(look(&mut writer, 5999), Outcome::NotDue);
    assert_eq!(look(&mut writer, 6000), Outcome::Rotated);
    assert_eq!(look(&mut writer, 20_000), Outcome::NotDue, "nothing was written");
    writer.write(1, 2);
    assert_eq!(look(&mut writer, 20_000), Outcome::Rotated);
}

#[test]
fn a_writer_that_does_not_reopen_is_told_of_and_asked_again() {
    let dir = tempfile::tempdir().expect("a folder");
    let log = dir.path().join("a.json");
    let mut writer = Writer { log: log.clone(), file: append(&log) };
    writer.write(0, 10);
    let logs = logs(1, 3);
    let refused = rename::by_rename(&turn(&log, &logs), &mut || Err(io::Error::other("no nginx")));
    assert_eq!(refused.expect_err("refused").to_string(), "no nginx");
    writer.write(10, 20);
    let done = rename::by_rename(&turn(&log, &logs), &mut || writer.reopen());
    assert_eq!(done.expect("goes on"), Outcome::NotDue, "the new log is empty");
    writer.write(20, 30);
    assert_eq!(all_text(&log), numbered(0, 30));
}

#[test]
fn archives_beyond_the_budget_go_oldest_first_and_a_live_log_never() {
    let dir = tempfile::tempdir().expect("a folder");
    let log = dir.path().join("a.json");
    let mut writer = Writer { log: log.clone(), file: append(&log) };
    let logs = logs(1, 9);
    for round in 0..5 {
        writer.write(round * 100, round * 100 + 100);
        rename::by_rename(&turn(&log, &logs), &mut || writer.reopen()).expect("rotated");
    }
    writer.write(500, 600);
    let live = fs::metadata(&log).expect("there").len();
    let all = [log.clone()];
    let before = make_room(&all, Bytes(1 << 40)).expect("looked");
    assert_eq!(before.gone, 0);
    let some = make_room(&all, Bytes(before.all.0 - 1)).expect("made");
    assert_eq!((some.gone, packed(&log, 5).exists(), packed(&log, 4).exists()), (1, false, true));
    let none = make_room(&all, Bytes(0)).expect("made");
    assert_eq!((none.all, all_packed(&log).expect("listed").len()), (Bytes(live), 0));
    assert_eq!(fs::read_to_string(&log).expect("there"), numbered(500, 600));
}

/// Returns lines that cannot be packed.
fn dense(from: u32, to: u32) -> String {
    (from..to).map(|n| format!("{n} {}\n", crate::hash::of_bytes(&n.to_be_bytes()))).collect()
}

#[test]
#[expect(clippy::print_stderr, reason = "a skipped test says why")]
fn on_a_full_disk_the_oldest_archives_go_and_the_log_goes_on() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut mount = std::process::Command::new("mount");
    mount.args(["-t", "tmpfs", "-o", "size=1m", "guanka-test"]).arg(dir.path());
    if !crate::process::run(&mut mount, Millis(5000)).is_ok_and(|output| output.is_success()) {
        eprintln!("skipped: a small tmpfs cannot be mounted here");
        return;
    }
    let log = dir.path().join("a.json");
    let mut writer = Writer { log: log.clone(), file: append(&log) };
    let (logs, all) = (logs(1, 500), [log.clone()]);
    let (mut gone, mut early, mut lost) = (0, 0, Vec::new());
    // Each round less is written than the reserve holds: a fiftieth of a small disk.
    for round in 0..200 {
        gone += make_room(&all, Bytes(1 << 40)).expect("counted").gone;
        let text = dense(round * 200, round * 200 + 200);
        if writer.file.write_all(text.as_bytes()).is_err() {
            lost.push(round);
        }
        let done = rename::by_rename(&turn(&log, &logs), &mut || writer.reopen());
        early += u32::from(done.as_ref().is_ok_and(|done| *done == Outcome::RotatedOnFullDisk));
    }
    let newest = fs::read_to_string(plain(&log, 1)).expect("there");
    drop(writer);
    let mut unmount = std::process::Command::new("umount");
    let left = crate::process::run(unmount.arg(dir.path()), Millis(5000));
    assert!(left.is_ok_and(|output| output.is_success()), "the disk is busy");
    assert!(gone + early as usize > 5, "{gone} went for room, {early} early");
    assert!(lost.is_empty(), "rounds {lost:?} were not written");
    assert_eq!(newest, dense(199 * 200, 200 * 200));
}
