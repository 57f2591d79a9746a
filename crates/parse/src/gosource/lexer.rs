//! Turns Go text into tokens exactly as Go's own scanner does, comments left out. Any bytes are
//! taken; what is no token becomes `Illegal`. The text is cut at 4 GiB, where offsets end.

use super::token::{Kind, Token};

/// Returns the tokens of a text; the last one is `End`.
pub fn tokens(text: &[u8]) -> Vec<Token> {
    let limit = text.len().min(u32::MAX as usize - 1);
    let mut lexer = Lexer { text: &text[..limit], at: 0, ends: false };
    // Real Go has a token for each five to six bytes.
    let mut out = Vec::with_capacity(limit / 5 + 2);
    if lexer.text.starts_with(b"\xef\xbb\xbf") {
        lexer.at = 3;
    }
    loop {
        let token = lexer.next();
        out.push(token);
        if token.kind == Kind::End {
            return out;
        }
    }
}

struct Lexer<'a> {
    text: &'a [u8],
    at: usize,
    /// A newline here ends the statement.
    ends: bool,
}

impl Lexer<'_> {
    fn byte(&self, ahead: usize) -> u8 {
        self.text.get(self.at + ahead).copied().unwrap_or(0)
    }

    fn next(&mut self) -> Token {
        if let Some(newline) = self.skip_blanks() {
            self.ends = false;
            return token(Kind::Semicolon, newline, newline + 1);
        }
        let start = self.at;
        let Some(&first) = self.text.get(start) else {
            let kind = if self.ends { Kind::Semicolon } else { Kind::End };
            self.ends = false;
            return token(kind, start, start);
        };
        let kind = match first {
            b'a'..=b'z' | b'A'..=b'Z' | b'_' => self.word(),
            b'0'..=b'9' => self.number(),
            b'.' if self.byte(1).is_ascii_digit() => self.number(),
            b'"' | b'\'' => self.quoted(first),
            b'`' => self.raw(),
            0x80.. => self.foreign(),
            _ => self.operator(first),
        };
        self.ends = kind.ends_statement() || (kind == Kind::Illegal && self.ends);
        token(kind, start, self.at)
    }

    /// Skips blanks and comments; returns where a newline ended a statement.
    fn skip_blanks(&mut self) -> Option<usize> {
        let mut newline = None;
        loop {
            match self.byte(0) {
                b' ' | b'\t' | b'\r' => self.at += 1,
                b'\n' => {
                    self.at += 1;
                    if self.ends {
                        return Some(self.at - 1);
                    }
                }
                b'/' if self.byte(1) == b'/' => {
                    let rest = &self.text[self.at..];
                    self.at += rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len());
                }
                b'/' if self.byte(1) == b'*' => {
                    let start = self.at;
                    self.skip_block_comment();
                    if self.ends && newline.is_none() {
                        let comment = &self.text[start..self.at];
                        newline = comment.iter().position(|b| *b == b'\n').map(|i| start + i);
                    }
                    if newline.is_some() {
                        return newline;
                    }
                }
                _ => return newline,
            }
        }
    }

    fn skip_block_comment(&mut self) {
        self.at += 2;
        while self.at < self.text.len() {
            if self.byte(0) == b'*' && self.byte(1) == b'/' {
                self.at += 2;
                return;
            }
            self.at += 1;
        }
        self.at = self.text.len();
    }

    fn word(&mut self) -> Kind {
        let start = self.at;
        let rest = &self.text[start..];
        let length = rest.iter().position(|b| !IN_WORD[*b as usize]).unwrap_or(rest.len());
        self.at = start + length;
        if self.byte(0) >= 0x80 {
            self.rest_of_word();
            if self.at > start + length {
                return Kind::Ident;
            }
        }
        // The shortest keyword has two letters, the longest eleven.
        if (2..=11).contains(&length) { Kind::of_word(&rest[..length]) } else { Kind::Ident }
    }

    /// Takes the rest of a word that holds letters outside ASCII.
    fn rest_of_word(&mut self) {
        loop {
            let byte = self.byte(0);
            if self.at < self.text.len() && IN_WORD[byte as usize] {
                self.at += 1;
            } else if byte >= 0x80 {
                match decode(&self.text[self.at..]) {
                    (Some(letter), length) if is_letter(letter) || letter.is_numeric() => {
                        self.at += length;
                    }
                    _ => return,
                }
            } else {
                return;
            }
        }
    }

    fn foreign(&mut self) -> Kind {
        let (letter, length) = decode(&self.text[self.at..]);
        self.at += length;
        if letter.is_some_and(is_letter) {
            self.rest_of_word();
            Kind::Ident
        } else {
            Kind::Illegal
        }
    }

    fn number(&mut self) -> Kind {
        let mut kind = Kind::Int;
        let mut hex = false;
        if self.byte(0) == b'0' {
            match self.byte(1) {
                b'x' | b'X' => {
                    hex = true;
                    self.at += 2;
                }
                b'o' | b'O' | b'b' | b'B' => self.at += 2,
                _ => {}
            }
        }
        self.digits(hex);
        if self.byte(0) == b'.' {
            kind = Kind::Float;
            self.at += 1;
            self.digits(hex);
        }
        if matches!(self.byte(0), b'e' | b'E' | b'p' | b'P') {
            kind = Kind::Float;
            self.at += 1;
            if matches!(self.byte(0), b'+' | b'-') {
                self.at += 1;
            }
            self.digits(false);
        }
        if self.byte(0) == b'i' {
            kind = Kind::Imag;
            self.at += 1;
        }
        kind
    }

    fn digits(&mut self, hex: bool) {
        while match self.byte(0) {
            b'0'..=b'9' | b'_' => true,
            b'a'..=b'f' | b'A'..=b'F' => hex,
            _ => false,
        } {
            self.at += 1;
        }
    }

    /// Takes a string or a rune; a newline ends it, closed or not.
    fn quoted(&mut self, quote: u8) -> Kind {
        self.at += 1;
        while let Some(&byte) = self.text.get(self.at) {
            if byte == b'\n' {
                break;
            }
            self.at += 1;
            if byte == quote {
                break;
            }
            if byte == b'\\' && self.at < self.text.len() && self.byte(0) != b'\n' {
                self.at += 1;
            }
        }
        if quote == b'"' { Kind::Str } else { Kind::Char }
    }

    fn raw(&mut self) -> Kind {
        let rest = &self.text[self.at + 1..];
        let inside = rest.iter().position(|b| *b == b'`').map_or(rest.len(), |i| i + 1);
        self.at += 1 + inside;
        Kind::Str
    }

    fn operator(&mut self, first: u8) -> Kind {
        let (kind, length) = match (first, self.byte(1), self.byte(2)) {
            (b'.', b'.', b'.') => (Kind::Ellipsis, 3),
            (b'<', b'<', b'=') => (Kind::ShlAssign, 3),
            (b'>', b'>', b'=') => (Kind::ShrAssign, 3),
            (b'&', b'^', b'=') => (Kind::AndNotAssign, 3),
            (a, b, _) => match pair(a, b) {
                Some(kind) => (kind, 2),
                None => (single(a), 1),
            },
        };
        self.at += length;
        kind
    }
}

