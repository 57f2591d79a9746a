//! The ways through nginx to a service's arms: every location of every site that passes requests to
//! one of them, guanka's own and those of others, and what each of them makes of a path.

use std::path::Path as File;

use guanka_core::facts::nginx::{Directive, Nginx as Tree, ProxyLocation, pass_host};
use guanka_core::facts::{Fact, Reason};
use guanka_core::name::ServiceName;
use serde::{Deserialize, Serialize};

use super::control::Nginx;
use super::listen::{Listen, Sockets};
use crate::hostroot::HostRoot;
use crate::ports::ArmPorts;

/// The most ways that are followed; a host has one for each service and a few more.
const WAYS_MAX: usize = 64;

/// A location that leads to an arm.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Way {
    /// Where its site can be asked.
    pub listens: Vec<Listen>,
    /// A name that the site answers to.
    pub name: String,
    /// The file and line of the location.
    pub place: String,
    /// It stands in guanka's own file.
    pub is_own: bool,
    /// What its path begins with.
    prefix: String,
    /// It takes that path and none below it.
    is_exact: bool,
    /// What `proxy_pass` puts in place of that, where it has a path of its own.
    uri: Option<String>,
    /// It changes paths by rules that are not followed here.
    rewrites: bool,
}

/// A path that may arrive at the program as another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    /// The path to ask for.
    pub text: String,
    /// The configuration says that it arrives as that one.
    pub is_sure: bool,
}

impl Way {
    /// Returns the paths by which a path of the program may be reached this way: as it is, with the
    /// location's prefix in place of what `proxy_pass` says, and by a guess with the prefix before
    /// it where a rule may take that off.
    pub fn paths_to(&self, path: &str) -> Vec<Path> {
        let sure = |text: String| Path { text, is_sure: true };
        let mut found = Vec::new();
        match &self.uri {
            Some(uri) => {
                let rest = path.strip_prefix(uri.as_str());
                found.extend(rest.map(|rest| sure(format!("{}{rest}", self.prefix))));
            }
            None if path.starts_with(&self.prefix) => found.push(sure(path.to_owned())),
            None => {}
        }
        if self.rewrites && !self.is_own {
            let text = format!("{}{path}", self.prefix.trim_end_matches('/'));
            found.push(Path { text, is_sure: false });
        }
        found.retain(|found| !self.is_exact || found.text == self.prefix);
        found
    }
}

/// Returns every way to a service's arms in nginx's whole configuration; none without nginx.
pub fn ways(host: &HostRoot, service: &ServiceName, ports: ArmPorts) -> Vec<Way> {
    let Some(nginx) = &Nginx::find(host) else { return Vec::new() };
    let tree = Tree {
        version: Fact::Unknown(Reason::NotThere("nginx -V".to_owned())),
        main_file: nginx.main_file.display().to_string(),
        tree: nginx.read_tree(host, &nginx.main_file),
        unreadable: Vec::new(),
        problems: Vec::new(),
    };
    let mut sockets = Sockets::default();
    tree.servers().for_each(|server| sockets.learn(server));
    let leads = |location: &ProxyLocation<'_>| leads_to_an_arm(&tree, location, service, ports);
    let mut found: Vec<Way> = Vec::new();
    for location in tree.proxy_locations().iter().filter(|location| leads(location)) {
        let way = way(location, &sockets, nginx);
        if found.len() < WAYS_MAX && !found.contains(&way) {
            found.push(way);
        }
    }
    found
}

fn way(location: &ProxyLocation<'_>, sockets: &Sockets, nginx: &Nginx) -> Way {
    let span = &location.location.span;
    Way {
        listens: sockets.of(location.server, nginx.version),
        name: name(location.server),
        place: format!("{}:{}", span.file, span.line),
        is_own: File::new(&span.file).file_name().is_some_and(|name| name == "guanka.conf")
            || File::new(&span.file).parent().is_some_and(|dir| dir.ends_with("nginx/guanka")),
        prefix: prefix(location.location),
        is_exact: location.location.args.first().is_some_and(|first| first == "="),
        uri: uri(location.pass),
        rewrites: location.scopes[..location.scopes.len() - 1]
            .iter()
            .any(|scope| scope.iter().any(|d| d.name == "rewrite"))
            || location.pass.args.iter().any(|target| target.contains("$1")),
    }
}

/// Returns whether a location's requests can end at an arm: by the arm's port, by an upstream with
/// that port in it, or by guanka's own upstreams.
fn leads_to_an_arm(
    tree: &Tree,
    location: &ProxyLocation<'_>,
    service: &ServiceName,
    ports: ArmPorts,
) -> bool {
    let is_arm = |address: &str| {
        let port = address.rsplit(':').next().and_then(|port| port.parse::<u16>().ok());
        port.is_some_and(|port| port == ports.blue || port == ports.green)
    };
    let Some(target) = pass_host(location.pass) else { return false };
    let own = format!("guanka_{}_", service.underscored());
    if target.starts_with(&own) || is_arm(target) {
        return true;
    }
    let fits = |upstream: &&Directive| {
        let name = upstream.args.first().map(String::as_str).unwrap_or_default();
        match target.split_once('$') {
            // A variable may stand for any name.
            Some((before, _)) => name.starts_with(before),
            None => name == target,
        }
    };
    let servers = |upstream: &&Directive| {
        let lines = upstream.inner().iter().filter(|d| d.name == "server");
        lines.filter_map(|d| d.args.first()).any(|address| is_arm(address))
    };
    tree.upstreams().filter(fits).any(|upstream| servers(&upstream))
}

