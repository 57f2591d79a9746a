//! Runs the go command: the flags, the environment, and what its errors mean.
//!
//! `-buildvcs=false`: with it on, the commit and its time would be in the program, and equal
//! sources would give other digests in another commit, or in a copy without `.git`. The commit is
//! recorded beside the release instead. `-trimpath` and an empty build id keep the folder's name
//! and the cache's state out of the program.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use guanka_core::facts::Span;
use guanka_core::quantity::Millis;
use guanka_core::say::Said;

use super::error::BuildError;
use super::surroundings::Surroundings;
use super::verify::Cgo;
use crate::process::{self, Output};

/// A first build compiles the standard library (2 minutes on a starved core) and fetches modules.
const BUILD_LIMIT: Millis = Millis(600_000);

/// Listing packages reads sources only, but may have to fetch modules.
const LIST_LIMIT: Millis = Millis(120_000);

/// Asking for settings or for a commit.
const ASK_LIMIT: Millis = Millis(20_000);

/// What the go command keeps in its own file (`go env -w`) and a build needs. The file as a whole
/// is not read: a GOFLAGS or a CGO_ENABLED in it would change what is built.
const SETTINGS: &[&str] = &[
    "GOPROXY",
    "GOPRIVATE",
    "GONOPROXY",
    "GONOSUMDB",
    "GOSUMDB",
    "GOINSECURE",
    "GOVCS",
    "GOPATH",
    "GOCACHE",
    "GOMODCACHE",
];

/// One module, one toolchain, one target.
#[derive(Debug)]
pub(super) struct Compiler<'a> {
    /// The module's folder.
    source: &'a Path,
    /// The chosen `go`.
    go: PathBuf,
    /// What the process was started with.
    surroundings: &'a Surroundings,
    /// The operating system and the architecture, `linux` and `amd64`.
    target: (&'a str, &'a str),
    /// Whether C code may be in it.
    cgo: Cgo,
    /// The go command's own settings, of `SETTINGS`.
    settings: BTreeMap<String, String>,
}

impl<'a> Compiler<'a> {
    /// Asks the toolchain for the user's settings; `spare` is where it caches when the user has no
    /// home folder.
    pub(super) fn prepare(
        source: &'a Path,
        go: PathBuf,
        surroundings: &'a Surroundings,
        target: (&'a str, &'a str),
        cgo: Cgo,
        spare: &Path,
    ) -> Result<Self, BuildError> {
        let mut compiler =
            Self { source, go, surroundings, target, cgo, settings: BTreeMap::new() };
        compiler.settings = compiler.ask_settings(spare)?;
        Ok(compiler)
    }

    /// Compiles the main package into a file; returns what was run and said.
    pub(super) fn build(
        &self,
        package: &str,
        flags: &[String],
        out: &Path,
    ) -> Result<String, BuildError> {
        let mut command = self.command();
        command.args(arguments(self.cgo, package, flags, out)?);
        let output = self.run(&mut command, BUILD_LIMIT)?;
        if output.is_success() {
            return Ok(format!("{}\n{}{}", output.argv.join(" "), output.stdout, output.stderr));
        }
        Err(self.explain(&output, &self.c_packages(package, flags).unwrap_or_default()))
    }

    /// Returns the packages outside the standard library that hold C code, and whether each is in
    /// the main module. Without cgo such a package is either left out, which breaks the build, or
    /// replaced by its own stand-in, which may fail only when it is used.
    pub(super) fn c_packages(
        &self,
        package: &str,
        flags: &[String],
    ) -> Result<Vec<CPackage>, BuildError> {
        let mut command = self.command();
        let form = "{{if and .CgoFiles (not .Standard)}}{{.ImportPath}} \
                    {{if .Module}}{{.Module.Main}}{{end}}{{end}}";
        command.env("CGO_ENABLED", "1").args(["list", "-e", "-deps", "-f", form]);
        command.args(flags.iter().filter(|flag| flag.starts_with("-tags=")));
        command.arg(argument_of(package)?);
        let output = self.run(&mut command, LIST_LIMIT)?;
        let packages = output.stdout.lines().filter_map(|line| {
            let (path, is_main) = line.split_once(' ')?;
            Some(CPackage { path: path.to_owned(), is_own: is_main == "true" })
        });
        Ok(packages.collect())
    }

    /// Returns the commit, when the source is a clean work tree.
    pub(super) fn revision(&self) -> Option<String> {
        let git = self.surroundings.folder_of("git")?.join("git");
        let ask = |arguments: &[&str]| {
            let mut command = self.surroundings.command(&git);
            command.args(arguments).current_dir(self.source);
            let output = process::run(&mut command, ASK_LIMIT).ok()?;
            output.is_success().then_some(output.stdout)
        };
        let is_clean = ask(&["status", "--porcelain", "--", "."])?.is_empty();
        let head = ask(&["rev-parse", "--verify", "HEAD"])?.trim().to_owned();
        let is_commit = head.len() >= 40 && head.bytes().all(|b| b.is_ascii_hexdigit());
        (is_clean && is_commit).then_some(head)
    }

