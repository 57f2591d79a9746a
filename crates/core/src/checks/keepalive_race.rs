//! XX034: Go closes an idle connection before nginx does, so nginx sends a request into a
//! connection that is being closed. Which connections nginx keeps depends on its version.

mod examples;

use super::defaults::{self, Version};
use super::judgement::{Judgement, from_of, reason_of};
use super::{Check, Missing, Outcome, proxying, subject};
use crate::facts::declared::Declared;
use crate::facts::gosource::GoServer;
use crate::facts::nginx::{Directive, Nginx, NginxVersion, ProxyLocation, duration, parse_time};
use crate::facts::{Fact, Facts, Provenance, Reason};
use crate::finding::{Checkpoint, Confidence, Evidence, FixKind, Severity};
use crate::quantity::Millis;
use crate::say::{Said, Text};

/// The check.
pub const CHECK: Check = Check {
    code: "XX034",
    name: "keepalive-race",
    checkpoint: Checkpoint::Proxy,
    title: Text {
        zh: "Go 比 nginx 先关闭空闲连接",
        en: "Go closes idle connections before nginx does",
    },
    why: Text {
        zh: "nginx 会把请求发进 Go 正在关闭的连接;非幂等请求不会重试,用户得到 502。实测 nginx \
             1.22、POST 间隔约 1 秒:IdleTimeout 1 秒时 1500 次中 6 次 502,90 秒时 0 次。未写 \
             IdleTimeout 时 Go 用 ReadTimeout 代替。",
        en: "nginx sends a request into a connection that Go is closing; a request that is not \
             idempotent is not repeated, and the user gets 502. Measured with nginx 1.22 and \
             POSTs about 1 s apart: 6 of 1,500 with IdleTimeout 1 s, 0 of 1,500 with 90 s. \
             Without IdleTimeout Go uses ReadTimeout in its place.",
    },
    fix: Text {
        zh: "让 IdleTimeout 大于 nginx upstream 的 keepalive_timeout,例如 75 秒对 60 秒;或调低 \
             nginx 一侧。",
        en: "Make IdleTimeout longer than nginx's upstream keepalive_timeout, say 75 s against 60 \
             s; or lower nginx's side.",
    },
    base: Severity::High,
    confidence: Confidence::Certain,
    fix_kind: FixKind::Risky,
    why_risky: Text {
        zh: "空闲连接会保留更久,连接数和文件描述符随之增加。",
        en: "Idle connections stay longer, so there are more of them and more file descriptors.",
    },
    is_required: true,
    since: "0.1.0",
    article: Text {
        zh: "文章要求 IdleTimeout 不小于 fail_timeout,否则“connection refused”。这个数字不对:关闭\
             空闲连接不会关闭监听;真正要比较的是 upstream 的 keepalive_timeout(默认 60 秒)。",
        en: "The article wants IdleTimeout not below fail_timeout, else \"connection refused\". \
             That is the wrong number: closing idle connections does not close the listener. What \
             counts is the upstream's keepalive_timeout (60 s by default).",
    },
    references: &[
        "https://pkg.go.dev/net/http#Server",
        "https://nginx.org/en/docs/http/ngx_http_upstream_module.html#keepalive_timeout",
    ],
    examples: examples::EXAMPLES,
    run,
};

/// What an upstream does with connections between requests.
enum Keeps {
    /// It keeps them this long.
    For(Fact<Millis>),
    /// It closes them after each request.
    No,
    /// It could not be told.
    Unclear(Missing),
}

/// One place on the nginx side that keeps connections, and for how long.
struct Keeper {
    limit: Millis,
    evidence: Vec<Evidence>,
}

