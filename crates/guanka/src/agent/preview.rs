//! What an install would change on a host root. Reads only: `guanka plan` asks it without an agent.

use guanka_core::facts::declared::{Declared, LogPlace};
use guanka_core::name::ServiceName;
use guanka_core::plan::warm::{self, Warmth};
use guanka_core::say::Said;
use guanka_world::collect::{memory, rotators};
use guanka_world::hostroot::HostRoot;
use guanka_world::managers::systemd::Systemd;
use guanka_world::transport::wire::HostChange;
use guanka_world::{files, ports, proxy};

/// Returns each file of the install with what would become of it, or why it cannot be installed.
pub(crate) fn changes(host: &HostRoot, declared: &Declared) -> Result<Vec<HostChange>, Said> {
    let service = &declared.service;
    if let Some(why) = second_rotator(host, service) {
        return Err(why);
    }
    if let Some(why) = no_journal(host, declared) {
        return Err(why);
    }
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
    changes.extend(memory(host, declared));
    Ok(changes)
}

/// Returns who else would rotate the service's logs, with file and line.
pub(super) fn second_rotator(host: &HostRoot, service: &ServiceName) -> Option<Said> {
    rotators::second(host, service).into_iter().next().map(|found| found.says)
}

/// Returns why the arms' output cannot go to the journal, where it is meant to.
fn no_journal(host: &HostRoot, declared: &Declared) -> Option<Said> {
    let is_wanted = declared.logs.place == LogPlace::Journald;
    (is_wanted && Systemd::find(host).is_none()).then(|| {
        Said::new(
            "[logs] place = \"journald\",但这台主机不由 systemd 管理进程;改为 \"file\"",
            "[logs] place = \"journald\", but systemd does not run on this host: write \"file\"",
        )
    })
}

/// Says what two arms need of the host's memory while a release is under way.
fn memory(host: &HostRoot, declared: &Declared) -> Option<HostChange> {
    let allotted = ports::allotted(host, &declared.service).ok().flatten();
    let arms = allotted.iter().flat_map(|ports| [ports.blue, ports.green]);
    let running = arms.filter_map(ports::owner_of).map(|owner| owner.pid);
    let says = match warm::weigh(memory::read(running)?, declared.process.memory) {
        Warmth::Fits(says) => says,
        Warmth::Tight(says) => {
            Said::new(format!("警告:{}", says.zh), format!("warning: {}", says.en))
        }
    };
    Some(HostChange {
        what: "/proc/meminfo".to_owned(),
        sign: '=',
        before: None,
        after: None,
        says,
    })
}
