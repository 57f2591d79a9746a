//! Edits of the panel that guanka's traffic lives through: its pieces stay byte for byte as they
//! are, and not one visitor notices.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::edits::Rewrite;
use super::ground::{Ground, SITE, ask};
use super::visitors::{Class, Visitors};
use super::{Case, Outcome};
use crate::hostroot::Ports;
use crate::process;

/// The cases.
pub(super) const CASES: &[Case] = &[
    ("paths that the site denies reach the service, certificates' stay the site's", paths),
    ("a domain added", domain),
    ("a domain added after three edits by hand: the edits go, guanka stays", hand_edits),
    ("a certificate set, HTTPS forced and allowed again", certificate),
    ("the site's file rendered anew", regenerated),
    ("the sites' logs cut under load: guanka's own log loses no line", logs),
    ("nginx installed anew", reinstalled),
    ("a broken pid file: guanka reloads nothing, the panel starts nginx afresh", pid_file),
];

/// How long nginx may take to be what it was told.
const LIMIT: Duration = Duration::from_secs(20);

/// Does an edit with visitors on the site; none of them may notice, and the pieces stay.
fn lives_through(ground: &mut Ground, edit: impl FnOnce(&mut Ground) -> Result<()>) -> Result<()> {
    let before = ground.piece_texts();
    let visitors = Visitors::start(ground.site.port, SITE, Class::Closing, (4, 50));
    let workers = ground.workers()?;
    let edited = edit(ground).and_then(|()| ground.turned_over(&workers));
    let met = visitors.end();
    edited?;
    ensure!(ground.piece_texts() == before, "guanka's pieces have changed");
    ensure!(met.failed == 0, "{} of {} visitors failed: {:?}", met.failed, met.requests, met.first);
    ground.serves("1")
}

fn paths(ground: &mut Ground) -> Result<Outcome> {
    let own = ["/", "/x", "/runtime/x", "/api/purge/x", "/report.sql", "/.env", "/static/x.css"];
    let root = ground.host.root.join("www/wwwroot/java_node_ssl/.well-known");
    fs::create_dir_all(&root)?;
    fs::write(root.join("proof"), "of the site")?;
    let log = ground.host.root.join("www/wwwlogs/guanka/shop.demo.json");
    for path in own {
        let before = fs::read_to_string(&log).unwrap_or_default().lines().count();
        ask(ground.site.port, SITE, path)?;
        let after = fs::read_to_string(&log).context("read guanka's log")?;
        let told = after.lines().skip(before).any(|line| line.contains(&format!("\"{path}\"")));
        ensure!(told, "{path} does not reach the service");
    }
    let (status, body) = ask(ground.site.port, SITE, "/.well-known/proof")?;
    ensure!((status, body.as_str()) == (200, "of the site"), "a certificate's path: {status}");
    Ok(Outcome::Clear)
}

fn domain(ground: &mut Ground) -> Result<Outcome> {
    lives_through(ground, |ground| {
        let how = ground.panel.add_domain(&mut ground.site, "www.api.example.com")?;
        ensure!(how == Rewrite::Patterns, "all five patterns are there, and it was {how:?}");
        Ok(())
    })?;
    let (status, _) = ask(ground.site.port, "www.api.example.com", "/healthz")?;
    ensure!(status == 200, "the new domain answers {status}");
    Ok(Outcome::Clear)
}

fn hand_edits(ground: &mut Ground) -> Result<Outcome> {
    let edits = ["# mine", "proxy_read_timeout 7s;", "proxy_pass http://127.0.0.1:9;"];
    let path = ground.panel.vhost(&ground.site);
    let text = fs::read_to_string(&path)?;
    let from = "location / {\n";
    ensure!(text.contains(from), "the site has its location");
    let pass = format!("proxy_pass http://127.0.0.1:{};", ground.site.backend);
    let edited = text
        .replace("proxy_read_timeout 86400s;", edits[1])
        .replace(&pass, edits[2])
        .replace(from, &format!("{from}        {}\n", edits[0]));
    fs::write(&path, edited)?;
    lives_through(ground, |ground| {
        let how = ground.panel.add_domain(&mut ground.site, "m.api.example.com")?;
        ensure!(how == Rewrite::Template, "a pattern misses, and it was {how:?}");
        Ok(())
    })?;
    let text = fs::read_to_string(&path)?;
    for edit in edits {
        ensure!(!text.contains(edit), "{edit:?} has lived through it");
    }
    Ok(Outcome::Clear)
}