const IN_WORD: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = (byte as u8).is_ascii_alphanumeric() || byte as u8 == b'_';
        byte += 1;
    }
    table
};

const fn token(kind: Kind, start: usize, end: usize) -> Token {
    Token { kind, start: start as u32, end: end as u32 }
}

const fn pair(a: u8, b: u8) -> Option<Kind> {
    Some(match (a, b) {
        (b':', b'=') => Kind::Define,
        (b'+', b'=') => Kind::AddAssign,
        (b'+', b'+') => Kind::Inc,
        (b'-', b'=') => Kind::SubAssign,
        (b'-', b'-') => Kind::Dec,
        (b'*', b'=') => Kind::MulAssign,
        (b'/', b'=') => Kind::QuoAssign,
        (b'%', b'=') => Kind::RemAssign,
        (b'^', b'=') => Kind::XorAssign,
        (b'<', b'-') => Kind::Arrow,
        (b'<', b'=') => Kind::Leq,
        (b'<', b'<') => Kind::Shl,
        (b'>', b'=') => Kind::Geq,
        (b'>', b'>') => Kind::Shr,
        (b'=', b'=') => Kind::Eql,
        (b'!', b'=') => Kind::Neq,
        (b'&', b'^') => Kind::AndNot,
        (b'&', b'&') => Kind::LAnd,
        (b'&', b'=') => Kind::AndAssign,
        (b'|', b'|') => Kind::LOr,
        (b'|', b'=') => Kind::OrAssign,
        _ => return None,
    })
}

