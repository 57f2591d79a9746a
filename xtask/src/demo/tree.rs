//! What a folder holds, to tell whether anything in it changed: every file's content, mode, owner
//! and time of change. nginx's own logs are left out: they grow by themselves.

use std::collections::BTreeMap;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Where nginx writes by itself.
const GROWING: [&str; 2] = ["www/wwwlogs", "www/server/nginx/logs"];

/// A folder's content at one moment.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Tree(BTreeMap<PathBuf, u64>);

impl Tree {
    /// Reads everything below a folder.
    pub(crate) fn read(root: &Path) -> Result<Self> {
        let mut tree = BTreeMap::new();
        let mut folders = vec![root.to_path_buf()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).with_context(|| format!("{}", folder.display()))? {
                let path = entry?.path();
                let inside = path.strip_prefix(root).unwrap_or(&path).to_path_buf();
                if GROWING.iter().any(|growing| inside == Path::new(growing)) {
                    continue;
                }
                let meta = fs::symlink_metadata(&path)?;
                if meta.is_dir() {
                    folders.push(path.clone());
                }
                tree.insert(inside, print_of(&path, &meta)?);
            }
        }
        Ok(Self(tree))
    }

    /// Returns how many files and folders there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns what was added, removed or changed until another moment.
    pub(crate) fn changes(&self, later: &Self) -> Vec<PathBuf> {
        let here = self.0.iter().filter(|(path, print)| later.0.get(*path) != Some(*print));
        let new = later.0.keys().filter(|path| !self.0.contains_key(*path));
        here.map(|(path, _)| path).chain(new).cloned().collect()
    }
}

/// Returns a digest of one entry.
fn print_of(path: &Path, meta: &fs::Metadata) -> Result<u64> {
    let mut digest = DefaultHasher::new();
    (meta.mode(), meta.uid(), meta.gid()).hash(&mut digest);
    if meta.is_symlink() {
        fs::read_link(path)?.hash(&mut digest);
    } else if meta.is_file() {
        (meta.mtime(), meta.mtime_nsec()).hash(&mut digest);
        fs::read(path).with_context(|| format!("read {}", path.display()))?.hash(&mut digest);
    }
    Ok(digest.finish())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use super::Tree;

    #[test]
    fn a_change_is_seen_and_nginxs_logs_are_not_looked_at() {
        let root = std::env::temp_dir().join(format!("guanka-tree-{}", std::process::id()));
        fs::create_dir_all(root.join("www/wwwlogs")).expect("a folder");
        fs::write(root.join("a"), "one").expect("a file");
        let before = Tree::read(&root).expect("read");
        fs::write(root.join("www/wwwlogs/x.log"), "a line").expect("a file");
        assert_eq!(before.changes(&Tree::read(&root).expect("read")), Vec::<PathBuf>::new());
        fs::write(root.join("a"), "two").expect("a file");
        fs::write(root.join("b"), "new").expect("a file");
        let changes = before.changes(&Tree::read(&root).expect("read"));
        fs::remove_dir_all(&root).expect("there");
        assert_eq!(changes, [PathBuf::from("a"), PathBuf::from("b")]);
    }
}
