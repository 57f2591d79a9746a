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
        let _ = writeln!(std::io::stdout().lock(), "{line}");
    }

    /// Prints a line of a result that goes on; returns whether anybody still reads.
    pub(crate) fn is_read(&self, line: &str) -> bool {
        let mut out = std::io::stdout().lock();
        writeln!(out, "{line}").and_then(|()| out.flush()).is_ok()
    }

    /// Prints a line of talk to stderr.
    pub(crate) fn note(&self, line: &str) {
        let _ = writeln!(std::io::stderr().lock(), "{line}");
    }
}

/// Returns how many columns a text takes: Chinese characters take two.
pub(crate) fn width(text: &str) -> usize {
    unicode_width::UnicodeWidthStr::width(text)
}

/// Pads a text with spaces up to a width in columns.
pub(crate) fn pad(text: &str, columns: usize) -> String {
    format!("{text}{}", " ".repeat(columns.saturating_sub(width(text))))
}
