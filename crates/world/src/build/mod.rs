//! Builds a Go program into a release: chooses the toolchain on purpose, compiles in a clean
//! environment, reads the result itself and names it by digests. Equal sources give equal releases,
//! from any folder and in any commit.

mod compile;
pub mod digests;
mod error;
mod include;
mod source;
mod surroundings;
mod toolchain;
pub mod verify;
mod version;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use guanka_core::facts::declared::Declared;
use guanka_core::facts::release::{MANIFEST_SCHEMA, Manifest, ReleaseFile};
use guanka_core::facts::{Fact, Provenance, Sourced};
use guanka_core::name::Digest;
use guanka_core::say::Said;

pub use error::BuildError;
pub use source::{host_arch, revision};
pub use surroundings::Surroundings;
pub use toolchain::{Found, Need, choose, find};
pub use version::GoVersion;

use compile::Compiler;
use verify::{Cgo, Expected};

use crate::{files, hash};

/// A built release in a folder of its own.
#[derive(Clone, Debug)]
pub struct Built {
    /// `<work>/<release>`: `bin/<app>`, the included files, `manifest.json`.
    pub folder: PathBuf,
    /// What the folder holds.
    pub manifest: Manifest,
    /// The release's digest: the SHA-256 of the manifest's canonical text.
    pub release: Digest,
    /// The toolchain's name, `go1.26.8`.
    pub go: String,
    /// The `go` that built it.
    pub toolchain: PathBuf,
    /// The commit, when the source is a clean work tree. For records: it is no part of the
    /// manifest, where it would give equal sources other digests.
    pub revision: Option<String>,
    /// Packages that hold C code and were built without it: their stand-ins may fail when used.
    pub without_c: Vec<String>,
    /// The go command and what it said.
    pub log: String,
}

/// Builds a service's release for a target below a work folder, with what the process was started
/// with.
pub fn build(
    source: &Path,
    declared: &Declared,
    target: &str,
    work: &Path,
) -> Result<Built, BuildError> {
    build_in(&Surroundings::of_process(), source, declared, target, work)
}

/// Builds a service's release in given surroundings.
pub fn build_in(
    surroundings: &Surroundings,
    source: &Path,
    declared: &Declared,
    target: &str,
    work: &Path,
) -> Result<Built, BuildError> {
    let source = fs::canonicalize(source).map_err(|error| failed(source, error))?;
    fs::create_dir_all(work).map_err(|error| failed(work, error))?;
    let work = fs::canonicalize(work).map_err(|error| failed(work, error))?;
    let platform = platform(target)?;
    let need = need(&source, declared)?;
    let (go, _) = toolchain::choose(toolchain::find(surroundings), &need)?;
    let cgo = if declared.build.cgo { Cgo::Allowed } else { Cgo::Forbidden };
    let spare = work.join("go");
    let compiler = Compiler::prepare(&source, go.clone(), surroundings, platform, cgo, &spare)?;

    let scratch = Scratch::new(&work)?;
    let app = declared.service.app();
    let program = scratch.folder.join("bin").join(app);
    let (package, flags) = (&declared.app.program, &declared.build.flags);
    let log = compiler.build(package, flags, &program)?;
    let info = verify::program(&program, &Expected { target, cgo, oldest_go: need.at_least })?;
    let without_c = match cgo {
        Cgo::Allowed => Vec::new(),
        Cgo::Forbidden => compiler.c_packages(package, flags)?,
    };

    let mut files = include::copy(&source, &declared.build.include, &scratch.folder)?;
    files.push(program_file(&program, app)?);
    files.sort_by(|a, b| a.path.cmp(&b.path));
    let manifest = manifest(declared, target, info.go, files);
    let (folder, release) = scratch.keep(&work, &manifest)?;
    Ok(Built {
        folder,
        release,
        go: manifest.go.clone(),
        toolchain: go,
        revision: compiler.revision(),
        without_c: without_c.into_iter().map(|package| package.path).collect(),
        manifest,
        log,
    })
}

