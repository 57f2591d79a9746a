//! The site that a service is put behind: found by its domain among the site files, and read as
//! nginx reads it. Where guanka's location could not win, or must not, it says why and what to do.

use std::fs;
use std::path::{Path, PathBuf};

use guanka_core::facts::nginx::Directive;
use guanka_core::name::{Domain, ServiceName};
use guanka_core::say::Said;
use serde::{Deserialize, Serialize};

use super::block;
use super::control::Nginx;
use super::listen::{self, Listen, Sockets};
use super::site_error::SiteError;
use super::text::Word;
use crate::hostroot::HostRoot;
use crate::obstacle;
use crate::plain::PlainPath;

/// The form of guanka's location.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LocationForm {
    /// `location ~ ^/(?!\.well-known/)`: the first regex in file order wins over the site's own
    /// locations and leaves certificate renewal to the site.
    Regex,
    /// `location ^~ /`: only where the site has no `location /` and no certificate path.
    Prefix,
}

/// Whether a rule that the panel made may give way to guanka's location.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Consent {
    /// No: a site with such a rule is refused.
    None,
    /// The owner agreed that the panel's reverse proxy for `/` is paused.
    PanelRule,
}

/// How guanka's server-level text lies in its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// The file is guanka's own.
    Own,
    /// It is a block in the site's rewrite file: an older panel includes no other.
    Block,
}

/// A site's own access log, written on beside guanka's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SiteLog {
    path: PlainPath,
    format: Option<String>,
}

/// A site, as far as guanka needs it.
#[derive(Clone, Debug)]
pub(super) struct Site {
    pub(super) file: PathBuf,
    /// Where guanka's server-level file belongs.
    pub(super) extension: PathBuf,
    pub(super) place: Place,
    /// The panel's rule that would answer before guanka, and that its owner lets go.
    pub(super) displaced: Option<PathBuf>,
    pub(super) form: LocationForm,
    /// Where the site can be asked from this machine, the simplest first.
    pub(super) listens: Vec<Listen>,
    /// Its addresses as they are written.
    pub(super) addresses: Vec<String>,
    pub(super) logs: Vec<SiteLog>,
    /// What a person should know before the files are written.
    pub(super) notes: Vec<Said>,
}

impl SiteLog {
    /// Reads the words behind a site's `access_log`; `None` where they cannot be written again as
    /// they are.
    pub fn of(args: &[&str]) -> Option<Self> {
        let (path, format) = match args {
            [path] => (path, None),
            [path, format] if is_word(format) => (path, Some((*format).to_owned())),
            _ => return None,
        };
        Some(Self { path: PlainPath::new(Path::new(path)).ok()?, format })
    }

    /// Returns the words of its directive.
    pub(super) fn words(&self) -> Vec<Word> {
        let mut words = vec!["access_log".into(), (&self.path).into()];
        words.extend(self.format.clone().map(Word::made));
        words
    }
}

