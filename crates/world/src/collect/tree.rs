//! A host's files as its own configuration names them: below `/`, or below a folder laid out like a
//! host. Reads are bounded, patterns are matched here, nothing is written.

use std::fs;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use guanka_core::facts::Reason;

/// How many names one pattern may give; a panel host has one file per site.
const NAMES_MAX: usize = 100_000;

/// The largest configuration file that is read.
pub(crate) const TEXT_MAX: u64 = 100 << 20;

/// A host root as the collectors see it.
#[derive(Clone, Debug)]
pub(crate) struct HostTree {
    root: PathBuf,
    /// The root as it was given; files may name it in this form too.
    given: PathBuf,
}

impl HostTree {
    /// Takes a host root; links in its own path are resolved so that /proc names it alike.
    pub(crate) fn new(root: &Path) -> Self {
        let given = std::path::absolute(root).unwrap_or_else(|_| root.to_owned());
        let root = fs::canonicalize(&given).unwrap_or_else(|_| given.clone());
        Self { root, given }
    }

    /// Returns the root itself.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Returns whether this is the machine's own root.
    pub(crate) fn is_machine(&self) -> bool {
        self.root == Path::new("/")
    }

    /// Returns where a path of the host lies: as written if that is below the root, else below the
    /// root. `..` never leads out of it.
    pub(crate) fn locate(&self, path: &str) -> PathBuf {
        let written = tidy(Path::new(path));
        let below = written
            .strip_prefix(&self.root)
            .or_else(|_| written.strip_prefix(&self.given))
            .or_else(|_| written.strip_prefix("/"))
            .unwrap_or(&written);
        self.root.join(below)
    }

    /// Returns whether a path of the running machine lies below this root.
    pub(crate) fn holds(&self, path: &Path) -> bool {
        path.starts_with(&self.root) || path.starts_with(&self.given)
    }

    /// Returns whether a text names something below this root.
    pub(crate) fn is_named_in(&self, text: &str) -> bool {
        [&self.root, &self.given].iter().any(|root| text.contains(&*root.to_string_lossy()))
    }

    /// Reads a file of the host.
    pub(crate) fn read(&self, path: &str) -> Result<Vec<u8>, Reason> {
        read(&self.locate(path), TEXT_MAX)
    }

    /// Reads the beginning of a file of the host, however long it is.
    pub(crate) fn head(&self, path: &str, most: u64) -> Result<Vec<u8>, Reason> {
        take(&self.locate(path), u64::MAX, most)
    }

    /// Reads a file of the host as text; bytes that are no text become a replacement letter.
    pub(crate) fn text(&self, path: &str) -> Result<String, Reason> {
        Ok(String::from_utf8_lossy(&self.read(path)?).into_owned())
    }

    /// Returns whether something lies at a path, as far as this user may see.
    pub(crate) fn has(&self, path: &str) -> bool {
        match fs::symlink_metadata(self.locate(path)) {
            Ok(_) => true,
            Err(error) => error.kind() == io::ErrorKind::PermissionDenied,
        }
    }

    /// Returns the paths that match a pattern of the host, sorted bytewise. A leading dot must be
    /// written, as in a shell.
    pub(crate) fn glob(&self, pattern: &str) -> Vec<PathBuf> {
        let whole = self.locate(pattern);
        let rest = whole.strip_prefix(&self.root).unwrap_or(&whole);
        let mut found = vec![self.root.clone()];
        for part in rest.components() {
            let name = part.as_os_str().as_bytes();
            if name.iter().any(|b| b"*?[".contains(b)) {
                found = found.iter().flat_map(|folder| matching(folder, name)).collect();
                found.truncate(NAMES_MAX);
            } else {
                for path in &mut found {
                    path.push(part);
                }
            }
        }
        found.retain(|path| fs::symlink_metadata(path).is_ok());
        found.sort_by(|a, b| a.as_os_str().as_bytes().cmp(b.as_os_str().as_bytes()));
        found
    }
}

/// Reads a regular file up to a limit.
pub(crate) fn read(path: &Path, limit: u64) -> Result<Vec<u8>, Reason> {
    take(path, limit, limit)
}

/// Reads so many bytes of a plain file that is no longer than a limit.
fn take(path: &Path, limit: u64, most: u64) -> Result<Vec<u8>, Reason> {
    let shown = path.display().to_string();
    let inner = || -> io::Result<Vec<u8>> {
        let meta = fs::metadata(path)?;
        // Reading a pipe would wait for its writer.
        if !meta.is_file() {
            return Err(io::Error::other("not a regular file"));
        }
        if meta.len() > limit {
            return Err(io::Error::other(format!("larger than {limit} bytes")));
        }
        let mut bytes = Vec::new();
        fs::File::open(path)?.take(most).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    inner().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Reason::NotThere(shown),
        _ => Reason::NotReadable(format!("{shown}: {error}")),
    })
}

