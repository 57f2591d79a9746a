//! NG003: nginx sends the service's requests to a port where the service does not listen, nobody
//! does, or somebody else.

use super::judgement::{Judgement, reason_of};
use super::subject::Port;
use super::{Check, Example, Expect, Outcome, proxying, subject};
use crate::facts::host::Listener;
use crate::facts::nginx::{Nginx, ProxyLocation};
use crate::facts::{Facts, Provenance, Reason, Span};
use crate::finding::{Checkpoint, Confidence, Evidence, Finding, FixKind, Severity};
use crate::say::{Said, Text};

/// The check.
pub const CHECK: Check = Check {
    code: "NG003",
    name: "upstream-port-mismatch",
    checkpoint: Checkpoint::Proxy,
    title: Text {
        zh: "nginx 指向的端口不是程序监听的端口",
        en: "nginx points at a port where the program does not listen",
    },
    why: Text {
        zh: "没有人监听时每个请求都是 502;别的程序在监听时,用户得到的是别人的响应。",
        en: "With nobody there every request is a 502; with another program there, users get its \
             answers.",
    },
    fix: Text {
        zh: "让 proxy_pass(或 upstream 的 server)与程序的监听地址一致。",
        en: "Make proxy_pass (or the upstream's server) and the program's listen address agree.",
    },
    base: Severity::Critical,
    confidence: Confidence::Certain,
    fix_kind: FixKind::Risky,
    why_risky: Text {
        zh: "改动 proxy_pass 会立刻改变流量去向。",
        en: "A changed proxy_pass sends the traffic elsewhere at once.",
    },
    is_required: true,
    since: "0.1.0",
    article: Text {
        zh: "文章认为以 root 运行会“端口冲突”。两者无关:端口被占用是本检查的事,root 是 SY007 的\
             事。",
        en: "The article says that running as root makes a \"port conflict\". It does not follow: \
             a taken port is this check's matter, root is SY007's.",
    },
    references: &["https://nginx.org/en/docs/http/ngx_http_proxy_module.html#proxy_pass"],
    examples: EXAMPLES,
    run,
};

/// A place on this machine that a location sends requests to.
struct Target {
    port: u16,
    span: Span,
    /// Requests go there only when the others failed, or not at all.
    is_spare: bool,
}

fn run(facts: &Facts) -> Outcome {
    let mut judgement = Judgement::default();
    let Some(nginx) = &facts.nginx else { return judgement.end() };
    let side = proxying::of(facts);
    if let Some(missing) = side.unclear {
        judgement.missing(missing);
    }
    // guanka allots the ports itself when it installs the service.
    if side.rendered.is_some() {
        return judgement.end();
    }
    let ports = subject::ports(facts);
    for location in &side.locations {
        let targets = here(nginx, location);
        if !targets.is_empty() {
            judgement.looked();
            judge(facts, location, &targets, &ports, &mut judgement);
        }
    }
    judgement.end()
}

fn judge(
    facts: &Facts,
    location: &ProxyLocation<'_>,
    targets: &[Target],
    ports: &[Port],
    judgement: &mut Judgement,
) {
    let listeners = facts.host.as_ref().map(|h| &h.listeners);
    let is_known_port = |t: &&Target| ports.iter().any(|p| p.number == t.port);
    match listeners.and_then(|l| l.known()) {
        Some(listeners) => {
            let on = |t: &Target| listeners.iter().find(|l| l.port == t.port);
            let wanted: Vec<_> = targets.iter().filter(|t| !t.is_spare).collect();
            match wanted.iter().find_map(|t| on(t)) {
                // A release is what starts guanka's own arms again: this must not hold it back.
                None if facts.declared.is_some() => {
                    judgement.find(nobody(location, &wanted, ports).rated(Severity::Medium));
                }
                None => judgement.find(nobody(location, &wanted, ports)),
                Some(listener) => {
                    if let Some(found) = somebody_else(facts, location, listener) {
                        judgement.find(found);
                    }
                }
            }
        }
        None if ports.is_empty() => {
            let reason = listeners.and_then(reason_of);
            judgement.miss(
                Said::new("程序监听的端口", "the port that the program listens on"),
                reason.unwrap_or_else(|| Reason::NotThere("--root DIR".to_owned())),
            );
        }
        None => {
            if !targets.iter().any(|t| is_known_port(&t)) {
                judgement.find(elsewhere(location, targets, ports));
            }
        }
    }
}

