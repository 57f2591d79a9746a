//! The arms' own output, to be read by people: pages of lines from a place on, over the live file
//! and its archives, or out of systemd's journal. A place is a count of bytes ever written, or the
//! journal's own cursor, and never a time: whoever goes on from a place gets each line once.

mod journal;
pub mod stream;

use std::io;

use guanka_core::facts::declared::LogPlace;
use guanka_core::name::{Arm, ServiceName};
use guanka_parse::logtime;
use serde::{Deserialize, Serialize};

use crate::clock;
use crate::hostroot::HostRoot;
use crate::managers::spec::ArmSpec;
use crate::managers::systemd::Systemd;

/// The most lines from the end that one question gets.
const LAST_MAX: usize = 10_000;

/// From where lines are wanted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum From {
    /// The last lines.
    Last(usize),
    /// From a time on, milliseconds since 1970.
    Since(u64),
    /// What was written behind a place.
    After(Place),
}

/// How far an arm's output was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// In its files: bytes ever written.
    pub file: u64,
    /// In the journal.
    pub journal: JournalPlace,
}

/// How far the journal was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JournalPlace {
    /// Nothing of it yet: it counts from a time on, milliseconds since 1970.
    Since(u64),
    /// Up to an entry, by its cursor.
    After(String),
}

/// What is done with a last line that has no end yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unfinished {
    /// It is left until it has one: for whoever goes on.
    Left,
    /// It is given as it is: for whoever looks once.
    Given,
}

/// A line of output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// The time it carries, milliseconds since 1970.
    pub at_ms: Option<u64>,
    /// Its text.
    pub text: String,
}

/// Lines of one arm.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// In the order they were written.
    pub lines: Vec<Line>,
    /// Where to go on.
    pub next: Place,
    /// More is there already.
    pub is_more: bool,
}

/// Returns a page of an arm's output.
pub fn page(
    host: &HostRoot,
    service: &ServiceName,
    arm: Arm,
    from: &From,
    unfinished: Unfinished,
) -> io::Result<Page> {
    let offset_secs = clock::local_offset_secs();
    let log = host.arm_log(service, arm);
    let file = match from {
        From::Last(lines) => stream::place_of_last(&log, (*lines).min(LAST_MAX))?,
        From::Since(since) => stream::place_since(&log, *since, offset_secs)?,
        From::After(place) => place.file,
    };
    let piece = stream::read(&log, file, unfinished)?;
    let mut page = Page {
        lines: piece.lines.into_iter().map(|text| line(text, offset_secs)).collect(),
        next: Place { file: piece.next, journal: JournalPlace::Since(clock::now_ms()) },
        is_more: piece.is_more,
    };
    if let From::After(place) = from {
        page.next.journal = place.journal.clone();
    }
    let spec = ArmSpec::load(host, service, arm);
    let is_journal = spec.is_ok_and(|spec| spec.logs.place == LogPlace::Journald);
    // Who was reading the journal reads it to its end, wherever the arm writes by now.
    let was_journal = matches!(&page.next.journal, JournalPlace::After(_));
    if (is_journal || was_journal) && Systemd::find(host).is_some() {
        let entries = journal::read(service, arm, from)?;
        page.lines.extend(entries.lines);
        page.is_more |= entries.is_more;
        page.next.journal = entries.next.unwrap_or(page.next.journal);
    }
    // What was written while the last lines were looked for is newer than the first of them, and
    // what lay in files is older than anything in the journal.
    if let (From::Last(lines), false) = (from, page.is_more) {
        let beyond = page.lines.len().saturating_sub((*lines).min(LAST_MAX));
        page.lines.drain(..beyond);
    }
    Ok(page)
}

fn line(text: String, offset_secs: i64) -> Line {
    Line { at_ms: logtime::of_line(&text, offset_secs), text }
}
