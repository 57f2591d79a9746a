//! A text of others inside Markdown or on a line of a terminal: a branch, a path somebody asked for
//! or a sentence of a tool never becomes markup, a second line or a command to the terminal.

/// Returns a text as one line: line ends and tabs are blanks, and what would move a terminal's
/// cursor or turn the direction of writing is shown as unreadable.
pub(super) fn one_line(text: &str) -> String {
    let turns = |c: char| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let shown = |c: char| match c {
        '\n' | '\r' | '\t' | '\u{2028}' | '\u{2029}' => ' ',
        c if c.is_control() || turns(c) => '\u{fffd}',
        c => c,
    };
    text.chars().map(shown).collect()
}

/// Returns a text as Markdown shows it; what stands between two single backquotes stays code.
pub(super) fn inline(text: &str) -> String {
    written(text, Place::Line)
}

/// Returns a text for a cell of a table.
pub(super) fn cell(text: &str) -> String {
    written(text, Place::Cell)
}

/// Returns a text as code, between as many backquotes as it takes.
pub(super) fn code(text: &str) -> String {
    let line = one_line(text);
    let longest = line.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest + 1);
    let edge = |c: char| c == '`' || c == ' ';
    let gap = if line.starts_with(edge) || line.ends_with(edge) { " " } else { "" };
    if line.is_empty() { line } else { format!("{fence}{gap}{line}{gap}{fence}") }
}

/// Where a text stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Line,
    Cell,
}

fn written(text: &str, place: Place) -> String {
    let line = one_line(text);
    let line = line.trim();
    let mut out = String::new();
    let mut rest = line;
    let mut before = ' ';
    while let Some(c) = rest.chars().next() {
        let mut length = c.len_utf8();
        let later = &rest[length..];
        if let Some(span) = code_span(rest) {
            // A bar parts cells inside of code too, where nothing can mark it.
            match span.contains('|') && place == Place::Cell {
                true => out.push_str(&format!("\\`{}\\`", cell(&span[1..span.len() - 1]))),
                false => out.push_str(span),
            }
            length = span.len();
        } else if c == '`' {
            length = rest.len() - rest.trim_start_matches('`').len();
            out.push_str(&"\\`".repeat(length));
        } else if c == '<' {
            out.push_str("&lt;");
        } else if c == '&' && later.starts_with(|c: char| c == '#' || c.is_ascii_alphanumeric()) {
            out.push_str("&amp;");
        } else {
            if needs_mark(c, before, later) || begins_block(c, &line[..line.len() - rest.len()]) {
                out.push('\\');
            }
            out.push(c);
        }
        before = c;
        rest = &rest[length..];
    }
    out
}

/// Returns the code at the beginning of a text: between two backquotes that stand alone.
fn code_span(text: &str) -> Option<&str> {
    let inner = text.strip_prefix('`').filter(|inner| !inner.starts_with('`'))?;
    let mut at = 0;
    for run in inner.split_inclusive(|c| c != '`') {
        let marks = run.len() - run.trim_start_matches('`').len();
        if marks == 1 {
            return Some(&text[..at + 2]);
        }
        at += run.len();
    }
    None
}

/// Returns whether a sign means something inside a line.
fn needs_mark(c: char, before: char, later: &str) -> bool {
    match c {
        '\\' | '*' | '[' | ']' | '~' | '|' => true,
        // Inside a word it is a letter.
        '_' => !(before.is_alphanumeric() && later.starts_with(char::is_alphanumeric)),
        '#' => later.bytes().all(|b| b == b'#'),
        _ => false,
    }
}

/// Returns whether a sign begins a heading, a list or a quotation behind what stands before it.
fn begins_block(c: char, before: &str) -> bool {
    match c {
        '#' | '>' | '+' | '-' | '=' => before.is_empty(),
        '.' | ')' => !before.is_empty() && before.bytes().all(|b| b.is_ascii_digit()),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::{cell, code, inline, one_line};

    #[test]
    fn texts_of_others_are_no_markup_and_ours_stay_readable() {
        for (text, meant) in [
            ("p95 of POST /orders (12 of 30): see `guanka status`", None),
            ("request_time 1.5 s, a && b, c > d", None),
            ("</td><script>", Some("&lt;/td>&lt;script>")),
            ("a\n# b", Some("a # b")),
            ("# a", Some("\\# a")),
            ("1. a", Some("1\\. a")),
            ("**a** _b_ [c](d) `e", Some("\\*\\*a\\*\\* \\_b\\_ \\[c\\](d) \\`e")),
            ("&lt; ``a`` `b``c`", Some("&amp;lt; \\`\\`a\\`\\` `b``c`")),
            ("a ##", Some("a \\#\\#")),
        ] {
            assert_eq!(inline(text), meant.unwrap_or(text));
        }
        assert_eq!(cell("a|b `c|d` `e`"), "a\\|b \\`c\\|d\\` `e`");
        assert_eq!(code("a`b``"), "``` a`b`` ```");
        assert_eq!(code("a b"), "`a b`");
        assert_eq!(one_line("a\u{1b}[2J\tb\u{202e}c\n"), "a\u{fffd}[2J b\u{fffd}c ");
    }
}
