//! `guanka adopt`: takes the program that runs behind a site in as the arm blue, where it runs and
//! under whoever keeps it. A plan first; with `--yes` it is done, in one reload of nginx.

mod draft;

use guanka_core::facts::declared::{Declared, HostAddress};
use guanka_core::name::{Domain, ServiceName};
use guanka_core::say::Said;
use guanka_world::adoption::Wanted;
use guanka_world::adoption::view::FoundView;
use guanka_world::files;
use guanka_world::hostroot::HostRoot;
use guanka_world::proxy::Consent;
use guanka_world::transport::wire::{Answer, HostChange, Request, Taking};
use serde_json::json;

use super::project::Project;
use crate::agent::adoption;
use crate::drive::central::{project_folder, routes};
use crate::drive::link::{Link, lease, unexpected};
use crate::drive::seat::Seat;
use crate::drive::submission;
use crate::failure::codes::{HOST_REFUSED, USAGE};
use crate::failure::{Exit, Failure, because};
use crate::terminal::Terminal;

/// What to adopt.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    project: Project,
    /// The site's domain, where there is no guanka.toml yet.
    #[arg(long, value_name = "NAME")]
    domain: Option<String>,
    /// The port of the running program; by default the one its site passes requests to.
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,
    /// The host, where there is no guanka.toml yet: local:DIR or user@host.
    #[arg(long, value_name = "HOST", default_value = "local:/")]
    host: String,
    /// Agree that the panel's reverse proxy for / is paused; leaving puts it back.
    #[arg(long)]
    pause_panel_proxy: bool,
    /// Do it; without it the plan is shown and nothing is changed.
    #[arg(long)]
    yes: bool,
}

/// What is asked of a host.
struct Ask {
    service: ServiceName,
    address: HostAddress,
    wanted: Wanted,
    consent: Consent,
}

/// Plans, and adopts where it was agreed to.
pub(crate) fn run(args: &Args, terminal: &Terminal) -> Result<Exit, Failure> {
    let consent = if args.pause_panel_proxy { Consent::PanelRule } else { Consent::None };
    let declared = args.project.try_declared(terminal)?;
    let ask = match &declared {
        Some(declared) => Ask {
            service: declared.service.clone(),
            address: submission::host(declared)?.clone(),
            wanted: wanted(args, declared.proxy.domain.clone()),
            consent,
        },
        None => undeclared(args, consent)?,
    };
    let (found, _) = planned(&ask, None)?;
    // What is not declared yet is drafted from the source and from what runs.
    let drafted = match declared {
        Some(_) => None,
        None => Some(draft::draft(&args.project, &ask.address, &domain(args)?, &found, terminal)?),
    };
    let declared = match (&drafted, declared) {
        (Some(drafted), _) => drafted.declared.clone(),
        (None, Some(declared)) => declared,
        (None, None) => return Err(no_domain()),
    };
    let ask = Ask { service: declared.service.clone(), ..ask };
    let (found, changes) = planned(&ask, Some(&declared))?;
    show(terminal, &declared, &found, &changes, drafted.as_ref());
    if !args.yes {
        if !terminal.json {
            let end = Said::new(
                "什么也没有改动。执行:guanka adopt --yes",
                "Nothing was changed. Run: guanka adopt --yes",
            );
            terminal.line(terminal.said(&end));
        }
        return Ok(Exit::Done);
    }
    if let Some(drafted) = &drafted {
        drafted.write()?;
    }
    perform(args, &ask, &declared)?;
    if !terminal.json {
        done(terminal, &declared, &found);
    }
    Ok(Exit::Done)
}

