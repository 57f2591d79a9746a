//! The control: a switch as it is often written, the link removed and made anew, the program copied
//! in place, killed at the same kind of moment. The same look at the disk must call it half; a look
//! that never does would see nothing in guanka either.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::disk;
use crate::process;

/// How often the naive switch is killed.
const KILLS: u64 = 24;
/// How it copies: in small pieces, as a copy over a line does.
const PIECE: usize = 16 << 10;

/// How long a naive switch goes on that nobody kills; it is killed after a few hundredths.
const LIMIT: Duration = Duration::from_secs(10);

/// The mark of a step that has begun.
const BEGUN: &str = "begun";

/// What the control showed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Control {
    /// How often it was killed.
    pub(crate) kills: u64,
    /// How many of them left a half link.
    pub(crate) links: u64,
    /// How many of them left a half release.
    pub(crate) releases: u64,
}

impl Control {
    /// Returns whether both kinds of half were seen.
    pub(crate) const fn is_seen(self) -> bool {
        self.links > 0 && self.releases > 0
    }
}

/// A naive step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The link is removed and made anew.
    Link,
    /// The program is copied over itself.
    Copy,
}

impl Step {
    const fn word(self) -> &'static str {
        match self {
            Self::Link => "link",
            Self::Copy => "copy",
        }
    }

    /// Reads the word for a step.
    pub(crate) fn parse(word: &str) -> Option<Self> {
        [Self::Link, Self::Copy].into_iter().find(|step| step.word() == word)
    }
}

/// Kills a naive switch again and again on a copy of what a host has, and looks each time.
pub(crate) fn run(root: &Path, folder: &Path) -> Result<Control> {
    copy(&disk::home(root), &disk::home(folder))?;
    copy(&disk::state(root).join("shares"), &disk::state(folder).join("shares"))?;
    let mut control = Control::default();
    for kill in 0..KILLS {
        relink(folder, 0)?;
        mend(root, folder)?;
        let before = disk::halves(folder);
        ensure!(before.is_empty(), "the copy is not whole: {}", before.join("; "));
        let step = if kill % 2 == 0 { Step::Link } else { Step::Copy };
        interrupt(folder, step, Duration::from_micros(kill * 1_709))?;
        let halves = disk::halves(folder);
        control.kills += 1;
        control.links += u64::from(halves.iter().any(|half| half.starts_with("live")));
        control.releases += u64::from(halves.iter().any(|half| half.starts_with("release")));
    }
    Ok(control)
}

/// Starts a naive step and kills it some time after it has begun.
fn interrupt(folder: &Path, step: Step, after: Duration) -> Result<()> {
    let own = std::env::current_exe().context("find this program")?;
    let mut command = Command::new(own);
    command.args(["crash", "--naive", step.word()]).arg(folder).stdin(Stdio::null());
    let mut child = command.spawn().context("start the naive switch")?;
    let begun = folder.join(BEGUN);
    let waited = process::wait_for("a naive switch", LIMIT, || begun.exists().then_some(()));
    thread::sleep(after);
    child.kill().context("kill the naive switch")?;
    child.wait().context("wait for the naive switch")?;
    waited?;
    fs::remove_file(&begun).context("remove the mark")
}

/// Switches naively until it is killed. Nobody kills it whose parent was killed first: it ends by
/// itself then.
pub(crate) fn naive(folder: &Path, step: Step) -> Result<()> {
    let program = program(folder)?;
    let bytes = fs::read(&program).context("read the program")?;
    fs::write(folder.join(BEGUN), "").context("write the mark")?;
    let end = Instant::now() + LIMIT;
    while Instant::now() < end {
        match step {
            Step::Link => {
                for share in 0..=100 {
                    relink(folder, share)?;
                }
            }
            Step::Copy => {
                let mut file = File::create(&program).context("open the program in place")?;
                for piece in bytes.chunks(PIECE) {
                    file.write_all(piece).context("copy the program in place")?;
                }
            }
        }
    }
    Ok(())
}

fn relink(folder: &Path, share: u8) -> Result<()> {
    let link = disk::state(folder).join("live");
    // It is not there the first time, and after a kill that hit between.
    let _ = fs::remove_file(&link);
    symlink(format!("shares/w{share:03}"), &link).context("make the link")
}

/// Puts the program back as it is on the real host.
fn mend(root: &Path, folder: &Path) -> Result<()> {
    let to = program(folder)?;
    let below = to.strip_prefix(folder).context("a path below")?;
    fs::copy(root.join(below), &to).map(|_| ()).context("put the program back")
}

fn program(folder: &Path) -> Result<PathBuf> {
    let (_, release) = disk::releases(folder)?.into_iter().next().context("no release")?;
    Ok(release.join("bin/shop"))
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("create {}", to.display()))?;
    for entry in fs::read_dir(from).with_context(|| format!("list {}", from.display()))? {
        let entry = entry?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type()?;
        if kind.is_dir() {
            copy(&source, &target)?;
        } else if kind.is_symlink() {
            symlink(fs::read_link(&source)?, &target)?;
        } else {
            fs::copy(&source, &target).with_context(|| format!("copy {}", source.display()))?;
        }
    }
    Ok(())
}
