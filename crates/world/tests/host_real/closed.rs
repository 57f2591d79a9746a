//! What is closed to the outside stays closed whichever way it is asked for, and what leaves it
//! open is named: another site, a prefix that is stripped, a file that nginx cannot read.

use std::fs;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::Command;

use guanka_core::facts::declared::Proxy;
use guanka_core::facts::guard::{Guard, Metrics, MetricsFrom, Network, PasswordLine, UpstreamTls};
use guanka_core::name::{Arm, Domain};
use guanka_world::ports;
use guanka_world::prove::Nonce;
use guanka_world::prove::closed::{self, Closed, Open};
use guanka_world::proxy::{self, Applied, Nginx};

use crate::nginx::{Wired, cookie};
use crate::root::{self, Root, has, service};
use crate::sites::certificate;

const OTHER: &str = "www/server/panel/vhost/nginx/other.conf";

pub(crate) fn with_debug(allow: &[&str], users: &[&str]) -> Proxy {
    let mut proxy = root::proxy(cookie());
    proxy.debug = Guard {
        paths: vec!["/debug/".to_owned()],
        allow: allow.iter().map(|text| Network::new(text).expect("one")).collect(),
        users: users.iter().map(|text| PasswordLine::new(text).expect("one")).collect(),
    };
    proxy
}

fn prove(wired: &Wired, declared: &Proxy) -> Result<Closed, Open> {
    let nonce = Nonce::fresh().expect("random");
    let ways = proxy::ways(&wired.root.host, &service(), wired.ports);
    closed::prove(&ways, declared, wired.ports, &nonce)
}

/// Installs again with other settings.
fn install(wired: &Wired, proxy: &Proxy) {
    let wiring = proxy::plan(&wired.root.host, &service(), proxy, wired.ports).expect("a plan");
    let applied = proxy::install(&wired.root.host, &wiring).expect("installed");
    assert!(matches!(applied, Applied::Reloaded { .. }), "{applied:?}");
}

/// Writes a second site and has nginx read it.
fn other_site(wired: &Wired, body: &str) {
    let ports = wired.ports;
    let body = body.replace("BLUE", &ports.blue.to_string());
    wired.root.write(
        OTHER,
        &format!("server {{ listen 127.0.0.1:LISTEN; server_name other.cn;\n{body}\n}}\n"),
    );
    Nginx::find(&wired.root.host).expect("there").reload().expect("reloaded");
}

/// Returns an address of this machine that is not the loopback's, if it has one.
fn own_address() -> Option<Ipv4Addr> {
    let table = fs::read_to_string("/proc/net/fib_trie").expect("Linux has it");
    guanka_parse::procnet::own_addresses(&table).first().copied()
}

/// Asks with curl from an address; returns the status and the body.
fn ask(root: &Root, from: Ipv4Addr, path: &str, args: &[&str]) -> (String, String) {
    let mut command = Command::new("curl");
    command.args(["-s", "--path-as-is", "--max-time", "20", "-w", "\n%{http_code}"]).args(args);
    command
        .arg("--interface")
        .arg(from.to_string())
        .arg("-H")
        .arg(format!("Host: {}", root::DOMAIN));
    let to = SocketAddrV4::new(Ipv4Addr::LOCALHOST, root.listen);
    let got = command.arg(format!("http://{to}{path}")).output().expect("curl runs");
    let text = String::from_utf8_lossy(&got.stdout).into_owned();
    let (body, status) = text.rsplit_once('\n').expect("a status");
    (status.to_owned(), body.to_owned())
}

