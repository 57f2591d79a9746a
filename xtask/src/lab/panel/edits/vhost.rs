//! The file of a Go project's site: its rendering from the template, and the five replacements by
//! pattern that any change of domain, port or certificate runs. If one pattern misses, the whole file
//! is rendered anew.

use std::ops::Range;
use std::path::PathBuf;

use anyhow::Result;

use super::{Panel, read, write};

/// The template: the site file that a host root is laid out with.
const TEMPLATE: &str = include_str!("../../../hostroot/files/go_api.conf");

/// A Go project's site as the panel's database has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GoSite {
    /// The project's name, which need not be a domain.
    pub(crate) name: String,
    /// Its domains.
    pub(crate) domains: Vec<String>,
    /// Where nginx listens for it.
    pub(crate) port: u16,
    /// The same with TLS, once there is a certificate.
    pub(crate) tls_port: Option<u16>,
    /// Plain requests are sent on to TLS.
    pub(crate) forces_https: bool,
    /// Where the program listens.
    pub(crate) backend: u16,
}

/// How a site's file was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rewrite {
    /// Each of the five patterns was found.
    Patterns,
    /// One was not, and the file is the template again.
    Template,
}

impl Panel {
    /// Returns where a Go project's site lies.
    pub(crate) fn vhost(&self, site: &GoSite) -> PathBuf {
        self.vhosts().join("nginx").join(format!("go_{}.conf", site.name))
    }

    /// Renders a site's file from the template.
    pub(super) fn rendered(&self, site: &GoSite) -> String {
        let root = self.info.root.display().to_string();
        let text = TEMPLATE
            .replace("@ROOT@", &root)
            .replace("@API_BACKEND_PORT@", &site.backend.to_string())
            .replace("/api/api;", &format!("/{0}/{0};", site.name))
            .replace("extension/api/", &format!("extension/{}/", site.name))
            .replace("well-known/api.conf", &format!("well-known/{}.conf", site.name))
            .replace("go_api.conf", &format!("go_{}.conf", site.name))
            .replace("wwwlogs/api.", &format!("wwwlogs/{}.", site.name));
        let listens = text.replace("listen 127.0.0.1:@API_PORT@;", &self.listens(site));
        let names = format!("server_name {};", site.domains.join(" "));
        let named = listens.replace("server_name api.example.com;", &names);
        match ssl_block(&named) {
            Some(range) => spliced(&named, range, &self.ssl(site)),
            None => named,
        }
    }

    /// Changes a site's file as any edit in the panel does.
    pub(super) fn rewrite(&self, site: &GoSite) -> Result<Rewrite> {
        let path = self.vhost(site);
        let text = read(&path)?;
        let changed = self.by_patterns(&text, site);
        let how = if changed.is_some() { Rewrite::Patterns } else { Rewrite::Template };
        write(&path, &changed.unwrap_or_else(|| self.rendered(site)))?;
        Ok(how)
    }

    fn by_patterns(&self, text: &str, site: &GoSite) -> Option<String> {
        let root = format!("root {}/www/wwwroot/{1}/{1};", self.info.root.display(), site.name);
        let pass = format!("location / {{\n        proxy_pass http://127.0.0.1:{};", site.backend);
        let text = spliced(text, listen_run(text)?, &self.listens(site));
        let text = spliced(&text, directive(&text, "root")?, &root);
        let names = format!("server_name {};", site.domains.join(" "));
        let text = spliced(&text, directive(&text, "server_name")?, &names);
        let text = spliced(&text, root_location(&text)?, &pass);
        Some(spliced(&text, ssl_block(&text)?, &self.ssl(site)))
    }

    fn listens(&self, site: &GoSite) -> String {
        let plain = format!("listen 127.0.0.1:{};", site.port);
        match site.tls_port {
            Some(port) => format!("{plain}\n    listen 127.0.0.1:{port} ssl;"),
            None => plain,
        }
    }

