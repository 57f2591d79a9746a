//! `guanka status`: where everything is: releases, arms, shares, the rollout under way.

use std::path::PathBuf;

use guanka_core::facts::declared::HostAddress;
use guanka_core::name::ServiceName;
use guanka_core::rollout::describe;
use guanka_core::say::Said;
use guanka_world::transport::wire::{Answer, HostView, Request};
use serde_json::json;

use super::project::Project;
use super::ship::view;
use crate::drive::ledger::Ledger;
use crate::drive::link::{Link, unexpected};
use crate::drive::submission;
use crate::failure::{Exit, Failure};
use crate::terminal::{Terminal, pad};

/// Which service, or every one of a host.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    project: Project,
    /// Every service of a host's root.
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
}

/// Shows where everything is.
pub(crate) fn run(args: &Args, terminal: &Terminal) -> Result<Exit, Failure> {
    let (mut link, services) = match &args.root {
        Some(root) => {
            let address = HostAddress::Local(root.display().to_string());
            let mut link = Link::to(&address)?;
            let services = match link.ask(&Request::Services)? {
                Answer::Services { services } => services,
                other => return Err(unexpected(&other)),
            };
            (link, services)
        }
        None => {
            let declared = args.project.declared(terminal)?;
            (Link::to(submission::host(&declared)?)?, vec![declared.service])
        }
    };
    let mut all = Vec::new();
    for service in services {
        let seen = view(&mut link, &service)?;
        let ledger = Ledger::read(&mut link, &service)?;
        let rollout = ledger.newest().map(|chapter| (chapter.number, chapter.rollout(&service)));
        let rollout = match rollout {
            Some((number, Ok(rollout))) => Some((number, describe::rollout(&rollout), rollout)),
            Some((_, Err(failed))) => return Err(failed),
            None => None,
        };
        let said = rollout.as_ref().map(|(number, said, _)| (*number, said.clone()));
        if terminal.json {
            all.push(json!({
                "service": service,
                "host": seen,
                "rollout": rollout.map(|(number, said, rollout)| json!({
                    "number": number, "says": said, "state": rollout.state,
                    "release": rollout.release(),
                })),
            }));
        } else {
            show(terminal, &service, &seen, said);
        }
    }
    if terminal.json {
        terminal.line(&json!({ "schema": 1, "services": all }).to_string());
    }
    Ok(Exit::Done)
}

fn show(terminal: &Terminal, service: &ServiceName, seen: &HostView, rollout: Option<(u64, Said)>) {
    let none = Said::new("尚未发布", "never released");
    match rollout {
        Some((number, said)) => {
            terminal.line(&format!("{service}  #{number}  {}", terminal.said(&said)));
        }
        None => terminal.line(&format!("{service}  {}", terminal.said(&none))),
    }
    for (arm, found) in &seen.arms {
        let share = seen.green.map_or_else(
            || "–".to_owned(),
            |green| guanka_core::signals::slot::share_of(*arm, green).to_string(),
        );
        let release = found.release.as_ref().map_or("–", |digest| digest.short());
        let runs = match (found.pid, found.is_ready) {
            (Some(pid), true) => {
                Said::new(format!("就绪(进程 {pid})"), format!("ready (pid {pid})"))
            }
            (Some(pid), false) => {
                Said::new(format!("未就绪(进程 {pid})"), format!("not ready (pid {pid})"))
            }
            (None, _) => Said::new("已停", "stopped"),
        };
        let mark = if seen.active == Some(*arm) { "*" } else { " " };
        terminal.line(&format!(
            "  {mark} {}  {}  {}  127.0.0.1:{}  {}",
            pad(arm.as_str(), 5),
            pad(release, 12),
            pad(&share, 5),
            found.port,
            terminal.said(&runs)
        ));
    }
    if let Some(arm) = seen.ejected {
        let text = Said::new(
            format!("{arm} 不应答探测,请求暂时全部给 {};恢复后自动交还", arm.other()),
            format!(
                "{arm} does not answer its probes: {} has all requests until it does",
                arm.other()
            ),
        );
        terminal.line(&format!("    {}", terminal.said(&text)));
    }
    if let Some(lease) = &seen.lease {
        let secs = lease.ends_in_ms.div_ceil(1000);
        let text = Said::new(
            format!("租约:{}(不续约则 {secs} 秒后失效)", lease.holder),
            format!("lease: {} (ends in {secs} s when not renewed)", lease.holder),
        );
        terminal.line(&format!("    {}", terminal.said(&text)));
    }
    if let Some(drift) = &seen.drift {
        terminal.line(&format!("  ! {}", terminal.said(&drift.said())));
    }
    if let Some(done) = &seen.put_back {
        let at = guanka_world::clock::rfc3339(done.at_ms);
        terminal.line(&format!("    {at}  {}", terminal.said(&done.says)));
    }
    if seen.broken_lines > 0 {
        let count = seen.broken_lines;
        let text = Said::new(
            format!("访问日志中有 {count} 行读不懂"),
            format!("{count} lines of the access log could not be understood"),
        );
        terminal.line(&format!("    {}", terminal.said(&text)));
    }
}
