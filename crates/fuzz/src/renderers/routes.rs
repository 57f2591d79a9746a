//! nginx's inner locations and the metrics': routes that stream, closed paths and who may ask for
//! them, where the metrics come from, the users' file. Expressions are matched with requests.

use std::path::Path;

use guanka_core::facts::guard::{Guard, Metrics, MetricsFrom, Network, PasswordLine, UpstreamTls};
use guanka_core::facts::nginx::Directive;
use guanka_core::name::Domain;
use guanka_world::plain::PlainPath;
use guanka_world::proxy::{Intent, LocationForm, passwords};

use super::nginx::{PLAIN, intent, rendered, words};
use super::{Field, Renderer, Texts, Trouble, refused, same};
use crate::reading::expression_takes;
use crate::tape::Tape;

/// Routes that stream, and closed paths.
pub const ROUTES: Renderer = Renderer {
    name: "nginx-routes",
    fields: &[
        Field { name: "stream", plain: "/events", frame: "/a{}" },
        Field { name: "closed", plain: "/debug/pprof/", frame: "/debug{}/x" },
        Field { name: "allowed", plain: "10.0.0.0/8", frame: "10.0.0.0/8{}" },
        Field {
            name: "users' file",
            plain: "/var/tmp/guanka-fuzz/pass",
            frame: "/var/tmp/guanka-fuzz/{}/pass",
        },
    ],
    trial: routes,
};

/// Metrics that an arm serves.
pub const METRICS: Renderer = Renderer {
    name: "nginx-metrics",
    fields: &[
        Field { name: "path", plain: "/metrics", frame: "/m{}" },
        Field { name: "own path", plain: "/internal/metrics", frame: "/i{}" },
        Field { name: "allowed", plain: "fd00::/8", frame: "fd00::/8{}" },
    ],
    trial: metrics,
};

/// Metrics from a listener of their own.
pub const SOURCE: Renderer = Renderer {
    name: "nginx-source",
    fields: &[
        Field { name: "path", plain: "/metrics", frame: "/m{}" },
        Field { name: "address", plain: "10.0.0.7:9100", frame: "10.0.0.7:9100{}" },
        Field { name: "its path", plain: "/stats", frame: "/s{}" },
        Field { name: "its name", plain: "shop.internal", frame: "shop{}.internal" },
        Field {
            name: "authority",
            plain: "/var/tmp/guanka-fuzz/ca.pem",
            frame: "/var/tmp/guanka-fuzz/{}/ca.pem",
        },
    ],
    trial: source,
};

/// The file of users and hashes.
pub const PASSES: Renderer = Renderer {
    name: "pass-file",
    fields: &[
        Field { name: "user", plain: "ops", frame: "o{}" },
        Field { name: "hash", plain: "$6$saltsalt$abcdefghijkl", frame: "$6$saltsalt$abcdef{}" },
    ],
    trial: passes,
};

fn path(text: &str) -> Result<PlainPath, Trouble> {
    PlainPath::new(Path::new(text)).map_err(refused)
}

/// Returns a location's directives of a name.
fn of<'a>(location: &'a Directive, name: &str) -> Vec<Vec<&'a str>> {
    location.inner().iter().filter(|d| d.name == name).map(words).collect()
}

fn routes(values: &[&str], tape: &mut Tape<'_>) -> Result<Texts, Trouble> {
    let &[stream, closed, allowed, file] = values else { return Err(refused("four values")) };
    let user = PasswordLine::new("ops:$6$saltsalt$abcdefghijkl").map_err(refused)?;
    let network = Network::new(allowed).map_err(refused)?;
    let has_users = tape.below(2) == 0;
    let mut intent = intent(&PLAIN, tape)?;
    intent.streams = vec![stream.to_owned()];
    intent.debug = Guard {
        paths: vec![closed.to_owned()],
        allow: vec![network.clone()],
        users: has_users.then_some(user).into_iter().collect(),
    };
    intent.pass_file = has_users.then(|| path(file)).transpose()?;
    let (texts, tree) = rendered(&intent, 2)?;
    let Some(main) = tree.last() else { return Err(Trouble::Differs("no location".to_owned())) };
    let inner: Vec<&Directive> = main.inner().iter().filter(|d| d.name == "location").collect();
    let [shut, open] = inner.as_slice() else {
        return Err(Trouble::Differs(format!("{} inner locations", inner.len())));
    };
    // 25 without the inner ones, in both forms.
    same("the directives", &main.inner().len(), &27)?;
    same("the locations", &tree.len(), &locations(&intent))?;
    closes(shut, closed)?;
    let allow = network.to_string();
    same("who may ask", &of(shut, "allow"), &vec![vec!["allow", allow.as_str()]])?;
    same("who may not", &of(shut, "deny"), &vec![vec!["deny", "all"]])?;
    same("both", &of(shut, "satisfy"), &vec![vec!["satisfy", "all"]])?;
    let files = if has_users { vec![vec!["auth_basic_user_file", file]] } else { Vec::new() };
    same("the users' file", &of(shut, "auth_basic_user_file"), &files)?;
    same("the closed one's", &shut.inner().len(), &if has_users { 9 } else { 7 })?;
    streams(open, stream)?;
    same("the stream's", &open.inner().len(), &7)?;
    same("no buffer", &of(open, "proxy_buffering"), &vec![vec!["proxy_buffering", "off"]])?;
    Ok(texts)
}