fn run(facts: &Facts) -> Outcome {
    let mut judgement = Judgement::default();
    let servers = subject::servers(facts);
    if servers.is_empty() {
        return judgement.end();
    }
    judgement.looked();
    if servers.iter().all(|(_, server)| matches!(idle_limit(server), Ok(None))) {
        return judgement.end();
    }
    let keepers = keepers(facts, &mut judgement);
    for (_, server) in servers {
        match idle_limit(server) {
            Ok(None) => {}
            Err(missing) if !keepers.is_empty() => judgement.missing(*missing),
            Err(_) => {}
            Ok(Some((limit, evidence))) => {
                let racing: Vec<_> = keepers.iter().filter(|k| limit <= k.limit).collect();
                if !racing.is_empty() {
                    judgement.find(finding(limit, evidence, &racing));
                }
            }
        }
    }
    judgement.end()
}

fn finding(limit: Millis, evidence: Evidence, racing: &[&Keeper]) -> crate::finding::Finding {
    let longest = racing.iter().map(|k| k.limit).max().unwrap_or_default();
    // A quarter more, in whole steps of five seconds: 75 s for nginx's 60 s.
    let wanted = Millis((longest.0 + longest.0.div_ceil(4)).div_ceil(5000) * 5000);
    let message = Said::new(
        format!("Go 在空闲 {limit} 后关闭连接,nginx 把它保留 {longest}:复用的连接会得到 502"),
        format!(
            "Go closes a connection after {limit} idle and nginx keeps it for {longest}: reused \
             connections get 502"
        ),
    );
    let mut finding = CHECK.finding(message, evidence).advise(Said::new(
        format!("设 IdleTimeout 为 {wanted} 或更长,或把 nginx 一侧的保留时间降到 {limit} 以下"),
        format!("Set IdleTimeout to {wanted} or more, or keep connections in nginx below {limit}"),
    ));
    for keeper in racing {
        for evidence in &keeper.evidence {
            finding = finding.with(evidence.clone());
        }
    }
    finding
}

/// Returns how long Go keeps an idle connection and where that is said, `None` for ever.
fn idle_limit(server: &GoServer) -> Result<Option<(Millis, Evidence)>, Box<Missing>> {
    let here = Provenance::Span(server.span.clone());
    let missing = |name: &str, reason| Box::new(Missing { what: Said::new(name, name), reason });
    if let Some(reason) = reason_of(&server.idle_timeout) {
        return Err(missing("IdleTimeout", reason));
    }
    let idle = server.idle_timeout.known().copied().unwrap_or_default();
    if idle > Millis::ZERO {
        let says = format!("IdleTimeout = {idle}");
        let from = from_of(&server.idle_timeout, &here);
        return Ok(Some((idle, Evidence::new(from, Said::new(says.clone(), says)))));
    }
    if let Some(reason) = reason_of(&server.read_timeout) {
        return Err(missing("ReadTimeout", reason));
    }
    let read = server.read_timeout.known().copied().unwrap_or_default();
    if read == Millis::ZERO {
        return Ok(None);
    }
    let says = Said::new(
        format!("没有 IdleTimeout,空闲上限即 ReadTimeout = {read}"),
        format!("no IdleTimeout, so the idle limit is ReadTimeout = {read}"),
    );
    Ok(Some((read, Evidence::new(from_of(&server.read_timeout, &here), says))))
}

/// Returns every place on the nginx side that keeps connections to the service.
fn keepers(facts: &Facts, judgement: &mut Judgement) -> Vec<Keeper> {
    let side = proxying::of(facts);
    let declared = side.rendered.or(side.renewed);
    let mut found: Vec<Keeper> = declared.map(rendered).into_iter().collect();
    if let Some(missing) = side.unclear {
        judgement.missing(missing);
    }
    let Some(nginx) = &facts.nginx else {
        if found.is_empty() {
            judgement.miss(
                Said::new("nginx 的 keepalive_timeout", "nginx's keepalive_timeout"),
                Reason::NotThere("--root DIR / guanka.toml".to_owned()),
            );
        }
        return found;
    };
    judgement.need_all_includes(nginx);
    if side.renewed.is_some() {
        return found;
    }
    for location in &side.locations {
        let targets = proxying::targets(nginx, location);
        for upstream in &targets.upstreams {
            match keeps(nginx, location, Some(upstream)) {
                Keeps::No => {}
                Keeps::Unclear(missing) => judgement.missing(missing),
                Keeps::For(limit) => {
                    let what =
                        Said::new("upstream keepalive_timeout", "upstream keepalive_timeout");
                    if judgement.need(&limit, &what).is_some() {
                        found.push(keeper(location, upstream, &limit));
                    }
                }
            }
        }
        if targets.upstreams.is_empty()
            && let Keeps::Unclear(missing) = keeps(nginx, location, None)
        {
            judgement.missing(missing);
        }
    }
    found
}

