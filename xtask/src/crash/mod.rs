//! The crash run: ships of a real service on real hosts, killed with SIGKILL at points spread over
//! the whole of a ship, the ship, the agent or both; each must be whole after `guanka resume`, and
//! no user may notice. With a controller, it is killed in the ship's place, started again, and goes
//! on by itself. The run counts only if the same look calls a naive switch half.

mod control;
pub(crate) mod controller;
mod disk;
pub(crate) mod guanka;
mod lane;
mod points;
mod project;
pub(crate) mod users;
mod whole;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::thread;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};

use self::control::Control;
use self::lane::{Driver, Lane, Way};
use self::points::{Point, Rehearsals, SPANS, median};
use crate::setup;

/// How many points the whole run has, and the short one of the test suite.
const WHOLE: usize = 200;
const SHORT: usize = 12;
/// How many hosts are killed on at a time: most of a ship is waiting, for windows and for
/// Supervisor.
const LANES: usize = 4;
/// How often each host rehearses in the whole run.
const REHEARSALS: usize = 2;
/// Where the hosts lie: passable for nginx's workers.
const BASE: &str = "/var/tmp";
/// How the name of a run's folder begins; its process id follows.
const PREFIX: &str = "guanka-crash-";

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wish {
    points: usize,
    lanes: usize,
    seed: Option<u64>,
    driver: Driver,
}

/// What all lanes share.
struct Board {
    open: Mutex<Vec<Point>>,
    ways: Mutex<BTreeMap<(usize, Way), usize>>,
    faults: Mutex<Vec<String>>,
    began: Instant,
    count: usize,
}

impl Wish {
    /// Reads `--short`, `--serve`, `--points N`, `--lanes N` and `--seed N`.
    pub(crate) fn read(options: &[&str]) -> Option<Self> {
        let mut wish = Self { points: WHOLE, lanes: LANES, seed: None, driver: Driver::Ship };
        let mut words = options.iter();
        while let Some(word) = words.next() {
            match *word {
                "--short" => wish.points = SHORT,
                "--serve" => wish.driver = Driver::Controller,
                "--points" => wish.points = words.next()?.parse().ok().filter(|n| *n > 0)?,
                "--lanes" => wish.lanes = words.next()?.parse().ok().filter(|n| *n > 0)?,
                "--seed" => wish.seed = Some(words.next()?.parse().ok()?),
                _ => return None,
            }
        }
        Some(wish)
    }
}

/// Kills, and says what became of it.
pub(crate) fn run(repository: &Path, wish: Wish) -> Result<()> {
    let tools = setup::ensure()?;
    let program = guanka::build(repository)?;
    let fresh = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let seed = wish.seed.unwrap_or(fresh.as_secs());
    println!("crash: seed {seed}, {} kills on {} hosts", wish.points, wish.lanes);
    let folder = Folder::new()?;
    let open = |number: usize| {
        let lane = folder.0.join(number.to_string());
        Lane::open(repository, &lane, &tools, (&program, wish.driver))
    };
    let mut lanes: Vec<Lane> = at_once((0..wish.lanes).collect(), open)?;
    let times = if wish.points > SHORT { REHEARSALS } else { 1 };
    let rehearsals = rehearse(&mut lanes, times)?;
    let control = control::run(&lanes[0].host.root, &folder.0.join("naive"))?;
    tell_control(control);
    let board = Board::new(points::spread(wish.points, seed));
    let lanes = at_once(lanes, |mut lane| {
        board.work(&mut lane, &rehearsals);
        Ok(lane)
    })?;
    conclude(&board, &lanes, control)
}

/// Switches naively until killed: what the control runs as a process of its own.
pub(crate) fn naive(step: &str, folder: &Path) -> Result<()> {
    let step = control::Step::parse(step).context("no such naive step")?;
    control::naive(folder, step)
}

/// Does something with each thing in a thread of its own.
fn at_once<T: Send, R: Send>(
    things: Vec<T>,
    act: impl Fn(T) -> Result<R> + Sync,
) -> Result<Vec<R>> {
    thread::scope(|scope| {
        let started: Vec<_> = things.into_iter().map(|thing| scope.spawn(|| act(thing))).collect();
        let ended = started.into_iter().map(|thread| match thread.join() {
            Ok(result) => result,
            Err(_) => Err(anyhow::anyhow!("a thread of the crash run panicked")),
        });
        ended.collect()
    })
}

/// Rehearses on every host and says how long a ship takes.
fn rehearse(lanes: &mut [Lane], times: usize) -> Result<Rehearsals> {
    let all = at_once(lanes.iter_mut().collect(), |lane: &mut Lane| {
        let mut own = Rehearsals::new();
        for _ in 0..times {
            lane.rehearse(&mut own)?;
        }
        Ok(own)
    })?;
    let mut rehearsals = Rehearsals::new();
    for (span, took) in all.into_iter().flatten() {
        rehearsals.entry(span).or_default().extend(took);
    }
    let mut text = String::new();
    for span in SPANS {
        let took = rehearsals.get(span).map(|took| median(took));
        let took = took.with_context(|| format!("no rehearsal passed {span}"))?;
        text += &format!(" {span} {:.1}", took as f64 / 1000.0);
    }
    println!("crash: a ship's stretches in seconds, medians:{text}");
    Ok(rehearsals)
}

