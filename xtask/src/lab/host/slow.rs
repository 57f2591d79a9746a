//! Slow requests under way while arms are stopped, by releases and by the manager itself: each is
//! answered whole, since an arm drains before it is stopped and its program is given its time.

use std::fs;
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
/// Requests under way when the manager stops an arm.
const AT_ONCE: usize = 20;

pub(super) const CASES: &[Case] = &[
    ("a release with requests of eight seconds", prepared),
    ("slow requests over two releases, each stopping an arm: all answered", over_releases),
    ("slow requests over the manager's own stop, 12 s of grace: all answered", over_stop),
    ("the lab's own patience is back", put_back),
];

fn prepared(ground: &mut Ground) -> Result<()> {
    fs::write(ground.project.join("slow.go"), SLOW).context("write slow.go")?;
    let metrics = "mux.HandleFunc(\"GET /metrics\"";
    ground.rewrite("routes.go", metrics, &format!("slowRoutes(mux)\n\t{metrics}"))?;
    ground.rewrite("guanka.toml", GRACE.0, GRACE.1)?;
    ground.rewrite("guanka.toml", PATIENCE.0, PATIENCE.1)?;
    shipped(ground, "slow-0")
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
    let (sent, failed, details) = slow.stop()?;
    shipped?;
    println!("         {}: {sent} slow requests, {failed} failed", ground.manager);
    ensure!(sent > 100 && failed == 0, "{failed} of {sent} failed: {details}");
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
    process::wait_for("it serves again", LIMIT, || ground.serves("slow-2").ok())
}

fn put_back(ground: &mut Ground) -> Result<()> {
    ground.rewrite("guanka.toml", GRACE.1, GRACE.0)?;
    ground.rewrite("guanka.toml", PATIENCE.1, PATIENCE.0)?;
    shipped(ground, "slow-3")
}
