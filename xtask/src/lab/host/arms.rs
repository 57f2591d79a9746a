//! Arms that die or freeze while both are warm: users must hardly notice, and a frozen arm is out
//! of traffic within what its probe declares.

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::Case;
use super::ground::Ground;
use crate::process;

/// `every` times `fails` plus `timeout` of the lab's guanka.toml.
const PROBE_SPAN: Duration = Duration::from_millis(500 * 2 + 1000);
/// Well above what a state takes to come.
const LIMIT: Duration = Duration::from_secs(60);

pub(super) const CASES: &[Case] = &[
    ("both arms warm, the driver gone", both_warm),
    ("both arms frozen: nothing is moved", both_frozen),
    ("a frozen candidate is out within every x fails + timeout", frozen),
    ("resume hears of it and takes the release back", resumed),
    ("both arms warm once more", both_warm),
    ("a killed arm: traffic whole at once", killed),
    ("abort ends it", aborted),
];

/// Ships with a long settling time and kills the driver in it: from here on the host is alone.
fn both_warm(ground: &mut Ground) -> Result<()> {
    if ground.manifest()?.contains("settle        = \"4s\"") {
        ground.rewrite("guanka.toml", "settle        = \"4s\"", "settle        = \"5m\"")?;
    }
    ground.release("warm")?;
    let project = ground.project.display().to_string();
    let users = ground.users()?;
    let mut ship = ship(ground, &project)?;
    let settling = process::wait_for("the release settles", LIMIT, || {
        let status = ground.status().ok()?;
        status["rollout"]["state"].to_string().contains("settling").then_some(())
    });
    ship.kill().context("end the driver")?;
    ship.wait().context("wait for the driver")?;
    users.stop()?;
    settling.with_context(|| std::fs::read_to_string(ground.at("ship.log")).unwrap_or_default())?;
    ground.serves("warm")
}

/// Starts a driver in the foreground.
pub(super) fn ship(ground: &Ground, project: &str) -> Result<Child> {
    let log = std::fs::File::create(ground.at("ship.log")).context("write ship.log")?;
    let errors = log.try_clone().context("share the log")?;
    // `ip netns exec` becomes guanka: the child is the driver itself.
    let mut command = ground.command(&["ship", "-C", project]);
    command.stdin(Stdio::null()).stdout(log).stderr(errors).spawn().context("start ship")
}

/// Returns the arm that has all requests, and its process.
fn serving(ground: &Ground) -> Result<(String, String)> {
    let status = ground.status()?;
    let arm = match status["host"]["green"].as_u64() {
        Some(0) => "blue",
        Some(100) => "green",
        other => bail!("green's share is {other:?}"),
    };
    let pid = status["host"]["arms"][arm]["pid"].as_u64().context("a process")?;
    Ok((arm.to_owned(), pid.to_string()))
}

fn killed(ground: &mut Ground) -> Result<()> {
    let users = ground.users()?;
    process::wait_for("users are served", LIMIT, || ground.serves("warm").ok())?;
    let (arm, pid) = serving(ground)?;
    ground.machine.run(&["kill", "-9", &pid])?;
    process::wait_for("it is back", LIMIT, || {
        let arms = ground.status().ok()?["host"]["arms"].clone();
        (arms[&arm]["is_ready"] == true && arms[&arm]["pid"].as_u64() != pid.parse().ok())
            .then_some(())
    })?;
    let (sent, failed, details) = users.stop()?;
    // What the dead process had in its hands is lost whatever comes, a few on a busy machine;
    // nothing after it may be, and a second without an arm were two hundred.
    println!("         {sent} requests, {failed} failed");
    ensure!(sent > 100 && failed <= 8, "{failed} of {sent} failed: {details}");
    Ok(())
}

fn frozen(ground: &mut Ground) -> Result<()> {
    let (arm, pid) = serving(ground)?;
    ground.machine.run(&["kill", "-STOP", &pid])?;
    let since = Instant::now();
    let moved = process::wait_for("the frozen arm is out of traffic", LIMIT, || {
        let (now, _) = serving(ground).ok()?;
        (now != arm).then(|| since.elapsed())
    });
    let answer = ground.ask("/healthz");
    ground.machine.run(&["kill", "-CONT", &pid])?;
    let took = moved?;
    ensure!(answer?.0 == 200, "the other arm does not answer");
    let (took_secs, span) = (took.as_secs_f64(), PROBE_SPAN.as_secs_f64());
    println!("         out after {took_secs:.1} s, asked over ssh (declared: {span:.1} s)");
    // The figure is what counts; only far more than it can come from anything but a busy machine.
    ensure!(took <= PROBE_SPAN * 4, "out only after {took:?}");
    Ok(())
}

/// Must end before the lease of the driver that is gone does: 30 s.
fn both_frozen(ground: &mut Ground) -> Result<()> {
    let before = ground.status()?;
    let pids: Vec<String> = ["blue", "green"]
        .iter()
        .filter_map(|arm| before["host"]["arms"][arm]["pid"].as_u64())
        .map(|pid| pid.to_string())
        .collect();
    ensure!(pids.len() == 2, "both arms run: {before}");
    ground.machine.run(&["kill", "-STOP", &pids[0], &pids[1]])?;
    // Both are known to be failing before anything is concluded from nothing having happened.
    let known = process::wait_for("both are known to fail", LIMIT, || {
        let arms = ground.status().ok()?["host"]["arms"].clone();
        let fails = |arm: &str| arms[arm]["is_failing"] == true;
        (fails("blue") && fails("green")).then_some(())
    });
    let after = ground.status();
    ground.machine.run(&["kill", "-CONT", &pids[0], &pids[1]])?;
    known?;
    let after = after?;
    let is_same = after["host"]["green"] == before["host"]["green"];
    ensure!(is_same && after["host"]["ejected"].is_null(), "{before} became {after}");
    process::wait_for("both answer again", LIMIT, || {
        let arms = ground.status().ok()?["host"]["arms"].clone();
        let ready = |arm: &str| arms[arm]["is_ready"] == true;
        (ready("blue") && ready("green")).then_some(())
    })
}

fn resumed(ground: &mut Ground) -> Result<()> {
    ground.project_call(&["resume"])?.exits(5)?.says(&["Taken back"])?;
    Ok(())
}

fn aborted(ground: &mut Ground) -> Result<()> {
    ground.project_call(&["abort"])?.exits(5)?.says(&["Taken back"])?;
    ground.rewrite("guanka.toml", "settle        = \"5m\"", "settle        = \"4s\"")
}