    fn ssl(&self, site: &GoSite) -> String {
        let mut lines = vec!["#SSL-START".to_owned()];
        match (site.forces_https, site.tls_port) {
            (true, Some(port)) => lines.extend([
                "#HTTP_TO_HTTPS_START".to_owned(),
                // The host's TLS port stands for 443.
                format!("if ($server_port !~ {port}) {{"),
                "    rewrite ^(/.*)$ https://$host$1 permanent;".to_owned(),
                "}".to_owned(),
                "#HTTP_TO_HTTPS_END".to_owned(),
            ]),
            _ => lines.push("#error_page 404/404.html;".to_owned()),
        }
        if site.tls_port.is_some() {
            let folder = self.certificates(site).display().to_string();
            lines.extend([
                format!("ssl_certificate {folder}/fullchain.pem;"),
                format!("ssl_certificate_key {folder}/privkey.pem;"),
                "ssl_protocols TLSv1.2 TLSv1.3;".to_owned(),
                "add_header Strict-Transport-Security \"max-age=31536000\";".to_owned(),
            ]);
        }
        lines.push("#SSL-END".to_owned());
        lines.join("\n    ")
    }

    /// Returns where a site's certificate lies.
    pub(super) fn certificates(&self, site: &GoSite) -> PathBuf {
        self.vhosts().join("cert").join(&site.name)
    }
}

fn spliced(text: &str, range: Range<usize>, new: &str) -> String {
    format!("{}{new}{}", &text[..range.start], &text[range.end..])
}

/// Finds the run of `listen` lines, with `http2 on;` among them.
fn listen_run(text: &str) -> Option<Range<usize>> {
    let mut found: Option<Range<usize>> = None;
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let bare = line.trim();
        let is_one = bare.starts_with("listen ") || bare == "http2 on;";
        let from = at + (line.len() - line.trim_start().len());
        match (&mut found, is_one) {
            (None, true) => found = Some(from..from + bare.len()),
            (Some(run), true) => run.end = from + bare.len(),
            (Some(_), false) => break,
            (None, false) => {}
        }
        at += line.len();
    }
    found
}

/// Finds a directive of one line.
fn directive(text: &str, name: &str) -> Option<Range<usize>> {
    let from = text.find(&format!("{name} "))?;
    Some(from..from + text[from..].find(';')? + 1)
}

/// Finds `location / {` with `proxy_pass` in the very next line and the Host header in the one
/// after.
fn root_location(text: &str) -> Option<Range<usize>> {
    let from = text.find("location / {\n")?;
    let mut lines = text[from..].split_inclusive('\n');
    let (head, pass, host) = (lines.next()?, lines.next()?, lines.next()?);
    let fits = pass.trim().starts_with("proxy_pass http://127.0.0.1:")
        && host.trim().starts_with("proxy_set_header Host ");
    fits.then(|| from..from + head.len() + pass.trim_end().len())
}

/// Finds the block of 2 to 15 lines between the two marks.
fn ssl_block(text: &str) -> Option<Range<usize>> {
    let from = text.find("#SSL-START")?;
    let to = from + text[from..].find("#SSL-END")? + "#SSL-END".len();
    let lines = text[from..to].lines().count();
    (2..=15).contains(&lines).then_some(from..to)
}

#[cfg(test)]
mod tests {
    use super::{directive, listen_run, root_location, ssl_block};

    #[test]
    fn each_pattern_finds_its_place_and_misses_what_was_edited() {
        let text = "server {\n    listen 80;\n    http2 on;\n    listen 443 ssl;\n    root /x;\n}";
        let run = "listen 80;\n    http2 on;\n    listen 443 ssl;";
        assert_eq!(&text[listen_run(text).expect("a run")], run);
        assert_eq!(&text[directive(text, "root").expect("a root")], "root /x;");
        let good = "location / {\n  proxy_pass http://127.0.0.1:1;\n  proxy_set_header Host x;\n";
        assert!(root_location(good).is_some());
        let edited = good.replace("{\n", "{\n  # mine\n");
        assert!(root_location(&edited).is_none(), "a comment hides it from the pattern");
        let long = format!("#SSL-START\n{}#SSL-END", "x\n".repeat(20));
        assert!(ssl_block(&long).is_none() && ssl_block("#SSL-START\n#SSL-END").is_some());
    }
}
