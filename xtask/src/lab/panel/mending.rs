//! What the panel's edits and people take away from guanka, and what it does about it: pieces are
//! put back with a line that says so; what is somebody else's is not touched.

use std::fs;
use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::Value;

use super::ground::{Ground, SITE, ask};
use super::{Case, Outcome};
use crate::hostroot;
use crate::lab::bad_input::program::Lang;
use crate::process;

/// How long guanka may take to see and mend something.
const LIMIT: Duration = Duration::from_secs(30);

/// The cases.
pub(super) const CASES: &[Case] = &[
    ("the site's piece deleted: put back", |ground| mended(ground, 2, None)),
    ("the http level's piece deleted, nginx red: put back", |ground| mended(ground, 1, None)),
    ("the log format deleted, nginx red: put back", |ground| mended(ground, 0, None)),
    ("a piece edited by hand: put back", |ground| mended(ground, 2, Some("# mine\n"))),
    ("a piece deleted beside somebody's broken file: nothing is touched", foreign_broken),
    ("a rule that answers before guanka: said, and said when it is gone", covered),
    ("the site deleted: said, nothing broken; made anew it is taken up again", deleted),
    ("the log format behind the sites: nginx refuses it, the old order stands", order),
];

/// Takes a piece away, or puts another text in its place, and waits until it is back.
fn mended(ground: &mut Ground, piece: usize, other: Option<&str>) -> Result<Outcome> {
    let before = ground.piece_texts();
    let said = ground.audit()?.matches("nginx-pieces-put-back").count();
    let path = &ground.pieces()[piece];
    match other {
        Some(text) => fs::write(path, format!("{text}{}", before[piece]))?,
        None => fs::remove_file(path)?,
    }
    // Where nginx still takes it, the panel's next click loads the loss.
    let _ = ground.panel.reload();
    process::wait_for("the piece is back", LIMIT, || {
        (ground.piece_texts() == before).then_some(())
    })?;
    ground.comes_to_serve("1")?;
    hostroot::test(&ground.host)?;
    ground.drift_becomes("status tells of no drift", Value::is_null)?;
    let mut told = said;
    process::wait_for("the audit log tells it", LIMIT, || {
        told = ground.audit().ok()?.matches("nginx-pieces-put-back").count();
        (told > said).then_some(())
    })?;
    ensure!(told == said + 1, "it is told {} times", told - said);
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    for (lang, word) in [(Lang::Zh, "已放回"), (Lang::En, "put back")] {
        let text = ground.call_in(lang, &["status"])?.exits(0)?.text();
        ensure!(text.contains(word) && text.contains(&name), "status says:\n{text}");
    }
    Ok(Outcome::Clear)
}

fn foreign_broken(ground: &mut Ground) -> Result<Outcome> {
    let broken = ground.host.root.join("www/server/panel/vhost/nginx/shop.example.com.conf");
    let good = fs::read_to_string(&broken)?;
    let [_, _, extension] = ground.pieces();
    fs::write(&broken, format!("{good}\nno_such_directive on;\n"))?;
    fs::remove_file(&extension)?;
    let workers = ground.workers()?;
    let tried = (|| {
        let drift = ground.drift_becomes("status tells of the broken file", |drift| {
            drift["kind"] == "lost" && drift.to_string().contains("no_such_directive")
        })?;
        ensure!(!extension.exists(), "something was written all the same: {drift}");
        ensure!(ground.workers()? == workers, "nginx was reloaded");
        // The site itself is served as before: nginx has not read anything new.
        ground.serves("1")?;
        let text = ground.call_in(Lang::Zh, &["status"])?.exits(0)?.text();
        ensure!(text.contains("暂时不能放回"), "status says:\n{text}");
        let refused = ground.panel.regenerate(&ground.site);
        ensure!(refused.is_err(), "the panel works on a site while nginx is red");
        Ok(())
    })();
    fs::write(&broken, good)?;
    tried?;
    ground.drift_becomes("it is put back", Value::is_null)?;
    ensure!(extension.exists(), "the piece is back");
    ground.comes_to_serve("1")?;
    Ok(Outcome::Clear)
}

fn covered(ground: &mut Ground) -> Result<Outcome> {
    let path = ground.panel.vhost(&ground.site);
    let text = fs::read_to_string(&path)?;
    let rule = "location ^~ / {\n        return 204;\n";
    fs::write(&path, text.replacen("location / {\n", rule, 1))?;
    ground.panel.reload()?;
    process::wait_for("the rule answers", LIMIT, || {
        let (status, _) = ask(ground.site.port, SITE, "/healthz").ok()?;
        (status == 204).then_some(())
    })?;
    ground.drift_becomes("status tells of the rule", |drift| {
        drift["kind"] == "blocked" && drift.to_string().contains("^~ /")
    })?;
    fs::write(&path, text)?;
    ground.panel.reload()?;
    ground.drift_becomes("status tells of no rule", Value::is_null)?;
    ground.comes_to_serve("1")?;
    Ok(Outcome::Clear)
}

fn deleted(ground: &mut Ground) -> Result<Outcome> {
    let [format, http, extension] = ground.pieces();
    ground.panel.delete_site(&ground.site)?;
    ensure!(!extension.exists() && http.exists() && format.exists(), "what a deletion leaves");
    let drift = ground.drift_becomes("status tells of the site", |d| d["kind"] == "site_gone")?;
    ensure!(drift.to_string().contains("zz_guanka_shop.demo.conf"), "no orphan is told: {drift}");
    hostroot::test(&ground.host)?;
    // Its certificate is gone with it.
    ground.site.tls_port = None;
    let site = ground.site.clone();
    ground.panel.create_site(&site)?;
    ground.drift_becomes("the new site is taken up", Value::is_null)?;
    ground.comes_to_serve("1")?;
    Ok(Outcome::Clear)
}

fn order(ground: &mut Ground) -> Result<Outcome> {
    let [format, _, _] = ground.pieces();
    let behind = format.with_file_name("zz_format.conf");
    let before = ground.piece_texts();
    fs::rename(&format, &behind)?;
    let red = hostroot::test(&ground.host);
    let text = format!("{:#}", red.err().map_or_else(String::new, |error| format!("{error:#}")));
    fs::remove_file(&behind)?;
    ensure!(text.contains("unknown log format"), "nginx says: {text}");
    ground.drift_becomes("the format is put back", Value::is_null)?;
    process::wait_for("the old order", LIMIT, || (ground.piece_texts() == before).then_some(()))?;
    hostroot::test(&ground.host)?;
    Ok(Outcome::Clear)
}
