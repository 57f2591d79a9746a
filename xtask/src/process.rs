//! Child processes of the chores: argument lists only, a clean environment, a time limit, output
//! kept in a file so that a daemon that inherits it holds no pipe open.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// The folders in which system programs lie, whatever the caller's PATH.
pub(crate) const SYSTEM_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Returns a command that inherits nothing but the system's PATH and one language.
pub(crate) fn clean(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("PATH", SYSTEM_PATH).env("LC_ALL", "C.UTF-8");
    command
}

/// Runs a command to its end; what it says goes to `log` and, when it fails, into the error.
pub(crate) fn run(command: &mut Command, log: &Path, limit: Duration) -> Result<String> {
    let status = status(command, log, limit)?;
    let said = fs::read_to_string(log).unwrap_or_default();
    if !status.success() {
        let program = command.get_program().to_string_lossy().into_owned();
        let arguments: Vec<_> = command.get_args().map(|a| a.to_string_lossy()).collect();
        bail!("{program} {} ended with {status}:\n{}", arguments.join(" "), tail(&said));
    }
    Ok(said)
}

/// Asks until the answer comes or the time is over.
pub(crate) fn wait_for<T>(
    what: &str,
    limit: Duration,
    mut ask: impl FnMut() -> Option<T>,
) -> Result<T> {
    let end = Instant::now() + limit;
    loop {
        if let Some(answer) = ask() {
            return Ok(answer);
        }
        if Instant::now() >= end {
            bail!("{what}: not within {} s", limit.as_secs());
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// Runs a command to its end, whatever its exit code; what it says goes to `log`.
pub(crate) fn status(command: &mut Command, log: &Path, limit: Duration) -> Result<ExitStatus> {
    let program = command.get_program().to_string_lossy().into_owned();
    let file = File::create(log).with_context(|| format!("write {}", log.display()))?;
    let again = file.try_clone().context("share the log")?;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(file)
        .stderr(again)
        .spawn()
        .with_context(|| format!("start {program}"))?;
    let waited = wait_for(&program, limit, || child.try_wait().transpose());
    match waited {
        Ok(status) => status.with_context(|| format!("wait for {program}")),
        Err(late) => {
            // Best effort: it may have ended meanwhile.
            let _ = child.kill();
            let _ = child.wait();
            Err(late)
        }
    }
}

fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use super::{clean, run};

    #[test]
    fn a_late_child_is_ended_and_a_failing_one_is_quoted() {
        let log = std::env::temp_dir().join(format!("guanka-process-{}", std::process::id()));
        let mut late = clean(Path::new("/bin/sleep"));
        let error = run(late.arg("60"), &log, Duration::from_millis(50)).expect_err("late");
        assert!(error.to_string().contains("not within"), "{error}");
        let mut failing = clean(Path::new("/bin/ls"));
        let error = run(failing.arg("/missing"), &log, Duration::from_secs(10)).expect_err("rc 2");
        assert!(error.to_string().contains("/missing"), "{error}");
        std::fs::remove_file(&log).expect("there");
    }
}
