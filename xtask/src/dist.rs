//! The binary that goes out: one static file that runs on any Linux of its architecture, whatever
//! its libc, with its SHA-256 beside it. The target is named, so that the flags for a static file
//! reach neither build scripts nor procedural macros, and ordinary builds stay as they are.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

/// The program header types and the dynamic entry that the loader would look at (System V ABI).
const PT_DYNAMIC: u64 = 2;
const PT_INTERP: u64 = 3;
const DT_NULL: u64 = 0;
const DT_NEEDED: u64 = 1;

/// Builds the binary and says where it is.
pub(crate) fn run(root: &Path) -> Result<()> {
    let binary = build(root)?;
    let size = fs::metadata(&binary)?.len() as f64 / 1e6;
    let sum = fs::read_to_string(sum_of(&binary))?;
    let sum = sum.split_whitespace().next().context("a sum")?;
    let place = binary.display();
    let mut out = std::io::stdout();
    // A closed pipe is the reader's choice.
    let _ = writeln!(out, "dist: {place} is one static file of {size:.1} MB, SHA-256 {sum}");
    Ok(())
}

/// Builds the static binary into `target/dist`, its sum beside it, and returns where it is.
pub(crate) fn build(root: &Path) -> Result<PathBuf> {
    let triple = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or(root.join("target"), PathBuf::from);
    let mut cargo = Command::new("cargo");
    cargo.args(["build", "--quiet", "--release", "--locked", "--package", "guanka", "--target"]);
    cargo.arg(&triple).arg("--target-dir").arg(&target).current_dir(root);
    cargo.env_remove("CARGO_ENCODED_RUSTFLAGS").env("RUSTFLAGS", "-C target-feature=+crt-static");
    ensure!(cargo.status().context("starting cargo")?.success(), "guanka does not build");
    let made = target.join(&triple).join("release/guanka");
    let image = fs::read(&made).with_context(|| format!("reading {}", made.display()))?;
    if let Some(why) = why_not_static(&image).context("guanka is no whole 64-bit ELF file")? {
        bail!("guanka is not one static file: {why}");
    }
    let folder = target.join("dist");
    fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    let binary = folder.join("guanka");
    // Copied beside and renamed: a guanka that runs from there keeps its file.
    let beside = folder.join("guanka.new");
    fs::copy(&made, &beside).with_context(|| format!("writing {}", beside.display()))?;
    fs::rename(&beside, &binary).with_context(|| format!("writing {}", binary.display()))?;
    let output = Command::new("sha256sum").arg("guanka").current_dir(&folder).output();
    let output = output.context("starting sha256sum")?;
    ensure!(output.status.success(), "sha256sum ended with {}", output.status);
    fs::write(sum_of(&binary), output.stdout).context("writing the sum")?;
    Ok(binary)
}

/// Returns where a binary's sum lies, in the form that `sha256sum --check` reads.
fn sum_of(binary: &Path) -> PathBuf {
    binary.with_extension("sha256")
}

/// Returns what an ELF image needs from the machine it runs on, a loader or a library; the outer
/// `None` when it is no whole little-endian 64-bit ELF image.
fn why_not_static(image: &[u8]) -> Option<Option<&'static str>> {
    if image.get(..6)? != b"\x7fELF\x02\x01" {
        return None;
    }
    let (start, size, count) =
        (number(image, 32, 8)?, number(image, 54, 2)?, number(image, 56, 2)?);
    for index in 0..count {
        let header = start.checked_add(index * size)?;
        match number(image, header, 4)? {
            PT_INTERP => return Some(Some("it asks for a loader")),
            PT_DYNAMIC => {
                let offset = number(image, header.checked_add(8)?, 8)?;
                let length = number(image, header.checked_add(32)?, 8)?;
                let end = offset.checked_add(length)?;
                let entries =
                    image.get(usize::try_from(offset).ok()?..usize::try_from(end).ok()?)?;
                let tags = entries.chunks_exact(16).map_while(|entry| number(entry, 0, 8));
                if tags.take_while(|tag| *tag != DT_NULL).any(|tag| tag == DT_NEEDED) {
                    return Some(Some("it asks for a shared library"));
                }
            }
            _ => {}
        }
    }
    Some(None)
}

/// Reads a little-endian number of at most eight bytes.
fn number(bytes: &[u8], at: u64, width: usize) -> Option<u64> {
    let at = usize::try_from(at).ok()?;
    let bytes = bytes.get(at..at.checked_add(width)?)?;
    Some(bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::why_not_static;

    /// An image with one program header and, behind it, two dynamic entries.
    fn image(kind: u8, tags: [u8; 2]) -> Vec<u8> {
        let mut image = vec![0; 64 + 56 + 32];
        image[..6].copy_from_slice(b"\x7fELF\x02\x01");
        (image[32], image[54], image[56]) = (64, 56, 1);
        (image[64], image[64 + 8], image[64 + 32]) = (kind, 120, 32);
        (image[120], image[136]) = (tags[0], tags[1]);
        image
    }

    #[test]
    fn a_loader_or_a_library_is_seen_and_an_entry_behind_the_end_is_not() {
        assert_eq!(why_not_static(&image(1, [1, 0])), Some(None));
        assert_eq!(why_not_static(&image(2, [5, 0])), Some(None));
        assert_eq!(why_not_static(&image(2, [0, 1])), Some(None));
        assert_eq!(why_not_static(&image(3, [0, 0])), Some(Some("it asks for a loader")));
        assert_eq!(why_not_static(&image(2, [5, 1])), Some(Some("it asks for a shared library")));
    }

    #[test]
    fn a_cut_image_is_no_answer_and_this_ordinary_program_asks_for_a_loader() {
        let whole = image(2, [5, 1]);
        assert!((0..whole.len()).all(|length| why_not_static(&whole[..length]).is_none()));
        let own = fs::read(std::env::current_exe().expect("this program")).expect("readable");
        assert_eq!(why_not_static(&own), Some(Some("it asks for a loader")));
    }
}
