//! Ways in and out: a program that runs is adopted where it runs, releases take over, and leaving
//! brings it back under whoever kept it, with no visitor lost.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::edits::{GoProject, is_alive};
use super::ground::{Ground, SITE, ask};
use super::visitors::{Class, Met, Visitors};
use super::{Case, Outcome};
use crate::lab::bad_input::snapshot::Snapshot;
use crate::lab::example;
use crate::process;

/// What each small command may take; Go's build cache may be cold.
pub(super) const LIMIT: Duration = Duration::from_secs(60);

/// The cases, each on a host of its own.
pub(super) const CASES: &[Case] = &[
    ("a Go project of the panel: adopted, taken over, given back", go_project),
    ("a program started with nohup: adopted, taken over, given back", nohup),
    ("a program of the Supervisor plugin: adopted, taken over, given back", supervisor),
    ("a static site with the panel's reverse proxy: only with consent, every byte back", classic),
];

/// The classes of visitors, in the order in which they are printed.
const CLASSES: [(Class, &str); 3] =
    [(Class::Closing, "closing"), (Class::FinAware, "FIN-aware"), (Class::Naive, "naive")];

/// Visitors of all three classes: 20 connections each, some 400 requests a second together.
struct Crowd(Vec<Visitors>);

impl Crowd {
    fn start(port: u16, host: &str) -> Self {
        let of = |(class, _): (Class, _)| Visitors::start(port, host, class, (20, 7));
        Self(CLASSES.map(of).into_iter().collect())
    }

    fn end(self) -> Vec<Met> {
        self.0.into_iter().map(Visitors::end).collect()
    }
}

/// Prints what the classes met.
fn told(what: &str, met: &[Met]) {
    let one = |((_, name), met): (&(Class, &str), &Met)| {
        let crossed = match met.crossed {
            0 => String::new(),
            some => format!(" ({some} crossed with a close)"),
        };
        format!("{name} {} of {}{crossed}", met.failed, met.requests)
    };
    let list: Vec<String> = CLASSES.iter().zip(met).map(one).collect();
    println!("      {what}: failed: {}", list.join(", "));
}

/// How many of some twenty connections may cross with the close of a reload: one in hundreds does.
const CROSSED_MAX: u64 = 2;

/// Holds closing and FIN-aware visitors to having met nothing.
fn unhurt(what: &str, met: &[Met]) -> Result<()> {
    told(what, met);
    for ((_, name), met) in CLASSES.iter().zip(met).take(2) {
        ensure!(met.failed == 0, "{what}: {} {name} visitors failed: {:?}", met.failed, met.first);
        let Met { crossed, .. } = met;
        ensure!(*crossed <= CROSSED_MAX, "{what}: {crossed} {name} visitors met a close");
    }
    Ok(())
}

/// The program that ran before guanka came: the example of an older day, built into the site's own
/// folder with what it needs beside it.
pub(super) fn old_program(ground: &Ground) -> Result<PathBuf> {
    let folder = ground.host.root.join("www/wwwroot/api");
    let source = ground.folder.join("old");
    example::copy(&ground.repository, &source)?;
    example::release(&source, "old")?;
    let program = folder.join("api");
    let mut go = process::clean(&ground.tools.go);
    go.args(["build", "-o"]).arg(&program).arg(".").current_dir(&source);
    go.env("CGO_ENABLED", "0").env("GOTOOLCHAIN", "local").env("GOFLAGS", "-buildvcs=false");
    for key in ["HOME", "GOCACHE", "GOPATH", "GOPROXY"] {
        if let Some(value) = std::env::var_os(key) {
            go.env(key, value);
        }
    }
    process::run(&mut go, &ground.folder.join("go.log"), LIMIT)?;
    for name in ["conf", "uploads"] {
        fs::create_dir_all(folder.join(name))?;
    }
    fs::copy(source.join("conf/catalog.json"), folder.join("conf/catalog.json"))?;
    fs::write(folder.join("uploads/photo"), "a user's")?;
    Ok(program)
}

pub(super) fn env(ground: &Ground) -> Vec<(String, String)> {
    let listen = format!("127.0.0.1:{}", ground.host.ports.api_backend);
    vec![("PORT".to_owned(), listen), ("API_KEY".to_owned(), "k-12345".to_owned())]
}

/// Returns all that lies on the host but what guanka keeps for itself, by path.
pub(super) fn files_of(ground: &Ground) -> Result<BTreeMap<PathBuf, Vec<u8>>> {
    let mut found = BTreeMap::new();
    let mut folders: Vec<PathBuf> =
        ["etc/supervisor", "www/server/panel", "www/server/nginx/conf", "www/wwwroot", "var/tmp"]
            .map(|name| ground.host.root.join(name))
            .to_vec();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| format!("{}", folder.display()))? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if !is_own(&path) {
                let bytes = fs::read(&path)?;
                found.insert(path, bytes);
            }
        }
    }
    Ok(found)
}

