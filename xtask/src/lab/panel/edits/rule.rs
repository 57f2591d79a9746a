//! The panel's classic reverse proxy on a static site: a `^~` location in a file of its own, which
//! beats every pattern; paused, the file gets another ending.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use super::{Panel, read, replaced, write};

/// The file's name begins with a digest of the rule's name.
const DIGEST: &str = "2f1c0a7d5e9b4836a1d2c3b4e5f60718";

impl Panel {
    /// Returns where a rule of a site lies.
    pub(crate) fn rule(&self, site: &str) -> PathBuf {
        let name = format!("{DIGEST}_{site}.conf");
        self.vhosts().join("nginx/proxy").join(site).join(name)
    }

    /// Makes a reverse proxy for `/`: the site's patterns for static files go, one for purging comes.
    pub(crate) fn create_proxy(&self, site: &str, backend: u16) -> Result<()> {
        let path = self.vhosts().join("nginx").join(format!("{site}.conf"));
        self.operation(|| {
            let text = without_static(&read(&path)?);
            let include = format!(
                "#PHP-INFO-START\n    location ~ /purge(/.*) {{\n        return 404;\n    }}\n    \
                 include {}/nginx/proxy/{site}/*.conf;",
                self.vhosts().display()
            );
            write(&path, &replaced(&text, "#PHP-INFO-START", &include)?)?;
            write(&self.rule(site), &rule(backend))
        })
    }

    /// Pauses the rule.
    pub(crate) fn pause_proxy(&self, site: &str) -> Result<()> {
        let rule = self.rule(site);
        let aside = rule.with_extension("conf_bak");
        self.operation(|| fs::rename(&rule, &aside).context("pause the rule"))
    }

    /// Goes on with it.
    pub(crate) fn resume_proxy(&self, site: &str) -> Result<()> {
        let rule = self.rule(site);
        let aside = rule.with_extension("conf_bak");
        self.operation(|| fs::rename(&aside, &rule).context("go on with the rule"))
    }
}

fn rule(backend: u16) -> String {
    format!(
        "#PROXY-START/\nlocation ^~ /\n{{\n    proxy_pass http://127.0.0.1:{backend};\n    \
         proxy_set_header Host $host;\n    proxy_set_header X-Real-IP $remote_addr;\n    \
         proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;\n    \
         proxy_set_header REMOTE-HOST $remote_addr;\n    proxy_http_version 1.1;\n    \
         add_header X-Cache $upstream_cache_status;\n}}\n#PROXY-END/\n"
    )
}

/// Takes the locations for pictures, scripts and styles out.
fn without_static(text: &str) -> String {
    let mut rest = text.to_owned();
    while let Some(from) = rest.find("    location ~ .*\\.(") {
        let Some(length) = rest[from..].find("    }\n") else { break };
        rest.replace_range(from..from + length + "    }\n".len(), "");
    }
    rest
}
