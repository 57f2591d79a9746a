//! `guanka host doctor`: does a host's agent answer, is it of this version, do the clocks agree,
//! and what is there for it to work with?

use guanka_core::facts::declared::HostAddress;
use guanka_core::say::Said;
use guanka_world::clock;
use guanka_world::transport::wire::{Answer, PROTOCOL, Request};
use serde::Serialize;
use serde_json::json;

use super::target;
use crate::drive::link::{Link, unexpected};
use crate::failure::{Exit, Failure};
use crate::terminal::Terminal;

/// Clocks further apart than this confuse whoever reads two logs; guanka itself counts by each
/// host's own clock.
const SKEW_MS: u64 = 2_000;

/// What a host's agent says of itself.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Health {
    /// The agent's version.
    pub(super) version: String,
    /// What its machine runs.
    arch: String,
    /// How far its clock is ahead of ours, in milliseconds.
    ahead_ms: i64,
    /// How long one question took, in milliseconds.
    answered_in_ms: u64,
    /// nginx, as it says itself.
    nginx: Option<String>,
    /// The panel's version.
    panel: Option<String>,
    /// The services that guanka keeps there.
    services: Vec<String>,
}

/// Shows how a host is.
pub(super) fn run(name: &str, terminal: &Terminal) -> Result<Exit, Failure> {
    let health = look(target(name)?.as_str())?;
    let own = env!("CARGO_PKG_VERSION");
    let is_far = health.ahead_ms.unsigned_abs() > SKEW_MS;
    let is_fit = health.nginx.is_some() && !is_far;
    if terminal.json {
        let object = json!({ "schema": 1, "host": name, "agent": health, "is_fit": is_fit });
        terminal.line(&object.to_string());
        return Ok(if is_fit { Exit::Done } else { Exit::CouldNot });
    }
    let say = |good: bool, zh: String, en: String| {
        let mark = if good { '✓' } else { '✗' };
        terminal.line(&format!("{mark} {}", terminal.said(&Said::new(zh, en))));
    };
    let Health { version, arch, ahead_ms, answered_in_ms, nginx, panel, services } = &health;
    say(
        version == own,
        format!("agent {version}({arch}),{answered_in_ms} 毫秒内应答;本机 guanka {own}"),
        format!("agent {version} on {arch}, answered in {answered_in_ms} ms; guanka here {own}"),
    );
    say(!is_far, format!("时钟相差 {ahead_ms} 毫秒"), format!("its clock is {ahead_ms} ms ahead"));
    match nginx {
        Some(found) => say(true, found.clone(), found.clone()),
        None => say(false, "没有找到 nginx".to_owned(), "no nginx was found".to_owned()),
    }
    match panel {
        Some(found) => say(true, format!("面板 {found}"), format!("panel {found}")),
        None => say(true, "没有面板".to_owned(), "no panel".to_owned()),
    }
    let list = if services.is_empty() { "-".to_owned() } else { services.join(", ") };
    say(true, format!("服务:{list}"), format!("services: {list}"));
    Ok(if is_fit { Exit::Done } else { Exit::CouldNot })
}

/// Asks a host's agent.
pub(super) fn look(name: &str) -> Result<Health, Failure> {
    let mut link = Link::to(&HostAddress::Ssh(name.to_owned()))?;
    let began = clock::monotonic();
    let (version, arch, clock) = match link.ask(&Request::Hello { protocol: PROTOCOL })? {
        Answer::Hello { version, arch, clock, .. } => (version, arch, clock),
        other => return Err(unexpected(&other)),
    };
    let answered_in_ms = began.elapsed().as_millis() as u64;
    // The answer's clock was read about half way through.
    let here = clock::now_ms() as i64 - (answered_in_ms / 2) as i64;
    let facts = match link.ask(&Request::HostFacts)? {
        Answer::HostFacts { facts } => facts,
        other => return Err(unexpected(&other)),
    };
    let services = match link.ask(&Request::Services)? {
        Answer::Services { services } => services,
        other => return Err(unexpected(&other)),
    };
    let nginx = facts.nginx.as_ref().and_then(|n| n.version.known()).map(ToString::to_string);
    let panel = facts.host.as_ref().and_then(|h| h.panel.as_ref());
    Ok(Health {
        version,
        arch,
        ahead_ms: clock.wall_ms as i64 - here,
        answered_in_ms,
        nginx,
        panel: panel.and_then(|panel| panel.version.known().cloned()),
        services: services.iter().map(ToString::to_string).collect(),
    })
}
