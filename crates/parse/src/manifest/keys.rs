//! What a section and a key of `guanka.toml` are, and the walk that reports every one that is not
//! in the list.

use guanka_core::say::{Said, Text};

use super::tree::{Tree, Value};
use super::{ManifestProblem, SECTIONS, nearest};
use crate::text::SourceText;

/// A section: `app`, or `slo.*` for sections with a name of the user's.
pub struct Section {
    /// The dotted path; `*` stands for a name.
    pub path: &'static str,
    /// What it is about.
    pub about: Text,
    /// Its keys.
    pub keys: &'static [Key],
}

/// A key of a section.
pub struct Key {
    /// Its name.
    pub name: &'static str,
    /// What its value looks like.
    pub kind: KeyKind,
    /// The default as it would be written; empty when there is none.
    pub default: &'static str,
    /// What it means.
    pub about: Text,
}

/// What a value looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// A string.
    Text,
    /// true or false.
    Switch,
    /// A whole number.
    Number,
    /// `"30s"`.
    Duration,
    /// `"512M"`.
    Size,
    /// `"0.06%"`.
    Percent,
    /// `"200/s"`.
    Rate,
    /// `"150%"` of one processor.
    Cpu,
    /// `"0.06%"` or `"950ms"`, as the objective's indicator asks.
    Limit,
    /// An array of strings.
    Texts,
    /// A string or an array of strings.
    TextOrTexts,
    /// An array of `{ check, until, reason }`.
    Allows,
    /// One of a few words.
    Word(&'static [&'static str]),
}

/// Sections of the full design that this version does not act on. Ignoring them silently would let
/// a release pass a gate that somebody believes in, so they are refused by name.
const LATER: &[&str] = &[
    "depends",
    "capacity",
    "hooks",
    "server_timeouts",
    "security",
    "metrics",
    "approval",
    "notify",
    "target",
    "gates.chaos",
];

/// Returns whether a name is a section's first word.
pub(super) fn is_section(name: &str) -> bool {
    SECTIONS.iter().any(|s| s.path.split('.').next() == Some(name)) && name != "env"
}

/// Reports every section and key that is not known.
pub(super) fn check(root: &Tree, source: &SourceText<'_>, problems: &mut Vec<ManifestProblem>) {
    let mut walk = Walk { source, problems };
    walk.table(root, "", "");
}

struct Walk<'a, 's> {
    source: &'a SourceText<'s>,
    problems: &'a mut Vec<ManifestProblem>,
}

impl Walk<'_, '_> {
    /// Walks one table. `shown` is its path as written, `shape` the path in the list above.
    fn table(&mut self, tree: &Tree, shown: &str, shape: &str) {
        let Some(table) = tree.as_table() else { return };
        for (name, inner) in table {
            let shown = join(shown, name);
            let child = child_shape(shape, name);
            if LATER.contains(&child.as_str()) {
                self.later(inner, &shown);
            } else if let Some(section) = SECTIONS.iter().find(|s| s.path == child) {
                self.section(inner, &shown, section);
            } else if is_prefix(&child) {
                self.table(inner, &shown, &child);
            } else {
                self.unknown(inner, &shown, name, sections_below(shape));
            }
        }
    }

    fn section(&mut self, tree: &Tree, shown: &str, section: &Section) {
        let Some(table) = tree.as_table() else {
            self.push(
                shown,
                tree.at,
                Said::new(
                    format!("{shown} 应为一段 [{shown}]"),
                    format!("{shown} is a section [{shown}]"),
                ),
                Said::new(format!("写成 [{shown}]"), format!("write it as [{shown}]")),
            );
            return;
        };
        for (name, inner) in table {
            let shown = join(shown, name);
            let nested = section.path == "env.*" && matches!(inner.value, Value::Table(_));
            if nested {
                // `[env.X.section]` sets a section anew for one service.
                let shape = name.clone();
                if LATER.contains(&shape.as_str()) {
                    self.later(inner, &shown);
                } else if let Some(own) = SECTIONS.iter().find(|s| s.path == shape) {
                    self.section(inner, &shown, own);
                } else if is_prefix(&shape) && shape != "env" {
                    self.table(inner, &shown, &shape);
                } else {
                    self.unknown(inner, &shown, name, sections_below(""));
                }
            } else if !section.keys.iter().any(|k| k.name == name) {
                self.unknown(inner, &shown, name, section.keys.iter().map(|k| k.name).collect());
            }
        }
    }

    fn unknown(&mut self, tree: &Tree, shown: &str, name: &str, known: Vec<&str>) {
        let next = match nearest(name, known.iter().copied()) {
            Some(near) => Said::new(format!("是否想写 {near}?"), format!("did you mean {near}?")),
            None => {
                let list = known.join(", ");
                Said::new(format!("这里可以写:{list}"), format!("known here: {list}"))
            }
        };
        let what = Said::new(format!("未知的键 {shown}"), format!("unknown key {shown}"));
        self.push(shown, tree.key, what, next);
    }

    fn later(&mut self, tree: &Tree, shown: &str) {
        let what = Said::new(
            format!("本版本的 guanka 还不执行 [{shown}]"),
            format!("this version of guanka does not act on [{shown}]"),
        );
        let next = Said::new(
            "删去这一段:写了却不生效的关卡比没有更危险",
            "remove it: a gate that is written and not acted on is worse than none",
        );
        self.push(shown, tree.key, what, next);
    }

    fn push(&mut self, key: &str, at: (usize, usize), what: Said, next: Said) {
        let span = self.source.span(at.0, at.1);
        self.problems.push(ManifestProblem { key: key.to_owned(), span, what, next });
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// Returns the listed path of a child: names of the user's become `*`.
fn child_shape(shape: &str, name: &str) -> String {
    if matches!(shape, "env" | "slo") { format!("{shape}.*") } else { join(shape, name) }
}

fn is_prefix(shape: &str) -> bool {
    SECTIONS.iter().any(|s| s.path.starts_with(&format!("{shape}.")))
}

/// Returns the names that may stand directly below a path.
fn sections_below(shape: &str) -> Vec<&'static str> {
    let prefix = if shape.is_empty() { String::new() } else { format!("{shape}.") };
    let mut names: Vec<&str> = SECTIONS
        .iter()
        .filter_map(|s| s.path.strip_prefix(prefix.as_str()))
        .filter_map(|rest| rest.split('.').next())
        .collect();
    names.dedup();
    names
}
