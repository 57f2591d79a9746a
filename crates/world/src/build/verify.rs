//! Reads a built program itself, without `file` or `ldd`, and refuses what would not start on a
//! plain host: another machine's code, a program that needs a loader or libraries, one that is not
//! from Go or from an older Go than its module asks for.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use guanka_core::facts::binary::{BuildInfo, Elf, machine_arch};
use guanka_core::say::Said;
use guanka_parse::{buildinfo, elf};

use super::error::BuildError;
use super::version::GoVersion;

/// The largest program that is read: ten times the largest Go servers in common use.
const PROGRAM_MAX: u64 = 1 << 30;

/// What a program must be.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// The target, `linux/amd64`.
    pub target: &'a str,
    /// Whether C code may be in it.
    pub cgo: Cgo,
    /// The oldest Go that may have built it.
    pub oldest_go: GoVersion,
}

/// Whether a program may hold C code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cgo {
    /// Go alone.
    Forbidden,
    /// C code too, linked statically.
    Allowed,
}

/// Why a program is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It is no ELF program.
    NotAProgram,
    /// It is larger than guanka reads.
    TooLarge,
    /// It is for another machine.
    Machine {
        /// What it is for: a GOARCH name or `e_machine` as a number, and the bits.
        found: String,
        /// What the target is.
        wanted: String,
    },
    /// It needs a loader to start.
    Interpreter(String),
    /// It needs libraries.
    Libraries(Vec<String>),
    /// It has no Go build information.
    NotFromGo,
    /// It was built with cgo, which is not allowed.
    Cgo,
    /// It was built by an older Go than the module asks for, or by one that cannot be told.
    OlderGo {
        /// What built it.
        found: String,
        /// What the module asks for.
        needed: String,
    },
    /// Its build information names another target.
    OtherTarget {
        /// The target in the build information.
        found: String,
        /// The target that was asked for.
        wanted: String,
    },
}

/// Reads a program and checks it against what it must be.
pub fn program(path: &Path, expected: &Expected<'_>) -> Result<BuildInfo, BuildError> {
    let refused = |refusal| BuildError::Refused { program: path.to_owned(), refusal };
    let bytes = read_bounded(path)
        .map_err(|source| BuildError::File { path: path.to_owned(), source })?
        .ok_or_else(|| refused(Refusal::TooLarge))?;
    check(&path.to_string_lossy(), &bytes, expected).map_err(refused)
}

/// Checks a program's bytes against what it must be.
pub fn check(file: &str, bytes: &[u8], expected: &Expected<'_>) -> Result<BuildInfo, Refusal> {
    let header = elf::read(file, bytes);
    let header = header.known().ok_or(Refusal::NotAProgram)?;
    check_header(header, expected)?;
    let info = buildinfo::read(file, bytes);
    let info = info.known().ok_or(Refusal::NotFromGo)?;
    check_info(info, expected)?;
    Ok(info.clone())
}

fn check_header(header: &Elf, expected: &Expected<'_>) -> Result<(), Refusal> {
    if !header.is_executable {
        return Err(Refusal::NotAProgram);
    }
    let arch = expected.target.rsplit('/').next().unwrap_or_default();
    let bits = if matches!(arch, "amd64" | "arm64") { 64 } else { 32 };
    if machine_arch(header.machine) != Some(arch) || header.bits != bits {
        let name = machine_arch(header.machine)
            .map_or_else(|| format!("machine {}", header.machine), str::to_owned);
        return Err(Refusal::Machine {
            found: format!("{name}, {} bit", header.bits),
            wanted: expected.target.to_owned(),
        });
    }
    if let Some(loader) = &header.interpreter {
        return Err(Refusal::Interpreter(loader.clone()));
    }
    if !header.needed.is_empty() {
        return Err(Refusal::Libraries(header.needed.clone()));
    }
    Ok(())
}

fn check_info(info: &BuildInfo, expected: &Expected<'_>) -> Result<(), Refusal> {
    let setting = |key: &str| info.settings.get(key).map(String::as_str);
    // An absent line is no promise: only an explicit 0 says that no C code was compiled in.
    if expected.cgo == Cgo::Forbidden && setting("CGO_ENABLED") != Some("0") {
        return Err(Refusal::Cgo);
    }
    if let (Some(os), Some(arch)) = (setting("GOOS"), setting("GOARCH")) {
        let found = format!("{os}/{arch}");
        if found != expected.target {
            return Err(Refusal::OtherTarget { found, wanted: expected.target.to_owned() });
        }
    }
    // Experiments follow the version after a blank, and are no part of it.
    let name = info.go.split(' ').next().unwrap_or_default();
    match GoVersion::of_toolchain(name) {
        Some(version) if version >= expected.oldest_go => Ok(()),
        _ => {
            Err(Refusal::OlderGo { found: info.go.clone(), needed: expected.oldest_go.to_string() })
        }
    }
}

