//! `guanka leave`: gives an adopted program its requests back, under whoever kept it, and takes the
//! service off the host. A plan first; with `--yes` it is done.

use guanka_core::facts::declared::HostAddress;
use guanka_core::quantity::Millis;
use guanka_core::say::Said;
use guanka_world::hostroot::HostRoot;
use guanka_world::transport::wire::{Answer, Request, Taking};
use guanka_world::{clock, files};
use serde_json::json;

use super::project::Project;
use super::ship::refuse_unfinished;
use crate::agent::adoption;
use crate::drive::ledger::Ledger;
use crate::drive::link::{Link, lease, unexpected};
use crate::drive::seat::Seat;
use crate::drive::submission;
use crate::failure::codes::HOST_REFUSED;
use crate::failure::{Exit, Failure, because};
use crate::terminal::Terminal;

/// How often a host is asked how far it is.
const EVERY: Millis = Millis(200);
/// How long it may take: a start, a drain, two reloads.
const LIMIT: Millis = Millis::from_secs(300);

/// Which service, and whether a person has agreed.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    project: Project,
    /// Do it; without it the plan is shown and nothing is changed.
    #[arg(long)]
    yes: bool,
}

/// Plans, and leaves where it was agreed to.
pub(crate) fn run(args: &Args, terminal: &Terminal) -> Result<Exit, Failure> {
    let declared = args.project.declared(terminal)?;
    let service = declared.service.clone();
    let address = submission::host(&declared)?;
    let lines = match address {
        HostAddress::Local(root) => files::absolute(root.as_ref())
            .map_err(|error| because(&error))
            .and_then(|root| adoption::preview_leaving(&HostRoot::new(root), &service))
            .map_err(|why| {
                let doing = Said::new(
                    format!("正在计划离开 {service}"),
                    format!("planning to leave {service}"),
                );
                Failure::new(&HOST_REFUSED, doing, why)
            })?,
        HostAddress::Ssh(_) => {
            let asked = Link::to(address)?.ask(&Request::PlanLeaving { service: service.clone() });
            match asked? {
                Answer::Leaving { lines } => lines,
                other => return Err(unexpected(&other)),
            }
        }
    };
    if terminal.json {
        let object = json!({ "schema": 1, "service": service, "plan": lines });
        terminal.line(&object.to_string());
    } else {
        for said in &lines {
            terminal.line(terminal.said(said));
        }
    }
    if !args.yes {
        if !terminal.json {
            let end = Said::new(
                "什么也没有改动。执行:guanka leave --yes",
                "Nothing was changed. Run: guanka leave --yes",
            );
            terminal.line(terminal.said(&end));
        }
        return Ok(Exit::Done);
    }
    let mut link = Link::to(address)?;
    refuse_unfinished(&Ledger::read(&mut link, &service)?)?;
    let epoch = lease(&mut link, &service, Taking::Free, Seat::Foreground)?;
    let left = leave(&mut link, &Request::Leave { service: service.clone(), epoch })
        .and_then(|()| link.ask(&Request::Remove { service: service.clone(), epoch }));
    // The lease went with the service's state; where it failed it is given back.
    let _ = link.ask(&Request::GiveLease { service: service.clone(), epoch });
    match left? {
        Answer::Done => {}
        other => return Err(unexpected(&other)),
    }
    if !terminal.json {
        let text = Said::new(
            format!("{service} 已离开;一切恢复原样,guanka.toml 保留"),
            format!("{service} has left; everything is as it was, guanka.toml stays"),
        );
        terminal.line(terminal.said(&text));
    }
    Ok(Exit::Done)
}

/// Asks until it is done, holding the lease meanwhile.
fn leave(link: &mut Link, request: &Request) -> Result<(), Failure> {
    let Request::Leave { service, epoch } = request else { return Ok(()) };
    let ended = clock::wait_for(LIMIT, EVERY, || match link.ask(request) {
        Ok(Answer::Working { .. }) => {
            let renewed = Request::RenewLease { service: service.clone(), epoch: *epoch };
            link.ask(&renewed).err().map(Err)
        }
        Ok(Answer::Done) => Some(Ok(())),
        Ok(other) => Some(Err(unexpected(&other))),
        Err(failed) => Some(Err(failed)),
    });
    ended.unwrap_or_else(|| {
        let doing = Said::new("正在交还流量", "giving the requests back");
        let why = Said::new(
            format!("{LIMIT} 后仍未完成;用 `guanka status` 查看"),
            format!("not done after {LIMIT}; look with `guanka status`"),
        );
        Err(Failure::new(&HOST_REFUSED, doing, why))
    })
}
