//! The sandbox of an arm's unit: tight by systemd's own score, wide enough for a real service, and
//! a wall for a hostile program.

use std::fs;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::Case;
use super::ground::Ground;

pub(super) const CASES: &[Case] = &[
    ("exposure of an arm's unit is 2.0 at most by systemd's own score", exposure),
    ("a release that tries what services need and what intruders want", tried),
    ("it resolves, calls out over TLS, writes its uploads and temporary files", needs),
    ("everything an intruder wants is refused", wants),
    ("a stop waits for a slow request, and answers it", slow_request),
    ("remove leaves nothing but what it says, and the site answers by itself", removed),
];

/// The port that the slow request comes from, so that it is told from nginx's own connections.
const OWN_PORT: &str = "45678";

/// What a program tries from inside.
const TRIALS: &str = include_str!("files/lab.go");

/// Returns the unit of the arm that serves.
fn serving_unit(ground: &Ground) -> Result<String> {
    let active = ground.status()?["host"]["active"].as_str().context("an arm")?.to_owned();
    Ok(format!("guanka-shop.demo@{active}.service"))
}

pub(super) fn exposure(ground: &mut Ground) -> Result<()> {
    let unit = serving_unit(ground)?;
    let said = ground.machine.run(&["systemd-analyze", "--no-pager", "security", &unit])?;
    let line = said.lines().find(|line| line.contains("Overall exposure")).context("a score")?;
    let score: f64 = line
        .split_whitespace()
        .find_map(|word| word.parse().ok())
        .with_context(|| format!("a number in {line:?}"))?;
    println!("         exposure {score}");
    ensure!(score <= 2.0, "exposure {score}");
    let bare = ground.machine.run(&["systemd-analyze", "--no-pager", "security", "ssh.service"])?;
    ensure!(bare.contains("UNSAFE"), "the score tells nothing apart: {bare}");
    Ok(())
}

fn tried(ground: &mut Ground) -> Result<()> {
    fs::write(ground.project.join("lab.go"), TRIALS).context("write lab.go")?;
    let metrics = "mux.HandleFunc(\"GET /metrics\"";
    ground.rewrite("routes.go", metrics, &format!("labRoutes(mux)\n\t{metrics}"))?;
    ground.rewrite(
        "guanka.toml",
        "[probe]",
        "[data]\ndirs = [\"/srv/shop/uploads\"]\n\n[probe]",
    )?;
    // The other side of the wire speaks TLS under a name that only the machine's own list knows.
    let hosts = ground.machine.root().join("etc/hosts");
    fs::write(hosts, "127.0.0.1 localhost\n10.77.1.2 peer.lab\n").context("write etc/hosts")?;
    ground.release("trials")?;
    let users = ground.users()?;
    let shipped = ground.project_call(&["ship"]);
    users.stop()?;
    shipped?.exits(0)?;
    ground.serves("trials")
}

/// Returns what each trial said.
fn said(ground: &Ground, path: &str) -> Result<Vec<(String, String)>> {
    let (code, body) = ground.ask(path)?;
    ensure!(code == 200, "{path}: {code} {body}");
    let value: Value = serde_json::from_str(&body).with_context(|| format!("JSON: {body}"))?;
    let object = value.as_object().context("an object")?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Ok(object.iter().map(|(name, value)| (name.clone(), text(value))).collect())
}

fn needs(ground: &mut Ground) -> Result<()> {
    let peer = ground.tls_peer()?;
    let all = said(ground, "/lab/needs");
    drop(peer);
    let refused: Vec<_> = all?.into_iter().filter(|(_, said)| said != "ok").collect();
    ensure!(refused.is_empty(), "refused: {refused:?}");
    Ok(())
}

fn wants(ground: &mut Ground) -> Result<()> {
    let all = said(ground, "/lab/wants")?;
    let count = all.len();
    let allowed: Vec<_> = all.into_iter().filter(|(_, said)| said == "ok").collect();
    ensure!(allowed.is_empty(), "allowed: {allowed:?}");
    println!("         {count} of {count} refused");
    Ok(())
}

/// The manager stops the arm while a request of four seconds is under way: it is answered whole.
fn slow_request(ground: &mut Ground) -> Result<()> {
    let unit = serving_unit(ground)?;
    let status = ground.status()?;
    let active = status["host"]["active"].as_str().context("an arm")?.to_owned();
    let port = status["host"]["arms"][&active]["port"].as_u64().context("a port")?;
    let url = format!("http://127.0.0.1:{port}/lab/slow");
    let mut request =
        ground.machine.command(&["curl", "-s", "-m", "20", "--local-port", OWN_PORT, &url]);
    let out = ground.at("slow.out");
    let file = fs::File::create(&out).context("write slow.out")?;
    let mut child = request.stdout(file).spawn().context("start curl")?;
    crate::process::wait_for(
        "the request is under way",
        std::time::Duration::from_secs(10),
        || {
            let filter = format!("sport = :{OWN_PORT}");
            let said = ground.machine.run(&["ss", "-Htn", "state", "established", &filter]).ok()?;
            (!said.trim().is_empty()).then_some(())
        },
    )?;
    let stopped = ground.machine.run(&["systemctl", "stop", &unit]);
    let ended = child.wait().context("wait for curl")?;
    ground.machine.run(&["systemctl", "start", &unit])?;
    stopped?;
    let text = fs::read_to_string(&out).unwrap_or_default();
    ensure!(ended.success() && text == "slow and whole", "{ended}: {text:?}");
    crate::process::wait_for("it serves again", std::time::Duration::from_secs(30), || {
        ground.serves("trials").ok()
    })
}

pub(super) fn removed(ground: &mut Ground) -> Result<()> {
    ground.project_call(&["remove"])?.exits(2)?.says(&["--yes"])?;
    ground.serves("trials")?;
    ground.project_call(&["remove", "--yes"])?.exits(0)?.says(&["stays", "/srv/shop/uploads"])?;
    let list =
        "find / -xdev \\( -path /proc -o -path /sys \\) -prune -o -name '*shop?demo*' -print";
    let left = ground.machine.run(&["sh", "-c", list])?;
    // What it said would stay: the access log.
    let left: Vec<&str> = left.lines().filter(|line| !line.starts_with("/www/wwwlogs/")).collect();
    ensure!(left.is_empty(), "left: {left:?}");
    ground.machine.run(&["test", "-f", "/srv/shop/uploads/one"])?;
    ground.machine.run(&["/etc/init.d/nginx", "configtest"])?;
    let (code, body) = ground.ask("/")?;
    ensure!(code == 200 && !body.contains("release"), "the site answers {code} {body}");
    Ok(())
}
