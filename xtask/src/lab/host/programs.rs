//! Programs that a host must live with: one that says itself when it is ready, one with secrets and
//! limits, and the bad ones: hung, leaking, flooding, forking, deaf to SIGTERM, late, broken. Under
//! systemd with limits that hold, and under Supervisor.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::Case;
use super::ground::Ground;
use crate::process;

/// Well above what a state takes to come.
const LIMIT: Duration = Duration::from_secs(60);
/// What a program does, and its secret.
const ODD: &str = include_str!("files/odd.go");
const SECRET: &str = "correct-horse-battery";
/// Where the host's administrator puts it.
const SECRETS: &str = "etc/guanka/credentials/shop.demo";
/// 256 MB, and nine tenths of it as Go is told.
const MEMORY: (&str, &str) = ("256M", "241591905");

/// What one flood writes.
const FLOOD_MB: u64 = 64;

/// Under either manager; what differs is asked for by name.
pub(super) const CASES: &[Case] = &[
    ("a secret that is not there stops the release before anything is changed", no_secret),
    ("a secret that others may read stops it too", open_secret),
    ("limits and secrets reach the program", reached),
    ("its secret is nobody else's and stands in no file, log or environment", secret_kept),
    ("a low port is refused unless it is declared", low_port),
    ("an arm that hangs is started anew, with its trace in the log", hung),
    ("restarts end at their limit, and that is said once", spent),
    ("a flood in the log is bounded", flooded),
    ("a program that forks: no child stays behind, nobody fails", forked),
    ("a program deaf to SIGTERM is killed at its time, nobody fails", deaf),
    ("a program that listens late is waited for, nobody fails", late),
];

/// Under systemd alone, whose limits are those of groups.
pub(super) const SYSTEMD: &[Case] = &[
    ("processor time and memory are limits of the arm's group", enforced),
    ("Type=notify where the program tells, and the unit's exposure is 2.0 at most", notified),
    ("a leak ends at its own limit; it comes back, and the host does not notice", leaked),
];

/// Under systemd, which gives a program up within seconds; behind all others.
pub(super) const LAST: &[Case] =
    &[("a program that ends at once is said to, the old one serves on, nobody fails", broken)];

/// Says what the release does and has it built.
fn odd(ground: &Ground, name: &str, kind: &str) -> Result<()> {
    let text = format!("package main\n\nconst odd = \"{kind}\"\n");
    fs::write(ground.project.join("odd_kind.go"), text).context("write odd_kind.go")?;
    ground.release(name)
}

/// Lays the odd program out and declares its limits.
pub(super) fn prepare(ground: &Ground) -> Result<()> {
    fs::write(ground.project.join("odd.go"), ODD).context("write odd.go")?;
    ground.rewrite(
        "main.go",
        "signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)",
        "caught()",
    )?;
    ground.rewrite("main.go", "\t\"os/signal\"\n", "")?;
    ground.rewrite("main.go", "\t\"syscall\"\n", "")?;
    ground.rewrite("routes.go", "\treturn mux\n", "\treturn oddly(mux)\n")?;
    let more = format!(
        "memory = \"{}\"\ncpu = \"100%\"\nfiles = 4321\ncredentials = [\"db-password\"]\n\n\
         [liveness]\nevery = \"500ms\"\nfails = 3\ntimeout = \"1s\"\nafter = \"2s\"\n\
         restarts = 2\n\n[probe]",
        MEMORY.0
    );
    ground.rewrite("guanka.toml", "\n[probe]", &more)?;
    odd(ground, "odd-1", "notifies")
}

fn no_secret(ground: &mut Ground) -> Result<()> {
    ground.project_call(&["ship"])?.exits(1)?.says(&["db-password", "0600"])?;
    nothing_changed(ground)
}

fn open_secret(ground: &mut Ground) -> Result<()> {
    let folder = ground.machine.root().join(SECRETS);
    fs::create_dir_all(&folder).context("make the folder of secrets")?;
    let path = folder.join("db-password");
    fs::write(&path, SECRET).context("write the secret")?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644))?;
    let answer = ground.project_call(&["ship"])?.exits(1)?.says(&["db-password", "644"])?;
    ensure!(!answer.text.contains(SECRET), "the secret is told: {}", answer.text);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
    nothing_changed(ground)
}