/// Asks the host what runs and what would change; nothing does.
fn planned(
    ask: &Ask,
    declared: Option<&Declared>,
) -> Result<(FoundView, Vec<HostChange>), Failure> {
    let Ask { service, address, wanted, consent } = ask;
    match address {
        // Read without an agent: a plan starts nothing.
        HostAddress::Local(root) => {
            let root = files::absolute(root.as_ref()).map_err(|e| refused(service, because(&e)))?;
            adoption::preview(&HostRoot::new(root), service, wanted, declared, *consent)
                .map_err(|why| refused(service, why))
        }
        HostAddress::Ssh(_) => {
            let request = Request::PlanAdoption {
                service: service.clone(),
                wanted: wanted.clone(),
                declared: declared.map(|declared| Box::new(declared.clone())),
                consent: *consent,
            };
            match Link::to(address)?.ask(&request)? {
                Answer::Adoption { found, changes } => Ok((*found, changes)),
                other => Err(unexpected(&other)),
            }
        }
    }
}

fn refused(service: &ServiceName, why: Said) -> Failure {
    let doing = Said::new(
        format!("正在计划接管 {service} 的程序"),
        format!("planning the adoption of {service}'s program"),
    );
    Failure::new(&HOST_REFUSED, doing, why).next(Said::new(
        "什么也没有改动;修好后再试。若是面板的反向代理规则,同意暂停它:--pause-panel-proxy",
        "nothing was changed; put it right and try again. For a reverse proxy of the panel's, \
         agree to its pause with --pause-panel-proxy",
    ))
}

fn perform(args: &Args, ask: &Ask, declared: &Declared) -> Result<(), Failure> {
    let mut link = Link::to(&ask.address)?;
    let service = ask.service.clone();
    let epoch = lease(&mut link, &service, Taking::Free, Seat::Foreground)?;
    let project = project_folder(&args.project.project)?;
    let tried = (|| {
        let routes = routes(&project);
        link.ask(&Request::Configure { epoch, declared: Box::new(declared.clone()), routes })?;
        let (wanted, consent) = (ask.wanted.clone(), ask.consent);
        link.ask(&Request::Adopt { service: service.clone(), epoch, wanted, consent })
    })();
    // Where it did not come about, the service's state is gone and its lease with it.
    let _ = link.ask(&Request::GiveLease { service, epoch });
    match tried? {
        Answer::Done => Ok(()),
        other => Err(unexpected(&other)),
    }
}

fn wanted(args: &Args, domain: Domain) -> Wanted {
    args.port.map_or(Wanted::Behind(domain), Wanted::Port)
}

/// Builds what is asked where nothing is declared yet. The service gets its name with the draft; to
/// look at what runs any name does.
fn undeclared(args: &Args, consent: Consent) -> Result<Ask, Failure> {
    let domain = domain(args)?;
    let address = match args.host.strip_prefix("local:") {
        Some(root) => HostAddress::Local(root.to_owned()),
        None => HostAddress::Ssh(args.host.clone()),
    };
    let service = ServiceName::new("app", "new").map_err(|error| usage(&error.to_string()))?;
    Ok(Ask { service, address, wanted: wanted(args, domain), consent })
}

fn domain(args: &Args) -> Result<Domain, Failure> {
    let text = args.domain.as_deref().ok_or_else(no_domain)?;
    Domain::new(text).map_err(|error| usage(&error.to_string()))
}

fn usage(why: &str) -> Failure {
    let doing = Said::new("正在读取命令行", "reading the command line");
    Failure::new(&USAGE, doing, Said::new(why, why))
}

fn no_domain() -> Failure {
    let doing = Said::new("正在读取命令行", "reading the command line");
    let why = Said::new(
        "没有 guanka.toml,也没有用 --domain 指明站点",
        "there is no guanka.toml, and --domain names no site",
    );
    Failure::new(&USAGE, doing, why)
        .next(Said::new("加上 --domain api.example.com", "add --domain api.example.com"))
}

