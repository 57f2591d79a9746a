//! `guanka agent`: keeps a host; the other commands start it where it does not run.

use std::path::PathBuf;

use guanka_core::say::Said;
use guanka_world::files;
use guanka_world::hostroot::HostRoot;

use crate::failure::codes::AGENT;
use crate::failure::{Exit, Failure, because};
use crate::terminal::Terminal;

/// Which host to keep.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The host's root: / or a folder laid out like a host.
    #[arg(long, value_name = "DIR", default_value = "/")]
    root: PathBuf,
}

/// Keeps the host until it is ended.
pub(crate) fn run(args: &Args, _terminal: &Terminal) -> Result<Exit, Failure> {
    let root = files::absolute(&args.root).map_err(|error| {
        let shown = args.root.display();
        let doing =
            Said::new(format!("正在打开主机根 {shown}"), format!("opening the root {shown}"));
        Failure::new(&AGENT, doing, because(&error))
    })?;
    crate::agent::serve(HostRoot::new(root)).map(|()| Exit::Done)
}
