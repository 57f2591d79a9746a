//! One host on which ships are killed: set up, rehearsed, killed at one point after the other, each
//! time gone on with and looked at, and put away in the end.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::Signal;

use super::controller::Controller;
use super::disk;
use super::guanka::{Answer, Guanka, Half, Ship, agents, kill_agents, kill_half};
use super::points::{Point, Rehearsals, SPANS, Victim, delay};
use super::project::{self, Version};
use super::users::{self, Users};
use super::whole::{self, Serves};
use crate::hostroot::{self, HostRootInfo, Ports};
use crate::process;
use crate::setup::Tools;

/// guanka's exit codes of `docs`: done, locked by another, not proven.
const DONE: i32 = 0;
const LOCKED: i32 = 7;
const NOT_PROVEN: i32 = 9;
/// guanka's code for "no rollout is unfinished".
const NOTHING: &str = "GK1210";
/// A load gate on a machine this busy may be invalid or too thin; a person would ask again.
const RESUMES: u32 = 8;
/// A mark in a folder that is to stay.
const KEPT: &str = "kept";
/// An agent ends at once; the machine may be busy.
const AGENT_LIMIT: Duration = Duration::from_secs(10);

/// How a killed ship came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Way {
    /// The ship itself went on: only the agent had been killed.
    WentOn,
    /// `guanka resume` went on.
    Resumed,
    /// The controller was started again and went on by itself.
    Restarted,
    /// Nothing had begun: wholly old.
    Old,
    /// Everything had ended: wholly new.
    New,
}

/// Who drives the ships of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Driver {
    /// Each ship itself.
    Ship,
    /// A controller for each host; it is what is killed.
    Controller,
}

/// A host with its project and its users.
pub(crate) struct Lane {
    folder: PathBuf,
    project: PathBuf,
    pub(crate) host: HostRootInfo,
    guanka: Guanka,
    /// Drives in the ships' place, where the run is about it.
    controller: Option<Controller>,
    pub(crate) users: Users,
    serves: Serves,
    known: Vec<Serves>,
    is_kept: bool,
}

impl Way {
    /// Returns the words for it.
    pub(crate) const fn words(self) -> &'static str {
        match self {
            Self::WentOn => "the ship went on",
            Self::Resumed => "resumed",
            Self::Restarted => "the controller went on",
            Self::Old => "nothing had begun",
            Self::New => "everything had ended",
        }
    }
}