/// Files that name a process, and logs.
fn is_own(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == "pid" || ending == "log")
}

pub(super) fn same_files(ground: &Ground, before: &BTreeMap<PathBuf, Vec<u8>>) -> Result<()> {
    let after = files_of(ground)?;
    let differs = |path: &&PathBuf| before.get(*path) != after.get(*path);
    let list: Vec<&PathBuf> = before
        .keys()
        .chain(after.keys().filter(|p| !before.contains_key(*p)))
        .filter(differs)
        .collect();
    ensure!(list.is_empty(), "not as before: {list:?}");
    Ok(())
}

/// Returns the variable of a process.
fn variable(pid: u32, name: &str) -> Option<String> {
    let bytes = fs::read(format!("/proc/{pid}/environ")).ok()?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    text.split('\0').find_map(|pair| pair.strip_prefix(&format!("{name}=")).map(str::to_owned))
}

/// Returns an arm as `status` tells of it.
fn arm(ground: &Ground, name: &str) -> Result<Value> {
    Ok(ground.status()?["host"]["arms"][name].clone())
}

fn pid_of(arm: &Value) -> Result<u32> {
    let pid = arm["pid"].as_u64().context("the arm has a process")?;
    Ok(u32::try_from(pid)?)
}

/// Returns the process that is blue.
pub(super) fn pid_of_blue(ground: &Ground) -> Result<u32> {
    pid_of(&arm(ground, "blue")?)
}

/// Adopts what runs, with visitors on the site: a plan that changes nothing, then the deed.
fn adopt(ground: &Ground, keeper: &str, more: &[&str], host: &str, port: u16) -> Result<u32> {
    let before = Snapshot::of(&ground.host.root)?;
    let plan = ground.call(&[&["adopt"], more].concat())?.exits(0)?;
    for word in [keeper, "Nothing was changed", "API_KEY", "uploads"] {
        ensure!(plan.text().contains(word), "the plan does not say {word:?}: {}", plan.shown());
    }
    ensure!(!plan.text().contains("k-12345"), "the plan tells a secret: {}", plan.shown());
    before.same_as(&Snapshot::of(&ground.host.root)?).context("a plan changes nothing")?;
    let crowd = Crowd::start(port, host);
    let done = ground.call(&[&["adopt", "--yes"], more].concat());
    let met = crowd.end();
    done?.exits(0)?;
    unhurt("adoption (one reload)", &met)?;
    let (status, body) = ask(port, host, "/healthz")?;
    ensure!(status == 200 && body.contains("\"old\""), "{status}: {body}");
    let status = ground.status()?;
    ensure!(status["host"]["active"] == "blue", "blue is stable: {status}");
    pid_of_blue(ground)
}

/// Ships a release with visitors on the site; nobody may notice.
pub(super) fn ship(ground: &Ground, release: &str, host: &str, port: u16) -> Result<()> {
    example::release(&ground.project, release)?;
    let crowd = Crowd::start(port, host);
    let done = ground.call(&["ship"]);
    let met = crowd.end();
    done?.exits(0)?;
    unhurt(&format!("release {release}"), &met)?;
    let (status, body) = ask(port, host, "/healthz")?;
    let is_it = body.contains(&format!("\"release\":\"{release}\""));
    ensure!(status == 200 && is_it, "{status} and not release {release}: {body}");
    Ok(())
}

/// Leaves with visitors on the site: a plan, then the deed; the old program answers again.
pub(super) fn leave(ground: &Ground, host: &str, port: u16) -> Result<()> {
    let before = Snapshot::of(&ground.host.root)?;
    ground.call(&["leave"])?.exits(0)?;
    before.same_as(&Snapshot::of(&ground.host.root)?).context("a plan changes nothing")?;
    let crowd = Crowd::start(port, host);
    let done = ground.call(&["leave", "--yes"]);
    let met = crowd.end();
    done?.exits(0)?;
    unhurt("leaving", &met)?;
    let (status, body) = ask(port, host, "/healthz")?;
    ensure!(status == 200 && body.contains("\"old\""), "after leaving {status}: {body}");
    let left = ["opt/guanka/shop.demo", "var/lib/guanka/shop.demo"];
    for path in left.map(|path| ground.host.root.join(path)) {
        ensure!(!path.exists(), "{} is left", path.display());
    }
    Ok(())
}

