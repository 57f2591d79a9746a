//! Why a service cannot be put behind a site, in words that say what to do.

use std::path::PathBuf;

use guanka_core::name::Domain;
use guanka_core::say::Said;

/// Why a service cannot be put behind a site.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SiteError {
    /// No site file names the domain.
    #[error("no site in {folder} has server_name {domain}")]
    NotFound {
        /// The domain.
        domain: Domain,
        /// Where was looked.
        folder: PathBuf,
    },
    /// The sites could not be read.
    #[error("{}", .0.en)]
    Unread(Said),
    /// Several files name it.
    #[error("{domain} is named in several site files: {}", joined(files))]
    Ambiguous {
        /// The domain.
        domain: Domain,
        /// The files.
        files: Vec<PathBuf>,
    },
    /// The site does not include the place where guanka writes.
    #[error("{file} does not include {wanted}; add this line to its server block: {line}")]
    NoInclude {
        /// The site file.
        file: PathBuf,
        /// The place.
        wanted: PathBuf,
        /// The line that is missing.
        line: String,
    },
    /// A proxy that the panel made beats guanka's location.
    #[error("the panel's proxy {place} answers {location} before guanka can")]
    ClassicProxy {
        /// The file of the panel's rule.
        place: String,
        /// Its location.
        location: String,
    },
    /// The site itself is a proxy, or another location covers everything.
    #[error("{place} has location {location}, which answers before guanka can")]
    Covered {
        /// Where it stands.
        place: String,
        /// The location.
        location: String,
    },
    /// Another service is behind the site.
    #[error("the site already belongs to guanka's service {service}")]
    Taken {
        /// The other service.
        service: String,
    },
}

impl SiteError {
    /// Returns the sentence for people, with what to do.
    pub fn said(&self) -> Said {
        match self {
            Self::Unread(why) => why.clone(),
            Self::NotFound { domain, folder } => Said::new(
                format!(
                    "{} 中没有 server_name 为 {domain} 的站点,请先在面板建站",
                    folder.display()
                ),
                format!("{self}; make the site first"),
            ),
            Self::Ambiguous { domain, files } => Said::new(
                format!("多个站点文件都写了 {domain}:{}", joined(files)),
                self.to_string(),
            ),
            Self::NoInclude { file, line, .. } => Said::new(
                format!("{} 没有包含 guanka 的文件,请在 server 块中加一行:{line}", file.display()),
                self.to_string(),
            ),
            Self::ClassicProxy { place, location } => Said::new(
                format!("面板反向代理 {place} 的 location {location} 优先;请在面板删除或暂停它"),
                format!("{self}; remove or pause that proxy in the panel, or use another site"),
            ),
            Self::Covered { place, location } => Said::new(
                format!("{place} 的 location {location} 优先;请换一个站点,或在面板删除该规则"),
                format!("{self}; use another site, or delete that rule in the panel"),
            ),
            Self::Taken { service } => {
                Said::new(format!("该站点已属于 guanka 的服务 {service}"), self.to_string())
            }
        }
    }
}

fn joined(files: &[PathBuf]) -> String {
    files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join(", ")
}
