//! What is handed in: the project and its declaration become a rollout's spec, given what serves
//! now.

use std::path::{Path, PathBuf};

use guanka_core::facts::declared::{Declared, HostAddress};
use guanka_core::name::{Arm, Digest, ServiceName};
use guanka_core::rollout::spec::{
    BakePlan, CanaryPlan, GatePlan, HostName, LoadPlan, Origin, Past, ReleaseId, Spec, Stable,
    Stage,
};
use guanka_core::say::Said;
use guanka_world::hostroot::HostRoot;
use guanka_world::releases::Store;
use guanka_world::transport::wire::HostView;
use guanka_world::{files, hash};

use crate::failure::Failure;
use crate::failure::codes::CONFIG;

/// Returns the host a service is on. Several hosts are a later step of guanka's; a list of them is
/// refused, not cut.
pub(crate) fn host(declared: &Declared) -> Result<&HostAddress, Failure> {
    let env = declared.service.env();
    let refuse = |zh: String, en: String| {
        let doing = Said::new(
            format!("正在读取 [env.{env}] 的主机"),
            format!("reading the hosts of [env.{env}]"),
        );
        let failed = Failure::new(&CONFIG, doing, Said::new(zh, en));
        match declared.spans.get(&format!("env.{env}.hosts")) {
            Some(span) => failed.at(span.clone()),
            None => failed,
        }
    };
    match declared.env.hosts.as_slice() {
        [one] => Ok(one),
        [] => Err(refuse("没有声明主机".to_owned(), "no host is declared".to_owned()).next(
            Said::new(
                format!("在 [env.{env}] 下加:hosts = [\"local:/\"]"),
                format!("add under [env.{env}]: hosts = [\"local:/\"]"),
            ),
        )),
        more => Err(refuse(
            format!("声明了 {} 台主机,本版本只驱动一台", more.len()),
            format!("{} hosts are declared, and this version drives one", more.len()),
        )
        .next(Said::new("只保留一台", "keep one of them"))),
    }
}

/// Returns a host's name in a rollout.
pub(crate) fn host_name(address: &HostAddress) -> HostName {
    match address {
        HostAddress::Local(_) => HostName("local".to_owned()),
        HostAddress::Ssh(name) => HostName(name.clone()),
    }
}

/// Builds the spec of a rollout from source.
pub(crate) fn spec(
    declared: &Declared,
    project: &Path,
    view: &HostView,
    (until, past): (Option<Stage>, Past),
) -> Spec {
    let stable = stable(view);
    let gates = &declared.gates;
    Spec {
        service: declared.service.clone(),
        release: submitted(declared, project),
        origin: Origin::Source,
        hosts: declared.env.hosts.iter().take(1).map(host_name).collect(),
        candidate: stable.as_ref().map_or(Arm::Blue, |stable| stable.arm.other()),
        stable,
        gates: GatePlan {
            load: gates.load.as_ref().map(|load| LoadPlan { retries: load.retries }),
            bake: gates.bake.as_ref().map(|bake| BakePlan { duration: bake.duration }),
            canary: gates.canary.as_ref().map(|canary| CanaryPlan {
                steps: canary.steps.clone(),
                deadline: canary.deadline,
                invalid_grace: canary.invalid_grace,
                settle: canary.settle,
            }),
            settle: gates.settle,
        },
        until,
        past,
    }
}

/// Returns what serves now: the arm that was kept, with the release it points to.
pub(crate) fn stable(view: &HostView) -> Option<Stable> {
    let arm = view.active?;
    let release = view.arms.get(&arm)?.release.clone()?;
    Some(Stable { release, arm })
}

/// Returns what serves now as a host's files say it, without its agent.
pub(crate) fn stable_on(host: &HostRoot, service: &ServiceName) -> Option<Stable> {
    let text = files::read_text(&host.active_file(service), 64).ok()?;
    let arm = Arm::parse(text.trim())?;
    let release = Store::new(host, service).arm_release(arm)?;
    Some(Stable { release, arm })
}

/// Returns the name under which source is handed in, until its build gives it its own: the digest
/// of where it is, what is declared, and the commit.
fn submitted(declared: &Declared, project: &Path) -> ReleaseId {
    let revision = revision(project);
    let mut text = serde_json::to_string(declared).unwrap_or_default();
    text.push_str(&project.display().to_string());
    text.push_str(&revision);
    let digest: Digest = hash::of_bytes(text.as_bytes());
    ReleaseId { release: digest.clone(), artifact: digest.clone(), config: digest, revision }
}

/// Returns how people call the source: its short commit, `+` behind it where the tree has changes,
/// or its folder's name where it is no repository.
pub(crate) fn revision(project: &Path) -> String {
    guanka_world::build::revision(project).unwrap_or_else(|| {
        let folder = std::path::absolute(project).unwrap_or_else(|_| PathBuf::from(project));
        let name = folder.file_name().map(|name| name.to_string_lossy().into_owned());
        name.unwrap_or_else(|| "source".to_owned())
    })
}