#[test]
fn the_profiler_is_closed_and_every_way_around_is_found() {
    if !has(&["nginx"]) {
        return;
    }
    let proxy = with_debug(&[], &[]);
    let mut wired = Wired::on(Root::new(), &proxy);
    let proven = prove(&wired, &proxy).expect("closed");
    assert!(proven.questions >= 8 && proven.unasked == 0, "{proven:?}");
    assert_eq!(wired.root.ask("/debug/pprof/", "x").0, 403);
    assert_eq!(wired.root.ask("/x/..//DEBUG/%70prof/heap", "x").0, 403);
    assert_eq!(wired.root.ask("/debugger", "x"), (200, "blue".to_owned()));

    other_site(&wired, "location /api/ { proxy_pass http://127.0.0.1:BLUE/; }");
    let Err(Open::Reached(found)) = prove(&wired, &proxy) else {
        panic!("the prefix that is stripped is not found");
    };
    let seen = (found.asked.as_str(), found.name.as_str(), found.status);
    assert_eq!(seen, ("/api/debug/pprof/", "other.cn", 200));
    assert!(found.place.ends_with("other.conf:2"), "{found}");

    let guarded = "location ~* ^/api/debug(/|$) { deny all; }
         location /api/ { proxy_pass http://127.0.0.1:BLUE/; }";
    other_site(&wired, guarded);
    prove(&wired, &proxy).expect("closed there too");

    let rewritten = "location ~ ^/v1/ { rewrite ^/v1(/.*)$ $1 break; \
         proxy_pass http://guanka_shop_prod_green; }";
    other_site(&wired, rewritten);
    let error = prove(&wired, &proxy).expect_err("open by the upstream's name");
    assert!(error.to_string().contains("other.cn/v1/debug/pprof/"), "{error}");

    // A program that is down gives itself away by nginx's try to reach it.
    let uncached = "location /api/ { proxy_cache off; proxy_pass http://127.0.0.1:BLUE/; }";
    other_site(&wired, uncached);
    wired.arms.remove(&Arm::Blue);
    let _held = ports::hold(wired.ports.blue).expect("held");
    let error = prove(&wired, &proxy).expect_err("would be open");
    assert!(matches!(&error, Open::Reached(found) if found.status == 502), "{error}");
}

#[test]
fn a_lock_that_is_missing_is_seen() {
    if !has(&["nginx"]) {
        return;
    }
    let wired = Wired::on(Root::new(), &root::proxy(cookie()));
    let error = prove(&wired, &with_debug(&[], &[])).expect_err("nothing locks it");
    let Open::Reached(found) = error else { panic!("{error}") };
    assert_eq!(found.asked, "/debug/pprof/");
    assert!(found.place.contains("extension/shop/guanka.conf:"), "{found}");
}

#[test]
fn an_allowed_address_needs_the_password_and_others_get_nothing() {
    if !has(&["nginx", "openssl", "curl"]) {
        return;
    }
    let hashed = Command::new("openssl").args(["passwd", "-6", "right"]).output();
    let hash = String::from_utf8(hashed.expect("openssl runs").stdout).expect("text");
    let line = format!("ops:{}", hash.trim());
    let proxy = with_debug(&["127.0.0.1"], &[&line]);
    let root = Root::new();
    // The site lets either the address or a password do; the lock must not.
    let site = root.at("www/server/panel/vhost/nginx/shop.conf");
    let text = fs::read_to_string(&site).expect("there");
    fs::write(&site, text.replace("root ", "satisfy any; root ")).expect("written");
    let wired = Wired::on(root, &proxy);
    let file = wired.root.at("www/server/pass/guanka_shop.prod.pass");
    let found = fs::metadata(&file).expect("written");
    assert_eq!(found.mode() & 0o777, 0o640);
    prove(&wired, &proxy).expect("closed but for those who may");
    let loopback = Ipv4Addr::LOCALHOST;
    let page = "/debug/pprof/";
    assert_eq!(ask(&wired.root, loopback, page, &[]).0, "401");
    assert_eq!(ask(&wired.root, loopback, page, &["-u", "ops:wrong"]).0, "401");
    let (status, body) = ask(&wired.root, loopback, page, &["-u", "ops:right"]);
    assert_eq!(status, "200");
    assert!(body.starts_with("Types of profiles"), "{body}");
    if let Some(address) = own_address() {
        assert_eq!(ask(&wired.root, address, page, &["-u", "ops:right"]).0, "403");
    }
    if rustix::process::geteuid().is_root() {
        assert_ne!(found.gid(), 0, "nginx's group may read it");
        let folder = wired.root.at("www/server/pass");
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).expect("closed");
        let error = prove(&wired, &proxy).expect_err("nginx cannot read it");
        assert!(matches!(error, Open::Passwords { .. }), "{error}");
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).expect("opened");
    }
    install(&wired, &with_debug(&[], &[]));
    assert!(!file.exists(), "passwords that nothing asks for are gone");
    assert_eq!(ask(&wired.root, loopback, page, &["-u", "ops:right"]).0, "403");
}

