//! What can be wrong on the host: no nginx, somebody else's broken nginx, a port that another
//! process has, a release that was changed, a full disk, a second driver.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::ground::{self, FOREIGN, Ground};
use super::program::{Expected, Lang};
use super::snapshot::Snapshot;
use super::{Case, Outcome};
use crate::hostroot::{self, Ports};
use crate::setup;

/// The cases.
pub(crate) const CASES: &[Case] = &[
    ("a host without nginx", no_nginx),
    ("a host root that is not there", no_root),
    ("another site's broken nginx file before an install", broken_before_install),
    ("logrotate told to rotate guanka's logs", second_rotator),
    ("a port taken by another process, before a release", port_taken),
    ("a full disk while a release is put in place", full_disk),
    ("a second ship while one runs, and another site's broken file meanwhile", second_ship),
    ("a port taken by another process, between two steps", port_taken_later),
    ("a release changed by somebody between its arrival and its start", tampered),
    ("a release changed by somebody, with its source gone", tampered_for_good),
];

fn no_nginx(ground: &mut Ground) -> Result<Outcome> {
    let root = ground.folder.join("bare");
    let tools = setup::ensure()?;
    let host = hostroot::create(&root, &tools, Ports::free()?)?;
    fs::remove_file(host.root.join("www/server/nginx/conf/nginx.conf"))?;
    let old = format!("local:{}", ground.host.root.display());
    ground.rewrite("guanka.toml", &old, &format!("local:{}", host.root.display()))?;
    let before = Snapshot::of(&host.root)?.without_agent();
    let tried = (|| {
        let expected = Expected {
            exit: 1,
            code: "GK1202",
            both: vec![host.root.display().to_string(), "nginx".to_owned()],
            zh: "没有找到 nginx",
            en: "no nginx was found",
            ..Expected::default()
        };
        ground.refuses(&["ship"], &expected)?;
        before.same_as(&Snapshot::of(&host.root)?.without_agent())?;
        let left = host.root.join("var/lib/guanka/shop.demo/settings.json");
        ensure!(!left.exists(), "{} was left", left.display());
        Ok(Outcome::Clear)
    })();
    ground::kill_agent(&ground.guanka.path, &host.root)?;
    tried
}

fn no_root(ground: &mut Ground) -> Result<Outcome> {
    let old = format!("local:{}", ground.host.root.display());
    let root = ground.folder.join("nowhere").display().to_string();
    ground.rewrite("guanka.toml", &old, &format!("local:{root}"))?;
    let expected = Expected {
        exit: 1,
        code: "GK1201",
        both: vec![root],
        zh: "正在联系",
        en: "no such file",
        ..Expected::default()
    };
    ground.refuses(&["ship"], &expected)?;
    Ok(Outcome::Clear)
}

/// Breaks another site's file.
fn break_foreign(ground: &Ground) -> Result<()> {
    let broken = format!("{}\nno_such_directive on;\n", ground.foreign);
    fs::write(ground.host.root.join(FOREIGN), broken).context("break the other site")
}

/// Puts the other site's file back.
fn mend_foreign(ground: &Ground) -> Result<()> {
    fs::write(ground.host.root.join(FOREIGN), &ground.foreign).context("mend the other site")
}

fn broken_before_install(ground: &mut Ground) -> Result<Outcome> {
    break_foreign(ground)?;
    ground.rewrite("guanka.toml", "keepalive    = \"2s\"", "keepalive    = \"3s\"")?;
    let workers = ground.nginx_workers()?;
    let expected = Expected {
        exit: 1,
        code: "GK1202",
        both: vec!["no_such_directive".to_owned(), "go_api.conf:".to_owned()],
        zh: "请先修复",
        en: "before guanka touched anything",
        ..Expected::default()
    };
    let tried =
        ["ship", "plan"].into_iter().try_for_each(|word| ground.refuses(&[word], &expected));
    mend_foreign(ground)?;
    tried?;
    ensure!(ground.nginx_workers()? == workers, "nginx was reloaded");
    Ok(Outcome::Clear)
}

fn second_rotator(ground: &mut Ground) -> Result<Outcome> {
    let file = ground.host.root.join("etc/logrotate.d/mine");
    fs::create_dir_all(file.parent().context("it lies in a folder")?)?;
    fs::write(&file, "weekly\n/var/log/guanka/*/*.log {\n  copytruncate\n}\n")?;
    let expected = Expected {
        exit: 1,
        code: "GK1202",
        both: vec!["etc/logrotate.d/mine:2".to_owned(), "blue.log".to_owned()],
        zh: "两个切割者会丢行",
        en: "Two rotators on one file lose lines",
        ..Expected::default()
    };
    let tried =
        ["ship", "plan"].into_iter().try_for_each(|word| ground.refuses(&[word], &expected));
    fs::remove_file(&file)?;
    tried?;
    Ok(Outcome::Clear)
}

