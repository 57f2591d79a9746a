//! `guanka plan`: what shipping would change where, and how long each gate needs to prove anything.
//! Changes nothing.

use std::io::ErrorKind;
use std::path::Path;

use guanka_core::facts::declared::{Declared, HostAddress};
use guanka_core::gates::GateKind;
use guanka_core::quantity::Rate;
use guanka_core::rollout::spec::Stable;
use guanka_core::say::Said;
use guanka_world::files;
use guanka_world::hostroot::HostRoot;
use guanka_world::transport::wire::HostChange;
use serde_json::json;

use super::project::Project;
use crate::agent::preview;
use crate::drive::link::{Link, view};
use crate::drive::{foretell, install, submission};
use crate::failure::codes::{FILE, HOST_REFUSED};
use crate::failure::{Exit, Failure, because};
use crate::terminal::Terminal;

/// Which service, and how the plan ends.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    project: Project,
    /// Users' requests per second, for the time to proof of bake and canary.
    #[arg(long, value_name = "RATE", value_parser = rate)]
    traffic: Option<Rate>,
    /// Show the text of each file that would change.
    #[arg(long, short)]
    verbose: bool,
    /// End with 8 when something would change.
    #[arg(long)]
    exit_code: bool,
}

fn rate(text: &str) -> Result<Rate, String> {
    Rate::parse(text).map_err(|error| error.to_string())
}

/// Plans.
pub(crate) fn run(args: &Args, terminal: &Terminal) -> Result<Exit, Failure> {
    let declared = args.project.declared(terminal)?;
    let (changes, stable) = match submission::host(&declared)? {
        HostAddress::Local(root) => {
            let host = host(root)?;
            (changes(&host, &declared)?, submission::stable_on(&host, &declared.service))
        }
        // Another machine's files are its agent's to read.
        address @ HostAddress::Ssh(_) => {
            let mut link = Link::to(address)?;
            let changes = install::preview(&mut link, &declared)?;
            (changes, submission::stable(&view(&mut link, &declared.service)?))
        }
    };
    let steps = steps(&declared, stable.as_ref());
    let proofs = proofs(&declared, args.traffic);
    let has_changes = changes.iter().any(|change| change.sign != '=');
    if terminal.json {
        let object = json!({
            "schema": 1,
            "service": declared.service,
            "install": changes,
            "steps": steps,
            "time_to_proof": proofs,
        });
        terminal.line(&object.to_string());
    } else {
        show(terminal, &declared, &changes, args.verbose);
        for said in steps.iter().chain(&proofs) {
            terminal.line(&format!("  {}", terminal.said(said)));
        }
        let end =
            Said::new("什么也没有改动。执行:guanka ship", "Nothing was changed. Run: guanka ship");
        terminal.line(terminal.said(&end));
    }
    Ok(if args.exit_code && has_changes { Exit::HasChanges } else { Exit::Done })
}

/// Opens a host root of this machine. A plan changes nothing, so no agent is started for it.
fn host(root: &str) -> Result<HostRoot, Failure> {
    let opened = files::absolute(Path::new(root)).and_then(|root| match root.is_dir() {
        true => Ok(HostRoot::new(root)),
        false => Err(std::io::Error::new(ErrorKind::NotFound, "there is no such folder")),
    });
    opened.map_err(|error| {
        let doing = Said::new(format!("正在打开主机 {root}"), format!("opening the host {root}"));
        Failure::new(&FILE, doing, because(&error))
    })
}

/// Returns what the install step would change.
fn changes(host: &HostRoot, declared: &Declared) -> Result<Vec<HostChange>, Failure> {
    preview::changes(host, declared).map_err(|why| {
        let (service, root) = (&declared.service, host.root().display());
        let doing = Said::new(
            format!("正在计划 {service} 在 {root} 上的安装"),
            format!("planning the install of {service} on {root}"),
        );
        Failure::new(&HOST_REFUSED, doing, why)
    })
}

