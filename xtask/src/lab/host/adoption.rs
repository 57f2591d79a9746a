//! Programs that ran on the machine before guanka came, under systemd and under the panel: adopted
//! over SSH, taken over by a unit of guanka's, given back, with visitors on their site.

use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::Case;
use super::ground::Ground;
use crate::lab::example;
use crate::lab::panel::visitors::{Class, Met, Visitors};
use crate::process;

pub(super) const CASES: &[Case] = &[
    ("a hand-written unit: adopted over SSH, taken over by systemd arms, given back", unit),
    ("a Go project of the panel: the same, and nothing of the agent's sandbox on it", project),
    ("after leaving, the same program can be adopted again", adopted_again),
];

/// The Go project's site, and where it and its program listen in the machine.
const SITE: &str = "api.example.com";
const PORT: u16 = 8001;
const BACKEND: u16 = 8002;
/// Where the old program lies.
const FOLDER: &str = "/www/wwwroot/api";
/// The unit as a person has written it.
const UNIT: &str = "[Unit]\nDescription=api\n\n[Service]\nUser=www-data\n\
    WorkingDirectory=/www/wwwroot/api\nEnvironment=PORT=127.0.0.1:8002\n\
    Environment=API_KEY=k-12345\nExecStart=/www/wwwroot/api/api\nRestart=always\n\n\
    [Install]\nWantedBy=multi-user.target\n";
/// How the panel starts its Go project.
const START: &str = "cd /www/wwwroot/api && export PORT=127.0.0.1:8002 API_KEY=k-12345 && \
    nohup setpriv --reuid www-data --regid www-data --clear-groups /www/wwwroot/api/api \
    >>/www/wwwlogs/go/api.log 2>&1 & echo $! >/var/tmp/gopids/api.pid";
const PID_FILE: &str = "/var/tmp/gopids/api.pid";
/// Go's build cache may be cold, and so may the machine.
const LIMIT: Duration = Duration::from_secs(60);
/// The classes of visitors, in the order in which they are printed.
const CLASSES: [(Class, &str); 3] =
    [(Class::Closing, "closing"), (Class::FinAware, "FIN-aware"), (Class::Naive, "naive")];
/// How many of some twenty connections may cross with the close of a reload.
const CROSSED_MAX: u64 = 2;

/// Does something in the machine's own network.
fn inside<T: Send>(ground: &Ground, act: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    let door = PathBuf::from("/run/netns").join(&ground.machine.wire.machine);
    let door = fs::File::open(&door).with_context(|| format!("open {}", door.display()))?;
    let go = move || {
        let door = std::os::fd::AsFd::as_fd(&door);
        move_into_link_name_space(door, Some(LinkNameSpaceType::Network))
            .context("enter the machine's network")?;
        act()
    };
    thread::scope(|scope| scope.spawn(go).join().map_err(|_| anyhow!("a thread has panicked"))?)
}

/// Visitors of all classes in the machine's own network, while a call is made.
fn under_visitors(ground: &Ground, what: &str, words: &[&str]) -> Result<()> {
    let start = || {
        let of = |(class, _)| Visitors::start(PORT, SITE, class, (20, 7));
        Ok(CLASSES.map(of))
    };
    let crowd = inside(ground, start)?;
    let done = ground.project_call(words);
    let met: Vec<Met> = crowd.into_iter().map(Visitors::end).collect();
    done?.exits(0)?;
    let list = CLASSES.iter().zip(&met).map(|((_, name), met)| {
        format!("{name} {} of {} ({} crossed)", met.failed, met.requests, met.crossed)
    });
    println!("         {what}: failed: {}", list.collect::<Vec<_>>().join(", "));
    for ((_, name), met) in CLASSES.iter().zip(&met).take(2) {
        ensure!(met.requests > 0 && met.failed == 0, "{what}: {name} visitors: {met:?}");
        ensure!(met.crossed <= CROSSED_MAX, "{what}: {name} visitors: {met:?}");
    }
    Ok(())
}

/// Holds the site to being answered by a release, or by the old program.
fn answers(ground: &Ground, release: &str) -> Result<()> {
    let url = format!("http://127.0.0.1:{PORT}/healthz");
    let host = format!("Host: {SITE}");
    let said = ground.machine.run(&["curl", "-sf", "-m", "5", "-H", &host, &url])?;
    ensure!(said.contains(&format!("\"release\":\"{release}\"")), "not {release}: {said}");
    Ok(())
}

fn comes_to_answer(ground: &Ground, release: &str) -> Result<()> {
    process::wait_for("the site answers", LIMIT, || answers(ground, release).ok())
}

/// Returns the old program's process, as whoever listens on its port.
fn listener(ground: &Ground) -> Result<String> {
    let said = ground.machine.run(&["ss", "-Hltnp", &format!("sport = :{BACKEND}")])?;
    let pid = said.split("pid=").nth(1).and_then(|rest| rest.split(',').next());
    pid.map(str::to_owned).with_context(|| format!("nobody listens on {BACKEND}: {said}"))
}

/// Puts the old program on the machine, built from the example of an older day.
fn old_program(ground: &Ground) -> Result<()> {
    let folder = ground.machine.root().join(FOLDER.trim_start_matches('/'));
    let source = ground.at("old");
    if source.exists() {
        return Ok(());
    }
    example::copy(&ground.repository, &source)?;
    example::release(&source, "old")?;
    for name in ["conf", "uploads"] {
        fs::create_dir_all(folder.join(name))?;
    }
    let mut go = ground.go();
    go.args(["build", "-o"]).arg(folder.join("api")).arg(".").current_dir(&source);
    go.env("CGO_ENABLED", "0").env("GOTOOLCHAIN", "local").env("GOFLAGS", "-buildvcs=false");
    process::run(&mut go, &ground.at("go.log"), LIMIT)?;
    fs::copy(source.join("conf/catalog.json"), folder.join("conf/catalog.json"))?;
    ground.machine.run(&["chown", "-R", "www-data:www-data", FOLDER])?;
    // The project as its owner would declare it beside what runs.
    ground.rewrite("guanka.toml", "shop.example.com", SITE)?;
    let kept_by = "manager    = \"systemd\"\n";
    ground.rewrite("guanka.toml", kept_by, &format!("{kept_by}user = \"www-data\"\n"))
}

