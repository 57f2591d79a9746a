//! `guanka host add`: the host's key is compared, the program sent, the agent installed, and a key
//! made that can talk to the agent and do nothing else.

use std::io::{self, BufRead, IsTerminal};

use guanka_core::say::Said;
use guanka_world::clock;
use guanka_world::transport::bootstrap::{self, Machine};
use guanka_world::transport::hosts::{Hosts, KnownHost, own_known_hosts, plain_options};
use guanka_world::transport::ssh::{Options, Target, own_folder};
use serde_json::json;

use super::{failed, target};
use crate::failure::codes::{HOST_KEY, HOST_REFUSED};
use crate::failure::{Exit, Failure};
use crate::terminal::Terminal;

/// Which host, and what is known of its key.
#[derive(clap::Args)]
pub(super) struct Args {
    /// The host, user@host; the user is root or may use sudo without a password.
    #[arg(value_name = "USER@HOST")]
    name: String,
    /// The fingerprint that the host's key must have, SHA256:...; without a terminal the way to
    /// accept a new key.
    #[arg(long, value_name = "SHA256")]
    fingerprint: Option<String>,
}

/// Adds a host.
pub(super) fn run(args: &Args, terminal: &Terminal) -> Result<Exit, Failure> {
    let target = target(&args.name)?;
    let name = target.as_str();
    let machine = reach(&target, args.fingerprint.as_deref(), terminal)?;
    fit(name, &machine)?;
    let doing = || Said::new(format!("正在添加主机 {name}"), format!("adding the host {name}"));
    let on_error = |error: io::Error| failed(name, doing(), &error);
    let identity = own_folder().map_err(on_error)?.join("keys").join(name);
    let public = bootstrap::make_key(&identity).map_err(on_error)?;
    say(terminal, "正在送达并安装 agent", "sending and installing the agent");
    bootstrap::install(&target, &plain_options(), &machine, &public).map_err(on_error)?;
    let mut hosts = Hosts::load().map_err(on_error)?;
    let login = format!("guanka@{}", target.host());
    let known = KnownHost { login, identity, added_ms: clock::now_ms() };
    hosts.hosts.insert(name.to_owned(), known);
    hosts.store().map_err(on_error)?;
    // Only an answer over the new key alone shows that it can do what it is for.
    let health = super::doctor::look(name)?;
    if terminal.json {
        let object = json!({ "schema": 1, "host": name, "agent": health });
        terminal.line(&object.to_string());
    } else {
        let version = &health.version;
        let text = Said::new(
            format!("{name} 已就绪:agent {version};在 guanka.toml 写 hosts = [\"{name}\"]"),
            format!("{name} is ready: agent {version}; in guanka.toml: hosts = [\"{name}\"]"),
        );
        terminal.line(terminal.said(&text));
    }
    Ok(Exit::Done)
}

/// Looks at the host; learns its key first where none is known.
fn reach(
    target: &Target,
    fingerprint: Option<&str>,
    terminal: &Terminal,
) -> Result<Machine, Failure> {
    let name = target.as_str();
    let doing = || Said::new(format!("正在连接 {name}"), format!("reaching {name}"));
    let options = plain_options();
    match bootstrap::look(target, &options) {
        Ok(machine) => return Ok(machine),
        Err(error) if bootstrap::is_unknown_key(&error) => {}
        Err(error) => return Err(failed(name, doing(), &error)),
    }
    let (lines, prints) = bootstrap::learn_key(target, &Options { known_hosts: vec![], ..options })
        .map_err(|error| failed(name, doing(), &error))?;
    accept(name, &prints, fingerprint, terminal)?;
    let known_hosts = own_known_hosts().map_err(|error| failed(name, doing(), &error))?;
    bootstrap::trust_key(&known_hosts, &lines).map_err(|error| failed(name, doing(), &error))?;
    bootstrap::look(target, &plain_options()).map_err(|error| failed(name, doing(), &error))
}

/// Has the fingerprint compared: with the given one, or by a person at a terminal.
fn accept(
    name: &str,
    prints: &[String],
    given: Option<&str>,
    terminal: &Terminal,
) -> Result<(), Failure> {
    let shown = prints.join(", ");
    let refuse = |zh: String, en: String| {
        let doing = Said::new(
            format!("正在核对 {name} 的主机密钥"),
            format!("comparing the host key of {name}"),
        );
        Err(Failure::new(&HOST_KEY, doing, Said::new(zh, en)).next(Said::new(
            format!("核实后:guanka host add {name} --fingerprint {shown}"),
            format!("once compared: guanka host add {name} --fingerprint {shown}"),
        )))
    };
    match given {
        Some(given) if prints.iter().any(|print| print == given) => return Ok(()),
        Some(given) => {
            return refuse(
                format!("主机的指纹是 {shown},不是 {given}"),
                format!("the host's fingerprint is {shown} and not {given}"),
            );
        }
        None => {}
    }
    if terminal.json || !io::stdin().is_terminal() {
        return refuse(
            format!("第一次连接,指纹是 {shown},尚未核实"),
            format!("first contact; the fingerprint is {shown} and nobody has compared it"),
        );
    }
    say(
        terminal,
        &format!("{name} 的指纹是 {shown};与主机上 ssh-keygen -lf 的一致吗?输入 yes 继续"),
        &format!(
            "the fingerprint of {name} is {shown}; does ssh-keygen -lf say the same there? Type yes"
        ),
    );
    let mut answer = String::new();
    let read = io::stdin().lock().read_line(&mut answer);
    match read {
        Ok(_) if answer.trim() == "yes" => Ok(()),
        _ => refuse("没有确认".to_owned(), "it was not confirmed".to_owned()),
    }
}

/// Refuses a host whose machine does not run this program.
fn fit(name: &str, machine: &Machine) -> Result<(), Failure> {
    let (own, theirs) = (std::env::consts::ARCH, &machine.machine);
    if *theirs == own {
        return Ok(());
    }
    Err(Failure::new(
        &HOST_REFUSED,
        Said::new(format!("正在添加主机 {name}"), format!("adding the host {name}")),
        Said::new(
            format!("主机是 {theirs},这个 guanka 是 {own} 的"),
            format!("the host is {theirs} and this guanka is made for {own}"),
        ),
    )
    .next(Said::new("换用相应架构的 guanka", "use a guanka made for the host's machine")))
}

fn say(terminal: &Terminal, zh: &str, en: &str) {
    if !terminal.json {
        terminal.note(terminal.said(&Said::new(zh, en)));
    }
}