/// Holds green to what the old program had: its folder, its variables, its user.
fn carried(ground: &Ground, old: &Old) -> Result<()> {
    let green = pid_of(&arm(ground, "green")?)?;
    let folder = fs::read_link(format!("/proc/{green}/cwd"))?;
    ensure!(folder == old.folder, "green works in {}", folder.display());
    ensure!(variable(green, "API_KEY").as_deref() == Some("k-12345"), "green lacks API_KEY");
    ensure!(variable(green, "PORT") != old.listen, "green was told the old address");
    let meta = fs::metadata(format!("/proc/{green}"))?;
    let uid = std::os::unix::fs::MetadataExt::uid(&meta);
    ensure!(uid == old.uid, "green runs as {uid}");
    Ok(())
}

/// What the program was when it was found.
pub(super) struct Old {
    folder: PathBuf,
    listen: Option<String>,
    uid: u32,
    argv: Vec<u8>,
}

impl Old {
    pub(super) fn of(pid: u32) -> Result<Self> {
        let meta = fs::metadata(format!("/proc/{pid}"))?;
        Ok(Self {
            folder: fs::read_link(format!("/proc/{pid}/cwd"))?,
            listen: variable(pid, "PORT"),
            uid: std::os::unix::fs::MetadataExt::uid(&meta),
            argv: fs::read(format!("/proc/{pid}/cmdline"))?,
        })
    }

    /// Holds a process to being the same program as before.
    pub(super) fn is(&self, pid: u32) -> Result<()> {
        let now = Self::of(pid)?;
        let same = now.folder == self.folder
            && now.listen == self.listen
            && now.uid == self.uid
            && now.argv == self.argv;
        ensure!(same && variable(pid, "API_KEY").is_some(), "it came back in another way");
        Ok(())
    }
}

/// Returns who listens on the old program's port.
pub(super) fn listener(ground: &Ground) -> Result<u32> {
    let port = ground.host.ports.api_backend;
    let mut ss = process::clean("/bin/ss".as_ref());
    let filter = format!("sport = :{port}");
    let said = process::run(ss.args(["-Hltnp", &filter]), &ground.folder.join("ss.log"), LIMIT)?;
    let pid = said.split("pid=").nth(1).and_then(|rest| rest.split(',').next());
    pid.and_then(|pid| pid.parse().ok()).with_context(|| format!("nobody listens on {port}"))
}

/// Writes guanka.toml with short gates and the old program's user.
pub(super) fn declare(ground: &Ground, domain: &str) -> Result<()> {
    ground.manifest(domain)?;
    let path = ground.project.join("guanka.toml");
    let text = fs::read_to_string(&path)?;
    let from = "manager    = \"supervisor\"\n";
    ensure!(text.contains(from), "the example names its manager");
    let mut text = text.replacen(from, &format!("{from}user = \"www\"\n"), 1);
    if domain != SITE {
        // The Go project's own site leads to the same program, and so to its metrics.
        let open = "[proxy]\nmetrics = \"/metrics\"\nmetrics_allow = [\"all\"]\n";
        text = text.replacen("[proxy]\n", open, 1);
    }
    fs::write(&path, text)?;
    Ok(())
}

/// Adopts, ships twice, leaves; the program is the same before and after.
fn there_and_back(ground: &Ground, keeper: &str, more: &[&str], site: (&str, u16)) -> Result<Old> {
    let (host, port) = site;
    let before = files_of(ground)?;
    let pid = listener(ground)?;
    let old = Old::of(pid)?;
    ensure!(adopt(ground, keeper, more, host, port)? == pid, "blue is another process");
    declare(ground, host)?;
    ship(ground, "1", host, port)?;
    ensure!(!is_alive(pid), "the old program still runs");
    carried(ground, &old)?;
    let refused = ground.call(&["remove", "--yes"])?.exits(1)?;
    ensure!(refused.text().contains("guanka leave"), "{}", refused.shown());
    ship(ground, "2", host, port)?;
    leave(ground, host, port)?;
    old.is(listener(ground)?)?;
    same_files(ground, &before)?;
    Ok(old)
}

fn go_project(ground: &mut Ground) -> Result<Outcome> {
    let program = old_program(ground)?;
    let project = GoProject { name: "api".to_owned(), program, env: env(ground) }.checked()?;
    let first = ground.panel.start_project(&project)?;
    ground.started.push(first);
    ground.comes_to_serve("old")?;
    let crowd = Crowd::start(ground.site.port, SITE);
    let restarted = ground.panel.restart_project(&project).or_else(|_| {
        // The old process had the port still: the panel gives up, and so a person starts it again.
        process::wait_for("the old process has ended", LIMIT, || (!is_alive(first)).then_some(()))?;
        ground.panel.start_project(&project)
    });
    let met = crowd.end();
    ground.started.push(restarted?);
    told("the panel's own restart", &met);
    // Nothing is declared yet: what runs and the source tell.
    fs::remove_file(ground.project.join("guanka.toml"))?;
    let root = format!("local:{}", ground.host.root.display());
    let more = ["--domain", SITE, "--host", &root, "--env", "demo"];
    let site = (SITE, ground.site.port);
    there_and_back(ground, "the panel's Go project api", &more, site)?;
    let pid = ground.panel.project_pid(&project).context("the panel sees its project run")?;
    ground.started.push(pid);
    ensure!(!ground.panel.guard(&project)?, "the panel's guard starts it a second time");
    Ok(Outcome::Clear)
}

