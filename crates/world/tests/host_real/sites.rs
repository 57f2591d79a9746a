//! Sites as they really are: with TLS and nothing else, with HTTP/2, sending everybody to https,
//! and renewing their certificates through whatever guanka puts in front.

use std::io::Read;
use std::net::TcpListener;
use std::process::{Command, Stdio};

use guanka_world::prove::NotProven;

use crate::nginx::{Wired, cookie};
use crate::root::{self, DOMAIN, Root, Running, has};

const EXTENSION: &str = "include ROOT/www/server/panel/vhost/nginx/extension/shop/*.conf;
    root ROOT/www/wwwroot/shop;
    ssl_certificate ROOT/cert.pem;
    ssl_certificate_key ROOT/key.pem;";
const SITE_FILE: &str = "www/server/panel/vhost/nginx/shop.conf";

/// Lays out a host whose site has this text; `PLAIN` becomes a second free port.
fn root_with(site: &str) -> (Root, u16) {
    let root = Root::new();
    certificate(&root, "cert.pem", "key.pem", "elsewhere.example.org");
    let second = TcpListener::bind("127.0.0.1:0").expect("a port");
    let plain = second.local_addr().expect("an address").port();
    let text = site.replace("EXTENSION", EXTENSION).replace("PLAIN", &plain.to_string());
    root.write(SITE_FILE, &text);
    (root, plain)
}

/// Makes a certificate that signs itself.
pub(crate) fn certificate(root: &Root, cert: &str, key: &str, name: &str) {
    let mut command = Command::new("openssl");
    command.args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj"]);
    command.arg(format!("/CN={name}")).arg("-addext").arg(format!("subjectAltName=DNS:{name}"));
    command.arg("-out").arg(root.at(cert)).arg("-keyout").arg(root.at(key));
    let made = command.output().expect("openssl runs");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

/// Asks with curl under TLS; returns body, status and version of HTTP.
fn curl(port: u16, path: &str, args: &[&str]) -> String {
    let mut command = Command::new("curl");
    command.args(["-sk", "--max-time", "20", "-w", " %{http_code} %{http_version}"]).args(args);
    command.arg("--resolve").arg(format!("{DOMAIN}:{port}:127.0.0.1"));
    let got = command.arg(format!("https://{DOMAIN}:{port}{path}")).output().expect("curl runs");
    String::from_utf8_lossy(&got.stdout).into_owned()
}

#[test]
fn a_site_with_tls_alone_is_installed_and_every_share_is_proven() {
    if !has(&["nginx", "openssl", "curl"]) {
        return;
    }
    for listen in ["ssl", "ssl http2"] {
        let site = format!(
            "server {{ listen 127.0.0.1:LISTEN {listen}; server_name {DOMAIN}; EXTENSION }}"
        );
        let (root, _) = root_with(&site);
        let wired = Wired::on(root, &root::proxy(cookie()));
        for green in [0, 50, 100] {
            wired.swap(green);
            let proof = wired.prove(green).expect("proven");
            assert_eq!(proof.arms.len(), if green == 50 { 2 } else { 1 });
        }
        let version = if listen == "ssl" { "1.1" } else { "2" };
        let port = wired.root.listen;
        assert_eq!(curl(port, "/", &[]), format!("green 200 {version}"), "{listen}");
        let headers = curl(port, "/headers", &["-d", "a=b"]);
        assert!(headers.contains("\"x-forwarded-proto\": \"https\""), "{headers}");
    }
}

#[test]
fn no_request_over_http2_fails_while_the_share_moves() {
    if !has(&["nginx", "openssl", "curl"]) {
        return;
    }
    let site =
        format!("server {{ listen 127.0.0.1:LISTEN ssl http2; server_name {DOMAIN}; EXTENSION }}");
    let wired = Wired::on(root_with(&site).0, &root::proxy(cookie()));
    let port = wired.root.listen;
    let mut command = Command::new("curl");
    command.args(["-sk", "--max-time", "60", "--http2", "-Z", "--parallel-max", "50"]);
    command.args(["-o", "/dev/null", "-w", "%{http_code} %{http_version}\n", "-b", "sid=h2"]);
    command.arg("--resolve").arg(format!("{DOMAIN}:{port}:127.0.0.1"));
    command.arg(format!("https://{DOMAIN}:{port}/?[1-6000]"));
    let mut running = Running(command.stdout(Stdio::piped()).spawn().expect("curl runs"));
    let mut output = running.0.stdout.take().expect("piped");
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        output.read_to_string(&mut text).map(|_| text)
    });
    let mut moves = 0;
    while running.0.try_wait().expect("curl is a child").is_none() && moves < 1_000_000 {
        wired.swap(if moves % 2 == 0 { 100 } else { 0 });
        moves += 1;
    }
    let text = reader.join().expect("reads").expect("text");
    let good = text.lines().filter(|line| *line == "200 2").count();
    assert_eq!((good, text.lines().count()), (6000, 6000), "after {moves} moves");
    assert!(moves > 20, "the share moved only {moves} times");
}