/// Takes the idle arm's port, which the agent holds while it runs.
fn take_port(ground: &Ground) -> Result<(TcpListener, Expected)> {
    let port = ground.port(ground.idle_arm()?)?;
    ground.kill_agent()?;
    let listener = TcpListener::bind(("127.0.0.1", port)).context("take the port")?;
    let expected = Expected {
        exit: 1,
        code: "GK1211",
        both: vec![port.to_string(), std::process::id().to_string(), "xtask".to_owned()],
        zh: "占用",
        en: "is taken by process",
        ..Expected::default()
    };
    Ok((listener, expected))
}

fn port_taken(ground: &mut Ground) -> Result<Outcome> {
    ground.release("2")?;
    let (listener, expected) = take_port(ground)?;
    ground.refuses(&["ship"], &expected)?;
    drop(listener);
    Ok(Outcome::Clear)
}

/// A small disk over a folder, holding what is there now.
pub(super) struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Mounts it; nothing where this user or this machine cannot.
    pub(super) fn over(ground: &Ground, folder: &Path) -> Result<Option<Self>> {
        let aside = ground.folder.join("disk");
        fs::create_dir_all(&aside).context("make a folder")?;
        let (from, to) = (folder.display().to_string(), aside.display().to_string());
        let used = ground::system(&ground.folder, "/usr/bin/du", &["-sm", &from])?;
        let used: u64 = used.split_whitespace().next().and_then(|n| n.parse().ok()).unwrap_or(64);
        let size = format!("size={}m,mode=0755", used + 3);
        let mount = |words: &[&str]| ground::system(&ground.folder, "/bin/mount", words);
        if mount(&["-t", "tmpfs", "-o", &size, "guanka-lab", &to]).is_err() {
            return Ok(None);
        }
        let small = Self(aside);
        ground::system(&ground.folder, "/bin/cp", &["-a", &format!("{from}/."), &to])?;
        mount(&["--bind", &to, &from])?;
        // The first mount is not needed any more; the second one is what is taken away in the end.
        drop(small);
        Ok(Some(Self(folder.to_owned())))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let folder = self.0.display().to_string();
        let log = std::env::temp_dir();
        // Best effort; what stays mounted shows when the folder cannot be removed.
        let _ = ground::system(&log, "/bin/umount", &["-l", &folder]);
    }
}

fn full_disk(ground: &mut Ground) -> Result<Outcome> {
    if !setup::is_root() {
        return Ok(Outcome::Skipped("only root can mount a small disk".to_owned()));
    }
    ground.release("2")?;
    let folder = ground.host.root.join("opt/guanka/shop.demo/releases");
    let Some(disk) = SmallDisk::over(ground, &folder)? else {
        return Ok(Outcome::Skipped("this machine does not let a tmpfs be mounted".to_owned()));
    };
    let expected = Expected {
        exit: 1,
        both: vec![folder.display().to_string(), "guanka ship".to_owned()],
        zh: "磁盘空间不足",
        en: "no space left",
        ..Expected::default()
    };
    let tried = ground.refuses(&["ship"], &expected);
    drop(disk);
    tried.map(|()| Outcome::Clear)
}

fn port_taken_later(ground: &mut Ground) -> Result<Outcome> {
    ground.release("4")?;
    ground.guanka.call(Lang::En, &ground.words(&["ship", "--until", "stage"]))?.exits(0)?;
    let (listener, expected) = take_port(ground)?;
    ground.refuses(&["resume"], &expected)?;
    drop(listener);
    ground.still_serves()?;
    Ok(Outcome::Clear)
}

/// Users who come all the while, each with a cookie of its own.
struct Users {
    stop: Arc<AtomicBool>,
    failed: Arc<AtomicU32>,
    thread: JoinHandle<()>,
}

impl Users {
    fn begin(port: u16) -> Self {
        let (stop, failed) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
        let (stopped, failures) = (Arc::clone(&stop), Arc::clone(&failed));
        let thread = thread::spawn(move || {
            let mut user = 0_u32;
            while !stopped.load(Ordering::SeqCst) {
                user += 1;
                let name = format!("user{user}");
                let answer = ground::ask(port, "/products?q=cup", &name);
                if !answer.is_ok_and(|text| text.contains(" 200 ")) {
                    failures.fetch_add(1, Ordering::SeqCst);
                }
                thread::sleep(Duration::from_millis(20));
            }
        });
        Self { stop, failed, thread }
    }

