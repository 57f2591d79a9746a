//! Adoption killed in the middle: the command, the worker, the helper, at step after step of
//! `adopt`, of `leave` and of the old program's end. Each time the site serves all along, nginx is
//! green, the next call goes on or goes back, and what is there then is whole.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};

use super::adoption::{self, LIMIT, Old, files_of, listener, same_files};
use super::edits::{GoProject, is_alive};
use super::ground::{Ground, SITE, ask};
use super::strike::{Blow, Struck, Victim};
use super::visitors::{Class, Met, Visitors};
use super::{Case, Outcome};
use crate::hostroot;
use crate::process;

/// The cases, each on a host of its own.
pub(super) const CASES: &[Case] = &[
    ("adopt and leave, killed at step after step", there_and_back),
    ("a program taken over and given back, killed at step after step", taken_over),
    ("a program of Supervisor's taken over and given back, killed at its file", supervised),
];

/// The most steps of a victim: each share's folder is two, and its last one comes before.
const STEPS_MAX: u32 = 5000;
/// How often one leave is killed at most before it must be through.
const BLOWS_MAX: u32 = 60;

/// What the kills have come to.
#[derive(Default)]
struct Count {
    kills: BTreeMap<(&'static str, &'static str), u32>,
    went_on: u32,
    again: u32,
}

impl Count {
    fn add(&mut self, verb: &'static str, victim: Victim, is_through: bool) {
        *self.kills.entry((verb, victim.word())).or_default() += 1;
        if is_through { self.went_on += 1 } else { self.again += 1 }
    }

    fn tell(&self) {
        for ((verb, victim), count) in &self.kills {
            println!("      {verb}: the {victim} killed {count} times");
        }
        println!(
            "      {} were through all the same, {} by another call",
            self.went_on, self.again
        );
    }
}

/// Visitors that keep coming while everything is killed.
struct Crowd([Visitors; 2]);

impl Crowd {
    fn start(ground: &Ground) -> Self {
        let of = |class| Visitors::start(ground.site.port, SITE, class, (6, 5));
        Self([of(Class::Closing), of(Class::FinAware)])
    }

    /// Sends them home; none may have met a failure.
    fn end(self) -> Result<()> {
        let met: Vec<Met> = self.0.into_iter().map(Visitors::end).collect();
        for (name, met) in ["closing", "FIN-aware"].iter().zip(&met) {
            let (sent, crossed) = (met.requests, met.crossed);
            println!("      {name}: failed {} of {sent}, {crossed} crossed", met.failed);
            ensure!(met.failed == 0, "{} {name} visitors failed: {:?}", met.failed, met.first);
        }
        Ok(())
    }
}

/// The old program as it runs, and the host as it is before guanka.
struct Before {
    /// The panel's Go project, where it is one.
    project: Option<GoProject>,
    old: Old,
    files: BTreeMap<PathBuf, Vec<u8>>,
}

impl Before {
    fn set_up(ground: &mut Ground) -> Result<Self> {
        let program = adoption::old_program(ground)?;
        let env = adoption::env(ground);
        let project = GoProject { name: "api".to_owned(), program, env }.checked()?;
        let pid = ground.panel.start_project(&project)?;
        ground.started.push(pid);
        ground.comes_to_serve("old")?;
        adoption::declare(ground, SITE)?;
        Self::of(ground, Some(project))
    }

    fn of(ground: &Ground, project: Option<GoProject>) -> Result<Self> {
        Ok(Self { project, old: Old::of(listener(ground)?)?, files: files_of(ground)? })
    }

