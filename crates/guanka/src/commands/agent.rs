//! `guanka agent`: keeps a host; the other commands start it where it does not run. `host add` has
//! it install itself, and `ssh` has it pass on what is said.

use std::path::PathBuf;

use guanka_core::say::Said;
use guanka_world::files;
use guanka_world::hostroot::HostRoot;
use guanka_world::managers::own_unit;
use guanka_world::transport::bridge;
use serde_json::json;

use crate::agent::Half;
use crate::drive::link;
use crate::failure::codes::AGENT;
use crate::failure::{Exit, Failure, because};
use crate::terminal::Terminal;

/// Which host to keep, and how.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The host's root: / or a folder laid out like a host.
    #[arg(long, value_name = "DIR", default_value = "/")]
    root: PathBuf,
    /// Only the half that is root and does what the other half asks; a unit starts that one.
    #[arg(long, conflicts_with_all = ["worker", "connect", "install"])]
    helper: bool,
    /// Only the half without privileges.
    #[arg(long, conflicts_with_all = ["connect", "install"])]
    worker: bool,
    /// Connect the agent to standard input and output: what runs at the far end of ssh.
    #[arg(long, conflicts_with = "install")]
    connect: bool,
    /// Put this program, its unit and its user in place, and start the agent at every boot.
    #[arg(long)]
    install: bool,
    /// With --install: a public key of ssh's that may talk to the agent and do nothing else.
    #[arg(long, value_name = "KEY", requires = "install")]
    authorize: Option<String>,
}

/// Keeps the host until it is ended, or does the one thing that was asked.
pub(crate) fn run(args: &Args, terminal: &Terminal) -> Result<Exit, Failure> {
    let root = files::absolute(&args.root).map_err(|error| {
        let shown = args.root.display();
        let doing =
            Said::new(format!("正在打开主机根 {shown}"), format!("opening the root {shown}"));
        Failure::new(&AGENT, doing, because(&error))
    })?;
    let host = HostRoot::new(root);
    if args.install {
        return install(&host, args.authorize.as_deref(), terminal);
    }
    if args.connect {
        let stream = link::socket(&host)?;
        return bridge::run(stream).map(|()| Exit::Done).map_err(|error| {
            let doing = Said::new("正在转接 agent", "passing on to the agent");
            Failure::new(&AGENT, doing, because(&error))
        });
    }
    let half = match (args.helper, args.worker) {
        (true, _) => Half::Helper,
        (_, true) => Half::Worker,
        _ => Half::Both,
    };
    crate::agent::serve(host, half).map(|()| Exit::Done)
}

fn install(host: &HostRoot, key: Option<&str>, terminal: &Terminal) -> Result<Exit, Failure> {
    let root = host.root().display();
    let done = own_unit::install(host, key).map_err(|error| {
        let doing = Said::new(
            format!("正在把 agent 安装到 {root}"),
            format!("installing the agent on {root}"),
        );
        Failure::new(&AGENT, doing, because(&error))
    })?;
    let written: Vec<String> = done.written.iter().map(|p| p.display().to_string()).collect();
    if terminal.json {
        let object = json!({ "schema": 1, "written": written, "is_enabled": done.is_enabled });
        terminal.line(&object.to_string());
        return Ok(Exit::Done);
    }
    for path in &written {
        terminal.line(&format!("+ {path}"));
    }
    let text = if done.is_enabled {
        Said::new("agent 已随系统启动并在运行", "the agent runs and is started at every boot")
    } else {
        Said::new(
            "这台主机没有 systemd:agent 由其他命令按需启动",
            "no systemd runs here: other commands start the agent when they need it",
        )
    };
    terminal.line(terminal.said(&text));
    Ok(Exit::Done)
}
