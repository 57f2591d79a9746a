//! `guanka host ls`: the hosts that were added here.

use guanka_core::say::Said;
use guanka_world::clock;
use guanka_world::transport::hosts::Hosts;
use serde_json::json;

use crate::failure::codes::FILE;
use crate::failure::{Exit, Failure, because};
use crate::terminal::Terminal;

/// Lists them.
pub(super) fn run(terminal: &Terminal) -> Result<Exit, Failure> {
    let hosts = Hosts::load().map_err(|error| {
        let doing = Said::new("正在读取已添加的主机", "reading the hosts that were added");
        Failure::new(&FILE, doing, because(&error))
    })?;
    if terminal.json {
        terminal.line(&json!({ "schema": 1, "hosts": hosts.hosts }).to_string());
        return Ok(Exit::Done);
    }
    for (name, known) in &hosts.hosts {
        let added = clock::rfc3339(known.added_ms);
        let text = Said::new(
            format!("{name}  以 {} 登录,{added} 添加", known.login),
            format!("{name}  reached as {}, added {added}", known.login),
        );
        terminal.line(terminal.said(&text));
    }
    if hosts.hosts.is_empty() {
        let text = Said::new(
            "还没有添加主机:guanka host add 用户@主机",
            "no host was added yet: guanka host add user@host",
        );
        terminal.line(terminal.said(&text));
    }
    Ok(Exit::Done)
}