/// Takes `.` and `..` out of a path without asking the disk.
fn tidy(path: &Path) -> PathBuf {
    let mut whole = PathBuf::from("/");
    for part in path.components() {
        match part {
            Component::Normal(name) => whole.push(name),
            Component::ParentDir => {
                whole.pop();
            }
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    whole
}

fn matching(folder: &Path, pattern: &[u8]) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().take(NAMES_MAX);
    entries
        .filter(|entry| {
            let name = entry.file_name();
            let name = name.as_bytes();
            (name.first() != Some(&b'.') || pattern.first() == Some(&b'.')) && fits(pattern, name)
        })
        .map(|entry| entry.path())
        .collect()
}

/// Says whether a name fits a shell pattern. After a mismatch only the last `*` is tried anew, so
/// the cost stays at most pattern times name.
pub(super) fn fits(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        if pattern.get(p) == Some(&b'*') {
            star = Some((p, n));
            p += 1;
        } else if let Some(used) = fits_one(&pattern[p..], name[n]) {
            p += used;
            n += 1;
        } else if let Some((at, taken)) = star {
            star = Some((at, taken + 1));
            p = at + 1;
            n = taken + 1;
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|b| *b == b'*')
}

/// Matches one byte and returns how much of the pattern it used.
fn fits_one(pattern: &[u8], byte: u8) -> Option<usize> {
    match *pattern.first()? {
        b'?' => Some(1),
        b'\\' if pattern.len() > 1 => (pattern[1] == byte).then_some(2),
        b'[' => {
            let is_negated = matches!(pattern.get(1), Some(b'!' | b'^'));
            let start = if is_negated { 2 } else { 1 };
            // A `]` right behind the opening stands for itself.
            let rest = pattern.get(start + 1..).unwrap_or_default();
            let length = rest.iter().position(|b| *b == b']');
            let Some(length) = length else { return (byte == b'[').then_some(1) };
            let set = &pattern[start..start + 1 + length];
            (is_in(set, byte) != is_negated).then_some(start + length + 2)
        }
        plain => (plain == byte).then_some(1),
    }
}

fn is_in(set: &[u8], byte: u8) -> bool {
    let mut at = 0;
    while at < set.len() {
        if at + 2 < set.len() && set[at + 1] == b'-' {
            if (set[at]..=set[at + 2]).contains(&byte) {
                return true;
            }
            at += 3;
        } else {
            if set[at] == byte {
                return true;
            }
            at += 1;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::{HostTree, fits};

    #[test]
    fn patterns_match_as_in_a_shell() {
        for (pattern, name, want) in [
            ("*.conf", "a.conf", true),
            ("*.conf", "a.conf.bak", false),
            ("a?c", "abc", true),
            ("[a-c]*", "bx", true),
            ("[!a-c]*", "bx", false),
            ("*a*b*", "xxaxxbxx", true),
            ("a[", "a[", true),
            ("[]]", "]", true),
            ("\\*", "*", true),
            ("\\*", "x", false),
        ] {
            assert_eq!(fits(pattern.as_bytes(), name.as_bytes()), want, "{pattern} {name}");
        }
    }

    #[test]
    fn a_path_is_taken_as_written_or_below_the_root_and_never_outside() {
        let dir = tempfile::tempdir().expect("a folder");
        let root = fs::canonicalize(dir.path()).expect("there");
        let tree = HostTree::new(dir.path());
        let inside = root.join("etc/x");
        assert_eq!(tree.locate("/etc/x"), inside);
        assert_eq!(tree.locate(&inside.to_string_lossy()), inside);
        assert_eq!(tree.locate("/../../etc/./x"), inside);
        assert_eq!(HostTree::new(Path::new("/")).locate("/etc/x"), Path::new("/etc/x"));
    }

    #[test]
    fn a_pattern_gives_its_files_in_byte_order() {
        let dir = tempfile::tempdir().expect("a folder");
        for name in ["b/1.conf", "a/2.conf", "a/.hidden.conf", "A/3.conf", "a/4.txt"] {
            let path = dir.path().join("sites").join(name);
            fs::create_dir_all(path.parent().expect("has one")).expect("made");
            fs::write(path, "").expect("written");
        }
        let tree = HostTree::new(dir.path());
        let found: Vec<_> = tree
            .glob("/sites/*/*.conf")
            .iter()
            .map(|p| p.strip_prefix(tree.root()).expect("below").display().to_string())
            .collect();
        assert_eq!(found, ["sites/A/3.conf", "sites/a/2.conf", "sites/b/1.conf"]);
    }
}
