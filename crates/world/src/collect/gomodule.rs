//! Reads a Go module's files from disk: bounded in number and size, without following links out of
//! the tree.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use guanka_core::facts::gomod::GoMod;
use guanka_core::facts::gosource::GoSource;
use guanka_core::facts::{Problem, Span};
use guanka_core::say::Said;
use guanka_parse::{gomod, gosource};
use walkdir::{DirEntry, WalkDir};

/// The most files of one module; the largest public ones have half as many.
const FILES_MAX: usize = 20_000;
/// The largest file that is read; hand-written Go stays far below.
const FILE_BYTES_MAX: u64 = 4 << 20;
/// The most bytes of all files together, so that a strange tree cannot fill the memory.
const ALL_BYTES_MAX: u64 = 512 << 20;
/// The deepest folder that is entered.
const DEPTH_MAX: usize = 32;

/// Reads the module below a folder: its source, and its `go.mod` if it has one. What could not be
/// read stands among the source's problems.
pub fn read(root: &Path) -> (GoSource, Option<GoMod>) {
    let mut found = Found::default();
    found.walk(root);
    let shown = root.to_string_lossy().into_owned();
    let text = found.files.iter().find(|(path, _)| path == "go.mod");
    let module = text.map(|(path, text)| gomod::read(&joined(&shown, path), text));
    let mut source = gosource::read_module(&shown, &found.files);
    let problems = found.problems.into_iter().map(|(path, what)| Problem {
        span: Span {
            file: joined(&shown, &path),
            line: 1,
            column: 1,
            length: 1,
            ..Span::default()
        },
        what,
    });
    source.problems.extend(problems);
    (source, module)
}

#[derive(Default)]
struct Found {
    files: Vec<(String, Vec<u8>)>,
    problems: Vec<(String, Said)>,
    bytes: u64,
}

impl Found {
    fn walk(&mut self, root: &Path) {
        let tree = WalkDir::new(root).follow_links(false).max_depth(DEPTH_MAX).sort_by_file_name();
        let mut is_full = false;
        for entry in tree.into_iter().filter_entry(is_wanted_folder) {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => {
                    let path = error.path().map(|p| relative(root, p)).unwrap_or_default();
                    self.unreadable(path, &io::Error::from(error));
                    continue;
                }
            };
            if !entry.file_type().is_file() || !is_wanted_file(root, &entry) {
                continue;
            }
            let path = relative(root, entry.path());
            if self.files.len() >= FILES_MAX || self.bytes >= ALL_BYTES_MAX {
                is_full = true;
                break;
            }
            match bounded(entry.path()) {
                Ok(Some(text)) => {
                    self.bytes += text.len() as u64;
                    self.files.push((path, text));
                }
                Ok(None) => self.problems.push((
                    path,
                    Said::new("文件超过 4 MB,没有读", "the file is over 4 MB and was not read"),
                )),
                Err(error) => self.unreadable(path, &error),
            }
        }
        if is_full {
            let zh = "文件太多(超过 20000 个或 512 MB),其余没有读";
            let en = "too many files (over 20,000, or 512 MB): the rest was not read";
            self.problems.push((String::new(), Said::new(zh, en)));
        }
    }

    fn unreadable(&mut self, path: String, error: &io::Error) {
        let said = Said::new(format!("无法读取:{error}"), format!("could not be read: {error}"));
        self.problems.push((path, said));
    }
}

/// Returns whether to look at an entry; folders that hold no source of the module are not entered.
fn is_wanted_folder(entry: &DirEntry) -> bool {
    let name = entry.file_name().to_string_lossy();
    let is_left_out =
        matches!(&*name, "node_modules" | "vendor" | "testdata") || name.starts_with(['.', '_']);
    if !entry.file_type().is_dir() || entry.depth() == 0 {
        return true;
    }
    // A folder with its own go.mod is a module of its own.
    !is_left_out && !entry.path().join("go.mod").is_file()
}

fn is_wanted_file(root: &Path, entry: &DirEntry) -> bool {
    let name = entry.file_name().to_string_lossy();
    let is_module = name == "go.mod" && entry.path().parent() == Some(root);
    is_module || (name.ends_with(".go") && !name.ends_with("_test.go"))
}

/// Reads a file; `None` when it is larger than allowed, even if it grew meanwhile.
fn bounded(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let mut text = Vec::new();
    File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut text)?;
    Ok((text.len() as u64 <= FILE_BYTES_MAX).then_some(text))
}

fn relative(root: &Path, path: &Path) -> String {
    path.strip_prefix(root).unwrap_or(path).to_string_lossy().into_owned()
}

fn joined(root: &str, path: &str) -> String {
    match (root.trim_end_matches('/'), path) {
        (_, "") => root.to_owned(),
        (".", path) => path.to_owned(),
        (root, path) => format!("{root}/{path}"),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::read;

    const MAIN: &str =
        "package main\nimport \"net/http\"\nfunc main() { http.ListenAndServe(\":1\", nil) }\n";

    #[test]
    fn only_the_modules_own_source_is_read() {
        let dir = tempfile::tempdir().expect("a folder");
        let root = dir.path().join("shop");
        let outside = dir.path().join("outside");
        for folder in
            ["cmd/api", "vendor/x", "node_modules/x", ".git/x", "testdata", "tools", "_old"]
        {
            fs::create_dir_all(root.join(folder)).expect("made");
            fs::write(root.join(folder).join("a.go"), MAIN).expect("written");
        }
        fs::create_dir_all(&outside).expect("made");
        fs::write(outside.join("b.go"), MAIN).expect("written");
        symlink(&outside, root.join("linked")).expect("linked");
        symlink(outside.join("b.go"), root.join("b.go")).expect("linked");
        fs::write(root.join("go.mod"), "module example.com/shop\n\ngo 1.22\n").expect("written");
        fs::write(root.join("tools/go.mod"), "module example.com/tools\n").expect("written");
        fs::write(root.join("cmd/api/a_test.go"), MAIN).expect("written");
        let (source, module) = read(&root);
        assert_eq!(source.files, 1);
        assert_eq!(source.mains[0].folder, "cmd/api");
        assert!(source.listens[0].span.file.ends_with("/shop/cmd/api/a.go"));
        assert!(source.problems.is_empty(), "{:?}", source.problems);
        let module = module.expect("go.mod");
        assert_eq!(module.module.known().map(String::as_str), Some("example.com/shop"));
        assert!(module.file.ends_with("/shop/go.mod"));
    }

    #[test]
    fn a_file_that_is_too_large_and_a_folder_that_is_missing_are_said() {
        let dir = tempfile::tempdir().expect("a folder");
        fs::write(dir.path().join("big.go"), vec![b'\n'; (4 << 20) + 1]).expect("written");
        fs::write(dir.path().join("fits.go"), vec![b'\n'; 100]).expect("written");
        let (source, module) = read(dir.path());
        assert!(module.is_none());
        assert_eq!(source.files, 1);
        let big = source.problems.iter().find(|p| p.span.file.ends_with("big.go"));
        assert!(big.is_some_and(|p| p.what.en.contains("4 MB")), "{:?}", source.problems);
        let (none, _) = read(&dir.path().join("missing"));
        assert_eq!((none.files, none.problems.len()), (0, 1));
    }
}