/// Finds the site of a domain and reads it.
pub(super) fn find(
    host: &HostRoot,
    nginx: &Nginx,
    service: &ServiceName,
    domain: &Domain,
    consent: Consent,
) -> Result<Site, SiteError> {
    let mut sockets = Sockets::default();
    let mut candidates = candidates(host, nginx, domain, &mut sockets);
    let (file, servers) = match candidates.len() {
        0 => {
            let (domain, folder) = (domain.clone(), nginx.http_folder.clone());
            let unread = unread(host, nginx).map(SiteError::Unread);
            return Err(unread.unwrap_or(SiteError::NotFound { domain, folder }));
        }
        1 => candidates.remove(0),
        _ => {
            let files = candidates.into_iter().map(|(file, _)| file).collect();
            return Err(SiteError::Ambiguous { domain: domain.clone(), files });
        }
    };
    let (server, extension, place) = with_include(host, nginx, service, &file, &servers)?;
    // A block without the include only redirects; where several have it, each of them serves.
    let is_serving = |s: &&Directive| includes(s).any(|text| is_for(text, &extension));
    let serving: Vec<&Directive> = servers.iter().filter(is_serving).collect();
    belongs_to(&extension, place, service)?;
    let mut others = locations(server, &extension);
    let displaced = match is_free(&others) {
        Err(SiteError::ClassicProxy { place, .. }) if consent == Consent::PanelRule => Some(place),
        other => other.map(|()| None)?,
    };
    if let Some(rule) = &displaced {
        others.retain(|other| other.place != rule);
        is_free(&others)?;
    }
    let mut notes = partly_covered(&others);
    notes.extend(foreign_before(&extension));
    Ok(Site {
        form: if place == Place::Block { LocationForm::Regex } else { form(server, &others) },
        listens: {
            let mut all: Vec<Listen> =
                serving.iter().flat_map(|server| sockets.of(server, nginx.version)).collect();
            all.sort();
            all.dedup();
            all
        },
        addresses: serving.iter().flat_map(|s| listen::names(s)).map(str::to_owned).collect(),
        logs: logs(server, &mut notes),
        file,
        extension,
        place,
        displaced: displaced.map(PathBuf::from),
        notes,
    })
}

/// Returns the files that name a domain, each with its server blocks of that name.
/// What all server blocks say of the sockets is learnt on the way.
fn candidates(
    host: &HostRoot,
    nginx: &Nginx,
    domain: &Domain,
    sockets: &mut Sockets,
) -> Vec<(PathBuf, Vec<Directive>)> {
    let files = site_files(host, nginx).into_iter().map(|file| {
        let tree = nginx.read_tree(host, &file);
        tree.iter().filter(|d| d.name == "server").for_each(|server| sockets.learn(server));
        let is_it = |d: &Directive| d.name == "server" && names(d, domain);
        (file, tree.into_iter().filter(is_it).collect::<Vec<_>>())
    });
    files.filter(|(_, servers)| !servers.is_empty()).collect()
}

/// Returns every server block of a domain.
pub(super) fn servers(host: &HostRoot, nginx: &Nginx, domain: &Domain) -> Vec<Directive> {
    let mut sockets = Sockets::default();
    let found = candidates(host, nginx, domain, &mut sockets);
    found.into_iter().flat_map(|(_, servers)| servers).collect()
}

/// Returns the files that may hold sites, in byte order.
fn site_files(host: &HostRoot, nginx: &Nginx) -> Vec<PathBuf> {
    let mut folders = vec![nginx.http_folder.clone()];
    if nginx.extension_folder.is_none() {
        folders.push(host.at("/etc/nginx/sites-enabled"));
    }
    let mut files: Vec<PathBuf> = folders
        .iter()
        .filter_map(|folder| fs::read_dir(folder).ok())
        .flat_map(|entries| entries.flatten().map(|e| e.path()))
        .filter(|path| path.is_file() && !is_ours(path))
        .collect();
    files.sort();
    files
}

/// Returns what keeps the sites from being read: folder or file are not for this user.
fn unread(host: &HostRoot, nginx: &Nginx) -> Option<Said> {
    let folder = fs::read_dir(&nginx.http_folder).err().map(obstacle::at(&nginx.http_folder));
    let file = |path: PathBuf| fs::File::open(&path).err().map(obstacle::at(&path));
    let found = folder.or_else(|| site_files(host, nginx).into_iter().find_map(file));
    found.map(|error| obstacle::said(&error))
}

fn is_ours(path: &Path) -> bool {
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    name.starts_with("zz_guanka_") || name.starts_with("0.guanka_") || name.starts_with('.')
}

fn names(server: &Directive, domain: &Domain) -> bool {
    let names = server.inner().iter().filter(|d| d.name == "server_name").flat_map(|d| &d.args);
    names.into_iter().any(|name| name.eq_ignore_ascii_case(domain.as_str()))
}

