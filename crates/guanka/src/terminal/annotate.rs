//! A finding as people read it: every place in every file with its line and value, then why, the
//! fix and its kind, and where to read more.

use std::ops::Range;

use annotate_snippets::{
    Annotation, AnnotationKind, Element, Level, Renderer, Snippet, normalize_untrusted_str,
};
use guanka_core::checks;
use guanka_core::facts::{Provenance, Span};
use guanka_core::finding::{Evidence, Finding, Severity};
use guanka_core::say::{Lang, Text};

use super::Terminal;

/// Returns a finding with all its places.
pub(crate) fn finding(terminal: &Terminal, finding: &Finding) -> String {
    let title = level(terminal, finding)
        .primary_title(terminal.said(&finding.message).to_owned())
        .id(finding.code.clone());
    let mut elements: Vec<Element<'_>> = Vec::new();
    let mut notes: Vec<Element<'_>> = Vec::new();
    let mut shown: Vec<(&Span, Vec<Marked>)> = Vec::new();
    for (index, evidence) in std::iter::once(&finding.primary).chain(&finding.related).enumerate() {
        let kind = if index == 0 { AnnotationKind::Primary } else { AnnotationKind::Context };
        match &evidence.from {
            Provenance::Span(span) if !span.excerpt.is_empty() => {
                mark(terminal, &mut shown, span, kind, evidence);
            }
            _ => notes.push(elsewhere(terminal, evidence)),
        }
    }
    for (span, marks) in shown {
        let annotations = marks
            .into_iter()
            .map(|(kind, range, label)| -> Annotation<'_> { kind.span(range).label(label) });
        let snippet = Snippet::source(span.excerpt.clone())
            .line_start(span.line as usize)
            .path(span.file.clone())
            .annotations(annotations);
        elements.push(snippet.into());
    }
    elements.append(&mut notes);
    elements.extend(advice(terminal, finding));
    let renderer = if terminal.color { Renderer::styled() } else { Renderer::plain() };
    renderer.render(&[title.elements(elements)])
}

/// A mark below a line: its kind, its bytes, its words.
type Marked = (AnnotationKind, Range<usize>, String);

/// Gathers the marks of one line, so that a line is shown once.
fn mark<'a>(
    terminal: &Terminal,
    shown: &mut Vec<(&'a Span, Vec<Marked>)>,
    span: &'a Span,
    kind: AnnotationKind,
    evidence: &Evidence,
) {
    let entry = (kind, bytes(span), terminal.said(&evidence.says).to_owned());
    match shown.iter_mut().find(|(s, _)| s.file == span.file && s.line == span.line) {
        // The same words on the same place add nothing.
        Some((_, marks)) if marks.iter().any(|(_, r, l)| *r == entry.1 && *l == entry.2) => {}
        Some((_, marks)) => marks.push(entry),
        None => shown.push((span, vec![entry])),
    }
}

/// Returns the bytes of the excerpt that a span covers.
fn bytes(span: &Span) -> Range<usize> {
    let at = |count: usize| {
        span.excerpt.char_indices().nth(count).map_or(span.excerpt.len(), |(index, _)| index)
    };
    let first = (span.column as usize).saturating_sub(1);
    at(first)..at(first.saturating_add(span.length as usize))
}

/// Returns a value that stands in no text file.
fn elsewhere<'a>(terminal: &Terminal, evidence: &Evidence) -> Element<'a> {
    let name = match terminal.lang {
        Lang::Zh => "依据",
        Lang::En => "note",
    };
    let text = format!("{}: {}", evidence.from.place(), terminal.said(&evidence.says));
    Level::NOTE.with_name(name).message(normalize_untrusted_str(&text)).into()
}

fn advice<'a>(terminal: &Terminal, finding: &Finding) -> Vec<Element<'a>> {
    let named = |text: Text| Level::HELP.with_name(text.get(terminal.lang));
    let kind = finding.fix_kind.title();
    let fix = Text { zh: "修复", en: "fix" };
    let fixed = format!("{} ({})", terminal.said(&finding.advice), terminal.text(&kind));
    let mut lines: Vec<Element<'a>> = Vec::new();
    if let Some(check) = checks::find(&finding.code) {
        let why = first_sentence(terminal.text(&check.why));
        lines.push(named(Text { zh: "原因", en: "why" }).message(why).into());
    }
    lines.push(named(fix).message(normalize_untrusted_str(&fixed)).into());
    let more = Text { zh: "详情", en: "more" };
    lines.push(named(more).message(format!("guanka explain {}", finding.code)).into());
    lines
}

/// Returns a text up to its first full stop.
fn first_sentence(text: &str) -> &str {
    let end = text.find('。').map(|i| i + '。'.len_utf8());
    end.or_else(|| text.find(". ").map(|i| i + 1)).map_or(text, |end| &text[..end])
}

fn level<'a>(terminal: &Terminal, finding: &Finding) -> Level<'a> {
    let (level, word) = if finding.blocks() {
        (Level::ERROR, Text { zh: "阻止发布", en: "blocks" })
    } else if finding.severity >= Severity::Medium {
        (Level::WARNING, Text { zh: "警告", en: "warning" })
    } else {
        (Level::INFO, Text { zh: "提示", en: "info" })
    };
    level.with_name(word.get(terminal.lang))
}

#[cfg(test)]
mod tests {
    use guanka_core::facts::{Provenance, Span};
    use guanka_core::finding::{Checkpoint, Confidence, Evidence, Finding, FixKind, Severity};
    use guanka_core::say::{Lang, Said};

    use super::finding;
    use crate::terminal::{Terminal, width};

    fn span(file: &str, line: u32, column: u32, length: u32, excerpt: &str) -> Span {
        Span { file: file.to_owned(), line, column, length, excerpt: excerpt.to_owned() }
    }

    fn sample(excerpt: &str, column: u32, length: u32) -> Finding {
        let nginx = span("nginx.conf", 141, 5, 9, "    keepalive 16;");
        let says = |text: &str| Said::new(text, text);
        Finding {
            code: "XX034".to_owned(),
            name: "keepalive-race".to_owned(),
            checkpoint: Checkpoint::Proxy,
            severity: Severity::High,
            base: Severity::High,
            exposure: None,
            confidence: Confidence::Certain,
            message: Said::new("空闲上限太短", "the idle limit is too short"),
            primary: Evidence::at(&span("main.go", 29, column, length, excerpt), says("5s")),
            related: vec![
                Evidence::at(&nginx, Said::new("nginx 保留连接", "nginx keeps it")),
                Evidence::new(Provenance::Path("/proc/7/exe".to_owned()), says("live")),
            ],
            advice: Said::new("设为 75s", "Set it to 75s"),
            fix_kind: FixKind::Risky,
            fingerprint: String::new(),
        }
    }

    fn shown(lang: Lang, finding_: &Finding) -> String {
        finding(&Terminal { lang, json: false, color: false }, finding_)
    }

    #[test]
    fn every_place_is_shown_with_file_line_and_value() {
        let text = shown(Lang::En, &sample("\t\tReadTimeout: 5 * time.Second,", 3, 11));
        for part in [
            "blocks[XX034]: the idle limit is too short",
            "main.go:29:3",
            "^^^^^^^^^^^ 5s",
            "nginx.conf:141:5",
            "--------- nginx keeps it",
            "/proc/7/exe: live",
            "fix: Set it to 75s (risky)",
            "guanka explain XX034",
        ] {
            assert!(text.contains(part), "{part:?} is missing in:\n{text}");
        }
        assert!(!text.contains('\u{1b}'), "no colour was asked for");
    }

    #[test]
    fn a_mark_behind_chinese_letters_stands_below_its_word() {
        let line = "s := \"超时上限\" // 超 ReadTimeout";
        let column = line.chars().position(|c| c == 'R').expect("there") as u32 + 1;
        let text = shown(Lang::Zh, &sample(line, column, 11));
        let lines: Vec<&str> = text.lines().collect();
        let at = lines.iter().position(|l| l.contains("ReadTimeout")).expect("the line");
        let word = lines[at].find("ReadTimeout").expect("the word");
        let caret = lines[at + 1].find('^').expect("the mark");
        assert_eq!(width(&lines[at][..word]), width(&lines[at + 1][..caret]), "\n{text}");
        assert!(text.contains("阻止发布[XX034]: 空闲上限太短"), "\n{text}");
    }

    #[test]
    fn a_span_outside_its_excerpt_is_cut_and_not_a_panic() {
        let text = shown(Lang::En, &sample("short", 900, 40));
        assert!(text.contains("main.go:29"), "\n{text}");
    }
}
