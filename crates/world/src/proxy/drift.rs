//! What a service's pieces of nginx should be against what they are. The panel and people edit the
//! same folders: a piece that is missing or changed is put back in one tested transaction, and
//! where that is not possible it is said what stands in the way.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use guanka_core::facts::declared::Proxy;
use guanka_core::name::{Digest, Domain, ServiceName};
use guanka_core::say::Said;
use serde::{Deserialize, Serialize};

use super::install::{self, Applied};
use super::site_error::SiteError;
use super::wiring::{self, Wiring, WiringError};
use crate::files;
use crate::hash;
use crate::hostroot::HostRoot;
use crate::ports::ArmPorts;

/// The most that is read of a piece; guanka's own are a few kilobytes.
const PIECE_MAX: u64 = 1 << 20;

/// What was written when the service was installed: each file with the digest of guanka's part.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    files: BTreeMap<PathBuf, Digest>,
    /// A rule of the panel's that was paused for it.
    #[serde(default)]
    displaced: Option<Displaced>,
}

/// A rule of the panel's that gave way, as it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Displaced {
    pub(super) path: PathBuf,
    pub(super) bytes: Vec<u8>,
}

/// Something that is not as it should be and could not be put right.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Drift {
    /// Pieces are missing or changed and could not be put back.
    Lost {
        /// The files.
        files: Vec<PathBuf>,
        /// Why not.
        why: Said,
    },
    /// The service's site is no more.
    SiteGone {
        /// Its domain.
        domain: Domain,
        /// Pieces that lie there without a use; they harm nobody.
        left: Vec<PathBuf>,
    },
    /// The site no longer lets requests through to the service.
    Blocked {
        /// Why.
        why: Said,
    },
}

/// Pieces of nginx configuration that the agent has put back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PutBack {
    /// When, milliseconds since 1970.
    pub at_ms: u64,
    /// What, in a sentence.
    pub says: Said,
}

/// What a look found, and did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Looked {
    /// Everything is as it should be, or the service is not installed.
    InPlace,
    /// Pieces were put back; nginx was reloaded once.
    PutBack {
        /// The files.
        files: Vec<PathBuf>,
    },
    /// This stands.
    Stands(Drift),
}

/// Writes down what an install has written.
pub(super) fn keep_record(host: &HostRoot, wiring: &Wiring) -> io::Result<()> {
    let digest = |text: &str| hash::of_bytes(wiring::own_part(text, &wiring.service).as_bytes());
    let files = wiring.files.iter().map(|file| (file.path.clone(), digest(&file.text))).collect();
    let before = read_record(host, &wiring.service);
    let displaced = before.as_ref().and_then(|record| record.displaced.clone());
    let record = Record { files, displaced };
    if before.as_ref() == Some(&record) { Ok(()) } else { store(host, &wiring.service, &record) }
}

/// Writes down a rule that is about to be paused; returns its bytes.
pub(super) fn keep_displaced(
    host: &HostRoot,
    service: &ServiceName,
    rule: &Path,
) -> io::Result<Vec<u8>> {
    let bytes = files::read_bytes(rule, PIECE_MAX)?;
    let mut record = read_record(host, service).unwrap_or_default();
    record.displaced = Some(Displaced { path: rule.to_owned(), bytes: bytes.clone() });
    store(host, service, &record)?;
    Ok(bytes)
}

/// Returns the rule that was paused for a service.
pub(super) fn displaced(host: &HostRoot, service: &ServiceName) -> Option<Displaced> {
    read_record(host, service)?.displaced
}

fn store(host: &HostRoot, service: &ServiceName, record: &Record) -> io::Result<()> {
    files::make_state(host, service)?;
    files::replace(&path(host, service), &serde_json::to_vec_pretty(record)?, 0o600)
}

/// Forgets it: the service is being taken away.
pub(super) fn forget_record(host: &HostRoot, service: &ServiceName) -> io::Result<()> {
    files::remove(&path(host, service))
}

