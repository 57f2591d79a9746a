//! What a systemd unit says once its drop-ins are merged.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Fact, Reason, Span};
use crate::quantity::Millis;

/// One service unit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unit {
    /// `shop.service`.
    pub name: String,
    /// The main file.
    pub file: String,
    /// Every assignment in reading order, drop-ins behind the main file. An empty value resets the
    /// list before it.
    pub entries: Vec<UnitEntry>,
}

/// One `Key=Value`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitEntry {
    /// The section, `Service`.
    pub section: String,
    /// The key.
    pub key: String,
    /// The value, continuation lines joined.
    pub value: String,
    /// Where it stands.
    pub span: Span,
}

/// How open a service is to its host by systemd's own score, in tenths: from 0, shut, to 100.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Exposure(pub u16);

impl fmt::Display for Exposure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0 / 10, self.0 % 10)
    }
}

/// What systemd's checker says of a unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaint {
    /// The line of the unit, where it names one.
    pub line: Option<u32>,
    /// What it says.
    pub says: String,
}

const SOFTWARE: &str = "systemd 252";

impl Unit {
    /// Returns the last assignment of a key that takes one value.
    pub fn last(&self, section: &str, key: &str) -> Option<&UnitEntry> {
        self.entries.iter().rev().find(|e| e.section == section && e.key == key)
    }

    /// Returns the assignments of a key that takes a list: those behind the last empty one.
    pub fn list(&self, section: &str, key: &str) -> Vec<&UnitEntry> {
        let mut found = Vec::new();
        for entry in self.entries.iter().filter(|e| e.section == section && e.key == key) {
            if entry.value.is_empty() {
                found.clear();
            } else {
                found.push(entry);
            }
        }
        found
    }

    /// Returns the user the service runs as; `root` by default.
    pub fn user(&self) -> Fact<String> {
        match self.last("Service", "User") {
            Some(entry) if !entry.value.is_empty() => {
                Fact::at(entry.value.clone(), entry.span.clone())
            }
            _ => Fact::default_of("root".to_owned(), SOFTWARE, "User"),
        }
    }

    /// Returns how long systemd waits between the stop signal and SIGKILL (90 s by default).
    pub fn stop_wait(&self) -> Fact<Millis> {
        let entry = self
            .last("Service", "TimeoutStopSec")
            .or_else(|| self.last("Service", "TimeoutSec"))
            .filter(|entry| !entry.value.is_empty());
        match entry {
            None => Fact::default_of(Millis::from_secs(90), SOFTWARE, "TimeoutStopSec"),
            Some(entry) => match parse_span(&entry.value) {
                Some(limit) => Fact::at(limit, entry.span.clone()),
                None => Fact::Unknown(Reason::NotParsed(entry.span.clone())),
            },
        }
    }
}

/// Reads a systemd time span: `15`, `15s`, `1min 30s`, `infinity` (as a hundred years).
pub fn parse_span(text: &str) -> Option<Millis> {
    let text = text.trim();
    if text == "infinity" {
        return Some(Millis::from_secs(3_155_760_000));
    }
    let mut total = 0.0;
    let mut rest = text;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let number: f64 = rest[..digits].parse().ok()?;
        rest = rest[digits..].trim_start();
        let letters = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
        let factor = match &rest[..letters] {
            "" | "s" | "sec" | "second" | "seconds" => 1000.0,
            "ms" | "msec" => 1.0,
            "us" | "usec" => 0.001,
            "m" | "min" | "minute" | "minutes" => 60_000.0,
            "h" | "hr" | "hour" | "hours" => 3_600_000.0,
            "d" | "day" | "days" => 86_400_000.0,
            "w" | "week" | "weeks" => 604_800_000.0,
            _ => return None,
        };
        total += number * factor;
        rest = rest[letters..].trim_start();
    }
    (total < 1e15).then_some(Millis(total.round() as u64))
}

#[cfg(test)]
mod tests {
    use super::parse_span;
    use crate::quantity::Millis;

    #[test]
    fn time_spans_read_as_systemd_reads_them() {
        assert_eq!(parse_span("15"), Some(Millis::from_secs(15)));
        assert_eq!(parse_span("1min 30s"), Some(Millis::from_secs(90)));
        assert_eq!(parse_span("500ms"), Some(Millis(500)));
        assert_eq!(parse_span("soon"), None);
        assert_eq!(parse_span(""), None);
    }
}
