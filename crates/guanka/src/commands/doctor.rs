//! `guanka doctor`: is this laptop fit to build, is this host fit to be shipped to? One line per
//! question with what to do about it. Looks only; mending is left to people.

mod laptop;
mod machine;

use std::path::PathBuf;

use guanka_core::say::{Said, Text};
use serde::Serialize;
use serde_json::json;

use super::inventory::no_root;
use crate::failure::{Exit, Failure};
use crate::terminal::{Terminal, pad, width};

/// What to look at.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The host's root folder.
    #[arg(long, value_name = "DIR", default_value = "/")]
    root: PathBuf,
}

/// How a question was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    /// Fit.
    Passed,
    /// Not fit.
    Failed,
    /// Could not tell, or nothing to tell yet. Never counted as passed.
    Unknown,
}

/// One question and its answer.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Item {
    /// A stable name.
    id: &'static str,
    /// The answer.
    state: State,
    /// What was seen.
    says: Said,
    /// What to do; `None` when there is nothing to do.
    fix: Option<Said>,
}

impl Item {
    fn passed(id: &'static str, zh: impl Into<String>, en: impl Into<String>) -> Self {
        Self { id, state: State::Passed, says: Said::new(zh, en), fix: None }
    }

    fn failed(id: &'static str, zh: impl Into<String>, en: impl Into<String>) -> Self {
        Self { id, state: State::Failed, says: Said::new(zh, en), fix: None }
    }

    fn unknown(id: &'static str, zh: impl Into<String>, en: impl Into<String>) -> Self {
        Self { id, state: State::Unknown, says: Said::new(zh, en), fix: None }
    }

    /// Says what to do.
    fn fix(mut self, zh: impl Into<String>, en: impl Into<String>) -> Self {
        self.fix = Some(Said::new(zh, en));
        self
    }
}

/// Asks every question and prints the answers; ends with 1 when something is not fit.
pub(crate) fn run(args: &Args, terminal: &Terminal) -> Result<Exit, Failure> {
    if !guanka_world::collect::host::is_there(&args.root) {
        return Err(no_root(&args.root));
    }
    let mut items = laptop::ask();
    items.extend(machine::ask(&args.root));
    if terminal.json {
        terminal.line(&json!({ "schema": 1, "items": items }).to_string());
    } else {
        for line in lines(&items, terminal) {
            terminal.line(&line);
        }
    }
    let is_unfit = items.iter().any(|item| item.state == State::Failed);
    Ok(if is_unfit { Exit::CouldNot } else { Exit::Done })
}

/// Lays the answers out as text, with a closing line that counts them.
fn lines(items: &[Item], terminal: &Terminal) -> Vec<String> {
    let names = items.iter().map(|item| width(item.id)).max().unwrap_or(0);
    let states = items.iter().map(|item| width(word(item.state, terminal))).max().unwrap_or(0);
    let indent = " ".repeat(states + names + 4);
    let mut out = Vec::new();
    for item in items {
        let state = pad(word(item.state, terminal), states);
        let mut says = terminal.said(&item.says).lines();
        let first = says.next().unwrap_or_default();
        out.push(format!("{state}  {}  {first}", pad(item.id, names)));
        out.extend(says.map(|line| format!("{indent}{line}")));
        if let Some(fix) = &item.fix {
            out.push(format!("{indent}→ {}", terminal.said(fix)));
        }
    }
    let count = |state| items.iter().filter(|item| item.state == state).count();
    let (passed, failed, unknown) =
        (count(State::Passed), count(State::Failed), count(State::Unknown));
    out.push(
        terminal
            .said(&Said::new(
                format!("通过 {passed} 项,未通过 {failed} 项,未知 {unknown} 项"),
                format!("{passed} passed, {failed} failed, {unknown} unknown"),
            ))
            .to_owned(),
    );
    out
}

fn word(state: State, terminal: &Terminal) -> &'static str {
    terminal.text(&match state {
        State::Passed => Text { zh: "通过", en: "PASSED" },
        State::Failed => Text { zh: "未通过", en: "FAILED" },
        State::Unknown => Text { zh: "未知", en: "UNKNOWN" },
    })
}

#[cfg(test)]
mod tests {
    use guanka_core::say::Lang;

    use super::{Item, lines};
    use crate::terminal::Terminal;

    #[test]
    fn answers_line_up_and_are_counted() {
        let items = [
            Item::passed("clock", "时钟已同步", "the clock is in step"),
            Item::failed("nginx-test", "配置检查失败\n第二行", "the test fails\nsecond line")
                .fix("先修好它", "mend it first"),
            Item::unknown("agent", "尚未安装", "not installed yet"),
        ];
        let english = Terminal { lang: Lang::En, json: false, color: false };
        assert_eq!(
            lines(&items, &english),
            [
                "PASSED   clock       the clock is in step",
                "FAILED   nginx-test  the test fails",
                "                     second line",
                "                     → mend it first",
                "UNKNOWN  agent       not installed yet",
                "1 passed, 1 failed, 1 unknown",
            ]
        );
        let chinese = Terminal { lang: Lang::Zh, json: false, color: false };
        let shown = lines(&items, &chinese);
        assert_eq!(shown[0], "通过    clock       时钟已同步");
        assert_eq!(shown[1], "未通过  nginx-test  配置检查失败");
        assert_eq!(shown[5], "通过 1 项,未通过 1 项,未知 1 项");
    }
}
