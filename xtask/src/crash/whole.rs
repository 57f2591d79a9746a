//! What must hold once a rollout has been gone on with: it is done, one arm has everything and runs
//! exactly its release, the other has stopped and its port is held, nobody holds a lease, nothing
//! is left over, the chains verify. Every difference is told.

use std::net::TcpListener;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::disk;
use super::guanka::{Guanka, Half, agents};
use super::project::Version;
use super::users;

/// How many users ask which release answers.
const ASKED: u64 = 8;

/// What serves after a rollout has been gone on with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Serves {
    /// The release's digest.
    pub(crate) release: String,
    /// Which of the two it is, by what it answers.
    pub(crate) version: Version,
}

/// Looks at everything; the first difference is the error.
pub(crate) fn check(guanka: &Guanka, project: &Path, root: &Path, port: u16) -> Result<Serves> {
    let project = project.display().to_string();
    let status = guanka.ask(&["status", "--project", &project])?;
    ensure!(status.exit == 0, "guanka status: {}", status.said.trim());
    let service = &status.last["services"][0];
    let (host, rollout) = (&service["host"], &service["rollout"]);
    let state = &rollout["state"]["state"];
    ensure!(state == "done", "the rollout is {state}, not done: {}", rollout["says"]["en"]);
    let arm = host["active"].as_str().context("no arm is the stable one")?;
    let release = arm_is_whole(host, root, arm)?;
    ensure!(
        rollout["release"]["release"] == release.as_str(),
        "the rollout says {}, arm {arm} runs {}",
        rollout["release"]["release"],
        disk::short(&release)
    );
    other_arm_rests(host, arm)?;
    ensure!(host["lease"].is_null(), "the service's lease is held: {}", host["lease"]);
    ensure!(host["canary"].is_null(), "a canary's lease is left: {}", host["canary"]);
    let (halves, left) = (disk::halves(root), disk::leftovers(root));
    ensure!(halves.is_empty(), "half: {}", halves.join("; "));
    ensure!(left.is_empty(), "left over: {}", left.join(", "));
    let running: Vec<Half> = agents(root).into_iter().map(|(half, _)| half).collect();
    ensure!(running == [Half::Helper, Half::Worker], "{running:?} of one root run");
    chains(guanka, root)?;
    report(guanka, &project, rollout)?;
    Ok(Serves { release, version: answering(port)? })
}

/// Makes sure that the stable arm has everything and runs its release's own program.
fn arm_is_whole(host: &Value, root: &Path, arm: &str) -> Result<String> {
    let share = disk::live(root)?;
    let expected = if arm == "green" { 100 } else { 0 };
    ensure!(share == expected, "green has {share} % while {arm} is the stable arm");
    let seen = &host["arms"][arm];
    let release = seen["release"].as_str().context("the stable arm has no release")?;
    let pid = seen["pid"].as_u64().context("the stable arm does not run")?;
    let folder = disk::home(root).join("releases").join(release);
    let program = disk::release(&folder, release)?;
    let running = PathBuf::from(format!("/proc/{pid}/exe"));
    let found = disk::hashes(&[&running])?;
    ensure!(found.get(&running) == Some(&program), "process {pid} is not the release's program");
    Ok(release.to_owned())
}

/// Makes sure that the other arm has stopped and that nobody else can take its port.
fn other_arm_rests(host: &Value, arm: &str) -> Result<()> {
    let other = if arm == "green" { "blue" } else { "green" };
    let seen = &host["arms"][other];
    ensure!(seen["pid"].is_null(), "{other} still runs: {seen}");
    let port = seen["port"].as_u64().and_then(|port| u16::try_from(port).ok());
    let port = port.context("the other arm has no port")?;
    ensure!(TcpListener::bind(("127.0.0.1", port)).is_err(), "the port of {other} is not held");
    Ok(())
}

fn chains(guanka: &Guanka, root: &Path) -> Result<()> {
    let verified = guanka.ask(&["audit", "verify", "--root", &root.display().to_string()])?;
    ensure!(verified.exit == 0, "guanka audit verify: {}", verified.said.trim());
    Ok(())
}

/// Makes sure that the newest rollout has left a report that says so.
fn report(guanka: &Guanka, project: &str, rollout: &Value) -> Result<()> {
    let report = guanka.ask(&["report", "--project", project])?;
    ensure!(report.exit == 0, "guanka report: {}", report.said.trim());
    ensure!(
        report.last["number"] == rollout["number"] && report.last["ended"] == "promoted",
        "the newest report is of {}, {}; the rollout is {}",
        report.last["number"],
        report.last["ended"],
        rollout["number"]
    );
    Ok(())
}

/// Asks as several users which release answers; all must hear the same.
fn answering(port: u16) -> Result<Version> {
    let mut heard = None;
    for user in 0..ASKED {
        let answer = users::ask(port, "/products?q=tea", user).context("ask the site")?;
        ensure!(answer.status == 200, "the site answers {}", answer.status);
        let is = |version: &Version| answer.body.contains(version.word());
        let Some(version) = [Version::A, Version::B].into_iter().find(is) else {
            bail!("a release that was never shipped answers: {}", answer.body);
        };
        ensure!(heard.is_none_or(|known| known == version), "two releases answer");
        heard = Some(version);
    }
    heard.context("nobody was asked")
}