fn show(
    terminal: &Terminal,
    declared: &Declared,
    found: &FoundView,
    changes: &[HostChange],
    drafted: Option<&draft::Drafted>,
) {
    if terminal.json {
        let object = json!({
            "schema": 1,
            "service": declared.service,
            "found": found,
            "install": changes,
            "writes": drafted.map(|drafted| &drafted.text),
        });
        terminal.line(&object.to_string());
        return;
    }
    for said in lines(declared, found) {
        terminal.line(terminal.said(&said));
    }
    for change in changes {
        let says = terminal.said(&change.says);
        terminal.line(&format!("  {} {}  {says}", change.sign, change.what));
    }
    if let Some(drafted) = drafted {
        terminal.line(&format!("  + {}", drafted.shown));
        for line in drafted.text.lines() {
            terminal.line(&format!("      {line}"));
        }
    }
}

/// Says what is found and what becomes of it.
fn lines(declared: &Declared, found: &FoundView) -> Vec<Said> {
    let FoundView { pid, program, port, user, folder, keeper, .. } = found;
    let service = &declared.service;
    let mut lines = vec![
        Said::new(format!("接管计划:{service}"), format!("plan of adoption: {service}")),
        Said::new(
            format!("  blue = 正在运行的进程 {pid}:{program},127.0.0.1:{port},用户 {user}"),
            format!("  blue = the running process {pid}: {program}, 127.0.0.1:{port}, user {user}"),
        ),
        Said::new(
            format!("  看管者:{};新版本在 green 通过关卡并承接全部流量后才停止它", keeper.zh),
            format!(
                "  kept by {} until a release has passed its gates in green and has all requests",
                keeper.en
            ),
        ),
        Said::new(
            format!("  新版本沿用工作目录 {folder}"),
            format!("  releases work in its folder too: {folder}"),
        ),
    ];
    let is_address = |name: &&String| Some(*name) == found.listen_env.as_ref();
    let carried: Vec<&str> =
        found.carried.iter().filter(|name| !is_address(name)).map(String::as_str).collect();
    if !carried.is_empty() {
        let list = carried.join(", ");
        lines.push(Said::new(
            format!("  沿用环境变量:{list}"),
            format!("  and are given its variables: {list}"),
        ));
    }
    if !found.data_dirs.is_empty() {
        let list = found.data_dirs.join(", ");
        lines.push(Said::new(
            format!("  数据与上传目录原地保留:{list}"),
            format!("  data and uploads stay where they are: {list}"),
        ));
    }
    if folder.starts_with("/home/") || folder.starts_with("/root") {
        lines.push(Said::new(
            format!("  ! {folder} 在 systemd 沙箱中不可见;请先把文件移到别处"),
            format!("  ! systemd's sandbox hides {folder}: move its files elsewhere first"),
        ));
    }
    if declared.process.user.as_deref() != Some(user) {
        lines.push(Said::new(
            format!("  ! 它以 {user} 运行;请写 [process] user,否则新版本读写不到它的文件"),
            format!(
                "  ! it runs as {user}: set [process] user, else releases may not get at its files"
            ),
        ));
    }
    lines
}

fn done(terminal: &Terminal, declared: &Declared, found: &FoundView) {
    let (pid, port) = (found.pid, found.port);
    let mut lines = vec![Said::new(
        format!("已接管:进程 {pid}(127.0.0.1:{port})就是 blue,未中断。"),
        format!("Adopted: process {pid} (127.0.0.1:{port}) is blue; it was not interrupted."),
    )];
    if found.keeper.en.contains("Go project") {
        lines.push(Said::new(
            "请在面板中关闭该项目的“开机启动”,保留站点(证书与域名按钮照常可用)。",
            "In the panel, switch off the project's start at boot; keep its site.",
        ));
    }
    lines.push(Said::new(
        format!("下一步:guanka ship --env {0};恢复原样:guanka leave", declared.service.env()),
        format!("Next: guanka ship --env {0}; undo: guanka leave", declared.service.env()),
    ));
    for said in &lines {
        terminal.line(terminal.said(said));
    }
}