/// Returns a name to ask a site by: its first that is no pattern.
fn name(server: &Directive) -> String {
    let names = server.inner().iter().filter(|d| d.name == "server_name").flat_map(|d| &d.args);
    let is_plain = |name: &&String| {
        !name.is_empty()
            && *name != "_"
            && !name.contains(['*', '~', '$', '"'])
            && !name.starts_with('.')
    };
    names.into_iter().find(is_plain).map_or_else(|| "guanka.invalid".to_owned(), Clone::clone)
}

/// Returns what a location's paths begin with: a regular expression's letters up to its first mark.
fn prefix(location: &Directive) -> String {
    let (path, is_regex) = match location.args.as_slice() {
        [modifier, path] => (path.as_str(), modifier.starts_with('~')),
        [path] => (path.as_str(), false),
        _ => ("/", false),
    };
    if !is_regex {
        return if path.starts_with('/') { path.to_owned() } else { "/".to_owned() };
    }
    let path = path.trim_start_matches('^');
    let end = path.find(|c: char| !(c.is_ascii_alphanumeric() || "/-_~".contains(c)));
    match &path[..end.unwrap_or(path.len())] {
        letters if letters.starts_with('/') => letters.to_owned(),
        _ => "/".to_owned(),
    }
}

/// Returns the path of a `proxy_pass`, if it has one.
fn uri(pass: &Directive) -> Option<String> {
    let target = pass.args.first()?;
    let rest = target.split_once("://").map_or(target.as_str(), |(_, rest)| rest);
    let uri = &rest[rest.find('/')?..];
    (!uri.contains('$')).then(|| uri.to_owned())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use guanka_core::name::ServiceName;

    use super::{Way, ways};
    use crate::hostroot::HostRoot;
    use crate::ports::ArmPorts;

    fn found(sites: &str) -> Vec<Way> {
        let dir = tempfile::tempdir().expect("a folder");
        let conf = dir.path().join("www/server/nginx/conf");
        fs::create_dir_all(&conf).expect("made");
        fs::write(conf.join("nginx.conf"), format!("http {{ {sites} }}")).expect("written");
        let host = HostRoot::new(dir.path());
        let service = ServiceName::new("shop", "prod").expect("a good name");
        ways(&host, &service, ArmPorts { blue: 18_000, green: 18_001 })
    }

    #[test]
    fn every_location_that_ends_at_an_arm_is_found_with_its_paths() {
        let cases = [
            ("location / { proxy_pass http://127.0.0.1:18000; }", "/debug/"),
            ("location /api/ { proxy_pass http://localhost:18001/; }", "/api/debug/"),
            ("location /api { proxy_pass http://u; }", ""),
            ("location /debug/ { proxy_pass http://u; }", "/debug/"),
            (
                "location ~ ^/v1/(.*)$ { proxy_pass http://guanka_shop_prod_$guanka_arm/$1; }",
                "/v1/debug/?",
            ),
            ("location /v/ { rewrite ^/v(.*)$ $1 break; proxy_pass http://u; }", "/v/debug/?"),
            ("location /d/ { if ($x) { proxy_pass http://u/debug/; } }", "/d/"),
            ("location = /p { proxy_pass http://u/debug/; }", "/p"),
            ("location = /q { rewrite ^ /x break; proxy_pass http://u; }", ""),
            ("location / { location /debug { proxy_pass http://$pool; } }", "/debug/"),
        ];
        for (body, paths) in cases {
            let ways = found(&format!(
                "upstream u {{ server 127.0.0.1:9; server 127.0.0.1:18001 backup; }}
                 server {{ listen 8080; server_name *.cn ~^x api.cn; {body} }}"
            ));
            let [way] = ways.as_slice() else { panic!("{body}: {ways:?}") };
            assert_eq!((way.name.as_str(), way.listens.len()), ("api.cn", 1));
            let shown = |path: &super::Path| {
                format!("{}{}", path.text, if path.is_sure { "" } else { "?" })
            };
            let found: Vec<String> = way.paths_to("/debug/").iter().map(shown).collect();
            assert_eq!(found.join(" "), paths, "{body}");
        }
        let none = found(
            "upstream u { server 127.0.0.1:9; } server { location / { proxy_pass http://u; }
             location /x { proxy_pass http://127.0.0.1:8080; } location /y { return 200; } }",
        );
        assert_eq!(none, []);
    }
}