/// Returns what guanka will render at the next release.
fn rendered(declared: &Declared) -> Keeper {
    let limit = declared.proxy.keepalive;
    let from = match declared.spans.get("proxy.keepalive") {
        Some(span) => Provenance::Span(span.clone()),
        None => Provenance::Default {
            software: "guanka.toml".to_owned(),
            key: "proxy.keepalive".to_owned(),
        },
    };
    let says = Said::new(
        format!("guanka 将生成 keepalive_timeout {limit}"),
        format!("guanka will render keepalive_timeout {limit}"),
    );
    Keeper { limit, evidence: vec![Evidence::new(from, says)] }
}

fn keeper(location: &ProxyLocation<'_>, upstream: &Directive, limit: &Fact<Millis>) -> Keeper {
    let value = limit.known().copied().unwrap_or_default();
    let name = upstream.text();
    let mut evidence = vec![Evidence::at(
        &location.pass.span,
        Said::new(format!("请求经此进入 upstream {name}"), format!("leads to upstream {name}")),
    )];
    let own = upstream.inner().iter().rev().find(|d| d.name == "keepalive");
    let newest = Some((u32::MAX, 0, 0));
    let source = defaults::row("nginx", newest, "upstream keepalive")
        .map_or_else(String::new, |row| format!(" ({})", row.source));
    evidence.push(match own {
        Some(directive) => Evidence::at(
            &directive.span,
            Said::new("nginx 保留到程序的连接", "nginx keeps connections to the program"),
        ),
        None => Evidence::at(
            &upstream.span,
            Said::new(
                format!("nginx 自 1.29.7 起默认保留到程序的连接{source}"),
                format!("since 1.29.7 nginx keeps connections by default{source}"),
            ),
        ),
    });
    let says = if limit.is_written() {
        Said::new(format!("keepalive_timeout = {value}"), format!("keepalive_timeout = {value}"))
    } else {
        Said::new(
            format!("未写 keepalive_timeout,默认 {value}"),
            format!("no keepalive_timeout, {value} by default"),
        )
    };
    evidence.push(Evidence::new(from_of(limit, &Provenance::Span(upstream.span.clone())), says));
    Keeper { limit: value, evidence }
}

/// Tells whether nginx keeps connections; a version that is not known is asked at both ends.
fn keeps(nginx: &Nginx, location: &ProxyLocation<'_>, upstream: Option<&Directive>) -> Keeps {
    let (old, new): (Version, Version) = ((1, 0, 0), (u32::MAX, 0, 0));
    let ask = |version: Version| keeps_in(version, nginx, location, upstream);
    match &nginx.version {
        Fact::Known(known) => ask(counted(&known.value)),
        Fact::Unknown(reason) => match (ask(old), ask(new)) {
            (Keeps::No, Keeps::No) => Keeps::No,
            (Keeps::For(limit), Keeps::For(_)) => Keeps::For(limit),
            _ => Keeps::Unclear(Missing {
                what: Said::new("nginx 的版本", "the version of nginx"),
                reason: reason.clone(),
            }),
        },
        Fact::Conflict(_) => Keeps::Unclear(Missing {
            what: Said::new("nginx 的版本", "the version of nginx"),
            reason: Reason::NotThere("nginx -V".to_owned()),
        }),
    }
}

