//! `guanka logs`: the last lines of the arms' own output.

use guanka_core::name::Arm;
use guanka_world::transport::wire::{Answer, Request};
use serde_json::json;

use super::project::Project;
use crate::drive::link::{Link, unexpected};
use crate::drive::submission;
use crate::failure::{Exit, Failure};
use crate::terminal::Terminal;

/// Whose lines, and how many.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    project: Project,
    /// One arm: blue or green; both without it.
    #[arg(long, value_name = "ARM", value_parser = ["blue", "green"])]
    arm: Option<String>,
    /// How many lines of each.
    #[arg(long, short = 'n', value_name = "N", default_value_t = 100)]
    lines: usize,
}

/// Shows the lines.
pub(crate) fn run(args: &Args, terminal: &Terminal) -> Result<Exit, Failure> {
    let declared = args.project.declared(terminal)?;
    let mut link = Link::to(submission::host(&declared)?)?;
    let request = Request::Logs {
        service: declared.service,
        arm: args.arm.as_deref().and_then(Arm::parse),
        lines: args.lines,
    };
    let lines = match link.ask(&request)? {
        Answer::Lines { lines } => lines,
        other => return Err(unexpected(&other)),
    };
    if terminal.json {
        let lines: Vec<_> =
            lines.iter().map(|(arm, text)| json!({ "arm": arm, "text": text })).collect();
        terminal.line(&json!({ "schema": 1, "lines": lines }).to_string());
    } else {
        for (arm, text) in lines {
            terminal.line(&format!("{arm:<5} | {text}"));
        }
    }
    Ok(Exit::Done)
}
