//! The report as Markdown, for a merge request or a chat.

use std::fmt::Write;

use super::html::place;
use super::release::{ReleaseReport, percent, seconds};
use crate::say::{Lang, Text};

/// Writes the report in one language.
pub fn render(report: &ReleaseReport, lang: Lang) -> String {
    let mut text = String::new();
    let t = |zh: &'static str, en: &'static str| Text { zh, en }.get(lang);
    let _ =
        writeln!(text, "# {} #{} — {}\n", report.service, report.number, report.ending.get(lang));
    let release = report.short_release();
    let _ = writeln!(text, "`{release}` · {} · {}\n", report.revision, report.began);
    let _ = writeln!(text, "- {}: {}", t("用户流量", "traffic"), report.traffic.get(lang));
    if let Some(ms) = report.first_traffic_ms {
        let _ =
            writeln!(text, "- {}: {}", t("提交到首个请求", "commit to first traffic"), seconds(ms));
    }
    if let Some(failed) = report.failed_by_switch {
        let _ =
            writeln!(text, "- {}: {failed}", t("因切换失败的请求", "requests failed by a switch"));
    }
    let _ = writeln!(text, "- {}: `{}`\n", t("下一步", "next"), report.next.get(lang));
    let _ = writeln!(
        text,
        "| {} | {} | {} | |",
        t("步骤", "step"),
        t("用时", "took"),
        t("结论", "verdict")
    );
    text.push_str("|---|---|---|---|\n");
    for step in &report.steps {
        let verdict = step.verdict.map_or("", |v| v.title().get(lang));
        let says = cell(step.says.get(lang));
        let title = cell(step.title.get(lang));
        let _ = writeln!(text, "| {title} | {} | {verdict} | {says} |", seconds(step.took_ms));
    }
    details(&mut text, report, lang);
    text
}

fn details(text: &mut String, report: &ReleaseReport, lang: Lang) {
    for finding in &report.findings {
        let _ =
            writeln!(text, "\n**{} {}** {}", finding.code, finding.name, finding.message.get(lang));
        for evidence in std::iter::once(&finding.primary).chain(&finding.related) {
            let _ = writeln!(text, "- `{}` {}", place(&evidence.from), evidence.says.get(lang));
        }
    }
    if !report.causes.is_empty() {
        let title = Text { zh: "可能的原因", en: "Likely cause" };
        let _ = writeln!(text, "\n## {}\n", title.get(lang));
        for cause in &report.causes {
            let _ = writeln!(text, "1. {} ({})", cause.says.get(lang), percent(cause.explains));
            if let Some(counter) = &cause.counter {
                let _ = writeln!(text, "   {}", counter.get(lang));
            }
        }
    }
    for judgement in &report.judgements {
        let verdict = judgement.verdict.title().get(lang);
        let _ = writeln!(text, "\n## {} — {verdict}\n", judgement.gate.title().get(lang));
        for objective in &judgement.objectives {
            let _ = writeln!(text, "- {}", objective.sentence.get(lang));
        }
        for warning in &judgement.warnings {
            let _ = writeln!(text, "- ⚠ {}", warning.get(lang));
        }
    }
}

/// Keeps a text inside its table cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}
