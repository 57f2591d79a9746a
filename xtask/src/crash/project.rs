//! The project that is shipped: a copy of `examples/shop` whose gates are as short as they go while
//! every state of the main line is still passed, and of which two releases take turns.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

/// What in the example's guanka.toml stands for the host.
const HOST: &str = "local:/PLACEHOLDER";

/// Where the example's gates begin; all below it is replaced.
const GATES: &str = "[gates.load]";

/// Limits that no noise of a busy machine comes near: it is not the release that is on trial here.
const SHORT: &str = r#"[gates.load]
rate        = "20/s"
for         = "700ms"
warm_up     = "100ms"
connections = 4
slo         = ["product_success"]
retries     = 10
requests    = ["GET /products?q=tea"]

[gates.canary]
steps         = ["50% 1s", "100%"]
compare       = "none"
slo           = ["product_success"]
deadline      = "5m"
invalid_grace = "2m"
settle        = "1s"
"#;

/// Keys of the example that get other values: an arm drains sooner, a limit is wider.
const CHANGES: [(&str, &str, &str); 3] = [
    ("[proxy]", "keepalive", "\"1s\""),
    ("[slo.product_success]", "objective", "\"60%\""),
    ("[slo.product_success]", "limit", "\"50%\""),
];

/// One of the two releases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    /// The one.
    A,
    /// The other.
    B,
}

impl Version {
    /// Returns the one that is shipped after this one.
    pub(crate) const fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }

    /// Returns what the release calls itself in every answer.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::A => "crash-a",
            Self::B => "crash-b",
        }
    }
}

/// Copies the example and shortens its declaration.
pub(crate) fn write(example: &Path, project: &Path, root: &Path) -> Result<()> {
    copy(example, project)?;
    let path = project.join("guanka.toml");
    let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    let text = manifest(&text, root)?;
    fs::write(&path, text).with_context(|| format!("write {}", path.display()))
}

/// Makes the project the source of one of the releases.
pub(crate) fn set(project: &Path, version: Version) -> Result<()> {
    let word = version.word();
    let text = format!(
        "package main\n\n// release is what every answer names.\nconst release = \"{word}\"\n"
    );
    fs::write(project.join("version.go"), text).context("write version.go")
}

fn manifest(text: &str, root: &Path) -> Result<String> {
    ensure!(text.contains(HOST), "the example's guanka.toml does not name {HOST}");
    let text = text.replace(HOST, &format!("local:{}", root.display()));
    let (head, _) = text.split_once(GATES).context("the example's guanka.toml has no gates")?;
    let (mut section, mut changed) = (String::new(), 0);
    let line = |line: &str| {
        if line.starts_with('[') {
            section = line.trim().to_owned();
        }
        let name = line.split_once('=').map(|(name, _)| name.trim());
        let change = CHANGES.iter().find(|(s, key, _)| *s == section && name == Some(*key));
        match change {
            Some((_, key, value)) => {
                changed += 1;
                format!("{key} = {value}\n")
            }
            None => format!("{line}\n"),
        }
    };
    let head: String = head.lines().map(line).collect();
    ensure!(changed == CHANGES.len(), "{changed} keys of the example's guanka.toml changed");
    Ok(head + SHORT)
}

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

    use super::manifest;

    #[test]
    fn the_example_still_has_all_that_is_made_shorter() {
        let example = include_str!("../../../examples/shop/guanka.toml");
        let text = manifest(example, Path::new("/var/tmp/x")).expect("written");
        assert!(text.contains("\"local:/var/tmp/x\"") && text.contains("keepalive = \"1s\""));
        assert!(!text.contains("[gates.bake]") && text.contains("settle        = \"1s\""));
    }
}