fn show(terminal: &Terminal, declared: &Declared, changes: &[HostChange], verbose: bool) {
    let service = &declared.service;
    let title = Said::new(format!("{service} 的计划"), format!("plan for {service}"));
    terminal.line(terminal.said(&title));
    let install = Said::new(
        "1 安装:先于发布,至多重载一次 nginx(保持连接的旧式客户端:同面板自己的重载)",
        "1 install: before the release, one nginx reload at most (naive keep-alive clients: as at \
         any reload of the panel's)",
    );
    terminal.line(&format!(" {}", terminal.said(&install)));
    for change in changes {
        terminal.line(&format!(
            "  {} {}  {}",
            change.sign,
            change.what,
            terminal.said(&change.says)
        ));
        // What is written with a release is no change yet and has no text before it.
        if verbose && (change.sign != '=' || change.before.is_none()) {
            for line in change.before.iter().flat_map(|text| text.lines()) {
                terminal.line(&format!("      - {line}"));
            }
            for line in change.after.iter().flat_map(|text| text.lines()) {
                terminal.line(&format!("      + {line}"));
            }
        }
    }
    let release = Said::new("2 发布:不重载", "2 release: no reload");
    terminal.line(&format!(" {}", terminal.said(&release)));
}

/// Says what a release would do, step by step.
fn steps(declared: &Declared, stable: Option<&Stable>) -> Vec<Said> {
    let gates = &declared.gates;
    let mut steps = Vec::new();
    match stable {
        None => steps.push(Said::new(
            "首次发布:没有基线,也没有退路;静态检查、压测,然后全量进入 blue",
            "first release: no baseline and no way back; static, load, then full into blue",
        )),
        Some(stable) => {
            let (into, short) = (stable.arm.other(), stable.release.short());
            steps.push(Said::new(
                format!("进入 {into};{} 臂的 {short} 保持待命", stable.arm),
                format!("into {into}; {short} in {} stays warm", stable.arm),
            ));
        }
    }
    if stable.is_some() {
        let missing = [
            (gates.load.is_none(), "gates.load", "压测", "load"),
            (gates.bake.is_none(), "gates.bake", "观察", "bake"),
            (gates.canary.is_none(), "gates.canary", "灰度", "canary"),
        ];
        for (is_missing, section, zh, en) in missing {
            if is_missing {
                steps.push(Said::new(
                    format!("未声明 [{section}]:{zh}关卡会被跳过"),
                    format!("[{section}] is not declared: the {en} gate is passed over"),
                ));
            }
        }
    }
    if let Some(memory) = declared.process.memory {
        steps.push(Said::new(
            format!(
                "memory = {memory}:以 GOMEMLIMIT 告知程序(九成);systemd 强制上限,Supervisor 不能"
            ),
            format!(
                "memory = {memory}: told to the program as GOMEMLIMIT (nine tenths); systemd \
                 enforces it, Supervisor cannot"
            ),
        ));
    }
    if let Some(cpu) = declared.process.limits.cpu {
        steps.push(Said::new(
            format!("cpu = {cpu}:systemd 以 CPUQuota 强制;Supervisor 下只能以 GOMAXPROCS 告知程序"),
            format!(
                "cpu = {cpu}: systemd enforces it as CPUQuota; under Supervisor the program is \
                 only told, as GOMAXPROCS"
            ),
        ));
    }
    if let Some(canary) = &gates.canary {
        let shares: Vec<String> =
            canary.steps.iter().map(|s| format!("{} ≥ {}", s.share, s.hold)).collect();
        let shares = shares.join(", ");
        steps.push(Said::new(format!("灰度:{shares}"), format!("canary: {shares}")));
    }
    if declared.proxy.sticky == guanka_core::facts::declared::Sticky::Client {
        steps.push(Said::new(
            "粘性按客户端地址:若全部流量来自同一地址,灰度可能分不到任何请求",
            "sticky by client address: with one address the canary may get no request at all",
        ));
    }
    steps
}

/// Says how long each objective needs before anything can be proven.
fn proofs(declared: &Declared, traffic: Option<Rate>) -> Vec<Said> {
    [GateKind::Load, GateKind::Bake, GateKind::Canary]
        .into_iter()
        .flat_map(|gate| foretell::gate(declared, gate, &|_| traffic))
        .collect()
}
