//! What an install would change on a host root. Reads only: `guanka plan` asks it without an agent.

use guanka_core::facts::declared::Declared;
use guanka_core::say::Said;
use guanka_world::hostroot::HostRoot;
use guanka_world::transport::wire::HostChange;
use guanka_world::{files, ports, proxy};

/// Returns each file of the install with what would become of it, or why it cannot be installed.
pub(crate) fn changes(host: &HostRoot, declared: &Declared) -> Result<Vec<HostChange>, Said> {
    let service = &declared.service;
    // Ports that were never allotted are only named, not taken.
    let allotted = ports::preview(host, service).map_err(|error| error.said())?;
    let wiring =
        proxy::plan(host, service, &declared.proxy, allotted).map_err(|error| error.said())?;
    proxy::ready(&wiring).map_err(|error| error.said())?;
    let mut changes = Vec::new();
    for file in &wiring.files {
        let before = files::read_text(&file.path, 1 << 20).ok();
        let sign = match &before {
            None => '+',
            Some(text) if *text == file.text => '=',
            Some(_) => '~',
        };
        changes.push(HostChange {
            what: file.path.display().to_string(),
            sign,
            before,
            after: Some(file.text.clone()),
            says: Said::new("nginx 配置片段", "a piece of nginx configuration"),
        });
    }
    changes.push(HostChange {
        what: wiring.site_file.display().to_string(),
        sign: '=',
        before: None,
        after: None,
        says: Said::new("面板的站点文件,不改动", "the panel's site file, not touched"),
    });
    Ok(changes)
}
