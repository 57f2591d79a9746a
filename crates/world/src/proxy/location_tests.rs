//! The site's locations as text: what is overridden, what streams, what is closed and to whom.

use std::path::Path;

use guanka_core::facts::declared::ForwardedProto;
use guanka_core::facts::guard::{Guard, Metrics, MetricsFrom, Network, UpstreamTls};
use guanka_core::name::Domain;

use super::super::render::tests::intent;
use super::super::render::{Intent, Key};
use super::super::site::LocationForm;
use super::super::text::render;
use super::{route_regex, server_file};
use crate::plain::PlainPath;

fn text(intent: &Intent) -> String {
    render("x", &server_file(intent)).expect("reads back")
}

/// Returns the lines of a location's own block.
fn block(text: &str, first: &str) -> Vec<String> {
    let mut lines = text.lines().skip_while(|line| line.trim() != first);
    let head = lines.next().unwrap_or_else(|| panic!("{first} is not in {text}"));
    let indent = head.len() - head.trim_start().len();
    let is_inside = |line: &&str| line.len() - line.trim_start().len() > indent;
    lines.take_while(is_inside).map(|line| line.trim().to_owned()).collect()
}

#[test]
fn the_location_overrides_the_panels_cache_and_replays() {
    let both = [
        (LocationForm::Regex, r"location ~ ^/(?!\.well-known/) {"),
        (LocationForm::Prefix, "location ^~ / {"),
    ];
    for (form, first) in both {
        let text = render("x", &server_file(&intent(Key::Client, form))).expect("same");
        let expected = [
            first,
            "    open_file_cache off;",
            "    disable_symlinks off;",
            "    if (-f /var/lib/guanka/shop-api.prod/live/$guanka_slot) {",
            "        set $guanka_arm green;",
            "    proxy_pass http://guanka_shop_api_prod_$guanka_arm;",
            "    proxy_cache off;",
            "    proxy_next_upstream error;",
            "    proxy_set_header X-Guanka-Nonce \"\";",
            "    access_log /www/wwwlogs/guanka/shop-api.prod.json guanka;",
        ];
        for line in expected {
            assert!(text.lines().any(|l| l == line), "{line}\n{text}");
        }
        assert!(!text.contains("add_header"));
    }
}

#[test]
fn a_program_behind_a_cdn_is_told_https() {
    let mut intent = intent(Key::Client, LocationForm::Regex);
    assert!(text(&intent).contains("    proxy_set_header X-Forwarded-Proto $scheme;"));
    intent.forwarded_proto = ForwardedProto::Https;
    assert!(text(&intent).contains("    proxy_set_header X-Forwarded-Proto https;"));
}

#[test]
fn streams_are_not_buffered_and_their_silence_is_borne() {
    let mut intent = intent(Key::Client, LocationForm::Regex);
    intent.streams = vec!["/ws/{id}".to_owned()];
    let text = text(&intent);
    let found = block(&text, "location ~ ^/ws/[^/]+$ {");
    for line in [
        "proxy_pass http://guanka_shop_api_prod_$guanka_arm;",
        "set $guanka_arm blue;",
        "proxy_buffering off;",
        "proxy_read_timeout 3600000ms;",
    ] {
        assert!(found.iter().any(|l| l == line), "{line}\n{text}");
    }
    assert!(text.contains("    proxy_read_timeout 15000ms;"), "the others keep theirs: {text}");
}

#[test]
fn routes_become_the_expressions_that_match_what_the_router_takes() {
    let cases = [
        ("/events", "^/events$"),
        ("/live/", "^/live/"),
        ("/exact/{$}", "^/exact/$"),
        ("/ws/{id}", "^/ws/[^/]+$"),
        ("/room/:id/feed", "^/room/[^/]+/feed$"),
        ("/files/{path...}", "^/files(?:/|$)"),
        ("/proxy/*any", "^/proxy(?:/|$)"),
        ("/a.b", "^/a\\.b$"),
    ];
    for (path, regex) in cases {
        assert_eq!(route_regex(path), regex, "{path}");
    }
}

#[test]
fn a_closed_path_is_closed_to_all_unless_somebody_is_allowed() {
    let mut intent = intent(Key::Client, LocationForm::Prefix);
    intent.debug = Guard { paths: vec!["/debug/".to_owned()], ..Guard::default() };
    let closed = text(&intent);
    assert_eq!(block(&closed, "location ~* ^/debug(?:/|$) {"), ["satisfy all;", "deny all;"]);
    intent.debug.allow = vec![Network::new("10.0.0.0/8").expect("one")];
    intent.pass_file = PlainPath::new(Path::new("/www/server/pass/guanka_shop.pass")).ok();
    let text = text(&intent);
    let found = block(&text, "location ~* ^/debug(?:/|$) {");
    assert_eq!(found[..3], ["satisfy all;", "allow 10.0.0.0/8;", "deny all;"]);
    assert_eq!(found[4], "auth_basic_user_file /www/server/pass/guanka_shop.pass;");
    assert!(found.iter().any(|l| l.starts_with("proxy_pass ")), "{text}");
}

#[test]
fn metrics_are_for_this_machine_and_their_own_path_is_not_left_open() {
    let mut intent = intent(Key::Client, LocationForm::Regex);
    intent.metrics = Some(Metrics {
        path: "/bt-metrics".to_owned(),
        from: MetricsFrom::Arm("/metrics".to_owned()),
        allow: Vec::new(),
    });
    let plain = text(&intent);
    for path in ["/bt-metrics", "/metrics"] {
        let found = block(&plain, &format!("location = {path} {{"));
        assert_eq!(found[..3], ["satisfy all;", "allow 127.0.0.1/32;", "deny all;"]);
        let is_rewritten = found.iter().any(|l| l == "rewrite ^ /metrics break;");
        assert_eq!(is_rewritten, path == "/bt-metrics", "{plain}");
    }
    intent.metrics_ca = PlainPath::new(Path::new("/etc/shop/ca.pem")).ok();
    let name = Domain::new("metrics.internal").ok();
    intent.metrics = Some(Metrics {
        path: "/bt-metrics".to_owned(),
        from: MetricsFrom::Address {
            address: "127.0.0.1:9443".parse().expect("an address"),
            path: "/metrics".to_owned(),
            tls: Some(UpstreamTls { name, ca: Some("/etc/shop/ca.pem".to_owned()) }),
        },
        allow: vec![Network::new("10.1.2.3").expect("one")],
    });
    let text = text(&intent);
    let found = block(&text, "location = /bt-metrics {");
    for line in [
        "allow 10.1.2.3/32;",
        "proxy_pass https://127.0.0.1:9443/metrics;",
        "proxy_ssl_protocols TLSv1.2 TLSv1.3;",
        "proxy_ssl_server_name on;",
        "proxy_ssl_name metrics.internal;",
        "proxy_ssl_verify on;",
        "proxy_ssl_trusted_certificate /etc/shop/ca.pem;",
        "access_log off;",
    ] {
        assert!(found.iter().any(|l| l == line), "{line}\n{text}");
    }
    assert!(!text.contains("location = /metrics"), "{text}");
}