fn with_metrics(from: MetricsFrom) -> Proxy {
    let path = "/bt-metrics".to_owned();
    Proxy { metrics: Some(Metrics { path, from, allow: Vec::new() }), ..root::proxy(cookie()) }
}

#[test]
fn metrics_are_fetched_from_this_machine_and_from_nowhere_else() {
    if !has(&["nginx", "curl"]) {
        return;
    }
    let mut proxy = with_metrics(MetricsFrom::Arm("/metrics".to_owned()));
    let wired = Wired::on(Root::new(), &proxy);
    wired.swap(100);
    for path in ["/bt-metrics", "/metrics"] {
        let (status, body) = ask(&wired.root, Ipv4Addr::LOCALHOST, path, &[]);
        assert_eq!(status, "200", "{path}");
        assert!(body.contains("arm{name=\"green\"} 1"), "{path}: {body}");
        if let Some(address) = own_address() {
            assert_eq!(ask(&wired.root, address, path, &[]).0, "403", "{path}");
        }
    }
    let log = fs::read_to_string(&wired.wiring.access_log).unwrap_or_default();
    assert!(!log.contains("metrics"), "scrapes are no users: {log}");
    prove(&wired, &proxy).expect("closed");
    let Some(address) = own_address() else { return };
    other_site(&wired, "location /x { proxy_pass http://127.0.0.1:BLUE/; }");
    let error = prove(&wired, &proxy).expect_err("open beside it");
    let Open::Reached(found) = error else { panic!("{error}") };
    assert_eq!(found.from, address, "the loopback may, so the outside was asked");
    other_site(&wired, "return 404;");
    let allowed = Network::new(&address.to_string()).expect("one");
    proxy.metrics.as_mut().expect("there").allow.push(allowed);
    install(&wired, &proxy);
    assert_eq!(ask(&wired.root, address, "/bt-metrics", &[]).0, "200");
}

#[test]
fn metrics_come_over_tls_by_name_and_only_from_the_right_authority() {
    if !has(&["nginx", "openssl", "curl"]) {
        return;
    }
    let root = Root::new();
    certificate(&root, "app.pem", "app.key", "metrics.internal");
    certificate(&root, "wrong.pem", "wrong.key", "metrics.internal");
    // The program's own listener with TLS: nginx again, which can say which name it was asked for.
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = free.local_addr().expect("an address");
    drop(free);
    root.write(
        OTHER,
        &format!(
            "server {{ listen {address} ssl; ssl_certificate ROOT/app.pem;
             ssl_certificate_key ROOT/app.key; ssl_protocols TLSv1.2 TLSv1.3;
             location = /metrics {{ return 200 \"# TYPE up gauge\\n$ssl_server_name\"; }} }}"
        ),
    );
    let from = |name: Option<&str>, ca: Option<&str>| {
        let ca = ca.map(|file| root.at(file).display().to_string());
        let name = name.map(|name| Domain::new(name).expect("a name"));
        let tls = Some(UpstreamTls { name, ca });
        with_metrics(MetricsFrom::Address { address, path: "/metrics".to_owned(), tls })
    };
    let right = from(Some("metrics.internal"), Some("app.pem"));
    let others = [
        (from(Some("metrics.internal"), Some("wrong.pem")), "502"),
        (from(Some("other.internal"), Some("app.pem")), "502"),
        (from(Some("other.internal"), None), "200"),
    ];
    let wired = Wired::on(root, &right);
    let fetch = || ask(&wired.root, Ipv4Addr::LOCALHOST, "/bt-metrics", &[]);
    let body = "# TYPE up gauge\nmetrics.internal".to_owned();
    assert_eq!(fetch(), ("200".to_owned(), body));
    prove(&wired, &right).expect("closed");
    for (proxy, status) in others {
        install(&wired, &proxy);
        assert_eq!(fetch().0, status, "{:?}", proxy.metrics);
    }
}