impl Lane {
    /// Sets a host up in a new folder and ships the first release.
    pub(crate) fn open(
        repository: &Path,
        folder: &Path,
        tools: &Tools,
        (program, driver): (&Path, Driver),
    ) -> Result<Self> {
        fs::create_dir(folder).with_context(|| format!("create {}", folder.display()))?;
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755))?;
        let host = hostroot::create(&folder.join("host"), tools, Ports::free()?)?;
        let guard = Started(host.root.clone());
        hostroot::start(&host.root)?;
        let project = folder.join("shop");
        project::write(&repository.join("examples/shop"), &project, &host.root)?;
        project::set(&project, Version::A)?;
        let guanka = Guanka::new(program, tools, folder)?;
        let controller = match driver {
            Driver::Ship => None,
            Driver::Controller => Some(guanka.serve()?),
        };
        let ended = guanka.ship(&project)?.wait()?;
        let port = host.ports.shop;
        finish(&guanka, &project, ended).context("the first release")?;
        let serves = whole::check(&guanka, &project, &host.root, port)?;
        ensure!(serves.version == Version::A, "another release answers than was shipped");
        std::mem::forget(guard);
        let (users, known) = (Users::start(port), vec![serves.clone()]);
        let folder = folder.to_owned();
        let is_kept = false;
        Ok(Self { folder, project, host, guanka, controller, users, serves, known, is_kept })
    }

    /// Ships once without a kill, and learns how long each stretch takes.
    pub(crate) fn rehearse(&mut self, rehearsals: &mut Rehearsals) -> Result<()> {
        let wanted = self.next()?;
        let mut ship = self.guanka.ship(&self.project)?;
        let ended = ship.wait()?;
        ship.measure(rehearsals);
        finish(&self.guanka, &self.project, ended).context("a rehearsal")?;
        self.settle(wanted, Way::Resumed)
    }

    /// Ships, kills, looks, goes on, looks again.
    pub(crate) fn kill(&mut self, point: &Point, rehearsals: &Rehearsals) -> Result<Way> {
        let wanted = self.next()?;
        let mut ship = self.guanka.ship(&self.project)?;
        if ship.reaches(SPANS[point.span])? {
            std::thread::sleep(delay(point, rehearsals));
        }
        if matches!(point.victim, Victim::Ship | Victim::Both) {
            match &mut self.controller {
                Some(controller) => controller.kill()?,
                None => ship.kill()?,
            }
        }
        match point.victim {
            Victim::Ship => {}
            Victim::Agent | Victim::Both => kill_agents(&self.host.root, Signal::KILL),
            Victim::Worker => kill_half(&self.host.root, Half::Worker),
            Victim::Helper => kill_half(&self.host.root, Half::Helper),
        }
        self.look().context("right after the kill")?;
        let way = match point.victim {
            Victim::Ship | Victim::Both if self.controller.is_some() => self.restart(&mut ship)?,
            Victim::Agent | Victim::Worker | Victim::Helper => {
                let ended = ship.wait()?;
                match ended.exit {
                    DONE => Way::WentOn,
                    _ => self.go_on(&format!("the ship said {}", ended.said))?,
                }
            }
            Victim::Ship | Victim::Both => self.go_on("the ship was killed")?,
        };
        self.settle(wanted, way)?;
        Ok(match way {
            Way::Old if self.serves.version == wanted => Way::New,
            way => way,
        })
    }

    /// Starts the controller again: nobody resumes anything, and the ship follows to the end.
    fn restart(&mut self, ship: &mut Ship) -> Result<Way> {
        self.controller = Some(self.guanka.serve()?);
        let ended = ship.wait()?;
        let way = match ended.exit {
            DONE => Way::Restarted,
            // Killed while the rollout was on its way from the ship to the controller.
            _ => self.go_on(&format!("the ship said {}", ended.said))?,
        };
        if let Some(controller) = &self.controller {
            controller.is_idle().with_context(|| controller.said())?;
        }
        Ok(way)
    }

    /// Keeps the folder for a person to look at.
    pub(crate) fn keep(&mut self) -> &Path {
        self.is_kept = true;
        // Without the mark the next run puts the folder away; that is all.
        let _ = fs::write(self.folder.join(KEPT), "");
        &self.folder
    }

    /// Makes the project the source of the release that does not serve.
    fn next(&self) -> Result<Version> {
        let wanted = self.serves.version.other();
        project::set(&self.project, wanted)?;
        Ok(wanted)
    }

    /// Looks at the host as the kill has left it: users are served and nothing is half.
    fn look(&self) -> Result<()> {
        let answer = users::ask(self.host.ports.shop, "/products?q=tea", 0)?;
        ensure!(answer.status == 200, "the site answers {}", answer.status);
        hostroot::test(&self.host)?;
        let halves = disk::halves(&self.host.root);
        ensure!(halves.is_empty(), "half: {}", halves.join("; "));
        Ok(())
    }

    /// Resumes until the rollout has ended, asking again where a gate could not see.
    fn go_on(&self, after: &str) -> Result<Way> {
        let project = self.project.display().to_string();
        let ended = self.guanka.ask(&["resume", "--project", &project])?;
        if ended.last["error"]["code"] == NOTHING {
            return Ok(Way::Old);
        }
        finish(&self.guanka, &self.project, ended).with_context(|| after.to_owned())?;
        Ok(Way::Resumed)
    }

    /// Looks at the host after the end, and at what serves.
    fn settle(&mut self, wanted: Version, way: Way) -> Result<()> {
        let port = self.host.ports.shop;
        let serves = whole::check(&self.guanka, &self.project, &self.host.root, port)?;
        let is_open = way == Way::Old;
        ensure!(
            serves.version == wanted || (is_open && serves == self.serves),
            "{} serves, wanted was {}",
            serves.version.word(),
            wanted.word()
        );
        match self.known.iter().find(|known| known.version == serves.version) {
            Some(known) => ensure!(*known == serves, "the same source has another digest"),
            None => self.known.push(serves.clone()),
        }
        self.serves = serves;
        Ok(())
    }
}

/// Follows a command to the rollout's end; a gate that could not see is asked again, a lease of a
/// dead holder must be free at once.
fn finish(guanka: &Guanka, project: &Path, mut ended: Answer) -> Result<()> {
    let project = project.display().to_string();
    for _ in 0..RESUMES {
        match ended.exit {
            DONE => return Ok(()),
            NOT_PROVEN => ended = guanka.ask(&["resume", "--project", &project])?,
            LOCKED => bail!("the lease of a dead holder is not free: {}", ended.said.trim()),
            code => bail!("exit {code}: {}", ended.said.trim()),
        }
    }
    bail!("a gate cannot see, {RESUMES} times over: {}", ended.said.trim())
}

impl Drop for Lane {
    fn drop(&mut self) {
        // It would start the agent again.
        self.controller = None;
        stop(&self.host.root);
        if !self.is_kept {
            // Best effort: what cannot be removed stays for a person.
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

/// A host that is stopped again unless its lane takes it over.
struct Started(PathBuf);

impl Drop for Started {
    fn drop(&mut self) {
        stop(&self.0);
    }
}

/// Stops the host of a lane whose run is gone and removes the lane, unless a person is to look at
/// it; returns whether it is gone.
pub(crate) fn put_away(folder: &Path) -> bool {
    if folder.join(KEPT).exists() {
        return false;
    }
    let root = folder.join("host");
    if root.is_dir() {
        stop(&root);
    }
    fs::remove_dir_all(folder).is_ok()
}

/// Ends a root's agents, then its Supervisor with every program, then its nginx.
fn stop(root: &Path) {
    let end = Instant::now() + AGENT_LIMIT;
    kill_agents(root, Signal::TERM);
    let gone = || agents(root).is_empty().then_some(());
    let late = process::wait_for("the agent ends", end - Instant::now(), gone);
    if let Err(error) = late.and_then(|()| hostroot::stop(root)) {
        eprintln!("crash: {error:#}");
    }
}
