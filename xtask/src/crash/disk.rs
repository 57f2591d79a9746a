//! What lies on the host's disk, looked at from outside and without a line of guanka's own code:
//! the share's link and its slots, the releases and their hashes, the arms' links. Whatever moment
//! it is looked at, each is whole or the host is half.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// The service that is shipped.
pub(crate) const SERVICE: &str = "shop.demo";
/// Not a leftover: it is there as long as the store is.
const LOCK: &str = ".lock";

/// Returns everything that is half; nothing when all is whole.
pub(crate) fn halves(root: &Path) -> Vec<String> {
    let mut halves = Vec::new();
    if let Err(why) = live(root) {
        halves.push(format!("live: {why:#}"));
    }
    match releases(root) {
        Ok(found) => {
            for (name, path) in found {
                if let Err(why) = release(&path, &name) {
                    halves.push(format!("release {}: {why:#}", short(&name)));
                }
            }
        }
        Err(why) => halves.push(format!("releases: {why:#}")),
    }
    for arm in ["blue", "green"] {
        let link = home(root).join("arms").join(arm);
        // An arm that was never used has no link.
        if fs::symlink_metadata(&link).is_ok() && !link.is_dir() {
            halves.push(format!("the link of {arm} points at nothing"));
        }
    }
    halves
}

/// Returns what an interrupted step has left behind where nothing may be left.
pub(crate) fn leftovers(root: &Path) -> Vec<String> {
    let is_left = |name: &str| {
        (name.starts_with('.') && name.ends_with(".new")) || matches!(name, "shares.new")
    };
    let mut left = Vec::new();
    for folder in [home(root).join("releases"), home(root).join("arms")] {
        left.extend(names(&folder).into_iter().filter(|n| n.starts_with('.') && n != LOCK));
    }
    left.extend(names(&state(root)).into_iter().filter(|name| is_left(name)));
    left
}

/// Returns green's share: the link names a folder that holds exactly its slots.
pub(crate) fn live(root: &Path) -> Result<u8> {
    let link = state(root).join("live");
    let target = fs::read_link(&link).context("the link is not there")?;
    let text = target.to_string_lossy().into_owned();
    let share: Option<u8> =
        text.strip_prefix("shares/w").filter(|d| d.len() == 3).and_then(|d| d.parse().ok());
    let share = share.with_context(|| format!("it points to {text}"))?;
    let found: BTreeSet<String> = fs::read_dir(&link)
        .with_context(|| format!("{text} is not there"))?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<Result<_>>()?;
    let expected: BTreeSet<String> = (0..share).map(|slot| format!("s{slot:02}")).collect();
    ensure!(found == expected, "{text} holds {} slots", found.len());
    Ok(share)
}

/// Returns the folders that claim to be releases: all names but hidden ones.
pub(crate) fn releases(root: &Path) -> Result<BTreeMap<String, PathBuf>> {
    let folder = home(root).join("releases");
    let visible = names(&folder).into_iter().filter(|name| !name.starts_with('.'));
    Ok(visible.map(|name| (name.clone(), folder.join(&name))).collect())
}

/// Returns the program's hash of a release that is whole: its name is its manifest's hash, and
/// every file the manifest names is there with its size, mode and content, and no other.
pub(crate) fn release(folder: &Path, name: &str) -> Result<String> {
    let path = folder.join("manifest.json");
    let text = fs::read_to_string(&path).context("no manifest")?;
    let manifest: Value = serde_json::from_str(&text).context("the manifest is cut")?;
    let files = manifest["files"].as_array().context("the manifest names no files")?;
    let mut expected = BTreeMap::from([(path, name.to_owned())]);
    for file in files {
        let (Some(below), Some(hash)) = (file["path"].as_str(), file["sha256"].as_str()) else {
            anyhow::bail!("the manifest names a file without path or hash");
        };
        let path = folder.join(below);
        let meta = fs::symlink_metadata(&path).with_context(|| format!("{below} is missing"))?;
        ensure!(Some(meta.len()) == file["size_bytes"].as_u64(), "{below}: {} bytes", meta.len());
        let mode = u64::from(meta.permissions().mode() & 0o7777);
        ensure!(Some(mode) == file["mode"].as_u64(), "{below} has mode {mode:o}");
        expected.insert(path, hash.to_owned());
    }
    let paths: Vec<&Path> = expected.keys().map(PathBuf::as_path).collect();
    for (path, found) in hashes(&paths)? {
        ensure!(expected.get(&path) == Some(&found), "{} has other content", path.display());
    }
    let strange = files_below(folder)?.into_iter().find(|path| !expected.contains_key(path));
    ensure!(strange.is_none(), "{strange:?} is in no manifest");
    let program = manifest["program"].as_str().context("the manifest names no program")?;
    let program = expected.get(&folder.join("bin").join(program));
    program.cloned().context("the program is not among the files")
}

/// Returns the SHA-256 of files, by coreutils.
pub(crate) fn hashes(paths: &[&Path]) -> Result<BTreeMap<PathBuf, String>> {
    let mut command = Command::new("sha256sum");
    let output = command.arg("--").args(paths).stderr(Stdio::null()).output();
    let output = output.context("run sha256sum")?;
    ensure!(output.status.success(), "sha256sum ended with {}", output.status);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = |line: &str| {
        let (hash, path) = line.split_once("  ")?;
        Some((PathBuf::from(path), hash.to_owned()))
    };
    let found: BTreeMap<PathBuf, String> = text.lines().filter_map(line).collect();
    ensure!(found.len() == paths.len(), "sha256sum answered for {} files", found.len());
    Ok(found)
}

/// Returns the first characters of a digest, as people see it.
pub(crate) fn short(digest: &str) -> &str {
    digest.get(..12).unwrap_or(digest)
}

/// Returns `/opt/guanka/<service>` of a root.
pub(crate) fn home(root: &Path) -> PathBuf {
    root.join("opt/guanka").join(SERVICE)
}

/// Returns `/var/lib/guanka/<service>` of a root.
pub(crate) fn state(root: &Path) -> PathBuf {
    root.join("var/lib/guanka").join(SERVICE)
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

fn files_below(folder: &Path) -> Result<Vec<PathBuf>> {
    let (mut files, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).with_context(|| format!("list {}", next.display()))? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            } else {
                files.push(entry.path());
            }
        }
    }
    Ok(files)
}
