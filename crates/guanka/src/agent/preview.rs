//! What an install would change on a host root, and how the next release's arm would be kept. Reads
//! only: `guanka plan` asks it without an agent.

use guanka_core::facts::declared::Declared;
use guanka_core::name::Arm;
use guanka_core::plan::processors::Runtime;
use guanka_core::say::Said;
use guanka_world::hostroot::HostRoot;
use guanka_world::managers::program::Traits;
use guanka_world::managers::spec::ArmSpec;
use guanka_world::managers::{self, credentials, users};
use guanka_world::ports::ArmPorts;
use guanka_world::transport::wire::HostChange;
use guanka_world::{files, ports, proxy};

use crate::failure::because;

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
    changes.extend(kept(host, declared, allotted)?);
    Ok(changes)
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
