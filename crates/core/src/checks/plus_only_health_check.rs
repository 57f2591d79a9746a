//! NG030: `health_check` or `check` in an nginx that does not have it. nginx then refuses to load,
//! and with it every later reload of the panel.

use super::judgement::{Judgement, from_of};
use super::{Check, Example, Expect, Outcome};
use crate::facts::nginx::{Directive, NginxVersion};
use crate::facts::{Facts, Provenance};
use crate::finding::{Checkpoint, Confidence, Evidence, FixKind, Severity};
use crate::say::{Said, Text};

/// The check.
pub const CHECK: Check = Check {
    code: "NG030",
    name: "plus-only-health-check",
    checkpoint: Checkpoint::Proxy,
    title: Text {
        zh: "开源 nginx 没有 health_check 指令",
        en: "open-source nginx has no health_check",
    },
    why: Text {
        zh: "nginx 报 unknown directive \"health_check\" 并拒绝加载(实测 1.22,upstream 与 \
             location 均如此);此后面板的每次重载都会失败。",
        en: "nginx says unknown directive \"health_check\" and refuses to load (measured with \
             1.22, in upstream and in location); every later reload by the panel fails too.",
    },
    fix: Text {
        zh: "删掉这一行;主动探测由 guanka 的代理完成。",
        en: "Remove the line; guanka's agent probes actively instead.",
    },
    base: Severity::Critical,
    confidence: Confidence::Certain,
    fix_kind: FixKind::Risky,
    why_risky: Text {
        zh: "删掉之后没有任何探测,直到 guanka 接管。",
        en: "Without it nothing probes until guanka takes over.",
    },
    is_required: true,
    since: "0.1.0",
    article: Text {
        zh: "文章在 upstream 里写 health_check interval=5 fails=2 …。它只存在于 NGINX Plus,而且应\
             写在 location 中并需要 zone,也没有 timeout= 参数。",
        en: "The article writes health_check interval=5 fails=2 … inside upstream. It exists only \
             in NGINX Plus, belongs into a location, needs a zone, and has no timeout= parameter.",
    },
    references: &["https://nginx.org/en/docs/http/ngx_http_upstream_hc_module.html"],
    examples: EXAMPLES,
    run,
};

fn run(facts: &Facts) -> Outcome {
    let mut judgement = Judgement::default();
    let Some(nginx) = &facts.nginx else { return judgement.end() };
    judgement.looked();
    judgement.need_all_includes(nginx);
    let mut found = Vec::new();
    collect(&nginx.tree, "main", &mut found);
    if found.is_empty() {
        return judgement.end();
    }
    let what = Said::new("nginx 的版本与模块", "nginx's version and modules");
    let Some(version) = judgement.need(&nginx.version, &what) else { return judgement.end() };
    for directive in found {
        if knows(version, &directive.name) {
            continue;
        }
        let (a, b, c) = version.number;
        let built = format!("{} {a}.{b}.{c}", version.flavour);
        let name = &directive.name;
        let message = Said::new(
            format!("{built} 不认识 {name}:nginx 拒绝加载,此后每次重载都失败"),
            format!("{built} does not know {name}: nginx refuses to load, now and at each reload"),
        );
        let says = Said::new(format!("{name} 写在这里"), format!("{name} stands here"));
        let from = from_of(&nginx.version, &Provenance::Path(nginx.main_file.clone()));
        let related = Evidence::new(from, Said::new(built.clone(), built));
        judgement.find(CHECK.finding(message, Evidence::at(&directive.span, says)).with(related));
    }
    judgement.end()
}

/// Tells whether this build has the directive.
fn knows(version: &NginxVersion, directive: &str) -> bool {
    let has_module = version.modules.iter().any(|m| m.contains("upstream_check"));
    match directive {
        "health_check" => version.flavour == "nginx-plus",
        _ => has_module || version.flavour == "tengine",
    }
}

/// Gathers active checks: `health_check` anywhere under http or stream, `check` in an upstream.
fn collect<'a>(block: &'a [Directive], within: &str, found: &mut Vec<&'a Directive>) {
    for directive in block {
        match directive.name.as_str() {
            "health_check" => found.push(directive),
            "check" if within == "upstream" => found.push(directive),
            // A map's entries look like directives and are values.
            "map" | "geo" | "types" | "split_clients" => {}
            name => collect(directive.inner(), name, found),
        }
    }
}

const WITH: &str = r#"http {
    upstream go_backend {
        server 127.0.0.1:8080 max_fails=3 fail_timeout=30s;
        health_check interval=5 fails=2 passes=2 uri=/health timeout=3;
    }
}
"#;

const WITHOUT: &str = r#"http {
    upstream go_backend {
        server 127.0.0.1:8080 max_fails=3 fail_timeout=30s;
    }
}
"#;

const IN_LOCATION: &str = r#"http {
    upstream go_backend {
        zone go_backend 64k;
        server 127.0.0.1:8080;
    }
    server {
        location / {
            proxy_pass http://go_backend;
            health_check interval=5;
        }
    }
}
"#;

const PLUS: &str = "nginx version: nginx/1.25.5 (nginx-plus-r32)\n";
const STOCK: (&str, &str) = ("nginx-V.txt", "nginx version: nginx/1.22.1\n");

const EXAMPLES: &[Example] = &[
    Example { expect: Expect::Bad, files: &[("nginx.conf", WITH), STOCK] },
    Example { expect: Expect::Good, files: &[("nginx.conf", WITHOUT), STOCK] },
    Example {
        expect: Expect::NearMiss,
        files: &[("nginx.conf", IN_LOCATION), ("nginx-V.txt", PLUS)],
    },
    Example { expect: Expect::Unknown, files: &[("nginx.conf", WITH)] },
];
