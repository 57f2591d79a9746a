//! What putting a service behind nginx would write, file by file, before anything is written.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use guanka_core::facts::declared::{Proxy, Sticky};
use guanka_core::facts::guard::{MetricsFrom, PasswordLine};
use guanka_core::name::ServiceName;
use guanka_core::say::Said;

use super::block;
use super::control::Nginx;
use super::install::worker;
use super::listen::Listen;
use super::render::{Intent, Key};
use super::request_path;
use super::site::{self, Consent, LocationForm, Place, Site};
use super::site_error::SiteError;
use crate::hostroot::HostRoot;
use crate::plain::{CookieName, PlainError, PlainPath};
use crate::ports::ArmPorts;

/// The oldest nginx that can be told how long to keep an idle upstream connection.
const KEEPALIVE_SINCE: (u32, u32, u32) = (1, 15, 3);
/// The oldest nginx that has all that is rendered.
const OLDEST: (u32, u32, u32) = (1, 11, 11);
/// The oldest nginx that knows TLS 1.3 by name.
const TLS_1_3_SINCE: (u32, u32, u32) = (1, 13, 0);

/// A file to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedFile {
    /// Where.
    pub path: PathBuf,
    /// The whole text.
    pub text: String,
    /// Who may read it.
    pub readers: Readers,
}

/// Who may read a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Readers {
    /// Everybody.
    All,
    /// Root and nginx's workers, by their group's number; its text is never shown. Without a group
    /// the files are of one user's own nginx.
    Workers(Option<u32>),
}

/// All that puts one service behind nginx.
#[derive(Clone, Debug)]
pub struct Wiring {
    /// The service.
    pub service: ServiceName,
    /// nginx.
    pub nginx: Nginx,
    /// The files in the order they are written: passwords, log format, http level, server level.
    pub files: Vec<PlannedFile>,
    /// The form of the location.
    pub form: LocationForm,
    /// The site's own file, which is never touched.
    pub site_file: PathBuf,
    /// A rule of the panel's that is paused in the same change, with its owner's consent.
    pub displaced: Option<PathBuf>,
    /// Where the site can be asked from this machine, the simplest first.
    pub listens: Vec<Listen>,
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
    /// It can be asked nowhere, so no share could ever be proven.
    #[error(
        "{file} listens at {addresses} alone, where guanka cannot ask it and so prove nothing: add \
         a line to its server block, listen 127.0.0.1:PORT; with a free port"
    )]
    Unasked {
        /// The site file.
        file: PathBuf,
        /// What it says of its addresses.
        addresses: String,
    },
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

/// Returns the file of the log format, which all services share.
pub(super) fn format_path(nginx: &Nginx) -> PathBuf {
    nginx.http_folder.join("0.guanka_log_format.conf")
}

/// Returns whether no other service is installed.
pub(super) fn is_last(nginx: &Nginx, service: &ServiceName) -> bool {
    let others = installed(&nginx.http_folder);
    others.is_ok_and(|others| others.iter().all(|other| *other == service.to_string()))
}

/// Works out what would be written; nothing is.
pub fn plan(
    host: &HostRoot,
    service: &ServiceName,
    proxy: &Proxy,
    ports: ArmPorts,
) -> Result<Wiring, WiringError> {
    plan_with(host, service, proxy, ports, Consent::None)
}

