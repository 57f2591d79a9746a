//! A source text with its line table: byte offsets to spans.

use guanka_core::facts::Span;

/// The longest excerpt a span carries, in characters.
const EXCERPT_MAX: usize = 400;

/// A text under its name, ready to turn byte offsets into spans.
pub struct SourceText<'a> {
    /// The file's name as the user would write it.
    pub file: &'a str,
    /// The whole text.
    pub text: &'a str,
    starts: Vec<usize>,
}

impl<'a> SourceText<'a> {
    /// Reads the line table.
    pub fn new(file: &'a str, text: &'a str) -> Self {
        let mut starts = vec![0];
        starts.extend(text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(i, _)| i + 1));
        Self { file, text, starts }
    }

    /// Returns the line of an offset, from 1.
    pub fn line(&self, offset: usize) -> u32 {
        self.starts.partition_point(|start| *start <= offset).max(1) as u32
    }

    /// Returns the span from one offset up to another, cut at the end of the first line.
    pub fn span(&self, from: usize, to: usize) -> Span {
        let from = floor_boundary(self.text, from);
        let line = self.line(from);
        let start = self.starts[line as usize - 1];
        let rest = &self.text[start..];
        let content = rest.split('\n').next().unwrap_or(rest).trim_end_matches('\r');
        let end = floor_boundary(self.text, to.max(from)).min(start + content.len());
        let before = self.text[start..from.min(start + content.len())].chars().count();
        let inside = self.text[from.min(end)..end].chars().count();
        Span {
            file: self.file.to_owned(),
            line,
            column: before as u32 + 1,
            length: inside.max(1) as u32,
            excerpt: content.chars().take(EXCERPT_MAX).collect(),
        }
    }
}

/// Returns the nearest character boundary at or before an offset.
fn floor_boundary(text: &str, offset: usize) -> usize {
    let mut at = offset.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::SourceText;

    #[test]
    fn a_span_counts_characters_and_stays_in_its_line() {
        let source = SourceText::new("a.conf", "一 two\r\nthree\n");
        let span = source.span(4, 100);
        assert_eq!((span.line, span.column, span.length), (1, 3, 3));
        assert_eq!(span.excerpt, "一 two");
        assert_eq!(source.span(13, 13).line, 2);
        assert_eq!(source.span(999, 999).line, 3);
    }
}
