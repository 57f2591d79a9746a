//! Finds every Go toolchain on the machine, asks each for its version and chooses one on purpose:
//! what `go` on PATH happens to be (a panel's, a distribution's, a wrapper script) decides nothing.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use guanka_core::facts::Span;
use guanka_core::quantity::Millis;

use super::error::BuildError;
use super::surroundings::Surroundings;
use super::version::{GoVersion, Precision};
use crate::process;

/// One `go version`; a cold disk takes a second, a script that waits for input never answers.
const ANSWER_LIMIT: Millis = Millis(10_000);

/// The most places asked; a module cache with more toolchains than this is not looked through.
const CANDIDATES_MAX: usize = 64;

/// Go before 1.18 leaves no build information that could be verified and knows no `-buildvcs`.
pub(super) const OLDEST: GoVersion = GoVersion::language(1, 18);

/// A `go` and what it answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The file, links resolved.
    pub path: PathBuf,
    /// Whether it is a program, not a script.
    pub is_elf: bool,
    /// Its version, or what it said instead.
    pub answer: Result<GoVersion, String>,
}

/// Which toolchain a module needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Need {
    /// The least that go.mod asks for.
    pub at_least: GoVersion,
    /// What guanka.toml asks for by name: a release (`1.22.5`) or any release of `1.22`.
    pub named: Option<GoVersion>,
    /// Where go.mod asks for it.
    pub place: Option<Span>,
}

impl Need {
    fn is_met_by(&self, version: GoVersion) -> bool {
        let named = self.named.is_none_or(|named| match named.precision() {
            Precision::Minor => version.is_same_minor(named),
            Precision::Patch => version == named,
        });
        named && version >= self.at_least
    }
}

/// Returns every `go` on the machine, each file once, in the order in which they are looked for.
pub fn find(surroundings: &Surroundings) -> Vec<Found> {
    let mut seen = BTreeSet::new();
    candidates(surroundings)
        .into_iter()
        .filter_map(|path| fs::canonicalize(path).ok())
        .filter(|path| path.is_file() && seen.insert(path.clone()))
        .take(CANDIDATES_MAX)
        .map(|path| ask(surroundings, path))
        .collect()
}

/// Chooses the newest toolchain that meets the need; a release before any candidate.
pub fn choose(found: Vec<Found>, need: &Need) -> Result<(PathBuf, GoVersion), BuildError> {
    let mut best: Option<(PathBuf, GoVersion)> = None;
    let rank = |version: GoVersion| (version.is_release(), version);
    for go in &found {
        let Ok(version) = go.answer else { continue };
        let is_better = best.as_ref().is_none_or(|(_, b)| rank(version) > rank(*b));
        if need.is_met_by(version) && is_better {
            best = Some((go.path.clone(), version));
        }
    }
    best.ok_or_else(|| BuildError::NoToolchain { need: need.clone(), found })
}

fn candidates(surroundings: &Surroundings) -> Vec<PathBuf> {
    let mut places: Vec<PathBuf> = surroundings.path.clone();
    places.push("/usr/local/go/bin".into());
    // Where the panel's Go manager points its link, and where it keeps what it downloaded.
    places.push("/usr/local/btgo/bin".into());
    places.extend(children("/usr/local/btgojdk".as_ref(), "", "bin"));
    places.extend(children("/usr/lib".as_ref(), "go-", "bin"));
    places.extend(surroundings.goroot.as_ref().map(|root| root.join("bin")));
    if let Some(home) = &surroundings.home {
        places.extend(children(&home.join("sdk"), "", "bin"));
        let modules = surroundings.kept.get("GOMODCACHE").map(PathBuf::from);
        let modules = modules.unwrap_or_else(|| home.join("go/pkg/mod"));
        places.extend(children(&modules.join("golang.org"), "toolchain@", "bin"));
    }
    places.into_iter().map(|folder| folder.join("go")).collect()
}

/// Returns `<folder>/<prefix…>/<inner>` for each folder of that prefix, in a fixed order.
fn children(folder: &Path, prefix: &str, inner: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = entries
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix))
        .map(|entry| entry.path().join(inner))
        .collect();
    found.sort();
    found
}