/// Returns how many locations stand at the site's level beside the metrics'.
fn locations(intent: &Intent) -> usize {
    match intent.form {
        LocationForm::Regex => 1,
        LocationForm::Prefix => 2,
    }
}

/// Holds a location to take a path, all below it, and nothing else, in any case.
fn closes(location: &Directive, path: &str) -> Result<(), Trouble> {
    let &["location", "~*", expression] = words(location).as_slice() else {
        return Err(Trouble::Differs(format!("closed as {:?}", words(location))));
    };
    let bare = path.trim_end_matches('/');
    for (request, takes) in [
        (bare.to_owned(), true),
        (format!("{bare}/"), true),
        (format!("{bare}/x/y"), true),
        (format!("{bare}x"), false),
        (format!("/x{bare}"), false),
        ("/".to_owned(), false),
    ] {
        let found = expression_takes(expression, &request);
        same(&format!("{expression:?} on {request:?}"), &found, &Some(takes))?;
    }
    Ok(())
}

/// Holds a location to take the requests of a route, and not its neighbours'.
fn streams(location: &Directive, route: &str) -> Result<(), Trouble> {
    let &["location", "~", expression] = words(location).as_slice() else {
        return Err(Trouble::Differs(format!("streams as {:?}", words(location))));
    };
    let (bare, is_exact) = route.strip_suffix("{$}").map_or((route, false), |bare| (bare, true));
    let is_any = |part: &str| part.starts_with(':') || part.starts_with('{') && part.ends_with('}');
    let is_rest = |part: &str| part.starts_with('*') || part.ends_with("...}");
    let mut request = String::new();
    let mut has_rest = false;
    for part in bare.trim_start_matches('/').split('/') {
        if is_rest(part) {
            has_rest = true;
            break;
        }
        request.push('/');
        request.push_str(if is_any(part) { "x1" } else { part });
    }
    let below = has_rest || (bare.ends_with('/') && !is_exact);
    let takes = |request: &str, takes: bool| {
        let found = expression_takes(expression, request);
        same(&format!("{expression:?} on {request:?}"), &found, &Some(takes))
    };
    takes(&request, true)?;
    takes(&format!("{}/x/y", request.trim_end_matches('/')), below)?;
    if !below {
        takes(&format!("{request}/"), false)?;
    }
    Ok(())
}

fn metrics(values: &[&str], tape: &mut Tape<'_>) -> Result<Texts, Trouble> {
    let &[outer, own, allowed] = values else { return Err(refused("three values")) };
    let network = Network::new(allowed).map_err(refused)?;
    let mut intent = intent(&PLAIN, tape)?;
    let from = MetricsFrom::Arm(own.to_owned());
    intent.metrics = Some(Metrics { path: outer.to_owned(), from, allow: vec![network.clone()] });
    let (texts, tree) = rendered(&intent, 2)?;
    let meant: Vec<&str> = if own == outer { vec![outer] } else { vec![outer, own] };
    same("the locations", &tree.len(), &(locations(&intent) + meant.len()))?;
    let upstream = format!("http://guanka_{}_$guanka_arm", intent.service.underscored());
    for (location, path) in tree.iter().zip(&meant) {
        is_at(location, path)?;
        let allow = network.to_string();
        let both = vec![vec!["allow", "127.0.0.1/32"], vec!["allow", allow.as_str()]];
        same("who may ask", &of(location, "allow"), &both)?;
        same("the upstream", &of(location, "proxy_pass"), &vec![vec!["proxy_pass", &upstream]])?;
        let rewrite = vec![vec!["rewrite", "^", own, "break"]];
        let rewrite = if *path == own { Vec::new() } else { rewrite };
        same("the program's path", &of(location, "rewrite"), &rewrite)?;
        // It is read with variables, and one that begins with a scheme sends the asker away.
        let is_plain = own.starts_with('/') && !own.contains(['$', '?']);
        same("a plain path", &is_plain, &true)?;
        let rewrites = usize::from(*path != own);
        same("the directives", &location.inner().len(), &(6 + 3 + 1 + 7 + 9 + 1 + rewrites))?;
    }
    Ok(texts)
}

