//! Puts a service behind nginx, and takes it away, as one transaction: nginx's own test before and
//! after, the old bytes kept until the new workers serve. What is equal already is left alone.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use guanka_core::name::ServiceName;
use guanka_core::say::Said;

use super::block;
use super::control::{Nginx, Turnover};
use super::drift;
use super::pending::{self, Pending};
use super::share::{self, ShareError};
use super::site;
use super::wiring::{self, PlannedFile, Readers, Wiring};
use crate::files;
use crate::hostroot::HostRoot;
use crate::obstacle;

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
    /// The old files could not be put back.
    #[error("{first}; the old files could not be put back either: {source}")]
    NotBack {
        /// What went wrong first.
        first: Box<InstallError>,
        /// Why they could not.
        source: io::Error,
    },
    /// The operating system refused.
    #[error("{0}")]
    Io(io::Error),
}

/// What becomes of a change when nginx refuses what is there already.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Red {
    /// It is not guanka's to repair: nothing is touched.
    Stops,
    /// It may be that guanka's own pieces are missing: nginx's words name one of them, and with
    /// them back it must be green.
    MayBeOurs,
}

/// One file of a change.
struct Change {
    path: PathBuf,
    /// The new bytes; `None` removes it.
    bytes: Option<Vec<u8>>,
    readers: Readers,
}

/// Writes a service's files, in an order in which no reference dangles, and reloads nginx once.
pub fn install(host: &HostRoot, wiring: &Wiring) -> Result<Applied, InstallError> {
    write(host, wiring, Red::Stops)
}

/// Writes files of a service that somebody took away or changed, as one transaction. Where nginx
/// refuses its configuration only because a piece of guanka's is missing, that is no obstacle.
pub(super) fn put_back(host: &HostRoot, wiring: &Wiring) -> Result<Applied, InstallError> {
    write(host, wiring, Red::MayBeOurs)
}

fn write(host: &HostRoot, wiring: &Wiring, red: Red) -> Result<Applied, InstallError> {
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
    let state = host.service_state(&wiring.service);
    let mut changes: Vec<Change> = wiring.files.iter().map(Change::of).collect();
    // Passwords that nothing asks for any more go, after what asked for them.
    let passwords = wiring::pass_path(host, nginx, &wiring.service);
    if changes.iter().all(|change| change.path != passwords) {
        changes.push(Change::removal(passwords));
    }
    if let Some(rule) = &wiring.displaced {
        // How it comes back is durable before it goes.
        let kept = drift::keep_displaced(host, &wiring.service, rule).map_err(io_at(rule))?;
        changes.push(Change::removal(rule.clone()));
        changes.push(Change::to(&paused(rule), &kept));
    }
    let applied = apply(host, nginx, &changes, red)?;
    drift::keep_record(host, wiring).map_err(io_at(&state))?;
    Ok(applied)
}

/// Returns why an install would be refused before it begins: nginx as it is fails its own test, or
/// does not run. What is installed already needs neither.
pub fn ready(wiring: &Wiring) -> Result<(), InstallError> {
    let nginx = &wiring.nginx;
    let is_whole = wiring.files.iter().all(|file| Change::of(file).is_done());
    if is_whole && wiring.displaced.is_none() {
        return Ok(());
    }
    nginx.test().map_err(|text| InstallError::RedBefore { text })?;
    nginx.master().map_err(|text| InstallError::NoMaster { text })?;
    let open = wiring.files.iter().filter(|file| !Change::of(file).is_done());
    open.map(|file| file.path.as_path()).chain(wiring.displaced.as_deref()).try_for_each(writable)
}

/// Asks, without writing, whether the folder that a file is to lie in takes one. A folder that is
/// not there is made in the one above it.
fn writable(path: &Path) -> Result<(), InstallError> {
    let Some(folder) = path.ancestors().skip(1).find(|folder| folder.is_dir()) else {
        return Ok(());
    };
    let asked = rustix::fs::access(folder, rustix::fs::Access::WRITE_OK);
    asked.map_err(|error| io_at(folder)(error.into()))
}

