//! Joins what runs with what leads to it: programs, their manager's name for them, the nginx
//! locations that pass requests to their ports, and what an operator should know about each.

use std::path::Path;

use guanka_core::facts::host::{Host, Listener, RunningProgram};
use guanka_core::facts::nginx::{Directive, Nginx, ProxyLocation, pass_host};
use guanka_core::facts::supervisor::Program;
use guanka_core::facts::systemd::Unit;
use guanka_core::say::Said;
use serde::Serialize;

/// All that was found.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Inventory {
    /// Each running Go program.
    pub(super) programs: Vec<Row>,
    /// Locations that pass requests to a local port where nobody listens.
    pub(super) dead_routes: Vec<DeadRoute>,
}

/// One running program.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Row {
    /// The program itself.
    pub(super) program: RunningProgram,
    /// What its manager calls it: a Supervisor program, a systemd unit, a panel project.
    pub(super) manager: Option<String>,
    /// What leads to it.
    pub(super) routes: Vec<Route>,
    /// What stands out.
    pub(super) remarks: Vec<Remark>,
}

/// A site's location that passes requests to a port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Route {
    /// The server's first name.
    pub(super) site: String,
    /// The location as written.
    pub(super) location: String,
    /// The port it passes to.
    pub(super) port: u16,
}

/// A route that ends nowhere.
#[derive(Clone, Debug, Serialize)]
pub(super) struct DeadRoute {
    /// The route.
    pub(super) route: Route,
    /// It in a sentence.
    pub(super) says: Said,
}

/// Something worth knowing about a program.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Remark {
    /// A stable name for it.
    pub(super) code: &'static str,
    /// It in a sentence.
    pub(super) says: Said,
}

/// Joins the facts. `is_replaced` tells whether a process's program file changed since its start.
pub(super) fn build(
    host: &Host,
    nginx: Option<&Nginx>,
    programs: &[Program],
    units: &[Unit],
    is_replaced: &dyn Fn(u32) -> bool,
) -> Inventory {
    let routes = nginx.map(routes).unwrap_or_default();
    let programs_of_users = host.programs.iter().filter(|program| !is_go_tool(program));
    let rows = programs_of_users.map(|program| {
        let own: Vec<Route> =
            routes.iter().filter(|r| program.ports.contains(&r.port)).cloned().collect();
        Row {
            manager: manager(program, host, programs, units),
            remarks: remarks(program, host, own.is_empty(), is_replaced(program.pid)),
            routes: own,
            program: program.clone(),
        }
    });
    Inventory { programs: rows.collect(), dead_routes: dead_routes(host, &routes) }
}

/// Says whether a program is one of Go's own tools, which come and go with every build.
fn is_go_tool(program: &RunningProgram) -> bool {
    program.go.as_deref().is_some_and(|go| go.contains(" cmd/"))
}

/// Returns every location that passes to a port of this machine.
fn routes(nginx: &Nginx) -> Vec<Route> {
    let mut found = Vec::new();
    for location in nginx.proxy_locations() {
        for port in ports(nginx, &location) {
            let names = location.server.inner().iter().find(|d| d.name == "server_name");
            let site = names.and_then(|d| d.args.first()).map_or("_", String::as_str).to_owned();
            let route = Route { site, location: location.location.text(), port };
            if !found.contains(&route) {
                found.push(route);
            }
        }
    }
    found
}

/// Returns the local ports a `proxy_pass` leads to. Where its name ends in a variable, as guanka's
/// own does, every upstream that begins alike counts.
fn ports(nginx: &Nginx, location: &ProxyLocation<'_>) -> Vec<u16> {
    let Some(target) = pass_host(location.pass) else { return Vec::new() };
    let fits = |upstream: &&Directive| {
        let name = upstream.args.first().map_or("", String::as_str);
        match target.split_once('$') {
            Some((before, _)) => !before.is_empty() && name.starts_with(before),
            None => name == target,
        }
    };
    let upstreams: Vec<&Directive> = nginx.upstreams().filter(fits).collect();
    if upstreams.is_empty() {
        return local_port(target).into_iter().collect();
    }
    let servers = upstreams.iter().flat_map(|u| u.inner()).filter(|d| d.name == "server");
    servers.filter_map(|d| local_port(d.args.first()?)).collect()
}

