//! `guanka host`: the servers that are reached over SSH: add, list, look at, forget.

mod add;
mod doctor;
mod ls;
mod rm;

use std::io;

use guanka_core::say::Said;
use guanka_world::transport::ssh::{SshFault, Target};

use crate::drive::link::over_ssh;
use crate::failure::codes::{FILE, USAGE};
use crate::failure::{Exit, Failure, because};
use crate::terminal::Terminal;

/// What to do with hosts.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    /// Put guanka's agent on a host, as root or with sudo, and make a key that can only talk to it.
    Add(add::Args),
    /// List the hosts that were added.
    Ls,
    /// Tell whether a host answers and is fit.
    Doctor(Name),
    /// Forget a host here; what runs there stays.
    Rm(Name),
}

/// Which host.
#[derive(clap::Args)]
struct Name {
    /// The host as it stands in guanka.toml, user@host.
    #[arg(value_name = "USER@HOST")]
    name: String,
}

/// Does it.
pub(crate) fn run(args: &Args, terminal: &Terminal) -> Result<Exit, Failure> {
    match &args.what {
        What::Add(args) => add::run(args, terminal),
        What::Ls => ls::run(terminal),
        What::Doctor(name) => doctor::run(&name.name, terminal),
        What::Rm(name) => rm::run(&name.name, terminal),
    }
}

/// Reads a host's name; anything that ssh could take for an option is refused.
fn target(name: &str) -> Result<Target, Failure> {
    Target::parse(name).filter(|_| name.contains('@')).ok_or_else(|| {
        Failure::new(
            &USAGE,
            Said::new("正在读取主机名", "reading the host's name"),
            Said::new(
                format!("{name:?} 不是 用户@主机"),
                format!("{name:?} is not user@host of letters, digits and . - _"),
            ),
        )
    })
}

/// Turns an error of a step into a failure: ssh's own ends have a code of their own.
fn failed(name: &str, doing: Said, error: &io::Error) -> Failure {
    match SshFault::of(error) {
        Some(fault) => over_ssh(name, fault),
        None => Failure::new(&FILE, doing, because(error)),
    }
}
