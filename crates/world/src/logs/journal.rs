//! An arm's output in systemd's journal, read through `journalctl` by argument lists.

use std::io;
use std::process::Command;

use guanka_core::name::{Arm, ServiceName};
use guanka_core::quantity::Millis;
use serde::Deserialize;

use super::{From, JournalPlace, LAST_MAX, Line};
use crate::managers::systemd;
use crate::process;

/// How long `journalctl` may take over a large journal.
const LIMIT: Millis = Millis::from_secs(60);

/// Entries of the journal.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Entries {
    pub(super) lines: Vec<Line>,
    /// Up to where they go; `None` without any.
    pub(super) next: Option<JournalPlace>,
    /// There are more than one page holds.
    pub(super) is_more: bool,
}

/// One entry as `journalctl -o json` prints it.
#[derive(Deserialize)]
struct Entry {
    #[serde(rename = "__CURSOR")]
    cursor: String,
    #[serde(rename = "__REALTIME_TIMESTAMP")]
    micros: String,
    #[serde(rename = "MESSAGE")]
    message: Option<Message>,
}

/// A message: text, or bytes where it is none.
#[derive(Deserialize)]
#[serde(untagged)]
enum Message {
    Text(String),
    Bytes(Vec<u8>),
}

/// Reads an arm's entries.
pub(super) fn read(service: &ServiceName, arm: Arm, from: &From) -> io::Result<Entries> {
    let mut command = Command::new("journalctl");
    command.args(["--output=json", "--output-fields=MESSAGE", "--no-pager", "--quiet", "--all"]);
    command.arg(format!("--unit={}", systemd::unit_name(service, arm)));
    // Not what systemd itself says of the unit.
    command.arg("_TRANSPORT=stdout");
    match from {
        From::Last(lines) => command.arg(format!("--lines={}", (*lines).min(LAST_MAX))),
        From::Since(ms) => command.arg(since(*ms)),
        From::After(place) => match &place.journal {
            JournalPlace::Since(ms) => command.arg(since(*ms)),
            JournalPlace::After(cursor) => command.arg(format!("--after-cursor={cursor}")),
        },
    };
    let output = process::run(&mut command, LIMIT)?;
    if output.status.is_none() || (!output.is_success() && !output.stderr.trim().is_empty()) {
        let why = output.stderr.trim();
        return Err(io::Error::other(format!("{}: {why}", output.argv.join(" "))));
    }
    Ok(entries(&output.stdout))
}

fn since(ms: u64) -> String {
    format!("--since=@{}.{:03}", ms / 1000, ms % 1000)
}

/// Reads what `journalctl` printed, up to the last whole entry.
fn entries(text: &str) -> Entries {
    let mut found = Entries::default();
    for line in text.split_inclusive('\n') {
        let Ok(entry) = serde_json::from_str::<Entry>(line) else {
            // Cut where one page ends; anything else that is no entry is passed over.
            found.is_more |= !line.ends_with('\n');
            continue;
        };
        let text = match entry.message {
            Some(Message::Text(text)) => text,
            Some(Message::Bytes(bytes)) => String::from_utf8_lossy(&bytes).into_owned(),
            None => String::new(),
        };
        let at_ms = entry.micros.parse::<u64>().ok().map(|micros| micros / 1000);
        found.lines.push(Line { at_ms, text });
        found.next = Some(JournalPlace::After(entry.cursor));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::{JournalPlace, entries};

    #[test]
    fn entries_are_read_up_to_the_last_whole_one() {
        let text = "{\"__CURSOR\":\"s=1;i=1\",\"__REALTIME_TIMESTAMP\":\"1700000000123456\",\
                    \"MESSAGE\":\"one\"}\n{\"__CURSOR\":\"s=1;i=2\",\"__REALTIME_TIMESTAMP\":\
                    \"1700000000223456\",\"MESSAGE\":[116,119,111,255]}\n\
                    {\"__CURSOR\":\"s=1;i=3\",\"__REALT";
        let found = entries(text);
        let lines: Vec<_> = found.lines.iter().map(|l| (l.at_ms, l.text.as_str())).collect();
        let first = (Some(1_700_000_000_123), "one");
        assert_eq!(lines, [first, (Some(1_700_000_000_223), "two\u{fffd}")]);
        assert_eq!(found.next, Some(JournalPlace::After("s=1;i=2".to_owned())));
        assert!(found.is_more);
        let whole = entries(&text[..text.rfind('{').expect("three")]);
        assert!(!whole.is_more && whole.lines.len() == 2);
    }
}
