//! The ground of the panel's cases: a host root with nginx and Supervisor, the panel's stand-in, the
//! example as a project. Everything that was started here is ended here.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::edits::{GoSite, Panel};
use crate::hostroot::{self, HostRootInfo, Ports};
use crate::lab::bad_input::ground::kill_agent;
use crate::lab::bad_input::program::{Answer, Lang, Program};
use crate::lab::example;
use crate::process;
use crate::setup::Tools;

/// The Go project's domain.
pub(super) const SITE: &str = "api.example.com";

/// How long the agent may take to see and mend something: a whole look comes every 30 s.
pub(super) const MENDED: Duration = Duration::from_secs(60);

/// Where everything is.
pub(super) struct Ground {
    pub(super) repository: PathBuf,
    pub(super) folder: PathBuf,
    pub(super) tools: Tools,
    pub(super) host: HostRootInfo,
    pub(super) project: PathBuf,
    pub(super) guanka: Program,
    pub(super) panel: Panel,
    /// The panel's Go project, as its database has it.
    pub(super) site: GoSite,
    /// Programs that were started beside the daemons.
    pub(super) started: Vec<u32>,
}

impl Ground {
    /// Lays everything out and starts the daemons; nothing of guanka is there.
    pub(super) fn open(
        repository: &Path,
        tools: &Tools,
        guanka: &Path,
        name: &str,
    ) -> Result<Self> {
        let folder = PathBuf::from(format!("/var/tmp/gkpan-{name}-{}", std::process::id()));
        fs::create_dir(&folder).with_context(|| format!("make {}", folder.display()))?;
        let host = hostroot::create(&folder.join("host"), tools, Ports::free()?)?;
        let site = GoSite {
            name: "api".to_owned(),
            domains: vec![SITE.to_owned()],
            port: host.ports.api,
            tls_port: None,
            forces_https: false,
            backend: host.ports.api_backend,
        };
        let ground = Self {
            repository: repository.to_owned(),
            guanka: Program::new(guanka.to_owned(), tools, &folder.join("calls"))?,
            panel: Panel::of(&host),
            project: folder.join("project"),
            tools: tools.clone(),
            started: Vec::new(),
            folder,
            host,
            site,
        };
        example::copy(repository, &ground.project)?;
        ground.manifest(SITE)?;
        hostroot::start(&ground.host.root)?;
        Ok(ground)
    }

    /// Writes guanka.toml for a domain.
    pub(super) fn manifest(&self, domain: &str) -> Result<()> {
        let at = format!("local:{}", self.host.root.display());
        let own =
            [("read_timeout = \"12s\"", "read_timeout = \"1s\""), ("shop.example.com", domain)];
        let text = example::manifest(&self.repository, &at, &own, "")?;
        fs::write(self.project.join("guanka.toml"), text).context("write guanka.toml")
    }

    /// Calls guanka about the project.
    pub(super) fn call(&self, words: &[&str]) -> Result<Answer> {
        self.call_in(Lang::En, words)
    }

    /// The same in a language.
    pub(super) fn call_in(&self, lang: Lang, words: &[&str]) -> Result<Answer> {
        let project = self.project.to_str().unwrap_or_default();
        self.guanka.call(lang, &[words, &["-C", project]].concat())
    }

    /// Returns what `status --json` says of the service.
    pub(super) fn status(&self) -> Result<Value> {
        let answer = self.call(&["status", "--json"])?.exits(0)?;
        let value: Value = serde_json::from_str(&answer.out).context("status is JSON")?;
        Ok(value["services"][0].clone())
    }

    /// Returns where guanka's three pieces lie.
    pub(super) fn pieces(&self) -> [PathBuf; 3] {
        let vhost = self.host.root.join("www/server/panel/vhost/nginx");
        [
            vhost.join("0.guanka_log_format.conf"),
            vhost.join("zz_guanka_shop.demo.conf"),
            vhost.join("extension/api/guanka.conf"),
        ]
    }

