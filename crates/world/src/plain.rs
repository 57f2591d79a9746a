//! Words that may be written into nginx text and ini files as they are. A value is checked once,
//! here; the renderers never look again.

use std::fmt;
use std::path::{Path, PathBuf};

/// The longest path accepted; Linux takes 4096 bytes, and no real layout comes near this.
const PATH_MAX: usize = 1024;

/// An absolute path of letters, digits and `. _ - + @ % ~ /`, without `..`: no syntax in nginx, in
/// an ini file or in a command line of Supervisor's.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PlainPath(String);

/// A cookie's name as it may stand in an nginx variable: letters, digits and `_`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CookieName(String);

/// A text that a systemd unit holds between quotation marks: no control characters and none that
/// turn the direction of writing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quoted(String);

/// Why a text may not be written as it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not {expected}")]
pub struct PlainError {
    /// What was given, cut short.
    pub text: String,
    /// What would have been right.
    pub expected: &'static str,
}

impl PlainPath {
    /// Accepts a path or says why not.
    pub fn new(path: &Path) -> Result<Self, PlainError> {
        let shown = path.to_string_lossy();
        let error = || PlainError {
            text: shown.chars().take(80).collect(),
            expected: "an absolute path of A-Z a-z 0-9 . _ - + @ % ~ / without ..",
        };
        let text = path.to_str().ok_or_else(error)?;
        let is_letter = |b: u8| b.is_ascii_alphanumeric() || b"._-+@%~/".contains(&b);
        let good = text.starts_with('/')
            && text.len() <= PATH_MAX
            && text.bytes().all(is_letter)
            && !text.split('/').any(|part| part == "..");
        if good { Ok(Self(text.to_owned())) } else { Err(error()) }
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the path.
    pub fn to_path(&self) -> PathBuf {
        PathBuf::from(&self.0)
    }
}

impl fmt::Display for PlainPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl CookieName {
    /// Accepts 1 to 64 letters, digits and `_`; nginx knows no variable for any other cookie.
    pub fn new(text: &str) -> Result<Self, PlainError> {
        let good = (1..=64).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if good {
            Ok(Self(text.to_owned()))
        } else {
            Err(PlainError {
                text: text.chars().take(80).collect(),
                expected: "a cookie name of letters, digits and _",
            })
        }
    }

    /// Returns the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Quoted {
    /// Accepts up to 4096 bytes of one line.
    pub fn new(text: &str) -> Result<Self, PlainError> {
        let turns = |c: char| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if text.len() <= 4096 && !text.chars().any(|c| c.is_control() || turns(c)) {
            return Ok(Self(text.to_owned()));
        }
        Err(PlainError {
            text: text.chars().take(80).collect(),
            expected: "one line without control characters, of at most 4096 bytes",
        })
    }

    /// Returns the text as a word of a command line: neither a variable nor a specifier in it.
    pub fn in_command(&self) -> String {
        self.in_setting().replace('$', "$$")
    }

    /// Returns the text as a word of a setting, where no variable is looked for.
    pub fn in_setting(&self) -> String {
        let text = self.0.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%");
        format!("\"{text}\"")
    }

    /// Returns a name without marks: letters, digits and `. _ -`.
    pub fn bare(&self) -> Result<&str, PlainError> {
        let is_letter = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
        let is_folder = matches!(self.0.as_str(), "" | "." | "..");
        if self.0.bytes().all(is_letter) && !self.0.starts_with('-') && !is_folder {
            return Ok(&self.0);
        }
        let text = self.0.chars().take(80).collect();
        Err(PlainError { text, expected: "a name of A-Z a-z 0-9 . _ -" })
    }

    /// Returns a user's name without marks: letters, digits and `. _ -`. Digits alone would be read
    /// as a number, `0` as root, whoever is meant by the name.
    pub fn user(&self) -> Result<&str, PlainError> {
        let is_letter = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
        let is_number = self.0.bytes().all(|b| b.is_ascii_digit());
        let good = self.0.bytes().all(is_letter) && !is_number;
        if good && !self.0.starts_with('-') && !matches!(self.0.as_str(), "." | "..") {
            return Ok(&self.0);
        }
        Err(PlainError {
            text: self.0.chars().take(80).collect(),
            expected: "a user's name of A-Z a-z 0-9 . _ -, not of digits alone",
        })
    }
}

/// Strings that are meant to break out of a configuration file: syntax of nginx, of ini files, of
/// shells, odd Unicode, bytes that end a C string.
#[cfg(test)]
pub(crate) const HOSTILE: &[&str] = &[
    "x\nreturn 200",
    "x; return 200 \"pwned\"",
    "x } server {",
    "$http_host",
    "x # y",
    "x\"y",
    "x'y",
    "${HOME}",
    "x\n[program:y]",
    "x\\",
    "x --flag",
    "x; rest",
    "%(ENV_PATH)s",
    "]\n[x]",
    "中文",
    "\u{202e}x",
    "x\0y",
    "*",
    "../../x",
    "",
    " ",
    "a\tb",
    "a\rb",
];

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{CookieName, HOSTILE, PlainPath};

    #[test]
    fn hostile_words_are_refused_as_paths_and_cookies() {
        for text in HOSTILE {
            assert!(PlainPath::new(Path::new(&format!("/{text}/x"))).is_err() || text.is_empty());
            assert!(PlainPath::new(Path::new(text)).is_err(), "{text:?}");
            assert!(CookieName::new(text).is_err(), "{text:?}");
        }
        assert!(PlainPath::new(Path::new(&format!("/{}", "x".repeat(5000)))).is_err());
        assert!(PlainPath::new(Path::new("relative")).is_err());
    }

    #[test]
    fn plain_words_pass_unchanged() {
        let path = PlainPath::new(Path::new("/var/lib/guanka/shop-api.prod/live"));
        assert_eq!(path.expect("plain").as_str(), "/var/lib/guanka/shop-api.prod/live");
        assert_eq!(CookieName::new("sid_2").expect("plain").as_str(), "sid_2");
    }
}
