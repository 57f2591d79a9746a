//! Sites made and deleted. A deletion takes the site's own folders and leaves other files of the
//! http level where they are.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result};

use super::{GoSite, Panel, write};

impl Panel {
    /// Makes a Go project's site.
    pub(crate) fn create_site(&self, site: &GoSite) -> Result<()> {
        let nginx = self.vhosts().join("nginx");
        self.operation(|| {
            let extension = nginx.join("extension").join(&site.name);
            fs::create_dir_all(&extension)?;
            fs::set_permissions(&extension, fs::Permissions::from_mode(0o600))?;
            write(&nginx.join("well-known").join(format!("{}.conf", site.name)), "")?;
            write(&self.rewrites(&format!("go_{}", site.name)), "")?;
            write(&self.vhost(site), &self.rendered(site))
        })
    }

    /// Deletes a Go project's site.
    pub(crate) fn delete_site(&self, site: &GoSite) -> Result<()> {
        let nginx = self.vhosts().join("nginx");
        self.operation(|| {
            gone(fs::remove_file(self.vhost(site)), &self.vhost(site))?;
            for folder in ["extension", "proxy", "redirect", "dir_auth"] {
                let folder = nginx.join(folder).join(&site.name);
                gone(fs::remove_dir_all(&folder), &folder)?;
            }
            let file = nginx.join("well-known").join(format!("{}.conf", site.name));
            gone(fs::remove_file(&file), &file)?;
            let rewrite = self.rewrites(&format!("go_{}", site.name));
            gone(fs::remove_file(&rewrite), &rewrite)?;
            let cert = self.certificates(site);
            gone(fs::remove_dir_all(&cert), &cert)
        })
    }

    /// Returns a site's rewrite file.
    pub(crate) fn rewrites(&self, name: &str) -> std::path::PathBuf {
        self.vhosts().join("rewrite").join(format!("{name}.conf"))
    }
}

/// Takes what is not there for deleted.
fn gone(done: std::io::Result<()>, path: &Path) -> Result<()> {
    match done {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("delete {}", path.display()))
        }
        _ => Ok(()),
    }
}