/// Works out what would be written where the site's owner may have agreed to something.
pub fn plan_with(
    host: &HostRoot,
    service: &ServiceName,
    proxy: &Proxy,
    ports: ArmPorts,
    consent: Consent,
) -> Result<Wiring, WiringError> {
    let nginx = Nginx::find(host).ok_or_else(|| WiringError::NoNginx(host.root().to_owned()))?;
    if let Some(version) = nginx.version.filter(|v| *v < OLDEST) {
        return Err(WiringError::TooOld(version));
    }
    no_collision(&nginx, service)?;
    let site = site::find(host, &nginx, service, &proxy.domain, consent)?;
    if site.listens.is_empty() {
        let addresses = site.addresses.join(", ");
        return Err(WiringError::Unasked { file: site.file, addresses });
    }
    let few = few_clients(proxy, &site.listens);
    let access_log = access_log(host, &nginx, service);
    let pass_file = (!proxy.debug.users.is_empty() && !proxy.debug.allow.is_empty())
        .then(|| pass_path(host, &nginx, service));
    let intent = intent(host, &nginx, (service, proxy, ports), &site, (&access_log, &pass_file))?;
    let paths = [format_path(&nginx), http_path(&nginx, service), site.extension.clone()];
    request_path::check(&intent)?;
    let texts = intent.texts().map_err(WiringError::ReadBack)?;
    let is_block = |path: &Path| site.place == Place::Block && path == site.extension;
    let files = paths.into_iter().zip(texts).map(|(path, mut text)| {
        if is_block(&path) {
            let theirs = fs::read_to_string(&path).unwrap_or_default();
            text = block::with(&theirs, service, &text);
        }
        PlannedFile { path, text, readers: Readers::All }
    });
    let passwords = pass_file.map(|path| PlannedFile {
        text: passwords(&proxy.debug.users),
        readers: Readers::Workers(worker(&nginx).map(|(_, _, gid)| gid)),
        path,
    });
    Ok(Wiring {
        service: service.clone(),
        files: passwords.into_iter().chain(files).collect(),
        nginx,
        form: site.form,
        site_file: site.file,
        displaced: site.displaced,
        listens: site.listens,
        access_log,
        notes: site.notes.into_iter().chain(few).chain(notes(proxy)).collect(),
    })
}

/// Returns what the rendered text is to mean.
fn intent(
    host: &HostRoot,
    nginx: &Nginx,
    (service, proxy, ports): (&ServiceName, &Proxy, ArmPorts),
    site: &Site,
    (access_log, pass_file): (&Path, &Option<PathBuf>),
) -> Result<Intent, WiringError> {
    Ok(Intent {
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
        access_log: PlainPath::new(access_log)?,
        site_logs: site.logs.clone(),
        forwarded_proto: proxy.forwarded_proto,
        streams: proxy.streams.clone(),
        stream_timeout: proxy.stream_timeout,
        debug: proxy.debug.clone(),
        pass_file: pass_file.as_deref().map(PlainPath::new).transpose()?,
        metrics: proxy.metrics.clone(),
        metrics_ca: metrics_ca(proxy)?,
        tls: match nginx.version {
            Some(version) if version < TLS_1_3_SINCE => &["TLSv1.2"],
            _ => &["TLSv1.2", "TLSv1.3"],
        },
    })
}

/// Returns the file with the users of a service's closed paths: where nginx's workers may look,
/// which they may not below the panel's own folder.
pub(super) fn pass_path(host: &HostRoot, nginx: &Nginx, service: &ServiceName) -> PathBuf {
    match nginx.extension_folder {
        Some(_) => host.at("/www/server/pass").join(format!("guanka_{service}.pass")),
        None => host.at("/etc/nginx/guanka").join(format!("{service}.pass")),
    }
}

/// Returns the text of the file with the users of closed paths.
pub fn passwords(users: &[PasswordLine]) -> String {
    users.iter().map(|line| format!("{}\n", line.reveal())).collect()
}

/// Returns the authority's file of the metrics' source.
fn metrics_ca(proxy: &Proxy) -> Result<Option<PlainPath>, PlainError> {
    let ca = proxy.metrics.as_ref().and_then(|metrics| match &metrics.from {
        MetricsFrom::Address { tls: Some(tls), .. } => tls.ca.as_ref(),
        _ => None,
    });
    ca.map(|path| PlainPath::new(Path::new(path))).transpose()
}

/// Returns the access log of a service that is installed; `None` where it is not.
pub fn access_log_of(host: &HostRoot, service: &ServiceName) -> Option<PathBuf> {
    let nginx = Nginx::places(host)?;
    http_path(&nginx, service).is_file().then(|| access_log(host, &nginx, service))
}

/// Returns where a service's access log lies or would lie.
pub fn access_log_planned(host: &HostRoot, service: &ServiceName) -> Option<PathBuf> {
    Some(access_log(host, &Nginx::places(host)?, service))
}

/// Has the host's nginx open its logs anew; returns the processes that write them.
pub fn reopen_logs(host: &HostRoot) -> Result<Vec<u32>, String> {
    Nginx::find(host).ok_or("no nginx was found")?.reopen()
}

