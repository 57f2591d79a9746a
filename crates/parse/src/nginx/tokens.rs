//! Cuts nginx configuration into words, `;`, `{` and `}` by nginx's own rules: a quote opens only
//! at the start of a word, `#` is a comment only there, `}` ends a block only there, and `${` does
//! not open a block. Places are counted along the way, so a file of one long line stays cheap.

use guanka_core::facts::Span;

/// The longest excerpt a span carries, in characters.
const EXCERPT_MAX: usize = 400;

/// One token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// A word, quotes and escapes taken off.
    Word(String),
    /// `;`
    End,
    /// `{`
    Open,
    /// `}`
    Close,
}

/// What ended the reading of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// A letter stands right behind a closing quote.
    BehindQuote,
    /// The text ended inside a quoted word.
    OpenQuote,
}

/// A token, where it starts and what was wrong with it.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    /// The token.
    pub(super) token: Token,
    /// The byte offset of its first letter.
    pub(super) start: usize,
    /// The byte offset behind it.
    pub(super) end: usize,
    /// What was wrong with it; it is usable all the same.
    pub(super) trouble: Option<Trouble>,
}

/// Reads tokens from a text.
pub(super) struct Tokens<'a> {
    text: &'a str,
    at: usize,
}

/// Turns rising byte offsets into spans.
pub(super) struct Places<'a> {
    file: &'a str,
    text: &'a str,
    offset: usize,
    line: u32,
    line_start: usize,
    column: u32,
}

impl<'a> Tokens<'a> {
    /// Starts at the beginning of a text.
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// Returns the next token, `None` at the end of the text.
    pub(super) fn next(&mut self) -> Option<Piece> {
        self.skip_blank();
        let start = self.at;
        let first = *self.text.as_bytes().get(start)?;
        let single = match first {
            b';' => Some(Token::End),
            b'{' => Some(Token::Open),
            b'}' => Some(Token::Close),
            _ => None,
        };
        if let Some(token) = single {
            self.at += 1;
            return Some(Piece { token, start, end: self.at, trouble: None });
        }
        Some(match first {
            b'"' | b'\'' => self.quoted(start, first),
            _ => self.plain(start),
        })
    }

    /// Skips a Lua body up to the `}` that ends it, and says whether there was one. Braces inside
    /// Lua strings, long brackets and comments do not count.
    pub(super) fn skip_lua(&mut self) -> bool {
        let bytes = self.text.as_bytes();
        let mut depth = 1_usize;
        while let Some(byte) = bytes.get(self.at).copied() {
            match byte {
                b'{' => depth += 1,
                b'}' => depth -= 1,
                b'"' | b'\'' => self.skip_lua_string(byte),
                b'-' if bytes.get(self.at + 1) == Some(&b'-') => {
                    self.at += 2;
                    if !self.skip_lua_bracket() {
                        self.skip_line();
                    }
                    continue;
                }
                b'[' if self.skip_lua_bracket() => continue,
                _ => {}
            }
            self.at += 1;
            if depth == 0 {
                return true;
            }
        }
        self.at = bytes.len();
        false
    }

    fn skip_blank(&mut self) {
        let bytes = self.text.as_bytes();
        while let Some(byte) = bytes.get(self.at) {
            match byte {
                b' ' | b'\t' | b'\r' | b'\n' => self.at += 1,
                b'#' => self.skip_line(),
                _ => break,
            }
        }
    }

