//! What people see: language, colour, width, tables, annotated source lines.

pub(crate) mod annotate;
pub(crate) mod failure;

use std::io::{IsTerminal, Write};

use guanka_core::say::{Lang, Said, Text};

/// How this run talks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terminal {
    /// The language.
    pub(crate) lang: Lang,
    /// Machine-readable output on stdout.
    pub(crate) json: bool,
    /// Colour on stdout and stderr.
    pub(crate) color: bool,
}

impl Terminal {
    /// Reads the environment: `--lang` first, then LC_ALL, LC_MESSAGES, LANG; NO_COLOR, CLICOLOR,
    /// TERM=dumb and pipes switch colour off.
    pub(crate) fn new(lang: Option<Lang>, json: bool) -> Self {
        let env = |key: &str| std::env::var(key).ok().filter(|v| !v.is_empty());
        let spoken = ["LC_ALL", "LC_MESSAGES", "LANG"].iter().find_map(|key| env(key));
        let from_env = match spoken.as_deref() {
            Some(text) if text.to_ascii_lowercase().starts_with("zh") => Lang::Zh,
            _ => Lang::En,
        };
        let plain = env("NO_COLOR").is_some()
            || env("CLICOLOR").as_deref() == Some("0")
            || env("TERM").as_deref() == Some("dumb");
        let color = !plain && !json && std::io::stdout().is_terminal();
        Self { lang: lang.unwrap_or(from_env), json, color }
    }

    /// Returns a constant sentence in this run's language.
    pub(crate) fn text(&self, text: &Text) -> &'static str {
        text.get(self.lang)
    }

    /// Returns a sentence in this run's language.
    pub(crate) fn said<'a>(&self, said: &'a Said) -> &'a str {
        said.get(self.lang)
    }

    /// Prints a line of the result to stdout.
    pub(crate) fn line(&self, line: &str) {
        // A closed pipe (`guanka check | head`) is the reader's choice, not an error.
        let _ = writeln!(std::io::stdout().lock(), "{}", self.harmless(line));
    }

    /// Prints a line of a result that goes on; returns whether anybody still reads.
    pub(crate) fn is_read(&self, line: &str) -> bool {
        let mut out = std::io::stdout().lock();
        writeln!(out, "{}", self.harmless(line)).and_then(|()| out.flush()).is_ok()
    }

    /// Prints a line of talk to stderr.
    pub(crate) fn note(&self, line: &str) {
        let _ = writeln!(std::io::stderr().lock(), "{}", self.harmless(line));
    }

    /// Moves the cursor and draws a picture whose lines are harmless.
    pub(crate) fn draw(&self, picture: &str) {
        let _ = writeln!(std::io::stdout().lock(), "{picture}");
    }

    /// Returns a text without what could drive the reader's terminal: paths that strangers asked
    /// for, output of programs and names of branches reach it. Colours stay where they are on.
    pub(crate) fn harmless(&self, text: &str) -> String {
        let turns = |c: char| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        let is_bad = |c: char| (c.is_control() && !matches!(c, '\n' | '\t')) || turns(c);
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find(is_bad) {
            out.push_str(&rest[..at]);
            rest = &rest[at..];
            let color = if self.color { color_code(rest) } else { None };
            let bad = rest.chars().next().map_or(0, char::len_utf8);
            out.push_str(color.unwrap_or("\u{fffd}"));
            rest = &rest[color.map_or(bad, str::len)..];
        }
        out + rest
    }
}

/// Returns the colour at the beginning of a text: `ESC [ 1 ; 31 m`.
fn color_code(text: &str) -> Option<&str> {
    let numbers = text.strip_prefix("\u{1b}[")?;
    let end = numbers.find(|c: char| !(c.is_ascii_digit() || c == ';'))?;
    numbers[end..].starts_with('m').then(|| &text[..end + 3])
}

/// Returns how many columns a text takes: Chinese characters take two.
pub(crate) fn width(text: &str) -> usize {
    unicode_width::UnicodeWidthStr::width(text)
}

/// Pads a text with spaces up to a width in columns.
pub(crate) fn pad(text: &str, columns: usize) -> String {
    format!("{text}{}", " ".repeat(columns.saturating_sub(width(text))))
}

#[cfg(test)]
mod tests {
    use guanka_core::say::Lang;

    use super::Terminal;

    #[test]
    fn what_strangers_wrote_cannot_drive_the_terminal() {
        let plain = Terminal { lang: Lang::En, json: false, color: false };
        let colored = Terminal { color: true, ..plain };
        let text = "a\u{1b}[2J\tb\u{9b}31m中\n\u{202e}c\r\u{1b}]0;x\u{7}";
        let shown = "a\u{fffd}[2J\tb\u{fffd}31m中\n\u{fffd}c\u{fffd}\u{fffd}]0;x\u{fffd}";
        assert_eq!((plain.harmless(text), colored.harmless(text)), (shown.into(), shown.into()));
        let red = "\u{1b}[1;31mred\u{1b}[0m";
        assert_eq!(colored.harmless(red), red);
        assert_eq!(plain.harmless(red), "\u{fffd}[1;31mred\u{fffd}[0m");
    }
}
