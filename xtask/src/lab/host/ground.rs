//! What the cases share: the machine, the administrator's side of the wire, the project, the users.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde_json::Value;

use crate::hostroot::{self, HostRootInfo, Ports};
use crate::lab::example;
use crate::lab::machine::rootfs::{self, Suite};
use crate::lab::machine::{Groups, Machine, Wire};
use crate::process;
use crate::setup::{self, Tools};

/// How the host is called in guanka.toml.
pub(super) const HOST: &str = "root@10.77.1.1";
/// Where the folder lies: passable for the machine's users.
const BASE: &str = "/var/tmp";
/// A ship with its gates.
const LIMIT: Duration = Duration::from_secs(240);
/// Users stop within seconds.
const STOP_LIMIT: Duration = Duration::from_secs(30);

/// Small enough that a minute of users fills several.
const LOGS: &str = "[logs]\nrotate = \"256K\"\nkeep   = 40\n\n";

/// What a machine is like.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    /// Which Debian it is.
    pub(super) suite: Suite,
    /// What keeps the service's arms.
    pub(super) manager: &'static str,
}

/// Everything a case needs.
pub(super) struct Ground {
    pub(super) machine: Machine,
    pub(super) project: PathBuf,
    /// What keeps the service's arms.
    pub(super) manager: &'static str,
    pub(super) repository: PathBuf,
    folder: Folder,
    guanka: PathBuf,
    go: PathBuf,
    search: std::ffi::OsString,
}

/// A TLS server at the other side of the wire.
pub(super) struct Peer(Child);

/// The folder of a run; removed in the end.
struct Folder(PathBuf);

/// No machine can be booted here.
#[derive(Debug)]
pub(super) struct NoMachine;

impl std::fmt::Display for NoMachine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("no machine can be booted here")
    }
}

/// How a call ended.
pub(super) struct Answer {
    pub(super) code: Option<i32>,
    pub(super) text: String,
    pub(super) words: String,
}

/// Users who send requests until they are stopped.
pub(super) struct Users {
    child: Child,
    said: PathBuf,
}

impl Ground {
    /// Boots the machine and lays the project out.
    pub(super) fn open(repository: &Path, shape: Shape) -> Result<Self> {
        let tools = setup::ensure()?;
        if !setup::is_root() {
            return Err(anyhow!("machines are booted by root only").context(NoMachine));
        }
        let rootfs = rootfs::ensure(repository, shape.suite).context(NoMachine)?;
        let guanka = super::super::bad_input::build(repository)?;
        let id = std::process::id();
        let folder = Folder(Path::new(BASE).join(format!("gkhost-{id}")));
        fs::create_dir(&folder.0).with_context(|| format!("make {}", folder.0.display()))?;
        fs::set_permissions(&folder.0, fs::Permissions::from_mode(0o755))?;
        let at = |name: &str| folder.0.join(name);
        fs::create_dir_all(at("home"))?;
        keygen(&at("admin"))?;
        let config = format!(
            "Host *\n  IdentityFile {0}/admin\n  UserKnownHostsFile {0}/none\n  \
             GlobalKnownHostsFile /dev/null\n",
            folder.0.display()
        );
        fs::write(at("ssh_config"), config)?;
        let sees = match shape.suite {
            Suite::Bookworm => Groups::Given,
            Suite::Sid => Groups::Unified,
        };
        let machine = Machine::boot((&rootfs, sees), &at("machine"), &format!("gk{id}"), |root| {
            prepare(root, &at("admin.pub"), &tools)
        })
        .context(NoMachine)?;
        let project = at("shop");
        example::copy(repository, &project)?;
        let go = tools.go.parent().context("go lies in a folder")?;
        let system = process::SYSTEM_PATH.split(':').map(PathBuf::from);
        let search = std::env::join_paths(std::iter::once(go.to_owned()).chain(system))?;
        let manager = shape.manager;
        let repository = repository.to_owned();
        let go = tools.go.clone();
        let ground = Self { machine, project, manager, repository, folder, guanka, go, search };
        let kept_by = format!("manager    = \"{manager}\"");
        let own = [
            ("manager    = \"supervisor\"", kept_by.as_str()),
            ("read_timeout = \"12s\"", "read_timeout = \"3s\""),
        ];
        let text = example::manifest(&ground.repository, HOST, &own, LOGS)?;
        fs::write(ground.project.join("guanka.toml"), text).context("write guanka.toml")?;
        ground.release("1")?;
        Ok(ground)
    }