impl Refusal {
    /// Says what is wrong with the program.
    pub fn why(&self) -> Said {
        match self {
            Self::NotAProgram => {
                Said::new("它不是可执行的 ELF 程序", "it is no executable ELF program")
            }
            Self::TooLarge => Said::new("它超过 1 GiB", "it is larger than 1 GiB"),
            Self::Machine { found, wanted } => Said::new(
                format!("它是给 {found} 的,目标却是 {wanted};启动时会报 exec format error"),
                format!(
                    "it is for {found} and the target is {wanted}; to start it would give \
                     \"exec format error\""
                ),
            ),
            Self::Interpreter(loader) => Said::new(
                format!("它不是静态的,启动需要装载器 {loader}"),
                format!("it is not static: it needs the loader {loader} to start"),
            ),
            Self::Libraries(names) => Said::new(
                format!("它不是静态的,需要动态库 {}", names.join("、")),
                format!("it is not static: it needs the libraries {}", names.join(", ")),
            ),
            Self::NotFromGo => {
                Said::new("其中没有 Go 的编译信息", "it holds no Go build information")
            }
            Self::Cgo => Said::new(
                "它以 cgo 编译,而 [build] cgo 不允许",
                "it was built with cgo, which [build] cgo does not allow",
            ),
            Self::OlderGo { found, needed } => Said::new(
                format!("它由 {found} 编译,早于所需的 Go {needed}"),
                format!("it was built by {found}, older than the Go {needed} that is needed"),
            ),
            Self::OtherTarget { found, wanted } => Said::new(
                format!("它的编译信息写的是 {found},目标却是 {wanted}"),
                format!("its build information says {found} and the target is {wanted}"),
            ),
        }
    }

    /// Says what to do next.
    pub fn next(&self) -> Said {
        match self {
            Self::Interpreter(_) | Self::Libraries(_) => Said::new(
                "去掉需要动态库的 C 依赖,或改用它的静态库",
                "drop the C dependency that needs libraries, or link its static library",
            ),
            Self::Cgo => Said::new(
                "以 CGO_ENABLED=0 重新编译,或写 [build] cgo = true",
                "build it with CGO_ENABLED=0, or set [build] cgo = true",
            ),
            Self::Machine { wanted, .. } | Self::OtherTarget { wanted, .. } => {
                Said::new(format!("为 {wanted} 重新编译"), format!("build it for {wanted}"))
            }
            Self::NotAProgram | Self::TooLarge | Self::NotFromGo | Self::OlderGo { .. } => {
                Said::new("让 guanka 从源码重新编译", "let guanka build it from its source")
            }
        }
    }
}

fn read_bounded(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(PROGRAM_MAX + 1).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= PROGRAM_MAX).then_some(bytes))
}

#[cfg(test)]
mod tests {
    use guanka_core::facts::binary::{BuildInfo, Elf};

    use super::{Cgo, Expected, GoVersion, Refusal, check, check_header, check_info};

    fn expected(target: &str) -> Expected<'_> {
        let oldest_go = GoVersion::parse("1.22").expect("a version");
        Expected { target, cgo: Cgo::Forbidden, oldest_go }
    }

    fn header() -> Elf {
        Elf {
            machine: 62,
            bits: 64,
            interpreter: None,
            needed: Vec::new(),
            glibc: None,
            is_executable: true,
        }
    }

    fn info(go: &str, cgo: &str) -> BuildInfo {
        let settings = [("CGO_ENABLED", cgo), ("GOOS", "linux"), ("GOARCH", "amd64")];
        BuildInfo {
            go: go.to_owned(),
            path: "example.com/shop".to_owned(),
            module: None,
            deps: Vec::new(),
            settings: settings.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
        }
    }

    #[test]
    fn a_program_for_another_machine_or_with_a_loader_is_refused() {
        assert_eq!(check_header(&header(), &expected("linux/amd64")), Ok(()));
        let other = check_header(&header(), &expected("linux/arm64"));
        assert!(matches!(other, Err(Refusal::Machine { .. })), "{other:?}");
        // Static PIE: no library, and still a loader.
        let pie = Elf { interpreter: Some("/lib64/ld.so".to_owned()), ..header() };
        let refused = check_header(&pie, &expected("linux/amd64"));
        assert_eq!(refused, Err(Refusal::Interpreter("/lib64/ld.so".to_owned())));
        let dynamic = Elf { needed: vec!["libc.so.6".to_owned()], ..header() };
        let refused = check_header(&dynamic, &expected("linux/amd64"));
        assert_eq!(refused, Err(Refusal::Libraries(vec!["libc.so.6".to_owned()])));
        // x32: the same machine number in 32 bits.
        let narrow = Elf { bits: 32, ..header() };
        assert!(check_header(&narrow, &expected("linux/amd64")).is_err());
    }

    #[test]
    fn cgo_and_an_older_go_are_refused() {
        let expected = expected("linux/amd64");
        assert_eq!(check_info(&info("go1.26.8", "0"), &expected), Ok(()));
        assert_eq!(check_info(&info("go1.22.0 X:rangefunc", "0"), &expected), Ok(()));
        assert_eq!(check_info(&info("go1.26.8", "1"), &expected), Err(Refusal::Cgo));
        let allowed = Expected { cgo: Cgo::Allowed, ..expected };
        assert_eq!(check_info(&info("go1.26.8", "1"), &allowed), Ok(()));
        for old in ["go1.21.13", "go1.9", "devel +abc", ""] {
            let refused = check_info(&info(old, "0"), &expected);
            assert!(matches!(refused, Err(Refusal::OlderGo { .. })), "{old}");
        }
    }

    #[test]
    fn what_is_no_program_is_refused() {
        let refused = check("x", b"#!/bin/sh\n", &expected("linux/amd64")).map(|i| i.go);
        assert_eq!(refused, Err(Refusal::NotAProgram));
    }
}