    /// Asks for the settings that the user may have written with `go env -w`.
    fn ask_settings(&self, spare: &Path) -> Result<BTreeMap<String, String>, BuildError> {
        let mut command = self.surroundings.command(&self.go);
        command.arg("env").arg("-json").args(SETTINGS).current_dir(self.source);
        let output = self.run(&mut command, ASK_LIMIT)?;
        let mut settings: BTreeMap<String, String> =
            serde_json::from_str(&output.stdout).unwrap_or_default();
        settings.retain(|_, value| !value.is_empty());
        // Without a home folder, as under cron or in a unit, the go command has no place to cache
        // and calls its cache "off".
        if settings.get("GOCACHE").is_some_and(|folder| folder == "off") {
            settings.remove("GOCACHE");
        }
        for (key, folder) in [("GOCACHE", "cache"), ("GOPATH", "path"), ("GOMODCACHE", "modules")] {
            let spare = spare.join(folder).to_string_lossy().into_owned();
            settings.entry(key.to_owned()).or_insert(spare);
        }
        Ok(settings)
    }

    fn command(&self) -> Command {
        let (os, arch) = self.target;
        let mut command = self.surroundings.command(&self.go);
        command
            .current_dir(self.source)
            .envs(&self.settings)
            .env("GOENV", "off")
            // A go.work in a folder above would make the result depend on where the source lies.
            .env("GOWORK", "off")
            .env("GOOS", os)
            .env("GOARCH", arch)
            .env("CGO_ENABLED", if self.cgo == Cgo::Allowed { "1" } else { "0" })
            // The oldest processor of each kind: a release must start on every host of its target.
            .env("GOAMD64", "v1")
            .env("PATH", self.path());
        command
    }

    /// Returns the PATH of the go command: its own folder, git's for private modules, and the C
    /// compiler's where C code is allowed.
    fn path(&self) -> std::ffi::OsString {
        let mut folders: Vec<&Path> = self.go.parent().into_iter().collect();
        let tools: &[&str] =
            if self.cgo == Cgo::Allowed { &["git", "gcc", "cc"] } else { &["git"] };
        folders.extend(tools.iter().filter_map(|tool| self.surroundings.folder_of(tool)));
        std::env::join_paths(folders).unwrap_or_default()
    }

    fn run(&self, command: &mut Command, limit: Millis) -> Result<Output, BuildError> {
        let output = process::run(command, limit)
            .map_err(|source| BuildError::File { path: self.go.clone(), source })?;
        match output.status {
            Some(_) => Ok(output),
            None => Err(BuildError::Late { argv: output.argv, limit }),
        }
    }

    /// Says why the go command failed.
    fn explain(&self, output: &Output, c_packages: &[CPackage]) -> BuildError {
        let all = format!("{}{}", output.stdout, output.stderr);
        let has_own = c_packages.iter().any(|package| package.is_own);
        let is_left_out = all.contains("build constraints exclude all Go files")
            || has_own && all.contains(": undefined: ");
        if self.cgo == Cgo::Forbidden && is_left_out && !c_packages.is_empty() {
            let packages = c_packages.iter().map(|package| package.path.clone()).collect();
            return BuildError::NeedsCgo { packages, all };
        }
        if is_about_fetching(&all) {
            return BuildError::Download { all };
        }
        match all.lines().find_map(|line| place(self.source, line)) {
            Some((span, message)) => BuildError::Compile { span, message, all },
            None => BuildError::Failed { argv: output.argv.clone(), all },
        }
    }
}

/// A package that holds C code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CPackage {
    /// Its import path.
    pub(super) path: String,
    /// Whether it belongs to the module that is built.
    pub(super) is_own: bool,
}