/// Returns the port of an address on this machine.
fn local_port(address: &str) -> Option<u16> {
    let (host, port) = address.rsplit_once(':')?;
    is_loopback(host.trim_matches(['[', ']'])).then(|| port.parse().ok())?
}

fn is_loopback(address: &str) -> bool {
    address == "localhost" || address == "::1" || address.starts_with("127.")
}

/// Returns what the manager calls a program, found by the program file in its command.
fn manager(
    program: &RunningProgram,
    host: &Host,
    programs: &[Program],
    units: &[Unit],
) -> Option<String> {
    let is_meant = |command: &str| {
        let word = command.split_whitespace().next().unwrap_or_default().trim_matches('"');
        is_same_file(word, program, host)
    };
    match program.kept_by.as_str() {
        "supervisor" => programs
            .iter()
            .find(|p| p.command().known().is_some_and(|c| is_meant(c)))
            .map(|p| p.name.clone()),
        "systemd" => {
            let starts = |unit: &&Unit| {
                let commands = unit.list("Service", "ExecStart");
                commands
                    .iter()
                    .any(|e| is_meant(e.value.trim_start_matches(['-', '@', ':', '+', '!'])))
            };
            units.iter().find(starts).map(|unit| unit.name.clone())
        }
        "panel go project" => {
            let sites = host.panel.as_ref().map(|p| p.sites.as_slice()).unwrap_or_default();
            sites.iter().find(|s| is_same_file(&s.path, program, host)).map(|s| s.name.clone())
        }
        _ => None,
    }
}

/// Says whether a path of the host's files is a program's, written with the root or without it.
fn is_same_file(written: &str, program: &RunningProgram, host: &Host) -> bool {
    let below = Path::new(&host.root).join(written.trim_start_matches('/'));
    !written.is_empty() && (written == program.program || below == Path::new(&program.program))
}

fn remarks(
    program: &RunningProgram,
    host: &Host,
    is_unreached: bool,
    is_replaced: bool,
) -> Vec<Remark> {
    let mut found = Vec::new();
    let mut add =
        |code, zh: String, en: String| found.push(Remark { code, says: Said::new(zh, en) });
    if program.uid == 0 {
        add("runs-as-root", "以 root 身份运行".into(), "runs as root".into());
    }
    for listener in open_listeners(program, host) {
        let place = format!("{}:{}", listener.address, listener.port);
        add(
            "listens-beyond-loopback",
            format!("监听 {place},可绕过 nginx 直接访问"),
            format!("listens on {place}: it can be reached without nginx"),
        );
    }
    if is_replaced {
        add(
            "file-replaced",
            "程序文件在启动之后已被替换或删除,运行的仍是旧文件".into(),
            "its file was replaced or removed since the start: the old one still runs".into(),
        );
    }
    if !is_kept(&program.kept_by) {
        add(
            "kept-by-nobody",
            "没有进程管理器看管:崩溃或重启机器后不会自动拉起".into(),
            "no process manager keeps it: it does not come back after a crash or a reboot".into(),
        );
    }
    if let Some(root) =
        host.web_roots.iter().find(|r| Path::new(&program.program).starts_with(&r.path))
    {
        add(
            "program-in-web-root",
            format!("程序文件位于网站目录 {} 之下,可能被下载", root.path),
            format!("its file lies below the web root {} and may be downloaded", root.path),
        );
    }
    if is_unreached && !program.ports.is_empty() {
        add(
            "no-site",
            "没有站点转发到它的端口".into(),
            "no site passes requests to its ports".into(),
        );
    }
    found
}

fn is_kept(keeper: &str) -> bool {
    ["supervisor", "systemd", "panel go project", "guanka", "container"].contains(&keeper)
}

fn open_listeners<'a>(program: &RunningProgram, host: &'a Host) -> Vec<&'a Listener> {
    let all = host.listeners.known().map(Vec::as_slice).unwrap_or_default();
    all.iter().filter(|l| l.pid == Some(program.pid) && !is_loopback(&l.address)).collect()
}