#[test]
fn a_site_that_sends_everybody_to_https_is_proven_there() {
    if !has(&["nginx", "openssl"]) {
        return;
    }
    let one = format!(
        "server {{ listen 127.0.0.1:PLAIN; listen 127.0.0.1:LISTEN ssl; server_name {DOMAIN};
         if ($server_port != LISTEN) {{ return 301 https://$host$request_uri; }} EXTENSION }}"
    );
    let two = format!(
        "server {{ listen 127.0.0.1:PLAIN; server_name {DOMAIN}; \
         return 301 https://$host$request_uri; }}
         server {{ listen 127.0.0.1:LISTEN ssl; server_name {DOMAIN}; EXTENSION }}"
    );
    for (site, listens) in [(one, 2), (two, 1)] {
        let (root, _) = root_with(&site);
        let wired = Wired::on(root, &root::proxy(cookie()));
        assert_eq!(wired.wiring.listens.len(), listens, "{site}");
        wired.swap(100);
        let proof = wired.prove(100).expect("proven");
        assert_eq!(proof.seen.len(), 1);
    }
    // Where TLS ends before this machine, the redirect is a loop, and that is what is said.
    let loops = format!(
        "server {{ listen 127.0.0.1:LISTEN; server_name {DOMAIN};
         if ($scheme = http) {{ return 301 https://$host$request_uri; }} EXTENSION }}"
    );
    let wired = Wired::on(root_with(&loops).0, &root::proxy(cookie()));
    let error = wired.prove(0).expect_err("no way in");
    assert!(matches!(error, NotProven::SentToHttps { .. }), "{error}");
    // A CDN asks again without TLS what it is sent on with, and so without end.
    let mut client = crate::root::Client::connect(wired.root.listen).expect("connected");
    for _ in 0..3 {
        assert_eq!(client.get("/", "x").expect("an answer").0, 301);
    }
}

#[test]
fn certificates_renew_through_both_forms_of_the_location() {
    if !has(&["nginx", "openssl"]) {
        return;
    }
    let challenge = "/.well-known/acme-challenge/token-1";
    let regex = "location / { return 418; } location ~ \\.well-known { allow all; }";
    for (form, own) in [("~ ^/(?!", regex), ("^~ / {", "")] {
        let site =
            format!("server {{ listen 127.0.0.1:LISTEN; server_name {DOMAIN}; EXTENSION {own} }}");
        let (root, _) = root_with(&site);
        root.write(&format!("www/wwwroot/shop{challenge}"), "token-1.thumbprint\n");
        let wired = Wired::on(root, &root::proxy(cookie()));
        let server = wired.wiring.files.last().expect("the site's");
        assert!(server.text.contains(&format!("location {form}")), "{}", server.text);
        let answer = wired.root.ask(challenge, "x");
        assert_eq!(answer, (200, "token-1.thumbprint\n".to_owned()), "{form}");
        assert_eq!(wired.root.ask("/other", "x"), (200, "blue".to_owned()), "{form}");
        // As certbot's nginx plugin does it: an exact location for the time of the renewal.
        let with_plugin = site.replace(
            "server_name",
            "location = /.well-known/acme-challenge/t2 { return 200 t2.thumb; } server_name",
        );
        let text = with_plugin.replace("EXTENSION", EXTENSION);
        wired.root.write(SITE_FILE, &text);
        let nginx = guanka_world::proxy::Nginx::find(&wired.root.host).expect("there");
        nginx.reload().expect("reloaded");
        let answer = wired.root.ask("/.well-known/acme-challenge/t2", "x");
        assert_eq!(answer, (200, "t2.thumb".to_owned()), "{form}");
    }
}