/// Picks the server block that includes guanka's place. Where one block only redirects to TLS and
/// the other serves, it is the serving one that has the include.
fn with_include<'a>(
    host: &HostRoot,
    nginx: &Nginx,
    service: &ServiceName,
    file: &Path,
    servers: &'a [Directive],
) -> Result<(&'a Directive, PathBuf, Place), SiteError> {
    let (wanted, line) = match &nginx.extension_folder {
        Some(folder) => {
            for server in servers {
                let below = |text: &String| {
                    let dir = Path::new(text).parent()?;
                    let is_below = dir.parent() == Some(folder) && text.ends_with("/*.conf");
                    is_below.then(|| dir.join("guanka.conf"))
                };
                if let Some(found) = includes(server).find_map(below) {
                    return Ok((server, found, Place::Own));
                }
            }
            let rewrites = folder.parent().and_then(Path::parent).map(|p| p.join("rewrite"));
            for server in servers {
                let is_one = |text: &&String| Path::new(text).parent() == rewrites.as_deref();
                let found = includes(server).find(is_one).map(PathBuf::from);
                // nginx reads only what is there: a pattern is no place of the site's own.
                if let Some(found) = found.filter(|file| file.is_file()) {
                    return Ok((server, found, Place::Block));
                }
            }
            let site = file.file_stem().map(|s| s.to_string_lossy().into_owned());
            let dir = folder.join(site.unwrap_or_default());
            (dir.clone(), format!("include {}/*.conf;", dir.display()))
        }
        None => {
            // A pattern: the line stands there before guanka's file does, and after it.
            let own = own_file(host, service);
            let wanted = own.with_file_name("*.conf");
            let is_it = |text: &String| Path::new(text) == wanted;
            if let Some(server) = servers.iter().find(|s| includes(s).any(is_it)) {
                return Ok((server, own, Place::Own));
            }
            (wanted.clone(), format!("include {};", wanted.display()))
        }
    };
    Err(SiteError::NoInclude { file: file.to_owned(), wanted, line })
}

/// Returns guanka's file for a service's site on a host without a panel.
pub(super) fn own_file(host: &HostRoot, service: &ServiceName) -> PathBuf {
    host.at("/etc/nginx/guanka").join(service.to_string()).join("guanka.conf")
}

/// Returns the patterns that a server block includes.
fn includes(server: &Directive) -> impl Iterator<Item = &String> {
    server.inner().iter().filter(|d| d.name == "include").filter_map(|d| d.args.first())
}

/// Returns whether an include takes in a file.
fn is_for(include: &str, file: &Path) -> bool {
    let include = Path::new(include);
    include == file || (include.ends_with("*.conf") && include.parent() == file.parent())
}

/// Refuses a site whose guanka file is another service's.
fn belongs_to(extension: &Path, place: Place, service: &ServiceName) -> Result<(), SiteError> {
    let owner = match place {
        Place::Own => owner(extension),
        Place::Block => {
            let text = fs::read_to_string(extension).unwrap_or_default();
            block::owner(&text).map(str::to_owned)
        }
    };
    match owner {
        Some(other) if other != service.to_string() => Err(SiteError::Taken { service: other }),
        _ => Ok(()),
    }
}

/// Returns the service named in the first line of a guanka file.
pub(super) fn owner(file: &Path) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    let rest = text.strip_prefix("# guanka ")?;
    Some(rest.split(':').next()?.to_owned())
}

/// A location of the site's own.
struct Other<'a> {
    modifier: &'a str,
    path: &'a str,
    place: &'a str,
    is_proxy: bool,
}

fn locations<'a>(server: &'a Directive, extension: &Path) -> Vec<Other<'a>> {
    let is_other = |d: &&Directive| d.name == "location" && Path::new(&d.span.file) != extension;
    let others = server.inner().iter().filter(is_other);
    others
        .filter_map(|d| {
            let (modifier, path) = match d.args.as_slice() {
                [path] => ("", path.as_str()),
                [modifier, path] => (modifier.as_str(), path.as_str()),
                _ => return None,
            };
            let is_proxy = d.inner().iter().any(|inner| inner.name == "proxy_pass");
            Some(Other { modifier, path, place: &d.span.file, is_proxy })
        })
        .collect()
}

