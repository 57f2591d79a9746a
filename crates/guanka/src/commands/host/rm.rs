//! `guanka host rm`: forgets a host here. What runs there serves on.

use std::io;

use guanka_core::say::Said;
use guanka_world::files;
use guanka_world::transport::bootstrap::public_half;
use guanka_world::transport::hosts::Hosts;

use super::{failed, target};
use crate::failure::codes::NOT_THERE;
use crate::failure::{Exit, Failure};
use crate::terminal::Terminal;

/// Forgets it, its key last: a key without an entry is litter, an entry without a key is broken.
pub(super) fn run(name: &str, terminal: &Terminal) -> Result<Exit, Failure> {
    let target = target(name)?;
    let doing = || Said::new(format!("正在移除主机 {name}"), format!("forgetting the host {name}"));
    let on_error = |error: io::Error| failed(name, doing(), &error);
    let mut hosts = Hosts::load().map_err(on_error)?;
    let Some(known) = hosts.hosts.remove(target.as_str()) else {
        let why = Said::new("没有添加过这台主机", "this host was never added");
        let next = Said::new("用 `guanka host ls` 查看", "see `guanka host ls`");
        return Err(Failure::new(&NOT_THERE, doing(), why).next(next));
    };
    hosts.store().map_err(on_error)?;
    for path in [public_half(&known.identity), known.identity] {
        files::remove(&path).map_err(on_error)?;
    }
    let text = Said::new(
        format!("已移除 {name};那台主机上的 agent 与服务照常运行"),
        format!("{name} is forgotten here; its agent and services run on"),
    );
    terminal.line(terminal.said(&text));
    Ok(Exit::Done)
}