fn nothing_changed(ground: &Ground) -> Result<()> {
    let list = "ls /etc/systemd/system/guanka-shop* /opt/guanka/shop.demo \
                /www/server/panel/vhost/nginx/zz_guanka* 2>/dev/null || true";
    let found = ground.machine.run(&["sh", "-c", list])?;
    ensure!(found.trim().is_empty(), "changed: {found}");
    Ok(())
}

/// Returns what the serving program sees.
fn seen(ground: &Ground) -> Result<Value> {
    let (code, body) = ground.ask("/odd/seen")?;
    ensure!(code == 200, "/odd/seen: {code} {body}");
    serde_json::from_str(&body).with_context(|| format!("JSON: {body}"))
}

fn reached(ground: &mut Ground) -> Result<()> {
    let shipped = ground.project_call(&["ship"])?.exits(0)?;
    ensure!(!shipped.text.contains(SECRET), "the secret is told: {}", shipped.text);
    let seen = seen(ground)?;
    ensure!(seen["secret"] == SECRET, "{seen}");
    ensure!(seen["files"] == "4321" && seen["memory"] == MEMORY.1, "{seen}");
    // One processor's time: a group of its own gives two threads half of it each, and without one
    // the number of threads is all that holds it.
    let told = if ground.manager == "systemd" { "2" } else { "1" };
    println!("         {} processors, told {}", seen["processors"], seen["told"]);
    ensure!(seen["processors"] == told, "{seen}");
    Ok(())
}

/// Returns the serving arm and its process.
fn serving(ground: &Ground) -> Result<(String, String)> {
    let status = ground.status()?;
    let arm = if status["host"]["green"] == 100 { "green" } else { "blue" };
    let pid = status["host"]["arms"][arm]["pid"].as_u64().context("a process")?;
    Ok((arm.to_owned(), pid.to_string()))
}

fn secret_kept(ground: &mut Ground) -> Result<()> {
    let (arm, pid) = serving(ground)?;
    let folder = match ground.manager {
        "systemd" => format!("/run/credentials/guanka-shop.demo@{arm}.service"),
        _ => format!("/run/guanka/credentials/shop.demo-{arm}"),
    };
    let machine = &ground.machine;
    for path in [format!("/{SECRETS}/db-password"), format!("{folder}/db-password")] {
        let said = machine.run(&["cat", &path])?;
        ensure!(said.trim() == SECRET, "{path} is not where the secret is: {said}");
        let read = machine.run(&["sudo", "-u", "nobody", "cat", &path]);
        ensure!(read.is_err(), "nobody may read {path}");
    }
    let places = format!("/proc/{pid}/environ /proc/{pid}/cmdline");
    let search = format!(
        "grep -rlas {SECRET} {places} /etc/systemd /etc/supervisor /www /var/lib/guanka /var/log \
         /opt/guanka; systemctl show 'guanka-*' | grep {SECRET}; \
         /opt/guanka/bin/guanka audit show --root / 2>/dev/null | grep {SECRET} || true"
    );
    let found = machine.run(&["sh", "-c", &search])?;
    ensure!(found.trim().is_empty(), "the secret stands in {found}");
    Ok(())
}

fn enforced(ground: &mut Ground) -> Result<()> {
    let (arm, _) = serving(ground)?;
    let unit = format!("guanka-shop.demo@{arm}.service");
    let words = ["systemctl", "show", "--value", "--property=ControlGroup", &unit];
    let group = ground.machine.run(&words)?;
    let read = |controller: &str, file: &str| {
        let path = format!("/sys/fs/cgroup/{controller}{}/{file}", group.trim());
        ground.machine.run(&["cat", &path]).map(|text| text.trim().to_owned())
    };
    let quota = read("cpu", "cpu.cfs_quota_us")?;
    let memory = read("memory", "memory.limit_in_bytes")?;
    println!("         {quota} us of 100000, {memory} bytes");
    ensure!((quota.as_str(), memory.as_str()) == ("100000", "268435456"), "not enforced");
    Ok(())
}