    /// Makes the project another release.
    pub(super) fn release(&self, name: &str) -> Result<()> {
        example::release(&self.project, name)
    }

    /// Returns the text of guanka.toml.
    pub(super) fn manifest(&self) -> Result<String> {
        fs::read_to_string(self.project.join("guanka.toml")).context("read guanka.toml")
    }

    /// Puts another text in guanka.toml's or the source's place.
    pub(super) fn rewrite(&self, file: &str, from: &str, to: &str) -> Result<()> {
        example::rewrite(&self.project, file, from, to)
    }

    /// Builds a guanka command on the administrator's side of the wire.
    pub(super) fn command(&self, words: &[&str]) -> Command {
        let mut command = self.machine.wire.client(&self.guanka);
        command.env("PATH", &self.search).args(["--lang", "en"]).args(words);
        Self::give_go_its_folders(&mut command);
        command.env("HOME", self.folder.0.join("home"));
        command.env("GUANKA_SSH_CONFIG", self.folder.0.join("ssh_config"));
        command
    }

    /// Builds a call of Go on this side.
    pub(super) fn go(&self) -> Command {
        let mut command = process::clean(&self.go);
        command.env("HOME", self.folder.0.join("home"));
        Self::give_go_its_folders(&mut command);
        command
    }

    fn give_go_its_folders(command: &mut Command) {
        for key in ["GOCACHE", "GOPATH", "GOPROXY", "GOFLAGS"] {
            if let Some(value) = std::env::var_os(key) {
                command.env(key, value);
            }
        }
        // The home of the calls is a folder of the run: Go's cache stays where it always is.
        if let (None, Some(home)) = (std::env::var_os("GOCACHE"), std::env::var_os("HOME")) {
            command.env("GOCACHE", Path::new(&home).join(".cache/go-build"));
        }
    }

    /// Calls guanka and waits for its end.
    pub(super) fn call(&self, words: &[&str]) -> Result<Answer> {
        let log = self.folder.0.join("call.log");
        let status = process::status(&mut self.command(words), &log, LIMIT)?;
        let text = fs::read_to_string(&log).unwrap_or_default();
        Ok(Answer { code: status.code(), text, words: words.join(" ") })
    }

    /// Calls a verb about the project.
    pub(super) fn project_call(&self, words: &[&str]) -> Result<Answer> {
        let project = self.project.display().to_string();
        self.call(&[words, &["-C", &project]].concat())
    }

