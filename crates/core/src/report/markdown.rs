//! The report as Markdown, for a merge request or a chat.

use std::fmt::Write;

use super::html::place;
use super::inline::{cell, code, inline};
use super::release::{ReleaseReport, percent, seconds};
use crate::say::{Lang, Text};

/// Writes the report in one language.
pub fn render(report: &ReleaseReport, lang: Lang) -> String {
    let mut text = String::new();
    let t = |zh: &'static str, en: &'static str| Text { zh, en }.get(lang);
    let _ = writeln!(
        text,
        "# {} #{} — {}\n",
        report.service,
        report.number,
        inline(report.ending.get(lang))
    );
    let release = code(&report.short_release());
    let (revision, began) = (inline(&report.revision), inline(&report.began));
    let _ = writeln!(text, "{release} · {revision} · {began}\n");
    let _ = writeln!(text, "- {}: {}", t("用户流量", "traffic"), inline(report.traffic.get(lang)));
    if let Some(ms) = report.first_traffic_ms {
        let _ =
            writeln!(text, "- {}: {}", t("提交到首个请求", "commit to first traffic"), seconds(ms));
    }
    if let Some(failed) = report.failed_by_switch {
        let _ =
            writeln!(text, "- {}: {failed}", t("因切换失败的请求", "requests failed by a switch"));
    }
    let _ = writeln!(text, "- {}: {}\n", t("下一步", "next"), code(report.next.get(lang)));
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
        let message = inline(finding.message.get(lang));
        let _ = writeln!(text, "\n**{} {}** {message}", finding.code, finding.name);
        for evidence in std::iter::once(&finding.primary).chain(&finding.related) {
            let _ = writeln!(
                text,
                "- {} {}",
                code(&place(&evidence.from)),
                inline(evidence.says.get(lang))
            );
        }
    }
    if !report.causes.is_empty() {
        let title = Text { zh: "可能的原因", en: "Likely cause" };
        let _ = writeln!(text, "\n## {}\n", title.get(lang));
        for cause in &report.causes {
            let _ =
                writeln!(text, "1. {} ({})", inline(cause.says.get(lang)), percent(cause.explains));
            if let Some(counter) = &cause.counter {
                let _ = writeln!(text, "   {}", inline(counter.get(lang)));
            }
        }
    }
    for judgement in &report.judgements {
        let verdict = judgement.verdict.title().get(lang);
        let _ = writeln!(text, "\n## {} — {verdict}\n", judgement.gate.title().get(lang));
        for objective in &judgement.objectives {
            let _ = writeln!(text, "- {}", inline(objective.sentence.get(lang)));
        }
        for warning in &judgement.warnings {
            let _ = writeln!(text, "- ⚠ {}", inline(warning.get(lang)));
        }
    }
}