    /// Sends everyone home; returns how many requests failed.
    fn end(self) -> u32 {
        self.stop.store(true, Ordering::SeqCst);
        let ended = self.thread.join();
        self.failed.load(Ordering::SeqCst) + u32::from(ended.is_err())
    }
}

fn second_ship(ground: &mut Ground) -> Result<Outcome> {
    ground.release("3")?;
    break_foreign(ground)?;
    let workers = ground.nginx_workers()?;
    let users = Users::begin(ground.host.ports.shop);
    let tried = (|| {
        let first = ground.guanka.start(Lang::En, &ground.words(&["ship"]))?;
        ground.wait_for_state("canary")?;
        let expected = Expected {
            exit: 7,
            code: "GK1207",
            both: vec![format!("pid {}", first.pid()), "20".to_owned()],
            zh: "秒后自行失效",
            en: "it ends by itself in",
            ..Expected::default()
        };
        for lang in [Lang::En, Lang::Zh] {
            let second = ground.guanka.call(lang, &ground.words(&["ship"]))?;
            expected.holds(lang, &second)?;
        }
        // A release never reloads nginx, so a file that nginx would refuse cannot hurt it.
        first.end()?.exits(0).map(|_| ())
    })();
    let failed = users.end();
    mend_foreign(ground)?;
    tried?;
    ensure!(failed == 0, "{failed} requests of users failed during the release");
    ensure!(ground.nginx_workers()? == workers, "nginx was reloaded");
    ground.serves = "3";
    ground.still_serves()?;
    Ok(Outcome::Clear)
}

/// Changes the last byte of the candidate's program on the host; returns the file.
fn tamper(ground: &Ground) -> Result<PathBuf> {
    let status = ground.status()?;
    let release = status["rollout"]["release"]["release"].as_str().context("a release")?;
    let folder = ground.host.root.join("opt/guanka/shop.demo/releases").join(release).join("bin");
    let program = fs::read_dir(&folder)
        .with_context(|| format!("read {}", folder.display()))?
        .flatten()
        .next()
        .context("a program")?
        .path();
    let mut bytes = fs::read(&program).context("read the program")?;
    let Some(last) = bytes.last_mut() else { bail!("{} is empty", program.display()) };
    *last ^= 1;
    fs::write(&program, bytes).context("write the program")?;
    Ok(program)
}

/// Goes on with the release that the case before has left staged, its port free again.
fn tampered(ground: &mut Ground) -> Result<Outcome> {
    let program = tamper(ground)?;
    let changed = fs::read(&program)?;
    let resume = ground.guanka.start(Lang::En, &ground.words(&["resume"]))?;
    ground.wait_for_state("canary\"")?;
    ensure!(fs::read(&program)? != changed, "a changed program was started");
    // Stopped while users may have it: tried and taken back. Its driver hears that it is not one.
    ground.guanka.call(Lang::En, &ground.words(&["abort"]))?.exits(5)?;
    let answer = resume.end()?.exits(7)?;
    ensure!(answer.text().contains("not started, sent anew"), "it is not told: {}", answer.shown());
    let audit = ground
        .guanka
        .call(Lang::En, &["audit", "show", "--root", &ground.host.root.display().to_string()])?;
    let is_kept = audit.text().contains("damaged-release-replaced");
    ensure!(is_kept, "the audit log does not say it: {}", audit.shown());
    ground.still_serves()?;
    Ok(Outcome::Clear)
}

fn tampered_for_good(ground: &mut Ground) -> Result<Outcome> {
    ground.release("5")?;
    ground.guanka.call(Lang::En, &ground.words(&["ship", "--until", "stage"]))?.exits(0)?;
    tamper(ground)?;
    // The source has moved on: what is built from it now is another release.
    ground.release("6")?;
    let expected = Expected {
        exit: 1,
        code: "GK1212",
        both: vec!["bin/".to_owned(), "guanka abort".to_owned()],
        zh: "已被改动",
        en: "was changed",
        ..Expected::default()
    };
    ground.refuses(&["resume"], &expected)?;
    ground.guanka.call(Lang::En, &ground.words(&["abort"]))?;
    Ok(Outcome::Clear)
}
