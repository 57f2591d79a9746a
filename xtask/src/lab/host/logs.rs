//! The arms' output on the host: followed from the other side of the wire over rotations, read back
//! out of the archives, kept in the journal where that is chosen, and rotated by nobody else.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::Case;
use super::ground::Ground;
use crate::process;

/// Two rotations, looked for every ten seconds.
const LIMIT: Duration = Duration::from_secs(90);
/// What ends ends within seconds.
const SOON: Duration = Duration::from_secs(20);
/// Lines that a follower must have had over the wire from the journal.
const LINES: usize = 3000;

pub(super) const CASES: &[Case] = &[
    ("logs -f over the wire, over rotations: every line once, Ctrl-C leaves nothing", followed),
    ("logs --since reads archives as one text, logs -n the last lines", read_back),
    ("rotated in place, owner and mode stay", owners),
    ("another rotator of guanka's logs is refused with file and line", second_rotator),
    ("journald when chosen: logs -f reads it, every line once", journal),
];

/// Prints a numbered line every millisecond or so, for two minutes at the most.
const CHATTER: &str = r#"package main

import (
	"fmt"
	"os"
	"strings"
	"time"
)

func init() {
	go func() {
		pad := strings.Repeat("x", 200)
		for n := 0; n < 120000; n++ {
			now := time.Now().Format(time.RFC3339Nano)
			fmt.Fprintf(os.Stdout, "{\"time\":%q,\"n\":%d,\"pad\":%q}\n", now, n, pad)
			time.Sleep(time.Millisecond)
		}
	}()
}
"#;

/// A `guanka logs -f` on the administrator's side.
struct Follower {
    child: Child,
    said: std::path::PathBuf,
}

impl Follower {
    fn start(ground: &Ground) -> Result<Self> {
        let project = ground.project.display().to_string();
        let said = ground.at("follow.json");
        let file = File::create(&said).context("write follow.json")?;
        let errors = file.try_clone().context("share the file")?;
        let mut command = ground.command(&["logs", "-f", "-n", "1", "--json", "-C", &project]);
        let child = command.stdin(Stdio::null()).stdout(file).stderr(errors).spawn();
        Ok(Self { child: child.context("start guanka logs")?, said })
    }

