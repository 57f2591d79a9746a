//! What a host root holds, file by file, so that "nothing changed" can be shown: logs, journals,
//! counts, leases and process numbers are left out, everything else is in.

use std::collections::BTreeMap;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// Folders whose content moves by itself.
const MOVING: &[&str] = &[
    "run",
    "tmp",
    "var/lib/guanka/agent",
    "var/log",
    "var/run",
    "www/wwwlogs",
    "www/server/nginx/logs",
    "www/server/panel/plugin/supervisor/log",
];

/// What the agent writes by itself in a service's folder: who drives.
const KEPT: &[&str] = &["desired.json"];

/// What the agent puts on a host when it is started there for the first time.
const OWN: &[&str] = &["opt/guanka/bin", "var/lib/guanka"];

/// Larger files are programs; hashing them each time would take most of the part's time.
const SMALL_MAX: u64 = 1 << 20;

/// The longest list of differences that is printed.
const SHOWN: usize = 8;

/// A root's files: what each is, its mode, and its content or target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Snapshot(BTreeMap<PathBuf, String>);

impl Snapshot {
    /// Looks at a root.
    pub(crate) fn of(root: &Path) -> Result<Self> {
        let mut found = BTreeMap::new();
        let mut folders = vec![root.to_owned()];
        while let Some(folder) = folders.pop() {
            let entries = match fs::read_dir(&folder) {
                Ok(entries) => entries,
                // Removed between its listing and now.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => bail!("read {}: {error}", folder.display()),
            };
            for entry in entries.flatten() {
                let path = entry.path();
                let short = path.strip_prefix(root).unwrap_or(&path).to_owned();
                if is_moving(&short) {
                    continue;
                }
                let Ok(meta) = fs::symlink_metadata(&path) else { continue };
                let kind = meta.file_type();
                let what = if kind.is_dir() {
                    folders.push(path);
                    "folder".to_owned()
                } else if kind.is_symlink() {
                    let target = fs::read_link(&path).unwrap_or_default();
                    format!("link to {}", target.display())
                } else if kind.is_file() {
                    content(&path, &meta)?
                } else {
                    continue;
                };
                found.insert(short, format!("{:o} {what}", meta.mode() & 0o7777));
            }
        }
        Ok(Self(found))
    }

    /// Leaves out what an agent puts on a host when it starts.
    pub(crate) fn without_agent(mut self) -> Self {
        self.0.retain(|path, _| {
            let is_parent = OWN.iter().any(|own| Path::new(own).starts_with(path));
            !is_parent && !OWN.iter().any(|own| path.starts_with(own))
        });
        self
    }

    /// Returns an error that names what differs in a later one.
    pub(crate) fn same_as(&self, later: &Self) -> Result<()> {
        let paths = self.0.keys().chain(later.0.keys());
        let mut changed: Vec<String> = paths
            .filter(|path| self.0.get(*path) != later.0.get(*path))
            .map(|path| {
                let sign = match (self.0.get(path), later.0.get(path)) {
                    (None, _) => '+',
                    (_, None) => '-',
                    _ => '~',
                };
                format!("{sign} {}", path.display())
            })
            .collect();
        changed.sort();
        changed.dedup();
        if changed.is_empty() {
            return Ok(());
        }
        let count = changed.len();
        changed.truncate(SHOWN);
        bail!("{count} things changed on the host: {}", changed.join(", "))
    }
}

fn is_moving(short: &Path) -> bool {
    let name = short.file_name().map(|name| name.to_string_lossy().into_owned());
    let is_kept = name.is_some_and(|name| {
        KEPT.iter().any(|kept| name.starts_with(kept)) || name.ends_with(".lock")
    });
    is_kept || MOVING.iter().any(|folder| short.starts_with(folder) && short != Path::new(folder))
}

/// Returns a small file's hash; a large one is known by its size and the moment it was written.
fn content(path: &Path, meta: &fs::Metadata) -> Result<String> {
    if meta.len() > SMALL_MAX {
        let (size, secs, nanos) = (meta.len(), meta.mtime(), meta.mtime_nsec());
        return Ok(format!("{size} bytes of {secs}.{nanos:09}"));
    }
    let bytes = fs::read(path).with_context(|| format!("read {}", path.display()))?;
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    Ok(format!("{} bytes {:016x}", bytes.len(), hasher.finish()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::Snapshot;

    #[test]
    fn a_changed_byte_is_seen_and_a_log_line_is_not() {
        let root = std::env::temp_dir().join(format!("guanka-snapshot-{}", std::process::id()));
        fs::create_dir_all(root.join("var/log")).expect("made");
        fs::write(root.join("a"), "one").expect("written");
        let before = Snapshot::of(&root).expect("read");
        fs::write(root.join("var/log/x"), "a line").expect("written");
        before.same_as(&Snapshot::of(&root).expect("read")).expect("the same");
        fs::write(root.join("a"), "two").expect("written");
        let error = before.same_as(&Snapshot::of(&root).expect("read")).expect_err("other");
        assert_eq!(error.to_string(), "1 things changed on the host: ~ a");
        fs::remove_dir_all(&root).expect("there");
    }
}