/// Returns the arguments of `go`, or which flag of guanka.toml is not on the list.
fn arguments(
    cgo: Cgo,
    package: &str,
    flags: &[String],
    out: &Path,
) -> Result<Vec<String>, BuildError> {
    let mut tags: Vec<&str> = Vec::new();
    let mut vcs = "-buildvcs=false";
    for flag in flags {
        match flag.as_str() {
            "-trimpath" => {}
            "-buildvcs=true" | "-buildvcs=auto" | "-buildvcs=false" => vcs = flag,
            _ => match flag.strip_prefix("-tags=") {
                Some(list) => tags.extend(list.split(',')),
                None => {
                    let why = Said::new(
                        format!("不允许的编译参数 {flag}"),
                        format!("the flag {flag} is not on the list"),
                    );
                    return Err(BuildError::Declared { key: "build.flags", why });
                }
            },
        }
    }
    let mut link = "-s -w -buildid=".to_owned();
    if cgo == Cgo::Allowed {
        // Go's own resolver and user database: glibc's cannot be linked statically.
        tags.extend(["netgo", "osusergo"]);
        link.push_str(" -linkmode external -extldflags -static");
    }
    let mut arguments: Vec<String> = ["build", "-trimpath", vcs, "-ldflags", &link]
        .iter()
        .map(|argument| (*argument).to_owned())
        .collect();
    if !tags.is_empty() {
        arguments.push(format!("-tags={}", tags.join(",")));
    }
    arguments.push("-o".to_owned());
    arguments.push(out.to_string_lossy().into_owned());
    arguments.push(argument_of(package)?);
    Ok(arguments)
}

/// Returns the main package as an argument that cannot be read as a flag or as another module's.
fn argument_of(package: &str) -> Result<String, BuildError> {
    let path = package.strip_prefix("./").unwrap_or(package);
    if path == "." || path.is_empty() {
        return Ok(".".to_owned());
    }
    if path.starts_with('/') || path.split('/').any(|part| part == "..") {
        let why = Said::new(
            format!("{package} 不在模块之内"),
            format!("{package} does not lie in the module"),
        );
        return Err(BuildError::Declared { key: "app.program", why });
    }
    Ok(format!("./{path}"))
}

fn is_about_fetching(all: &str) -> bool {
    let signs = ["dial tcp", "i/o timeout", "reading https://", "unrecognized import path"];
    signs.iter().any(|sign| all.contains(sign))
}

/// Reads `./orders.go:12:7: undefined: x` into a place and a message.
fn place(source: &Path, line: &str) -> Option<(Span, String)> {
    let (file, rest) = line.split_once(".go:")?;
    let file = format!("{}.go", file.strip_prefix("./").unwrap_or(file));
    let (row, rest) = rest.split_once(':')?;
    let row: u32 = row.parse().ok()?;
    let (column, message) = match rest.split_once(':') {
        Some((column, message)) if column.parse::<u32>().is_ok() => {
            (column.parse().unwrap_or(1), message)
        }
        _ => (1, rest),
    };
    let text = fs::read_to_string(source.join(&file)).unwrap_or_default();
    let excerpt = text.lines().nth(row.saturating_sub(1) as usize).unwrap_or_default();
    let span =
        Span { file, line: row, column, length: 1, excerpt: excerpt.chars().take(400).collect() };
    Some((span, message.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Cgo, argument_of, arguments, place};

    #[test]
    fn the_first_place_is_read_from_the_compilers_words() {
        let read = |line: &str| {
            let (span, message) = place(Path::new("/nowhere"), line)?;
            Some(format!("{}|{}|{}|{message}", span.file, span.line, span.column))
        };
        assert_eq!(
            read("./orders.go:12:7: undefined: x").as_deref(),
            Some("orders.go|12|7|undefined: x")
        );
        assert_eq!(
            read("cmd/api/main.go:3: cannot find: y").as_deref(),
            Some("cmd/api/main.go|3|1|cannot find: y")
        );
        for line in ["# example.com/shop", "", "go: x", "main.go:x: y", "main.go:1"] {
            assert_eq!(read(line), None, "{line}");
        }
    }

    #[test]
    fn only_listed_flags_reach_the_go_command() {
        let flags = |list: &[&str]| {
            let owned: Vec<String> = list.iter().map(|flag| (*flag).to_owned()).collect();
            arguments(Cgo::Forbidden, "./cmd/api", &owned, Path::new("/out/api"))
        };
        assert_eq!(
            flags(&["-tags=a,b", "-trimpath", "-tags=c"]).expect("allowed"),
            [
                "build",
                "-trimpath",
                "-buildvcs=false",
                "-ldflags",
                "-s -w -buildid=",
                "-tags=a,b,c",
                "-o",
                "/out/api",
                "./cmd/api"
            ]
        );
        for bad in ["-toolexec=/tmp/x", "-overlay=x", "-ldflags=-X a=b", "-o", "x"] {
            assert!(flags(&[bad]).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_main_package_is_never_read_as_a_flag() {
        assert_eq!(argument_of("-toolexec=x").ok().as_deref(), Some("./-toolexec=x"));
        assert_eq!(argument_of("cmd/api").ok().as_deref(), Some("./cmd/api"));
        assert_eq!(argument_of("./").ok().as_deref(), Some("."));
        assert!(argument_of("../other").is_err() && argument_of("/etc").is_err());
    }
}