    /// Presses Ctrl-C; returns each arm's numbers.
    fn interrupt(mut self) -> Result<BTreeMap<String, Vec<u64>>> {
        let ended = self.child.try_wait().context("look at guanka logs")?;
        ensure!(ended.is_none(), "it ended by itself: {}", fs::read_to_string(&self.said)?);
        let mut kill = Command::new("kill");
        kill.args(["-INT", &self.child.id().to_string()]);
        ensure!(kill.status().context("send SIGINT")?.success(), "it could not be interrupted");
        process::wait_for("logs ends", SOON, || self.child.try_wait().transpose())??;
        numbers(&fs::read_to_string(&self.said)?)
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        // Best effort: interrupted in order it has ended before.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns the numbers that each arm printed, in the order of the text.
fn numbers(text: &str) -> Result<BTreeMap<String, Vec<u64>>> {
    let mut found: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for line in text.lines() {
        // The interrupt may have cut the last one.
        let Ok(line) = serde_json::from_str::<Value>(line) else { continue };
        let printed: Option<Value> =
            line["text"].as_str().and_then(|text| serde_json::from_str(text).ok());
        if let Some(number) = printed.and_then(|printed| printed["n"].as_u64()) {
            let arm = line["arm"].as_str().context("a line has its arm")?;
            found.entry(arm.to_owned()).or_default().push(number);
        }
    }
    Ok(found)
}

/// Holds numbers to follow on one another without a gap or a second time.
fn in_order(numbers: &[u64]) -> Result<()> {
    let wrong = numbers.windows(2).find(|two| two[1] != two[0] + 1);
    ensure!(wrong.is_none(), "behind {:?} of {} lines", wrong, numbers.len());
    Ok(())
}

/// Returns the arm that serves.
fn active(ground: &Ground) -> Result<String> {
    let status = ground.status()?;
    status["host"]["active"].as_str().map(str::to_owned).context("an arm serves")
}

fn archives(ground: &Ground, arm: &str) -> Result<usize> {
    let list = format!("ls /var/log/guanka/shop.demo/ | grep -c '^{arm}.log\\.' || true");
    ground.machine.run(&["sh", "-c", &list])?.trim().parse().context("a count")
}

/// Ships while users are there: without them no canary is ever proven.
fn shipped_under_users(ground: &Ground) -> Result<()> {
    let users = ground.users()?;
    let shipped = ground.project_call(&["ship"]);
    users.stop()?;
    shipped?.exits(0).map(|_| ())
}

fn followed(ground: &mut Ground) -> Result<()> {
    fs::write(ground.project.join("chatter.go"), CHATTER).context("write chatter.go")?;
    ground.release("chatter")?;
    shipped_under_users(ground)?;
    let arm = active(ground)?;
    let had = archives(ground, &arm)?;
    let follower = Follower::start(ground)?;
    let more = || (archives(ground, &arm).ok()? >= had + 2).then_some(());
    process::wait_for("two more rotations", LIMIT, more)?;
    let seen = follower.interrupt()?;
    let lines = seen.get(&arm).context("lines of the arm that serves")?;
    in_order(lines)?;
    ensure!(lines.len() > 5000, "only {} lines", lines.len());
    let ways = "ps -e -o args= | grep -c '[a]gent --connect' || true";
    process::wait_for("the way over ssh is gone", SOON, || {
        let count = ground.machine.run(&["sh", "-c", ways]).ok()?;
        (count.trim() == "0").then_some(())
    })?;
    println!("         {} lines over {} archives, each once", lines.len(), archives(ground, &arm)?);
    Ok(())
}

fn read_back(ground: &mut Ground) -> Result<()> {
    let arm = active(ground)?;
    let all = ground.project_call(&["logs", "--since", "1h", "--arm", &arm, "--json"])?.exits(0)?;
    let mut found = numbers(&all.text)?;
    let lines = found.remove(&arm).context("lines")?;
    ensure!(lines.first() == Some(&0), "it begins with {:?}", lines.first());
    in_order(&lines)?;
    let both = ground.project_call(&["logs", "-n", "5", "--json"])?.exits(0)?;
    let line = both.text.lines().last().unwrap_or_default();
    let object: Value = serde_json::from_str(line).context("one object")?;
    let shown = object["lines"].as_array().context("lines")?;
    let of_arm = shown.iter().filter(|line| line["arm"] == arm.as_str()).count();
    ensure!(of_arm == 5, "{of_arm} lines instead of 5");
    ground.project_call(&["logs", "--since", "yesterday"])?.exits(2)?.says(&["yesterday"])?;
    println!("         {} lines out of {} archives", lines.len(), archives(ground, &arm)?);
    Ok(())
}

fn owners(ground: &mut Ground) -> Result<()> {
    let arm = active(ground)?;
    for log in [
        format!("/var/log/guanka/shop.demo/{arm}.log"),
        "/www/wwwlogs/guanka/shop.demo.json".into(),
    ] {
        let list = format!("stat -c '%a %U:%G' {log} {log}.* | sort -u");
        let said = ground.machine.run(&["sh", "-c", &list])?;
        ensure!(said.lines().count() == 1, "{log}: {said}");
    }
    Ok(())
}

fn second_rotator(ground: &mut Ground) -> Result<()> {
    let file = ground.machine.root().join("etc/logrotate.d/mine");
    fs::write(&file, "# mine\n/www/wwwlogs/guanka/*.json {\n  daily\n  copytruncate\n}\n")?;
    let says = ["/etc/logrotate.d/mine:2", "logrotate", "shop.demo.json"];
    let planned = ground.project_call(&["plan"]).and_then(|answer| answer.exits(1)?.says(&says));
    let shipped = ground.project_call(&["ship"]).and_then(|answer| answer.exits(1)?.says(&says));
    let doctor = "/opt/guanka/bin/guanka --lang en doctor || true";
    let asked = ground.machine.run(&["sh", "-c", doctor]);
    fs::remove_file(&file)?;
    planned.context("plan")?;
    shipped.context("ship")?;
    let asked = asked?;
    ensure!(says.iter().all(|word| asked.contains(word)), "doctor: {asked}");
    ground.project_call(&["plan"])?.exits(0)?;
    Ok(())
}

fn journal(ground: &mut Ground) -> Result<()> {
    let (file, journal) = ("keep   = 40", "keep   = 40\nplace  = \"journald\"");
    ground.rewrite("guanka.toml", file, journal)?;
    ground.release("journal")?;
    shipped_under_users(ground)?;
    let arm = active(ground)?;
    let unit = format!("guanka-shop.demo@{arm}.service");
    let output = "--property=StandardOutput";
    let said = ground.machine.run(&["systemctl", "show", "--value", output, &unit])?;
    ensure!(said.trim() == "journal", "{unit} writes to {said}");
    let follower = Follower::start(ground)?;
    let path = follower.said.clone();
    process::wait_for("lines from the journal", LIMIT, || (lines_in(&path) > LINES).then_some(()))?;
    let seen = follower.interrupt()?;
    let lines = seen.get(&arm).context("lines of the arm that serves")?;
    in_order(lines)?;
    ensure!(lines.len() >= LINES / 2, "only {} lines", lines.len());
    println!("         {} lines out of the journal, each once", lines.len());
    ground.rewrite("guanka.toml", journal, file)?;
    fs::remove_file(ground.project.join("chatter.go")).context("remove chatter.go")
}

fn lines_in(path: &Path) -> usize {
    fs::read_to_string(path).unwrap_or_default().lines().count()
}
