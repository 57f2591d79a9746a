//! How the readers of what is written take it apart, written down once more from their manuals and
//! not from the renderers: systemd's words, Supervisor's shell words, ssh's paths, HTML's tags.

/// Splits a unit's value as systemd does: quotes group, a backslash escapes. `None` for what it
/// would refuse, and for a bare `;`, which parts two commands.
pub fn unit_words(value: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut letters = value.chars().peekable();
    loop {
        while letters.next_if(|c| c.is_ascii_whitespace()).is_some() {}
        if letters.peek().is_none() {
            return Some(words);
        }
        let (mut word, mut quote, mut was_quoted) = (String::new(), None, false);
        loop {
            match (letters.next(), quote) {
                (None, Some(_)) => return None,
                (None, None) => break,
                (Some(c), None) if c.is_ascii_whitespace() => break,
                (Some(c @ ('"' | '\'')), None) => {
                    quote = Some(c);
                    was_quoted = true;
                }
                (Some(c), Some(open)) if c == open => quote = None,
                (Some('\\'), _) => word.push(match letters.next()? {
                    'n' => '\n',
                    't' => '\t',
                    's' => ' ',
                    c @ ('\\' | '"' | '\'') => c,
                    _ => return None,
                }),
                (Some(c), _) => word.push(c),
            }
        }
        if word == ";" && !was_quoted {
            return None;
        }
        words.push(word);
    }
}

/// Reads `%%` as a per cent sign; any other specifier is `None`, since nobody means one.
pub fn specifiers(text: &str) -> Option<String> {
    doubled(text, '%')
}

/// Reads `$$` as a dollar sign; any other variable is `None`.
pub fn variables(text: impl AsRef<str>) -> Option<String> {
    doubled(text.as_ref(), '$')
}

fn doubled(text: &str, sign: char) -> Option<String> {
    let mut read = String::with_capacity(text.len());
    let mut letters = text.chars();
    while let Some(c) = letters.next() {
        if c == sign && letters.next() != Some(sign) {
            return None;
        }
        read.push(c);
    }
    Some(read)
}

/// Splits a command line as Supervisor does, by Python's `shlex`.
pub fn shell_words(line: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut open: Option<String> = None;
    let mut letters = line.chars();
    while let Some(c) = letters.next() {
        match c {
            ' ' | '\t' | '\r' | '\n' => words.extend(open.take()),
            '\'' | '"' => {
                let word = open.get_or_insert_default();
                loop {
                    match letters.next()? {
                        end if end == c => break,
                        '\\' if c == '"' => match letters.next()? {
                            escaped @ ('\\' | '"') => word.push(escaped),
                            other => word.extend(['\\', other]),
                        },
                        other => word.push(other),
                    }
                }
            }
            '\\' => open.get_or_insert_default().push(letters.next()?),
            c => open.get_or_insert_default().push(c),
        }
    }
    words.extend(open);
    Some(words)
}

/// Reads a list of files in ssh's configuration: words, then tokens. `None` where a token, a
/// variable or a home folder would be put in that nobody means.
pub fn ssh_paths(value: &str) -> Option<Vec<String>> {
    let mut paths = Vec::new();
    let mut open: Option<String> = None;
    let mut quote = None;
    let mut letters = value.chars().peekable();
    while let Some(c) = letters.next() {
        match (c, quote) {
            (' ' | '\t', None) => paths.extend(open.take()),
            ('#', None) if open.is_none() => break,
            ('"' | '\'', None) => {
                quote = Some(c);
                open.get_or_insert_default();
            }
            (c, Some(end)) if c == end => quote = None,
            ('\\', _) if matches!(letters.peek(), Some('"' | '\'' | '\\')) => {
                open.get_or_insert_default().extend(letters.next());
            }
            (c, _) => open.get_or_insert_default().push(c),
        }
    }
    paths.extend(open);
    let is_ended = quote.is_none();
    let expanded = |path: &String| {
        let is_fixed = !path.contains("${") && !path.starts_with('~') && !path.contains('\n');
        is_fixed.then(|| specifiers(path))?
    };
    if is_ended { paths.iter().map(expanded).collect() } else { None }
}