/// Takes a service's files away: the site's first, then the http level, a reload after each, so
/// that nothing ever refers to what is gone. The log format goes with the last service.
pub fn remove(host: &HostRoot, service: &ServiceName) -> Result<Applied, InstallError> {
    let state = host.service_state(service);
    let Some(nginx) = Nginx::find(host) else { return Ok(Applied::Unchanged) };
    let mut changes = without_pieces(host, &nginx, service)?;
    if let Some(rule) = drift::displaced(host, service) {
        let aside = paused(&rule.path);
        // A rule that its owner has made anew, or changed while it was paused, is left as it is.
        if !files::exists(&rule.path) {
            changes.push(Change::to(&rule.path, &rule.bytes));
        }
        if fs::read(&aside).is_ok_and(|found| found == rule.bytes) {
            changes.push(Change::removal(aside));
        }
    }
    let first = apply(host, &nginx, &changes, Red::Stops)?;
    let http = wiring::http_path(&nginx, service);
    let passwords = wiring::pass_path(host, &nginx, service);
    let mut rest = vec![Change::removal(http), Change::removal(passwords)];
    if wiring::is_last(&nginx, service) {
        rest.push(Change::removal(wiring::format_path(&nginx)));
    }
    let second = apply(host, &nginx, &rest, Red::Stops)?;
    drift::forget_record(host, service).map_err(io_at(&state))?;
    if let (None, Some(own)) = (&nginx.extension_folder, site::own_file(host, service).parent()) {
        // Best effort: somebody may have put a file of theirs into it.
        let _ = fs::remove_dir(own);
    }
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
    apply(host, &nginx, &[], Red::Stops)
}

/// Makes the changes that are none yet.
fn apply(
    host: &HostRoot,
    nginx: &Nginx,
    changes: &[Change],
    red: Red,
) -> Result<Applied, InstallError> {
    let state = host.state();
    files::make_dir(&state, 0o711).map_err(io_at(&state))?;
    let _lock = files::Lock::hold(&state.join(".nginx.lock")).map_err(io_at(&state))?;
    let interrupted = Pending::load(host).map_err(io_at(&state))?;
    if let Some(interrupted) = &interrupted {
        interrupted.restore().map_err(io_at(&state))?;
    }
    let open: Vec<&Change> = changes.iter().filter(|c| !c.is_done()).collect();
    if open.is_empty() && interrupted.is_none() {
        return Ok(Applied::Unchanged);
    }
    let was_red = nginx.test().err();
    if let Some(text) = &was_red
        && (red == Red::Stops || !text.contains("guanka"))
    {
        return Err(InstallError::RedBefore { text: text.clone() });
    }
    nginx.master().map_err(|text| InstallError::NoMaster { text })?;
    let before = Pending::remember(open.iter().map(|c| c.path.as_path())).map_err(io_at(&state))?;
    before.store(host).map_err(io_at(&state))?;
    let turnover = match change(nginx, &open) {
        Ok(turnover) => turnover,
        Err(error) => {
            let error = take_back(host, nginx, &before, error);
            // What was red before and stays red is somebody else's doing.
            return Err(match was_red {
                Some(text) => InstallError::RedBefore { text },
                None => error,
            });
        }
    };
    Pending::clear(host).map_err(io_at(&state))?;
    Ok(Applied::Reloaded { files: open.iter().map(|c| c.path.clone()).collect(), turnover })
}

fn change(nginx: &Nginx, open: &[&Change]) -> Result<Turnover, InstallError> {
    for change in open {
        change.make().map_err(io_at(&change.path))?;
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
        return InstallError::NotBack { first: Box::new(error), source };
    }
    let again = nginx.test().and_then(|()| nginx.reload().map(|_| ())).err();
    // The note stays only when the old state could not be brought back: the next start tries again.
    if again.is_none()
        && let Err(source) = Pending::clear(host)
    {
        return InstallError::NotBack { first: Box::new(error), source };
    }
    match error {
        InstallError::Refused { text, .. } => InstallError::Refused { text, again },
        other => other,
    }
}

