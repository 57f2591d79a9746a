//! Looks below the folders that nginx serves files from for what must not lie there: programs, Go
//! source, keys and secrets. The walk is bounded, follows no link and reads a few bytes at most.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use guanka_core::facts::Span;
use guanka_core::facts::host::{Panel, Suspect, SuspectKind, WebRoot};
use guanka_core::facts::nginx::{Directive, Nginx};
use walkdir::WalkDir;

use super::tree::HostTree;

/// How many folders are looked at.
const ROOTS_MAX: usize = 2_000;

/// How many entries are looked at below one folder; a shop with its uploads may have more, and then
/// the answer says that it is not complete.
const ENTRIES_MAX: usize = 20_000;

/// How many entries are looked at over all folders, to bound the time on hosts with many sites.
const ENTRIES_IN_ALL_MAX: usize = 300_000;

/// How many suspects are kept for one folder.
const SUSPECTS_MAX: usize = 200;

/// How deep the walk goes.
const DEPTH_MAX: usize = 16;

/// How much of a file is read to know it.
const PEEK: u64 = 4_096;

/// Endings of files that browsers are meant to get; they are not opened.
const STATIC: &[&str] = &[
    "html", "htm", "css", "js", "mjs", "map", "php", "png", "jpg", "jpeg", "gif", "svg", "ico",
    "webp", "avif", "woff", "woff2", "ttf", "eot", "otf", "mp3", "mp4", "webm", "pdf", "xml",
];

/// Endings of settings files that often hold passwords when their name says so.
const SETTINGS: &[&str] =
    &["yaml", "yml", "json", "toml", "ini", "conf", "cfg", "properties", "txt", "env"];

/// Parts of a settings file's name that say it holds secrets.
const SECRET_NAMES: &[&str] = &["secret", "password", "passwd", "credential", "token"];

/// Looks at every web root of a host: those of nginx, then those of the panel's sites.
pub(crate) fn read(tree: &HostTree, nginx: Option<&Nginx>, panel: Option<&Panel>) -> Vec<WebRoot> {
    let mut places: BTreeMap<PathBuf, Option<Span>> = BTreeMap::new();
    for (path, span) in nginx.map(|n| named_roots(tree, n)).unwrap_or_default() {
        places.entry(path).or_insert(Some(span));
    }
    // A Go project's path is its program file, which is served by nobody.
    for site in panel.map(|p| p.sites.as_slice()).unwrap_or_default() {
        if site.path.starts_with('/') {
            places.entry(tree.locate(&site.path)).or_insert(None);
        }
    }
    let mut left = ENTRIES_IN_ALL_MAX;
    let folders = places.into_iter().filter(|(path, _)| path != tree.root() && is_folder(path));
    folders.take(ROOTS_MAX).map(|(path, span)| walk(&path, span, &mut left)).collect()
}

/// Returns the folders that `root` and `alias` name, links in their own path resolved.
fn named_roots(tree: &HostTree, nginx: &Nginx) -> Vec<(PathBuf, Span)> {
    let mut found = Vec::new();
    collect_roots(nginx.http(), &mut found);
    let conf = Path::new(&nginx.main_file).parent().unwrap_or(tree.root());
    // A relative root starts from nginx's prefix, the folder above `conf`.
    let prefix = conf.parent().filter(|_| conf.ends_with("conf")).unwrap_or(conf);
    found
        .into_iter()
        .filter_map(|directive| {
            let text = directive.args.first()?;
            if text.contains('$') {
                return None;
            }
            let path = match text.starts_with('/') {
                true => tree.locate(text),
                false => prefix.join(text),
            };
            Some((path, directive.span.clone()))
        })
        .collect()
}

fn collect_roots<'a>(block: &'a [Directive], found: &mut Vec<&'a Directive>) {
    for directive in block {
        match directive.name.as_str() {
            "root" | "alias" if directive.block.is_none() => found.push(directive),
            "server" | "location" | "if" | "limit_except" => {
                collect_roots(directive.inner(), found);
            }
            _ => {}
        }
    }
}

fn is_folder(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|meta| meta.is_dir())
}

