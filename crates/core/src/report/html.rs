//! The report as one HTML page that needs nothing else: no script, no font, no outside request.
//! Everything that is not ours is escaped.

use std::fmt::Write;

use super::chart::{escape, svg};
use super::release::{ReleaseReport, StepReport, percent, seconds};
use crate::facts::Provenance;
use crate::finding::Finding;
use crate::gates::{Judgement, ObjectiveJudgement};
use crate::rollout::verdict::Verdict;
use crate::say::{Lang, Text};

const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#1d2129;--paper:#fff;--soft:#667;--line:#d5d9e0;--good:#12723f;\
--bad:#b3261e;--hold:#8a5a00;--bar:#8aa4c8}\
@media(prefers-color-scheme:dark){:root{--ink:#e6e8ec;--paper:#16181d;--soft:#9aa3b2;\
--line:#343a46;\
--good:#58c48a;--bad:#ff8a80;--hold:#e0b050;--bar:#4f6b94}}\
body{font:15px/1.55 system-ui,'Noto Sans CJK SC','Microsoft YaHei',sans-serif;color:var(--ink);\
background:var(--paper);max-width:56rem;margin:2rem auto;padding:0 1rem}\
h1{font-size:1.4rem;margin:0}h2{font-size:1.05rem;margin:2rem 0 .5rem;border-bottom:1px solid \
var(--line)}table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:.25rem .6rem \
.25rem 0;vertical-align:top}.one{white-space:nowrap}th{color:var(--soft);font-weight:500}\
.good{color:var(--good)}.bad{color:var(--bad)}.hold{color:var(--hold)}.soft{color:var(--soft)}\
.banner{font-size:1.1rem;font-weight:600;margin:.4rem 0 1rem}\
code{font-family:ui-monospace,monospace;\
background:color-mix(in srgb,var(--ink) 8%,transparent);padding:.1rem .3rem;border-radius:3px}\
svg{width:100%;height:auto;margin:.3rem 0 1rem}.bar{fill:var(--bar)}.over{fill:var(--bad)}\
.hatch{stroke:var(--paper);stroke-width:2}.axis{stroke:var(--line)}.limit{stroke:var(--bad);\
stroke-width:1.5;stroke-dasharray:6 4}.label,.limit-label{font-size:11px;fill:var(--soft)}\
.limit-label{fill:var(--bad)}.interval{fill:var(--bar);opacity:.7}.seen{fill:var(--ink)}";

/// Draws the page in one language.
pub fn render(report: &ReleaseReport, lang: Lang) -> String {
    let mut page = String::new();
    let code = match lang {
        Lang::Zh => "zh-CN",
        Lang::En => "en",
    };
    let title = format!("{} #{} · {}", report.service, report.number, report.ending.get(lang));
    let _ = write!(
        page,
        "<!doctype html><html lang=\"{code}\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>{}</title>\
         <style>{STYLE}</style></head><body>",
        escape(&title)
    );
    head(&mut page, report, lang);
    steps(&mut page, report, lang);
    findings(&mut page, report, lang);
    causes(&mut page, report, lang);
    gates(&mut page, report, lang);
    page.push_str("</body></html>\n");
    page
}

fn head(page: &mut String, report: &ReleaseReport, lang: Lang) {
    let class = match report.exit {
        0 => "good",
        3 | 5 => "bad",
        _ => "hold",
    };
    let release = report.short_release();
    let _ = write!(
        page,
        "<h1>{} #{}</h1><p class=\"soft\"><code>{}</code> · {} · {}</p>\
         <p class=\"banner {class}\">{}</p><table>",
        escape(&report.service.to_string()),
        report.number,
        escape(&release),
        escape(&report.revision),
        escape(&report.began),
        escape(report.ending.get(lang)),
    );
    let mut row = |title: Text, value: &str| {
        let _ = write!(page, "<tr><th>{}</th><td>{value}</td></tr>", title.get(lang));
    };
    row(Text { zh: "用户流量", en: "traffic" }, &escape(report.traffic.get(lang)));
    if let Some(ms) = report.first_traffic_ms {
        row(Text { zh: "提交到首个请求", en: "commit to first traffic" }, &seconds(ms));
    }
    if let Some(ms) = report.all_traffic_ms {
        row(Text { zh: "提交到全部流量", en: "commit to all traffic" }, &seconds(ms));
    }
    if let Some(failed) = report.failed_by_switch {
        let title = Text { zh: "因切换失败的请求", en: "requests failed by a switch" };
        row(title, &failed.to_string());
    }
    let next = format!("<code>{}</code>", escape(report.next.get(lang)));
    row(Text { zh: "下一步", en: "next" }, &next);
    page.push_str("</table>");
}

fn steps(page: &mut String, report: &ReleaseReport, lang: Lang) {
    heading(page, Text { zh: "步骤", en: "Steps" }, lang);
    page.push_str("<table>");
    for step in &report.steps {
        let StepReport { title, took_ms, verdict, says, .. } = step;
        let _ = write!(
            page,
            "<tr><th>{}</th><td class=\"soft one\">{}</td><td class=\"one {}\">{}</td>\
             <td>{}</td></tr>",
            escape(title.get(lang)),
            seconds(*took_ms),
            verdict.map_or("", class_of),
            verdict.map_or("", |v| v.title().get(lang)),
            escape(says.get(lang)),
        );
    }
    page.push_str("</table>");
}

fn findings(page: &mut String, report: &ReleaseReport, lang: Lang) {
    if report.findings.is_empty() {
        return;
    }
    heading(page, Text { zh: "拦下它的发现", en: "Findings that block" }, lang);
    for finding in &report.findings {
        let Finding { code, name, message, advice, primary, related, .. } = finding;
        let _ = write!(
            page,
            "<p><b class=\"bad\">{}</b> {} — {}</p><ul>",
            escape(code),
            escape(name),
            escape(message.get(lang))
        );
        for evidence in std::iter::once(primary).chain(related) {
            let _ = write!(
                page,
                "<li><code>{}</code> {}</li>",
                escape(&place(&evidence.from)),
                escape(evidence.says.get(lang))
            );
        }
        let _ = write!(page, "</ul><p class=\"soft\">{}</p>", escape(advice.get(lang)));
    }
}

fn causes(page: &mut String, report: &ReleaseReport, lang: Lang) {
    if report.causes.is_empty() {
        return;
    }
    heading(page, Text { zh: "可能的原因", en: "Likely cause" }, lang);
    page.push_str("<ol>");
    for cause in &report.causes {
        let _ = write!(
            page,
            "<li>{} <span class=\"soft\">({})</span>",
            escape(cause.says.get(lang)),
            percent(cause.explains)
        );
        if let Some(counter) = &cause.counter {
            let _ = write!(page, "<br><span class=\"soft\">{}</span>", escape(counter.get(lang)));
        }
        page.push_str("</li>");
    }
    page.push_str("</ol>");
}

fn gates(page: &mut String, report: &ReleaseReport, lang: Lang) {
    // What decided comes first.
    let mut judgements: Vec<&Judgement> = report.judgements.iter().collect();
    judgements.sort_by_key(|judgement| judgement.verdict != Verdict::Bad);
    for judgement in judgements {
        let Judgement { gate, verdict, objectives, warnings, .. } = judgement;
        let _ = write!(
            page,
            "<h2>{} — <span class=\"{}\">{}</span></h2>",
            gate.title().get(lang),
            class_of(*verdict),
            verdict.title().get(lang)
        );
        for warning in warnings {
            let _ = write!(page, "<p class=\"hold\">{}</p>", escape(warning.get(lang)));
        }
        let mut objectives: Vec<&ObjectiveJudgement> = objectives.iter().collect();
        objectives.sort_by_key(|objective| objective.verdict != Verdict::Bad);
        for objective in objectives {
            let ObjectiveJudgement { sentence, verdict, .. } = objective;
            let _ = write!(
                page,
                "<p class=\"{}\">{}</p>{}",
                class_of(*verdict),
                escape(sentence.get(lang)),
                svg(objective, lang)
            );
        }
    }
}

fn heading(page: &mut String, title: Text, lang: Lang) {
    let _ = write!(page, "<h2>{}</h2>", title.get(lang));
}

const fn class_of(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Good => "good",
        Verdict::Bad => "bad",
        Verdict::NotYet | Verdict::Invalid => "hold",
    }
}

/// Returns a place as people write it.
pub fn place(from: &Provenance) -> String {
    match from {
        Provenance::Span(span) => format!("{}:{}", span.file, span.line),
        Provenance::Default { software, key } => format!("{software}: {key}"),
        Provenance::Path(path) => path.clone(),
        Provenance::Binary { file, offset } => format!("{file} @ {offset}"),
        Provenance::Command { argv, .. } => argv.join(" "),
    }
}
