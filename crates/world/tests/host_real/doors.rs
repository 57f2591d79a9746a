//! Sites that are not simply asked over IPv4: with IPv6 alone, behind the PROXY protocol with and
//! without TLS, with a unix socket alone. Each is proven at every share, or told why it cannot be.

use std::fs;

use guanka_core::facts::declared::Sticky;
use guanka_core::name::Arm;
use guanka_world::ports;
use guanka_world::prove::Nonce;
use guanka_world::prove::NotProven;
use guanka_world::prove::closed::{self, Open};
use guanka_world::proxy::{self, WiringError};

use crate::nginx::{Wired, cookie};
use crate::root::{self, DOMAIN, Root, has, service};
use crate::sites::certificate;

const SITE: &str = "www/server/panel/vhost/nginx/shop.conf";

/// Lays out a host whose site listens so. A second site keeps a plain address, by which the start
/// of nginx is seen; it leads to no arm.
fn root_with(listens: &str) -> Root {
    let root = Root::new();
    certificate(&root, "cert.pem", "key.pem", DOMAIN);
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = free.local_addr().expect("an address").port().to_string();
    root.write(
        SITE,
        &format!(
            "server {{ {} server_name {DOMAIN}; root ROOT/www/wwwroot/shop;
             ssl_certificate ROOT/cert.pem; ssl_certificate_key ROOT/key.pem;
             include ROOT/www/server/panel/vhost/nginx/extension/shop/*.conf; }}
             server {{ listen 127.0.0.1:LISTEN; server_name other.cn; return 404; }}",
            listens.replace("PORT", &port)
        ),
    );
    root
}

/// Returns whether this machine speaks IPv6 with itself.
fn has_v6() -> bool {
    std::net::TcpListener::bind("[::1]:0").is_ok()
}

#[test]
fn every_share_is_proven_over_ipv6_and_behind_the_proxy_protocol() {
    if !has(&["nginx", "openssl"]) {
        return;
    }
    let trusting = "set_real_ip_from 127.0.0.0/8; real_ip_header proxy_protocol;";
    let cases = [
        ("listen [::]:PORT;".to_owned(), cookie(), "[::1]:"),
        ("listen [::1]:PORT ssl http2;".to_owned(), cookie(), "(TLS)"),
        ("listen [::]:PORT ipv6only=off;".to_owned(), Sticky::Client, "[::1]:"),
        ("listen PORT proxy_protocol;".to_owned(), cookie(), "(PROXY)"),
        ("listen PORT proxy_protocol;".to_owned(), Sticky::Client, "(PROXY)"),
        (format!("listen PORT proxy_protocol; {trusting}"), Sticky::Client, "(PROXY)"),
        ("listen PORT ssl proxy_protocol;".to_owned(), Sticky::Request, "(PROXY, TLS)"),
        (format!("listen [::]:PORT ssl proxy_protocol; {trusting}"), cookie(), "(PROXY, TLS)"),
    ];
    for (listens, sticky, shown) in cases {
        if listens.contains('[') && !has_v6() {
            continue;
        }
        let wired = Wired::on(root_with(&listens), &root::proxy(sticky));
        let found = wired.wiring.listens.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert!(found.join(" ").contains(shown), "{listens}: {found:?}");
        for green in [0, 30, 100] {
            wired.swap(green);
            let proof = wired.prove(green).unwrap_or_else(|e| panic!("{listens} at {green}: {e}"));
            assert_eq!(proof.arms.len(), if green == 30 { 2 } else { 1 }, "{listens}");
        }
    }
}

#[test]
fn one_address_of_ipv6_shows_one_side_of_a_share_and_the_other_is_called_by_its_name() {
    if !has(&["nginx", "openssl"]) || !has_v6() {
        return;
    }
    let wired = Wired::on(root_with("listen [::]:PORT;"), &root::proxy(Sticky::Client));
    let notes = wired.wiring.notes.iter().map(|note| note.en.to_string()).collect::<String>();
    assert!(notes.contains("IPv6 alone"), "{notes}");
    for (green, arm) in [(0, Arm::Blue), (100, Arm::Green)] {
        wired.swap(green);
        assert!(wired.prove(green).expect("one key is enough").arms.contains_key(&arm));
    }
    // Of a hundred shares, a handful of addresses can show both sides of few.
    let mut untold = 0;
    for green in [1, 99] {
        wired.swap(green);
        match wired.prove(green) {
            Ok(proof) => assert_eq!(proof.arms.len(), 2),
            Err(NotProven::NoClient { .. }) => untold += 1,
            Err(error) => panic!("{error}"),
        }
    }
    assert!(untold > 0, "this machine cannot have so many addresses");
}

#[test]
fn what_is_open_over_ipv6_or_behind_the_proxy_protocol_is_found() {
    if !has(&["nginx", "openssl"]) {
        return;
    }
    let trusting = "set_real_ip_from 127.0.0.0/8; real_ip_header proxy_protocol;";
    let guarded = crate::closed::with_debug(&[], &[]);
    for listens in ["listen [::]:PORT;", &format!("listen PORT ssl proxy_protocol; {trusting}")] {
        if listens.contains('[') && !has_v6() {
            continue;
        }
        let ask = |wired: &Wired| {
            let ways = proxy::ways(&wired.root.host, &service(), wired.ports);
            closed::prove(&ways, &guarded, wired.ports, &Nonce::fresh().expect("random"))
        };
        let wired = Wired::on(root_with(listens), &guarded);
        let proven = ask(&wired).expect("closed");
        assert!(proven.questions >= 8 && proven.unasked == 0, "{listens}: {proven:?}");
        let open = Wired::on(root_with(listens), &root::proxy(cookie()));
        let Err(Open::Reached(found)) = ask(&open) else { panic!("{listens}: not found") };
        assert_eq!(found.from.is_ipv6(), listens.contains('['), "{found}");
    }
}

#[test]
fn a_site_that_can_be_asked_nowhere_is_refused_before_anything_is_written() {
    if !has(&["nginx", "openssl"]) {
        return;
    }
    for proxied in ["", " proxy_protocol"] {
        let root = root_with(&format!("listen unix:ROOT/run/shop.sock{proxied};"));
        root.start_nginx();
        let ports = ports::allot(&root.host, &service()).expect("two ports");
        let error = proxy::plan(&root.host, &service(), &root::proxy(cookie()), ports)
            .expect_err("nothing can be proven");
        assert!(matches!(error, WiringError::Unasked { .. }), "{error}");
        let text = error.to_string();
        assert!(text.contains("shop.conf listens at unix:") && text.contains("listen 127.0.0.1"));
        let said = fs::read_to_string(root.at(SITE)).expect("there");
        let mended = said.replacen("server_name", "listen 127.0.0.1:PORT; server_name", 1);
        let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = free.local_addr().expect("an address").port().to_string();
        drop(free);
        root.write(SITE, &mended.replace("PORT", &port));
        let wiring = proxy::plan(&root.host, &service(), &root::proxy(cookie()), ports);
        assert_eq!(wiring.expect("what was advised").listens.len(), 1);
    }
}
