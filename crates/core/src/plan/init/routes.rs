//! Which of a program's routes the draft uses: health, metrics, and the routes that objectives and
//! gates begin with. Only paths without parameters, since a request line needs a real path.

use crate::facts::gosource::GoRoute;

/// Paths that answer for health, the most usual first.
const HEALTH: &[&str] = &[
    "/healthz",
    "/health",
    "/readyz",
    "/ready",
    "/livez",
    "/live",
    "/ping",
    "/healthcheck",
    "/health-check",
    "/-/healthy",
    "/status",
];
/// Words in the path of a request that earns money.
const EARNS: &[&str] = &["order", "pay", "checkout", "purchase", "booking", "buy", "cart"];
/// Words in the path of a request that another system or a person's password stands behind.
const HARD: &[&str] = &["callback", "webhook", "login", "logout", "signup", "register", "upload"];
/// Words in paths that no user asks for by themselves.
const ASIDE: &[&str] = &[
    "/debug",
    "pprof",
    "swagger",
    "favicon",
    "robots.txt",
    "/static",
    "/assets",
    "/public",
    "/admin",
];

/// A route that objectives and gates begin with.
#[derive(Clone, Debug)]
pub(super) struct Picked<'a> {
    /// `GET`, `POST`.
    pub(super) method: &'a str,
    /// The path.
    pub(super) path: String,
    /// Where it comes from.
    pub(super) route: &'a GoRoute,
}

impl Picked<'_> {
    /// Returns `POST /orders`.
    pub(super) fn shown(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    /// Returns the word that its objectives are named after: `orders`.
    pub(super) fn word(&self) -> String {
        let last = self.path.rsplit('/').find(|part| !part.is_empty()).unwrap_or("home");
        let legal = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' };
        last.chars().take(24).map(legal).collect()
    }
}

/// Returns the health route.
pub(super) fn health(routes: &[GoRoute]) -> Option<(String, &GoRoute)> {
    let asked: Vec<Picked<'_>> = gets(routes).collect();
    let exact = |known: &&str| asked.iter().find(|p| p.path == **known);
    let below = |known: &&str| asked.iter().find(|p| p.path.ends_with(*known));
    let found = HEALTH.iter().find_map(exact);
    let found = found.or_else(|| HEALTH.iter().find_map(below))?;
    Some((found.path.clone(), found.route))
}

/// Returns the route of the metrics.
pub(in crate::plan) fn metrics(routes: &[GoRoute]) -> Option<(String, &GoRoute)> {
    gets(routes).find(is_metrics).map(|p| (p.path, p.route))
}

/// Returns the most important write route and one read route.
pub(super) fn pick(routes: &[GoRoute]) -> (Option<Picked<'_>>, Option<Picked<'_>>) {
    let plain = routes.iter().filter(|r| r.streams.is_none()).filter_map(picked);
    let all: Vec<Picked<'_>> = plain.filter(|p| is_for_users(p)).collect();
    let has = |p: &Picked<'_>, words: &[&str]| words.iter().any(|w| p.path.contains(w));
    // min_by_key keeps the first of equals: the order of the source decides at last.
    let write = all.iter().filter(|p| is_write(p.method)).min_by_key(|p| {
        let method = ["POST", "PUT", "PATCH"].iter().position(|m| *m == p.method);
        (has(p, HARD), !has(p, EARNS), method, depth(&p.path))
    });
    let read = all
        .iter()
        .filter(|p| p.method == "GET")
        .min_by_key(|p| (p.path == "/", p.path.ends_with('/'), has(p, HARD), depth(&p.path)));
    (write.cloned(), read.cloned())
}

fn depth(path: &str) -> usize {
    path.split('/').filter(|part| !part.is_empty()).count()
}

fn gets(routes: &[GoRoute]) -> impl Iterator<Item = Picked<'_>> {
    routes.iter().filter_map(picked).filter(|p| p.method == "GET")
}

fn is_write(method: &str) -> bool {
    matches!(method, "POST" | "PUT" | "PATCH")
}

fn is_metrics(picked: &Picked<'_>) -> bool {
    picked.path.ends_with("/metrics") || picked.route.handler.starts_with("promhttp.")
}

fn is_for_users(picked: &Picked<'_>) -> bool {
    let is_health = HEALTH.iter().any(|known| picked.path.ends_with(known));
    let is_aside = ASIDE.iter().any(|word| picked.path.contains(word));
    !is_health && !is_aside && !is_metrics(picked)
}

/// Returns a route as a request can name it; a route for any method is asked with GET.
fn picked(route: &GoRoute) -> Option<Picked<'_>> {
    let method = match route.method.as_deref() {
        None => "GET",
        Some(method) if method == "GET" || is_write(method) => method,
        Some(_) => return None,
    };
    // `{$}` ends a pattern of net/http that means this path alone.
    let path = route.pattern.strip_suffix("{$}").unwrap_or(&route.pattern);
    let is_letter = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'-' | b'_' | b'.');
    let is_plain = path.starts_with('/') && path.len() <= 200 && path.bytes().all(is_letter);
    is_plain.then(|| Picked { method, path: path.to_owned(), route })
}