    /// Runs ssh on the administrator's side with a key and words of the caller's choice.
    pub(super) fn ssh(&self, options: &[&str], words: &[&str]) -> Result<Answer> {
        let mut command = self.machine.wire.client(Path::new("ssh"));
        command.args(["-T", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no"]);
        command.args(["-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"]);
        command.args(options).arg("--").args(words);
        let log = self.folder.0.join("ssh.log");
        let status = process::status(&mut command, &log, STOP_LIMIT)?;
        let text = fs::read_to_string(&log).unwrap_or_default();
        Ok(Answer { code: status.code(), text, words: format!("ssh {}", words.join(" ")) })
    }

    /// Returns a path below the run's own folder.
    pub(super) fn at(&self, name: &str) -> PathBuf {
        self.folder.0.join(name)
    }

    /// Returns guanka's key for the host.
    pub(super) fn key(&self) -> PathBuf {
        self.at("home/.config/guanka/keys").join(HOST)
    }

    /// Asks the site through nginx from the other side of the wire; returns code and body.
    pub(super) fn ask(&self, path: &str) -> Result<(u16, String)> {
        let url = format!("http://{}{path}", Wire::MACHINE);
        let mut command = self.machine.wire.client(Path::new("curl"));
        command.args(["-s", "-m", "10", "-w", "\n%{http_code}", "-H", "Host: shop.example.com"]);
        let log = self.folder.0.join("ask.log");
        let said = process::run(command.arg(url), &log, STOP_LIMIT)?;
        let (body, code) = said.rsplit_once('\n').context("curl says a code")?;
        Ok((code.trim().parse().context("the code is a number")?, body.to_owned()))
    }

    /// Holds the site to answering 200 from a release.
    pub(super) fn serves(&self, release: &str) -> Result<()> {
        let (code, body) = self.ask("/healthz")?;
        let wanted = format!("\"release\":\"{release}\"");
        ensure!(code == 200 && body.contains(&wanted), "not {release}: {code} {body}");
        Ok(())
    }

    /// Begins to send users' requests through nginx.
    pub(super) fn users(&self) -> Result<Users> {
        self.sends(
            "users",
            "200/s",
            "32",
            &[
                "GET /products?q=porcelain+cup",
                r#"POST /orders {"product":17,"quantity":2,"customer":"ann"}"#,
            ],
        )
    }

    /// Begins to send requests that take eight seconds each.
    pub(super) fn slow_users(&self) -> Result<Users> {
        self.sends("slow-users", "4/s", "128", &["GET /slow"])
    }

    fn sends(&self, name: &str, rate: &str, at_once: &str, requests: &[&str]) -> Result<Users> {
        let url = format!("http://{}", Wire::MACHINE);
        let words = ["load", &url, "--json", "--until-eof", "--poisson", "--timeout", "20s"];
        let mut command = self.command(&words);
        command.args(["--rate", rate, "--connections", at_once]);
        command.args(["--cookie", "shop_user", "--users", "2000"]);
        command.args(["--header", "Host: shop.example.com"]);
        for request in requests {
            command.args(["--request", request]);
        }
        let said = self.folder.0.join(format!("{name}.json"));
        let file = File::create(&said).context("write the users' file")?;
        let errors = file.try_clone().context("share the file")?;
        let child = command.stdin(Stdio::piped()).stdout(file).stderr(errors).spawn();
        Ok(Users { child: child.context("start guanka load")?, said })
    }

    /// Returns what `status --json` says of the service.
    pub(super) fn status(&self) -> Result<Value> {
        let answer = self.project_call(&["status", "--json"])?.exits(0)?;
        let line = answer.text.lines().last().unwrap_or_default();
        let value: Value = serde_json::from_str(line).context("status is JSON")?;
        Ok(value["services"][0].clone())
    }

    /// Has the other side of the wire speak TLS until it is dropped.
    pub(super) fn tls_peer(&self) -> Result<Peer> {
        let (key, cert) = (self.at("peer.key"), self.at("peer.pem"));
        let mut make = process::clean(Path::new("openssl"));
        make.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]);
        make.args(["-nodes", "-days", "1", "-subj", "/CN=peer.lab", "-keyout"]).arg(&key);
        process::run(make.arg("-out").arg(&cert), &self.at("openssl.log"), STOP_LIMIT)?;
        let mut serve = self.machine.wire.client(Path::new("openssl"));
        serve.args(["s_server", "-quiet", "-accept", "8443", "-key"]).arg(&key);
        let log = File::create(self.at("peer.log")).context("write the peer's log")?;
        let errors = log.try_clone().context("share the log")?;
        let child = serve.arg("-cert").arg(&cert).stdin(Stdio::piped()).stdout(log).stderr(errors);
        let peer = Peer(child.spawn().context("start openssl")?);
        process::wait_for("the peer listens", STOP_LIMIT, || {
            let mut asked = self.machine.wire.client(Path::new("ss"));
            let said = process::run(
                asked.args(["-Hltn", "sport = :8443"]),
                &self.at("ss.log"),
                STOP_LIMIT,
            );
            (!said.ok()?.trim().is_empty()).then_some(())
        })?;
        Ok(peer)
    }
}

