//! guanka's own chores: set up, demo, test, tidy, benches, the simulator, the crash run. Each
//! prints its figure on its last line and exits non-zero when it falls short.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "chores talk to their caller")]

mod bench;
mod crash;
mod demo;
mod dist;
mod fuzz;
mod hostroot;
mod lab;
mod process;
mod setup;
mod sim;
mod suite;
mod tidy;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Result, bail};

const USAGE: &str = "usage: cargo xtask COMMAND
  demo                 sets up and runs the main job on a host root of its own;
                       --short: three releases, shorter gates; --keep: leaves the folder there;
                       --lang zh|en
  crash                kills ships at 200 points, each whole after resume; --short: 12 points;
                       --points N, --lanes N, --seed N; --serve: a controller drives and is
                       killed in the ships' place
  sim                  lives 2,000 simulated seeds, then looks for every planted bug
  fuzz                 10 million hostile cases through every renderer and parser;
                       --cases N, --seed S, --threads N, or names of targets
  test                 sets up and runs the whole test suite
  tidy                 holds the walls that no compiler holds
  lab bad-input        tries every bad input on a host that serves
  lab serve            ends, kills and restarts a controller that drives releases
  lab logs             the cases of the above about logs alone
  lab panel            does what the panel does to its sites, adopts programs and leaves again
  lab adoption         goes back to adopted programs; kills adopt and leave at step after step
  lab adoption-ssh     adopts programs of a systemd machine over SSH and leaves again
  lab host             boots a panel host under systemd and has guanka live there over SSH
  lab programs         tries odd and bad programs there, under systemd and Supervisor
  lab newest           lives on the newest nginx and systemd that Debian has
  lab pypi             tries PyPI's Supervisor
  bench NAME           holds a figure against its limit: switch, prove, load, rotate,
                        start or releases;
                       releases: --cycles N start-switch-stop cycles, --gated N gated releases
  dist                 builds the one static binary into target/dist, with its SHA-256
  hostroot create DIR  lays out a panel host in a folder; start DIR and stop DIR run its daemons";

/// A failure whose every word stands on stdout already, the figure on the last line.
#[derive(Debug)]
struct Told;

impl std::fmt::Display for Told {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("it fell short, as said above")
    }
}

impl std::error::Error for Told {}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if !error.is::<Told>() {
                eprintln!("{error:#}");
            }
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let root = repository();
    match words.as_slice() {
        ["demo", options @ ..] => match demo::Wish::read(options) {
            Some(wish) => demo::run(&root, wish),
            None => bail!("{USAGE}"),
        },
        ["crash", "--naive", step, folder] => crash::naive(step, Path::new(folder)),
        ["crash", options @ ..] => match crash::Wish::read(options) {
            Some(wish) => crash::run(&root, wish),
            None => bail!("{USAGE}"),
        },
        ["sim"] => sim::run(&root),
        ["fuzz", words @ ..] => fuzz::run(&root, words),
        ["test"] => suite::run(&root),
        ["tidy"] => tidy::run(&root),
        ["lab", part] => lab::run(&root, part),
        ["bench", name, options @ ..] => bench::run(&root, name, options),
        ["dist"] => dist::run(&root),
        ["hostroot", "create", folder] => create_hostroot(Path::new(folder)),
        ["hostroot", "start", folder] => hostroot::start(Path::new(folder)).map(|_| ()),
        ["hostroot", "stop", folder] => hostroot::stop(Path::new(folder)),
        _ => bail!("{USAGE}"),
    }
}

/// Lays out a panel host in a folder, on free ports of the loopback.
fn create_hostroot(folder: &Path) -> Result<()> {
    let tools = setup::ensure()?;
    let made = hostroot::create(folder, &tools, hostroot::Ports::free()?)?;
    println!("hostroot: {} on port {}", made.root.display(), made.ports.shop);
    Ok(())
}

/// Returns the repository's folder.
fn repository() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own).to_path_buf()
}