/// Returns which toolchain a module and its declaration need.
fn need(source: &Path, declared: &Declared) -> Result<Need, BuildError> {
    let path = source.join("go.mod");
    let text = fs::read(&path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => BuildError::Module {
            path: path.clone(),
            why: Said::new("文件不存在,这里不是 Go 模块", "not there: this is no Go module"),
        },
        _ => failed(&path, error),
    })?;
    let module = guanka_parse::gomod::read("go.mod", &text);
    // Without a go line the language is that of Go 1.16.
    let line = module.go.known().map_or("1.16", String::as_str);
    let line = GoVersion::parse(line).ok_or_else(|| BuildError::Module {
        path,
        why: Said::new(format!("go {line} 不是版本号"), format!("go {line} is no version")),
    })?;
    let named = match &declared.build.go {
        Some(text) => Some(GoVersion::parse(text).ok_or_else(|| BuildError::Declared {
            key: "build.go",
            why: Said::new(format!("{text} 不是版本号"), format!("{text} is no version")),
        })?),
        None => None,
    };
    let place = match &module.go {
        Fact::Known(Sourced { from: Provenance::Span(span), .. }) => Some(span.clone()),
        _ => None,
    };
    Ok(Need { at_least: line.max(toolchain::OLDEST), named, place })
}

/// Splits a target into what the go command calls GOOS and GOARCH.
fn platform(target: &str) -> Result<(&str, &str), BuildError> {
    match target.split_once('/') {
        Some((os @ "linux", arch @ ("amd64" | "arm64" | "arm" | "386"))) => Ok((os, arch)),
        _ => {
            let (zh, en) = (format!("不支持目标 {target}"), format!("{target} is no known target"));
            Err(BuildError::Declared { key: "build.targets", why: Said::new(zh, en) })
        }
    }
}

fn program_file(program: &Path, app: &str) -> Result<ReleaseFile, BuildError> {
    use std::os::unix::fs::PermissionsExt;
    let failed = |error| failed(program, error);
    fs::set_permissions(program, fs::Permissions::from_mode(0o755)).map_err(failed)?;
    let size_bytes = fs::metadata(program).map_err(failed)?.len();
    let sha256 = hash::of_file(program).map_err(failed)?;
    Ok(ReleaseFile { path: format!("bin/{app}"), size_bytes, mode: 0o755, sha256 })
}

fn manifest(declared: &Declared, target: &str, go: String, files: Vec<ReleaseFile>) -> Manifest {
    Manifest {
        schema: MANIFEST_SCHEMA,
        service: declared.service.clone(),
        target: target.to_owned(),
        program: declared.service.app().to_owned(),
        artifact: digests::artifact(target, &files),
        config: digests::config(declared, &files),
        go,
        revision: None,
        files,
    }
}

/// The folder in which a release is put together; removed unless it is kept.
struct Scratch {
    folder: PathBuf,
}

impl Scratch {
    fn new(work: &Path) -> Result<Self, BuildError> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        sweep(work);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = work.join(format!(".build-{}-{number}", std::process::id()));
        remove(&folder)?;
        fs::create_dir_all(folder.join("bin")).map_err(|error| failed(&folder, error))?;
        Ok(Self { folder })
    }

    /// Writes the manifest and gives the folder the release's name.
    fn keep(self, work: &Path, manifest: &Manifest) -> Result<(PathBuf, Digest), BuildError> {
        let text = manifest.canonical();
        let path = self.folder.join("manifest.json");
        files::write_synced(&path, text.as_bytes(), 0o644).map_err(|error| failed(&path, error))?;
        let release = hash::of_bytes(text.as_bytes());
        let folder = work.join(release.as_str());
        remove(&folder)?;
        fs::rename(&self.folder, &folder).map_err(|error| failed(&folder, error))?;
        Ok((folder, release))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // After `keep` it is no longer there; what a kill leaves is removed by the next build.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Removes the folders of builds whose process was killed.
fn sweep(work: &Path) {
    for name in files::folder_names(work).unwrap_or_default() {
        let pid = name.strip_prefix(".build-").and_then(|rest| rest.split_once('-'));
        let Some(pid) = pid.and_then(|(pid, _)| pid.parse().ok()) else { continue };
        if crate::process::started(pid).is_none() {
            // What cannot be removed takes room and no more.
            let _ = files::remove_tree(&work.join(name));
        }
    }
}

fn remove(folder: &Path) -> Result<(), BuildError> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(folder, error)),
        _ => Ok(()),
    }
}

fn failed(path: &Path, source: io::Error) -> BuildError {
    BuildError::File { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::Scratch;

    #[test]
    fn what_a_killed_build_leaves_goes_with_the_next_one_and_a_running_builds_stays() {
        let dir = tempfile::tempdir().expect("a folder");
        // Process numbers end far below this one.
        let killed = dir.path().join(".build-999999999-0/bin");
        let running = dir.path().join(format!(".build-{}-999", std::process::id()));
        fs::create_dir_all(&killed).expect("made");
        fs::create_dir_all(&running).expect("made");
        let scratch = Scratch::new(dir.path()).expect("made");
        assert!(!killed.exists() && running.exists() && scratch.folder.exists());
    }
}
