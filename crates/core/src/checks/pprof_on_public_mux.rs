//! PP063: the profiler's routes stand on a mux that the public reaches. How bad that is depends on
//! how far the listener can be reached.

use super::judgement::Judgement;
use super::{Check, Example, Expect, Outcome, proxying, subject};
use crate::facts::gosource::{GoHandler, GoListen, GoSource};
use crate::facts::nginx::ProxyLocation;
use crate::facts::{Fact, Facts, Span};
use crate::finding::{Checkpoint, Confidence, Evidence, Exposure, Finding, FixKind, Severity};
use crate::say::{Said, Text};

/// The check.
pub const CHECK: Check = Check {
    code: "PP063",
    name: "pprof-on-public-mux",
    checkpoint: Checkpoint::Security,
    title: Text {
        zh: "pprof 在对外的 mux 上",
        en: "pprof stands on a mux that the public reaches",
    },
    why: Text {
        zh: "任何够得到它的人都能下载堆与协程内容,或用 profile 拖慢进程。导入 net/http/pprof 即把 \
             /debug/pprof/ 注册到 DefaultServeMux,nil 处理器提供的就是它。",
        en: "Whoever reaches it can download heap and goroutine contents, or slow the process \
             with profiles. Importing net/http/pprof registers /debug/pprof/ on DefaultServeMux, \
             which is what a nil handler serves.",
    },
    fix: Text {
        zh: "对外服务用自己的 mux,pprof 单独监听 127.0.0.1 的另一个端口。",
        en: "Serve the public from a mux of your own, and pprof from another loopback port.",
    },
    base: Severity::High,
    confidence: Confidence::Certain,
    fix_kind: FixKind::Risky,
    why_risky: Text {
        zh: "其他注册在 DefaultServeMux 上的路由也会随之消失。",
        en: "Other routes registered on DefaultServeMux go away with it.",
    },
    is_required: true,
    since: "0.1.0",
    article: Text {
        zh: "文章说 Go“默认启用” pprof。不对:只有导入 net/http/pprof 且对外提供 DefaultServeMux 时\
             才暴露。",
        en: "The article says that Go \"enables pprof by default\". It does not: only with the \
             import, and only when DefaultServeMux is what is served.",
    },
    references: &["https://pkg.go.dev/net/http/pprof"],
    examples: EXAMPLES,
    run,
};

fn run(facts: &Facts) -> Outcome {
    let mut judgement = Judgement::default();
    let Some(source) = &facts.source else { return judgement.end() };
    let listens = subject::listens(facts);
    if listens.is_empty() {
        return judgement.end();
    }
    judgement.looked();
    for listen in listens {
        let Some(handler) = handler_of(source, listen) else { continue };
        let Some((span, says)) = registered(facts, source, listen, handler) else { continue };
        judgement.find(finding(facts, listen, Evidence::at(span, says)));
    }
    judgement.end()
}

fn finding(facts: &Facts, listen: &GoListen, registered: Evidence) -> Finding {
    let (exposure, way) = exposure(facts, listen);
    let severity = match exposure {
        Exposure::Loopback => Severity::Info,
        Exposure::GuardedProxy => Severity::Low,
        Exposure::Private => Severity::Medium,
        Exposure::Filtered | Exposure::Unknown => Severity::High,
        Exposure::Public => Severity::Critical,
    };
    let how_far = exposure.title();
    let message = Said::new(
        format!("{} 提供 /debug/pprof/,可达范围:{}", listen.call, how_far.zh),
        format!("{} serves /debug/pprof/; reached from: {}", listen.call, how_far.en),
    );
    let says = match &listen.addr {
        Fact::Known(addr) => {
            Said::new(format!("监听 {}", addr.value), format!("listens on {}", addr.value))
        }
        _ => Said::new("监听地址在运行时决定", "the address is decided at run time"),
    };
    let found = CHECK
        .finding(message, Evidence::at(&listen.span, says))
        .with(registered)
        .rated(severity)
        .exposed(exposure);
    way.into_iter().fold(found, Finding::with)
}

/// Returns the handler that a listening call serves.
fn handler_of<'a>(source: &'a GoSource, listen: &'a GoListen) -> Option<&'a GoHandler> {
    let of_server = listen.server.and_then(|index| source.servers.get(index)).map(|s| &s.handler);
    of_server.or(listen.handler.as_ref())
}

/// Returns where the profiler's routes come onto a handler.
fn registered<'a>(
    facts: &Facts,
    source: &'a GoSource,
    listen: &GoListen,
    handler: &GoHandler,
) -> Option<(&'a Span, Said)> {
    let is_default = match handler {
        GoHandler::DefaultMux => true,
        GoHandler::Own(text) => text.contains("DefaultServeMux"),
    };
    let ours = |folder: &str| {
        subject::is_ours(facts, folder) && subject::share_a_program(source, folder, &listen.folder)
    };
    if is_default {
        let pprof = |path: &str| path == "net/http/pprof";
        let import = source.imports.iter().find(|i| pprof(&i.path) && ours(&i.folder))?;
        let says =
            Said::new("导入即注册到 DefaultServeMux", "this import registers on DefaultServeMux");
        return Some((&import.span, says));
    }
    let GoHandler::Own(text) = handler else { return None };
    let route = source.routes.iter().find(|route| {
        ours(&route.folder)
            && (route.pattern.starts_with("/debug/pprof") || route.handler.contains("pprof."))
            && subject::words(text).any(|word| word == route.mux)
    })?;
    Some((&route.span, Said::new("pprof 注册在此 mux 上", "pprof is registered on this mux")))
}