const fn single(a: u8) -> Kind {
    match a {
        b'+' => Kind::Add,
        b'-' => Kind::Sub,
        b'*' => Kind::Mul,
        b'/' => Kind::Quo,
        b'%' => Kind::Rem,
        b'&' => Kind::And,
        b'|' => Kind::Or,
        b'^' => Kind::Xor,
        b'<' => Kind::Lss,
        b'>' => Kind::Gtr,
        b'=' => Kind::Assign,
        b'!' => Kind::Not,
        b'~' => Kind::Tilde,
        b'(' => Kind::LParen,
        b')' => Kind::RParen,
        b'[' => Kind::LBrack,
        b']' => Kind::RBrack,
        b'{' => Kind::LBrace,
        b'}' => Kind::RBrace,
        b',' => Kind::Comma,
        b'.' => Kind::Period,
        b';' => Kind::Semicolon,
        b':' => Kind::Colon,
        _ => Kind::Illegal,
    }
}

/// Returns whether a character may begin a name. Numerals that count as letters elsewhere do not.
fn is_letter(letter: char) -> bool {
    letter.is_alphabetic() && !letter.is_numeric()
}

/// Reads the first character; of a broken one, takes one byte.
fn decode(bytes: &[u8]) -> (Option<char>, usize) {
    let head = &bytes[..bytes.len().min(4)];
    let whole = match std::str::from_utf8(head) {
        Ok(text) => text,
        Err(error) => std::str::from_utf8(&head[..error.valid_up_to()]).unwrap_or(""),
    };
    whole.chars().next().map_or((None, 1), |letter| (Some(letter), letter.len_utf8()))
}

#[cfg(test)]
mod tests {
    use super::tokens;

    fn names(text: &str) -> String {
        let all: Vec<_> = tokens(text.as_bytes()).iter().map(|t| t.kind.name()).collect();
        all.join(" ")
    }

    #[test]
    fn a_newline_ends_a_statement_only_behind_the_tokens_go_names() {
        assert_eq!(names("a\n+\nreturn\n}\nif\n"), "IDENT ; + return ; } ; if EOF");
        assert_eq!(names("f() // x\ng /* a\nb */ h"), "IDENT ( ) ; IDENT ; IDENT ; EOF");
        assert_eq!(names("f() /* x */ g"), "IDENT ( ) IDENT ; EOF");
    }

    #[test]
    fn literals_keep_what_looks_like_an_end_inside_them() {
        assert_eq!(names(r#""a\"//b" '\'' '"'"#), "STRING CHAR CHAR ; EOF");
        assert_eq!(names("`a\n\"b\\` x"), "STRING IDENT ; EOF");
        assert_eq!(names("\"open\nx"), "STRING ; IDENT ; EOF");
        assert_eq!(names("0x1p-2 1_000 .5 1.e3 2i 0b1"), "FLOAT INT FLOAT FLOAT IMAG INT ; EOF");
    }

    #[test]
    fn letters_of_any_script_make_names() {
        assert_eq!(names("服务x := é1"), "IDENT := IDENT ; EOF");
        assert_eq!(names("a € b"), "IDENT ILLEGAL IDENT ; EOF");
    }

    #[test]
    fn the_longest_operator_wins() {
        assert_eq!(names("&^= &^ <<= <- ... .. ~"), "&^= &^ <<= <- ... . . ~ EOF");
    }

    #[test]
    fn any_bytes_become_tokens_in_order() {
        arbtest::arbtest(|u| {
            let bytes: Vec<u8> = u.arbitrary()?;
            let all = tokens(&bytes);
            assert!(all.windows(2).all(|w| w[0].start <= w[1].start && w[0].end <= w[1].end));
            assert_eq!(all.last().map(|t| t.end as usize), Some(bytes.len()));
            Ok(())
        });
    }
}