/// Returns the pieces that are missing or are not what was written; cheap enough for a look every
/// few seconds. A service that was never installed has none.
pub fn lost(host: &HostRoot, service: &ServiceName) -> Vec<PathBuf> {
    let record = read_record(host, service);
    let recorded = record.iter().flat_map(|record| &record.files);
    let differs = |(path, digest): &(&PathBuf, &Digest)| {
        let text = files::read_text(path, PIECE_MAX).ok();
        let found = text.map(|text| hash::of_bytes(wiring::own_part(&text, service).as_bytes()));
        found.as_ref() != Some(*digest)
    };
    recorded.filter(differs).map(|(path, _)| path.clone()).collect()
}

/// Looks at the whole: the pieces and whether the site still leads to them. Puts back what is
/// missing or changed.
pub fn reconcile(host: &HostRoot, service: &ServiceName, proxy: &Proxy, ports: ArmPorts) -> Looked {
    if read_record(host, service).is_none() {
        return Looked::InPlace;
    }
    let lost = lost(host, service);
    let wiring = match wiring::plan(host, service, proxy, ports) {
        Ok(wiring) => wiring,
        Err(WiringError::Site(SiteError::NotFound { domain, .. })) => {
            let left = left(host, service);
            return Looked::Stands(Drift::SiteGone { domain, left });
        }
        Err(error) => return Looked::Stands(Drift::Blocked { why: error.said() }),
    };
    if lost.is_empty() {
        return Looked::InPlace;
    }
    match install::put_back(host, &wiring) {
        Ok(Applied::Unchanged) => Looked::InPlace,
        Ok(Applied::Reloaded { files, .. }) => Looked::PutBack { files },
        Err(error) => Looked::Stands(Drift::Lost { files: lost, why: error.said() }),
    }
}

/// Returns the pieces of a service whose site is gone; the log format belongs to all services.
fn left(host: &HostRoot, service: &ServiceName) -> Vec<PathBuf> {
    let record = read_record(host, service);
    let recorded = record.iter().flat_map(|record| record.files.keys());
    let is_own = |path: &&PathBuf| wiring::is_of(path, service) && path.is_file();
    recorded.filter(is_own).cloned().collect()
}

fn read_record(host: &HostRoot, service: &ServiceName) -> Option<Record> {
    serde_json::from_slice(&fs::read(path(host, service)).ok()?).ok()
}

fn path(host: &HostRoot, service: &ServiceName) -> PathBuf {
    host.service_state(service).join("installed.json")
}

fn listed(files: &[PathBuf]) -> String {
    let name = |path: &PathBuf| shown(path);
    files.iter().map(name).collect::<Vec<_>>().join(", ")
}

/// Shortens a path to its folder and name: `extension/api/guanka.conf` tells which it is.
fn shown(path: &Path) -> String {
    let parts: Vec<_> = path.components().map(|part| part.as_os_str().to_string_lossy()).collect();
    let from = parts.len().saturating_sub(3);
    parts[from..].join("/")
}

impl Looked {
    /// Returns the sentence about pieces that were put back.
    pub fn put_back_said(files: &[PathBuf]) -> Said {
        let list = listed(files);
        Said::new(
            format!("nginx 片段 {list} 被删除或改动,guanka 已放回(测试通过,重载一次)"),
            format!(
                "{list}: removed or changed by somebody; put back, tested, nginx reloaded once"
            ),
        )
    }
}

impl Drift {
    /// Returns the sentence for people, with what to do.
    pub fn said(&self) -> Said {
        match self {
            Self::Lost { files, why } => {
                let list = listed(files);
                Said::new(
                    format!("nginx 片段 {list} 缺失或被改动,暂时不能放回:{}", why.zh),
                    format!("{list}: missing or changed, and cannot be put back yet: {}", why.en),
                )
            }
            Self::SiteGone { domain, left } => {
                let (zh, en) = match listed(left) {
                    list if list.is_empty() => (String::new(), String::new()),
                    list => (format!(";留下的 {list} 无害"), format!("; {list} is left, harmless")),
                };
                Said::new(
                    format!(
                        "站点 {domain} 已不存在{zh};重新建站后自动接上,或用 `guanka remove` 移除"
                    ),
                    format!(
                        "the site {domain} is gone{en}; made anew it is taken up again, else \
                         `guanka remove`"
                    ),
                )
            }
            Self::Blocked { why } => Said::new(
                format!("请求到不了该服务:{}", why.zh),
                format!("requests do not reach the service: {}", why.en),
            ),
        }
    }
}
