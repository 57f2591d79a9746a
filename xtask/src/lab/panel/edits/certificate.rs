//! A certificate for a Go project's site.

use std::fs;

use anyhow::{Result, ensure};

use super::{GoSite, LIMIT, Panel, read};
use crate::process;

/// The comment without which the panel does not know where a certificate goes.
const ANCHOR: &str = "#error_page 404/404.html;";

impl Panel {
    /// Sets a certificate of the site's own making, on a port that stands for 443.
    pub(crate) fn set_certificate(&self, site: &mut GoSite, tls_port: u16) -> Result<()> {
        ensure!(
            read(&self.vhost(site))?.contains(ANCHOR),
            "the panel refuses: the anchor of the certificate is not in the site's file"
        );
        let folder = self.certificates(site);
        fs::create_dir_all(&folder)?;
        let name = site.domains.first().map_or("localhost", String::as_str);
        let (key, chain) = (folder.join("privkey.pem"), folder.join("fullchain.pem"));
        let mut openssl = process::clean("/usr/bin/openssl".as_ref());
        openssl
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"])
            .args(["-nodes", "-days", "2", "-subj", &format!("/CN={name}"), "-keyout"])
            .arg(key)
            .arg("-out")
            .arg(chain);
        process::run(&mut openssl, &self.log("openssl"), LIMIT)?;
        site.tls_port = Some(tls_port);
        self.operation(|| self.rewrite(site).map(|_| ()))
    }
}
