//! What a panel and its user leave on a host: no pid file of nginx, a rule that shadows guanka's
//! location, folders that only root may enter, files that nobody may change, an agent of another
//! version.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::ground::{self, Ground, SITE};
use super::program::{Expected, Lang};
use super::snapshot::Snapshot;
use super::{Case, Outcome};
use crate::setup;

/// The cases.
pub(crate) const CASES: &[Case] = &[
    ("nginx's pid file is gone, before an install", no_pid_file),
    ("nginx's pid file names another process, before an install", wrong_pid_file),
    ("a rule of the site shadows guanka's location", shadowed),
    ("an exact rule of the site takes its front page", shadowed_exactly),
    ("the panel's folders are 0600 and a user without rights looks", closed_folders),
    (".user.ini that nobody may change, beside the source and shipped", immutable_user_ini),
    ("an agent of another protocol answers", older_agent),
];

/// Where nginx writes its number.
const PID_FILE: &str = "www/server/nginx/logs/nginx.pid";

/// The vhost of the example's site.
const VHOST: &str = "www/server/panel/vhost/nginx/shop.example.com.conf";

/// Has the next release change `[proxy]`, so that nginx would have to be reloaded.
fn change_proxy(ground: &Ground) -> Result<()> {
    ground.rewrite("guanka.toml", "keepalive    = \"2s\"", "keepalive    = \"3s\"")
}

/// Holds ship and plan to refusing while a file of the host is something else; puts it back.
fn refused_with(
    ground: &Ground,
    file: &str,
    text: Option<&str>,
    expected: &Expected,
) -> Result<Outcome> {
    change_proxy(ground)?;
    let path = ground.host.root.join(file);
    let workers = ground.nginx_workers()?;
    let before = fs::read(&path).with_context(|| format!("read {}", path.display()))?;
    match text {
        Some(text) => fs::write(&path, text)?,
        None => fs::remove_file(&path)?,
    }
    let tried = ["ship", "plan"].into_iter().try_for_each(|word| ground.refuses(&[word], expected));
    fs::write(&path, before).with_context(|| format!("write {}", path.display()))?;
    tried?;
    ensure!(ground.nginx_workers()? == workers, "nginx was reloaded");
    Ok(Outcome::Clear)
}

fn no_pid_file(ground: &mut Ground) -> Result<Outcome> {
    let expected = Expected {
        exit: 1,
        code: "GK1202",
        both: vec!["nginx.pid".to_owned()],
        zh: "无法重载 nginx",
        en: "nginx cannot be reloaded",
        ..Expected::default()
    };
    refused_with(ground, PID_FILE, None, &expected)
}

fn wrong_pid_file(ground: &mut Ground) -> Result<Outcome> {
    let own = std::process::id().to_string();
    let expected = Expected {
        exit: 1,
        code: "GK1202",
        both: vec!["nginx.pid".to_owned(), own.clone()],
        zh: "无法重载 nginx",
        en: "which is no nginx master",
        ..Expected::default()
    };
    refused_with(ground, PID_FILE, Some(&own), &expected)
}

/// Lets the site have one more rule.
fn with_rule(ground: &Ground, rule: &str) -> Result<String> {
    let text = ground.host_file(VHOST)?;
    let end = text.rfind('}').context("the vhost has a block")?;
    Ok(format!("{}    {rule}\n{}", &text[..end], &text[end..]))
}

fn shadowed(ground: &mut Ground) -> Result<Outcome> {
    let text = with_rule(ground, "location ^~ / { return 503; }")?;
    let expected = Expected {
        exit: 1,
        code: "GK1202",
        both: vec![VHOST.to_owned(), "location ^~ /".to_owned()],
        zh: "请换一个站点,或在面板删除该规则",
        en: "delete that rule in the panel",
        ..Expected::default()
    };
    refused_with(ground, VHOST, Some(&text), &expected)
}