fn ask(surroundings: &Surroundings, path: PathBuf) -> Found {
    let mut command = surroundings.command(&path);
    // Outside any module, and with the PATH that wrapper scripts need to find their own tools.
    command.arg("version").current_dir("/").env("GOENV", "off");
    command.env("PATH", std::env::join_paths(&surroundings.path).unwrap_or_default());
    let answer = match process::run(&mut command, ANSWER_LIMIT) {
        Err(error) => Err(error.to_string()),
        Ok(output) => match GoVersion::of_answer(&output.stdout) {
            Some(version) if output.is_success() => Ok(version),
            _ => Err(first_words(&output)),
        },
    };
    Found { is_elf: is_elf(&path), path, answer }
}

/// Returns what a program said that did not answer like a toolchain, short enough for one line.
fn first_words(output: &process::Output) -> String {
    let said = [&output.stdout, &output.stderr];
    let line = said.iter().flat_map(|text| text.lines()).find(|line| !line.trim().is_empty());
    match (line, output.status) {
        (Some(line), _) => line.chars().take(80).collect(),
        (None, Some(status)) => status.to_string(),
        (None, None) => format!("no answer in {ANSWER_LIMIT}"),
    }
}

fn is_elf(path: &Path) -> bool {
    let mut magic = [0; 4];
    File::open(path).and_then(|mut file| file.read_exact(&mut magic)).is_ok()
        && magic == *b"\x7fELF"
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::{Found, GoVersion, Need, Surroundings, choose, find};
    use crate::build::error::BuildError;

    fn go(path: &str, version: &str) -> Found {
        let answer = GoVersion::of_toolchain(version).ok_or_else(|| version.to_owned());
        Found { path: path.into(), is_elf: true, answer }
    }

    fn need(at_least: &str, named: Option<&str>) -> Need {
        Need {
            at_least: GoVersion::parse(at_least).expect("a version"),
            named: named.map(|text| GoVersion::parse(text).expect("a version")),
            place: None,
        }
    }

    #[test]
    fn the_newest_release_that_meets_the_need_is_chosen() {
        let found = || {
            vec![
                go("/a", "go1.19.8"),
                go("/b", "go1.22.5"),
                go("/c", "go1.24.1"),
                go("/d", "go1.25rc2"),
                go("/script", "usage: go"),
            ]
        };
        let chosen = |at_least, named| {
            let (path, _) = choose(found(), &need(at_least, named)).ok()?;
            Some(path.to_string_lossy().into_owned())
        };
        assert_eq!(chosen("1.22", None).as_deref(), Some("/c"));
        assert_eq!(chosen("1.25", None).as_deref(), Some("/d"), "a candidate when nothing else");
        assert_eq!(chosen("1.22", Some("1.22")).as_deref(), Some("/b"));
        assert_eq!(chosen("1.22", Some("1.22.5")).as_deref(), Some("/b"));
        assert_eq!(chosen("1.22", Some("1.22.6")), None);
        assert_eq!(chosen("1.24", Some("1.22.5")), None, "go.mod asks for more than was named");
        assert_eq!(chosen("1.25.0", None), None);
    }

    #[test]
    fn the_error_names_what_was_found() {
        let error = choose(vec![go("/a/go", "go1.19.8"), go("/b/go", "bad")], &need("1.99", None))
            .expect_err("nothing is new enough");
        assert!(matches!(error, BuildError::NoToolchain { .. }));
        let text = error.to_string();
        assert!(text.contains("1.99") && text.contains("/a/go (1.19.8)"), "{text}");
        assert!(text.contains("/b/go (bad)"), "{text}");
    }

    #[test]
    fn a_script_counts_only_when_it_answers_like_a_toolchain() {
        let dir = tempfile::tempdir().expect("a folder");
        let script = |name: &str, text: &str| {
            let folder = dir.path().join(name);
            fs::create_dir(&folder).expect("a folder");
            let file = folder.join("go");
            fs::write(&file, text).expect("a script");
            fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).expect("runnable");
            folder
        };
        let surroundings = Surroundings {
            path: vec![
                script("wrapper", "#!/bin/sh\necho go version go1.23.4 linux/amd64\n"),
                script("stray", "#!/bin/sh\necho go where\n"),
                script("not-a-program", "\0\0\0\0"),
                dir.path().join("missing"),
            ],
            ..Surroundings::default()
        };
        let found: Vec<Found> = find(&surroundings)
            .into_iter()
            .filter(|go| go.path.starts_with(fs::canonicalize(dir.path()).expect("there")))
            .collect();
        let answers: Vec<_> = found.iter().map(|go| go.answer.as_ref().ok()).collect();
        assert_eq!(answers, [GoVersion::parse("1.23.4").as_ref(), None, None]);
        assert!(found.iter().all(|go| !go.is_elf));
    }
}
