//! A domain added to a Go project's site, and the whole file rendered anew.

use anyhow::Result;

use super::{GoSite, Panel, Rewrite, write};

impl Panel {
    /// Adds a domain.
    pub(crate) fn add_domain(&self, site: &mut GoSite, domain: &str) -> Result<Rewrite> {
        let mut how = Rewrite::Template;
        site.domains.push(domain.to_owned());
        self.operation(|| {
            how = self.rewrite(site)?;
            Ok(())
        })?;
        Ok(how)
    }

    /// Renders the whole file anew, as a repair or an update of the panel does.
    pub(crate) fn regenerate(&self, site: &GoSite) -> Result<()> {
        self.operation(|| write(&self.vhost(site), &self.rendered(site)))
    }
}