fn shadowed_exactly(ground: &mut Ground) -> Result<Outcome> {
    let text = with_rule(ground, "location = / { return 503; }")?;
    let expected = Expected {
        exit: 1,
        code: "GK1202",
        both: vec![VHOST.to_owned(), "location = /".to_owned()],
        zh: "优先",
        en: "answers before guanka can",
        ..Expected::default()
    };
    refused_with(ground, VHOST, Some(&text), &expected)
}

/// The number of the user who may do nothing.
const NOBODY: u32 = 65_534;

fn closed_folders(ground: &mut Ground) -> Result<Outcome> {
    if !setup::is_root() {
        return Ok(Outcome::Skipped("only root can become somebody else".to_owned()));
    }
    let extension = ground.host.root.join("www/server/panel/vhost/nginx/extension").join(SITE);
    let mode = fs::metadata(&extension)?.permissions();
    ensure!(
        std::os::unix::fs::PermissionsExt::mode(&mode) & 0o777 == 0o600,
        "{} is not closed, so this proves nothing",
        extension.display()
    );
    let before = Snapshot::of(&ground.host.root)?;
    // The project lies where only its owner can read it too; a copy is everybody's.
    let copy = ground.folder.join("everybodys");
    let (from, to) = (ground.project.display().to_string(), copy.display().to_string());
    ground::system(&ground.folder, "/bin/cp", &["-a", &from, &to])?;
    ground::system(&ground.folder, "/bin/chmod", &["-R", "a+rX", &to])?;
    let by_root = ("改用 root", "run it as root");
    let file = ("没有权限", "permission denied");
    for (verb, code, path, (zh, en)) in [
        ("ship", "GK1201", "run/guanka/agent.sock", by_root),
        ("status", "GK1201", "run/guanka/agent.sock", by_root),
        ("plan", "GK1202", "var/lib/guanka/agent.json", file),
    ] {
        let both = vec![ground.host.root.join(path).display().to_string()];
        let expected = Expected { exit: 1, code, both, zh, en, ..Expected::default() };
        for lang in [Lang::En, Lang::Zh] {
            let mut command = ground.guanka.command(lang, &[verb, "-C", &to]);
            command.uid(NOBODY).gid(NOBODY);
            expected.holds(lang, &ground.guanka.start_command(command, verb)?.end()?)?;
        }
    }
    before.same_as(&Snapshot::of(&ground.host.root)?)?;
    ground.still_serves()?;
    Ok(Outcome::Clear)
}

/// A file that nobody may change until this is dropped.
struct Immutable(PathBuf);

impl Immutable {
    /// Makes one; nothing where the file system does not know the flag.
    fn new(ground: &Ground, path: PathBuf) -> Result<Option<Self>> {
        fs::write(&path, "open_basedir=/www/wwwroot/shop:/tmp\n")
            .with_context(|| format!("write {}", path.display()))?;
        let shown = path.display().to_string();
        let own = Self(path);
        let is_set = ground::system(&ground.folder, "/usr/bin/chattr", &["+i", &shown]).is_ok();
        Ok(is_set.then_some(own))
    }

    /// Returns whether it is as it was.
    fn is_whole(&self) -> bool {
        let text = fs::read_to_string(&self.0).unwrap_or_default();
        // Nobody may write to it, which is what the flag says.
        text.starts_with("open_basedir") && fs::write(&self.0, "x").is_err()
    }
}

impl Drop for Immutable {
    fn drop(&mut self) {
        let shown = self.0.display().to_string();
        // Best effort: what stays shows when the folder cannot be removed.
        let _ = ground::system(&std::env::temp_dir(), "/usr/bin/chattr", &["-i", &shown]);
        let _ = fs::remove_file(&self.0);
    }
}

