//! Start scripts, as far as one question needs: does the last command take the shell's place? Not a
//! shell parser: lines, comments and continuations only.

use guanka_core::facts::Fact;
use guanka_core::facts::script::{LastCommand, Script};

use crate::text::SourceText;

/// How many lines of a script are read; a start script has a few.
const LINES_MAX: usize = 20_000;

/// Reads a script under the path that its command names.
pub fn read(path: &str, text: &str) -> Script {
    let source = SourceText::new(path, text);
    let mut last = None;
    let mut exec = None;
    let mut offset = 0;
    let mut is_continued = false;
    for line in text.split_inclusive('\n').take(LINES_MAX) {
        let content = line.trim();
        let is_command = !content.is_empty() && !content.starts_with('#') && !is_continued;
        is_continued = content.ends_with('\\') && (is_command || is_continued);
        // `fi`, `done` and `}` close what stands above them.
        if is_command && !matches!(content, "fi" | "done" | "esac" | "}" | "wait" | ")") {
            let start = offset + (line.len() - line.trim_start().len());
            let span = source.span(start, start + content.len());
            if starts_with_exec(content) {
                exec = Some(span.clone());
            }
            last = Some(span);
        }
        offset += line.len();
    }
    let last = match (exec, last) {
        (Some(span), _) => Fact::at(LastCommand { span: span.clone(), is_exec: true }, span),
        (None, Some(span)) => Fact::at(LastCommand { span: span.clone(), is_exec: false }, span),
        (None, None) => Fact::Unknown(guanka_core::facts::Reason::NotThere(path.to_owned())),
    };
    Script { path: path.to_owned(), last }
}

/// `exec >log` only redirects; `exec ./shop` takes the shell's place.
fn starts_with_exec(line: &str) -> bool {
    line.split([';', '&']).any(|part| {
        let mut words = part.split_whitespace();
        words.next() == Some("exec")
            && words.next().is_some_and(|word| {
                !word.trim_start_matches(|c: char| c.is_ascii_digit()).starts_with(['>', '<'])
            })
    })
}

#[cfg(test)]
mod tests {
    use super::read;

    fn is_exec(text: &str) -> Option<bool> {
        read("start.sh", text).last.known().map(|last| last.is_exec)
    }

    #[test]
    fn exec_is_seen_and_a_redirection_is_not_one() {
        assert_eq!(is_exec("#!/bin/sh\ncd /srv\nexec ./shop\n"), Some(true));
        assert_eq!(is_exec("#!/bin/sh\ncd /srv && exec ./shop -a\n"), Some(true));
        assert_eq!(is_exec("#!/bin/sh\nexec >>log 2>&1\n./shop\n"), Some(false));
        assert_eq!(is_exec("#!/bin/sh\n# exec ./shop\n./shop \\\n  -listen :80\n"), Some(false));
        assert_eq!(is_exec("#!/bin/sh\n"), None);
    }

    #[test]
    fn the_last_command_is_the_one_that_runs() {
        let script = read("start.sh", "if true; then\n  ./shop\nfi\n");
        assert_eq!(script.last.span().map(|s| (s.line, s.excerpt.as_str())), Some((2, "  ./shop")));
    }

    #[test]
    fn any_bytes_are_read_without_a_panic() {
        arbtest::arbtest(|u| {
            let bytes: Vec<u8> = u.arbitrary()?;
            read("x", &String::from_utf8_lossy(&bytes));
            Ok(())
        });
    }
}
