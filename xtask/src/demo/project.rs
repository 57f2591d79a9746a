//! The project that is shipped: a copy of `examples/shop` with the files of one release over it, in
//! a folder that is no repository, and with its host and, for the short form, its times rewritten.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

/// What in the example's guanka.toml stands for the host.
const HOST: &str = "local:/PLACEHOLDER";

/// How long the gates look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// As the example declares.
    Whole,
    /// Shorter, for the test suite.
    Short,
}

/// A section of guanka.toml, a key in it, and the value that the short form gives it.
type Change = (&'static str, &'static str, &'static str);

/// What the short form rewrites.
const SHORT: [Change; 8] = [
    ("gates.load", "for", "\"9s\""),
    ("gates.load", "warm_up", "\"2s\""),
    ("gates.bake", "for", "\"10s\""),
    ("gates.bake", "rate", "\"160/s\""),
    ("gates.bake", "min_requests", "200"),
    ("gates.canary", "steps", "[\"40% 12s\", \"100%\"]"),
    ("gates.canary", "slo", "[\"order_success\", \"product_success\"]"),
    ("gates.canary", "settle", "\"2s\""),
];

/// Writes the project anew as one release has it; what guanka itself keeps in it stays.
pub(crate) fn write(
    project: &Path,
    examples: &Path,
    overlay: Option<&str>,
    (root, pace): (&Path, Pace),
) -> Result<()> {
    clear(project)?;
    copy(&examples.join("shop"), project)?;
    if let Some(overlay) = overlay {
        copy(&examples.join("shop-releases").join(overlay), project)?;
    }
    let path = project.join("guanka.toml");
    let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    let text = manifest(&text, root, pace)?;
    fs::write(&path, text).with_context(|| format!("write {}", path.display()))
}

fn manifest(text: &str, root: &Path, pace: Pace) -> Result<String> {
    ensure!(text.contains(HOST), "the example's guanka.toml does not name {HOST}");
    let mut text = text.replace(HOST, &format!("local:{}", root.display()));
    if pace == Pace::Short {
        for change in SHORT {
            text = rewritten(&text, change)?;
        }
    }
    Ok(text)
}

/// Gives one key of one section another value.
fn rewritten(text: &str, (section, key, value): Change) -> Result<String> {
    let header = format!("[{section}]");
    let (mut is_inside, mut changed) = (false, 0);
    let line = |line: &str| {
        if line.starts_with('[') {
            is_inside = line.trim() == header;
        }
        if is_inside && line.split_once('=').is_some_and(|(name, _)| name.trim() == key) {
            changed += 1;
            return format!("{key} = {value}\n");
        }
        format!("{line}\n")
    };
    let text: String = text.lines().map(line).collect();
    ensure!(changed == 1, "{changed} lines of the example's guanka.toml set {section}.{key}");
    Ok(text)
}

/// Removes everything but guanka's own folder.
fn clear(project: &Path) -> Result<()> {
    for entry in fs::read_dir(project).with_context(|| format!("list {}", project.display()))? {
        let entry = entry?;
        if entry.file_name() == ".guanka" {
            continue;
        }
        let path = entry.path();
        let removed = if entry.file_type()?.is_dir() {
            fs::remove_dir_all(&path)
        } else {
            fs::remove_file(&path)
        };
        removed.with_context(|| format!("remove {}", path.display()))?;
    }
    Ok(())
}

/// Copies a folder's files over another's; links are not followed, the examples have none.
fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("create {}", to.display()))?;
    for entry in fs::read_dir(from).with_context(|| format!("list {}", from.display()))? {
        let entry = entry?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type()?;
        if kind.is_dir() && entry.file_name() != ".guanka" {
            copy(&source, &target)?;
        } else if kind.is_file() {
            fs::copy(&source, &target).with_context(|| format!("copy {}", source.display()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Pace, manifest, rewritten};

    const EXAMPLE: &str = include_str!("../../../examples/shop/guanka.toml");

    #[test]
    fn the_example_names_its_host_once_and_has_every_key_that_is_made_shorter() {
        let whole = manifest(EXAMPLE, Path::new("/var/tmp/x"), Pace::Whole).expect("written");
        assert_eq!(whole.matches("\"local:/var/tmp/x\"").count(), 1);
        let short = manifest(EXAMPLE, Path::new("/var/tmp/x"), Pace::Short).expect("written");
        assert!(whole.lines().count() == short.lines().count() && whole != short);
    }

    #[test]
    fn only_the_key_of_that_section_changes() {
        let text = "[a]\nfor = \"1s\"\n[b]\nfor   = \"2s\"\nforth = 3\n";
        let changed = rewritten(text, ("b", "for", "\"9s\"")).expect("one line");
        assert_eq!(changed, "[a]\nfor = \"1s\"\n[b]\nfor = \"9s\"\nforth = 3\n");
        assert!(rewritten(text, ("c", "for", "1")).is_err());
    }
}
