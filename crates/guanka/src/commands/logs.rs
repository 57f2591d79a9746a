//! `guanka logs`: the arms' own output, live and out of the archives, as one. Following is asking
//! again from the place that was reached: a line comes once, whatever is rotated or started anew
//! meanwhile, and nothing is left on the host when the asking ends.

mod merge;

use guanka_core::name::{Arm, ServiceName};
use guanka_core::quantity::Millis;
use guanka_core::say::Said;
use guanka_world::clock;
use guanka_world::logs::{From, Page, Unfinished};
use guanka_world::transport::wire::{Answer, Request};
use serde_json::json;

use super::project::Project;
use crate::drive::link::{Link, unexpected};
use crate::drive::submission;
use crate::failure::codes::USAGE;
use crate::failure::{Exit, Failure};
use crate::terminal::Terminal;
use merge::{Merge, Merged};

/// How often a follower asks for more.
const ASK_EVERY: Millis = Millis(300);

/// Whose lines, from when on, and whether to go on.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    project: Project,
    /// One arm: blue or green; both without it.
    #[arg(long, value_name = "ARM", value_parser = ["blue", "green"])]
    arm: Option<String>,
    /// How many of each arm's last lines; 100 by default.
    #[arg(long, short = 'n', value_name = "N", conflicts_with = "since")]
    lines: Option<usize>,
    /// From when on: 10m, 2h, 2026-11-24 or 2026-11-24T15:04; without a zone, this machine's own.
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Go on with what is written, until Ctrl-C.
    #[arg(long, short)]
    follow: bool,
}

/// A reader of one service's arms.
struct Reader<'a> {
    link: Link,
    service: ServiceName,
    unfinished: Unfinished,
    arms: Vec<(Arm, From, bool)>,
    merge: Merge,
    terminal: &'a Terminal,
    /// Lines that are printed in the end as one object.
    kept: Option<Vec<serde_json::Value>>,
}

/// Shows the lines.
pub(crate) fn run(args: &Args, terminal: &Terminal) -> Result<Exit, Failure> {
    let declared = args.project.declared(terminal)?;
    let mut link = Link::to(submission::host(&declared)?)?;
    let from = match &args.since {
        None => From::Last(args.lines.unwrap_or(100)),
        Some(text) => From::Since(since(text, link.reading()?.wall_ms)?),
    };
    let one = args.arm.as_deref().and_then(Arm::parse);
    let arms = one.map_or_else(|| vec![Arm::Blue, Arm::Green], |arm| vec![arm]);
    let is_stream = args.follow || args.since.is_some();
    let mut reader = Reader {
        link,
        service: declared.service,
        unfinished: if args.follow { Unfinished::Left } else { Unfinished::Given },
        merge: Merge::new(&arms),
        arms: arms.into_iter().map(|arm| (arm, from.clone(), true)).collect(),
        terminal,
        kept: (terminal.json && !is_stream).then(Vec::new),
    };
    while reader.round()? {
        if reader.arms.iter().any(|(_, _, is_more)| *is_more) {
            continue;
        }
        if !args.follow {
            break;
        }
        clock::pause(ASK_EVERY);
        reader.arms.iter_mut().for_each(|(_, _, is_more)| *is_more = true);
    }
    if let Some(lines) = reader.kept {
        terminal.line(&json!({ "schema": 1, "lines": lines }).to_string());
    }
    Ok(Exit::Done)
}

/// Reads a time, as a length before now or as a moment.
fn since(text: &str, now_ms: u64) -> Result<u64, Failure> {
    if let Ok(ago) = Millis::parse(text) {
        return Ok(now_ms.saturating_sub(ago.0));
    }
    clock::read_time(text).ok_or_else(|| {
        let doing = Said::new("正在读取 --since", "reading --since");
        let why = Said::new(
            format!("{text:?} 既不是时长也不是时间"),
            format!("{text:?} is neither a length of time nor a moment"),
        );
        Failure::new(&USAGE, doing, why).next(Said::new(
            "写成 10m、2h、2026-11-24 或 2026-11-24T15:04:05+08:00",
            "write 10m, 2h, 2026-11-24 or 2026-11-24T15:04:05+08:00",
        ))
    })
}

impl Reader<'_> {
    /// Asks each arm that has more for its next page, and prints what is in order by now. Returns
    /// whether anybody still reads.
    fn round(&mut self) -> Result<bool, Failure> {
        for place in 0..self.arms.len() {
            let (arm, from, is_more) = self.arms[place].clone();
            if !is_more || self.merge.has_lines(arm) {
                continue;
            }
            let page = self.ask(arm, from)?;
            self.merge.add(arm, page.lines, page.is_more);
            self.arms[place] = (arm, From::After(page.next), page.is_more);
        }
        while let Some(line) = self.merge.next() {
            if !self.show(line) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn ask(&mut self, arm: Arm, from: From) -> Result<Page, Failure> {
        let (service, unfinished) = (self.service.clone(), self.unfinished);
        match self.link.ask(&Request::Logs { service, arm, from, unfinished })? {
            Answer::LogPage { page } => Ok(page),
            other => Err(unexpected(&other)),
        }
    }

    fn show(&mut self, line: Merged) -> bool {
        let Merged { arm, line } = line;
        let object = || json!({ "arm": arm, "at_ms": line.at_ms, "text": line.text });
        match &mut self.kept {
            Some(lines) => {
                lines.push(object());
                true
            }
            None if self.terminal.json => {
                let mut object = object();
                object["schema"] = 1.into();
                self.terminal.is_read(&object.to_string())
            }
            None => self.terminal.is_read(&format!("{arm:<5} | {}", harmless(&line.text))),
        }
    }
}

/// Returns a program's line without what could drive the reader's terminal.
fn harmless(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::{harmless, since};

    #[test]
    fn a_length_counts_back_and_a_moment_is_taken_as_it_is() {
        assert_eq!(since("10m", 1_000_000).ok(), Some(400_000));
        assert_eq!(since("2h", 1000).ok(), Some(0));
        assert_eq!(since("2020-11-24T08:00:00Z", 0).ok(), Some(1_606_204_800_000));
        assert!(since("2020-11-24", 0).is_ok() && since("2020-11-24T15:04", 0).is_ok());
        assert!(since("yesterday", 0).is_err() && since("", 0).is_err());
    }

    #[test]
    fn a_programs_line_cannot_drive_the_terminal() {
        assert_eq!(harmless("a\u{1b}[2J\tb\u{9b}31m中"), "a\u{fffd}[2J\tb\u{fffd}31m中");
    }
}
