//! The walls between rooms: core's modules use only what stands to their left, the pure crates have
//! no doors, world prints nothing.

use super::{Mess, RepoFile};

/// Core's modules, left to right, as in `crates/core/src/lib.rs`.
const PATH: [&str; 13] = [
    "say", "quantity", "name", "facts", "finding", "checks", "plan", "rollout", "signals", "gates",
    "cause", "slo", "report",
];

/// Applies the rules to a Rust file.
pub(super) fn check(file: &RepoFile, found: &mut Vec<Mess>) {
    if !file.path.ends_with(".rs") {
        return;
    }
    if let Some(inside) = file.path.strip_prefix("crates/core/src/") {
        order(file, inside, found);
    }
    let is_pure = ["crates/core/src/", "crates/parse/src/", "crates/sim/src/"]
        .iter()
        .any(|folder| file.path.starts_with(folder));
    if is_pure && !file.path.starts_with("crates/sim/src/bin/") {
        for (i, line) in code_lines(file) {
            for door in ["std::fs", "std::net", "std::process", "std::thread", "std::env"] {
                if line.contains(door) {
                    let what = format!("{door} in a pure crate; guanka-world is the door");
                    found.push(Mess { file: file.path.clone(), line: i, what });
                }
            }
        }
    }
    if file.path.starts_with("crates/guanka/src/") {
        for (i, line) in code_lines(file) {
            for door in ["std::fs::", "std::net::", "Command::new("] {
                let is_clap = line.contains("clap::Command::new(");
                if line.contains(door) && !is_clap {
                    let what = format!("{door} in the binary; guanka-world is the door");
                    found.push(Mess { file: file.path.clone(), line: i, what });
                }
            }
        }
    }
}

/// Returns the lines outside comments and inline tests, numbered from 1.
fn code_lines(file: &RepoFile) -> impl Iterator<Item = (usize, &str)> {
    let tests_from = file.text.find("#[cfg(test)]").unwrap_or(file.text.len());
    file.text[..tests_from]
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
        .map(|(i, line)| (i + 1, line))
}

/// Finds a `use crate::…` or a path that points to the right.
fn order(file: &RepoFile, inside: &str, found: &mut Vec<Mess>) {
    let module = inside.split('/').next().unwrap_or(inside).trim_end_matches(".rs");
    let Some(own) = PATH.iter().position(|name| *name == module) else { return };
    for (i, line) in code_lines(file) {
        for used in line.split("crate::").skip(1) {
            let name = used.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or("");
            if PATH.iter().position(|known| *known == name).is_some_and(|other| other > own) {
                let what = format!("{module} uses {name}, which stands to its right on the path");
                found.push(Mess { file: file.path.clone(), line: i, what });
            }
        }
    }
}
