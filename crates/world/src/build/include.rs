//! Copies the files that are shipped beside the program. Content is copied, never a link: a release
//! is whole by itself and nothing in it points out of it.

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use guanka_core::facts::release::ReleaseFile;
use guanka_core::quantity::Bytes;
use guanka_core::say::Said;
use walkdir::{DirEntry, WalkDir};

use super::error::BuildError;
use crate::{files, hash};

/// The most files beside the program: a service's settings and pages, not its data.
const FILES_MAX: usize = 20_000;

/// The most bytes beside the program; they are copied to every host for every release.
const SIZE_MAX: Bytes = Bytes(1 << 30);

/// Copies every file that a pattern names into the release's folder; returns them in byte order of
/// their paths.
pub(super) fn copy(
    source: &Path,
    patterns: &[String],
    folder: &Path,
) -> Result<Vec<ReleaseFile>, BuildError> {
    let mut chosen = choose(source, patterns)?;
    chosen.sort();
    let mut copied = Vec::new();
    let mut size = 0;
    for path in chosen {
        let file = copy_one(source, &path, folder)?;
        size += file.size_bytes;
        if size > SIZE_MAX.0 {
            return Err(refused(
                format!("文件共超过 {SIZE_MAX}"),
                format!("the files are more than {SIZE_MAX}"),
            ));
        }
        copied.push(file);
    }
    Ok(copied)
}

/// Returns the paths below the source that the patterns name; each pattern must name one.
fn choose(source: &Path, patterns: &[String]) -> Result<Vec<String>, BuildError> {
    let mut used = vec![false; patterns.len()];
    let mut chosen = Vec::new();
    if patterns.is_empty() {
        return Ok(chosen);
    }
    let is_shipped = |entry: &DirEntry| entry.file_name() != ".git";
    for entry in WalkDir::new(source).min_depth(1).into_iter().filter_entry(is_shipped) {
        let entry = entry.map_err(|error| {
            let path = error.path().unwrap_or(source).to_owned();
            BuildError::File { path, source: error.into() }
        })?;
        if entry.file_type().is_dir() {
            continue;
        }
        let path = entry.path().strip_prefix(source).unwrap_or(entry.path());
        let Some(path) = path.to_str() else { continue };
        let mut is_chosen = false;
        for (pattern, used) in patterns.iter().zip(&mut used) {
            if matches(pattern, path) {
                (*used, is_chosen) = (true, true);
            }
        }
        if is_chosen {
            chosen.push(path.to_owned());
        }
        if chosen.len() > FILES_MAX {
            return Err(refused(
                format!("文件多于 {FILES_MAX} 个"),
                format!("there are more than {FILES_MAX} files"),
            ));
        }
    }
    match patterns.iter().zip(&used).find(|(_, used)| !**used) {
        Some((pattern, _)) => Err(refused(
            format!("没有文件符合 {pattern}"),
            format!("no file is named by {pattern}"),
        )),
        None => Ok(chosen),
    }
}

fn copy_one(source: &Path, path: &str, folder: &Path) -> Result<ReleaseFile, BuildError> {
    if path == "manifest.json" || path.starts_with("bin/") || path.contains(char::is_control) {
        return Err(refused(
            format!("{path:?} 是发布目录自用的名字"),
            format!("{path:?} is a name that the release itself uses"),
        ));
    }
    let from = source.join(path);
    let real = inside(source, &from)?;
    let content = fs::read(&real).map_err(|error| failed(&from, error))?;
    let to = folder.join(path);
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent).map_err(|error| failed(parent, error))?;
    }
    files::write_synced(&to, &content, 0o644).map_err(|error| failed(&to, error))?;
    Ok(ReleaseFile {
        path: path.to_owned(),
        size_bytes: content.len() as u64,
        mode: 0o644,
        sha256: hash::of_bytes(&content),
    })
}

/// Returns the file itself behind any links, which must be a plain file inside the module.
fn inside(source: &Path, path: &Path) -> Result<PathBuf, BuildError> {
    let root = fs::canonicalize(source).map_err(|error| failed(source, error))?;
    let real = fs::canonicalize(path).map_err(|error| failed(path, error))?;
    let name = path.display();
    if !real.starts_with(&root) || real.components().any(|part| part == Component::ParentDir) {
        return Err(refused(
            format!("{name} 是指向模块之外的链接({})", real.display()),
            format!("{name} is a link that leaves the module ({})", real.display()),
        ));
    }
    if !real.is_file() {
        return Err(refused(format!("{name} 不是普通文件"), format!("{name} is no plain file")));
    }
    Ok(real)
}

/// Returns whether a pattern names a path: `**` stands for any folders, `*` for a part of one name,
/// and a plain folder for all below it.
fn matches(pattern: &str, path: &str) -> bool {
    let pattern = pattern.trim_start_matches("./").trim_end_matches('/');
    if !pattern.contains('*') {
        return path.strip_prefix(pattern).is_some_and(|r| r.is_empty() || r.starts_with('/'));
    }
    let pattern: Vec<&str> = pattern.split('/').collect();
    let path: Vec<&str> = path.split('/').collect();
    matches_parts(&pattern, &path)
}

