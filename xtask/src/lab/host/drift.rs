//! A host that somebody changes by hand: what was ordered comes back by itself.

use std::time::Duration;

use anyhow::{Context, Result};

use super::Case;
use super::ground::Ground;
use crate::process;

/// The host is compared with what was ordered every ten seconds.
const LIMIT: Duration = Duration::from_secs(40);

pub(super) const CASES: &[Case] = &[
    ("a share moved by hand is put back, and noted", share_moved),
    ("an arm stopped by hand is started again, and noted", arm_stopped),
];

/// Returns the arm with all requests and the idle one.
fn arms(ground: &Ground) -> Result<(&'static str, &'static str)> {
    let green = ground.status()?["host"]["green"].as_u64().context("no share")?;
    Ok(if green == 0 { ("blue", "green") } else { ("green", "blue") })
}

fn unit(arm: &str) -> String {
    format!("guanka-shop.demo@{arm}.service")
}

/// Returns how often the agent has put something right.
fn put_right(ground: &Ground) -> Result<usize> {
    let log = ground.machine.run(&["/opt/guanka/bin/guanka", "audit", "show", "--json"])?;
    Ok(log.matches("drift-put-right").count())
}

fn share_moved(ground: &mut Ground) -> Result<()> {
    let (serving, _) = arms(ground)?;
    let before = put_right(ground)?;
    let other = if serving == "blue" { "w100" } else { "w000" };
    let live = "/var/lib/guanka/shop.demo/live";
    ground.machine.run(&["ln", "-sfn", &format!("shares/{other}"), live])?;
    process::wait_for("the share is back", LIMIT, || {
        let now = arms(ground).ok()?.0;
        (now == serving && put_right(ground).ok()? > before).then_some(())
    })
}

fn arm_stopped(ground: &mut Ground) -> Result<()> {
    let (serving, _) = arms(ground)?;
    let before = put_right(ground)?;
    ground.machine.run(&["systemctl", "stop", &unit(serving)])?;
    process::wait_for("the arm is back", LIMIT, || {
        let runs = ground.machine.is_active(&unit(serving));
        (runs && ground.ask("/products").ok()?.0 == 200 && put_right(ground).ok()? > before)
            .then_some(())
    })
}
