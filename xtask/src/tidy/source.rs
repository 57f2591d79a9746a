//! Rules on a single source file: sizes, names, the module comment, words that must not stay.

use super::{Mess, RepoFile};

/// The most lines a file has without its inline tests, a function has, and columns a line has.
const FILE_LINES: usize = 500;
const FUNCTION_LINES: usize = 70;
const COLUMNS: usize = 100;

/// Names that say nothing.
const JUNK: [&str; 5] = ["utils", "common", "helpers", "misc", "manager"];

/// Applies the rules to a Rust or Go file.
pub(super) fn check(file: &RepoFile, found: &mut Vec<Mess>) {
    let is_rust = file.path.ends_with(".rs");
    if !is_rust && !file.path.ends_with(".go") {
        return;
    }
    let mut push = |line: usize, what: String| {
        found.push(Mess { file: file.path.clone(), line, what });
    };
    marks(file, &mut push);
    if !is_rust {
        return;
    }
    let name = file.path.rsplit('/').next().unwrap_or(&file.path).trim_end_matches(".rs");
    let folder = file.path.rsplit('/').nth(1).unwrap_or("");
    if JUNK.contains(&name) || (name == "mod" && JUNK.contains(&folder)) {
        push(0, format!("{name}: find the noun; this name says nothing"));
    }
    let is_test_file = file.path.contains("/tests/") || name == "tests";
    if !is_test_file && !file.text.starts_with("//!") {
        push(1, "begins with a module comment: what the file holds, what it leaves out".to_owned());
    }
    let lines: Vec<&str> = file.text.lines().collect();
    let tests_from = lines
        .windows(2)
        .position(|w| w[0].trim() == "#[cfg(test)]" && w[1].starts_with("mod tests {"))
        .unwrap_or(lines.len());
    if !is_test_file && tests_from > FILE_LINES {
        push(0, format!("{tests_from} lines without tests; split it at {FILE_LINES}, by noun"));
    }
    widths(&lines, &mut push);
    functions(&lines[..tests_from], &mut push);
    tests(&lines, if is_test_file { 0 } else { tests_from }, &mut push);
}

fn widths(lines: &[&str], push: &mut impl FnMut(usize, String)) {
    for (i, line) in lines.iter().enumerate() {
        let columns: usize = line.chars().map(columns).sum();
        if columns > COLUMNS {
            push(i + 1, format!("{columns} columns; {COLUMNS} is the width"));
        }
    }
}

/// Returns how many columns a character takes: East Asian wide ones take two.
pub(crate) fn columns(c: char) -> usize {
    let wide = matches!(u32::from(c),
        0x1100..=0x115f | 0x2e80..=0x303e | 0x3041..=0xa4cf | 0xac00..=0xd7a3 | 0xf900..=0xfaff
        | 0xfe30..=0xfe4f | 0xff00..=0xff60 | 0xffe0..=0xffe6 | 0x20000..=0x3fffd);
    if wide { 2 } else { 1 }
}

/// Finds functions that are too long. rustfmt puts a function's closing brace under its first
/// letter, so the brace with the same indent ends it.
fn functions(lines: &[&str], push: &mut impl FnMut(usize, String)) {
    for (start, line) in lines.iter().enumerate() {
        let text = line.trim_start();
        let indent = line.len() - text.len();
        let is_function = text
            .split('(')
            .next()
            .is_some_and(|head| head.split_whitespace().any(|word| word == "fn"))
            && !text.starts_with("//")
            && !text.contains("\"");
        if !is_function || text.ends_with(';') {
            continue;
        }
        let close = format!("{}}}", " ".repeat(indent));
        let end = lines[start..].iter().position(|l| l.trim_end() == close);
        if let Some(end) = end
            && end + 1 > FUNCTION_LINES
        {
            push(
                start + 1,
                format!("a function of {} lines; {FUNCTION_LINES} is the most", end + 1),
            );
        }
    }
}

/// Looks at tests: none is switched off, none sleeps.
fn tests(lines: &[&str], from: usize, push: &mut impl FnMut(usize, String)) {
    let banned = [
        (["#[", "ignore"].concat(), "a test that is switched off proves nothing"),
        (["should", "_panic"].concat(), "assert on the error instead"),
        (["thread::", "sleep("].concat(), "wait for a condition, with a limit"),
    ];
    for (i, line) in lines.iter().enumerate().skip(from) {
        for (word, what) in &banned {
            if line.contains(word.as_str()) {
                push(i + 1, format!("{word}: {what}"));
            }
        }
    }
}

/// Looks for marks of unfinished work and for silenced lints.
fn marks(file: &RepoFile, push: &mut impl FnMut(usize, String)) {
    let words = [
        ["TO", "DO"].concat(),
        ["FIX", "ME"].concat(),
        ["HA", "CK"].concat(),
        ["unimplemented", "!("].concat(),
        ["to", "do!("].concat(),
        ["for", " now"].concat(),
        ["#[al", "low("].concat(),
        ["#![al", "low("].concat(),
    ];
    for (i, line) in file.text.lines().enumerate() {
        for word in &words {
            // Go has a function of that name; as a mark it stands in a comment.
            let is_call =
                line.contains(&format!("\"{word}\"")) || line.contains(&format!(".{word}"));
            if line.contains(word.as_str()) && !is_call {
                push(i + 1, format!("{word:?} must not stay: finish it, or say why with expect"));
            }
        }
    }
}