fn matches_parts(pattern: &[&str], path: &[&str]) -> bool {
    // Dynamic programming over the path's prefixes: a pattern of many `**` costs no more than
    // pattern × path.
    let mut reached = vec![false; path.len() + 1];
    reached[0] = true;
    for part in pattern {
        let mut next = vec![false; path.len() + 1];
        let mut is_open = false;
        for i in 0..=path.len() {
            if *part == "**" {
                is_open |= reached[i];
                next[i] = is_open;
            } else if i > 0 {
                next[i] = reached[i - 1] && matches_name(part, path[i - 1]);
            }
        }
        reached = next;
    }
    reached[path.len()]
}

fn matches_name(pattern: &str, name: &str) -> bool {
    let parts: Vec<&str> = pattern.split('*').collect();
    let (first, last) = (parts[0], parts[parts.len() - 1]);
    if parts.len() == 1 {
        return pattern == name;
    }
    let inner = name.strip_prefix(first).and_then(|rest| rest.strip_suffix(last));
    let Some(mut rest) = inner else { return false };
    for part in &parts[1..parts.len() - 1] {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    true
}

fn refused(zh: String, en: String) -> BuildError {
    BuildError::Declared { key: "build.include", why: Said::new(zh, en) }
}

fn failed(path: &Path, source: io::Error) -> BuildError {
    BuildError::File { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    use super::{copy, matches};

    #[test]
    fn patterns_name_files_as_people_expect() {
        for (pattern, path) in [
            ("conf/**", "conf/a.json"),
            ("conf/**", "conf/deep/er/a.json"),
            ("conf", "conf/a.json"),
            ("static/*.css", "static/a.css"),
            ("**/*.tmpl", "views/mail/a.tmpl"),
            ("**/*.tmpl", "a.tmpl"),
            ("README.md", "README.md"),
            ("a*b*c", "axxbyyc"),
        ] {
            assert!(matches(pattern, path), "{pattern} {path}");
        }
        for (pattern, path) in [
            ("conf/**", "config/a.json"),
            ("conf", "conf.d/a"),
            ("static/*.css", "static/deep/a.css"),
            ("static/*", "static/deep/a.css"),
            ("a*a", "a"),
            ("*.go", "cmd/main.go"),
        ] {
            assert!(!matches(pattern, path), "{pattern} {path}");
        }
    }

    #[test]
    fn content_is_copied_with_plain_rights_in_byte_order() {
        let (source, folder) = (tempfile::tempdir().expect("a"), tempfile::tempdir().expect("b"));
        let at = |path: &str| source.path().join(path);
        fs::create_dir_all(at("conf")).expect("a folder");
        fs::create_dir_all(at("static")).expect("a folder");
        fs::write(at("static/a.css"), "css").expect("a file");
        fs::write(at("conf/z.json"), "{}").expect("a file");
        fs::set_permissions(at("conf/z.json"), fs::Permissions::from_mode(0o600)).expect("rights");
        symlink("z.json", at("conf/link.json")).expect("a link inside");
        let patterns = ["static/**".to_owned(), "conf/**".to_owned()];
        let copied = copy(source.path(), &patterns, folder.path()).expect("copied");
        let paths: Vec<&str> = copied.iter().map(|file| file.path.as_str()).collect();
        assert_eq!(paths, ["conf/link.json", "conf/z.json", "static/a.css"]);
        let meta = fs::symlink_metadata(folder.path().join("conf/link.json")).expect("there");
        assert!(meta.is_file() && meta.mode() & 0o777 == 0o644);
        assert_eq!(copied[0].sha256, copied[1].sha256);
    }

    #[test]
    fn links_out_of_the_module_reserved_names_and_empty_patterns_are_refused() {
        let (source, folder) = (tempfile::tempdir().expect("a"), tempfile::tempdir().expect("b"));
        let at = |path: &str| source.path().join(path);
        let why = |pattern: &str| {
            let error = copy(source.path(), &[pattern.to_owned()], folder.path());
            error.expect_err("refused").to_string()
        };
        fs::create_dir_all(at("conf")).expect("a folder");
        fs::create_dir_all(at("bin")).expect("a folder");
        fs::create_dir_all(at("dirs")).expect("a folder");
        symlink("/etc/passwd", at("conf/passwd")).expect("a link");
        symlink("../conf", at("dirs/conf")).expect("a link");
        fs::write(at("bin/other"), "").expect("a file");
        assert!(why("conf/**").contains("leaves the module"));
        assert!(why("dirs/**").contains("no plain file"));
        assert!(why("bin/other").contains("the release itself"));
        assert!(why("nothing/**").contains("no file is named"));
        assert!(fs::read_dir(folder.path()).expect("a folder").next().is_none());
    }
}
