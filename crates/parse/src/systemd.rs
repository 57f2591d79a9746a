//! Parses systemd units as systemd reads them: continuation lines, comments between them, drop-ins
//! behind the main file. Which assignments count is asked of the unit, not decided here.

use guanka_core::facts::systemd::{Unit, UnitEntry};
use guanka_core::facts::{Problem, Span};
use guanka_core::say::Said;

use crate::text::SourceText;

/// How many assignments a unit may have over all its files.
const ENTRIES_MAX: usize = 20_000;

/// How many problems are kept.
const PROBLEMS_MAX: usize = 1_000;

/// Reads a unit from its main file (name, path, text) and its drop-ins (path, text), the latter in
/// the order in which systemd would read them.
pub fn read(main: (&str, &str, &str), drop_ins: &[(String, String)]) -> (Unit, Vec<Problem>) {
    let (name, file, text) = main;
    let mut unit = Unit { name: name.to_owned(), file: file.to_owned(), entries: Vec::new() };
    let mut problems = Vec::new();
    read_file(file, text, &mut unit.entries, &mut problems);
    for (file, text) in drop_ins {
        read_file(file, text, &mut unit.entries, &mut problems);
    }
    (unit, problems)
}

fn read_file(file: &str, text: &str, entries: &mut Vec<UnitEntry>, problems: &mut Vec<Problem>) {
    let source = SourceText::new(file, text.strip_prefix('\u{feff}').unwrap_or(text));
    let mut section: Option<String> = None;
    for (start, end, line) in logical_lines(source.text) {
        if entries.len() >= ENTRIES_MAX || problems.len() >= PROBLEMS_MAX {
            return;
        }
        let span = source.span(start, end);
        match statement(&line) {
            Ok(Statement::Section(name)) => section = Some(name.to_owned()),
            Ok(Statement::Assignment(key, value)) => match &section {
                Some(section) => entries.push(UnitEntry {
                    section: section.clone(),
                    key: key.to_owned(),
                    value: value.to_owned(),
                    span,
                }),
                None => problems.push(problem(
                    span,
                    "赋值在任何 [节] 之前,systemd 会忽略",
                    "an assignment before any [section]; systemd ignores it",
                )),
            },
            Err(what) => problems.push(Problem { span, what }),
        }
    }
}

/// A line that says something.
enum Statement<'a> {
    /// `[Service]`
    Section(&'a str),
    /// `Key=Value`
    Assignment(&'a str, &'a str),
}

fn statement(line: &str) -> Result<Statement<'_>, Said> {
    if let Some(inside) = line.strip_prefix('[') {
        return inside.strip_suffix(']').map(Statement::Section).ok_or_else(|| {
            Said::new(
                "节标题缺少“]”,systemd 会忽略",
                "the section header lacks \"]\"; systemd ignores it",
            )
        });
    }
    match line.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => {
            Ok(Statement::Assignment(key.trim(), value.trim()))
        }
        Some(_) => Err(Said::new("“=”之前没有键名", "there is no key before \"=\"")),
        None => Err(Said::new(
            "这一行缺少“=”,systemd 会忽略",
            "no \"=\" in this line; systemd ignores it",
        )),
    }
}

/// Joins continued lines: a line that ends in an unescaped backslash goes on in the next one, a
/// comment in between is skipped. Each comes with the stretch of its first line.
fn logical_lines(text: &str) -> Vec<(usize, usize, String)> {
    let mut lines = Vec::new();
    let mut open: Option<(usize, usize, String)> = None;
    let mut offset = 0;
    for raw in text.split_inclusive('\n') {
        let start = offset + (raw.len() - raw.trim_start().len());
        offset += raw.len();
        let line = raw.trim_end_matches(['\n', '\r']).trim_start();
        if line.starts_with(['#', ';']) {
            continue;
        }
        let (first, end, mut whole) =
            open.take().unwrap_or((start, start + line.len(), String::new()));
        whole.push_str(line);
        if ends_escaped(&whole) {
            whole.pop();
            whole.push(' ');
            open = Some((first, end, whole));
        } else {
            keep(&mut lines, first, end, &whole);
        }
    }
    if let Some((first, end, whole)) = open {
        keep(&mut lines, first, end, &whole);
    }
    lines
}