/// Returns how far a listener can be reached, and by which location when it is through nginx.
fn exposure(facts: &Facts, listen: &GoListen) -> (Exposure, Option<Evidence>) {
    let known = match &listen.addr {
        Fact::Known(addr) => Some(addr.value.as_str()),
        Fact::Unknown(_) | Fact::Conflict(_) => None,
    };
    let is_loopback = known.is_some_and(|addr| proxying::is_loopback(subject::host_of(addr)));
    if let Some(declared) = &facts.declared
        && (known.is_none() || is_loopback)
        && declared.proxy.debug.closes("/debug/pprof/")
    {
        // An arm listens where guanka says, on the loopback, and guanka's own location is proven.
        let span = declared.spans.get("proxy.domain");
        let says = Said::new(
            "guanka 在 nginx 中不对外开放此路径,安装时逐站点验证",
            "guanka closes this path in nginx and proves it at the install",
        );
        return (Exposure::GuardedProxy, span.map(|span| Evidence::at(span, says)));
    }
    if let Some(location) = through_nginx(facts, known) {
        let says = Said::new("经此 location 可达", "reached through this location");
        let evidence = Evidence::at(&location.pass.span, says);
        let is_guarded = location.effective("deny").is_some()
            || location.effective("auth_basic").is_some_and(|d| d.text() != "off");
        let exposure = if is_guarded { Exposure::GuardedProxy } else { Exposure::Public };
        // A guard in nginx does not help a port that is open beside it.
        return match (exposure, is_loopback) {
            (Exposure::GuardedProxy, false) => (Exposure::Unknown, Some(evidence)),
            (exposure, _) => (exposure, Some(evidence)),
        };
    }
    match (known, is_loopback, &facts.declared) {
        (_, true, _) => (Exposure::Loopback, None),
        // The declared address is the one that guanka's own location sends the public to.
        (None, _, Some(declared)) => {
            let span = declared.spans.get("proxy.domain");
            let says =
                Said::new("guanka 将把此域名的请求送到这里", "guanka will send this domain here");
            (Exposure::Public, span.map(|span| Evidence::at(span, says)))
        }
        _ => (Exposure::Unknown, None),
    }
}

fn through_nginx<'a>(facts: &'a Facts, addr: Option<&str>) -> Option<ProxyLocation<'a>> {
    let nginx = facts.nginx.as_ref()?;
    let side = proxying::of(facts);
    let Some(port) = addr.and_then(subject::port_of) else {
        return side.locations.into_iter().next();
    };
    nginx.proxy_locations().into_iter().find(|location| {
        let targets = proxying::targets(nginx, location);
        let direct = targets.direct.is_some_and(|(h, p)| p == port && proxying::is_loopback(h));
        let mut servers = targets.upstreams.iter().flat_map(|u| proxying::servers_of(u));
        direct || servers.any(|(_, h, p)| p == port && proxying::is_loopback(h))
    })
}

const PUBLIC: &str = r#"package main

import (
	"log"
	"net/http"
	_ "net/http/pprof"
)

func main() {
	log.Fatal(http.ListenAndServe(":8080", nil))
}
"#;

const BEHIND_NGINX: &str = r#"package main

import (
	"log"
	"net/http"
	_ "net/http/pprof"
)

func main() {
	log.Fatal(http.ListenAndServe("127.0.0.1:8080", nil))
}
"#;

const SEPARATE: &str = r#"package main

import (
	"log"
	"net/http"
)

func main() {
	mux := http.NewServeMux()
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, r *http.Request) {})
	log.Fatal(http.ListenAndServe(":8080", mux))
}
"#;

const OWN_MUX: &str = r#"package main

import (
	"log"
	"net/http"
	_ "net/http/pprof"
)

func main() {
	mux := http.NewServeMux()
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, r *http.Request) {})
	log.Fatal(http.ListenAndServe(":8080", mux))
}
"#;

const NGINX: &str = r#"http {
    server {
        listen 80;
        location / {
            proxy_pass http://127.0.0.1:8080;
        }
    }
}
"#;

const EXAMPLES: &[Example] = &[
    Example { expect: Expect::Bad, files: &[("main.go", PUBLIC)] },
    Example { expect: Expect::Bad, files: &[("main.go", BEHIND_NGINX), ("nginx.conf", NGINX)] },
    Example { expect: Expect::Good, files: &[("main.go", SEPARATE)] },
    Example { expect: Expect::NearMiss, files: &[("main.go", OWN_MUX)] },
];
