//! What an install would change on a host root. Reads only: `guanka plan` asks it without an agent.

use guanka_core::facts::declared::Declared;
use guanka_core::say::Said;
use guanka_world::hostroot::HostRoot;
use guanka_world::proxy::Wiring;
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
    Ok(of_wiring(&wiring))
}

/// Returns each file that would be written, the panel's rule that would be paused, and the site's
/// own file.
pub(super) fn of_wiring(wiring: &Wiring) -> Vec<HostChange> {
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
    changes.extend(wiring.displaced.iter().map(|rule| HostChange {
        what: rule.display().to_string(),
        sign: '-',
        before: files::read_text(rule, 1 << 20).ok(),
        after: None,
        says: Said::new(
            "面板的反向代理规则,改名为 _bak(即暂停);离开时恢复",
            "the panel's reverse proxy, paused (renamed to _bak); put back on leaving",
        ),
    }));
    changes.push(HostChange {
        what: wiring.site_file.display().to_string(),
        sign: '=',
        before: None,
        after: None,
        says: Said::new("面板的站点文件,不改动", "the panel's site file, not touched"),
    });
    changes
}