/// Returns what is treated otherwise than the rest, since the source may have said so and not a
/// person.
fn notes(proxy: &Proxy) -> Vec<Said> {
    let mut notes = Vec::new();
    let debug = &proxy.debug;
    if !debug.paths.is_empty() {
        let (paths, allow) = (debug.paths.join(", "), debug.allow.iter().map(ToString::to_string));
        let allow: Vec<String> = allow.collect();
        notes.push(match allow.join(", ").as_str() {
            "" => Said::new(
                format!("{paths} 不对外(proxy.debug_allow 可放行)"),
                format!("{paths} closed to the outside (proxy.debug_allow opens it)"),
            ),
            allow => Said::new(
                format!("{paths} 只对 {allow} 开放"),
                format!("{paths} open to {allow} alone"),
            ),
        });
    }
    if let Some(metrics) = &proxy.metrics {
        let path = &metrics.path;
        notes.push(Said::new(
            format!("{path} 只对本机与 proxy.metrics_allow 开放"),
            format!("{path} open to this machine and proxy.metrics_allow alone"),
        ));
    }
    if !proxy.streams.is_empty() {
        let (paths, limit) = (proxy.streams.join(", "), proxy.stream_timeout);
        notes.push(Said::new(
            format!("{paths} 是流式路由:不缓冲,静默可达 {limit}"),
            format!("{paths} stream: not buffered, silent for up to {limit}"),
        ));
    }
    notes
}

/// Returns what to know of a site that is asked over IPv6 alone where an address keeps a user: of
/// those this machine has a few, which may all fall to one arm.
fn few_clients(proxy: &Proxy, listens: &[Listen]) -> Option<Said> {
    let is_six = |listen: &Listen| listen.address.ip().to_canonical().is_ipv6();
    (proxy.sticky == Sticky::Client && listens.iter().all(is_six)).then(|| {
        Said::new(
            "站点只监听 IPv6,而用户按地址归臂:本机地址太少,部分份额的灰度可能无法证明;\
             请让站点也监听 127.0.0.1,或设 proxy.sticky = \"cookie:名称\"",
            "the site listens on IPv6 alone and users are kept by address: this machine has few, \
             so a canary's share may never be proven; let it listen at 127.0.0.1 too, or set \
             proxy.sticky = \"cookie:NAME\"",
        )
    })
}

fn access_log(host: &HostRoot, nginx: &Nginx, service: &ServiceName) -> PathBuf {
    match nginx.extension_folder {
        Some(_) => host.at("/www/wwwlogs/guanka").join(format!("{service}.json")),
        None => host.arm_logs(service).join("access.json"),
    }
}

/// Returns guanka's part of a file's text.
pub(super) fn own_part<'a>(text: &'a str, service: &ServiceName) -> &'a str {
    block::own_part(text, service)
}

/// Returns whether a file holds a piece of a service's.
pub(super) fn is_of(path: &Path, service: &ServiceName) -> bool {
    site::owner(path).is_some_and(|owner| owner == service.to_string())
        || fs::read_to_string(path).is_ok_and(|text| block::is_in(&text, service))
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

/// Returns the services that are wired into a host's nginx.
pub fn services(host: &HostRoot) -> Vec<ServiceName> {
    let Some(nginx) = Nginx::places(host) else { return Vec::new() };
    let names = installed(&nginx.http_folder).unwrap_or_default().into_iter();
    names.filter_map(|name| ServiceName::try_from(name).ok()).collect()
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
            Self::Unasked { file, addresses } => format!(
                "{} 只监听 {addresses},guanka 无法从本机访问,也就无法证明:请在 server 块中加一行 \
                 listen 127.0.0.1:端口;(任一空闲端口)",
                file.display()
            ),
            Self::Plain(error) => format!("该值不能写入 nginx 配置:{error}"),
            Self::Collision { service, other, name } => {
                format!("{service} 与 {other} 在 nginx 中同名({name}),请改名")
            }
            Self::ReadBack(what) => format!("生成的 nginx 配置读回后与原意不符:{what}"),
        };
        Said::new(zh, self.to_string())
    }
}
