//! Parses `guanka.toml`: every key known, every unit present, every name allowed, with the place of
//! each value kept. A file with one problem gives no declaration at all, and all of its problems.

mod gates;
mod keys;
mod listing;
mod process;
mod proxy;
mod proxy_keys;
mod reader;
mod retention;
mod schema;
mod sections;
mod tree;

use guanka_core::facts::Span;
use guanka_core::facts::declared::Declared;
use guanka_core::say::Said;

pub use keys::{Key, KeyKind, Section};
pub use listing::SECTIONS;
pub use schema::json_schema;

use crate::text::SourceText;
use reader::Reader;
use tree::Tree;

/// What is wrong at one place of the file, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestProblem {
    /// The key's dotted path, empty where the file as a whole is meant.
    pub key: String,
    /// Where.
    pub span: Span,
    /// What is wrong.
    pub what: Said,
    /// What to write instead.
    pub next: Said,
}

/// What came out of a file.
#[derive(Clone, Debug)]
pub struct ManifestFile {
    /// The environments it has, in name order.
    pub environments: Vec<String>,
    /// The service asked for; `None` when anything is wrong.
    pub declared: Option<Declared>,
    /// Everything that is wrong, in file order.
    pub problems: Vec<ManifestProblem>,
}

/// Reads the file for one environment; without a name the file must have exactly one.
pub fn read(file: &str, text: &str, environment: Option<&str>) -> ManifestFile {
    let source = SourceText::new(file, text);
    let (tree, mut problems) = tree::parse(&source);
    keys::check(&tree, &source, &mut problems);
    let environments: Vec<String> = tree
        .get("env")
        .and_then(Tree::as_table)
        .map(|table| table.keys().cloned().collect())
        .unwrap_or_default();
    let declared = match choose(&environments, environment) {
        Ok(chosen) => {
            let laid = tree.overlaid(&chosen);
            let mut reader = Reader::new(&source, &laid, &mut problems);
            sections::declared(&mut reader, &chosen)
        }
        Err(what) => {
            let span = source.span(0, 0);
            let next = Said::new(
                "用 --env 指明环境,或在 guanka.toml 中加一段 [env.名字]",
                "name one with --env, or add a section [env.NAME] to guanka.toml",
            );
            problems.push(ManifestProblem { key: "env".to_owned(), span, what, next });
            None
        }
    };
    problems.sort_by_key(|p| (p.span.line, p.span.column));
    problems.dedup();
    let declared = declared.filter(|_| problems.is_empty());
    ManifestFile { environments, declared, problems }
}

/// Returns the word of a list that is nearest to a misspelt one, if one is near enough to be meant.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let allowed = word.chars().count().div_ceil(3).max(1);
    known
        .into_iter()
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(far, _)| *far <= allowed)
        .min()
        .map(|(_, candidate)| candidate)
}

/// Returns how many letters must be put in, taken out, changed or swapped with their neighbour.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let change = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = change.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

fn choose(environments: &[String], asked: Option<&str>) -> Result<String, Said> {
    let list = environments.join(", ");
    match asked {
        Some(name) if environments.iter().any(|e| e == name) => Ok(name.to_owned()),
        Some(name) => Err(Said::new(
            format!("没有环境 {name};文件里有:{list}"),
            format!("there is no environment {name}; the file has: {list}"),
        )),
        None => match environments {
            [only] => Ok(only.clone()),
            [] => Err(Said::new("没有任何 [env.*] 段", "there is no section [env.*]")),
            _ => Err(Said::new(
                format!("有多个环境:{list}"),
                format!("there are several environments: {list}"),
            )),
        },
    }
}

#[cfg(test)]
mod tests;
