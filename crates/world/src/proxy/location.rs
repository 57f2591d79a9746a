//! The site's locations: the one that takes the service's requests, and inside it those whose
//! answers stream and those that are closed to the outside. Every directive that a guanka location
//! must set is set here.

use guanka_core::facts::declared::ForwardedProto;
use guanka_core::facts::guard::{Metrics, MetricsFrom, Network, UpstreamTls};

use super::render::{Intent, NONCE_HEADER, millis};
use super::site::LocationForm;
use super::text::{Node, Word};

/// A connection on the loopback comes at once or not at all.
const CONNECT_TIMEOUT: &str = "2s";
/// Where certificates are renewed. Whatever answers there without guanka goes on answering.
const ACME: &str = "/.well-known/acme-challenge/";

/// Returns the server-level file.
pub(super) fn server_file(intent: &Intent) -> Vec<Node> {
    let mut nodes = Vec::new();
    // Exact paths come first in nginx, whatever their place.
    nodes.extend(intent.metrics.iter().flat_map(|metrics| metrics_locations(intent, metrics)));
    let inner = main_location(intent);
    match intent.form {
        LocationForm::Regex => {
            let regex = r"^/(?!\.well-known/)";
            nodes.push(Node::block(["location".into(), "~".into(), regex.into()], inner));
        }
        LocationForm::Prefix => {
            nodes.push(Node::block(["location".into(), "^~".into(), ACME.into()], Vec::new()));
            nodes.push(Node::block(["location".into(), "^~".into(), "/".into()], inner));
        }
    }
    nodes
}

fn main_location(intent: &Intent) -> Vec<Node> {
    let mut inner = vec![
        Node::line(["open_file_cache".into(), "off".into()]),
        Node::line(["disable_symlinks".into(), "off".into()]),
        Node::line(["client_max_body_size".into(), Word::made(intent.upload_max.0.to_string())]),
    ];
    inner.extend(to_the_arm(intent));
    inner.extend(proxy_settings(intent));
    inner.extend(headers(intent));
    inner.push(Node::line(["access_log".into(), (&intent.access_log).into(), "guanka".into()]));
    // A location's own access_log switches the site's off; the panel's statistics need it.
    for log in &intent.site_logs {
        inner.push(Node::of(log.words()));
    }
    // Inner locations inherit all but where the requests go. The first that matches wins, and what
    // is closed is closed whatever it also is.
    inner.extend(intent.debug.paths.iter().map(|path| closed_location(intent, path)));
    inner.extend(intent.streams.iter().map(|path| stream_location(intent, path)));
    inner
}

/// Returns what chooses the arm and sends the request there: nginx does not inherit these.
fn to_the_arm(intent: &Intent) -> Vec<Node> {
    let mut nodes = choice(intent);
    nodes.push(pass(intent));
    nodes
}

fn choice(intent: &Intent) -> Vec<Node> {
    let slot = format!("$guanka_{}_slot", intent.service.underscored());
    let green = Node::line(["set".into(), "$guanka_arm".into(), "green".into()]);
    vec![
        Node::line(["set".into(), "$guanka_slot".into(), Word::made(slot)]),
        Node::line(["set".into(), "$guanka_arm".into(), "blue".into()]),
        Node::block(
            ["if".into(), "(-f".into(), Word::made(format!("{}/$guanka_slot)", intent.live))],
            vec![green],
        ),
    ]
}

fn pass(intent: &Intent) -> Node {
    let target = format!("http://guanka_{}_$guanka_arm", intent.service.underscored());
    Node::line(["proxy_pass".into(), Word::made(target)])
}

/// Returns the location of a route that streams: what the program sends goes out at once, and its
/// silence is borne longer.
fn stream_location(intent: &Intent, path: &str) -> Node {
    let mut inner = to_the_arm(intent);
    inner.push(Node::line(["proxy_buffering".into(), "off".into()]));
    inner.push(Node::line(["proxy_send_timeout".into(), millis(intent.stream_timeout)]));
    inner.push(Node::line(["proxy_read_timeout".into(), millis(intent.stream_timeout)]));
    Node::block(["location".into(), "~".into(), Word::made(route_regex(path))], inner)
}

/// Returns the location of a path that is closed, with all below it, in whatever case it is asked.
fn closed_location(intent: &Intent, path: &str) -> Node {
    let regex = format!("^{}(?:/|$)", escaped(path.trim_end_matches('/')));
    let guard = &intent.debug;
    let mut inner = access(&guard.allow);
    if !guard.allow.is_empty() {
        if let Some(file) = &intent.pass_file {
            inner.push(Node::line(["auth_basic".into(), "guanka".into()]));
            inner.push(Node::line(["auth_basic_user_file".into(), file.into()]));
        }
        inner.extend(to_the_arm(intent));
    }
    Node::block(["location".into(), "~*".into(), Word::made(regex)], inner)
}

/// Returns who may ask. A site's own `satisfy any` would let a password stand for an address.
fn access(allow: &[Network]) -> Vec<Node> {
    let mut nodes = vec![Node::line(["satisfy".into(), "all".into()])];
    let word = |network: &Network| Word::made(network.to_string());
    nodes.extend(allow.iter().map(|n| Node::line(["allow".into(), word(n)])));
    nodes.push(Node::line(["deny".into(), "all".into()]));
    nodes
}

/// Returns the locations of the metrics: the path that was asked for, and the program's own, which
/// would be open beside it. Their requests are nobody's, so they are not in the service's log.
fn metrics_locations(intent: &Intent, metrics: &Metrics) -> Vec<Node> {
    let own = match &metrics.from {
        MetricsFrom::Arm(path) if *path != metrics.path => Some(path),
        _ => None,
    };
    std::iter::once(&metrics.path).chain(own).map(|path| one(intent, metrics, path)).collect()
}

