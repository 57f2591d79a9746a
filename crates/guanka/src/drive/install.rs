//! The install step: the service's settings on its host and its pieces of nginx configuration. It
//! comes after the checks and the build and before the release is sent, and alone may reload.

use guanka_core::facts::declared::Declared;
use guanka_core::say::Said;
use guanka_world::transport::wire::{Answer, HostChange, Request};

use super::central::{Central, routes};
use super::link::{Link, unexpected};
use super::progress::Progress;
use crate::failure::Failure;

/// Returns what would change, with nothing changed; what stands in the way is said now and not in
/// the middle of a rollout.
pub(crate) fn preview(link: &mut Link, declared: &Declared) -> Result<Vec<HostChange>, Failure> {
    let request = Request::PlanInstall { declared: Box::new(declared.clone()) };
    match link.ask(&request)? {
        Answer::Plan { changes } => Ok(changes),
        other => Err(unexpected(&other)),
    }
}

/// Tells the host the service's settings and puts it behind nginx where it is not yet.
pub(super) fn apply(
    link: &mut Link,
    progress: &Progress,
    epoch: u64,
    central: &Central,
) -> Result<(), Failure> {
    let declared = &central.declared;
    let changes = preview(link, declared)?;
    let routes = routes(&central.project);
    link.ask(&Request::Configure { epoch, declared: Box::new(declared.clone()), routes })?;
    if changes.iter().any(|change| change.sign != '=') {
        progress.note(&Said::new(
            "安装步骤:写入 nginx 片段并重载一次(发布本身从不重载)",
            "install step: nginx pieces written, one reload (a release never reloads)",
        ));
    }
    link.ask(&Request::Install { service: declared.service.clone(), epoch })?;
    Ok(())
}
