//! `guanka remove`: takes a service off its host: first out of nginx, then its arms, then its
//! folders. It says before what goes and what stays.

use std::io::{self, BufRead, IsTerminal};

use guanka_core::name::ServiceName;
use guanka_core::say::Said;
use guanka_world::transport::wire::{Answer, Request, Taking};
use serde_json::json;

use super::project::Project;
use super::ship::refuse_unfinished;
use crate::drive::ledger::Ledger;
use crate::drive::link::{Link, lease, unexpected};
use crate::drive::seat::Seat;
use crate::drive::submission;
use crate::failure::codes::USAGE;
use crate::failure::{Exit, Failure};
use crate::terminal::Terminal;

/// Which service, and whether a person has agreed.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    project: Project,
    /// Do it without asking; needed where there is no terminal.
    #[arg(long)]
    yes: bool,
}

/// Removes a service.
pub(crate) fn run(args: &Args, terminal: &Terminal) -> Result<Exit, Failure> {
    let declared = args.project.declared(terminal)?;
    let service = declared.service.clone();
    let mut link = Link::to(submission::host(&declared)?)?;
    let ledger = Ledger::read(&mut link, &service)?;
    refuse_unfinished(&ledger)?;
    let (goes, stays) = (goes(&service), stays(&service, &declared.data_dirs));
    if !terminal.json {
        for said in goes.iter().chain(&stays) {
            terminal.line(terminal.said(said));
        }
    }
    agree(args.yes, &service, terminal)?;
    let epoch = lease(&mut link, &service, Taking::Free, Seat::Foreground)?;
    let removed = link.ask(&Request::Remove { service: service.clone(), epoch });
    // The lease went with the service's state; where the removal failed it is given back.
    let _ = link.ask(&Request::GiveLease { service: service.clone(), epoch });
    match removed? {
        Answer::Done => {}
        other => return Err(unexpected(&other)),
    }
    if terminal.json {
        let object = json!({ "schema": 1, "service": service, "gone": goes, "stays": stays });
        terminal.line(&object.to_string());
    } else {
        let text = Said::new(
            format!("{service} 已移除;站点由它自己的配置应答"),
            format!("{service} is gone; its site answers by its own configuration"),
        );
        terminal.line(terminal.said(&text));
    }
    Ok(Exit::Done)
}

fn goes(service: &ServiceName) -> Vec<Said> {
    let line = |zh: &str, en: &str, what: &str| {
        Said::new(format!("- {zh} {what}"), format!("- {en} {what}"))
    };
    vec![
        line("nginx 片段", "pieces of nginx", &format!("zz_guanka_{service}.conf, guanka.conf")),
        line("两臂的进程与条目", "both arms and their entries", &format!("guanka-{service}")),
        line("发布", "releases", &format!("/opt/guanka/{service}")),
        line("状态", "state", &format!("/var/lib/guanka/{service}")),
        line("两臂的输出", "the arms' output", &format!("/var/log/guanka/{service}")),
    ]
}

fn stays(service: &ServiceName, data_dirs: &[String]) -> Vec<Said> {
    let mut stays = vec![Said::new(
        format!("= 保留:访问日志、发布与审计日志、用户 {}", service.user()),
        format!("= stays: access log, journal and audit log, the user {}", service.user()),
    )];
    if !data_dirs.is_empty() {
        let list = data_dirs.join(", ");
        stays.push(Said::new(format!("= 保留数据:{list}"), format!("= stays, your data: {list}")));
    }
    stays
}

/// Has a person agree: users of the site get what its own configuration answers from now on.
fn agree(yes: bool, service: &ServiceName, terminal: &Terminal) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    let doing = Said::new(format!("正在移除 {service}"), format!("removing {service}"));
    let refuse = |zh: &str, en: &str| {
        Err(Failure::new(&USAGE, doing.clone(), Said::new(zh, en))
            .next(Said::new("guanka remove --yes", "guanka remove --yes")))
    };
    if terminal.json || !io::stdin().is_terminal() {
        return refuse("没有终端可以确认", "there is no terminal to agree at");
    }
    let ask = Said::new(format!("输入 {service} 以确认:"), format!("type {service} to agree: "));
    terminal.note(terminal.said(&ask));
    let mut answer = String::new();
    match io::stdin().lock().read_line(&mut answer) {
        Ok(_) if answer.trim() == service.to_string() => Ok(()),
        _ => refuse("没有确认", "it was not agreed to"),
    }
}