fn immutable_user_ini(ground: &mut Ground) -> Result<Outcome> {
    let folder = ground.project.join("static");
    fs::create_dir_all(&folder).context("make a folder")?;
    let site = ground.host.root.join("www/wwwroot").join(SITE);
    fs::create_dir_all(&site).context("make the site's folder")?;
    let mut kept = Vec::new();
    for place in [ground.project.as_path(), &folder, &site] {
        match Immutable::new(ground, place.join(".user.ini"))? {
            Some(file) => kept.push(file),
            None => {
                let why = "this file system has no immutable files".to_owned();
                return Ok(Outcome::Skipped(why));
            }
        }
    }
    ground.release("with-user-ini")?;
    // It is no obstacle: what is shipped is a copy, and the copy can go again.
    ground.guanka.call(Lang::En, &ground.words(&["ship", "--until", "stage"]))?.exits(0)?;
    let release = ground.status()?["rollout"]["release"]["release"].clone();
    let release = release.as_str().context("a release")?.to_owned();
    let shipped = ground.host.root.join("opt/guanka/shop.demo/releases").join(release);
    ensure!(shipped.join("static/.user.ini").is_file(), "it was not shipped");
    ground.guanka.call(Lang::Zh, &ground.words(&["abort"]))?.exits(0)?;
    fs::remove_file(shipped.join("static/.user.ini")).context("the copy can be removed")?;
    fs::remove_dir_all(&shipped).context("the copy of the release can be removed")?;
    ensure!(kept.iter().all(Immutable::is_whole), "a file that nobody may change was changed");
    ground.still_serves()?;
    Ok(Outcome::Clear)
}

/// A stand-in for an agent that speaks another protocol: it greets and knows nothing else.
struct OlderAgent {
    socket: PathBuf,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl OlderAgent {
    fn start(socket: PathBuf) -> Result<Self> {
        // The killed agent's socket may still be there.
        let _ = fs::remove_file(&socket);
        let listener = UnixListener::bind(&socket).context("stand in for the agent")?;
        listener.set_nonblocking(true).context("do not wait for callers")?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let end = Instant::now() + Duration::from_secs(60);
            while !stopped.load(Ordering::SeqCst) && Instant::now() < end {
                match listener.accept() {
                    // A caller that leaves early is its own affair.
                    Ok((stream, _)) => drop(greet(stream)),
                    Err(_) => thread::sleep(Duration::from_millis(5)),
                }
            }
        });
        Ok(Self { socket, stop, thread: Some(thread) })
    }
}

impl Drop for OlderAgent {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = self.thread.take().map(JoinHandle::join);
        let _ = fs::remove_file(&self.socket);
    }
}

/// Answers one question as a friendly agent of protocol 99.
fn greet(mut stream: UnixStream) -> std::io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut head = [0; 5];
    stream.read_exact(&mut head)?;
    let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]);
    let mut question = vec![0; length.min(1 << 16) as usize];
    stream.read_exact(&mut question)?;
    let clock = json!({ "wall_ms": 1, "boot": "b", "since_boot_ms": 1 });
    let hello = json!({
        "answer": "hello",
        "with": { "protocol": 99, "version": "9.9.9", "root": "/", "arch": "amd64", "clock": clock },
    });
    let text = hello.to_string();
    stream.write_all(b"M")?;
    stream.write_all(&(text.len() as u32).to_be_bytes())?;
    stream.write_all(text.as_bytes())
}

fn older_agent(ground: &mut Ground) -> Result<Outcome> {
    ground.release("2")?;
    ground.kill_agent()?;
    let socket: &Path = &ground.host.root.join("run/guanka/agent.sock");
    let agent = OlderAgent::start(socket.to_owned())?;
    let expected = Expected {
        exit: 1,
        code: "GK1201",
        both: vec!["99".to_owned(), "guanka".to_owned()],
        zh: "协议版本",
        en: "speaks protocol 99",
        ..Expected::default()
    };
    let tried = ["ship", "status"].into_iter().try_for_each(|verb| {
        // Both languages, the host as it was, the old release serving.
        ground.refuses(&[verb], &expected)
    });
    drop(agent);
    tried.map(|()| Outcome::Clear)
}
