//! The newest nginx, systemd, OpenSSH and Supervisor that Debian has, in a file system of their own:
//! install, releases under users, the way back, removal.

use anyhow::{Context, Result, ensure};

use super::ground::Ground;
use super::{Case, life, reach, sandbox};

pub(super) const CASES: &[Case] = &[
    ("the machine runs with its panel: nginx answers", reach::runs),
    ("its nginx is newer than the one that panels have", newer),
];

pub(super) const LIFE: &[Case] = &[
    ("first release: a systemd unit, not as root", life::first),
    ("a second release under users: nobody fails", life::second),
    ("rollback under users: nobody fails", life::rolled_back),
    ("exposure of an arm's unit is 2.0 at most by this systemd's score", sandbox::exposure),
    ("removal takes the service out of nginx", removed),
];

fn newer(ground: &mut Ground) -> Result<()> {
    // nginx says its version on its error stream.
    let said = ground.machine.run(&["sh", "-c", "nginx -v 2>&1; systemctl --version | head -1"])?;
    println!("         {}", said.trim().replace('\n', ", "));
    let version = said.split_once("nginx/").context("a version")?.1;
    let mut parts = version.split(['.', '\n', ' ']).map(|part| part.parse::<u32>().unwrap_or(0));
    let found = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
    ensure!(found > (1, 22), "nginx {found:?}");
    Ok(())
}

fn removed(ground: &mut Ground) -> Result<()> {
    ground.project_call(&["remove", "--yes"])?.exits(0)?;
    ground.machine.run(&["/etc/init.d/nginx", "configtest"])?;
    let list = "ls /etc/systemd/system/ /www/server/panel/vhost/nginx | grep shop.demo || true";
    let left = ground.machine.run(&["sh", "-c", list])?;
    ensure!(left.trim().is_empty(), "left: {left}");
    let (code, body) = ground.ask("/")?;
    ensure!(code == 200 && !body.contains("release"), "the site answers {code} {body}");
    Ok(())
}
