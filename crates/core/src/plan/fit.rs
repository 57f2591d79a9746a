//! Fits what is declared of the proxy to what the source says: time limits on the right side of
//! Go's, streaming routes, and the profiler's and the metrics' paths that are not for everybody.
//! What a person wrote in guanka.toml stays as it is.

use crate::facts::Fact;
use crate::facts::declared::Declared;
use crate::facts::gosource::{GoCall, GoRoute, GoSource};
use crate::facts::guard::{Metrics, MetricsFrom};
use crate::plan::init::{reading, routes};
use crate::quantity::Millis;

/// nginx waits no longer than this for a silent program unless a person says so.
const READ_TIMEOUT_MAX: Millis = Millis::from_secs(600);
/// The most paths taken from the source: nginx tries them one after the other.
const PATHS_MAX: usize = 100;
/// Imports that register below `/debug/` by themselves, or are there to be registered there.
const DEBUG_IMPORTS: &[&str] = &[
    "net/http/pprof",
    "expvar",
    "github.com/gin-contrib/pprof",
    "github.com/labstack/echo-contrib/pprof",
    "github.com/gofiber/fiber/v2/middleware/pprof",
];

/// Fits a declaration to the source of its program.
pub fn fit(declared: &mut Declared, source: &GoSource) {
    let own = reading::of_program(source, Some(&declared.app.program));
    limits(declared, &own);
    streams(declared, &own);
    debug_paths(declared, &own);
    metrics(declared, &own);
}

/// Sets the limits that no person set: nginx gives up before Go cuts the connection, and forgets an
/// idle connection before Go closes it.
fn limits(declared: &mut Declared, source: &GoSource) {
    let Some(server) = reading::main_server(source) else { return };
    let above_zero =
        |limit: &Fact<Millis>| limit.known().copied().filter(|limit| *limit > Millis::ZERO);
    if !declared.spans.contains_key("proxy.read_timeout")
        && let Some(write) = above_zero(&server.write_timeout)
    {
        declared.proxy.read_timeout = reading::before_write(write).min(READ_TIMEOUT_MAX);
    }
    // Go takes ReadTimeout where IdleTimeout is not set.
    let is_unset = server.idle_timeout.known().is_some_and(|idle| *idle == Millis::ZERO);
    let idle = if is_unset { &server.read_timeout } else { &server.idle_timeout };
    if !declared.spans.contains_key("proxy.keepalive")
        && let Some(idle) = above_zero(idle).filter(|idle| *idle <= declared.proxy.keepalive)
    {
        declared.proxy.keepalive = reading::before_idle(idle);
    }
}

/// Adds the routes whose handlers stream. A handler of `/` would make every route one, so it is
/// left out: where that is meant a person writes it.
fn streams(declared: &mut Declared, source: &GoSource) {
    let found = source.routes.iter().filter(|route| route.streams.is_some()).filter_map(path);
    let found = found.filter(|path| !path.trim_matches('/').is_empty());
    add(&mut declared.proxy.streams, found.map(str::to_owned));
}

/// Adds the paths of profiler and variables. `/debug/` as a whole, unless the program has routes of
/// its own there that are for users.
fn debug_paths(declared: &mut Declared, source: &GoSource) {
    let imports = source.imports.iter().map(|import| import.path.as_str());
    let imported: Vec<&str> = imports.filter(|path| DEBUG_IMPORTS.contains(path)).collect();
    let is_debug = |route: &&GoRoute| {
        let words = ["pprof.", "expvar.", "debug/pprof", "debug/vars"];
        words.iter().any(|word| route.handler.contains(word) || route.pattern.contains(word))
    };
    let below = |route: &&GoRoute| path(route).is_some_and(|path| path.starts_with("/debug/"));
    let is_shared = source.routes.iter().filter(below).any(|route| !is_debug(&route));
    let mut found: Vec<String> = match (imported.is_empty(), is_shared) {
        (true, _) => Vec::new(),
        (false, false) => vec!["/debug/".to_owned()],
        (false, true) => vec!["/debug/pprof/".to_owned(), "/debug/vars".to_owned()],
    };
    for path in source.routes.iter().filter(is_debug).filter_map(path) {
        let cut = path.split("/{").next().unwrap_or(path);
        let cut = cut.split(['*', ':']).next().unwrap_or(cut);
        let is_known = found.iter().any(|known| cut.starts_with(known.as_str()));
        if !is_known && !cut.trim_matches('/').is_empty() {
            found.push(cut.to_owned());
        }
    }
    found.extend(mounted(source));
    add(&mut declared.proxy.debug.paths, found);
}

/// Returns where a router's own profiler is mounted: chi's by `Mount` on the same line, gin's by
/// the prefix it is given.
fn mounted(source: &GoSource) -> Vec<String> {
    let first = |args: &[Option<String>], at: usize| args.get(at).cloned().flatten();
    let below = |path: String| format!("/{}/", path.trim_matches('/'));
    let of_call = |call: &GoCall| match call.name.rsplit_once('.')? {
        (path, "Profiler") if path.ends_with("/middleware") => {
            let is_here = |other: &&GoCall| {
                other.name.ends_with(".Mount")
                    && (&other.span.file, other.span.line) == (&call.span.file, call.span.line)
            };
            let mount = source.calls.iter().find(is_here);
            Some(below(mount.and_then(|m| first(&m.args, 0)).unwrap_or("debug".to_owned())))
        }
        ("github.com/gin-contrib/pprof", "Register" | "RouteRegister") => {
            first(&call.args, 1).map(below)
        }
        _ => None,
    };
    source.calls.iter().filter_map(of_call).filter(|path| path != "//").collect()
}

/// Closes the program's own metrics where nothing is declared of them.
fn metrics(declared: &mut Declared, source: &GoSource) {
    let proxy = &mut declared.proxy;
    let Some((path, _)) = routes::metrics(&source.routes) else { return };
    match &mut proxy.metrics {
        None => {
            let from = MetricsFrom::Arm(path.clone());
            proxy.metrics = Some(Metrics { path, from, allow: Vec::new() });
        }
        // What is not written of them is as the source has it.
        Some(metrics) if !declared.spans.contains_key("proxy.metrics_from") => {
            if !declared.spans.contains_key("proxy.metrics") {
                metrics.path.clone_from(&path);
            }
            metrics.from = MetricsFrom::Arm(path);
        }
        Some(_) => {}
    }
}

/// Returns a route's path without its host.
fn path(route: &GoRoute) -> Option<&str> {
    let at = route.pattern.find('/')?;
    Some(&route.pattern[at..])
}

fn add(known: &mut Vec<String>, found: impl IntoIterator<Item = String>) {
    for path in found {
        let is_plain = path.len() <= 200 && path.bytes().all(is_letter);
        if is_plain && !known.contains(&path) && known.len() < PATHS_MAX {
            known.push(path);
        }
    }
}

/// Letters that a path and its parameters are made of, and no others: what a source says ends up in
/// nginx's configuration.
fn is_letter(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"/-_.~{}:*$+@%".contains(&b)
}