fn notified(ground: &mut Ground) -> Result<()> {
    let (arm, _) = serving(ground)?;
    let unit = format!("guanka-shop.demo@{arm}.service");
    let machine = &ground.machine;
    let said = machine.run(&["systemctl", "show", "--property=Type,StatusText", &unit])?;
    ensure!(said.contains("Type=notify") && said.contains("odd but ready"), "{said}");
    let said = machine.run(&["systemd-analyze", "--no-pager", "security", &unit])?;
    let line = said.lines().find(|l| l.contains("Overall exposure")).context("a score")?;
    let score = line.split_whitespace().find_map(|word| word.parse::<f64>().ok());
    let score = score.with_context(|| format!("a number in {line}"))?;
    println!("         exposure {score}");
    ensure!(score <= 2.0, "{line}");
    ground.project_call(&["plan"])?.exits(0)?.says(&["exposure 1."])?;
    Ok(())
}

fn low_port(ground: &mut Ground) -> Result<()> {
    let (code, body) = ground.ask("/odd/low")?;
    ensure!(code == 403 && body.contains("permission denied"), "{code} {body}");
    ground.rewrite("guanka.toml", "files = 4321", "files = 4321\nlow_ports = true")?;
    shipped(ground, "odd-2", "")?;
    let (code, body) = ground.ask("/odd/low")?;
    ensure!(code == 200, "declared, and {code} {body}");
    ground.rewrite("guanka.toml", "low_ports = true", "low_ports = false")
}

/// Ships a release under users: nobody may fail, whatever becomes of it.
fn under_users(ground: &Ground, name: &str, kind: &str) -> Result<super::ground::Answer> {
    odd(ground, name, kind)?;
    let users = ground.users()?;
    let shipped = ground.project_call(&["ship"]);
    let (sent, failed, details) = users.stop()?;
    let shipped = shipped?;
    ensure!(sent > 100 && failed == 0, "{failed} of {sent} failed: {details}: {}", shipped.text);
    println!("         {sent} requests, 0 failed");
    Ok(shipped)
}

fn shipped(ground: &Ground, name: &str, kind: &str) -> Result<()> {
    under_users(ground, name, kind)?.exits(0)?;
    ground.serves(name)
}

fn hang(ground: &Ground) -> Result<(String, String, Duration)> {
    let (arm, pid) = serving(ground)?;
    // What is asked for while it hangs is never answered.
    ground.ask("/odd/hang")?;
    let since = Instant::now();
    process::wait_for("another process serves", LIMIT, || {
        let (_, now) = serving(ground).ok()?;
        (now != pid && ground.ask("/healthz").is_ok_and(|(code, _)| code == 200)).then_some(())
    })?;
    Ok((arm, pid, since.elapsed()))
}

fn hung(ground: &mut Ground) -> Result<()> {
    let (arm, _, took) = hang(ground)?;
    println!("         back after {:.1} s", took.as_secs_f64());
    let status = ground.status()?;
    ensure!(status["host"]["arms"][&arm]["restarts"] == 1, "{status}");
    ground.project_call(&["status"])?.exits(0)?.says(&["started anew 1 times"])?;
    let log = format!("/var/log/guanka/shop.demo/{arm}.log");
    let traces = ground.machine.run(&["grep", "-c", "SIGQUIT: quit", &log])?;
    ensure!(traces.trim() == "1", "{traces} traces in {log}");
    Ok(())
}

fn spent(ground: &mut Ground) -> Result<()> {
    let (arm, pid, _) = hang(ground)?;
    ground.ask("/odd/hang")?;
    let note = "arm-not-restarted-again";
    let audit = "/opt/guanka/bin/guanka --lang en audit show --root / --json";
    let notes = || {
        let count = format!("{audit} | grep -c {note} || true");
        let said = ground.machine.run(&["sh", "-c", &count]).ok()?;
        said.trim().parse::<u32>().ok()
    };
    process::wait_for("the limit is said", LIMIT, || notes().filter(|count| *count > 0))?;
    let status = ground.status()?["host"]["arms"][&arm].clone();
    ensure!(status["is_hung"] == true && status["restarts"] == 2, "{status}");
    let now = status["pid"].to_string();
    ensure!(now != pid, "{status}");
    // A person ends it; from then on it is as it was.
    ground.machine.run(&["kill", "-9", &now])?;
    process::wait_for("it serves again", LIMIT, || ground.serves("odd-2").ok())?;
    ensure!(notes() == Some(1), "said {:?} times", notes());
    Ok(())
}

