//! `guanka schema`: the JSON Schema of guanka.toml, for editors.

use crate::failure::{Exit, Failure};
use crate::terminal::Terminal;

/// Takes nothing.
#[derive(clap::Args)]
pub(crate) struct Args {}

/// Prints the schema.
pub(crate) fn run(_args: &Args, terminal: &Terminal) -> Result<Exit, Failure> {
    let schema = guanka_parse::manifest::json_schema(terminal.lang);
    terminal.line(&format!("{schema:#}"));
    Ok(Exit::Done)
}