    /// Holds the host to being as if guanka had never been there.
    fn is_back(&self, ground: &mut Ground) -> Result<()> {
        let pid = listener(ground)?;
        self.old.is(pid)?;
        if let Some(project) = &self.project {
            ground.started.push(pid);
            ensure!(ground.panel.project_pid(project) == Some(pid), "the pid file is another's");
            ensure!(!ground.panel.guard(project)?, "the panel's guard starts it a second time");
        }
        for path in ["opt/guanka/shop.demo", "var/lib/guanka/shop.demo"] {
            ensure!(!ground.host.root.join(path).exists(), "{path} is left");
        }
        same_files(ground, &self.files)?;
        serves(ground)
    }
}

/// Holds the site to answering and nginx to being green, whatever was killed.
fn serves(ground: &Ground) -> Result<()> {
    let (status, body) = ask(ground.site.port, SITE, "/healthz")?;
    ensure!(status == 200, "the site answers {status}: {body}");
    hostroot::test(&ground.host).context("nginx's own test")
}

/// Holds an adoption to being complete.
fn is_adopted(ground: &Ground) -> Result<()> {
    let status = ground.status()?;
    ensure!(status["host"]["active"] == "blue", "blue is not stable: {status}");
    ensure!(status["host"]["arms"]["blue"]["pid"].is_number(), "blue has no process: {status}");
    let missing = ground.pieces().into_iter().find(|path| !path.exists());
    ensure!(missing.is_none(), "{missing:?} is missing");
    serves(ground)
}

/// Adopts after a kill: it is adopted already, or is now.
fn adopt_again(ground: &Ground) -> Result<bool> {
    let again = ground.call(&["adopt", "--yes"])?;
    let was_through = again.exit == 1 && again.text().contains("has adopted the program");
    ensure!(again.exit == 0 || was_through, "adopt again: {}", again.shown());
    is_adopted(ground).with_context(|| again.shown())?;
    Ok(was_through)
}

/// Leaves after a kill: it has left already, or does now.
fn leave_again(ground: &Ground) -> Result<bool> {
    let again = ground.call(&["leave", "--yes"])?;
    let was_through = again.exit == 1 && again.text().contains("has adopted no program");
    ensure!(again.exit == 0 || was_through, "leave again: {}", again.shown());
    Ok(was_through)
}

/// Steps that are tried: the first ones all, later ones in wider strides.
fn next(step: u32) -> u32 {
    step + 1 + step / 4
}

fn there_and_back(ground: &mut Ground) -> Result<Outcome> {
    let before = Before::set_up(ground)?;
    let crowd = Crowd::start(ground);
    let mut count = Count::default();
    for victim in Victim::ALL {
        let mut step = 1;
        loop {
            let blow = Blow { victim, step, path: None };
            let killed = both_ways(ground, &before, blow, &mut count)
                .with_context(|| format!("the {} at step {step}", victim.word()))?;
            if !killed {
                break;
            }
            ensure!(step < STEPS_MAX, "the {} has no end of steps", victim.word());
            step = next(step);
        }
        println!("      the {} has fewer than {step} steps", victim.word());
    }
    count.tell();
    crowd.end()?;
    Ok(Outcome::Clear)
}

/// Adopts and leaves, each with a blow, each put right; returns whether either was hit.
fn both_ways(
    ground: &mut Ground,
    before: &Before,
    blow: Blow<'_>,
    count: &mut Count,
) -> Result<bool> {
    let adopting = blow.strike(ground, &["adopt", "--yes"])?;
    serves(ground).context("right after adopt was killed")?;
    if adopting.was_killed {
        let through = adopt_again(ground).context("adopt")?;
        count.add("adopt", blow.victim, through);
    } else {
        ensure!(adopting.answer.exit == 0, "{}", adopting.answer.shown());
        is_adopted(ground)?;
    }
    let leaving = blow.strike(ground, &["leave", "--yes"])?;
    serves(ground).context("right after leave was killed")?;
    if leaving.was_killed {
        let through = leave_again(ground).context("leave")?;
        count.add("leave", blow.victim, through);
    } else {
        ensure!(leaving.answer.exit == 0, "{}", leaving.answer.shown());
    }
    before.is_back(ground).context("after leaving")?;
    Ok(adopting.was_killed || leaving.was_killed)
}

