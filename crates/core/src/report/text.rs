//! The report as plain lines for a terminal. A blocked release reads as well as a good one: the
//! user's own line first, what state traffic is in, and a command last.

use super::html::place;
use super::inline::one_line;
use super::release::{ReleaseReport, percent, seconds};
use crate::rollout::verdict::Verdict;
use crate::say::{Lang, Text};

/// Returns the lines in one language.
pub fn render(report: &ReleaseReport, lang: Lang) -> Vec<String> {
    let t = |zh: &'static str, en: &'static str| Text { zh, en }.get(lang);
    let release = report.short_release();
    let mut lines = vec![format!(
        "{} #{} {release} ({}): {}",
        report.service,
        report.number,
        report.revision,
        report.ending.get(lang)
    )];
    for finding in &report.findings {
        lines.push(format!("  {} {}: {}", finding.code, finding.name, finding.message.get(lang)));
        for evidence in std::iter::once(&finding.primary).chain(&finding.related) {
            lines.push(format!("    {}  {}", place(&evidence.from), evidence.says.get(lang)));
        }
    }
    for (judgement, objective) in report.objectives() {
        let mark = match objective.verdict {
            Verdict::Good => "✓",
            Verdict::Bad => "✗",
            Verdict::NotYet | Verdict::Invalid => "?",
        };
        let gate = judgement.gate.title().get(lang);
        lines.push(format!("  {mark} {gate}: {}", objective.sentence.get(lang)));
    }
    for warning in report.judgements.iter().flat_map(|judgement| &judgement.warnings) {
        lines.push(format!("  ! {}", warning.get(lang)));
    }
    for cause in &report.causes {
        let why = t("原因", "why");
        lines.push(format!("  {why}: {} ({})", cause.says.get(lang), percent(cause.explains)));
        if let Some(counter) = &cause.counter {
            lines.push(format!("       {}", counter.get(lang)));
        }
    }
    if let Some(ms) = report.first_traffic_ms {
        lines.push(format!(
            "  {}: {}",
            t("提交到首个请求", "commit to first traffic"),
            seconds(ms)
        ));
    }
    lines.push(format!("  {}: {}", t("用户流量", "traffic"), report.traffic.get(lang)));
    lines.push(format!("  {}: {}", t("下一步", "next"), report.next.get(lang)));
    lines.iter().map(|line| one_line(line)).collect()
}
