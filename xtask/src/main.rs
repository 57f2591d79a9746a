//! guanka's own chores: set up, demo, test, tidy, benches, the simulator, the crash run. Each
//! prints its figure on its last line and exits non-zero when it falls short.

mod hostroot;
mod process;
mod setup;
mod tidy;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Result, bail};

const USAGE: &str = "usage: cargo xtask COMMAND
  demo                 sets up and runs the main job on a host root of its own
  test                 sets up and runs the whole test suite
  tidy                 holds the walls that no compiler holds";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let root = repository();
    match words.as_slice() {
        ["tidy"] => tidy::run(&root),
        _ => bail!("{USAGE}"),
    }
}

/// Returns the repository's folder.
fn repository() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own).to_path_buf()
}