/// Where the helper is killed while the old program is ended, by the file that the step is about:
/// before the record says that it ends, before the pid file goes, before the record says that it
/// has ended.
const ENDS: &[(&str, u32)] = &[
    ("var/lib/guanka/shop.demo/.adopted.json.new", 1),
    ("var/tmp/gopids/api.pid", 1),
    ("var/lib/guanka/shop.demo/.adopted.json.new", 2),
];

/// The same with Supervisor: before its file is told not to start the program, and after.
const ENDS_SUPERVISED: &[(&str, u32)] = &[
    ("www/server/panel/plugin/supervisor/profile/.api.ini.new", 1),
    ("var/lib/guanka/shop.demo/.adopted.json.new", 2),
];

fn taken_over(ground: &mut Ground) -> Result<Outcome> {
    let before = Before::set_up(ground)?;
    ends(ground, &before, ENDS)
}

fn supervised(ground: &mut Ground) -> Result<Outcome> {
    if let Some(why) = adoption::start_supervised(ground)? {
        return Ok(Outcome::Skipped(why));
    }
    let before = Before::of(ground, None)?;
    ends(ground, &before, ENDS_SUPERVISED)
}

/// Kills the old program's end at each of these changes, and the leave that follows.
fn ends(ground: &mut Ground, before: &Before, list: &[(&str, u32)]) -> Result<Outcome> {
    let crowd = Crowd::start(ground);
    let mut count = Count::default();
    for ((file, step), victim) in list.iter().zip(Victim::ALL) {
        ground.call(&["adopt", "--yes"])?.exits(0)?;
        let pid = listener(ground)?;
        let path = ground.host.root.join(file);
        let blow = Blow { victim: Victim::Helper, step: *step, path: Some(&path) };
        ended(ground, before, (blow, pid), &mut count)
            .with_context(|| format!("killed at change {step} of {file}"))?;
        left(ground, victim, &mut count).with_context(|| format!("the {}", victim.word()))?;
        before.is_back(ground).context("after leaving")?;
        println!("      killed at {file}, then leave again and again: whole");
    }
    count.tell();
    crowd.end()?;
    Ok(Outcome::Clear)
}

/// Ships with a blow while the old program is ended; the release goes on, and the old one is gone.
fn ended(
    ground: &Ground,
    before: &Before,
    (blow, pid): (Blow<'_>, u32),
    count: &mut Count,
) -> Result<()> {
    let Struck { was_killed, answer } = blow.strike(ground, &["ship"])?;
    ensure!(was_killed, "it was not hit: {}", answer.shown());
    serves(ground).context("right after ship was killed")?;
    let is_through = answer.exit == 0;
    if !is_through {
        ground.call(&["resume"])?.exits(0)?;
    }
    count.add("ship", blow.victim, is_through);
    process::wait_for("the old program is gone", LIMIT, || (!is_alive(pid)).then_some(()))?;
    if let Some(project) = &before.project {
        let pid_file = ground.panel.pid_file(project);
        ensure!(!pid_file.exists(), "the panel's guard would start it again");
    }
    serves(ground)
}

/// Leaves under one blow after the other, each a step later, until it is through.
fn left(ground: &Ground, victim: Victim, count: &mut Count) -> Result<()> {
    for step in 1..BLOWS_MAX {
        let blow = Blow { victim, step, path: None };
        let struck = blow.strike(ground, &["leave", "--yes"])?;
        serves(ground).with_context(|| format!("leave was killed at step {step}"))?;
        if !struck.was_killed {
            let was_through = struck.answer.text().contains("has adopted no program");
            ensure!(struck.answer.exit == 0 || was_through, "{}", struck.answer.shown());
            return Ok(());
        }
        count.add("leave", victim, false);
    }
    bail!("killed {BLOWS_MAX} times it is not through")
}