fn keep(lines: &mut Vec<(usize, usize, String)>, first: usize, end: usize, whole: &str) {
    let trimmed = whole.trim();
    if !trimmed.is_empty() {
        lines.push((first, end, trimmed.to_owned()));
    }
}

fn ends_escaped(line: &str) -> bool {
    line.bytes().rev().take_while(|b| *b == b'\\').count() % 2 == 1
}

fn problem(span: Span, zh: &str, en: &str) -> Problem {
    Problem { span, what: Said::new(zh, en) }
}

#[cfg(test)]
mod tests {
    use guanka_core::quantity::Millis;

    use super::read;

    #[test]
    fn continued_lines_join_and_comments_between_vanish() {
        let text = "# head\n[Service]\nExecStart=/opt/a \\\n  # not this\n  --port 80 \\\n\
                    ; nor this\n  \
                    -v\nUser = www\n";
        let (unit, problems) = read(("a.service", "/e/a.service", text), &[]);
        assert!(problems.is_empty());
        let start = unit.last("Service", "ExecStart").expect("there");
        assert_eq!(start.value, "/opt/a  --port 80  -v");
        assert_eq!(start.span.line, 3);
        assert_eq!(unit.user().known().map(String::as_str), Some("www"));
        assert_eq!(unit.user().span().map(|s| s.line), Some(8));
    }

    #[test]
    fn drop_ins_stand_behind_and_an_empty_value_resets() {
        let main = "[Service]\nEnvironment=A=1\nEnvironment=B=2\nTimeoutStopSec=5\n";
        let extra = "[Service]\nEnvironment=\nEnvironment=C=3\nTimeoutStopSec=30\n";
        let drop_ins = [("/e/a.service.d/x.conf".to_owned(), extra.to_owned())];
        let (unit, problems) = read(("a.service", "/e/a.service", main), &drop_ins);
        assert!(problems.is_empty());
        assert_eq!(unit.entries.len(), 6);
        let list: Vec<_> =
            unit.list("Service", "Environment").iter().map(|e| e.value.as_str()).collect();
        assert_eq!(list, ["C=3"]);
        assert_eq!(unit.stop_wait().known(), Some(&Millis::from_secs(30)));
        assert_eq!(unit.stop_wait().span().map(|s| s.file.as_str()), Some("/e/a.service.d/x.conf"));
    }

    #[test]
    fn an_escaped_backslash_does_not_continue() {
        let (unit, _) = read(("a", "a", "[Service]\nExecStart=/a \\\\\nUser=b\nGroup=c \\"), &[]);
        assert_eq!(unit.last("Service", "ExecStart").map(|e| e.value.as_str()), Some("/a \\\\"));
        assert_eq!(unit.last("Service", "User").map(|e| e.value.as_str()), Some("b"));
        assert_eq!(unit.last("Service", "Group").map(|e| e.value.as_str()), Some("c"));
    }

    #[test]
    fn what_systemd_ignores_is_told_with_its_line() {
        let text = "User=early\n[Service\n[Service]\nnonsense\n=x\nUser=late\n";
        let (unit, problems) = read(("a", "a", text), &[]);
        assert_eq!(problems.iter().map(|p| p.span.line).collect::<Vec<_>>(), [1, 2, 4, 5]);
        assert_eq!(unit.entries.len(), 1);
    }

    #[test]
    fn any_bytes_give_a_unit() {
        arbtest::arbtest(|u| {
            let bytes: Vec<u8> = u.arbitrary()?;
            let _ = read(("any", "any", &String::from_utf8_lossy(&bytes)), &[]);
            let signs = b" \n\r\\#;[]=aB\xef\xbb\xbf";
            let chosen: Vec<u8> =
                bytes.iter().map(|b| signs[usize::from(*b) % signs.len()]).collect();
            let _ = read(("any", "any", &String::from_utf8_lossy(&chosen)), &[]);
            Ok(())
        });
    }
}
