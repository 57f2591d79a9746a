//! Where guanka writes and where it does not: an older panel's site takes a block in its rewrite
//! file, a proxy project is refused, and no number of a user stands in what is written.

use std::fs;

use anyhow::{Context, Result, ensure};

use super::ground::{Ground, ask};
use super::{Case, Outcome};
use crate::hostroot;
use crate::lab::bad_input::snapshot::Snapshot;
use crate::process;

/// The cases, in the order of their need.
pub(super) const CASES: &[Case] = &[
    ("a proxy project of the panel: refused with advice, nothing written", proxy_project),
    ("whatever number www has, the plan is the same", numbers),
    ("an older panel's site: a block in its rewrite file, and not one byte else", old_panel),
];

fn proxy_project(ground: &mut Ground) -> Result<Outcome> {
    let port = hostroot::Ports::free()?.shop;
    let vhost = ground.host.root.join("www/server/panel/vhost/nginx");
    let text = format!(
        "server\n{{\n    listen 127.0.0.1:{port};\n    server_name px.example.com;\n    \
         include {0}/extension/px.example.com/*.conf;\n    #PROXY-CONF-START\n    \
         location ^~ / {{\n        proxy_pass http://127.0.0.1:9;\n    }}\n    \
         #PROXY-CONF-END\n}}\n",
        vhost.display()
    );
    fs::write(vhost.join("px.example.com.conf"), text)?;
    fs::create_dir_all(vhost.join("extension/px.example.com"))?;
    ground.panel.reload()?;
    ground.manifest("px.example.com")?;
    let before = Snapshot::of(&ground.host.root)?;
    let refused = ground.call(&["plan"])?.exits(1)?;
    for word in ["^~ /", "use another site"] {
        ensure!(refused.text().contains(word), "{}", refused.shown());
    }
    before.same_as(&Snapshot::of(&ground.host.root)?)?;
    Ok(Outcome::Clear)
}

fn numbers(ground: &mut Ground) -> Result<Outcome> {
    ground.manifest(super::ground::SITE)?;
    let passwd = ground.host.root.join("etc/passwd");
    let text = fs::read_to_string(&passwd)?;
    let plan = |text: &str| -> Result<String> {
        fs::write(&passwd, text)?;
        Ok(ground.call(&["plan", "--json"])?.exits(0)?.out)
    };
    let first = plan(&text)?;
    let other = text.replace("admin:x:1000:1000", "admin:x:1002:1002");
    let second = plan(&other.replace("www:x:1001:1001", "www:x:1000:1000"))?;
    fs::write(&passwd, &text)?;
    ensure!(first == second, "the plans differ");
    ensure!(!first.contains("1001"), "a number stands in the plan");
    Ok(Outcome::Clear)
}

fn old_panel(ground: &mut Ground) -> Result<Outcome> {
    let vhost = ground.panel.vhost(&ground.site);
    let text = fs::read_to_string(&vhost)?;
    let old: Vec<&str> = text.lines().filter(|line| !line.contains("/extension/")).collect();
    fs::write(&vhost, old.join("\n") + "\n")?;
    let rewrite = ground.panel.rewrites("go_api");
    let theirs = "# of the owner\nrewrite ^/old$ /healthz last;";
    fs::write(&rewrite, theirs)?;
    ground.panel.reload()?;
    ground.manifest(super::ground::SITE)?;
    ground.call(&["ship"])?.exits(0)?;
    ground.serves("1")?;
    let (status, _) = ask(ground.site.port, super::ground::SITE, "/old")?;
    ensure!(status == 200, "the owner's rule answers {status}");
    let with = fs::read_to_string(&rewrite)?;
    ensure!(with.starts_with("# guanka begin shop.demo\n") && with.ends_with(theirs), "{with}");
    // The owner's own lines change: no drift. The block goes: it is put back among them.
    fs::write(&rewrite, format!("{with}\n# more"))?;
    let drift = ground.status()?["host"]["pieces"].clone();
    ensure!(drift.is_null(), "{drift}");
    fs::write(&rewrite, format!("{theirs}\n# more"))?;
    let whole = format!("{with}\n# more");
    process::wait_for("the block is back", super::ground::MENDED, || {
        (fs::read_to_string(&rewrite).ok()? == whole).then_some(())
    })?;
    ground.comes_to_serve("1")?;
    ground.call(&["remove", "--yes"])?.exits(0)?;
    let rest = fs::read_to_string(&rewrite)?;
    ensure!(rest == format!("{theirs}\n# more"), "{rest}");
    let left = ground.pieces().into_iter().find(|path| path.exists());
    ensure!(left.is_none(), "{left:?} is left");
    hostroot::test(&ground.host).context("nginx after the last service is gone")?;
    Ok(Outcome::Clear)
}
