//! What putting a service behind nginx would write, file by file, before anything is written.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use guanka_core::facts::declared::{Proxy, Sticky};
use guanka_core::name::ServiceName;
use guanka_core::say::Said;

use super::control::Nginx;
use super::render::{Intent, Key};
use super::site::{self, LocationForm, SiteError};
use crate::hostroot::HostRoot;
use crate::plain::{CookieName, PlainError, PlainPath};
use crate::ports::ArmPorts;

/// The oldest nginx that can be told how long to keep an idle upstream connection.
const KEEPALIVE_SINCE: (u32, u32, u32) = (1, 15, 3);
/// The oldest nginx that has all that is rendered.
const OLDEST: (u32, u32, u32) = (1, 11, 11);

/// A file to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedFile {
    /// Where.
    pub path: PathBuf,
    /// The whole text.
    pub text: String,
}

/// All that puts one service behind nginx.
#[derive(Clone, Debug)]
pub struct Wiring {
    /// The service.
    pub service: ServiceName,
    /// nginx.
    pub nginx: Nginx,
    /// The files in the order they are written: log format, http level, server level.
    pub files: Vec<PlannedFile>,
    /// The form of the location.
    pub form: LocationForm,
    /// The site's own file, which is never touched.
    pub site_file: PathBuf,
    /// Plain HTTP addresses at which the site can be asked from this machine.
    pub listens: Vec<SocketAddr>,
    /// Where each request is logged.
    pub access_log: PathBuf,
    /// What a person should know before.
    pub notes: Vec<Said>,
}

/// Why there is nothing to write.
#[derive(Debug, thiserror::Error)]
pub enum WiringError {
    /// There is no nginx.
    #[error("no nginx was found below {0}")]
    NoNginx(PathBuf),
    /// It is too old.
    #[error("nginx {} is older than 1.11.11", dotted(*.0))]
    TooOld((u32, u32, u32)),
    /// The site does not take it.
    #[error("{0}")]
    Site(#[from] SiteError),
    /// A value may not stand in nginx text.
    #[error("{0}")]
    Plain(#[from] PlainError),
    /// Another service has the same nginx names.
    #[error("{service} and {other} both become {name} in nginx's names")]
    Collision {
        /// The service.
        service: ServiceName,
        /// The other.
        other: String,
        /// The common name.
        name: String,
    },
    /// The rendered text does not read back as what was meant.
    #[error("the rendered nginx text reads back differently: {0}")]
    ReadBack(String),
}

/// Returns the http-level file of a service.
pub(super) fn http_path(nginx: &Nginx, service: &ServiceName) -> PathBuf {
    nginx.http_folder.join(format!("zz_guanka_{service}.conf"))
}

/// Works out what would be written; nothing is.
pub fn plan(
    host: &HostRoot,
    service: &ServiceName,
    proxy: &Proxy,
    ports: ArmPorts,
) -> Result<Wiring, WiringError> {
    let nginx = Nginx::find(host).ok_or_else(|| WiringError::NoNginx(host.root().to_owned()))?;
    if let Some(version) = nginx.version.filter(|v| *v < OLDEST) {
        return Err(WiringError::TooOld(version));
    }
    no_collision(&nginx, service)?;
    let site = site::find(host, &nginx, service, &proxy.domain)?;
    let access_log = access_log(host, &nginx, service);
    let intent = Intent {
        service: service.clone(),
        ports,
        key: match &proxy.sticky {
            Sticky::Client => Key::Client,
            Sticky::Request => Key::Request,
            Sticky::Cookie(name) => Key::Cookie(CookieName::new(name)?),
        },
        upload_max: proxy.upload_max,
        read_timeout: proxy.read_timeout,
        keepalive: nginx.version.filter(|v| *v >= KEEPALIVE_SINCE).map(|_| proxy.keepalive),
        form: site.form,
        live: PlainPath::new(&host.live(service))?,
        access_log: PlainPath::new(&access_log)?,
        site_logs: site.logs,
    };
    let format = nginx.http_folder.join("0.guanka_log_format.conf");
    let paths = [format, http_path(&nginx, service), site.extension];
    let texts = intent.texts().map_err(WiringError::ReadBack)?;
    let files = paths.into_iter().zip(texts).map(|(path, text)| PlannedFile { path, text });
    Ok(Wiring {
        service: service.clone(),
        files: files.collect(),
        nginx,
        form: site.form,
        site_file: site.file,
        listens: site.listens,
        access_log,
        notes: site.notes,
    })
}

/// Returns the access log of a service that is installed; `None` where it is not.
pub fn access_log_of(host: &HostRoot, service: &ServiceName) -> Option<PathBuf> {
    let nginx = Nginx::places(host)?;
    http_path(&nginx, service).is_file().then(|| access_log(host, &nginx, service))
}

/// Has the host's nginx open its logs anew.
pub fn reopen_logs(host: &HostRoot) -> Result<(), String> {
    Nginx::find(host).ok_or("no nginx was found")?.reopen()
}

fn access_log(host: &HostRoot, nginx: &Nginx, service: &ServiceName) -> PathBuf {
    match nginx.extension_folder {
        Some(_) => host.at("/www/wwwlogs/guanka").join(format!("{service}.json")),
        None => host.arm_logs(service).join("access.json"),
    }
}

/// Refuses a service whose nginx names another service has: `a-b.c` and `a.b-c` are both `a_b_c`.
fn no_collision(nginx: &Nginx, service: &ServiceName) -> Result<(), WiringError> {
    let name = service.underscored();
    for other in installed(&nginx.http_folder).unwrap_or_default() {
        if other != service.to_string() && other.replace(['-', '.'], "_") == name {
            return Err(WiringError::Collision { service: service.clone(), other, name });
        }
    }
    Ok(())
}

/// Returns the services that have an http-level file.
fn installed(folder: &Path) -> io::Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let service = name.strip_prefix("zz_guanka_").and_then(|n| n.strip_suffix(".conf"));
        found.extend(service.map(str::to_owned));
    }
    Ok(found)
}

fn dotted((major, minor, patch): (u32, u32, u32)) -> String {
    format!("{major}.{minor}.{patch}")
}

impl WiringError {
    /// Returns the sentence for people.
    pub fn said(&self) -> Said {
        let zh = match self {
            Self::NoNginx(root) => format!("{} 下没有找到 nginx", root.display()),
            Self::TooOld(version) => {
                format!("nginx {} 版本过旧,至少需要 1.11.11", dotted(*version))
            }
            Self::Site(error) => return error.said(),
            Self::Plain(error) => format!("该值不能写入 nginx 配置:{error}"),
            Self::Collision { service, other, name } => {
                format!("{service} 与 {other} 在 nginx 中同名({name}),请改名")
            }
            Self::ReadBack(what) => format!("生成的 nginx 配置读回后与原意不符:{what}"),
        };
        Said::new(zh, self.to_string())
    }
}
