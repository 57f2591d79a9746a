//! The Supervisor that PyPI has, in an environment of its own: the tests of the manager beside the
//! code run against it as they run against Debian's.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::process;
use crate::setup;

/// Which one.
const PACKAGE: &str = "supervisor==4.3.0";
/// Fetching it over a slow line; building the tests.
const LIMIT: Duration = Duration::from_secs(900);

/// Makes the environment where it is not there yet, and runs the tests with it in front.
pub(crate) fn run(repository: &Path) -> Result<()> {
    let tools = setup::ensure()?;
    let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    let folder = repository.join(target).join("lab");
    std::fs::create_dir_all(&folder).context("make the lab's folder")?;
    let venv = folder.join("supervisor");
    let log = folder.join("supervisor.log");
    let daemon = venv.join("bin/supervisord");
    if !daemon.is_file() {
        let mut make = process::clean(Path::new("python3"));
        process::run(make.args(["-m", "venv"]).arg(&venv), &log, LIMIT)?;
        let mut fetch = process::clean(&venv.join("bin/pip"));
        setup::inherit_proxies(&mut fetch);
        // It still asks for pkg_resources, which newer Pythons do not bring.
        let words = ["install", "--quiet", "--disable-pip-version-check", PACKAGE, "setuptools<81"];
        process::run(fetch.args(words), &log, LIMIT)?;
    }
    let version = process::run(process::clean(&daemon).arg("--version"), &log, LIMIT)?;
    ensure!(PACKAGE.ends_with(version.trim()), "Supervisor {version}");
    let system = process::SYSTEM_PATH.split(':').map(PathBuf::from);
    let go = tools.go.parent().map(PathBuf::from);
    let own =
        std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).collect::<Vec<_>>();
    let search = std::iter::once(venv.join("bin")).chain(own).chain(go).chain(system);
    let mut tests = std::process::Command::new(env!("CARGO"));
    tests.current_dir(repository).env("PATH", std::env::join_paths(search)?);
    tests.args(["test", "-q", "-p", "guanka-world", "--test", "host_real", "supervisor"]);
    let said = process::run(&mut tests, &log, LIMIT)?;
    let passed = said.lines().find(|line| line.starts_with("test result: ok. "));
    let passed = passed.with_context(|| format!("no test passed: {said}"))?;
    ensure!(!passed.contains("ok. 0 passed"), "no test ran");
    println!("lab pypi: Supervisor {}: {passed}", version.trim());
    Ok(())
}
