//! The host without its panel: the distribution's nginx as its package starts it, modules loaded,
//! the site in `sites-enabled`. Runs behind the removal from the panel's.

use std::fs;

use anyhow::{Context, Result, ensure};

use super::Case;
use super::ground::Ground;

pub(super) const CASES: &[Case] = &[
    ("without a panel: the line that the site lacks is named, nothing is changed", unnamed),
    ("without a panel: a release behind an nginx with modules loaded", shipped),
    ("without a panel: a second release under users: nobody fails", second),
    ("without a panel: removal leaves the site's line, and nginx is whole with it", removed),
];

/// What the panel put on the machine.
const PANEL: &str = "rm -rf /www/server /etc/init.d/nginx /etc/init.d/bt /etc/rc?.d/S01nginx \
                     /usr/bin/nginx /var/bt_setupPath.conf /etc/nginx/sites-enabled/default";

/// As nginx's package has it.
const UNIT: &str = "[Service]\nType=forking\nPIDFile=/run/nginx.pid\n\
                    ExecStart=/usr/sbin/nginx -g 'daemon on; master_process on;'\n\
                    ExecReload=/usr/sbin/nginx -g 'daemon on; master_process on;' -s reload\n\
                    [Install]\nWantedBy=multi-user.target\n";

/// The line that the site needs.
const LINE: &str = "include /etc/nginx/guanka/shop.demo/*.conf;";

const SITE: &str = "/etc/nginx/sites-enabled/shop";

fn write_site(ground: &Ground, line: &str) -> Result<()> {
    let path = ground.machine.root().join(SITE.trim_start_matches('/'));
    let text = format!(
        "server {{\n    listen 80;\n    server_name shop.example.com;\n    \
         root /var/www/html;\n    location = /own {{ return 204; }}\n    {line}\n}}\n"
    );
    fs::write(path, text).context("write the site")
}

fn unnamed(ground: &mut Ground) -> Result<()> {
    let machine = &ground.machine;
    machine.run(&["systemctl", "stop", "nginx.service"])?;
    machine.run(&["sh", "-c", PANEL])?;
    fs::write(machine.root().join("etc/systemd/system/nginx.service"), UNIT).context("unit")?;
    write_site(ground, "")?;
    machine.run(&["systemctl", "daemon-reload"])?;
    machine.run(&["systemctl", "start", "nginx.service"])?;
    let maps = "cat /proc/$(cat /run/nginx.pid)/maps | grep -o '/usr/lib/nginx/modules/.*' | uniq";
    let loaded = machine.run(&["sh", "-c", maps])?;
    ensure!(loaded.contains(".so"), "no module is loaded: {loaded}");
    println!("         {}", loaded.lines().next().unwrap_or_default());
    ground.release("plain")?;
    let answer = ground.project_call(&["ship"])?;
    ensure!(answer.code != Some(0), "shipped without the line: {}", answer.text);
    answer.says(&[LINE, SITE])?;
    let list = "ls -d /etc/nginx/conf.d/*guanka* /etc/nginx/guanka 2>/dev/null || true";
    let changed = ground.machine.run(&["sh", "-c", list])?;
    ensure!(changed.trim().is_empty(), "changed: {changed}");
    Ok(())
}

fn shipped(ground: &mut Ground) -> Result<()> {
    write_site(ground, LINE)?;
    ground.machine.run(&["systemctl", "reload", "nginx.service"])?;
    ground.project_call(&["ship"])?.exits(0)?;
    ground.serves("plain")?;
    let (code, _) = ground.ask("/own")?;
    ensure!(code == 204, "the site's own location answers {code}");
    Ok(())
}

fn second(ground: &mut Ground) -> Result<()> {
    let users = ground.users()?;
    ground.release("plain-2")?;
    let shipped = ground.project_call(&["ship"]);
    let (sent, failed, details) = users.stop()?;
    shipped?.exits(0)?;
    ground.serves("plain-2")?;
    ensure!(sent > 1000 && failed == 0, "{failed} of {sent} failed: {details}");
    println!("         {sent} requests, 0 failed");
    Ok(())
}

fn removed(ground: &mut Ground) -> Result<()> {
    ground.project_call(&["remove", "--yes"])?.exits(0)?;
    let machine = &ground.machine;
    machine.run(&["/usr/sbin/nginx", "-t"])?;
    let list = "ls -d /etc/nginx/conf.d/*guanka* /etc/nginx/guanka/* \
                /etc/systemd/system/*shop.demo* 2>/dev/null || true";
    let left = machine.run(&["sh", "-c", list])?;
    ensure!(left.trim().is_empty(), "left: {left}");
    let (code, body) = ground.ask("/")?;
    ensure!(!body.contains("release"), "the site answers {code} {body}");
    Ok(())
}
