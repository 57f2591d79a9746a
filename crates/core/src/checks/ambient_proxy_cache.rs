//! BT082: the panel's http-level `proxy_cache` reaches the service's location, so answers are
//! cached that nobody meant to cache.

use super::judgement::Judgement;
use super::{Check, Example, Expect, Outcome, proxying};
use crate::facts::Facts;
use crate::facts::nginx::ProxyLocation;
use crate::finding::{Checkpoint, Confidence, Evidence, FixKind, Severity};
use crate::say::{Said, Text};

/// The check.
pub const CHECK: Check = Check {
    code: "BT082",
    name: "ambient-proxy-cache",
    checkpoint: Checkpoint::Proxy,
    title: Text {
        zh: "继承了 http 级的 proxy_cache",
        en: "the http level's proxy_cache is inherited",
    },
    why: Text {
        zh: "没人打算缓存的响应会被缓存,个人数据可能串给别人。面板的 proxy.conf 在 http 级打开 \
             proxy_cache cache_one;带 Cache-Control: max-age=60 的响应在没有任何设置的站点上被缓存\
             (MISS、HIT、HIT,实测)。默认的键不含 Host 与 Authorization。",
        en: "Answers are cached that nobody meant to cache, and one user's may reach another. The \
             panel's proxy.conf sets proxy_cache cache_one at http level; an answer with \
             Cache-Control: max-age=60 was cached with nothing switched on (MISS, HIT, HIT; \
             measured). The default key has neither Host nor Authorization.",
    },
    fix: Text {
        zh: "在该 location 写 proxy_cache off;(实测有效)。",
        en: "Write proxy_cache off; in the location (measured to cure).",
    },
    base: Severity::High,
    confidence: Confidence::Certain,
    fix_kind: FixKind::Safe,
    why_risky: Text { zh: "", en: "" },
    is_required: true,
    since: "0.1.0",
    article: Text { zh: "", en: "" },
    references: &["https://nginx.org/en/docs/http/ngx_http_proxy_module.html#proxy_cache"],
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
    // Before guanka is installed its own location stands nowhere yet; it will switch the cache off.
    if side.rendered.is_some() || side.locations.is_empty() {
        return judgement.end();
    }
    judgement.looked();
    judgement.need_all_includes(nginx);
    for location in &side.locations {
        let Some(cache) = ambient(location, "proxy_cache") else { continue };
        if cache.args.first().is_none_or(|zone| zone == "off") || is_never_stored(location) {
            continue;
        }
        let zone = cache.text();
        let path = location.location.text();
        let message = Said::new(
            format!("location {path} 继承了 http 级的 proxy_cache {zone}:响应会被缓存"),
            format!(
                "location {path} inherits proxy_cache {zone} from http level: answers are cached"
            ),
        );
        let says = Said::new("这里没有 proxy_cache off", "no proxy_cache off here");
        let set = Said::new(
            format!("proxy_cache {zone} 在 http 级"),
            format!("proxy_cache {zone} at http level"),
        );
        let found = CHECK.finding(message, Evidence::at(&location.pass.span, says));
        judgement.find(found.with(Evidence::at(&cache.span, set)));
    }
    judgement.end()
}

/// Returns the directive that reaches a location from the http level, if nothing nearer sets it.
pub(super) fn ambient<'a>(
    location: &ProxyLocation<'a>,
    name: &str,
) -> Option<&'a crate::facts::nginx::Directive> {
    let (http, nearer) = location.scopes.split_last()?;
    if nearer.iter().any(|scope| scope.iter().any(|d| d.name == name)) {
        return None;
    }
    http.iter().rev().find(|d| d.name == name)
}

/// `proxy_no_cache 1` stores nothing, whatever the zone.
fn is_never_stored(location: &ProxyLocation<'_>) -> bool {
    location.effective("proxy_no_cache").is_some_and(|d| d.args.iter().any(|a| a == "1"))
}

const INHERITS: &str = r#"http {
    proxy_cache cache_one;
    server {
        listen 80;
        location / {
            proxy_pass http://127.0.0.1:8080;
        }
    }
}
"#;

const OFF: &str = r#"http {
    proxy_cache cache_one;
    server {
        listen 80;
        location / {
            proxy_pass http://127.0.0.1:8080;
            proxy_cache off;
        }
    }
}
"#;

const MEANT: &str = r#"http {
    proxy_cache_path /var/cache/nginx keys_zone=shop:10m;
    server {
        listen 80;
        location / {
            proxy_pass http://127.0.0.1:8080;
            proxy_cache shop;
            proxy_cache_key $scheme$host$request_uri$http_authorization;
        }
    }
}
"#;

const EXAMPLES: &[Example] = &[
    Example { expect: Expect::Bad, files: &[("nginx.conf", INHERITS)] },
    Example { expect: Expect::Good, files: &[("nginx.conf", OFF)] },
    Example { expect: Expect::NearMiss, files: &[("nginx.conf", MEANT)] },
];
