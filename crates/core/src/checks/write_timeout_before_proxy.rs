//! XX035: Go's WriteTimeout ends an answer before nginx loses patience, so the user gets 502 and
//! not 504. How bad that is depends on how long a handler may take.

use super::judgement::{Judgement, from_of};
use super::{Check, Example, Expect, Outcome, proxying, subject};
use crate::facts::gosource::{GoHandler, GoRoute, GoServer};
use crate::facts::{Fact, Facts, Provenance, Reason, Span};
use crate::finding::{Checkpoint, Confidence, Evidence, Finding, FixKind, Severity};
use crate::quantity::Millis;
use crate::say::{Said, Text};

/// The check.
pub const CHECK: Check = Check {
    code: "XX035",
    name: "write-timeout-before-proxy",
    checkpoint: Checkpoint::Proxy,
    title: Text {
        zh: "WriteTimeout 先于 nginx 的等待上限到期",
        en: "WriteTimeout ends before nginx's patience",
    },
    why: Text {
        zh: "处理超过 WriteTimeout 时连接被切断,nginx 报 502 而不是 504(实测)。它从请求头读完起按\
             绝对时间计算,SSE 等长响应到点即断。",
        en: "A handler that takes longer than WriteTimeout is cut off and nginx answers 502, not \
             504 (measured). It counts absolutely from the end of the request's headers; streams \
             such as SSE end when it does.",
    },
    fix: Text {
        zh: "按此顺序设置:处理时限 < proxy_read_timeout < WriteTimeout;流式路由用 \
             http.ResponseController.SetWriteDeadline 单独放宽。",
        en: "Keep this order: handler's limit < proxy_read_timeout < WriteTimeout; give streams \
             their own limit with http.ResponseController.SetWriteDeadline.",
    },
    base: Severity::High,
    confidence: Confidence::Certain,
    fix_kind: FixKind::Risky,
    why_risky: Text {
        zh: "更长的 WriteTimeout 让慢客户端占用连接更久。",
        en: "With a longer WriteTimeout a slow client holds its connection longer.",
    },
    is_required: true,
    since: "0.1.0",
    article: Text {
        zh: "文章让 WriteTimeout 与 proxy_read_timeout 相等。两者是不同的时钟:Go 从请求头结束起绝\
             对计时,nginx 计两次读之间的间隔;WriteTimeout 先到就是 502。",
        en: "The article makes WriteTimeout equal to proxy_read_timeout. They are different \
             clocks: Go's is absolute from the end of the headers, nginx's runs between two \
             reads. When WriteTimeout comes first the answer is 502.",
    },
    references: &[
        "https://pkg.go.dev/net/http#Server",
        "https://nginx.org/en/docs/http/ngx_http_proxy_module.html#proxy_read_timeout",
    ],
    examples: EXAMPLES,
    run,
};

/// nginx's patience at one place.
struct Patience {
    limit: Millis,
    evidence: Evidence,
}

fn run(facts: &Facts) -> Outcome {
    let mut judgement = Judgement::default();
    let servers = subject::servers(facts);
    let what = Said::new("WriteTimeout", "WriteTimeout");
    let mut limited = Vec::new();
    for (index, server) in &servers {
        judgement.looked();
        match judgement.need(&server.write_timeout, &what) {
            Some(limit) if *limit > Millis::ZERO => limited.push((*index, *server, *limit)),
            Some(_) | None => {}
        }
    }
    if limited.is_empty() {
        return judgement.end();
    }
    let patience = patience(facts, &mut judgement);
    for (index, server, limit) in limited {
        judge(facts, server, limit, index, &patience, &mut judgement);
    }
    judgement.end()
}

fn judge(
    facts: &Facts,
    server: &GoServer,
    limit: Millis,
    index: usize,
    patience: &[Patience],
    judgement: &mut Judgement,
) {
    let here = from_of(&server.write_timeout, &Provenance::Span(server.span.clone()));
    let says = format!("WriteTimeout = {limit}");
    let write = Evidence::new(here, Said::new(says.clone(), says));
    let mut is_found = false;
    for route in routes(facts, server, index) {
        let name = route_name(route);
        if let Some((severity, confidence, span)) = cut_stream(facts, route) {
            let message = Said::new(
                format!("{name} 是流式响应,WriteTimeout {limit} 到点切断"),
                format!("{name} streams, and WriteTimeout {limit} cuts it off"),
            );
            let says = Said::new(format!("{name} 持续发送"), format!("{name} keeps sending"));
            let found = CHECK.finding(message, write.clone()).rated(severity).sure(confidence);
            judgement.find(with_patience(found.with(Evidence::at(span, says)), patience));
            is_found = true;
        }
        let Some(longest) = &route.longest else { continue };
        let what = Said::new(format!("{name} 的处理时限"), format!("how long {name} may take"));
        if let Some(time) = judgement.need(longest, &what).filter(|time| **time >= limit) {
            let message = Said::new(
                format!("{name} 可能用时 {time},WriteTimeout {limit} 先到:用户得到 502"),
                format!("{name} may take {time} and WriteTimeout {limit} ends first: 502"),
            );
            let says =
                Said::new(format!("{name} 可能用时 {time}"), format!("{name} may take {time}"));
            let place = from_of(longest, &Provenance::Span(route.span.clone()));
            let found = CHECK.finding(message, write.clone()).with(Evidence::new(place, says));
            judgement.find(with_patience(found, patience));
            is_found = true;
        }
    }
    let early: Vec<_> = patience.iter().filter(|p| limit <= p.limit).collect();
    if let Some(first) = early.first().filter(|_| !is_found) {
        judgement.find(order_only(limit, write, first));
    }
}

