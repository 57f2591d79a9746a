//! Puts a service behind nginx, and takes it away, as one transaction: nginx's own test before and
//! after, the old bytes kept until the new workers serve. What is equal already is left alone.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use guanka_core::name::ServiceName;
use guanka_core::say::Said;

use super::control::{Nginx, Turnover};
use super::pending::{self, Pending};
use super::share::{self, ShareError};
use super::site;
use super::wiring::{self, PlannedFile, Readers, Wiring};
use crate::files;
use crate::hostroot::HostRoot;

/// What an install or a removal did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Applied {
    /// Every file was as it should be; nginx was not touched.
    Unchanged,
    /// Files changed and nginx was reloaded once.
    Reloaded {
        /// The files.
        files: Vec<PathBuf>,
        /// How the reload went.
        turnover: Turnover,
    },
}

/// Why nginx is as it was before.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// nginx's test failed before anything was touched: not guanka's to repair.
    #[error("nginx -t fails already, before guanka touched anything: {text}")]
    RedBefore {
        /// nginx's text.
        text: String,
    },
    /// There is no running nginx to reload.
    #[error("nginx cannot be reloaded: {text}")]
    NoMaster {
        /// What is wrong with its pid file.
        text: String,
    },
    /// nginx refused the new files; the old ones are back.
    #[error("nginx refuses the new files, the old ones are back{}: {text}", and_red(again))]
    Refused {
        /// nginx's text.
        text: String,
        /// nginx's text on the old files, should it refuse those too.
        again: Option<String>,
    },
    /// The share folders cannot be used.
    #[error("{0}")]
    Share(#[from] ShareError),
    /// The operating system refused.
    #[error("{doing}: {source}")]
    Io {
        /// What was being done.
        doing: String,
        /// Why not.
        source: io::Error,
    },
}

/// One file of a change.
struct Change<'a> {
    path: &'a Path,
    /// The new text; `None` removes it.
    text: Option<&'a str>,
    readers: Readers,
}

impl<'a> Change<'a> {
    const fn removal(path: &'a Path) -> Self {
        Self { path, text: None, readers: Readers::All }
    }

    fn of(file: &'a PlannedFile) -> Self {
        Self { path: &file.path, text: Some(&file.text), readers: file.readers.clone() }
    }
}

/// Writes a service's files, in an order in which no reference dangles, and reloads nginx once.
pub fn install(host: &HostRoot, wiring: &Wiring) -> Result<Applied, InstallError> {
    let nginx = &wiring.nginx;
    share::build(host, &wiring.service)?;
    share::check_visible(
        host,
        &wiring.service,
        worker(nginx).as_ref().map(|w| (w.0.as_str(), w.1, w.2)),
    )?;
    if let Some(folder) = wiring.access_log.parent() {
        // Opened by nginx's master as root: the folder must be nobody's but root's.
        files::make_dir(folder, 0o755).map_err(io_at(folder))?;
    }
    let mut changes: Vec<Change<'_>> = wiring.files.iter().map(Change::of).collect();
    // Passwords that nothing asks for any more go, after what asked for them.
    let passwords = wiring::pass_path(host, nginx, &wiring.service);
    if changes.iter().all(|change| change.path != passwords) {
        changes.push(Change::removal(&passwords));
    }
    apply(host, nginx, &changes)
}

/// Returns why an install would be refused before it begins: nginx as it is fails its own test, or
/// does not run. What is installed already needs neither.
pub fn ready(wiring: &Wiring) -> Result<(), InstallError> {
    let nginx = &wiring.nginx;
    if wiring.files.iter().all(|file| Change::of(file).is_done()) {
        return Ok(());
    }
    nginx.test().map_err(|text| InstallError::RedBefore { text })?;
    nginx.master().map(|_| ()).map_err(|text| InstallError::NoMaster { text })
}

/// Takes a service's files away: the site's first, then the http level, a reload after each, so
/// that nothing ever refers to what is gone. The log format stays; other services may use it.
pub fn remove(host: &HostRoot, service: &ServiceName) -> Result<Applied, InstallError> {
    let Some(nginx) = Nginx::find(host) else { return Ok(Applied::Unchanged) };
    let extensions = extensions_of(host, &nginx, service);
    let changes: Vec<Change<'_>> = extensions.iter().map(|path| Change::removal(path)).collect();
    let first = apply(host, &nginx, &changes)?;
    let http = wiring::http_path(&nginx, service);
    let passwords = wiring::pass_path(host, &nginx, service);
    let rest = [Change::removal(&http), Change::removal(&passwords)];
    let second = apply(host, &nginx, &rest)?;
    Ok(match (first, second) {
        (Applied::Unchanged, other) | (other, Applied::Unchanged) => other,
        (Applied::Reloaded { mut files, .. }, Applied::Reloaded { files: more, turnover }) => {
            files.extend(more);
            Applied::Reloaded { files, turnover }
        }
    })
}

/// Takes back a change that was interrupted; asked at every start of the agent.
pub fn recover(host: &HostRoot) -> Result<Applied, InstallError> {
    let Some(nginx) = Nginx::find(host) else { return Ok(Applied::Unchanged) };
    apply(host, &nginx, &[])
}

