//! Disks that take nothing more: a full or read-only one below what the agent keeps, below releases
//! and below nginx's pieces. What serves goes on, and what could not be written is named.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use super::ground::{self, Ground};
use super::host::SmallDisk;
use super::program::{Expected, Lang};
use super::{Case, Outcome};
use crate::hostroot::{self, Ports};
use crate::process;
use crate::setup;

/// The cases.
pub(crate) const CASES: &[Case] = &[
    ("a full disk below what the agent keeps", full_state),
    ("a disk that fills up below a running agent", full_below_agent),
    ("a disk that fills up in the middle of a canary", full_in_canary),
    ("a read-only disk below what the agent keeps", read_only_state),
    ("a read-only disk on a host that has nothing of guanka's yet", read_only_from_the_start),
    ("a read-only disk below the releases", read_only_releases),
    ("a read-only disk below nginx's pieces, before an install", read_only_vhosts),
];

/// How soon an agent must answer again once there is room.
const LIMIT: Duration = Duration::from_secs(10);

/// Why a case was not tried.
fn not_here() -> Outcome {
    Outcome::Skipped("this machine does not let a disk be mounted".to_owned())
}

/// A folder of the host that cannot be written to.
struct ReadOnly(PathBuf);

impl ReadOnly {
    /// Makes it so; nothing where this user or this machine cannot.
    fn over(ground: &Ground, folder: &Path) -> Option<Self> {
        let shown = folder.display().to_string();
        let mount = |words: &[&str]| ground::system(&ground.folder, "/bin/mount", words);
        mount(&["--bind", &shown, &shown]).ok()?;
        let own = Self(folder.to_owned());
        mount(&["-o", "remount,bind,ro", &shown]).ok()?;
        Some(own)
    }
}

impl Drop for ReadOnly {
    fn drop(&mut self) {
        let folder = self.0.display().to_string();
        // Best effort; what stays mounted shows when the folder cannot be removed.
        let _ = ground::system(&std::env::temp_dir(), "/bin/umount", &["-l", &folder]);
    }
}

/// Holds ship to refusing with exit 1 and these words.
fn refuses(ground: &Ground, code: &'static str, path: &str, words: Words) -> Result<()> {
    ground.refuses(&["ship"], &expected(code, path, words))
}

fn expected(code: &'static str, path: &str, (zh, en): Words) -> Expected {
    Expected { exit: 1, code, both: vec![path.to_owned()], zh, en, ..Expected::default() }
}

/// What the Chinese and the English text say.
type Words = (&'static str, &'static str);

const FULL: Words = ("磁盘空间不足", "no space left");
const READ_ONLY: Words = ("只读", "read-only");

/// Where the agent keeps what it knows.
const STATE: &str = "var/lib/guanka";
/// The worker's own part of it.
const WORKER: &str = "var/lib/guanka/agent";

/// Tries something on a small disk below the agent's state, and ends the agent that was there.
fn on_small_disk(
    ground: &Ground,
    trial: impl FnOnce(&Ground, &Path) -> Result<()>,
) -> Result<Outcome> {
    if !setup::is_root() {
        return Ok(not_here());
    }
    ground.release("2")?;
    let folder = ground.host.root.join(STATE);
    ground.kill_agent()?;
    let Some(disk) = SmallDisk::over(ground, &folder)? else { return Ok(not_here()) };
    let tried = trial(ground, &folder.join("somebody-elses"));
    // It may not live on without its files.
    let ended = ground.kill_agent();
    drop(disk);
    tried.and(ended).map(|()| Outcome::Clear)
}

fn full_state(ground: &mut Ground) -> Result<Outcome> {
    on_small_disk(ground, |ground, filler| {
        fill(filler)?;
        refuses(ground, "GK1202", WORKER, FULL)?;
        // Nobody has to start anything anew: with room again the same agent answers.
        fs::remove_file(filler).context("make room")?;
        process::wait_for("the agent answers", LIMIT, || ground.status().ok()).map(|_| ())
    })
}

