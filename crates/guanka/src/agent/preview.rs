//! What an install would change on a host root. Reads only: `guanka plan` asks it without an agent.

use guanka_core::facts::declared::Declared;
use guanka_core::say::Said;
use guanka_world::hostroot::HostRoot;
use guanka_world::proxy::Readers;
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
        // Passwords are not shown, their hashes neither.
        let is_shown = file.readers == Readers::All;
        changes.push(HostChange {
            what: file.path.display().to_string(),
            sign,
            before: before.filter(|_| is_shown),
            after: is_shown.then(|| file.text.clone()),
            says: if is_shown {
                Said::new("nginx 配置片段", "a piece of nginx configuration")
            } else {
                Said::new("口令文件,仅 nginx 可读", "users and hashes, for nginx alone")
            },
        });
    }
    changes.push(HostChange {
        what: wiring.site_file.display().to_string(),
        sign: '=',
        before: None,
        after: None,
        says: Said::new("面板的站点文件,不改动", "the panel's site file, not touched"),
    });
    changes.extend(wiring.notes.iter().map(|note| HostChange {
        what: declared.proxy.domain.to_string(),
        sign: '=',
        before: None,
        after: None,
        says: note.clone(),
    }));
    Ok(changes)
}