    fn skip_line(&mut self) {
        let rest = &self.text.as_bytes()[self.at..];
        self.at += rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len());
    }

    fn quoted(&mut self, start: usize, quote: u8) -> Piece {
        let bytes = self.text.as_bytes();
        let mut at = start + 1;
        while at < bytes.len() && bytes[at] != quote {
            at += if bytes[at] == b'\\' { 2 } else { 1 };
        }
        if at >= bytes.len() {
            self.at = bytes.len();
            let word = unescape(&self.text[start + 1..]);
            let trouble = Some(Trouble::OpenQuote);
            return Piece { token: Token::Word(word), start, end: self.at, trouble };
        }
        self.at = at + 1;
        let is_followed_well = matches!(
            bytes.get(self.at),
            None | Some(b' ' | b'\t' | b'\r' | b'\n' | b';' | b'{' | b')')
        );
        Piece {
            token: Token::Word(unescape(&self.text[start + 1..at])),
            start,
            end: self.at,
            trouble: (!is_followed_well).then_some(Trouble::BehindQuote),
        }
    }

    fn plain(&mut self, start: usize) -> Piece {
        let bytes = self.text.as_bytes();
        let mut at = start;
        let mut is_variable = false;
        while let Some(byte) = bytes.get(at) {
            match byte {
                b'{' if is_variable => {}
                b' ' | b'\t' | b'\r' | b'\n' | b';' | b'{' => break,
                b'\\' => {
                    is_variable = false;
                    at += 1;
                }
                byte => is_variable = *byte == b'$',
            }
            at += 1;
        }
        self.at = at.min(bytes.len());
        let token = Token::Word(unescape(&self.text[start..self.at]));
        Piece { token, start, end: self.at, trouble: None }
    }

    fn skip_lua_string(&mut self, quote: u8) {
        let bytes = self.text.as_bytes();
        self.at += 1;
        while let Some(byte) = bytes.get(self.at) {
            match byte {
                b'\\' => self.at += 1,
                b'\n' => return,
                byte if *byte == quote => return,
                _ => {}
            }
            self.at += 1;
        }
    }

    /// Skips `[[ … ]]` or `[==[ … ]==]` if one starts here.
    fn skip_lua_bracket(&mut self) -> bool {
        let rest = &self.text.as_bytes()[self.at.min(self.text.len())..];
        if rest.first() != Some(&b'[') {
            return false;
        }
        let level = rest[1..].iter().take_while(|b| **b == b'=').count();
        if rest.get(level + 1) != Some(&b'[') {
            return false;
        }
        let mut close = vec![b']'];
        close.resize(level + 1, b'=');
        close.push(b']');
        let body = &rest[level + 2..];
        let length = body.windows(close.len()).position(|window| window == close);
        self.at += level + 2 + length.map_or(body.len(), |at| at + close.len());
        true
    }
}

impl<'a> Places<'a> {
    /// Starts at the beginning of a text under its name.
    pub(super) fn new(file: &'a str, text: &'a str) -> Self {
        Self { file, text, offset: 0, line: 1, line_start: 0, column: 1 }
    }

    /// Returns the span of a stretch, cut at the end of its first line. Offsets must not fall from
    /// one call to the next.
    pub(super) fn span(&mut self, start: usize, end: usize) -> Span {
        let start = floor_boundary(self.text, start.max(self.offset));
        self.walk_to(start);
        let end = floor_boundary(self.text, end);
        let stretch = self.text.get(start..end).unwrap_or_default();
        let inside = stretch.split('\n').next().unwrap_or_default().chars().count();
        let line = &self.text[self.line_start..];
        let excerpt: String = line.chars().take_while(|c| *c != '\n').take(EXCERPT_MAX).collect();
        Span {
            file: self.file.to_owned(),
            line: self.line,
            column: self.column,
            length: u32::try_from(inside).unwrap_or(u32::MAX).max(1),
            excerpt: excerpt.trim_end_matches('\r').to_owned(),
        }
    }