fn tell_control(control: Control) {
    let Control { kills, links, releases } = control;
    println!(
        "crash: control: {kills} kills of a naive switch, HALF seen: {links} links, {releases} \
         releases"
    );
}

impl Board {
    fn new(mut points: Vec<Point>) -> Self {
        let count = points.len();
        points.reverse();
        Self {
            open: Mutex::new(points),
            ways: Mutex::default(),
            faults: Mutex::default(),
            began: Instant::now(),
            count,
        }
    }

    fn next(&self) -> Option<Point> {
        lock(&self.open).pop()
    }

    /// Takes points until none is left; a host that is not whole is left for a person to look at.
    fn work(&self, lane: &mut Lane, rehearsals: &Rehearsals) {
        // Taken in a function of its own, so that no lane holds the list while it kills.
        while let Some(point) = self.next() {
            let began = Instant::now();
            let killed = lane.kill(&point, rehearsals);
            let took = began.elapsed().as_secs_f64();
            let told = format!(
                "{:3}/{} {:15} {:3.0} % {:5}",
                point.number,
                self.count,
                SPANS[point.span],
                point.part * 100.0,
                point.victim.word()
            );
            let at = self.began.elapsed().as_secs();
            match killed {
                Ok(way) => {
                    println!("crash: {at:4} s  {told}  whole, {} ({took:.0} s)", way.words());
                    *lock(&self.ways).entry((point.span, way)).or_default() += 1;
                }
                Err(why) => {
                    let kept = lane.keep().display().to_string();
                    println!("crash: {at:4} s  {told}  NOT WHOLE: {why:#}; see {kept}");
                    lock(&self.faults).push(format!("{told}: {why:#}"));
                    return;
                }
            }
        }
    }
}

/// Adds everything up; the last line is the run's figure.
fn conclude(board: &Board, lanes: &[Lane], control: Control) -> Result<()> {
    let ways = lock(&board.ways);
    for (span, name) in SPANS.iter().enumerate() {
        let here: Vec<String> = ways
            .iter()
            .filter(|((at, _), _)| *at == span)
            .map(|((_, way), count)| format!("{count} {}", way.words()))
            .collect();
        println!("crash: {name:15} {}", here.join(", "));
    }
    let (mut requests, mut failed) = (0, 0);
    for lane in lanes {
        let (sent, lost) = lane.users.counts();
        requests += sent;
        failed += lost;
        if let Some(first) = lane.users.first_failure() {
            println!("crash: {}: {first}", lane.host.root.display());
        }
    }
    println!("crash: {requests} requests in {} s", board.began.elapsed().as_secs());
    for fault in lock(&board.faults).iter() {
        println!("crash: {fault}");
    }
    let (whole, count) = (ways.values().sum::<usize>(), board.count);
    let seen = if control.is_seen() { "seen" } else { "NOT seen" };
    println!(
        "crash: {whole} of {count} kills whole after resume, {failed} requests failed, control \
         {seen}"
    );
    let is_good = whole == count && failed == 0 && requests > 0 && control.is_seen();
    ensure!(is_good, "the crash run falls short");
    Ok(())
}

/// The folder of all hosts; removed when it is empty.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Result<Self> {
        sweep();
        let folder = Path::new(BASE).join(format!("{PREFIX}{}", std::process::id()));
        fs::create_dir(&folder).with_context(|| format!("create {}", folder.display()))?;
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755))?;
        Ok(Self(folder))
    }
}

/// Puts away what a run that was killed itself has left: its process is gone, its hosts may run.
fn sweep() {
    let entries = fs::read_dir(BASE).into_iter().flatten().flatten();
    for folder in entries.map(|entry| entry.path()) {
        let name = folder.file_name().map(|name| name.to_string_lossy().into_owned());
        let pid = name.as_deref().and_then(|name| name.strip_prefix(PREFIX)?.parse::<u32>().ok());
        let Some(pid) = pid.filter(|pid| !Path::new("/proc").join(pid.to_string()).exists()) else {
            continue;
        };
        let lanes = fs::read_dir(&folder).into_iter().flatten().flatten();
        let gone = lanes.map(|lane| lane.path()).filter(|lane| lane::put_away(lane)).count();
        println!("crash: put away {gone} hosts that run {pid} had left");
        // A lane that was kept keeps the folder.
        let _ = fs::remove_dir(&folder);
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A lane that was kept keeps the folder.
        let _ = fs::remove_dir_all(self.0.join("naive"));
        let _ = fs::remove_dir(&self.0);
    }
}

/// Locks; a thread that panicked has left plain data behind.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::{Driver, LANES, SHORT, WHOLE, Wish};

    #[test]
    fn a_wish_is_read_or_refused() {
        let whole = Wish { points: WHOLE, lanes: LANES, seed: None, driver: Driver::Ship };
        assert_eq!(Wish::read(&[]), Some(whole));
        assert_eq!(Wish::read(&["--short"]), Some(Wish { points: SHORT, ..whole }));
        let served = Wish { driver: Driver::Controller, ..whole };
        assert_eq!(Wish::read(&["--serve"]), Some(served));
        let seeded = Wish { points: 30, lanes: 1, seed: Some(7), driver: Driver::Ship };
        let words = ["--seed", "7", "--points", "30", "--lanes", "1"];
        assert_eq!(Wish::read(&words), Some(seeded));
        for bad in [&["--points", "0"][..], &["--seed"], &["--sort"]] {
            assert_eq!(Wish::read(bad), None, "{bad:?}");
        }
    }
}
