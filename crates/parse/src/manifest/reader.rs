//! Typed reading of one environment's tree: each getter takes the value, or leaves a problem with
//! the place and what would be right. A missing key takes its default from the one list.

use std::collections::BTreeMap;

use guanka_core::facts::Span;
use guanka_core::quantity::{Bytes, CpuPercent, Millis, Proportion, QuantityError, Rate};
use guanka_core::say::Said;

use super::tree::{Tree, Value};
use super::{ManifestProblem, SECTIONS};
use crate::text::SourceText;

/// Reads values out of a tree and collects what is wrong.
pub(super) struct Reader<'a, 's> {
    source: &'a SourceText<'s>,
    root: &'a Tree,
    problems: &'a mut Vec<ManifestProblem>,
    /// Where each key that was found stands.
    pub(super) spans: BTreeMap<String, Span>,
}

impl<'a, 's> Reader<'a, 's> {
    pub(super) fn new(
        source: &'a SourceText<'s>,
        root: &'a Tree,
        problems: &'a mut Vec<ManifestProblem>,
    ) -> Self {
        Self { source, root, problems, spans: BTreeMap::new() }
    }

    pub(super) const fn file(&self) -> &'s str {
        self.source.file
    }

    /// Returns the section's table, if it is there.
    pub(super) fn section(&self, path: &str) -> Option<&'a Tree> {
        path.split('.').try_fold(self.root, |tree, name| tree.get(name))
    }

    /// Returns the names of the tables below a path, `slo` for example.
    pub(super) fn names(&self, path: &str) -> Vec<String> {
        let table = self.section(path).and_then(Tree::as_table);
        table.map(|t| t.keys().cloned().collect()).unwrap_or_default()
    }

    /// Returns a key's value and remembers its place.
    pub(super) fn find(&mut self, path: &str, key: &str) -> Option<&'a Tree> {
        let found = self.section(path)?.get(key)?;
        let dotted = format!("{path}.{key}");
        self.spans.insert(dotted, self.source.span(found.at.0, found.at.1));
        Some(found)
    }

    pub(super) fn text(&mut self, path: &str, key: &str) -> Option<String> {
        match self.find(path, key) {
            None => Some(default_of(path, key).to_owned()).filter(|d| !d.is_empty()),
            Some(Tree { value: Value::Text(text), .. }) => Some(text.clone()),
            Some(other) => self.wrong_kind(path, key, other, "a string"),
        }
    }

    /// Returns a text that must be there.
    pub(super) fn required(&mut self, path: &str, key: &str, example: &str) -> Option<String> {
        let before = self.problems.len();
        let found = self.text(path, key);
        if found.is_none() && self.problems.len() == before {
            self.missing(path, key, example);
        }
        found
    }

    pub(super) fn switch(&mut self, path: &str, key: &str) -> Option<bool> {
        match self.find(path, key) {
            None => Some(default_of(path, key) == "true"),
            Some(Tree { value: Value::Bool(switch), .. }) => Some(*switch),
            Some(other) => self.wrong_kind(path, key, other, "true or false"),
        }
    }

    /// Returns a whole number within bounds.
    pub(super) fn number(&mut self, path: &str, key: &str, least: i64, most: i64) -> Option<u64> {
        let (number, at) = match self.find(path, key) {
            None => (default_of(path, key).parse().ok()?, (0, 0)),
            Some(Tree { value: Value::Integer(number), at, .. }) => (*number, *at),
            Some(other) => return self.wrong_kind(path, key, other, "a whole number"),
        };
        if (least..=most).contains(&number) {
            return u64::try_from(number).ok();
        }
        let what = Said::new(
            format!("{path}.{key} = {number},应在 {least} 到 {most} 之间"),
            format!("{path}.{key} = {number}, but it goes from {least} to {most}"),
        );
        self.problem(path, key, at, what, Said::new("改为范围内的数", "write a number between"))
    }

    pub(super) fn duration(&mut self, path: &str, key: &str) -> Option<Millis> {
        self.quantity(path, key, Millis::parse)
    }

    pub(super) fn size(&mut self, path: &str, key: &str) -> Option<Bytes> {
        self.quantity(path, key, Bytes::parse)
    }

    pub(super) fn rate(&mut self, path: &str, key: &str) -> Option<Rate> {
        self.quantity(path, key, Rate::parse)
    }

    pub(super) fn cpu(&mut self, path: &str, key: &str) -> Option<CpuPercent> {
        self.quantity(path, key, CpuPercent::parse)
    }

    pub(super) fn percent(&mut self, path: &str, key: &str) -> Option<Proportion> {
        self.quantity(path, key, Proportion::parse)
    }

    fn quantity<T>(
        &mut self,
        path: &str,
        key: &str,
        parse: fn(&str) -> Result<T, QuantityError>,
    ) -> Option<T> {
        let text = self.text(path, key)?;
        match parse(&text) {
            Ok(value) => Some(value),
            Err(error) => {
                let what = Said::new(
                    format!("{path}.{key} = {:?} 单位或取值不对", error.text),
                    format!("{path}.{key}: {error}"),
                );
                let next = Said::new(
                    format!("应为:{}", error.expected.zh),
                    format!("write {}", error.expected.en),
                );
                self.problem(path, key, self.place(path, key), what, next)
            }
        }
    }

    /// Returns one of a few words.
    pub(super) fn word(&mut self, path: &str, key: &str, words: &[&str]) -> Option<String> {
        let text = self.text(path, key)?;
        if words.contains(&text.as_str()) {
            return Some(text);
        }
        let list = words.join(", ");
        let what = Said::new(
            format!("{path}.{key} = {text:?} 不在可选之列"),
            format!("{path}.{key} = {text:?} is none of the words it takes"),
        );
        let next = Said::new(format!("可选:{list}"), format!("write one of: {list}"));
        self.problem(path, key, self.place(path, key), what, next)
    }

    /// Returns an array of strings, or a single string as one, each with its byte range.
    pub(super) fn texts(&mut self, path: &str, key: &str) -> Vec<(String, (usize, usize))> {
        let items = match self.find(path, key) {
            None => return Vec::new(),
            Some(Tree { value: Value::Text(text), at, .. }) => return vec![(text.clone(), *at)],
            Some(Tree { value: Value::Array(items), .. }) => items,
            Some(other) => {
                self.wrong_kind::<()>(path, key, other, "an array of strings");
                return Vec::new();
            }
        };
        let mut texts = Vec::new();
        for item in items {
            match &item.value {
                Value::Text(text) => texts.push((text.clone(), item.at)),
                _ => {
                    self.wrong_kind::<()>(path, key, item, "a string");
                }
            }
        }
        texts
    }

    /// Reads each text of an array into a type.
    pub(super) fn each<T>(
        &mut self,
        path: &str,
        key: &str,
        read: impl Fn(&str) -> Result<T, Said>,
    ) -> Vec<T> {
        let mut values = Vec::new();
        for (text, at) in self.texts(path, key) {
            match read(&text) {
                Ok(value) => values.push(value),
                Err(next) => {
                    let what = Said::new(
                        format!("{path}.{key} 中的 {text:?} 看不懂"),
                        format!("{text:?} in {path}.{key} cannot be understood"),
                    );
                    self.problem::<()>(path, key, at, what, next);
                }
            }
        }
        values
    }

    pub(super) fn missing(&mut self, path: &str, key: &str, example: &str) {
        let at = self.section(path).map_or((0, 0), |section| section.key);
        let what = Said::new(format!("缺少 {path}.{key}"), format!("{path}.{key} is missing"));
        let next = Said::new(
            format!("在 [{path}] 下加:{key} = {example}"),
            format!("add under [{path}]: {key} = {example}"),
        );
        self.problem::<()>(path, key, at, what, next);
    }

    /// Leaves a problem; the `None` is the value that could not be read.
    pub(super) fn problem<T>(
        &mut self,
        path: &str,
        key: &str,
        at: (usize, usize),
        what: Said,
        next: Said,
    ) -> Option<T> {
        let span = self.source.span(at.0, at.1);
        self.problems.push(ManifestProblem { key: format!("{path}.{key}"), span, what, next });
        None
    }

    /// Returns where a key's value stands, else where its section does.
    pub(super) fn place(&self, path: &str, key: &str) -> (usize, usize) {
        let section = self.section(path);
        section.and_then(|s| s.get(key)).map(|v| v.at).or(section.map(|s| s.key)).unwrap_or((0, 0))
    }

    fn wrong_kind<T>(&mut self, path: &str, key: &str, found: &Tree, wanted: &str) -> Option<T> {
        let what = Said::new(
            format!("{path}.{key} 的类型不对:这里是 {}", found.kind()),
            format!("{path}.{key} has the wrong type: {}", found.kind()),
        );
        let next = Said::new(format!("应为 {wanted}"), format!("write {wanted}"));
        self.problem(path, key, found.at, what, next)
    }
}

/// Returns a key's default as it would be written.
fn default_of(path: &str, key: &str) -> &'static str {
    let shape = match path.split_once('.') {
        Some((first @ ("env" | "slo"), _)) => format!("{first}.*"),
        _ => path.to_owned(),
    };
    SECTIONS
        .iter()
        .filter(|section| section.path == shape)
        .flat_map(|section| section.keys)
        .find(|k| k.name == key)
        .map_or("", |k| k.default)
}