/// Refuses a site where some location beats guanka's for every path or for `/` itself.
fn is_free(others: &[Other<'_>]) -> Result<(), SiteError> {
    let covers = |o: &&Other<'_>| matches!(o.modifier, "^~" | "=") && o.path == "/";
    let Some(other) = others.iter().find(covers) else { return Ok(()) };
    let location = format!("{} {}", other.modifier, other.path);
    let place = other.place.to_owned();
    Err(if other.is_proxy && place.contains("/vhost/nginx/proxy/") {
        SiteError::ClassicProxy { place, location }
    } else {
        SiteError::Covered { place, location }
    })
}

fn form(server: &Directive, others: &[Other<'_>]) -> LocationForm {
    let is_root = |o: &Other<'_>| o.modifier.is_empty() && o.path == "/";
    let has_certificates =
        server.inner().iter().any(|d| d.args.iter().any(|arg| arg.contains("well-known")));
    if others.iter().any(is_root) || has_certificates {
        LocationForm::Regex
    } else {
        LocationForm::Prefix
    }
}

/// Names the locations that keep part of the paths to themselves.
fn partly_covered(others: &[Other<'_>]) -> Vec<Said> {
    let keeps = |o: &&Other<'_>| {
        matches!(o.modifier, "^~" | "=") && !o.path.contains("well-known") && o.path != "/"
    };
    let say = |o: &Other<'_>| {
        let (location, place) = (format!("{} {}", o.modifier, o.path), o.place);
        Said::new(
            format!("{place} 中的 location {location} 优先,这部分路径不会到达该服务"),
            format!("location {location} in {place} comes first; its paths stay with the site"),
        )
    };
    others.iter().filter(keeps).map(say).collect()
}

/// Names foreign files beside guanka's that come first and hold regex locations.
fn foreign_before(extension: &Path) -> Vec<Said> {
    let Some(entries) = extension.parent().and_then(|dir| fs::read_dir(dir).ok()) else {
        return Vec::new();
    };
    let mut before: Vec<PathBuf> = entries
        .flatten()
        .map(|e| e.path())
        .filter(|p| p.extension().is_some_and(|e| e == "conf") && p.as_path() < extension)
        .collect();
    before.sort();
    let has_regex = |path: &PathBuf| {
        let text = fs::read_to_string(path).unwrap_or_default();
        let (tree, _) = guanka_parse::nginx::parse_fragment(&path.to_string_lossy(), &text);
        tree.iter().any(|d| d.name == "location" && d.args.first().is_some_and(|a| a == "~"))
    };
    before
        .into_iter()
        .filter(has_regex)
        .map(|path| {
            let path = path.display();
            Said::new(
                format!("{path} 中的正则 location 排在 guanka 之前,会先匹配"),
                format!("regex locations in {path} stand before guanka's and win"),
            )
        })
        .collect()
}

/// Returns the site's own access logs that can be written on; one that cannot is told.
fn logs(server: &Directive, notes: &mut Vec<Said>) -> Vec<SiteLog> {
    let mut kept = Vec::new();
    for found in server.inner().iter().filter(|d| d.name == "access_log") {
        let args: Vec<&str> = found.args.iter().map(String::as_str).collect();
        if args == ["off"] {
            continue;
        }
        match SiteLog::of(&args) {
            Some(log) => kept.push(log),
            None => notes.push(Said::new(
                format!("站点日志 access_log {} 无法保留", found.text()),
                format!("the site's own access_log {} is not written on", found.text()),
            )),
        }
    }
    kept
}

/// A longer word than nginx's own limit would be refused by nginx only.
fn is_word(text: &str) -> bool {
    (1..=255).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

#[cfg(test)]
#[path = "site_tests.rs"]
mod tests;
