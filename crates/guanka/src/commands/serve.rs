//! `guanka serve`: drives the rollouts handed over to it, for days, until it is asked to end.
//! `--install` makes it a service of the machine.

use guanka_core::say::Said;
use guanka_world::controller::Place;
use guanka_world::hostroot::HostRoot;
use guanka_world::managers::serve_unit;
use serde_json::json;

use crate::failure::codes::CONTROLLER;
use crate::failure::{Exit, Failure, because, say};
use crate::serve;
use crate::terminal::Terminal;

/// Whether to serve or to be put in place.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Put this program and its unit in place, and start the controller at every boot.
    #[arg(long)]
    install: bool,
}

/// Serves, or does the one thing that was asked.
pub(crate) fn run(args: &Args, terminal: &Terminal) -> Result<Exit, Failure> {
    if args.install {
        return install(terminal);
    }
    let place = Place::own().map_err(|error| {
        let doing = say("正在查找控制器的目录", "looking for the controller's folder");
        Failure::new(&CONTROLLER, doing, because(&error))
    })?;
    serve::run(&place, terminal)
}

fn install(terminal: &Terminal) -> Result<Exit, Failure> {
    let written = serve_unit::install(&HostRoot::new("/")).map_err(|error| {
        let doing = say("正在安装控制器", "installing the controller");
        Failure::new(&CONTROLLER, doing, because(&error)).next(say(
            "在有 systemd 的机器上以 root 运行;否则让自己的进程管理器运行 `guanka serve`",
            "run it as root where systemd is; elsewhere have your own process manager run `guanka \
             serve`",
        ))
    })?;
    let written: Vec<String> = written.iter().map(|path| path.display().to_string()).collect();
    if terminal.json {
        terminal.line(&json!({ "schema": 1, "written": written, "is_enabled": true }).to_string());
        return Ok(Exit::Done);
    }
    for path in &written {
        terminal.line(&format!("+ {path}"));
    }
    let text =
        Said::new("控制器已随系统启动并在运行", "the controller runs and is started at every boot");
    terminal.line(terminal.said(&text));
    Ok(Exit::Done)
}
