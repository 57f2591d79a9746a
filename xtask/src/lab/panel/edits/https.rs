//! HTTPS forced on a Go project's site: the certificate's anchor gives way to a redirect.

use anyhow::{Result, ensure};

use super::{GoSite, Panel};

impl Panel {
    /// Sends plain requests on to TLS; without a certificate the panel refuses.
    pub(crate) fn force_https(&self, site: &mut GoSite) -> Result<()> {
        ensure!(site.tls_port.is_some(), "the panel refuses: the site has no certificate");
        site.forces_https = true;
        self.operation(|| self.rewrite(site).map(|_| ()))
    }

    /// Takes plain requests again.
    pub(crate) fn allow_http(&self, site: &mut GoSite) -> Result<()> {
        site.forces_https = false;
        self.operation(|| self.rewrite(site).map(|_| ()))
    }
}