/// A piece of a route's expression.
enum Piece {
    Letter(char),
    /// `[^/]+`
    Part,
    /// `(?:/|$)`
    Below,
    /// `$`
    End,
}

/// Returns whether an expression takes a request's path; `None` for one with any other syntax than
/// that of routes. `/` and letters stand for themselves, and signs behind a backslash.
pub fn expression_takes(expression: &str, path: &str) -> Option<bool> {
    let mut rest = expression.strip_prefix('^')?;
    let mut pieces = Vec::new();
    while let Some(c) = rest.chars().next() {
        let (piece, length) = if rest.starts_with("[^/]+") {
            (Piece::Part, 5)
        } else if rest.starts_with("(?:/|$)") {
            (Piece::Below, 7)
        } else if rest == "$" {
            (Piece::End, 1)
        } else if let Some(sign) = rest.strip_prefix('\\').map(|r| r.chars().next()) {
            let sign = sign.filter(|sign| !sign.is_ascii_alphanumeric())?;
            (Piece::Letter(sign), 1 + sign.len_utf8())
        } else if c.is_ascii_alphanumeric() || "/-_~%@".contains(c) {
            (Piece::Letter(c), 1)
        } else {
            return None;
        };
        pieces.push(piece);
        rest = &rest[length..];
    }
    Some(takes(&pieces, path))
}

fn takes(pieces: &[Piece], path: &str) -> bool {
    let Some((first, later)) = pieces.split_first() else { return true };
    match first {
        Piece::Letter(c) => path.strip_prefix(*c).is_some_and(|rest| takes(later, rest)),
        Piece::Part => {
            let rest = path.trim_start_matches(|c| c != '/');
            // The part is followed by `/` or nothing, so the longest one is the only one.
            rest.len() < path.len() && takes(later, rest)
        }
        Piece::Below => path.is_empty() || path.starts_with('/'),
        Piece::End => path.is_empty(),
    }
}

/// Returns the tags of a page with their attributes, in order.
pub fn html_tags(page: &str) -> Vec<&str> {
    let tags = page.split('<').skip(1);
    tags.filter_map(|rest| rest.split_once('>').map(|(tag, _)| tag)).collect()
}

/// Returns what a page shows, its entities read.
pub fn html_text(page: &str) -> String {
    let shown: String =
        page.split('<').map(|part| part.split_once('>').map_or("", |(_, text)| text)).collect();
    let quotes = shown.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"");
    quotes.replace("&#39;", "'").replace("&amp;", "&")
}

#[cfg(test)]
mod tests {
    use super::{html_tags, html_text, shell_words, specifiers, ssh_paths, unit_words};

    #[test]
    fn words_are_those_of_their_readers() {
        let unit = unit_words(r#"/a "b c" ";" 'd"' \"e "" x\sy"#);
        assert_eq!(unit.expect("words"), ["/a", "b c", ";", "d\"", "\"e", "", "x y"]);
        for bad in ["/a ; /b", "\"a", "\\q"] {
            assert_eq!(unit_words(bad), None, "{bad}");
        }
        assert_eq!(specifiers("100%% %%h").as_deref(), Some("100% %h"));
        assert_eq!(specifiers("%h"), None);
        let shell = shell_words(r#"/a 'b c' "d\"e\x" f\ g """#);
        assert_eq!(shell.expect("words"), ["/a", "b c", "d\"e\\x", "f g", ""]);
        let paths = ssh_paths(r#""/a b/k" /c%%d # rest"#);
        assert_eq!(paths.expect("paths"), ["/a b/k", "/c%d"]);
        for bad in ["/a%h", "/${HOME}/k", "~/k", "\"/a"] {
            assert_eq!(ssh_paths(bad), None, "{bad}");
        }
        assert_eq!(html_tags("<p class=\"a\">x</p>"), ["p class=\"a\"", "/p"]);
        assert_eq!(html_text("<p>a &lt;b&gt; &amp;lt;</p>"), "a <b> &lt;");
    }
}
