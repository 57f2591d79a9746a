//! Reads the programs that a host's Supervisor keeps, includes and the panel's plugin among them.

use std::path::{Path, PathBuf};

use guanka_core::facts::supervisor::Program;
use guanka_core::facts::{Problem, Reason, Span};
use guanka_core::say::Said;
use guanka_parse::supervisor;

use super::tree::HostTree;

/// Where Supervisor's main file may lie, in the order in which it looks itself; the panel writes
/// the first.
const MAIN_FILES: &[&str] = &["/etc/supervisor/supervisord.conf", "/etc/supervisord.conf"];

/// How many files includes may bring in.
const FILES_MAX: usize = 10_000;

/// Reads every program of a host root's Supervisor. Without a Supervisor both lists are empty.
pub fn read(root: &Path) -> (Vec<Program>, Vec<Problem>) {
    let tree = HostTree::new(root);
    let Some(main) = main_file(&tree) else { return (Vec::new(), Vec::new()) };
    let mut problems = Vec::new();
    let mut programs = Vec::new();
    let patterns = read_file(&tree, &main, &mut programs, &mut problems);
    let here = main.parent().unwrap_or(tree.root()).to_owned();
    let files = patterns.iter().flat_map(|pattern| {
        let pattern = pattern.replace("%(here)s", &here.to_string_lossy());
        tree.glob(&here.join(pattern).to_string_lossy())
    });
    // An include inside an included file is not followed, as in Supervisor.
    for file in files.take(FILES_MAX) {
        read_file(&tree, &file, &mut programs, &mut problems);
    }
    (programs, problems)
}

/// Returns the main file of a host's Supervisor.
pub(crate) fn main_file(tree: &HostTree) -> Option<PathBuf> {
    MAIN_FILES.iter().find(|path| tree.has(path)).map(|path| tree.locate(path))
}

fn read_file(
    tree: &HostTree,
    path: &Path,
    programs: &mut Vec<Program>,
    problems: &mut Vec<Problem>,
) -> Vec<String> {
    let name = path.display().to_string();
    match tree.text(&name) {
        Ok(text) => {
            let (found, patterns, faults) = supervisor::read(&name, &text);
            supervisor::merge(programs, found);
            problems.extend(faults);
            patterns
        }
        Err(reason) => {
            problems.push(unreadable(&name, &reason));
            Vec::new()
        }
    }
}

/// Says that a whole file could not be read.
pub(super) fn unreadable(file: &str, reason: &Reason) -> Problem {
    let why = match reason {
        Reason::NotReadable(why) | Reason::NotThere(why) => why.as_str(),
        _ => file,
    };
    Problem {
        span: Span { file: file.to_owned(), line: 1, column: 1, length: 1, ..Span::default() },
        what: Said::new(
            format!("文件无法读取:{why}"),
            format!("the file could not be read: {why}"),
        ),
    }
}
