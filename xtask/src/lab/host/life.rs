//! Releases on the host: into systemd units, under users, over power cuts.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::Case;
use super::ground::Ground;
use crate::process;

/// Two rotations: a size that users reach within seconds, looked at every ten.
const LIMIT: Duration = Duration::from_secs(90);
/// A booted machine answers within seconds.
const BACK: Duration = Duration::from_secs(60);

pub(super) const CASES: &[Case] = &[
    ("plan over SSH changes nothing", planned),
    ("first release: built here, runs there as a systemd unit, not as root", first),
    ("a second release under users: nobody fails", second),
    (
        "each half of the agent killed: started again by systemd, the rollout can go on",
        agent_killed,
    ),
    ("power cut: share, arms and agent are back as before", power_cut),
    ("logs rotate under users: no line lost or doubled", rotated),
    ("rollback over SSH under users: nobody fails", rolled_back),
];

/// What every case about a running service rests on.
pub(super) const NEEDED: &[Case] = &[CASES[1]];

fn planned(ground: &mut Ground) -> Result<()> {
    let list = "find /www /etc /opt /var/lib/guanka -type f -newer /run/guanka-lab-mark";
    ground.machine.run(&["touch", "/run/guanka-lab-mark"])?;
    ground.project_call(&["plan", "--exit-code"])?.exits(8)?.says(&["guanka ship"])?;
    let changed = ground.machine.run(&["sh", "-c", list])?;
    ensure!(changed.trim().is_empty(), "changed: {changed}");
    Ok(())
}

pub(super) fn first(ground: &mut Ground) -> Result<()> {
    ground.project_call(&["ship"])?.exits(0)?;
    ground.serves("1")?;
    let machine = &ground.machine;
    let unit = "guanka-shop.demo@blue.service";
    ensure!(machine.is_active(unit), "{unit} does not run");
    machine.run(&["systemctl", "is-enabled", unit])?;
    let pid = machine.run(&["systemctl", "show", "--value", "--property=MainPID", unit])?;
    let owner = machine.run(&["stat", "-c", "%U", &format!("/proc/{}", pid.trim())])?;
    ensure!(owner.trim() == "gk_shop_demo", "it runs as {owner}");
    Ok(())
}

pub(super) fn second(ground: &mut Ground) -> Result<()> {
    let users = ground.users()?;
    ground.release("2")?;
    let shipped = ground.project_call(&["ship"]);
    let (sent, failed, details) = users.stop()?;
    shipped?.exits(0)?;
    ground.serves("2")?;
    ensure!(sent > 1000 && failed == 0, "{failed} of {sent} failed: {details}");
    println!("         {sent} requests, 0 failed");
    Ok(())
}

fn agent_killed(ground: &mut Ground) -> Result<()> {
    let units = ["guanka-agent.service", "guanka-helper.service"];
    for killed in [&units[..1], &units[1..], &units[..]] {
        let words = ["systemctl", "kill", "--signal=KILL"];
        ground.machine.run(&[&words[..], killed].concat())?;
        process::wait_for("the agent is back", BACK, || {
            let answer = ground.project_call(&["status"]).ok()?;
            (answer.code == Some(0)).then_some(())
        })?;
        for unit in units {
            ensure!(ground.machine.is_active(unit), "it was not systemd that started {unit}");
        }
        ground.serves("2")?;
    }
    Ok(())
}

fn power_cut(ground: &mut Ground) -> Result<()> {
    let before = ground.status()?;
    ground.machine.cut_power()?;
    ground.machine.start()?;
    process::wait_for("the site is back", BACK, || ground.serves("2").ok())?;
    let after = process::wait_for("the agent is back", BACK, || ground.status().ok())?;
    for key in ["green", "active"] {
        ensure!(before["host"][key] == after["host"][key], "{key}: {before} became {after}");
    }
    for arm in ["blue", "green"] {
        let (was, is) = (&before["host"]["arms"][arm], &after["host"]["arms"][arm]);
        ensure!(was["release"] == is["release"], "{arm} has another release");
        ensure!(was["pid"].is_null() == is["pid"].is_null(), "{arm}: {was} became {is}");
    }
    Ok(())
}

pub(super) fn rolled_back(ground: &mut Ground) -> Result<()> {
    let users = ground.users()?;
    let back = ground.project_call(&["rollback"]);
    let (sent, failed, details) = users.stop()?;
    back?.exits(0)?;
    ground.serves("1")?;
    ensure!(sent > 1000 && failed == 0, "{failed} of {sent} failed: {details}");
    println!("         {sent} requests, 0 failed");
    Ok(())
}

/// Users' requests as the access log and all its archives hold them.
fn logged(ground: &Ground) -> Result<u64> {
    let count = "cd /www/wwwlogs/guanka && (cat shop.demo.json shop.demo.json.1; zcat \
                 shop.demo.json.*.gz) 2>/dev/null | grep -c -e /products -e /orders || true";
    let said = ground.machine.run(&["sh", "-c", count])?;
    said.trim().parse().context("a count")
}

fn rotated(ground: &mut Ground) -> Result<()> {
    let archives = || {
        let list = "ls /www/wwwlogs/guanka/ | grep -c 'shop.demo.json\\.' || true";
        let said = ground.machine.run(&["sh", "-c", list])?;
        said.trim().parse::<u64>().context("a count")
    };
    let (before, had) = (logged(ground)?, archives()?);
    let users = ground.users()?;
    process::wait_for("two more rotations", LIMIT, || (archives().ok()? >= had + 2).then_some(()))?;
    let (sent, failed, details) = users.stop()?;
    ensure!(failed == 0, "{failed} of {sent} failed: {details}");
    let after = logged(ground)?;
    ensure!(after - before == sent, "{sent} were sent and {} logged", after - before);
    // nginx gives what it opens anew to its workers' user; guanka gives it back.
    let list = "stat -c '%a %U' /www/wwwlogs/guanka/shop.demo.json*";
    let modes = ground.machine.run(&["sh", "-c", list])?;
    let all: std::collections::BTreeSet<&str> = modes.lines().collect();
    ensure!(all.len() == 1, "owners or modes differ: {all:?}");
    println!("         {sent} requests over {} archives, each logged once", archives()?);
    Ok(())
}
