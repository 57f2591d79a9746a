//! A log that is renamed, cut, copied, packed and written on: every line once.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;

use super::{Follower, Position, Start};

fn append(path: &Path, lines: &[String]) {
    let mut file = OpenOptions::new().create(true).append(true).open(path).expect("opened");
    for line in lines {
        file.write_all(format!("{line}\n").as_bytes()).expect("written");
    }
}

/// A reader that forgets everything but what it committed.
struct Reader {
    committed: Vec<Position>,
    seen: Vec<String>,
}

impl Reader {
    fn restart_and_read(&mut self, path: &Path) {
        let mut follower =
            Follower::new(path, &self.committed, Start::AtBeginning).expect("started");
        self.read(&mut follower);
    }

    fn read(&mut self, follower: &mut Follower) {
        let batch = follower.poll().expect("polled");
        let text = |line: &Vec<u8>| String::from_utf8(line.clone()).expect("text");
        self.seen.extend(batch.lines.iter().map(text));
        for position in &batch.positions {
            self.committed.retain(|p| p.inode != position.inode);
            self.committed.push(position.clone());
        }
        follower.commit(&batch);
    }
}

fn numbered(range: std::ops::Range<u32>) -> Vec<String> {
    range.map(|n| format!("line {n} {}", "x".repeat(300))).collect()
}

#[test]
fn nothing_is_lost_or_doubled_over_rotations_and_restarts() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("access.json");
    let mut reader = Reader { committed: Vec::new(), seen: Vec::new() };
    let mut all = numbered(1000..1001);
    append(&path, &all);
    reader.restart_and_read(&path);
    for round in 0..30u32 {
        let lines = numbered(round * 10..round * 10 + 5);
        append(&path, &lines);
        all.extend(lines);
        if round % 3 != 0 {
            reader.restart_and_read(&path);
        }
        let late = numbered(round * 10 + 5..round * 10 + 10);
        append(&path, &late);
        all.extend(late);
        let rotated = dir.path().join(format!("access.json.{round}"));
        if round % 2 == 0 {
            fs::rename(&path, &rotated).expect("renamed");
        } else {
            fs::copy(&path, &rotated).expect("copied");
            let file = OpenOptions::new().write(true).open(&path).expect("opened");
            file.set_len(0).expect("truncated");
        }
        reader.restart_and_read(&path);
    }
    assert_eq!(reader.seen.len(), all.len());
    assert_eq!(reader.seen, all);
}

/// Copies the log as the panel's cutter does, packs the copy at once, and empties the log.
fn cut_and_packed(path: &Path, number: u32) {
    let folder = path.with_file_name("access-history_logs");
    fs::create_dir_all(&folder).expect("made");
    let copy = fs::File::create(folder.join(format!("{number}.log.gz"))).expect("made");
    let mut packed = flate2::write::GzEncoder::new(copy, flate2::Compression::default());
    packed.write_all(&fs::read(path).expect("there")).expect("packed");
    packed.finish().expect("whole");
    let file = OpenOptions::new().write(true).open(path).expect("opened");
    file.set_len(0).expect("truncated");
}

#[test]
fn copies_that_were_packed_at_once_are_read_all_the_same() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("access.json");
    let mut reader = Reader { committed: Vec::new(), seen: Vec::new() };
    append(&path, &numbered(0..2));
    let mut follower = Follower::new(&path, &[], Start::AtBeginning).expect("started");
    reader.read(&mut follower);
    for round in 0..12 {
        append(&path, &numbered(2 + round * 10..7 + round * 10));
        cut_and_packed(&path, round * 2);
        append(&path, &numbered(7 + round * 10..12 + round * 10));
        if round % 3 == 0 {
            // A second cut before anybody has looked.
            cut_and_packed(&path, round * 2 + 1);
        }
        if round % 2 == 0 {
            reader.restart_and_read(&path);
            follower =
                Follower::new(&path, &reader.committed, Start::AtBeginning).expect("started");
        }
        reader.read(&mut follower);
    }
    let mut seen = reader.seen.clone();
    seen.sort_by_key(|line| line.split(' ').nth(1).and_then(|n| n.parse::<u32>().ok()));
    assert_eq!(seen.len(), 122);
    assert_eq!(seen, numbered(0..122));
}

#[test]
fn a_line_without_its_end_is_not_a_line_yet() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("access.json");
    fs::write(&path, "one\ntw").expect("written");
    let mut reader = Reader { committed: Vec::new(), seen: Vec::new() };
    let mut follower = Follower::new(&path, &[], Start::AtBeginning).expect("started");
    reader.read(&mut follower);
    assert_eq!(reader.seen, ["one"]);
    append(&path, &["o".to_owned()]);
    reader.read(&mut follower);
    assert_eq!(reader.seen, ["one", "two"]);
}

#[test]
fn writes_to_the_renamed_file_are_still_read() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("access.json");
    append(&path, &numbered(0..3));
    let mut reader = Reader { committed: Vec::new(), seen: Vec::new() };
    let mut follower = Follower::new(&path, &[], Start::AtBeginning).expect("started");
    reader.read(&mut follower);
    let moved = dir.path().join("access.json.1");
    fs::rename(&path, &moved).expect("renamed");
    append(&path, &numbered(3..4));
    reader.read(&mut follower);
    append(&moved, &numbered(4..6));
    reader.read(&mut follower);
    assert_eq!(reader.seen.len(), 6);
}

#[test]
fn an_unknown_file_can_be_taken_from_its_end() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("access.json");
    append(&path, &numbered(0..3));
    let mut reader = Reader { committed: Vec::new(), seen: Vec::new() };
    let mut follower = Follower::new(&path, &[], Start::AtEnd).expect("started");
    reader.read(&mut follower);
    append(&path, &numbered(3..4));
    reader.read(&mut follower);
    assert_eq!(reader.seen, numbered(3..4));
}