fn certificate(ground: &mut Ground) -> Result<Outcome> {
    let Ok(true) = fs::exists("/usr/bin/openssl") else {
        return Ok(Outcome::Skipped("openssl is not installed".to_owned()));
    };
    let tls = Ports::free()?.shop;
    lives_through(ground, |ground| ground.panel.set_certificate(&mut ground.site, tls))?;
    let secure = |ground: &Ground| {
        let answer = ground.ask_tls(tls, "/healthz")?;
        let is_ours = answer.contains(" 200 ") && answer.contains("\"release\":\"1\"");
        ensure!(is_ours, "over TLS: {answer}");
        Ok(())
    };
    secure(ground)?;
    let before = ground.piece_texts();
    ground.panel.force_https(&mut ground.site)?;
    ensure!(ground.piece_texts() == before, "guanka's pieces have changed");
    process::wait_for("a plain request is sent on", LIMIT, || {
        let (status, _) = ask(ground.site.port, SITE, "/healthz").ok()?;
        (status == 301).then_some(())
    })?;
    secure(ground)?;
    // The anchor is gone with HTTPS forced: the panel itself refuses until it is allowed again.
    let Err(refused) = ground.panel.set_certificate(&mut ground.site, tls) else {
        bail!("the panel set a certificate without its anchor");
    };
    ensure!(format!("{refused:#}").contains("anchor"), "{refused:#}");
    let workers = ground.workers()?;
    ground.panel.allow_http(&mut ground.site)?;
    ground.turned_over(&workers)?;
    ground.comes_to_serve("1")?;
    Ok(Outcome::Clear)
}

fn regenerated(ground: &mut Ground) -> Result<Outcome> {
    lives_through(ground, |ground| ground.panel.regenerate(&ground.site))?;
    Ok(Outcome::Clear)
}

fn logs(ground: &mut Ground) -> Result<Outcome> {
    let log = ground.host.root.join("www/wwwlogs/guanka/shop.demo.json");
    let lines = || fs::read_to_string(&log).map(|text| text.lines().count()).unwrap_or(0);
    let before = lines();
    let visitors = Visitors::start(ground.site.port, SITE, Class::Closing, (8, 50));
    let cut = ground.panel.cut_site_logs(&["api", "shop.example.com"]);
    let met = visitors.end();
    let packed = cut?;
    ensure!(packed.len() >= 2, "the panel cut {packed:?}");
    ensure!(met.failed == 0, "{} failed: {:?}", met.failed, met.first);
    let kept = u64::try_from(lines() - before)?;
    ensure!(kept == met.requests, "{kept} lines of {} requests", met.requests);
    let output = ground.host.root.join("www/wwwlogs/go/api.log");
    fs::write(&output, "line\n".repeat(50_000))?;
    let copy = ground.panel.cut_project_log(&output)?;
    ensure!(fs::metadata(&copy)?.len() == 250_000 && fs::metadata(&output)?.len() == 0, "cut");
    Ok(Outcome::Clear)
}

fn reinstalled(ground: &mut Ground) -> Result<Outcome> {
    let conf = ground.host.root.join("www/server/nginx/conf/nginx.conf");
    let text = fs::read_to_string(&conf)?;
    fs::write(&conf, text.replacen("http {", "http {\n    keepalive_requests 7; # own", 1))?;
    let before = ground.piece_texts();
    ground.panel.reinstall_nginx()?;
    ensure!(!fs::read_to_string(&conf)?.contains("# own"), "what was added lived through it");
    ensure!(ground.piece_texts() == before, "guanka's pieces have changed");
    ground.comes_to_serve("1")?;
    let drift = ground.status()?["host"]["pieces"].clone();
    ensure!(drift.is_null(), "status tells of {drift}");
    Ok(Outcome::Clear)
}

fn pid_file(ground: &mut Ground) -> Result<Outcome> {
    let path = ground.host.root.join("www/server/nginx/logs/nginx.pid");
    let workers = ground.workers()?;
    let good = fs::read_to_string(&path)?;
    fs::write(&path, "")?;
    let [_, _, extension] = ground.pieces();
    fs::remove_file(&extension)?;
    let drift = ground.drift_becomes("status tells of the pid file", |drift| {
        drift["kind"] == "lost" && drift.to_string().contains("nginx.pid")
    })?;
    ensure!(!extension.exists(), "something was written all the same: {drift}");
    fs::write(&path, &good)?;
    ensure!(ground.workers()? == workers, "nginx was reloaded");
    ground.comes_to_serve("1")?;
    // The panel's own reload meets a broken file by ending every process and starting one.
    fs::write(&path, "")?;
    ground.panel.reload()?;
    ensure!(ground.workers()? != workers, "nginx was not started afresh");
    ground.comes_to_serve("1")?;
    Ok(Outcome::Clear)
}