/// Returns the routes to local ports where nobody listens; none when the listeners are not known.
fn dead_routes(host: &Host, routes: &[Route]) -> Vec<DeadRoute> {
    let Some(listeners) = host.listeners.known() else { return Vec::new() };
    let dead = routes.iter().filter(|r| listeners.iter().all(|l| l.port != r.port));
    dead.map(|route| DeadRoute {
        says: Said::new(
            format!("{} {} 转发到端口 {},但无人监听", route.site, route.location, route.port),
            format!(
                "{} {} passes to port {}, where nobody listens",
                route.site, route.location, route.port
            ),
        ),
        route: route.clone(),
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use guanka_core::facts::host::{Host, Listener, RunningProgram, WebRoot};
    use guanka_core::facts::nginx::Nginx;
    use guanka_core::facts::{Fact, Provenance, Reason, Sourced};
    use guanka_parse::{nginx, supervisor};

    use super::{Route, build};

    fn unknown<T>() -> Fact<T> {
        Fact::Unknown(Reason::NotThere("x".to_owned()))
    }

    fn proxy(text: &str) -> Nginx {
        let (tree, problems) = nginx::parse_fragment("n", text);
        let main_file = "n".to_owned();
        Nginx { version: unknown(), main_file, tree, unreadable: Vec::new(), problems }
    }

    fn host(kept_by: &str, uid: u32, address: &str) -> Host {
        let program = RunningProgram {
            pid: 7,
            program: "/srv/lab/www/wwwroot/api/api".to_owned(),
            argv: Vec::new(),
            user: "u".to_owned(),
            uid,
            kept_by: kept_by.to_owned(),
            ports: vec![8080],
            go: None,
        };
        let listener =
            Listener { address: address.to_owned(), port: 8080, pid: Some(7), program: None };
        let from = Provenance::Path("/proc/net/tcp".to_owned());
        Host {
            root: "/srv/lab".to_owned(),
            arch: unknown(),
            panel: None,
            listeners: Fact::Known(Sourced { value: vec![listener], from }),
            programs: vec![program],
            web_roots: vec![WebRoot {
                path: "/srv/lab/www/wwwroot/api".to_owned(),
                span: None,
                suspects: Vec::new(),
                is_complete: true,
            }],
        }
    }

    fn codes(host: &Host, nginx: &Nginx, is_replaced: bool) -> Vec<&'static str> {
        let found = build(host, Some(nginx), &[], &[], &|_| is_replaced);
        found.programs[0].remarks.iter().map(|r| r.code).collect()
    }

    const SITE: &str = "http { upstream gk_blue { server 127.0.0.1:8080; \
                        server 127.0.0.1:9 backup; }\n\
                        upstream other { server 127.0.0.1:1; }\n\
                        server { server_name api.cn www.api.cn; location ~ ^/x { \
                        proxy_pass http://gk_$arm; } } }";

    #[test]
    fn a_site_is_followed_through_upstreams_and_variables() {
        let found = build(&host("nohup", 9, "127.0.0.1"), Some(&proxy(SITE)), &[], &[], &|_| false);
        let route = Route { site: "api.cn".to_owned(), location: "~ ^/x".to_owned(), port: 8080 };
        assert_eq!(found.programs[0].routes, [route]);
        let dead: Vec<u16> = found.dead_routes.iter().map(|d| d.route.port).collect();
        assert_eq!(dead, [9]);
    }

    #[test]
    fn what_stands_out_is_told() {
        let nowhere = proxy("http {}");
        assert_eq!(
            codes(&host("nohup", 0, "0.0.0.0"), &nowhere, true),
            [
                "runs-as-root",
                "listens-beyond-loopback",
                "file-replaced",
                "kept-by-nobody",
                "program-in-web-root",
                "no-site",
            ]
        );
        let mut good = host("systemd", 1001, "127.0.0.1");
        good.web_roots.clear();
        assert!(codes(&good, &proxy(SITE), false).is_empty());
    }

    #[test]
    fn tools_of_go_itself_are_left_out() {
        let mut tool = host("nohup", 0, "127.0.0.1");
        tool.programs[0].go = Some("go1.26.1 cmd/go".to_owned());
        assert!(build(&tool, None, &[], &[], &|_| false).programs.is_empty());
    }

    #[test]
    fn the_manager_is_found_by_the_program_in_its_command() {
        let text = "[program:other]\ncommand=/bin/x\n[program:api]\n\
                    command=/www/wwwroot/api/api -c a\n";
        let (programs, _, _) = supervisor::read("s.ini", text);
        let found = build(&host("supervisor", 9, "127.0.0.1"), None, &programs, &[], &|_| false);
        assert_eq!(found.programs[0].manager.as_deref(), Some("api"));
    }
}
