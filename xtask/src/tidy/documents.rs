//! Rules over several files: every dependency has its reason, both READMEs name the two commands,
//! the pure crates' dependencies stay few.

use super::{Mess, RepoFile};

/// Applies the rules to the whole repository.
pub(super) fn check(files: &[RepoFile], found: &mut Vec<Mess>) {
    let find = |path: &str| files.iter().find(|file| file.path == path);
    let Some(workspace) = find("Cargo.toml") else { return };
    dependencies(workspace, find("docs/dependencies.md"), found);
    for readme in ["README.md", "README.zh-CN.md"] {
        let text = find(readme).map_or("", |file| file.text.as_str());
        for command in ["cargo xtask demo", "cargo xtask test"] {
            if !text.contains(command) {
                let what = format!("does not name `{command}`");
                found.push(Mess { file: readme.to_owned(), line: 0, what });
            }
        }
    }
    for (path, allowed) in PURE {
        if let Some(manifest) = find(path) {
            closure(manifest, allowed, found);
        }
    }
}

/// What the pure crates may depend on.
const PURE: [(&str, &[&str]); 3] = [
    ("crates/core/Cargo.toml", &["serde", "serde_json", "thiserror"]),
    ("crates/parse/Cargo.toml", &["guanka-core", "object", "serde", "serde_json", "toml"]),
    ("crates/sim/Cargo.toml", &["guanka-core"]),
];

/// Each direct dependency has a line in docs/dependencies.md.
fn dependencies(workspace: &RepoFile, document: Option<&RepoFile>, found: &mut Vec<Mess>) {
    let text = document.map_or("", |file| file.text.as_str());
    for name in section(&workspace.text, "[workspace.dependencies]") {
        if !name.starts_with("guanka") && !text.contains(&format!("| {name} ")) {
            let what = format!("{name} has no line here: need, cost, what we would write instead");
            found.push(Mess { file: "docs/dependencies.md".to_owned(), line: 0, what });
        }
    }
}

fn closure(manifest: &RepoFile, allowed: &[&str], found: &mut Vec<Mess>) {
    for name in section(&manifest.text, "[dependencies]") {
        if !allowed.contains(&name) {
            let what = format!("{name} is no dependency of a pure crate");
            found.push(Mess { file: manifest.path.clone(), line: 0, what });
        }
    }
}

/// Returns the keys of one section of a manifest.
fn section<'a>(text: &'a str, header: &str) -> Vec<&'a str> {
    text.lines()
        .skip_while(|line| line.trim() != header)
        .skip(1)
        .take_while(|line| !line.starts_with('['))
        .filter_map(|line| line.split(['=', '.']).next())
        .map(str::trim)
        .filter(|name| !name.is_empty() && !name.starts_with('#'))
        .collect()
}
