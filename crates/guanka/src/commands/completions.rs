//! `guanka completions SHELL`: a completion script, made from the command line itself.

use clap::CommandFactory;
use clap_complete::Shell;

use super::Cli;
use crate::failure::{Exit, Failure};
use crate::terminal::Terminal;

/// Takes the shell.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The shell's name.
    shell: Shell,
}

/// Prints the script.
pub(crate) fn run(args: &Args, terminal: &Terminal) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "guanka", &mut script);
    terminal.line(String::from_utf8_lossy(&script).trim_end());
    Ok(Exit::Done)
}