/// Makes the changes that are none yet.
fn apply(host: &HostRoot, nginx: &Nginx, changes: &[Change<'_>]) -> Result<Applied, InstallError> {
    let state = host.state();
    files::make_dir(&state, 0o711).map_err(io_at(&state))?;
    let _lock = files::Lock::hold(&state.join(".nginx.lock")).map_err(io_at(&state))?;
    let interrupted = Pending::load(host).map_err(io_at(&state))?;
    if let Some(interrupted) = &interrupted {
        interrupted.restore().map_err(io_at(&state))?;
    }
    let open: Vec<&Change<'_>> = changes.iter().filter(|c| !c.is_done()).collect();
    if open.is_empty() && interrupted.is_none() {
        return Ok(Applied::Unchanged);
    }
    nginx.test().map_err(|text| InstallError::RedBefore { text })?;
    nginx.master().map_err(|text| InstallError::NoMaster { text })?;
    let before = Pending::remember(open.iter().map(|c| c.path)).map_err(io_at(&state))?;
    before.store(host).map_err(io_at(&state))?;
    let turnover = match change(nginx, &open) {
        Ok(turnover) => turnover,
        Err(error) => return Err(take_back(host, nginx, &before, error)),
    };
    Pending::clear(host).map_err(io_at(&state))?;
    Ok(Applied::Reloaded { files: open.iter().map(|c| c.path.to_owned()).collect(), turnover })
}

fn change(nginx: &Nginx, open: &[&Change<'_>]) -> Result<Turnover, InstallError> {
    for change in open {
        change.make().map_err(io_at(change.path))?;
    }
    let refused = |text| InstallError::Refused { text, again: None };
    nginx.test().map_err(refused)?;
    nginx.reload().map_err(refused)
}

/// Puts the old files back after a failure and tests them. nginx may have taken the new ones
/// already when only the wait went wrong, so it is told to read the old ones again.
fn take_back(
    host: &HostRoot,
    nginx: &Nginx,
    before: &Pending,
    error: InstallError,
) -> InstallError {
    if let Err(source) = before.restore() {
        return InstallError::Io {
            doing: format!("putting the old files back after {error}"),
            source,
        };
    }
    let again = nginx.test().and_then(|()| nginx.reload().map(|_| ())).err();
    // The note stays only when the old state could not be brought back: the next start tries again.
    if again.is_none()
        && let Err(source) = Pending::clear(host)
    {
        return InstallError::Io { doing: format!("after {error}"), source };
    }
    match error {
        InstallError::Refused { text, .. } => InstallError::Refused { text, again },
        other => other,
    }
}

impl Change<'_> {
    fn is_done(&self) -> bool {
        match (self.text, fs::read(self.path)) {
            (Some(text), Ok(found)) => found == text.as_bytes() && self.is_readable_as_meant(),
            (None, Err(e)) => e.kind() == io::ErrorKind::NotFound,
            _ => false,
        }
    }

    fn is_readable_as_meant(&self) -> bool {
        let Readers::Workers(group) = self.readers else { return true };
        fs::metadata(self.path).is_ok_and(|found| {
            found.mode() & 0o777 == 0o640 && group.is_none_or(|group| found.gid() == group)
        })
    }

    fn make(&self) -> io::Result<()> {
        let Some(text) = self.text else { return pending::delete(self.path) };
        if let Some(folder) = self.path.parent().filter(|f| !f.is_dir()) {
            files::make_dir(folder, 0o755)?;
        }
        match self.readers {
            Readers::All => files::replace(self.path, text.as_bytes(), 0o644),
            Readers::Workers(group) => {
                files::replace_for_group(self.path, text.as_bytes(), 0o640, group)
            }
        }
    }
}

/// Finds the server-level files of a service by their first line; a site may have been renamed.
fn extensions_of(host: &HostRoot, nginx: &Nginx, service: &ServiceName) -> Vec<PathBuf> {
    let candidates: Vec<PathBuf> = match &nginx.extension_folder {
        Some(folder) => fs::read_dir(folder)
            .map(|entries| entries.flatten().map(|e| e.path().join("guanka.conf")).collect())
            .unwrap_or_default(),
        None => vec![host.at("/etc/nginx/guanka").join(format!("{service}.conf"))],
    };
    let is_it = |path: &PathBuf| site::owner(path).is_some_and(|o| o == service.to_string());
    candidates.into_iter().filter(is_it).collect()
}

/// Returns the workers' user with its numbers, when this process may look as somebody else. nginx
/// resolves the name on the machine it runs on, whatever the root folder says.
pub(crate) fn worker(nginx: &Nginx) -> Option<(String, u32, u32)> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let name = nginx.user.clone()?;
    let passwd = fs::read_to_string("/etc/passwd").ok()?;
    let fields: Vec<&str> = passwd
        .lines()
        .map(|line| line.split(':').collect::<Vec<_>>())
        .find(|fields| fields.first() == Some(&name.as_str()))?;
    let (uid, gid) = (fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?);
    Some((name, uid, gid))
}

fn io_at(path: &Path) -> impl FnOnce(io::Error) -> InstallError {
    let doing = path.display().to_string();
    move |source| InstallError::Io { doing, source }
}

fn and_red(again: &Option<String>) -> String {
    again.as_ref().map(|text| format!(" and refused too ({text})")).unwrap_or_default()
}

impl InstallError {
    /// Returns the sentence for people.
    pub fn said(&self) -> Said {
        let zh = match self {
            Self::RedBefore { text } => {
                format!("guanka 改动之前 nginx -t 就已失败,请先修复:{text}")
            }
            Self::NoMaster { text } => format!("无法重载 nginx:{text}"),
            Self::Refused { text, again: None } => {
                format!("nginx 拒绝了新配置,已恢复原文件:{text}")
            }
            Self::Refused { text, again: Some(again) } => {
                format!("nginx 拒绝了新配置({text}),原文件已恢复但仍被拒绝:{again}")
            }
            Self::Share(error) => return error.said(),
            Self::Io { doing, source } => format!("{doing}:{source}"),
        };
        Said::new(zh, self.to_string())
    }
}
