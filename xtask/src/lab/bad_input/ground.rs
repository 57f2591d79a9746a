//! The ground the cases stand on: a host root with nginx and Supervisor, a copy of the example with
//! short gates, guanka itself. Everything that was started here is ended here.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::program::{Expected, Lang, Program};
use super::snapshot::Snapshot;
use crate::hostroot::{self, HostRootInfo, Ports};
use crate::lab::example;
use crate::process;
use crate::setup::Tools;

/// The site that the example is put behind.
pub(crate) const SITE: &str = "shop.example.com";

/// The vhost of somebody else's site.
pub(crate) const FOREIGN: &str = "www/server/panel/vhost/nginx/go_api.conf";

/// What each of the small commands here may take.
const LIMIT: Duration = Duration::from_secs(30);

/// Health that a file can take away from one release, so that a case decides when.
const HEALTH: &str = r#"package main

import (
	"net/http"
	"os"
)

func health() int {
	if _, err := os.Stat("@SICK@-" + release); err == nil {
		return http.StatusServiceUnavailable
	}
	return http.StatusOK
}
"#;

/// Where everything is.
pub(crate) struct Ground {
    /// The folder of this run.
    pub(crate) folder: PathBuf,
    /// The host.
    pub(crate) host: HostRootInfo,
    /// The project that is shipped.
    pub(crate) project: PathBuf,
    /// guanka.
    pub(crate) guanka: Program,
    /// guanka.toml as every case begins.
    manifest: String,
    /// The vhost of somebody else's site, as it was laid out.
    pub(crate) foreign: String,
    /// The release that serves.
    pub(crate) serves: &'static str,
}

impl Ground {
    /// Lays everything out and starts the daemons.
    pub(crate) fn open(repository: &Path, tools: &Tools, guanka: PathBuf) -> Result<Self> {
        let folder = PathBuf::from(format!("/var/tmp/gklab-{}", std::process::id()));
        fs::create_dir(&folder).with_context(|| format!("make {}", folder.display()))?;
        let host = hostroot::create(&folder.join("host"), tools, Ports::free()?)?;
        let guanka = Program::new(guanka, tools, &folder.join("calls"))?;
        let project = folder.join("project");
        let at = format!("local:{}", host.root.display());
        let own = [("read_timeout = \"12s\"", "read_timeout = \"1s\"")];
        let manifest = example::manifest(repository, &at, &own, "")?;
        let foreign = fs::read_to_string(host.root.join(FOREIGN)).context("read a site")?;
        let serves = "1";
        let ground = Self { folder, host, project, guanka, manifest, foreign, serves };
        ground.write_project(repository)?;
        hostroot::start(&ground.host.root)?;
        Ok(ground)
    }

    fn write_project(&self, repository: &Path) -> Result<()> {
        example::copy(repository, &self.project)?;
        let sick = self.sick("").display().to_string();
        let sick = sick.trim_end_matches('-');
        fs::write(self.project.join("health.go"), HEALTH.replace("@SICK@", sick))?;
        self.rewrite("routes.go", "answer(w, http.StatusOK, struct", "answer(w, health(), struct")?;
        self.restore()
    }

    /// Returns the file that makes a release unhealthy.
    pub(crate) fn sick(&self, release: &str) -> PathBuf {
        self.folder.join(format!("sick-{release}"))
    }

    /// Replaces a text in a file of the project; it must be there.
    pub(crate) fn rewrite(&self, file: &str, from: &str, to: &str) -> Result<()> {
        example::rewrite(&self.project, file, from, to)
    }

    /// Makes the project another release.
    pub(crate) fn release(&self, name: &str) -> Result<()> {
        example::release(&self.project, name)
    }

    /// Puts guanka.toml back.
    pub(crate) fn restore(&self) -> Result<()> {
        fs::write(self.project.join("guanka.toml"), &self.manifest).context("write guanka.toml")
    }

