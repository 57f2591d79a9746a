//! What Supervisor's configuration says about one program, with Supervisor's own defaults.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Fact, Span};
use crate::quantity::Millis;

/// One `[program:x]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program {
    /// The name behind `program:`.
    pub name: String,
    /// Where its section begins.
    pub span: Span,
    /// Each option as written, last one wins.
    pub options: BTreeMap<String, IniValue>,
}

/// An option's value and its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IniValue {
    /// The text, comments and outer white space taken off.
    pub value: String,
    /// Where it stands.
    pub span: Span,
}

/// The version whose defaults are meant; they have been the same since 3.0.
const SOFTWARE: &str = "Supervisor 4.2";

impl Program {
    /// Returns an option's text or Supervisor's default for it.
    pub fn text(&self, key: &str, default: &str) -> Fact<String> {
        match self.options.get(key) {
            Some(found) => Fact::at(found.value.clone(), found.span.clone()),
            None => Fact::default_of(default.to_owned(), SOFTWARE, key),
        }
    }

    /// Returns the command line.
    pub fn command(&self) -> Fact<String> {
        self.text("command", "")
    }

    /// Returns how long Supervisor waits between the stop signal and SIGKILL (10 s by default).
    pub fn stop_wait(&self) -> Fact<Millis> {
        match self.options.get("stopwaitsecs") {
            None => Fact::default_of(Millis::from_secs(10), SOFTWARE, "stopwaitsecs"),
            Some(found) => match found.value.parse::<u64>() {
                Ok(secs) if secs < 1_000_000 => {
                    Fact::at(Millis::from_secs(secs), found.span.clone())
                }
                _ => Fact::Unknown(super::Reason::NotParsed(found.span.clone())),
            },
        }
    }

    /// Returns whether the stop signal goes to the whole process group (no by default).
    pub fn stops_group(&self) -> Fact<bool> {
        self.switch("stopasgroup", false)
    }

    /// Reads an on/off option in the words Supervisor takes.
    pub fn switch(&self, key: &str, default: bool) -> Fact<bool> {
        match self.options.get(key) {
            None => Fact::default_of(default, SOFTWARE, key),
            Some(found) => match found.value.to_ascii_lowercase().as_str() {
                "true" | "yes" | "on" | "1" => Fact::at(true, found.span.clone()),
                "false" | "no" | "off" | "0" => Fact::at(false, found.span.clone()),
                _ => Fact::Unknown(super::Reason::NotParsed(found.span.clone())),
            },
        }
    }
}