impl Change {
    fn to(path: &Path, bytes: &[u8]) -> Self {
        Self { path: path.to_owned(), bytes: Some(bytes.to_vec()), readers: Readers::All }
    }

    fn of(file: &PlannedFile) -> Self {
        Self { readers: file.readers.clone(), ..Self::to(&file.path, file.text.as_bytes()) }
    }

    const fn removal(path: PathBuf) -> Self {
        Self { path, bytes: None, readers: Readers::All }
    }

    fn is_done(&self) -> bool {
        match (&self.bytes, fs::read(&self.path)) {
            (Some(bytes), Ok(found)) => found == *bytes && self.is_readable_as_meant(),
            (None, Err(e)) => e.kind() == io::ErrorKind::NotFound,
            _ => false,
        }
    }

    fn is_readable_as_meant(&self) -> bool {
        let Readers::Workers(group) = self.readers else { return true };
        fs::metadata(&self.path).is_ok_and(|found| {
            found.mode() & 0o777 == 0o640 && group.is_none_or(|group| found.gid() == group)
        })
    }

    fn make(&self) -> io::Result<()> {
        let Some(bytes) = &self.bytes else { return pending::delete(&self.path) };
        if let Some(folder) = self.path.parent().filter(|f| !f.is_dir()) {
            files::make_dir(folder, 0o755)?;
        }
        if let Readers::Workers(group) = self.readers {
            return files::replace_for_group(&self.path, bytes, 0o640, group);
        }
        // A file that is there keeps its mode: it may be its owner's with a block of guanka's.
        let mode = fs::metadata(&self.path).map(|meta| meta.permissions().mode() & 0o777);
        files::replace(&self.path, bytes, mode.unwrap_or(0o644))
    }
}

/// Returns where the panel keeps a reverse-proxy rule that is paused.
fn paused(rule: &Path) -> PathBuf {
    let name = rule.file_name().unwrap_or_default().to_string_lossy();
    rule.with_file_name(format!("{name}_bak"))
}

/// Returns what takes a service's server-level pieces away: files of its own by their first line,
/// since a site may have been renamed, and blocks in rewrite files.
fn without_pieces(
    host: &HostRoot,
    nginx: &Nginx,
    service: &ServiceName,
) -> Result<Vec<Change>, InstallError> {
    let Some(folder) = &nginx.extension_folder else {
        let own = site::own_file(host, service);
        return Ok(if wiring::is_of(&own, service) {
            vec![Change::removal(own)]
        } else {
            Vec::new()
        });
    };
    let entries = |folder: &Path| fs::read_dir(folder).into_iter().flatten().flatten();
    let own = entries(folder).map(|entry| entry.path().join("guanka.conf"));
    let mut changes: Vec<Change> =
        own.filter(|path| wiring::is_of(path, service)).map(Change::removal).collect();
    let rewrites = folder.parent().and_then(Path::parent).map(|p| p.join("rewrite"));
    for entry in rewrites.iter().flat_map(|folder| entries(folder)) {
        let path = entry.path();
        let Ok(text) = fs::read_to_string(&path) else { continue };
        if block::is_in(&text, service) {
            changes.push(Change::to(&path, block::without(&text, service).as_bytes()));
        }
    }
    Ok(changes)
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
    let named = obstacle::at(path);
    move |source| InstallError::Io(named(source))
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
            Self::NotBack { first, source } => {
                let (first, source) = (first.said(), obstacle::said(source));
                return Said::new(
                    format!("{};原文件也未能恢复:{}", first.zh, source.zh),
                    format!(
                        "{}; the old files could not be put back either: {}",
                        first.en, source.en
                    ),
                );
            }
            Self::Io(error) => return obstacle::said(error),
        };
        Said::new(zh, self.to_string())
    }
}
