//! guanka: takes a Go service from a commit to all of its traffic, and lets it forward only on
//! proof. This file only chooses the subcommand and turns its end into an exit code.

mod agent;
mod commands;
mod drive;
mod failure;
mod serve;
mod terminal;

fn main() -> std::process::ExitCode {
    commands::main().into()
}
