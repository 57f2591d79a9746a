//! The TOML text as a small tree of our own, each value and key with its byte range, and the
//! overlay of `[env.X.section]` over `[section]`.

use std::collections::BTreeMap;

use guanka_core::say::Said;
use toml::de::{DeTable, DeValue};

use super::ManifestProblem;
use crate::text::SourceText;

/// A value with the byte ranges of itself and of its key.
#[derive(Clone, Debug)]
pub(super) struct Tree {
    pub(super) key: (usize, usize),
    pub(super) at: (usize, usize),
    pub(super) value: Value,
}

/// A TOML value, as far as guanka.toml needs it.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Text(String),
    Integer(i64),
    Bool(bool),
    Array(Vec<Tree>),
    Table(BTreeMap<String, Tree>),
    /// A float or a date: never right here.
    Other(&'static str),
}

impl Tree {
    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        self.as_table()?.get(key)
    }

    pub(super) fn as_table(&self) -> Option<&BTreeMap<String, Self>> {
        match &self.value {
            Value::Table(table) => Some(table),
            _ => None,
        }
    }

    /// Returns what the value is, in TOML's words.
    pub(super) const fn kind(&self) -> &'static str {
        match &self.value {
            Value::Text(_) => "a string",
            Value::Integer(_) => "a whole number",
            Value::Bool(_) => "true or false",
            Value::Array(_) => "an array",
            Value::Table(_) => "a table",
            Value::Other(kind) => kind,
        }
    }

    /// Returns the file as one environment sees it: the tables inside `[env.X]` laid over the
    /// tables of the same name, key by key.
    pub(super) fn overlaid(&self, environment: &str) -> Self {
        let mut laid = self.clone();
        let own = self.get("env").and_then(|envs| envs.get(environment)).and_then(Self::as_table);
        let (Value::Table(base), Some(own)) = (&mut laid.value, own) else { return laid };
        for (section, over) in own {
            if matches!(over.value, Value::Table(_)) && super::keys::is_section(section) {
                lay(base, section, over);
            }
        }
        laid
    }
}

/// Lays one table over the table of the same name; tables inside are laid over each other too.
fn lay(base: &mut BTreeMap<String, Tree>, name: &str, over: &Tree) {
    match (base.get_mut(name), &over.value) {
        (Some(Tree { value: Value::Table(under), .. }), Value::Table(upper)) => {
            for (key, value) in upper {
                lay(under, key, value);
            }
        }
        _ => {
            base.insert(name.to_owned(), over.clone());
        }
    }
}

/// Parses the text; what is no TOML becomes problems.
pub(super) fn parse(source: &SourceText<'_>) -> (Tree, Vec<ManifestProblem>) {
    let (table, errors) = DeTable::parse_recoverable(source.text);
    let problems = errors
        .iter()
        .map(|error| {
            let at = error.span().unwrap_or(0..0);
            let message = error.message().replace('\n', "; ");
            ManifestProblem {
                key: String::new(),
                span: source.span(at.start, at.end),
                what: Said::new(
                    format!("不是合法的 TOML:{message}"),
                    format!("no valid TOML: {message}"),
                ),
                next: Said::new(
                    "改正这一行;时长、大小、百分比要写成带引号的文本,如 \"30s\"",
                    "correct this line; durations, sizes and percentages are quoted: \"30s\"",
                ),
            }
        })
        .collect();
    let range = table.span();
    let root = Tree {
        key: (0, 0),
        at: (range.start, range.end),
        value: Value::Table(convert_table(table.get_ref())),
    };
    (root, problems)
}

fn convert_table(table: &DeTable<'_>) -> BTreeMap<String, Tree> {
    table
        .iter()
        .map(|(key, value)| {
            let key_at = key.span();
            let tree = convert((key_at.start, key_at.end), value.span(), value.get_ref());
            (key.get_ref().to_string(), tree)
        })
        .collect()
}

fn convert(key: (usize, usize), at: std::ops::Range<usize>, value: &DeValue<'_>) -> Tree {
    let value = match value {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Integer(number) => {
            match i64::from_str_radix(&number.as_str().replace('_', ""), number.radix()) {
                Ok(number) => Value::Integer(number),
                Err(_) => Value::Other("a number that is too large"),
            }
        }
        DeValue::Boolean(switch) => Value::Bool(*switch),
        DeValue::Array(items) => Value::Array(
            items
                .iter()
                .map(|item| {
                    let at = item.span();
                    convert((at.start, at.end), at.clone(), item.get_ref())
                })
                .collect(),
        ),
        DeValue::Table(table) => Value::Table(convert_table(table)),
        DeValue::Float(_) => Value::Other("a number with a fraction"),
        DeValue::Datetime(_) => Value::Other("a date"),
    };
    Tree { key, at: (at.start, at.end), value }
}