    fn walk_to(&mut self, offset: usize) {
        let between = &self.text[self.offset..offset];
        let breaks = between.bytes().filter(|b| *b == b'\n').count();
        let tail = match between.rfind('\n') {
            Some(at) => {
                self.line_start = self.offset + at + 1;
                self.column = 1;
                &between[at + 1..]
            }
            None => between,
        };
        self.line = self.line.saturating_add(u32::try_from(breaks).unwrap_or(u32::MAX));
        let columns = u32::try_from(tail.chars().count()).unwrap_or(u32::MAX);
        self.column = self.column.saturating_add(columns);
        self.offset = offset;
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

/// Takes escapes off as nginx does: a backslash goes before a quote or a backslash, `\t`, `\r` and
/// `\n` become the control letters, any other backslash stays.
fn unescape(raw: &str) -> String {
    if !raw.contains('\\') {
        return raw.to_owned();
    }
    let mut word = String::with_capacity(raw.len());
    let mut letters = raw.chars().peekable();
    while let Some(letter) = letters.next() {
        let replaced = match (letter, letters.peek()) {
            ('\\', Some('"')) => '"',
            ('\\', Some('\'')) => '\'',
            ('\\', Some('\\')) => '\\',
            ('\\', Some('t')) => '\t',
            ('\\', Some('r')) => '\r',
            ('\\', Some('n')) => '\n',
            _ => {
                word.push(letter);
                continue;
            }
        };
        word.push(replaced);
        letters.next();
    }
    word
}

#[cfg(test)]
mod tests {
    use super::{Places, Token, Tokens, Trouble};

    fn words(text: &str) -> Vec<String> {
        let mut tokens = Tokens::new(text);
        let mut found = Vec::new();
        while let Some(piece) = tokens.next() {
            found.push(match piece.token {
                Token::Word(word) => word,
                Token::End => ";".to_owned(),
                Token::Open => "{".to_owned(),
                Token::Close => "}".to_owned(),
            });
        }
        found
    }

    #[test]
    fn quotes_comments_and_escapes_follow_nginx() {
        assert_eq!(words("a \"b;{}#c\" 'd\"e';"), ["a", "b;{}#c", "d\"e", ";"]);
        assert_eq!(words("a b#c; # rest ; {\nd;"), ["a", "b#c", ";", "d", ";"]);
        assert_eq!(
            words(r#"a "x\"y" \; b\ c \d "\n";"#),
            ["a", "x\"y", "\\;", "b\\ c", "\\d", "\n", ";"]
        );
    }

    #[test]
    fn a_variable_in_braces_opens_no_block() {
        assert_eq!(words("set $a ${b}c;"), ["set", "$a", "${b}c", ";"]);
        assert_eq!(words("if ($a){b}"), ["if", "($a)", "{", "b}"]);
    }

    #[test]
    fn a_letter_behind_a_quote_is_told() {
        let mut tokens = Tokens::new("\"a\"b;");
        assert_eq!(tokens.next().and_then(|p| p.trouble), Some(Trouble::BehindQuote));
        let mut tokens = Tokens::new("(\"a\");'x");
        assert_eq!(tokens.next().and_then(|p| p.trouble), None);
        let pieces: Vec<_> = std::iter::from_fn(|| tokens.next()).collect();
        assert_eq!(pieces.last().and_then(|p| p.trouble), Some(Trouble::OpenQuote));
    }

    #[test]
    fn lua_bodies_end_where_lua_says() {
        let body = " local s = \"}\" -- }\n --[[ } ]] local t = {[[ } ]], [=[ ]] } ]=]} } after;";
        let mut tokens = Tokens::new(body);
        assert!(tokens.skip_lua());
        assert_eq!(tokens.next().map(|p| p.token), Some(Token::Word("after".to_owned())));
        assert!(!Tokens::new("if x then {").skip_lua());
    }

    #[test]
    fn places_count_characters_and_lines() {
        let text = "一 two\r\nthree four";
        let mut places = Places::new("f", text);
        let span = places.span(4, 7);
        assert_eq!((span.line, span.column, span.length), (1, 3, 3));
        assert_eq!(span.excerpt, "一 two");
        let span = places.span(15, 19);
        assert_eq!((span.line, span.column), (2, 7));
    }
}