    /// Returns guanka's words about the project.
    pub(crate) fn words<'a>(&'a self, words: &[&'a str]) -> Vec<&'a str> {
        let project = self.project.to_str().unwrap_or_default();
        [words, ["-C", project].as_slice()].concat()
    }

    /// Makes a call that must be refused, in both languages: it says what it must, nothing on the
    /// host changes, and the old release serves.
    pub(crate) fn refuses(&self, words: &[&str], expected: &Expected) -> Result<()> {
        let before = Snapshot::of(&self.host.root)?;
        for lang in [Lang::En, Lang::Zh] {
            let answer = self.guanka.call(lang, &self.words(words))?;
            expected.holds(lang, &answer)?;
            before
                .same_as(&Snapshot::of(&self.host.root)?)
                .with_context(|| format!("guanka {}", words.join(" ")))?;
            self.still_serves()?;
        }
        Ok(())
    }

    /// Holds the site to answering 200 from the release that serves.
    pub(crate) fn still_serves(&self) -> Result<()> {
        let answer = ask(self.host.ports.shop, "/healthz", "lab")?;
        let wanted = format!("\"release\":\"{}\"", self.serves);
        ensure!(
            answer.contains(" 200 ") && answer.contains(&wanted),
            "the site does not answer 200 from release {}: {answer}",
            self.serves
        );
        Ok(())
    }

    /// Returns what `status --json` says of the service.
    pub(crate) fn status(&self) -> Result<Value> {
        let answer = self.guanka.call(Lang::En, &self.words(&["status", "--json"]))?.exits(0)?;
        let value: Value = serde_json::from_str(&answer.out).context("status is JSON")?;
        Ok(value["services"][0].clone())
    }

    /// Waits until the rollout is in a state.
    pub(crate) fn wait_for_state(&self, wanted: &str) -> Result<()> {
        let mut last = String::new();
        let end = Instant::now() + LIMIT;
        while Instant::now() < end {
            let status = self.status()?;
            last = status["rollout"]["state"].to_string();
            if last.contains(wanted) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        bail!("the rollout does not come to {wanted}: {last}")
    }

    /// Returns an arm's port.
    pub(crate) fn port(&self, arm: &str) -> Result<u16> {
        let path = self.host.root.join("var/lib/guanka/agent.json");
        let text = fs::read_to_string(&path).context("read agent.json")?;
        let value: Value = serde_json::from_str(&text).context("agent.json is JSON")?;
        let port = value["ports"]["shop.demo"][arm].as_u64();
        port.and_then(|port| u16::try_from(port).ok()).context("the service has ports")
    }

    /// Returns the text of a file on the host.
    pub(crate) fn host_file(&self, path: &str) -> Result<String> {
        let path = self.host.root.join(path);
        fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))
    }

    /// Returns the arm that does not serve.
    pub(crate) fn idle_arm(&self) -> Result<&'static str> {
        let status = self.status()?;
        Ok(if status["host"]["active"] == "blue" { "green" } else { "blue" })
    }

    /// Ends the host's agent as a crash would.
    pub(crate) fn kill_agent(&self) -> Result<()> {
        kill_agent(&self.guanka.path, &self.host.root)
    }

    /// Returns the numbers of nginx's workers: other ones after a reload.
    pub(crate) fn nginx_workers(&self) -> Result<Vec<u32>> {
        let path = self.host.root.join("www/server/nginx/logs/nginx.pid");
        let text = fs::read_to_string(&path).context("read nginx.pid")?;
        let master: u32 = text.trim().parse().context("nginx.pid holds a number")?;
        let path = format!("/proc/{master}/task/{master}/children");
        let text = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
        // The loader of a cache ends by itself a minute after it was started.
        let is_worker = |pid: &u32| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            line.starts_with(b"nginx: worker")
        };
        let children = text.split_whitespace().filter_map(|pid| pid.parse().ok());
        Ok(children.filter(is_worker).collect())
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        // Best effort in each: what is not there any more needs no end.
        let _ = self.kill_agent();
        // nginx takes no signal by a configuration that it refuses.
        let _ = fs::write(self.host.root.join(FOREIGN), &self.foreign);
        let _ = hostroot::stop(&self.host.root);
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Ends the agent of a root: the process of this very program with this very root.
pub(crate) fn kill_agent(guanka: &Path, root: &Path) -> Result<()> {
    let own = fs::canonicalize(guanka).context("find guanka")?;
    // A helper's worker ends with it; ended first it would be started again.
    let mut entries: Vec<_> = fs::read_dir("/proc").context("read /proc")?.flatten().collect();
    entries.sort_by_key(|entry| {
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        line.split(|byte| *byte == 0).any(|word| word == b"--worker")
    });
    for entry in entries {
        let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse::<u32>().ok()) else {
            continue;
        };
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let words: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
        let root = root.to_string_lossy();
        let is_agent = words.get(1..4) == Some(&[b"agent", b"--root", root.as_bytes()]);
        if !is_agent || fs::read_link(entry.path().join("exe")).ok().as_ref() != Some(&own) {
            continue;
        }
        let log = std::env::temp_dir().join(format!("gklab-kill-{pid}"));
        let mut kill = process::clean(Path::new("/bin/kill"));
        process::run(kill.args(["-9", &pid.to_string()]), &log, LIMIT)?;
        let _ = fs::remove_file(&log);
        let gone = || {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            // The first thread may have ended while others still hold the process's sockets.
            let threads = fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count);
            (stat.is_empty() || (stat.contains(") Z ") && threads <= 1)).then_some(())
        };
        process::wait_for("the agent ends", LIMIT, gone)?;
    }
    Ok(())
}

/// Asks the site as one user; returns head and body.
pub(crate) fn ask(port: u16, path: &str, user: &str) -> Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).context("connect to the site")?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {SITE}\r\nCookie: shop_user={user}\r\n\r\n")?;
    let mut text = Vec::new();
    stream.read_to_end(&mut text).context("read the site's answer")?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// Runs a system command of this machine.
pub(crate) fn system(folder: &Path, program: &str, words: &[&str]) -> Result<String> {
    let mut command: Command = process::clean(Path::new(program));
    process::run(command.args(words), &folder.join("system.log"), LIMIT)
}
