//! Reads `go.mod`: the module's path, the `go` and `toolchain` lines and what is required.
//! `replace`, `exclude`, `retract`, `tool`, `ignore` and `godebug` say nothing that is asked here.

use guanka_core::facts::gomod::{GoMod, Require};
use guanka_core::facts::{Fact, Problem, Reason, Span};
use guanka_core::say::Said;

use crate::text::SourceText;

/// Reads one file; any bytes are taken.
pub fn read(file: &str, text: &[u8]) -> GoMod {
    let text = String::from_utf8_lossy(text);
    let source = SourceText::new(file, &text);
    let missing = |what: &str| Fact::Unknown(Reason::NotThere(format!("{file}: {what}")));
    let mut read = Reader {
        source: &source,
        block: None,
        found: GoMod {
            file: file.to_owned(),
            module: missing("module"),
            go: missing("go"),
            toolchain: None,
            requires: Vec::new(),
            problems: Vec::new(),
        },
    };
    let mut offset = 0;
    for line in text.split('\n') {
        read.line(line, offset);
        offset += line.len() + 1;
    }
    if let Some((_, span)) = read.block.take() {
        read.problem(span, "括号没有关上", "the bracket is never closed");
    }
    read.found
}

struct Reader<'a> {
    source: &'a SourceText<'a>,
    /// The verb whose bracket is open, and where it was opened.
    block: Option<(String, Span)>,
    found: GoMod,
}

/// A word of a line, unquoted, with its place.
struct Word {
    text: String,
    start: usize,
    end: usize,
}

impl Reader<'_> {
    fn line(&mut self, line: &str, offset: usize) {
        let (words, comment) = words(line, offset);
        let [first, rest @ ..] = words.as_slice() else { return };
        let span = self.source.span(first.start, words[words.len() - 1].end);
        if let Some((verb, opened)) = self.block.take() {
            if first.text != ")" {
                self.entry(&verb, &words, span, comment);
                self.block = Some((verb, opened));
            }
            return;
        }
        match rest {
            [open] if open.text == "(" => self.block = Some((first.text.clone(), span)),
            _ => self.entry(&first.text, rest, span, comment),
        }
    }

    fn entry(&mut self, verb: &str, words: &[Word], span: Span, comment: &str) {
        match (verb, words) {
            ("module", [path]) => self.found.module = Fact::at(path.text.clone(), span),
            ("go", [version]) => self.found.go = Fact::at(version.text.clone(), span),
            ("toolchain", [name]) => {
                self.found.toolchain = Some(Fact::at(name.text.clone(), span));
            }
            ("require", [path, version]) => self.found.requires.push(Require {
                path: path.text.clone(),
                version: version.text.clone(),
                is_indirect: is_indirect(comment),
                span,
            }),
            ("replace" | "exclude" | "retract" | "tool" | "ignore" | "godebug", _) => {}
            _ => self.problem(span, "看不懂的一行", "a line that was not understood"),
        }
    }

    fn problem(&mut self, span: Span, zh: &str, en: &str) {
        self.found.problems.push(Problem { span, what: Said::new(zh, en) });
    }
}

/// Splits a line into words; brackets stand alone, quotes hold a word together.
fn words(line: &str, offset: usize) -> (Vec<Word>, &str) {
    let mut list = Vec::new();
    let mut at = 0;
    while let Some(letter) = line[at..].chars().next() {
        let rest = &line[at..];
        if rest.starts_with("//") {
            return (list, rest);
        }
        if letter.is_whitespace() {
            at += letter.len_utf8();
            continue;
        }
        let (skip, length) = match letter {
            '(' | ')' | ',' => (0, 1),
            '"' | '`' => (1, rest[1..].find(letter).unwrap_or(rest.len() - 1)),
            _ => {
                let ends = |c: char| c.is_whitespace() || matches!(c, '(' | ')' | ',');
                let word = rest.find(ends).unwrap_or(rest.len());
                (0, rest.find("//").map_or(word, |comment| comment.min(word)))
            }
        };
        let text = rest[skip..skip + length].to_owned();
        let end = (at + length + 2 * skip).min(line.len());
        list.push(Word { text, start: offset + at, end: offset + end });
        at = end;
    }
    (list, "")
}

/// Returns whether a comment marks a module that only others need.
fn is_indirect(comment: &str) -> bool {
    let text = comment.trim_start_matches('/').trim();
    text == "indirect" || text.starts_with("indirect;") || text.starts_with("indirect ")
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn blocks_single_lines_and_marks_are_read() {
        let text = b"// Deprecated: x\nmodule example.com/shop // here\n\ngo 1.22.5\n\
            toolchain go1.26.8\nrequire github.com/a/b v1.2.3\nrequire (\n\
            \t\"c.d/e\" v0.1.0 // indirect\n\
            \tf.g/h/v2 v2.0.0 // indirect; why\n\ti.j/k v1.0.0 // indirectly\n)\n\
            replace c.d/e => ../e\nreplace (\n\tf.g/h/v2 v2.0.0 => x.y/z v3.0.0\n)\n\
            exclude a.b/c v1.0.0\nretract [v1.0.0, v1.1.0]\ngodebug default=go1.21\n\
            tool x.y/z\nignore ./node_modules\n";
        let found = read("go.mod", text);
        assert_eq!(found.module.known().map(String::as_str), Some("example.com/shop"));
        assert_eq!(found.go.known().map(String::as_str), Some("1.22.5"));
        let toolchain = found.toolchain.as_ref().and_then(|t| t.known());
        assert_eq!(toolchain.map(String::as_str), Some("go1.26.8"));
        let requires: Vec<_> =
            found.requires.iter().map(|r| (r.path.as_str(), r.is_indirect, r.span.line)).collect();
        let expected = [
            ("github.com/a/b", false, 6),
            ("c.d/e", true, 8),
            ("f.g/h/v2", true, 9),
            ("i.j/k", false, 10),
        ];
        assert_eq!(requires, expected);
        assert!(found.problems.is_empty(), "{:?}", found.problems);
    }

    #[test]
    fn what_is_missing_or_strange_is_said() {
        let found = read("go.mod", b"modul x\nrequire (\n\ta v1\n");
        assert!(found.go.known().is_none());
        assert_eq!(found.problems.len(), 2);
        assert_eq!(found.requires.len(), 1);
    }

    #[test]
    fn any_bytes_are_read_without_a_panic() {
        arbtest::arbtest(|u| {
            let bytes: Vec<u8> = u.arbitrary()?;
            let found = read("go.mod", &bytes);
            let mut text = b"require \"".to_vec();
            text.extend(&bytes);
            read("go.mod", &text);
            assert_eq!(found.file, "go.mod");
            Ok(())
        });
    }
}