/// Holds a location to be that of a path, with all below it where it ends with a slash, and not
/// the whole site.
fn is_at(location: &Directive, path: &str) -> Result<(), Trouble> {
    let modifier = if path.ends_with('/') { "^~" } else { "=" };
    same("the location", &words(location), &vec!["location", modifier, path])?;
    let is_site = path.trim_matches('/').is_empty();
    same("the site as a whole", &is_site, &false)
}

fn source(values: &[&str], tape: &mut Tape<'_>) -> Result<Texts, Trouble> {
    let &[outer, address, inner, name, authority] = values else {
        return Err(refused("five values"));
    };
    let has_tls = tape.below(2) == 0;
    let (has_name, has_authority) = (tape.below(2) == 0, tape.below(2) == 0);
    let mut intent = intent(&PLAIN, tape)?;
    let domain = has_name.then(|| Domain::new(name).map_err(refused)).transpose()?;
    let tls = UpstreamTls { name: domain, ca: has_authority.then(|| authority.to_owned()) };
    let from = MetricsFrom::Address {
        address: address.parse().map_err(refused)?,
        path: inner.to_owned(),
        tls: has_tls.then_some(tls),
    };
    intent.metrics_ca = (has_tls && has_authority).then(|| path(authority)).transpose()?;
    intent.metrics = Some(Metrics { path: outer.to_owned(), from, allow: Vec::new() });
    let (texts, tree) = rendered(&intent, 2)?;
    same("the locations", &tree.len(), &(locations(&intent) + 1))?;
    let location = &tree[0];
    is_at(location, outer)?;
    let scheme = if has_tls { "https" } else { "http" };
    let target = format!("{scheme}://{address}{inner}");
    same("where from", &of(location, "proxy_pass"), &vec![vec!["proxy_pass", target.as_str()]])?;
    // nginx reads variables there, and takes what stands before an @ for a user.
    let is_plain = inner.starts_with('/') && !inner.contains(['$', '?', '#', '@']);
    same("a plain path", &is_plain, &true)?;
    let one = |key: &'static str, value: &str, is_there: bool| {
        let meant = if is_there { vec![vec![key, value]] } else { Vec::new() };
        same(key, &of(location, key), &meant)
    };
    one("proxy_ssl_name", name, has_tls && has_name)?;
    one("proxy_ssl_trusted_certificate", authority, has_tls && has_authority)?;
    one("proxy_ssl_verify", if has_authority { "on" } else { "off" }, has_tls)?;
    let of_tls = 2 + 2 * usize::from(has_name) + 2 * usize::from(has_authority);
    let of_tls = if has_tls { of_tls } else { 0 };
    same("the directives", &location.inner().len(), &(3 + 2 + 1 + of_tls + 7 + 9 + 1))?;
    Ok(texts)
}

fn passes(values: &[&str], _: &mut Tape<'_>) -> Result<Texts, Trouble> {
    let &[user, hash] = values else { return Err(refused("two values")) };
    let line = PasswordLine::new(&format!("{user}:{hash}")).map_err(refused)?;
    let text = passwords(&[line.clone(), line]);
    // nginx: a name up to the colon, a hash up to the next colon or the line's end; `#` begins a
    // comment.
    let read: Vec<Option<(&str, &str)>> = text
        .split('\n')
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| line.split_once(':'))
        .collect();
    same("the users", &read, &vec![Some((user, hash)); 2])?;
    let is_bare = !text.contains(['\r', '\0', '\t', ' ']) && !hash.contains(':');
    same("nothing beside them", &is_bare, &true)?;
    Ok(vec![text])
}