fn one(intent: &Intent, metrics: &Metrics, path: &str) -> Node {
    let mut allow: Vec<Network> = Network::new("127.0.0.1").into_iter().collect();
    allow.extend(metrics.allow.iter().cloned());
    let mut inner = access(&allow);
    inner.push(Node::line(["open_file_cache".into(), "off".into()]));
    inner.push(Node::line(["disable_symlinks".into(), "off".into()]));
    match &metrics.from {
        MetricsFrom::Arm(own) => {
            inner.extend(choice(intent));
            if own != path {
                let own = Word::made(own.clone());
                inner.push(Node::line(["rewrite".into(), "^".into(), own, "break".into()]));
            }
            inner.push(pass(intent));
        }
        MetricsFrom::Address { address, path, tls } => {
            let scheme = if tls.is_some() { "https" } else { "http" };
            let target = Word::made(format!("{scheme}://{address}{path}"));
            inner.push(Node::line(["proxy_pass".into(), target]));
            inner.extend(tls.iter().flat_map(|tls| upstream_tls(intent, tls)));
        }
    }
    inner.extend(proxy_settings(intent));
    inner.extend(headers(intent));
    inner.push(Node::line(["access_log".into(), "off".into()]));
    // net/http: what lies below a path that ends with a slash is the same handler's.
    let modifier = if path.ends_with('/') { "^~" } else { "=" };
    Node::block(["location".into(), modifier.into(), Word::made(path.to_owned())], inner)
}

/// Returns how nginx speaks TLS to the program. Each is set whatever the panel's http level says.
fn upstream_tls(intent: &Intent, tls: &UpstreamTls) -> Vec<Node> {
    let mut protocols: Vec<Word> = vec!["proxy_ssl_protocols".into()];
    protocols.extend(intent.tls.iter().map(|word| Word::from(*word)));
    let mut nodes = vec![Node::of(protocols)];
    if let Some(name) = &tls.name {
        let name = Word::made(name.as_str().to_owned());
        nodes.push(Node::line(["proxy_ssl_server_name".into(), "on".into()]));
        nodes.push(Node::line(["proxy_ssl_name".into(), name]));
    }
    match &intent.metrics_ca {
        Some(file) => {
            nodes.push(Node::line(["proxy_ssl_verify".into(), "on".into()]));
            nodes.push(Node::line(["proxy_ssl_verify_depth".into(), "3".into()]));
            nodes.push(Node::line(["proxy_ssl_trusted_certificate".into(), file.into()]));
        }
        None => nodes.push(Node::line(["proxy_ssl_verify".into(), "off".into()])),
    }
    nodes
}

/// Returns what the panel's http level sets otherwise: a cache, and replays of 500s on the other
/// arm, which would make a bad release look well.
fn proxy_settings(intent: &Intent) -> Vec<Node> {
    vec![
        Node::line(["proxy_http_version".into(), "1.1".into()]),
        Node::line(["proxy_cache".into(), "off".into()]),
        Node::line(["proxy_next_upstream".into(), "error".into()]),
        Node::line(["proxy_next_upstream_tries".into(), "2".into()]),
        Node::line(["proxy_connect_timeout".into(), CONNECT_TIMEOUT.into()]),
        Node::line(["proxy_send_timeout".into(), millis(intent.read_timeout)]),
        Node::line(["proxy_read_timeout".into(), millis(intent.read_timeout)]),
    ]
}

/// Returns the full list of headers: one that is set here drops all inherited ones.
fn headers(intent: &Intent) -> Vec<Node> {
    let name = intent.service.underscored();
    let proto = match intent.forwarded_proto {
        ForwardedProto::Scheme => "$scheme",
        ForwardedProto::Https => "https",
    };
    let set = |header: &'static str, value: Word| {
        Node::line(["proxy_set_header".into(), header.into(), value])
    };
    vec![
        set("Host", "$host".into()),
        set("X-Real-IP", "$remote_addr".into()),
        set("X-Forwarded-For", "$proxy_add_x_forwarded_for".into()),
        set("X-Forwarded-Proto", proto.into()),
        set("X-Forwarded-Host", "$host".into()),
        set("X-Request-Id", "$request_id".into()),
        set("Upgrade", "$http_upgrade".into()),
        set("Connection", Word::made(format!("$guanka_{name}_connection"))),
        set(NONCE_HEADER, "".into()),
    ]
}

/// Returns the regular expression of a path as a router writes it: `/ws/{id}`, `/room/:id`,
/// `/live/`, `/files/*rest`.
fn route_regex(path: &str) -> String {
    let (path, is_exact) = match path.strip_suffix("{$}") {
        Some(path) => (path, true),
        None => (path, false),
    };
    let mut regex = "^".to_owned();
    for (i, part) in path.trim_start_matches('/').split('/').enumerate() {
        let is_rest = part.starts_with('*') || part.ends_with("...}");
        let is_any = part.starts_with(':') || (part.starts_with('{') && part.ends_with('}'));
        // Echo's and fiber's `*` stands behind a slash that may be missing from the request.
        if is_rest {
            return format!("{regex}(?:/|$)");
        }
        regex.push('/');
        match part {
            "" if i > 0 && is_exact => {}
            _ if is_any => regex.push_str("[^/]+"),
            _ => regex.push_str(&escaped(part)),
        }
    }
    // net/http: a pattern that ends with a slash takes everything below it.
    if path.ends_with('/') && !is_exact { regex } else { format!("{regex}$") }
}

/// Returns a text as it stands in a regular expression.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        if !(c.is_ascii_alphanumeric() || "/-_~%@".contains(c)) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
#[path = "location_tests.rs"]
mod tests;