/// Starts the old program as a person would.
pub(super) fn start_by_hand(ground: &mut Ground) -> Result<()> {
    let program = old_program(ground)?;
    let project = GoProject { name: "byhand".to_owned(), program, env: env(ground) };
    let pid = ground.panel.start_project(&project)?;
    ground.started.push(pid);
    fs::remove_file(ground.panel.pid_file(&project))?;
    Ok(())
}

fn nohup(ground: &mut Ground) -> Result<Outcome> {
    start_by_hand(ground)?;
    ground.comes_to_serve("old")?;
    declare(ground, SITE)?;
    there_and_back(ground, "nobody (nohup)", &[], (SITE, ground.site.port))?;
    ground.started.push(listener(ground)?);
    Ok(Outcome::Clear)
}

fn supervisor(ground: &mut Ground) -> Result<Outcome> {
    if let Some(why) = start_supervised(ground)? {
        return Ok(Outcome::Skipped(why));
    }
    there_and_back(ground, "Supervisor's program api", &[], (SITE, ground.site.port))?;
    Ok(Outcome::Clear)
}

/// Has the panel's Supervisor keep the old program; returns why that cannot be tried here.
pub(super) fn start_supervised(ground: &mut Ground) -> Result<Option<String>> {
    let program = old_program(ground)?;
    let folder = program.parent().unwrap_or(Path::new("/")).display().to_string();
    let logs = ground.host.root.join("www/server/panel/plugin/supervisor/log");
    let variables: Vec<String> =
        env(ground).iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
    let ini = format!(
        "[program:api]\ncommand={}\ndirectory={folder}/\nautorestart=true\nstartsecs=1\n\
         startretries=3\nstdout_logfile={1}/api.out.log\nstderr_logfile={1}/api.err.log\n\
         environment={2}\nuser=www-data\npriority=999\nnumprocs=1\n\
         process_name=%(program_name)s_%(process_num)02d\n",
        program.display(),
        logs.display(),
        variables.join(","),
    );
    let own = "/etc/passwd".to_owned();
    let users = fs::read_to_string(&own)?;
    let Some(id) = users.lines().find_map(|line| line.strip_prefix("www-data:x:")) else {
        return Ok(Some("this machine has no user www-data".to_owned()));
    };
    // Supervisor looks its users up on the machine, guanka in the host root.
    let id = id.split(':').next().unwrap_or_default();
    let passwd = ground.host.root.join("etc/passwd");
    fs::write(&passwd, fs::read_to_string(&passwd)?.replace("1001", id))?;
    let file = ground.host.root.join("www/server/panel/plugin/supervisor/profile/api.ini");
    fs::write(&file, ini)?;
    let mut ctl = process::clean(&ground.host.supervisorctl);
    ctl.arg("-c").arg(ground.host.root.join("etc/supervisor/supervisord.conf")).arg("update");
    process::run(&mut ctl, &ground.folder.join("ctl.log"), LIMIT)?;
    ground.comes_to_serve("old")?;
    declare(ground, SITE)?;
    Ok(None)
}

fn classic(ground: &mut Ground) -> Result<Outcome> {
    let site = "shop.example.com";
    start_by_hand(ground)?;
    ground.panel.create_proxy(site, ground.host.ports.api_backend)?;
    let port = ground.host.ports.shop;
    process::wait_for("the rule answers", LIMIT, || {
        ask(port, site, "/healthz").is_ok_and(|(status, _)| status == 200).then_some(())
    })?;
    ground.panel.pause_proxy(site)?;
    ground.panel.resume_proxy(site)?;
    declare(ground, site)?;
    let before = Snapshot::of(&ground.host.root)?;
    let refused = ground.call(&["adopt", "--yes"])?;
    ensure!(refused.exit == 1, "{}", refused.shown());
    ensure!(refused.text().contains("--pause-panel-proxy"), "{}", refused.shown());
    before.same_as(&Snapshot::of(&ground.host.root)?).context("refused without a change")?;
    let workers = ground.workers()?;
    there_and_back(ground, "nobody (nohup)", &["--pause-panel-proxy"], (site, port))?;
    ensure!(ground.workers()? != workers, "nginx was never reloaded");
    if !ground.panel.rule(site).exists() {
        bail!("the panel's rule is not back");
    }
    ground.started.push(listener(ground)?);
    Ok(Outcome::Clear)
}