/// Adopts, ships, leaves, each under visitors; `keeper` is how the plan calls who keeps it.
fn there_and_back(ground: &Ground, keeper: &str, release: &str) -> Result<()> {
    comes_to_answer(ground, "old")?;
    let pid = listener(ground)?;
    let plan = ground.project_call(&["adopt"])?.exits(0)?;
    let plan = plan.says(&[keeper, "Nothing was changed", "API_KEY", "uploads"])?;
    ensure!(!plan.text.contains("k-12345"), "the plan tells a secret: {}", plan.text);
    under_visitors(ground, "adoption (one reload)", &["adopt", "--yes"])?;
    answers(ground, "old")?;
    ensure!(listener(ground)? == pid, "it was started anew");
    ground.release(release)?;
    under_visitors(ground, "a release into a unit of guanka's", &["ship"])?;
    answers(ground, release)?;
    ensure!(ground.machine.is_active("guanka-shop.demo@green.service"), "green is no unit");
    let gone = !ground.machine.root().join("proc").join(&pid).exists();
    ensure!(gone && ground.machine.run(&["kill", "-0", &pid]).is_err(), "{pid} still runs");
    Ok(())
}

/// Leaves under visitors; the old program answers and nothing of the service's is left.
fn leave(ground: &Ground) -> Result<()> {
    under_visitors(ground, "leaving", &["leave", "--yes"])?;
    answers(ground, "old")?;
    let list = "ls -d /opt/guanka/shop.demo /var/lib/guanka/shop.demo \
                /etc/systemd/system/guanka-shop* /www/server/panel/vhost/nginx/zz_guanka* \
                2>/dev/null || true";
    let left = ground.machine.run(&["sh", "-c", list])?;
    ensure!(left.trim().is_empty(), "left: {left}");
    Ok(())
}

fn unit(ground: &mut Ground) -> Result<()> {
    old_program(ground)?;
    let file = ground.machine.root().join("etc/systemd/system/api.service");
    fs::write(&file, UNIT).context("write the unit")?;
    ground.machine.run(&["systemctl", "daemon-reload"])?;
    ground.machine.run(&["systemctl", "enable", "--now", "api.service"])?;
    there_and_back(ground, "systemd's unit api.service", "1")?;
    ensure!(!ground.machine.is_active("api.service"), "the old unit runs");
    let enabled = |ground: &Ground| ground.machine.run(&["systemctl", "is-enabled", "api.service"]);
    ensure!(enabled(ground).is_err(), "the old unit starts at the next boot");
    leave(ground)?;
    ensure!(ground.machine.is_active("api.service"), "the old unit does not run");
    enabled(ground).context("it is not enabled as it was")?;
    ensure!(fs::read_to_string(&file)? == UNIT, "the unit was changed");
    ground.machine.run(&["systemctl", "disable", "--now", "api.service"])?;
    fs::remove_file(&file).context("remove the unit")?;
    ground.machine.run(&["systemctl", "daemon-reload"]).map(|_| ())
}

fn project(ground: &mut Ground) -> Result<()> {
    old_program(ground)?;
    let words = ["systemd-run", "--quiet", "--unit=panel-started", "--property=Type=oneshot"];
    let more = ["--property=RemainAfterExit=yes", "bash", "-c", START];
    ground.machine.run(&[words, more].concat())?;
    there_and_back(ground, "the panel's Go project api", "2")?;
    ground.machine.run(&["test", "!", "-e", PID_FILE]).context("the panel would start it again")?;
    leave(ground)?;
    let pid = listener(ground)?;
    let named = ground.machine.run(&["cat", PID_FILE])?;
    ensure!(named.trim() == pid, "the pid file names {named} and not {pid}");
    let status = ground.machine.run(&["cat", &format!("/proc/{pid}/status")])?;
    // The machine itself runs in a container, whose own filters everything in it has.
    let first = ground.machine.run(&["cat", "/proc/1/status"])?;
    for name in ["Seccomp:", "Seccomp_filters:", "NoNewPrivs:", "CapBnd:"] {
        let of = |text: &str| text.lines().find(|line| line.starts_with(name)).map(str::to_owned);
        let (found, wanted) = (of(&status), of(&first));
        ensure!(found.is_some() && found == wanted, "a sandbox: {found:?} and not {wanted:?}");
    }
    let user = ground.machine.run(&["stat", "-c", "%U %G", &format!("/proc/{pid}")])?;
    ensure!(user.trim() == "www-data www-data", "it came back as {user}");
    // An agent that is started anew takes nothing along.
    ground.machine.run(&["systemctl", "restart", "guanka-helper.service"])?;
    ensure!(listener(ground)? == pid, "it ended with the agent");
    Ok(())
}

fn adopted_again(ground: &mut Ground) -> Result<()> {
    let plan = ground.project_call(&["adopt"])?.exits(0)?;
    plan.says(&["the panel's Go project api"])?;
    // Without its pid file it is what a person would have started.
    ground.machine.run(&["rm", PID_FILE])?;
    ground.project_call(&["adopt"])?.exits(0)?.says(&["nobody (nohup)"])?;
    ground.project_call(&["adopt", "--yes"])?.exits(0)?;
    answers(ground, "old")?;
    leave(ground)
}
