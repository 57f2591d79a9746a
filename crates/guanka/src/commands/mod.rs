//! The subcommands, one file each, in the order of the help text.

mod exec;

use crate::failure::Exit;

/// Reads the command line, runs the subcommand and returns how it ended.
pub(crate) fn main() -> Exit {
    Exit::Done
}