impl Answer {
    /// Holds the call to an exit code.
    pub(super) fn exits(self, code: i32) -> Result<Self> {
        if self.code == Some(code) {
            return Ok(self);
        }
        bail!("{} ended with {:?}, not {code}: {}", self.words, self.code, self.text.trim())
    }

    /// Holds what was said to some words.
    pub(super) fn says(self, words: &[&str]) -> Result<Self> {
        for word in words {
            ensure!(self.text.contains(word), "{}: {word:?} is missing: {}", self.words, self.text);
        }
        Ok(self)
    }
}

impl Users {
    /// Stops the users; returns how many requests they sent and how many found no good answer.
    pub(super) fn stop(self) -> Result<(u64, u64, String)> {
        let total = self.total()?;
        let (sent, failed) = counts(&total)?;
        Ok((sent, failed, format!("{} {}", total["errors"], total["statuses"])))
    }

    /// Stops users whose requests are long: those that they cut off themselves in ending are left
    /// out.
    pub(super) fn stop_open(self) -> Result<(u64, u64, String)> {
        let total = self.total()?;
        let (sent, failed) = counts(&total)?;
        let open = total["errors"]["unfinished"].as_u64().unwrap_or(0);
        let details = format!("{} {}", total["errors"], total["statuses"]);
        Ok((sent.saturating_sub(open), failed.saturating_sub(open), details))
    }

    fn total(mut self) -> Result<Value> {
        drop(self.child.stdin.take());
        let ended =
            process::wait_for("the users stop", STOP_LIMIT, || self.child.try_wait().transpose())?;
        let said = fs::read_to_string(&self.said).unwrap_or_default();
        ensure!(ended.context("wait for guanka load")?.success(), "guanka load: {said}");
        let line = said.lines().last().unwrap_or_default();
        let mut run: Value = serde_json::from_str(line).context("read what guanka load said")?;
        Ok(run["total"].take())
    }
}

/// Returns how many requests were sent and how many found no good answer.
fn counts(total: &Value) -> Result<(u64, u64)> {
    let number = |key: &str| total[key].as_u64().with_context(|| format!("no {key}"));
    Ok((number("requests")?, number("bad")?))
}

impl Drop for Users {
    fn drop(&mut self) {
        // Best effort: stopped in order they have ended before.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // Best effort: it has nothing to lose.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Makes a key pair without a passphrase.
fn keygen(path: &Path) -> Result<()> {
    let mut command = process::clean(Path::new("ssh-keygen"));
    command.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(path);
    process::run(&mut command, &path.with_extension("log"), STOP_LIMIT).map(|_| ())
}

/// Gives the machine its own ssh keys, the administrator's key, and the panel's layout.
fn prepare(root: &Path, public: &Path, tools: &Tools) -> Result<()> {
    let ssh = root.join("etc/ssh");
    for entry in fs::read_dir(&ssh).context("read etc/ssh")?.flatten() {
        if entry.file_name().to_string_lossy().starts_with("ssh_host_") {
            fs::remove_file(entry.path())?;
        }
    }
    new_host_keys(root)?;
    let home = root.join("root/.ssh");
    fs::create_dir_all(&home)?;
    fs::set_permissions(&home, fs::Permissions::from_mode(0o700))?;
    fs::copy(public, home.join("authorized_keys")).context("copy the administrator's key")?;
    fs::write(root.join("etc/hostname"), "web1\n")?;
    hostroot::write_machine(&HostRootInfo {
        root: root.to_owned(),
        ports: Ports { shop: 80, api: 8001, api_backend: 8002, status: 8003 },
        nginx: tools.nginx.clone(),
        supervisord: tools.supervisord.clone(),
        supervisorctl: tools.supervisorctl.clone(),
    })
}

/// Makes new keys for a machine's sshd.
pub(super) fn new_host_keys(root: &Path) -> Result<()> {
    let mut command = process::clean(Path::new("ssh-keygen"));
    let log = std::env::temp_dir().join(format!("gkhost-keys-{}", std::process::id()));
    let made = process::run(command.arg("-A").arg("-f").arg(root), &log, STOP_LIMIT);
    let _ = fs::remove_file(&log);
    made.map(|_| ())
}
