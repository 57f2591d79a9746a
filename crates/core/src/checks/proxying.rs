//! Which nginx locations bring requests to the service, and where each of them sends them. A
//! service that is declared and not installed yet has the location that guanka will render.

use super::Missing;
use super::subject::{self, port_of};
use crate::facts::declared::Declared;
use crate::facts::nginx::{Directive, Nginx, ProxyLocation, pass_host};
use crate::facts::{Facts, Reason};
use crate::say::Said;

/// The nginx side of the service.
#[derive(Default)]
pub(super) struct Proxying<'a> {
    /// The locations that are there now.
    pub(super) locations: Vec<ProxyLocation<'a>>,
    /// It is declared and not installed yet: guanka will render its location from this.
    pub(super) rendered: Option<&'a Declared>,
    /// The locations are guanka's own: the next release writes them anew from this.
    pub(super) renewed: Option<&'a Declared>,
    /// There are locations, and which of them is the service's could not be told.
    pub(super) unclear: Option<Missing>,
}

/// Where a location sends its requests.
pub(super) struct Targets<'a> {
    /// The upstream blocks; several when a variable chooses among them.
    pub(super) upstreams: Vec<&'a Directive>,
    /// The host and port written in the `proxy_pass` itself, without an upstream block.
    pub(super) direct: Option<(&'a str, u16)>,
}

/// Returns the nginx side of the service, as far as this run can see.
pub(super) fn of(facts: &Facts) -> Proxying<'_> {
    let Some(nginx) = &facts.nginx else {
        return Proxying { rendered: facts.declared.as_ref(), ..Proxying::default() };
    };
    let all = nginx.proxy_locations();
    if let Some(declared) = &facts.declared {
        return declared_side(facts, nginx, declared, all);
    }
    let by_port = with_port(facts, nginx, &all);
    if !by_port.is_empty() {
        return Proxying { locations: by_port, ..Proxying::default() };
    }
    if all.len() <= 1 || facts.source.is_none() {
        return Proxying { locations: all, ..Proxying::default() };
    }
    let what = Said::new(
        format!("{} 个反向代理 location 中哪一个通向本程序", all.len()),
        format!("which of {} proxy locations leads to this program", all.len()),
    );
    let reason = Reason::NotThere("guanka.toml [proxy] domain".to_owned());
    Proxying { unclear: Some(Missing { what, reason }), ..Proxying::default() }
}

/// Returns where a location sends its requests.
pub(super) fn targets<'a>(nginx: &'a Nginx, location: &ProxyLocation<'a>) -> Targets<'a> {
    let host = pass_host(location.pass).unwrap_or_default();
    // A variable may stand for any text: `guanka_shop_$guanka_arm` names each arm's upstream.
    let matches = |name: &str| match host.split_once('$') {
        Some((prefix, _)) => !prefix.is_empty() && name.starts_with(prefix),
        None => name == host,
    };
    let upstreams: Vec<_> =
        nginx.upstreams().filter(|u| u.args.first().is_some_and(|name| matches(name))).collect();
    let direct =
        (upstreams.is_empty() && !host.contains('$') && !host.is_empty()).then(|| {
            match (host.rsplit_once(':'), port_of(host)) {
                (Some((name, _)), Some(port)) => (name, port),
                _ => (host, default_port(location.pass)),
            }
        });
    Targets { upstreams, direct }
}

/// Returns the `server` lines of an upstream with host and port; unix sockets are left out.
pub(super) fn servers_of(upstream: &Directive) -> impl Iterator<Item = (&Directive, &str, u16)> {
    upstream.inner().iter().filter(|d| d.name == "server").filter_map(|line| {
        let addr = line.args.first()?;
        if addr.starts_with("unix:") {
            return None;
        }
        match addr.rsplit_once(':') {
            Some((host, port)) => Some((line, host, port.parse().ok()?)),
            None => Some((line, addr.as_str(), 80)),
        }
    })
}

/// Returns whether a host name of a target is this machine.
pub(super) fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.starts_with("127.") || host.trim_matches(['[', ']']) == "::1"
}

fn declared_side<'a>(
    facts: &'a Facts,
    nginx: &'a Nginx,
    declared: &'a Declared,
    all: Vec<ProxyLocation<'a>>,
) -> Proxying<'a> {
    let prefix = format!("guanka_{}_", declared.service.underscored());
    let own: Vec<_> = all
        .iter()
        .filter(|l| pass_host(l.pass).is_some_and(|host| host.starts_with(&prefix)))
        .cloned()
        .collect();
    if !own.is_empty() {
        return Proxying { locations: own, renewed: Some(declared), ..Proxying::default() };
    }
    let by_port = with_port(facts, nginx, &all);
    let domain = declared.proxy.domain.as_str();
    let is_named = |l: &&ProxyLocation<'_>| {
        let names = l.server.inner().iter().filter(|d| d.name == "server_name");
        names.flat_map(|d| d.args.iter()).any(|name| name == domain)
    };
    let locations =
        if by_port.is_empty() { all.iter().filter(is_named).cloned().collect() } else { by_port };
    Proxying { locations, rendered: Some(declared), ..Proxying::default() }
}

fn with_port<'a>(
    facts: &Facts,
    nginx: &'a Nginx,
    all: &[ProxyLocation<'a>],
) -> Vec<ProxyLocation<'a>> {
    let ports: Vec<u16> = subject::ports(facts).iter().map(|p| p.number).collect();
    let leads_there = |location: &&ProxyLocation<'a>| {
        let targets = targets(nginx, location);
        let direct =
            targets.direct.is_some_and(|(host, p)| is_loopback(host) && ports.contains(&p));
        let mut servers = targets.upstreams.iter().flat_map(|u| servers_of(u));
        direct || servers.any(|(_, host, port)| is_loopback(host) && ports.contains(&port))
    };
    all.iter().filter(leads_there).cloned().collect()
}

fn default_port(pass: &Directive) -> u16 {
    if pass.args.first().is_some_and(|target| target.starts_with("https:")) { 443 } else { 80 }
}
