//! The guanka that the demonstration runs: built from this source, called as a user calls it.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::words::Lang;
use crate::process;
use crate::setup::Tools;

/// What one short command may take on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);

/// guanka's program and how it is called.
pub(crate) struct Program {
    /// Where it lies.
    pub(crate) path: PathBuf,
    lang: Lang,
    search: OsString,
    log: PathBuf,
}

/// How a command ended.
pub(crate) struct Answer {
    /// Its exit code; -1 when a signal ended it.
    pub(crate) exit: i32,
    /// What it said, on both streams.
    pub(crate) said: String,
}

/// Builds guanka; cargo shows its own progress. Returns where the program lies.
pub(crate) fn build(repository: &Path) -> Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "--release", "--locked", "-p", "guanka"]).current_dir(repository);
    let status = command.status().context("start cargo")?;
    ensure!(status.success(), "guanka does not build");
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let target = target.unwrap_or_else(|| "target".into());
    Ok(repository.join(target).join("release/guanka"))
}

impl Program {
    /// Prepares calls that find the toolchain first and say what they say into a file of `folder`.
    pub(crate) fn new(path: PathBuf, tools: &Tools, lang: Lang, folder: &Path) -> Result<Self> {
        let own = tools.go.parent().map(Path::to_path_buf);
        let path_now = std::env::var_os("PATH").unwrap_or_default();
        let folders = own.into_iter().chain(std::env::split_paths(&path_now));
        let search = std::env::join_paths(folders).context("put Go's folder on PATH")?;
        Ok(Self { path, lang, search, log: folder.join("guanka.log") })
    }

    /// Returns a command in the demonstration's language.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        self.command_in(self.lang, words)
    }

    /// Returns a command in one language.
    pub(crate) fn command_in(&self, lang: Lang, words: &[&str]) -> Command {
        let mut command = Command::new(&self.path);
        command.args(words).args(["--lang", lang.code()]).env("PATH", &self.search);
        command
    }

    /// Runs a short command to its end, whatever its exit code.
    pub(crate) fn ask(&self, command: &mut Command) -> Result<Answer> {
        let status = process::status(command, &self.log, LIMIT)?;
        let said = fs::read_to_string(&self.log).unwrap_or_default();
        Ok(Answer { exit: status.code().unwrap_or(-1), said })
    }
}