/// The order is wrong and no handler is known to be that slow: worth knowing, never blocking.
fn order_only(limit: Millis, write: Evidence, patience: &Patience) -> Finding {
    let longest = patience.limit;
    let message = Said::new(
        format!(
            "WriteTimeout {limit} 不大于 nginx 的 {longest}:慢于 {limit} 的处理得到 502 而非 504"
        ),
        format!(
            "WriteTimeout {limit} is not above nginx's {longest}: a handler slower than {limit} \
             gets 502, not 504"
        ),
    );
    CHECK.finding(message, write).rated(Severity::Low).with(patience.evidence.clone())
}

fn with_patience(finding: Finding, patience: &[Patience]) -> Finding {
    patience.iter().fold(finding, |finding, p| finding.with(p.evidence.clone()))
}

/// Returns nginx's patience at every place that leads to the service.
fn patience(facts: &Facts, judgement: &mut Judgement) -> Vec<Patience> {
    let side = proxying::of(facts);
    let mut found = Vec::new();
    if let Some(declared) = side.rendered.or(side.renewed) {
        let limit = declared.proxy.read_timeout;
        let from = match declared.spans.get("proxy.read_timeout") {
            Some(span) => Provenance::Span(span.clone()),
            None => Provenance::Default {
                software: "guanka.toml".to_owned(),
                key: "proxy.read_timeout".to_owned(),
            },
        };
        let says = Said::new(
            format!("guanka 将生成 proxy_read_timeout {limit}"),
            format!("guanka will render proxy_read_timeout {limit}"),
        );
        found.push(Patience { limit, evidence: Evidence::new(from, says) });
    }
    if let Some(missing) = side.unclear {
        judgement.missing(missing);
    }
    if facts.nginx.is_none() && found.is_empty() {
        judgement.miss(
            Said::new("nginx 的 proxy_read_timeout", "nginx's proxy_read_timeout"),
            Reason::NotThere("--root DIR / guanka.toml".to_owned()),
        );
    }
    if side.renewed.is_some() {
        return found;
    }
    for location in &side.locations {
        let limit = location.read_timeout();
        let what = Said::new("proxy_read_timeout", "proxy_read_timeout");
        let Some(value) = judgement.need(&limit, &what).copied() else { continue };
        let evidence = match &limit {
            Fact::Known(known) if limit.is_written() => Evidence::new(
                known.from.clone(),
                Said::new(
                    format!("proxy_read_timeout = {value}"),
                    format!("proxy_read_timeout = {value}"),
                ),
            ),
            _ => Evidence::at(
                &location.pass.span,
                Said::new(
                    format!("未写 proxy_read_timeout,默认 {value}"),
                    format!("no proxy_read_timeout, {value} by default"),
                ),
            ),
        };
        found.push(Patience { limit: value, evidence });
    }
    found
}

/// Returns the routes that a server serves: all of them when it is the only one, else those whose
/// mux its handler names.
fn routes<'a>(facts: &'a Facts, server: &GoServer, index: usize) -> Vec<&'a GoRoute> {
    let servers = subject::servers(facts);
    let is_only = servers.len() == 1 && servers.iter().all(|(i, _)| *i == index);
    let all = facts.source.iter().flat_map(|s| s.routes.iter());
    all.filter(|route| subject::is_ours(facts, &route.folder))
        .filter(|route| {
            is_only
                || match &server.handler {
                    GoHandler::DefaultMux => route.mux == "http",
                    GoHandler::Own(text) => subject::words(text).any(|w| w == route.mux),
                }
        })
        .collect()
}

fn route_name(route: &GoRoute) -> String {
    match &route.method {
        Some(method) => format!("{method} {}", route.pattern),
        None => route.pattern.clone(),
    }
}

