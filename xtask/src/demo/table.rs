//! The closing table: one line per release, the seconds of each step, the time from the commit to
//! the first request of a user, and what a switch failed.

use serde_json::Value;

use super::releases::Release;
use super::traffic::Seen;
use super::words::Lang;
use crate::tidy::source::columns;

/// The steps in the order in which releases go through them.
const STEPS: [&str; 8] = ["check", "build", "stage", "load", "bake", "canary", "full", "settle"];

/// One release's line.
pub(crate) struct Line {
    /// Which release.
    pub(crate) release: Release,
    /// guanka's exit code.
    pub(crate) exit: i32,
    /// guanka's report.
    pub(crate) report: Value,
    /// What users saw while it was shipped; `None` before the first one served.
    pub(crate) seen: Option<Seen>,
}

/// Lays the table out.
pub(crate) fn render(lang: Lang, lines: &[Line]) -> Vec<String> {
    let mut cells = vec![head(lang)];
    cells.extend(lines.iter().map(|line| row(lang, line)));
    let count = cells.iter().map(Vec::len).max().unwrap_or_default();
    let widest = |at: usize| cells.iter().map(|row| width(&row[at])).max().unwrap_or_default();
    let widths: Vec<usize> = (0..count).map(widest).collect();
    let line = |row: &Vec<String>| {
        let padded: Vec<String> = row
            .iter()
            .enumerate()
            .map(|(at, cell)| {
                let blank = " ".repeat(widths[at] - width(cell));
                // Words begin at the left, figures end at the right.
                if at < 2 { format!("{cell}{blank}") } else { format!("{blank}{cell}") }
            })
            .collect();
        format!("  {}", padded.join("  ").trim_end())
    };
    cells.iter().map(line).collect()
}

fn head(lang: Lang) -> Vec<String> {
    let zh = [
        "版本",
        "结果",
        "检查",
        "构建",
        "送达",
        "压测",
        "观察",
        "灰度",
        "全量",
        "稳定",
        "提交→首个请求",
        "请求数",
        "切换致失败",
    ];
    let en = [
        "release",
        "ended",
        "check",
        "build",
        "stage",
        "load",
        "bake",
        "canary",
        "full",
        "settle",
        "commit→first",
        "requests",
        "failed by switch",
    ];
    let words = if lang == Lang::Zh { zh } else { en };
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn row(lang: Lang, line: &Line) -> Vec<String> {
    let none = || "–".to_owned();
    let seconds = |ms: &Value| ms.as_u64().map_or_else(none, |ms| format!("{:.1}", seconds(ms)));
    let ended = ended(lang, line.report["ended"].as_str().unwrap_or("error"));
    let folder = line.release.overlay.unwrap_or("1-first");
    let mut cells = vec![folder.to_owned(), format!("{ended} ({})", line.exit)];
    let steps = line.report["steps"].as_array();
    for name in STEPS {
        let step = steps.and_then(|steps| steps.iter().find(|step| step["step"] == name));
        cells.push(step.map_or_else(none, |step| seconds(&step["took_ms"])));
    }
    cells.push(seconds(&line.report["first_traffic_ms"]));
    cells.push(line.seen.map_or_else(none, |seen| seen.requests.to_string()));
    cells.push(line.seen.map_or_else(none, |seen| seen.by_switch.to_string()));
    cells
}

fn seconds(ms: u64) -> f64 {
    ms as f64 / 1000.0
}

/// Says guanka's word for an ending.
fn ended(lang: Lang, word: &str) -> &str {
    match word {
        "promoted" => lang.pick("已上线", "promoted"),
        "blocked" => lang.pick("被拦截", "blocked"),
        "taken_back" => lang.pick("已退回", "taken back"),
        "not_proven" => lang.pick("未证明", "not proven"),
        "error" => lang.pick("出错", "error"),
        other => other,
    }
}

fn width(text: &str) -> usize {
    text.chars().map(columns).sum()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Line, render, width};
    use crate::demo::project::Pace;
    use crate::demo::releases;
    use crate::demo::traffic::Seen;
    use crate::demo::words::Lang;

    #[test]
    fn the_columns_line_up_in_both_languages() {
        let report = json!({"ended": "promoted", "first_traffic_ms": 12_340,
                            "steps": [{"step": "load", "took_ms": 20_000}]});
        let seen = Some(Seen { requests: 9_000, by_switch: 0, by_release: 3 });
        let line = |seen| Line {
            release: releases::at(Pace::Whole)[1],
            exit: 0,
            report: report.clone(),
            seen,
        };
        for lang in Lang::ALL {
            let shown = render(lang, &[line(None), line(seen)]);
            let widths: Vec<usize> = shown.iter().map(|text| width(text)).collect();
            assert!(widths.iter().all(|width| *width == widths[0]), "{shown:#?}");
            assert!(shown[2].contains("20.0") && shown[2].contains("12.3"), "{shown:#?}");
            assert!(shown[2].contains("9000") && !shown[1].contains("9000"), "{shown:#?}");
        }
    }
}
