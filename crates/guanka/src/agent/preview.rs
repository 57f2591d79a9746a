//! What an install would change on a host root, and how the next release's arm would be kept. Reads
//! only: `guanka plan` asks it without an agent.

use guanka_core::facts::declared::{Declared, LogPlace};
use guanka_core::name::{Arm, Domain, ServiceName};
use guanka_core::plan::processors::Runtime;
use guanka_core::plan::warm::{self, Warmth};
use guanka_core::say::Said;
use guanka_world::collect::{memory, rotators};
use guanka_world::hostroot::HostRoot;
use guanka_world::managers::program::Traits;
use guanka_world::managers::spec::ArmSpec;
use guanka_world::managers::systemd::Systemd;
use guanka_world::managers::{self, credentials, users};
use guanka_world::ports::ArmPorts;
use guanka_world::proxy::{Readers, Wiring};
use guanka_world::transport::wire::HostChange;
use guanka_world::{files, ports, proxy};

use crate::failure::because;

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
    let mut changes = of_wiring(&wiring, &declared.proxy.domain);
    changes.extend(memory(host, declared));
    changes.extend(kept(host, declared, allotted)?);
    Ok(changes)
}

/// Returns each file that would be written, the panel's rule that would be paused, the site's own
/// file, and what a person should know.
pub(super) fn of_wiring(wiring: &Wiring, domain: &Domain) -> Vec<HostChange> {
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
    changes.extend(wiring.notes.iter().map(|note| HostChange {
        what: domain.to_string(),
        sign: '=',
        before: None,
        after: None,
        says: note.clone(),
    }));
    changes
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

/// Returns how the arm of the next release would be kept, once its manager's own checker has taken
/// it. It is written with a release and never by an install, so it changes nothing here.
fn kept(
    host: &HostRoot,
    declared: &Declared,
    allotted: ArmPorts,
) -> Result<Option<HostChange>, Said> {
    let (service, process) = (&declared.service, &declared.process);
    credentials::check(host, service, &process.limits.credentials).map_err(|e| e.said())?;
    let Some(manager) = managers::find(host, process.manager).map_err(|e| e.said())? else {
        return Ok(None);
    };
    if let Some(file) = managers::left_elsewhere(host, service, manager.as_ref()) {
        let (env, file) = (service.env(), file.display());
        return Err(Said::new(
            format!(
                "该服务由另一个进程管理器托管({file});更换 [process] manager 须先 \
                 `guanka remove --env {env} --yes`"
            ),
            format!(
                "another process manager keeps this service ({file}); to change [process] \
                 manager, first `guanka remove --env {env} --yes`"
            ),
        ));
    }
    let active = files::read_text(&host.active_file(service), 64).ok();
    let arm = active.and_then(|text| Arm::parse(text.trim())).map_or(Arm::Blue, Arm::other);
    let run_as = users::preview(host, service, process.user.as_deref()).map_err(|e| because(&e))?;
    // There is no program to look at yet.
    let traits = Traits { runtime: Runtime::ReadsQuota, notifies: false };
    let whose = (arm, allotted.of(arm));
    let spec = ArmSpec::from_declared(host, declared, (service.app(), traits), whose, run_as);
    let preview = manager.preview(&spec).map_err(|error| error.said())?;
    let says = match preview.exposure {
        Some(exposure) => Said::new(
            format!("{arm} 臂的 systemd 单元,发布时写入;暴露度 {exposure}(0 最小,10 最大)"),
            format!("{arm}'s systemd unit, written with a release; exposure {exposure} of 10"),
        ),
        None => Said::new(
            format!("{arm} 臂的进程管理配置,发布时写入"),
            format!("how {arm} is kept, written with a release"),
        ),
    };
    let what = preview.file.display().to_string();
    Ok(Some(HostChange { what, sign: '=', before: None, after: Some(preview.text), says }))
}