/// Nothing listens on any port that the location uses.
fn nobody(location: &ProxyLocation<'_>, targets: &[&Target], ports: &[Port]) -> Finding {
    let named = list(targets.iter().map(|t| t.port));
    let message = Said::new(
        format!("nginx 把请求发往端口 {named},那里没有程序监听:每个请求都是 502"),
        format!("nginx sends requests to port {named} and nothing listens there: 502 each time"),
    );
    let says = Said::new(format!("通向端口 {named}"), format!("leads to port {named}"));
    let mut found = CHECK.finding(message, Evidence::at(&location.pass.span, says));
    for target in targets.iter().filter(|t| t.span != location.pass.span) {
        let says = format!("server :{}", target.port);
        found = found.with(Evidence::at(&target.span, Said::new(says.clone(), says)));
    }
    with_ports(found, ports)
}

/// The program listens on constants, and none of them is where nginx looks.
fn elsewhere(location: &ProxyLocation<'_>, targets: &[Target], ports: &[Port]) -> Finding {
    let named = list(targets.iter().map(|t| t.port));
    let own = list(ports.iter().map(|p| p.number));
    let message = Said::new(
        format!("nginx 把请求发往端口 {named},程序监听的是 {own}"),
        format!("nginx sends requests to port {named} and the program listens on {own}"),
    );
    let says = Said::new(format!("通向端口 {named}"), format!("leads to port {named}"));
    let found = CHECK.finding(message, Evidence::at(&location.pass.span, says));
    with_ports(found.sure(Confidence::Likely), ports)
}

/// A process that is not the service's listens where nginx looks.
fn somebody_else(
    facts: &Facts,
    location: &ProxyLocation<'_>,
    listener: &Listener,
) -> Option<Finding> {
    let ours = subject::running(facts);
    let pid = listener.pid?;
    if ours.is_empty() || ours.iter().any(|p| p.pid == pid || p.ports.contains(&listener.port)) {
        return None;
    }
    let program = listener.program.clone().unwrap_or_else(|| format!("pid {pid}"));
    let port = listener.port;
    let message = Said::new(
        format!("nginx 把请求发往端口 {port},在那里监听的是 {program},不是本程序"),
        format!("nginx sends requests to port {port}, where {program} listens, not this program"),
    );
    let says = Said::new(format!("通向端口 {port}"), format!("leads to port {port}"));
    let held =
        Said::new(format!("{program} 占用端口 {port}"), format!("{program} holds port {port}"));
    let found = CHECK
        .finding(message, Evidence::at(&location.pass.span, says))
        .with(Evidence::new(Provenance::Path(program), held));
    Some(found.sure(Confidence::Likely))
}

fn with_ports(finding: Finding, ports: &[Port]) -> Finding {
    ports.iter().fold(finding, |finding, port| finding.with(port.evidence.clone()))
}

/// Returns the targets on this machine; other machines cannot be looked at from here.
fn here(nginx: &Nginx, location: &ProxyLocation<'_>) -> Vec<Target> {
    let targets = proxying::targets(nginx, location);
    let mut found = Vec::new();
    if let Some((host, port)) = targets.direct
        && proxying::is_loopback(host)
    {
        found.push(Target { port, span: location.pass.span.clone(), is_spare: false });
    }
    for upstream in targets.upstreams {
        for (line, host, port) in proxying::servers_of(upstream) {
            if proxying::is_loopback(host) {
                let is_spare = line.args.iter().any(|a| a == "backup" || a == "down");
                found.push(Target { port, span: line.span.clone(), is_spare });
            }
        }
    }
    found
}

fn list(ports: impl Iterator<Item = u16>) -> String {
    let ports: std::collections::BTreeSet<u16> = ports.collect();
    ports.iter().map(u16::to_string).collect::<Vec<_>>().join(", ")
}

const ON_8080: &str = r#"package main

import (
	"log"
	"net/http"
)

func main() {
	log.Fatal(http.ListenAndServe("127.0.0.1:8080", nil))
}
"#;

const TWO_PORTS: &str = r#"package main

import (
	"log"
	"net/http"
)

func main() {
	go func() { log.Fatal(http.ListenAndServe("127.0.0.1:9090", nil)) }()
	log.Fatal(http.ListenAndServe("127.0.0.1:8080", nil))
}
"#;

const TO_8081: &str = r#"http {
    server {
        listen 80;
        location / {
            proxy_pass http://127.0.0.1:8081;
        }
    }
}
"#;

const TO_8080: &str = r#"http {
    server {
        listen 80;
        location / {
            proxy_pass http://127.0.0.1:8080;
        }
    }
}
"#;

const EXAMPLES: &[Example] = &[
    Example { expect: Expect::Bad, files: &[("main.go", ON_8080), ("nginx.conf", TO_8081)] },
    Example { expect: Expect::Good, files: &[("main.go", ON_8080), ("nginx.conf", TO_8080)] },
    Example { expect: Expect::NearMiss, files: &[("main.go", TWO_PORTS), ("nginx.conf", TO_8080)] },
    Example { expect: Expect::Unknown, files: &[("nginx.conf", TO_8080)] },
];
