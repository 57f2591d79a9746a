//! BT083: the panel's http-level `proxy_next_upstream` replays the service's 500s and 404s on its
//! other server and marks both as failed.

use super::ambient_proxy_cache::ambient;
use super::judgement::Judgement;
use super::{Check, Example, Expect, Outcome, proxying};
use crate::facts::Facts;
use crate::finding::{Checkpoint, Confidence, Evidence, FixKind, Severity};
use crate::say::{Said, Text};

/// The check.
pub const CHECK: Check = Check {
    code: "BT083",
    name: "ambient-next-upstream",
    checkpoint: Checkpoint::Proxy,
    title: Text {
        zh: "继承了会重放 5xx/404 的 proxy_next_upstream",
        en: "an inherited proxy_next_upstream replays 5xx and 404",
    },
    why: Text {
        zh: "一个 500 会在另一台服务器上重放,两台都被标记失败:先是“500, 500”,随后三次 502(实测)。\
             面板的 proxy.conf 在 http 级写了 http_500 http_503 http_404。",
        en: "One 500 is replayed on the other server and both are marked failed: \"500, 500\", \
             then three 502s (measured). The panel's proxy.conf names http_500 http_503 http_404 \
             at http level.",
    },
    fix: Text {
        zh: "在该 location 写 proxy_next_upstream error;,并以 $upstream_status 统计错误。",
        en: "Write proxy_next_upstream error; in the location, and count errors by \
             $upstream_status.",
    },
    base: Severity::High,
    confidence: Confidence::Certain,
    fix_kind: FixKind::Safe,
    why_risky: Text { zh: "", en: "" },
    is_required: true,
    since: "0.1.0",
    article: Text { zh: "", en: "" },
    references: &["https://nginx.org/en/docs/http/ngx_http_proxy_module.html#proxy_next_upstream"],
    examples: EXAMPLES,
    run,
};

fn run(facts: &Facts) -> Outcome {
    let mut judgement = Judgement::default();
    let Some(nginx) = &facts.nginx else { return judgement.end() };
    let side = proxying::of(facts);
    if let Some(missing) = side.unclear {
        judgement.missing(missing);
    }
    // Before guanka is installed its own location stands nowhere yet; it will say `error` alone.
    if side.rendered.is_some() || side.locations.is_empty() {
        return judgement.end();
    }
    judgement.looked();
    judgement.need_all_includes(nginx);
    for location in &side.locations {
        let Some(next) = ambient(location, "proxy_next_upstream") else { continue };
        let replayed: Vec<_> = next.args.iter().filter(|a| a.starts_with("http_")).collect();
        let targets = proxying::targets(nginx, location);
        let shared = targets
            .upstreams
            .iter()
            .find(|u| u.inner().iter().filter(|d| d.name == "server").count() >= 2);
        let (Some(upstream), false) = (shared, replayed.is_empty()) else { continue };
        let list = replayed.into_iter().cloned().collect::<Vec<_>>().join(" ");
        let (path, name) = (location.location.text(), upstream.text());
        let message = Said::new(
            format!(
                "location {path} 继承了 {list}:一个错误会在 {name} 的另一台上重放,两台都被摘除"
            ),
            format!(
                "location {path} inherits {list}: one error is replayed on {name}'s other server"
            ),
        );
        let says = Said::new("这里没有 proxy_next_upstream", "no proxy_next_upstream here");
        let set = Said::new(format!("http 级:{list}"), format!("at http level: {list}"));
        let many = Said::new(
            format!("upstream {name} 有两个以上服务器"),
            format!("upstream {name} has two servers or more"),
        );
        let found = CHECK
            .finding(message, Evidence::at(&location.pass.span, says))
            .with(Evidence::at(&next.span, set))
            .with(Evidence::at(&upstream.span, many));
        judgement.find(found);
    }
    judgement.end()
}

const INHERITS: &str = r#"http {
    proxy_next_upstream error timeout invalid_header http_500 http_503 http_404;
    upstream shop {
        server 127.0.0.1:8080;
        server 127.0.0.1:8081;
    }
    server {
        listen 80;
        location / {
            proxy_pass http://shop;
        }
    }
}
"#;

const OWN: &str = r#"http {
    proxy_next_upstream error timeout invalid_header http_500 http_503 http_404;
    upstream shop {
        server 127.0.0.1:8080;
        server 127.0.0.1:8081;
    }
    server {
        listen 80;
        location / {
            proxy_pass http://shop;
            proxy_next_upstream error;
        }
    }
}
"#;

const ONE_SERVER: &str = r#"http {
    proxy_next_upstream error timeout invalid_header http_500 http_503 http_404;
    upstream shop {
        server 127.0.0.1:8080;
    }
    server {
        listen 80;
        location / {
            proxy_pass http://shop;
        }
    }
}
"#;

const EXAMPLES: &[Example] = &[
    Example { expect: Expect::Bad, files: &[("nginx.conf", INHERITS)] },
    Example { expect: Expect::Good, files: &[("nginx.conf", OWN)] },
    Example { expect: Expect::NearMiss, files: &[("nginx.conf", ONE_SERVER)] },
];