fn leaked(ground: &mut Ground) -> Result<()> {
    let (arm, pid) = serving(ground)?;
    let unit = format!("guanka-shop.demo@{arm}.service");
    ground.ask("/odd/leak")?;
    let since = Instant::now();
    process::wait_for("another process serves", LIMIT, || {
        let (_, now) = serving(ground).ok()?;
        let answers = ground.ask("/healthz").is_ok_and(|(code, _)| code == 200);
        (now != pid && answers).then_some(())
    })?;
    let said = ground.machine.run(&["journalctl", "--no-pager", "-u", &unit])?;
    let end = said.lines().find(|line| line.contains("status=9/KILL"));
    println!("         back after {:.1} s", since.elapsed().as_secs_f64());
    ensure!(end.is_some(), "it was not killed for its memory: {said}");
    for other in ["guanka-agent.service", "dbus.service", "supervisor.service"] {
        ensure!(ground.machine.is_active(other), "{other} did not live through it");
    }
    Ok(())
}

fn flooded(ground: &mut Ground) -> Result<()> {
    let size = || {
        let said = ground.machine.run(&["du", "-sk", "/var/log/guanka/shop.demo"]).ok()?;
        said.split_whitespace().next()?.parse::<u64>().ok().map(|kb| kb / 1024)
    };
    let before = size().context("a size")?;
    let (arm, _) = serving(ground)?;
    let log = format!("/var/log/guanka/shop.demo/{arm}.log");
    let users = ground.users()?;
    let mut most = before;
    for count in ["1", "2"] {
        ground.ask("/odd/flood")?;
        process::wait_for("the flood is written and rotated", LIMIT, || {
            most = most.max(size()?);
            let rest = ground.machine.run(&["stat", "-c", "%s", &log]).ok()?;
            let rest = rest.trim().parse::<u64>().ok()?;
            let is_over = seen(ground).ok()?["floods"] == count;
            (is_over && rest < 1 << 20).then_some(())
        })?;
    }
    // What is written faster than anybody looks at it is packed when the next is rotated.
    let after = process::wait_for("one flood at most stays as it was written", LIMIT, || {
        size().filter(|now| *now < before + FLOOD_MB + 8)
    });
    let (sent, failed, details) = users.stop()?;
    let after = after?;
    println!("         2 x {FLOOD_MB} MB written: {most} MB at most, {after} MB stay");
    ensure!(failed == 0, "{failed} of {sent} failed: {details}");
    ensure!(most <= before + 4 * FLOOD_MB, "{most} MB of logs");
    ground.serves("odd-2")
}

fn forked(ground: &mut Ground) -> Result<()> {
    shipped(ground, "odd-3", "forks")?;
    let children = || {
        let count = "grep -las ODD_CHILD=1 /proc/[0-9]*/environ | wc -l";
        let said = ground.machine.run(&["sh", "-c", count]).ok()?;
        said.trim().parse::<u32>().ok()
    };
    ensure!(children() == Some(1), "{:?} children run", children());
    shipped(ground, "odd-4", "")?;
    ensure!(children() == Some(0), "{:?} children stay behind", children());
    Ok(())
}

fn deaf(ground: &mut Ground) -> Result<()> {
    shipped(ground, "odd-5", "deaf")?;
    let (_, pid) = serving(ground)?;
    shipped(ground, "odd-6", "")?;
    process::wait_for("the old arm has ended", LIMIT, || {
        let is_there = ground.machine.run(&["test", "-d", &format!("/proc/{pid}")]).is_ok();
        (!is_there).then_some(())
    })
}

fn late(ground: &mut Ground) -> Result<()> {
    shipped(ground, "odd-7", "late")
}

fn broken(ground: &mut Ground) -> Result<()> {
    let answer = under_users(ground, "odd-8", "ends")?;
    ensure!(answer.code != Some(0), "it was let through: {}", answer.text);
    println!("         {}", answer.text.lines().rev().take(3).collect::<Vec<_>>().join(" | "));
    ground.serves("odd-7")
}
