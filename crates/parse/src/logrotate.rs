//! logrotate's configuration, as far as it says which files are rotated: the patterns before each
//! block. Directives and scripts are passed over.

use guanka_core::facts::Span;

use crate::text::SourceText;

/// A pattern of files that logrotate rotates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    /// As written, without its quotes.
    pub pattern: String,
    /// Where it stands.
    pub span: Span,
}

/// Words that begin a script; it ends with a line `endscript`.
const SCRIPTS: [&str; 5] = ["postrotate", "prerotate", "firstaction", "lastaction", "preremove"];

/// Where a line stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Outside,
    Block,
    Script,
}

/// Reads a file's patterns.
pub fn read(file: &str, text: &str) -> Vec<Pattern> {
    let source = SourceText::new(file, text);
    let (mut found, mut place, mut at) = (Vec::new(), Place::Outside, 0);
    for line in text.split_inclusive('\n') {
        let content = line.split('#').next().unwrap_or_default();
        let first = content.split_whitespace().next().unwrap_or_default();
        place = match place {
            Place::Script if first == "endscript" => Place::Block,
            Place::Script => Place::Script,
            Place::Block if SCRIPTS.contains(&first) => Place::Script,
            Place::Block if content.contains('}') => Place::Outside,
            Place::Block => Place::Block,
            Place::Outside => {
                let (before, block) = content.split_once('{').unwrap_or((content, ""));
                patterns(&source, at, before, &mut found);
                match (content.contains('{'), block.contains('}')) {
                    (true, false) => Place::Block,
                    _ => Place::Outside,
                }
            }
        };
        at += line.len();
    }
    found
}

/// Takes the paths of a line outside of blocks; anything else there is a directive.
fn patterns(source: &SourceText<'_>, from: usize, line: &str, found: &mut Vec<Pattern>) {
    let is_paths = line.trim_start().starts_with(['/', '"', '\'', '~']);
    let mut at = 0;
    while is_paths && at < line.len() {
        let rest = &line[at..];
        let skipped = rest.len() - rest.trim_start().len();
        let word = &rest[skipped..];
        let Some(first) = word.chars().next() else { break };
        let (inner, used) = match first {
            '"' | '\'' => match word[1..].find(first) {
                Some(end) => (&word[1..=end], end + 2),
                None => (&word[1..], word.len()),
            },
            _ => {
                let end = word.find(char::is_whitespace).unwrap_or(word.len());
                (&word[..end], end)
            }
        };
        let start = from + at + skipped;
        if inner.starts_with('/') {
            let span = source.span(start, start + used);
            found.push(Pattern { pattern: inner.to_owned(), span });
        }
        at += skipped + used;
    }
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn patterns_stand_before_blocks_and_nowhere_else() {
        let text = "weekly # /no\ninclude /etc/logrotate.d\n/var/log/a.log \"/var/log/b c.log\"\n\
                    /var/log/*/x.log {\n  daily\n  postrotate\n    rm /tmp/x { }\n  endscript\n}\n\
                    /one { daily }\n'/two' {\n}\n";
        let found = read("/etc/logrotate.d/x", text);
        let seen: Vec<_> = found.iter().map(|p| (p.pattern.as_str(), p.span.line)).collect();
        let expected = [
            ("/var/log/a.log", 3),
            ("/var/log/b c.log", 3),
            ("/var/log/*/x.log", 4),
            ("/one", 10),
            ("/two", 11),
        ];
        assert_eq!(seen, expected);
        assert_eq!(found[1].span.column, 16);
    }

    #[test]
    fn any_text_is_read_to_its_end() {
        for text in ["\"", "'", "/a {", "}", "/é\"", "\"é", "postrotate\nendscript", "/x{/y}"] {
            for end in (0..=text.len()).filter(|end| text.is_char_boundary(*end)) {
                let _ = read("x", &text[..end]);
            }
        }
    }
}
