//! The example service as the lab ships it: its folder, its guanka.toml with short gates.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

/// The gates of the example are minutes long; here only a short canary stands.
const GATES: &str = r#"[slo.any_success]
indicator = "success"
route     = "GET /products"
objective = "90%"
limit     = "50%"
bad_when  = ["status >= 500"]
window    = "30d"

[gates.canary]
steps         = ["50% 1s", "100%"]
compare       = "none"
slo           = ["any_success"]
deadline      = "2m"
invalid_grace = "1m"
settle        = "4s"
"#;

/// Returns the example's guanka.toml for a host, each text of a pair replaced by the other, with
/// more sections before its short gates.
pub(super) fn manifest(
    repository: &Path,
    host: &str,
    changes: &[(&str, &str)],
    more: &str,
) -> Result<String> {
    let text = fs::read_to_string(repository.join("examples/shop/guanka.toml"))
        .context("read the example's guanka.toml")?;
    let (head, _) = text.split_once("[slo.").context("the example has objectives")?;
    let mut head = head.to_owned();
    let common = [
        ("local:/PLACEHOLDER", host),
        ("every   = \"1s\"", "every   = \"500ms\""),
        ("keepalive    = \"10s\"", "keepalive    = \"2s\""),
    ];
    for (from, to) in common.iter().chain(changes) {
        ensure!(head.contains(from), "the example's guanka.toml does not hold {from:?}");
        head = head.replacen(from, to, 1);
    }
    Ok(format!("{head}{more}{GATES}"))
}

/// Copies the example's folder.
pub(super) fn copy(repository: &Path, to: &Path) -> Result<()> {
    copy_folder(&repository.join("examples/shop"), to)
}

fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("make {}", to.display()))?;
    for entry in fs::read_dir(from).with_context(|| format!("read {}", from.display()))? {
        let path = entry?.path();
        let target = to.join(path.file_name().unwrap_or_default());
        if path.is_dir() {
            copy_folder(&path, &target)?;
        } else {
            fs::copy(&path, &target).with_context(|| format!("copy {}", path.display()))?;
        }
    }
    Ok(())
}

/// Puts another text in a text's place in a file of the project; it must be there.
pub(super) fn rewrite(project: &Path, file: &str, from: &str, to: &str) -> Result<()> {
    let path = project.join(file);
    let text = fs::read_to_string(&path).with_context(|| format!("read {file}"))?;
    ensure!(text.contains(from), "{file} does not hold {from:?}");
    fs::write(&path, text.replacen(from, to, 1)).with_context(|| format!("write {file}"))
}

/// Makes the project another release.
pub(super) fn release(project: &Path, name: &str) -> Result<()> {
    let text = format!("package main\n\nconst release = \"{name}\"\n");
    fs::write(project.join("version.go"), text).context("write version.go")
}
