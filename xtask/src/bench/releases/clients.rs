//! The clients: a Go program built from the files beside, with one group of goroutines per class.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::ground::Site;
use super::seen::Seen;
use crate::process;
use crate::setup::Tools;

/// The program's files.
const FILES: [(&str, &str); 6] = [
    ("go.mod", include_str!("files/client/go.mod")),
    ("go.sum", include_str!("files/client/go.sum")),
    ("main.go", include_str!("files/client/main.go")),
    ("requests.go", include_str!("files/client/requests.go")),
    ("streams.go", include_str!("files/client/streams.go")),
    ("tally.go", include_str!("files/client/tally.go")),
];

/// A build with a cold cache on a busy machine, and the one module over a slow line.
const BUILD_LIMIT: Duration = Duration::from_secs(300);
/// Longer than the clients' own patience.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// Clients under way; ended whatever happens.
pub(super) struct Clients {
    child: Child,
    asking: Option<ChildStdin>,
    lines: Receiver<String>,
    log: PathBuf,
}

/// Builds the program below a folder; returns where it lies.
pub(super) fn build(tools: &Tools, folder: &Path) -> Result<PathBuf> {
    let source = folder.join("clients-source");
    write(&source, &FILES)?;
    let program = folder.join("clients");
    let mut command = std::process::Command::new(&tools.go);
    command.args(["build", "-o"]).arg(&program).arg(".").current_dir(&source);
    process::run(&mut command, &folder.join("clients-build.log"), BUILD_LIMIT)?;
    Ok(program)
}

/// Writes files into a folder that may be new.
pub(super) fn write(folder: &Path, files: &[(&str, &str)]) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
    for (name, text) in files {
        fs::write(folder.join(name), text).with_context(|| format!("write {name}"))?;
    }
    Ok(())
}

impl Clients {
    /// Starts all of them, or one of `parts` such programs that share the load.
    pub(super) fn start(program: &Path, site: &Site, parts: usize, log: &Path) -> Result<Self> {
        let errors = File::create(log).with_context(|| format!("write {}", log.display()))?;
        let mut command = process::clean(program);
        command.args([
            "-parts",
            &parts.to_string(),
            "-host",
            site.domain,
            "-plain",
            &format!("127.0.0.1:{}", site.plain),
        ]);
        command.args(["-secure", &format!("127.0.0.1:{}", site.secure), "-ca"]).arg(&site.ca);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(errors);
        let mut child = command.spawn().context("start the clients")?;
        let asking = child.stdin.take();
        let output = child.stdout.take().context("the clients' output")?;
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Ok(Self { child, asking, lines, log: log.to_owned() })
    }

    /// Returns what they saw so far.
    pub(super) fn ask(&mut self) -> Result<Seen> {
        let asking = self.asking.as_mut().context("the clients were stopped")?;
        asking.write_all(b"\n").context("ask the clients")?;
        self.hear()
    }

    /// Stops them once what is under way is answered; returns what they saw.
    pub(super) fn stop(mut self) -> Result<Seen> {
        drop(self.asking.take());
        let seen = self.hear()?;
        let ended = process::wait_for("the clients end", ANSWER_LIMIT, || {
            self.child.try_wait().transpose()
        })?;
        ensure!(ended.context("wait for the clients")?.success(), "the clients failed");
        Ok(seen)
    }

    fn hear(&self) -> Result<Seen> {
        let line = self.lines.recv_timeout(ANSWER_LIMIT).with_context(|| {
            let said = fs::read_to_string(&self.log).unwrap_or_default();
            format!("the clients say nothing: {}", said.trim())
        })?;
        Seen::read(&line)
    }
}

impl Drop for Clients {
    fn drop(&mut self) {
        // Best effort: stopped in order they have ended before.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