fn walk(path: &Path, span: Option<Span>, left: &mut usize) -> WebRoot {
    // A root that is itself a link is entered; links below it are not.
    let start = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let mut root =
        WebRoot { path: path.display().to_string(), span, suspects: Vec::new(), is_complete: true };
    let mut seen = 0_usize;
    let mut entries = WalkDir::new(&start)
        .max_depth(DEPTH_MAX)
        .follow_links(false)
        .sort_by_file_name()
        .into_iter();
    while let Some(entry) = entries.next() {
        if seen >= ENTRIES_MAX || *left == 0 || root.suspects.len() >= SUSPECTS_MAX {
            root.is_complete = false;
            break;
        }
        seen += 1;
        *left -= 1;
        let (Ok(entry), true) = (entry, root.is_complete) else {
            root.is_complete = false;
            continue;
        };
        let kind = entry.file_type();
        if kind.is_dir() && entry.depth() == DEPTH_MAX {
            root.is_complete = false;
        }
        let Ok(below) = entry.path().strip_prefix(&start) else { continue };
        let name = entry.file_name().to_string_lossy();
        let is_git = entry.depth() > 0 && name == ".git";
        let found = match (is_git, kind.is_file()) {
            (true, _) => Some(SuspectKind::Source),
            (false, true) => suspect(entry.path(), &name),
            (false, false) => None,
        };
        if is_git && kind.is_dir() {
            entries.skip_current_dir();
        }
        if let Some(kind) = found {
            let mode = entry.metadata().map_or(0, |meta| meta.mode() & 0o7777);
            let path = path.join(below).display().to_string();
            root.suspects.push(Suspect { path, kind, mode });
        }
    }
    root
}

/// Judges one file by its name, and by its first bytes where the name does not tell.
fn suspect(path: &Path, name: &str) -> Option<SuspectKind> {
    let low = name.to_ascii_lowercase();
    let ending = low.rsplit_once('.').map_or("", |(_, ending)| ending);
    if low == "go.mod" || low == "go.sum" || ending == "go" {
        return Some(SuspectKind::Source);
    }
    let is_settings = SETTINGS.contains(&ending);
    if low == ".env"
        || low.starts_with(".env.")
        || ["id_rsa", "id_ed25519", "id_ecdsa", "id_dsa"].contains(&low.as_str())
        || (is_settings && SECRET_NAMES.iter().any(|word| low.contains(word)))
    {
        return Some(SuspectKind::Secret);
    }
    if STATIC.contains(&ending) {
        return None;
    }
    let start = peek(path);
    if start.starts_with(b"\x7fELF") {
        return Some(SuspectKind::Program);
    }
    let is_key = ["pem", "key", ""].contains(&ending)
        && start.windows(PRIVATE_KEY.len()).any(|window| window == PRIVATE_KEY);
    is_key.then_some(SuspectKind::Secret)
}

/// What every private key in text form begins with, behind the name of its kind.
const PRIVATE_KEY: &[u8] = b"PRIVATE KEY-----";

/// Returns the first bytes of a file; none when it may not be read. A link put in its place
/// meanwhile is not followed, and a pipe does not make it wait.
fn peek(path: &Path) -> Vec<u8> {
    let flags = (rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK).bits();
    let mut bytes = Vec::new();
    let opened = File::options().read(true).custom_flags(flags.cast_signed()).open(path);
    if let Ok(file) = opened {
        let _ = file.take(PEEK).read_to_end(&mut bytes);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::Path;

    use guanka_core::facts::host::SuspectKind;

    use super::{ENTRIES_MAX, walk};

    fn put(root: &Path, name: &str, content: &[u8]) {
        let path = root.join(name);
        fs::create_dir_all(path.parent().expect("has one")).expect("made");
        fs::write(path, content).expect("written");
    }

    #[test]
    fn programs_source_and_secrets_are_found_and_pages_are_not() {
        let dir = tempfile::tempdir().expect("a folder");
        let root = dir.path();
        put(root, "index.html", b"\x7fELF is only the beginning of this page");
        put(root, "app", b"\x7fELF\x02");
        put(root, "src/main.go", b"package main");
        put(root, ".git/config", b"[core]");
        put(root, ".env.prod", b"A=1");
        put(root, "conf/db_password.yaml", b"x: 1");
        put(root, "conf/app.yaml", b"x: 1");
        put(root, "tls.pem", b"-----BEGIN CERTIFICATE-----");
        put(root, "tls.key", b"-----BEGIN EC PRIVATE KEY-----");
        symlink("/etc", root.join("outside")).expect("linked");
        let found = walk(root, None, &mut 1_000);
        let names: Vec<_> = found
            .suspects
            .iter()
            .map(|s| (s.path.strip_prefix(&format!("{}/", root.display())).expect("below"), s.kind))
            .collect();
        assert_eq!(
            names,
            [
                (".env.prod", SuspectKind::Secret),
                (".git", SuspectKind::Source),
                ("app", SuspectKind::Program),
                ("conf/db_password.yaml", SuspectKind::Secret),
                ("src/main.go", SuspectKind::Source),
                ("tls.key", SuspectKind::Secret),
            ]
        );
        assert!(found.is_complete);
    }

    #[test]
    fn a_walk_that_was_cut_says_so() {
        let dir = tempfile::tempdir().expect("a folder");
        for n in 0..5 {
            put(dir.path(), &format!("{n}.txt"), b"");
        }
        let mut left = 3;
        assert!(!walk(dir.path(), None, &mut left).is_complete);
        assert_eq!(left, 0);
        let mut left = ENTRIES_MAX;
        assert!(walk(dir.path(), None, &mut left).is_complete);
    }
}