    /// Returns the bytes of guanka's pieces; an empty text for one that is not there.
    pub(super) fn piece_texts(&self) -> [String; 3] {
        self.pieces().map(|path| fs::read_to_string(path).unwrap_or_default())
    }

    /// Holds the site to answering from a release of guanka's.
    pub(super) fn serves(&self, release: &str) -> Result<()> {
        let (status, body) = ask(self.site.port, SITE, "/healthz")?;
        let is_it = body.contains(&format!("\"release\":\"{release}\""));
        ensure!(status == 200 && is_it, "{status} and not release {release}: {body}");
        Ok(())
    }

    /// Waits until the site answers from a release.
    pub(super) fn comes_to_serve(&self, release: &str) -> Result<()> {
        let what = format!("the site answers from release {release}");
        process::wait_for(&what, MENDED, || self.serves(release).ok())
    }

    /// Waits until `status` says of nginx's pieces what a test wants.
    pub(super) fn drift_becomes(
        &self,
        what: &str,
        is_it: impl Fn(&Value) -> bool,
    ) -> Result<Value> {
        let mut last = Value::Null;
        let seen = process::wait_for(what, MENDED, || {
            last = self.status().ok()?["host"]["pieces"].clone();
            is_it(&last).then(|| last.clone())
        });
        seen.with_context(|| format!("it is {last}"))
    }

    /// Returns the audit log.
    pub(super) fn audit(&self) -> Result<String> {
        let root = self.host.root.display().to_string();
        Ok(self.guanka.call(Lang::En, &["audit", "show", "--root", &root])?.exits(0)?.out)
    }

    /// Returns the numbers of nginx's workers: other ones after a reload.
    pub(super) fn workers(&self) -> Result<Vec<u32>> {
        let path = self.host.root.join("www/server/nginx/logs/nginx.pid");
        let master = fs::read_to_string(&path).context("read nginx.pid")?.trim().to_owned();
        let path = format!("/proc/{master}/task/{master}/children");
        let text = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
        Ok(text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect())
    }

    /// Waits until none of these workers serves any more.
    pub(super) fn turned_over(&self, before: &[u32]) -> Result<()> {
        process::wait_for("nginx has turned over", MENDED, || {
            let now = self.workers().ok()?;
            (!now.is_empty() && !now.iter().any(|pid| before.contains(pid))).then_some(())
        })
    }

    /// Asks the site over TLS.
    pub(super) fn ask_tls(&self, port: u16, path: &str) -> Result<String> {
        let question = self.folder.join("question");
        fs::write(&question, format!("GET {path} HTTP/1.0\r\nHost: {SITE}\r\n\r\n"))?;
        let mut openssl = process::clean("/usr/bin/openssl".as_ref());
        openssl.args(["s_client", "-quiet", "-connect", &format!("127.0.0.1:{port}")]);
        openssl.args(["-servername", SITE, "-ign_eof"]);
        let output = openssl
            .stdin(fs::File::open(&question)?)
            .stderr(Stdio::null())
            .output()
            .context("ask over TLS")?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        // Best effort in each: what is not there any more needs no end.
        let _ = kill_agent(&self.guanka.path, &self.host.root);
        for pid in self.started.drain(..) {
            let _ = super::edits::end(pid);
        }
        let _ = hostroot::stop(&self.host.root);
        // nginx takes no signal by a configuration that it refuses.
        let _ = self.panel.kill();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Asks a site; returns status and body.
pub(super) fn ask(port: u16, host: &str, path: &str) -> Result<(u16, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).context("connect to the site")?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {host}\r\n\r\n")?;
    let mut text = Vec::new();
    stream.take(1 << 20).read_to_end(&mut text).context("read the site's answer")?;
    let text = String::from_utf8_lossy(&text).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").context("an answer has a head")?;
    let status = head.split_whitespace().nth(1).and_then(|word| word.parse().ok());
    Ok((status.context("an answer has a status")?, body.to_owned()))
}
