//! Holds the walls that no compiler holds: the order of core's modules, sizes, names, words that
//! must not stay, texts in both languages, dependencies with a reason. Run by the tests.

mod documents;
pub(crate) mod source;
mod walls;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// One thing that is not tidy.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Mess {
    /// The file, relative to the repository.
    pub(crate) file: String,
    /// The line, 0 for the file as a whole.
    pub(crate) line: usize,
    /// What is wrong and what to do.
    pub(crate) what: String,
}

/// A file of the repository.
pub(crate) struct RepoFile {
    pub(crate) path: String,
    pub(crate) text: String,
}

/// Looks at the whole repository; the last line says how it went.
pub(crate) fn run(root: &Path) -> Result<()> {
    let files = read(root)?;
    let found = look(&files);
    for mess in &found {
        eprintln!("{}:{}: {}", mess.file, mess.line, mess.what);
    }
    if found.is_empty() {
        println!("tidy: {} files, nothing to do", files.len());
        Ok(())
    } else {
        bail!("tidy: {} to put right", found.len())
    }
}

/// Applies every rule.
fn look(files: &[RepoFile]) -> Vec<Mess> {
    let mut found = Vec::new();
    for file in files {
        source::check(file, &mut found);
        walls::check(file, &mut found);
    }
    documents::check(files, &mut found);
    found.sort();
    found
}

/// Reads every text file that belongs to the repository.
fn read(root: &Path) -> Result<Vec<RepoFile>> {
    let mut paths = Vec::new();
    collect(root, &mut paths)?;
    paths.sort();
    let mut files = Vec::new();
    for path in paths {
        let bytes = fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
        if let Ok(text) = String::from_utf8(bytes) {
            let relative = path.strip_prefix(root).unwrap_or(&path);
            files.push(RepoFile { path: relative.to_string_lossy().into_owned(), text });
        }
    }
    Ok(files)
}

fn collect(folder: &Path, paths: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("listing {}", folder.display()))? {
        let entry = entry?;
        let name = entry.file_name();
        let kind = entry.file_type()?;
        if kind.is_dir() {
            if !matches!(name.to_str(), Some("target" | ".git" | "lab")) {
                collect(&entry.path(), paths)?;
            }
        } else if kind.is_file() {
            paths.push(entry.path());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Mess, RepoFile, look, read};

    fn messes(path: &str, text: &str) -> Vec<String> {
        let file = RepoFile { path: path.to_owned(), text: text.to_owned() };
        let own = |mess: Mess| (mess.file == path).then_some(mess.what);
        look(&[file]).into_iter().filter_map(own).collect()
    }

    #[test]
    fn the_repository_is_tidy() {
        let root =
            Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the repository");
        let found = look(&read(root).expect("readable"));
        let lines: Vec<String> =
            found.iter().map(|m| format!("{}:{}: {}", m.file, m.line, m.what)).collect();
        assert!(lines.is_empty(), "\n{}", lines.join("\n"));
    }

    #[test]
    fn sizes_stop_at_their_numbers() {
        let file =
            |lines: usize| format!("//! A file.\n{}", "const A: u8 = 1;\n".repeat(lines - 1));
        assert!(messes("crates/core/src/a.rs", &file(500)).is_empty());
        assert!(messes("crates/core/src/a.rs", &file(501))[0].contains("501 lines"));
        let function = |lines: usize| {
            format!("//! A file.\nfn long() {{\n{}}}\n", "    work();\n".repeat(lines - 2))
        };
        assert!(messes("crates/core/src/a.rs", &function(70)).is_empty());
        assert!(messes("crates/core/src/a.rs", &function(71))[0].contains("71 lines"));
        let line = |columns: usize| format!("//! {}\n", "x".repeat(columns - 4));
        assert!(messes("crates/core/src/a.rs", &line(100)).is_empty());
        assert!(messes("crates/core/src/a.rs", &line(101))[0].contains("101 columns"));
        let wide = format!("//! {}\n", "关".repeat(49));
        assert!(messes("crates/core/src/a.rs", &wide)[0].contains("102 columns"));
    }

    #[test]
    fn the_walls_hold() {
        let right = "//! A file.\nuse crate::facts::Fact;\n";
        let wrong = "//! A file.\nuse crate::gates::fixed;\n";
        assert!(messes("crates/core/src/plan/a.rs", right).is_empty());
        assert!(messes("crates/core/src/plan/a.rs", wrong)[0].contains("to its right"));
        assert!(!messes("crates/core/src/utils.rs", "//! A file.\n").is_empty());
        assert!(!messes("crates/world/src/a.rs", "fn a() {}\n").is_empty(), "no module comment");
    }

    #[test]
    fn what_must_not_stay_is_found() {
        let test =
            |inside: &str| format!("//! A file.\n#[cfg(test)]\nmod tests {{\n{inside}\n}}\n");
        let ignored = ["#[", "ignore]"].concat();
        let panics = ["#[should", "_panic]"].concat();
        let sleeps = ["std::thread::", "sleep(x);"].concat();
        let allows = ["#[al", "low(dead_code)]"].concat();
        for inside in [&ignored, &panics, &sleeps] {
            assert_eq!(messes("crates/core/src/a.rs", &test(inside)).len(), 1, "{inside}");
        }
        assert_eq!(messes("crates/core/src/a.rs", &format!("//! A file.\n{allows}\n")).len(), 1);
        let mark = ["// TO", "DO later"].concat();
        assert_eq!(messes("crates/core/src/a.rs", &format!("//! A file.\n{mark}\n")).len(), 1);
    }
}