fn full_below_agent(ground: &mut Ground) -> Result<Outcome> {
    on_small_disk(ground, |ground, filler| {
        ground.status()?;
        fill(filler)?;
        refuses(ground, "GK1202", STATE, FULL)?;
        // To look needs no room.
        ground.status().map(|_| ())
    })
}

/// Fills a disk to its last byte.
fn fill(path: &Path) -> Result<()> {
    use std::io::Write;
    let mut file = fs::File::create(path).context("fill the disk")?;
    for size in [1 << 16, 1 << 12, 1] {
        // A small disk has few megabytes; a bound all the same.
        let piece = vec![b'x'; size];
        for _ in 0..(1 << 14) {
            if file.write_all(&piece).is_err() {
                break;
            }
        }
    }
    Ok(())
}

fn full_in_canary(ground: &mut Ground) -> Result<Outcome> {
    on_small_disk(ground, |ground, filler| {
        let ship = ground.guanka.start(Lang::Zh, &ground.words(&["ship"]))?;
        ground.wait_for_state("canary\"")?;
        fill(filler)?;
        expected("GK1202", STATE, FULL).holds(Lang::Zh, &ship.end()?)?;
        ground.status()?;
        ground.still_serves()?;
        // Going back needs no room; writing down that it was done does.
        fs::remove_file(filler).context("make room")?;
        ground.guanka.call(Lang::En, &ground.words(&["abort"]))?.exits(5)?;
        ground.still_serves()
    })
}

fn read_only_state(ground: &mut Ground) -> Result<Outcome> {
    ground.release("2")?;
    let folder = ground.host.root.join(STATE);
    ground.kill_agent()?;
    let Some(disk) = ReadOnly::over(ground, &folder) else { return Ok(not_here()) };
    let tried = refuses(ground, "GK1202", WORKER, READ_ONLY);
    let ended = ground.kill_agent();
    drop(disk);
    tried.and(ended).map(|()| Outcome::Clear)
}

fn read_only_from_the_start(ground: &mut Ground) -> Result<Outcome> {
    let root = ground.folder.join("unused");
    let host = hostroot::create(&root, &setup::ensure()?, Ports::free()?)?;
    let folder = host.root.join("var/lib");
    fs::create_dir_all(&folder).context("make a folder")?;
    let old = format!("local:{}", ground.host.root.display());
    ground.rewrite("guanka.toml", &old, &format!("local:{}", host.root.display()))?;
    let Some(disk) = ReadOnly::over(ground, &folder) else { return Ok(not_here()) };
    let tried = refuses(ground, "GK1202", &host.root.join(STATE).display().to_string(), READ_ONLY);
    let ended = ground::kill_agent(&ground.guanka.path, &host.root);
    drop(disk);
    tried.and(ended).map(|()| Outcome::Clear)
}

fn read_only_releases(ground: &mut Ground) -> Result<Outcome> {
    ground.release("2")?;
    let folder = ground.host.root.join("opt/guanka/shop.demo/releases");
    let Some(disk) = ReadOnly::over(ground, &folder) else { return Ok(not_here()) };
    let tried = refuses(ground, "", &folder.display().to_string(), READ_ONLY);
    drop(disk);
    tried.map(|()| Outcome::Clear)
}

fn read_only_vhosts(ground: &mut Ground) -> Result<Outcome> {
    ground.rewrite("guanka.toml", "keepalive    = \"2s\"", "keepalive    = \"3s\"")?;
    let folder = ground.host.root.join("www/server/panel/vhost/nginx");
    let Some(disk) = ReadOnly::over(ground, &folder) else { return Ok(not_here()) };
    let workers = ground.nginx_workers()?;
    let shown = folder.display().to_string();
    let expected = expected("GK1202", &shown, READ_ONLY);
    let tried = ["ship", "plan"].iter().try_for_each(|verb| ground.refuses(&[verb], &expected));
    drop(disk);
    tried?;
    anyhow::ensure!(ground.nginx_workers()? == workers, "nginx was reloaded");
    Ok(Outcome::Clear)
}
