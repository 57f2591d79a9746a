//! Sites as the panel writes them, and as people do: which form is chosen and which are refused.

use std::fs;
use std::path::Path;

use guanka_core::name::{Domain, ServiceName};

use super::super::control::Nginx;
use super::{Consent, LocationForm, Place, Site, SiteError, find};
use crate::hostroot::HostRoot;

const EXTENSION: &str = "include ROOT/www/server/panel/vhost/nginx/extension/shop/*.conf;";
const CERTIFICATES: &str = r"location ~ \.well-known { allow all; }";

fn write(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().expect("has one")).expect("made");
    fs::write(path, text.replace("ROOT", &root.display().to_string())).expect("written");
}

/// Lays out a panel host with one site and asks for it.
fn ask(body: &str) -> Result<Site, SiteError> {
    let dir = tempfile::tempdir().expect("a folder");
    let vhost = "www/server/panel/vhost/nginx";
    write(dir.path(), "www/server/nginx/conf/nginx.conf", "user www;\n");
    let site = format!("server {{ listen 80; server_name a.cn shop.example.com; {body} }}");
    write(dir.path(), &format!("{vhost}/shop.conf"), &site);
    write(dir.path(), &format!("{vhost}/other.conf"), "server { server_name other.cn; }");
    write(
        dir.path(),
        &format!("{vhost}/proxy/shop/abc_shop.conf"),
        "location ^~ / { proxy_pass http://127.0.0.1:8080; }",
    );
    find_in(dir.path())
}

fn find_in(root: &Path) -> Result<Site, SiteError> {
    let host = HostRoot::new(root);
    let nginx = Nginx::find(&host).expect("laid out");
    let domain = Domain::new("shop.example.com").expect("a domain");
    find(
        &host,
        &nginx,
        &ServiceName::new("shop", "prod").expect("a good name"),
        &domain,
        Consent::None,
    )
}

#[test]
fn the_form_follows_what_the_site_has() {
    let bodies = [
        (format!("{EXTENSION} location / {{ proxy_pass http://x; }}"), LocationForm::Regex),
        (format!("{EXTENSION} {CERTIFICATES}"), LocationForm::Regex),
        (format!("{EXTENSION} location ~ .*\\.js$ {{ expires 1h; }}"), LocationForm::Prefix),
    ];
    for (body, form) in bodies {
        let site = ask(&body).expect("usable");
        assert_eq!(site.form, form, "{body}");
        assert!(site.extension.ends_with("extension/shop/guanka.conf"));
        assert_eq!(site.listens[0].to_string(), "127.0.0.1:80");
    }
}

#[test]
fn sites_where_guanka_could_not_win_are_refused_with_the_reason() {
    let bodies = [
        (CERTIFICATES.to_owned(), "NoInclude"),
        (
            format!("{EXTENSION} include ROOT/www/server/panel/vhost/nginx/proxy/shop/*.conf;"),
            "ClassicProxy",
        ),
        (format!("{EXTENSION} location ^~ / {{ proxy_pass http://x; }}"), "Covered"),
        (format!("{EXTENSION} location = / {{ return 204; }}"), "Covered"),
    ];
    for (body, expected) in bodies {
        let error = ask(&body).expect_err("refused");
        assert!(format!("{error:?}").starts_with(expected), "{body}: {error:?}");
    }
}

#[test]
fn an_older_panels_site_takes_the_block_in_its_rewrite_file() {
    let dir = tempfile::tempdir().expect("a folder");
    write(dir.path(), "www/server/nginx/conf/nginx.conf", "user www;\n");
    let vhost = "www/server/panel/vhost";
    let body = "include ROOT/www/server/panel/vhost/rewrite/shop.conf; location / { }";
    let text = format!("server {{ listen 80; server_name shop.example.com; {body} }}");
    write(dir.path(), &format!("{vhost}/nginx/shop.conf"), &text);
    let refused = find_in(dir.path()).expect_err("the included file is not there");
    assert!(matches!(refused, SiteError::NoInclude { .. }), "{refused:?}");
    write(dir.path(), &format!("{vhost}/rewrite/shop.conf"), "rewrite ^/a$ /b last;\n");
    let site = find_in(dir.path()).expect("usable");
    assert_eq!((site.place, site.form), (Place::Block, LocationForm::Regex));
    assert!(site.extension.ends_with("vhost/rewrite/shop.conf"));
    let taken = "# guanka begin pay.prod\n# guanka end pay.prod\n";
    write(dir.path(), &format!("{vhost}/rewrite/shop.conf"), taken);
    let other = SiteError::Taken { service: "pay.prod".to_owned() };
    assert_eq!(find_in(dir.path()).expect_err("taken"), other);
}

#[test]
fn the_site_is_found_by_its_domain_and_doubts_are_told() {
    let dir = tempfile::tempdir().expect("a folder");
    let vhost = "www/server/panel/vhost/nginx";
    write(dir.path(), "www/server/nginx/conf/nginx.conf", "");
    fs::create_dir_all(dir.path().join(vhost)).expect("made");
    assert!(matches!(find_in(dir.path()), Err(SiteError::NotFound { .. })));
    let text = format!(
        "server {{ listen 80; server_name shop.example.com; return 301 https://x; }}\n\
         server {{ listen 443 ssl; server_name SHOP.example.com; {EXTENSION} {CERTIFICATES}\n\
         location ^~ /static/ {{ }} access_log /www/wwwlogs/a.log; access_log syslog:server=x y;\n\
         }}"
    );
    write(dir.path(), &format!("{vhost}/1shop.conf"), &text);
    let regex = "location ~ ^/x { return 204; }";
    write(dir.path(), &format!("{vhost}/extension/shop/a.conf"), regex);
    let site = find_in(dir.path()).expect("found");
    let listens: Vec<String> = site.listens.iter().map(ToString::to_string).collect();
    assert_eq!(listens, ["127.0.0.1:443 (TLS)"], "the block that redirects is not asked");
    assert_eq!(site.logs.len(), 1);
    assert_eq!(site.notes.len(), 3, "{:?}", site.notes);
    write(dir.path(), &format!("{vhost}/extension/shop/guanka.conf"), "# guanka pay.prod: x\n");
    let taken = SiteError::Taken { service: "pay.prod".to_owned() };
    assert_eq!(find_in(dir.path()).expect_err("taken"), taken);
    write(dir.path(), &format!("{vhost}/2shop.conf"), &text);
    assert!(matches!(find_in(dir.path()), Err(SiteError::Ambiguous { .. })));
}

#[test]
fn a_host_without_a_panel_is_told_the_line_to_add() {
    let dir = tempfile::tempdir().expect("a folder");
    write(dir.path(), "etc/nginx/nginx.conf", "");
    let site = "etc/nginx/sites-enabled/shop";
    write(dir.path(), site, "server { listen 80; server_name shop.example.com; }");
    fs::create_dir_all(dir.path().join("etc/nginx/conf.d")).expect("made");
    let Err(SiteError::NoInclude { line, .. }) = find_in(dir.path()) else {
        panic!("the include is missing");
    };
    let text = format!("server {{ listen 80; server_name shop.example.com; {line} }}");
    write(dir.path(), site, &text);
    let found = find_in(dir.path()).expect("found");
    assert_eq!(found.form, LocationForm::Prefix);
    assert!(found.extension.ends_with("etc/nginx/guanka/shop.prod/guanka.conf"));
}