/// Returns how bad WriteTimeout is for a route that streams. An event stream lives long by its
/// nature; a flush alone may be one long page. A hijacked connection (WebSocket) has no deadline
/// any more, and a handler that sets its own is safe.
fn cut_stream<'a>(facts: &Facts, route: &'a GoRoute) -> Option<(Severity, Confidence, &'a Span)> {
    let span = route.streams.as_ref()?;
    let calls = facts.source.iter().flat_map(|s| s.calls.iter());
    let sets_own = calls
        .into_iter()
        .any(|c| c.folder == route.folder && c.name.ends_with(".SetWriteDeadline"));
    let says = |word: &str| span.excerpt.contains(word);
    if sets_own || says("Hijack") || says("Upgrade") || says("websocket") {
        return None;
    }
    if says("event-stream") || says("SSEvent") {
        Some((Severity::High, Confidence::Likely, span))
    } else {
        Some((Severity::Medium, Confidence::Guess, span))
    }
}

const SLOW_HANDLER: &str = r#"package main

import (
	"net/http"
	"time"
)

func report(w http.ResponseWriter, r *http.Request) {
	time.Sleep(20 * time.Second)
	w.Write([]byte("done"))
}

func main() {
	mux := http.NewServeMux()
	mux.HandleFunc("/report", report)
	srv := &http.Server{
		Addr:         "127.0.0.1:8080",
		Handler:      mux,
		WriteTimeout: 10 * time.Second,
	}
	if err := srv.ListenAndServe(); err != nil {
		panic(err)
	}
}
"#;

const BOUND_HANDLER: &str = r#"package main

import (
	"context"
	"net/http"
	"time"
)

func report(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), 5*time.Second)
	defer cancel()
	<-ctx.Done()
}

func main() {
	mux := http.NewServeMux()
	mux.HandleFunc("/report", report)
	srv := &http.Server{
		Addr:         "127.0.0.1:8080",
		Handler:      mux,
		WriteTimeout: 70 * time.Second,
	}
	if err := srv.ListenAndServe(); err != nil {
		panic(err)
	}
}
"#;

const WITHOUT_WRITE_TIMEOUT: &str = r#"package main

import (
	"net/http"
	"time"
)

func report(w http.ResponseWriter, r *http.Request) {
	time.Sleep(20 * time.Second)
	w.Write([]byte("done"))
}

func main() {
	http.HandleFunc("/report", report)
	srv := &http.Server{Addr: "127.0.0.1:8080", ReadHeaderTimeout: 5 * time.Second}
	if err := srv.ListenAndServe(); err != nil {
		panic(err)
	}
}
"#;

const EVENTS: &str = r#"package main

import (
	"net/http"
	"time"
)

func events(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	for range time.Tick(time.Second) {
		w.Write([]byte("data: tick\n\n"))
		w.(http.Flusher).Flush()
	}
}

func main() {
	mux := http.NewServeMux()
	mux.HandleFunc("/events", events)
	srv := &http.Server{
		Addr:         "127.0.0.1:8080",
		Handler:      mux,
		WriteTimeout: 90 * time.Second,
	}
	if err := srv.ListenAndServe(); err != nil {
		panic(err)
	}
}
"#;

const EVENTS_WITH_OWN_LIMIT: &str = r#"package main

import (
	"net/http"
	"time"
)

func events(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	rc := http.NewResponseController(w)
	for range time.Tick(time.Second) {
		rc.SetWriteDeadline(time.Now().Add(5 * time.Second))
		w.Write([]byte("data: tick\n\n"))
		rc.Flush()
	}
}

func main() {
	mux := http.NewServeMux()
	mux.HandleFunc("/events", events)
	srv := &http.Server{
		Addr:         "127.0.0.1:8080",
		Handler:      mux,
		WriteTimeout: 90 * time.Second,
	}
	if err := srv.ListenAndServe(); err != nil {
		panic(err)
	}
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
    Example { expect: Expect::Bad, files: &[("main.go", SLOW_HANDLER), ("nginx.conf", NGINX)] },
    Example { expect: Expect::Bad, files: &[("main.go", EVENTS), ("nginx.conf", NGINX)] },
    Example {
        expect: Expect::NearMiss,
        files: &[("main.go", EVENTS_WITH_OWN_LIMIT), ("nginx.conf", NGINX)],
    },
    Example { expect: Expect::Good, files: &[("main.go", BOUND_HANDLER), ("nginx.conf", NGINX)] },
    Example {
        expect: Expect::NearMiss,
        files: &[("main.go", WITHOUT_WRITE_TIMEOUT), ("nginx.conf", NGINX)],
    },
];
