//! Slow requests and WebSockets under way while arms are stopped, by releases and by the manager
//! itself: each request is answered whole, since an arm drains before it is stopped and its program
//! is given its time; each WebSocket stays until the drain is over.

use std::fs;
use std::process::Child;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::Case;
use super::ground::Ground;
use crate::process;

/// Well above what a state takes to come.
const LIMIT: Duration = Duration::from_secs(60);
/// What a slow request is: eight seconds.
const SLOW: &str = include_str!("files/slow.go");
/// Twelve seconds are more than the ten that the program itself takes at most.
const GRACE: (&str, &str) = ("stop_grace = \"15s\"", "stop_grace = \"12s\"");
/// The lab's patience of nginx is too short for them.
const PATIENCE: (&str, &str) = ("read_timeout = \"3s\"", "read_timeout = \"12s\"");
/// How long a drain waits for what stays open: the lab's `keepalive` and `read_timeout`.
const DRAIN: Duration = Duration::from_secs(2 + 12);
/// The frame that closes a WebSocket with 1012.
const TOLD: &[u8] = &[0x88, 2, 0x03, 0xf4];
/// Requests under way when the manager stops an arm.
const AT_ONCE: usize = 20;

/// A client that is ended with its case.
struct Talk(Child);

impl Drop for Talk {
    fn drop(&mut self) {
        // Best effort: it ends by itself in time.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(super) const CASES: &[Case] = &[
    ("a release with requests of eight seconds", prepared),
    ("slow requests over two releases, each stopping an arm: all answered", over_releases),
    ("a WebSocket over a release: told to reconnect when the drain is over, no sooner", socket),
    ("slow requests over the manager's own stop, 12 s of grace: all answered", over_stop),
    ("the lab's own patience is back", put_back),
];

fn prepared(ground: &mut Ground) -> Result<()> {
    fs::write(ground.project.join("slow.go"), SLOW).context("write slow.go")?;
    let metrics = "mux.HandleFunc(\"GET /metrics\"";
    ground.rewrite("routes.go", metrics, &format!("slowRoutes(mux)\n\t{metrics}"))?;
    let stops = "slog.Info(\"shop stops\"";
    ground.rewrite("main.go", stops, &format!("tellSockets()\n\t{stops}"))?;
    ground.rewrite("guanka.toml", GRACE.0, GRACE.1)?;
    ground.rewrite("guanka.toml", PATIENCE.0, PATIENCE.1)?;
    settings(ground, "slow-0")
}

/// Ships other settings of nginx under users that the gates need; how they fare in a reload is not
/// what these cases are about.
fn settings(ground: &Ground, name: &str) -> Result<()> {
    ground.release(name)?;
    let users = ground.users()?;
    let shipped = ground.project_call(&["ship"]);
    let (sent, failed, _) = users.stop()?;
    println!("         {failed} of {sent} ordinary requests failed before or in a reload");
    shipped?.exits(0)?;
    ground.serves(name)
}

fn shipped(ground: &Ground, name: &str) -> Result<()> {
    ground.release(name)?;
    let users = ground.users()?;
    let shipped = ground.project_call(&["ship"]);
    let (sent, failed, details) = users.stop()?;
    shipped?.exits(0)?;
    ground.serves(name)?;
    ensure!(failed == 0, "{failed} of {sent} ordinary requests failed: {details}");
    Ok(())
}

fn over_releases(ground: &mut Ground) -> Result<()> {
    let slow = ground.slow_users()?;
    let shipped = shipped(ground, "slow-1").and_then(|()| shipped(ground, "slow-2"));
    let (sent, failed, details) = slow.stop_open()?;
    shipped?;
    println!("         {}: {sent} slow requests, {failed} failed", ground.manager);
    ensure!(sent > 100 && failed == 0, "{failed} of {sent} failed: {details}");
    Ok(())
}

fn socket(ground: &mut Ground) -> Result<()> {
    let before = ground.status()?["host"]["green"].clone();
    let out = ground.at("socket.out");
    let file = fs::File::create(&out).context("write socket.out")?;
    let mut talk =
        ground.machine.command(&["curl", "-sN", "-m", "200", "-H", "Upgrade: websocket"]);
    talk.args(["-H", "Host: shop.example.com", "-H", "Connection: Upgrade"]);
    talk.args(["-H", "Sec-WebSocket-Version: 13", "-H", "Sec-WebSocket-Key: Z3VhbmthLWd1YW5rYQ=="]);
    let talk = talk.arg("http://127.0.0.1/ticks").stdout(file).spawn().context("start curl")?;
    let mut talk = Talk(talk);
    let size = || fs::metadata(&out).map_or(0, |found| found.len());
    process::wait_for("it ticks", LIMIT, || (size() > 0).then_some(()))?;
    ground.release("slow-socket")?;
    let (users, project) = (ground.users()?, ground.project.display().to_string());
    let mut driver = super::arms::ship(ground, &project)?;
    let moved = process::wait_for("the other arm has everything", LIMIT, || {
        let green = ground.status().ok()?["host"]["green"].clone();
        (green != before && (green == 0 || green == 100)).then(Instant::now)
    });
    let told = process::wait_for("the WebSocket ends", LIMIT, || {
        talk.0.try_wait().ok().flatten().map(|_| Instant::now())
    });
    let shipped = process::wait_for("the release is over", LIMIT, || driver.try_wait().transpose());
    users.stop()?;
    let log = || fs::read_to_string(ground.at("ship.log")).unwrap_or_default();
    ensure!(shipped?.is_ok_and(|status| status.success()), "not shipped: {}", log());
    let (stayed, said) = (told? - moved?, fs::read(&out).context("read socket.out")?);
    let ticks = said.split(|byte| *byte == b'\n').count() - 1;
    let (secs, manager) = (stayed.as_secs_f64(), ground.manager);
    println!("         {manager}: {ticks} ticks; told {secs:.1} s after the share had moved");
    ensure!(said.ends_with(TOLD), "cut without a word after {ticks} ticks, {secs:.1} s");
    let last = format!("t{:06}\n", ticks - 1);
    let tail = &said[..said.len() - TOLD.len()];
    ensure!(tail.ends_with(last.as_bytes()), "ticks are missing of {ticks}");
    ensure!(
        stayed >= DRAIN,
        "told {secs:.1} s after the share had moved: before the drain was over"
    );
    Ok(())
}

fn over_stop(ground: &mut Ground) -> Result<()> {
    let status = ground.status()?;
    let arm = status["host"]["active"].as_str().context("an arm")?.to_owned();
    let (one, fetch) = ("http://127.0.0.1/slow", "curl -s -m 30 -H 'Host: shop.example.com'");
    let all = format!("for i in $(seq {AT_ONCE}); do {fetch} {one} & done; wait");
    let out = ground.at("slow.out");
    let file = fs::File::create(&out).context("write slow.out")?;
    let mut asked = ground.machine.command(&["sh", "-c", &all]);
    let mut asked = asked.stdout(file).spawn().context("start curl")?;
    process::wait_for("all are under way", LIMIT, || {
        let (_, now) = ground.ask("/slow/now").ok()?;
        (now.trim().parse::<usize>().ok()? == AT_ONCE).then_some(())
    })?;
    let (unit, program) = (format!("guanka-shop.demo@{arm}.service"), format!("shop.demo-{arm}"));
    let program = format!("guanka-{program}");
    let words = |verb| match ground.manager {
        "systemd" => ["systemctl", verb, unit.as_str()],
        _ => ["supervisorctl", verb, program.as_str()],
    };
    let since = Instant::now();
    let stopped = ground.machine.run(&words("stop"));
    let took = since.elapsed();
    let ended = asked.wait().context("wait for curl")?;
    // The host may have seen it stopped and started it already.
    let _ = ground.machine.run(&words("start"));
    stopped?;
    let text = fs::read_to_string(&out).unwrap_or_default();
    let whole = text.lines().filter(|line| *line == "slow and whole").count();
    println!(
        "         {}: {whole} of {AT_ONCE} whole, stopped within {:.1} s",
        ground.manager,
        took.as_secs_f64()
    );
    ensure!(ended.success() && whole == AT_ONCE, "{ended}, {whole} of {AT_ONCE}: {text}");
    process::wait_for("it serves again", LIMIT, || ground.serves("slow-socket").ok())
}

fn put_back(ground: &mut Ground) -> Result<()> {
    ground.rewrite("guanka.toml", GRACE.1, GRACE.0)?;
    ground.rewrite("guanka.toml", PATIENCE.1, PATIENCE.0)?;
    settings(ground, "slow-3")
}