/// Returns the version by nginx's own count: Tengine counts by itself and builds on older ones.
fn counted(version: &NginxVersion) -> Version {
    if version.flavour == "tengine" { (1, 24, 0) } else { version.number }
}

fn keeps_in(
    version: Version,
    nginx: &Nginx,
    location: &ProxyLocation<'_>,
    upstream: Option<&Directive>,
) -> Keeps {
    let by_default = |key: &str| defaults::row("nginx", Some(version), key).map_or("", |r| r.value);
    let Some(upstream) = upstream else {
        // Without an upstream block old versions keep nothing; of new ones that is not proven yet.
        return if by_default("upstream keepalive") == "0" {
            Keeps::No
        } else {
            Keeps::Unclear(Missing {
                what: Said::new(
                    "新版 nginx 对没有 upstream 块的 proxy_pass 是否保留连接",
                    "whether new nginx keeps connections of a proxy_pass without an upstream block",
                ),
                reason: Reason::OutsideOurSight(location.pass.text()),
            })
        };
    };
    let own = upstream.inner().iter().rev().find(|d| d.name == "keepalive");
    let kept = own.and_then(|d| d.args.first()).map(String::as_str);
    if kept.unwrap_or(by_default("upstream keepalive")) == "0" {
        return Keeps::No;
    }
    let spoken = location.effective("proxy_http_version").and_then(|d| d.args.first());
    if spoken.map_or(by_default("proxy_http_version"), String::as_str) == "1.0" {
        return Keeps::No;
    }
    match connection(nginx, location, by_default("proxy_set_header Connection")) {
        Ok(false) => return Keeps::No,
        Ok(true) => {}
        Err(missing) => return Keeps::Unclear(*missing),
    }
    let own = upstream.inner().iter().rev().find(|d| d.name == "keepalive_timeout");
    let key = "upstream keepalive_timeout";
    let limit = match own {
        Some(_) => duration(own, key, 0),
        None => match parse_time(by_default(key)) {
            Some(limit) => Fact::default_of(limit, "nginx", key),
            None => Fact::Unknown(Reason::NotThere(key.to_owned())),
        },
    };
    match limit {
        Fact::Known(found) if found.value == Millis::ZERO => Keeps::No,
        limit => Keeps::For(limit),
    }
}

/// Tells whether the Connection header that nginx sends lets a connection live on.
fn connection(
    nginx: &Nginx,
    location: &ProxyLocation<'_>,
    default: &str,
) -> Result<bool, Box<Missing>> {
    let header = location
        .headers()
        .into_iter()
        .find(|d| d.args.first().is_some_and(|name| name.eq_ignore_ascii_case("connection")));
    let value = header.and_then(|d| d.args.get(1)).map_or(default, String::as_str);
    let lives = |text: &str| text.is_empty() || text.eq_ignore_ascii_case("keep-alive");
    let Some(variable) = value.strip_prefix('$') else { return Ok(lives(value)) };
    let map = nginx.http().iter().find(|d| {
        d.name == "map" && d.args.get(1).is_some_and(|v| v.trim_start_matches('$') == variable)
    });
    match map {
        // An ordinary request has no Upgrade header; its entry is the empty one, else the default.
        Some(map) => {
            let entry = |name: &str| map.inner().iter().find(|d| d.name == name);
            let chosen = entry("").or_else(|| entry("default"));
            let text = chosen.and_then(|d| d.args.first()).map_or("", String::as_str);
            Ok(lives(text))
        }
        None => Err(Box::new(Missing {
            what: Said::new(
                format!("Connection 头 {value}"),
                format!("the Connection header {value}"),
            ),
            reason: Reason::NotConstant {
                what: value.to_owned(),
                span: location.pass.span.clone(),
            },
        })),
    }
}
