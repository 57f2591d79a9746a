//! Green's share of the requests: the folder `live` points to holds the slots that go to green, and
//! a share changes by one rename. The caller has checked the epoch and written its journal.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use guanka_core::name::ServiceName;
use guanka_core::quantity::{Millis, SharePercent};
use guanka_core::say::Said;
use rustix::fs::{CWD, RenameFlags, renameat_with};

use crate::files;
use crate::hostroot::HostRoot;
use crate::obstacle;
use crate::process;

/// How long a look through a worker's eyes may take.
const LOOK_LIMIT: Millis = Millis::from_secs(10);

/// What a swap did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Swapped {
    /// The share was in force already.
    Unchanged,
    /// The share is in force from the next request on.
    Moved {
        /// Green's share before; `None` when there was no link.
        from: Option<SharePercent>,
    },
}

/// Why a share is not in force.
#[derive(Debug, thiserror::Error)]
pub enum ShareError {
    /// The folders are not there: the service is not installed.
    #[error("the share folders are missing; install the service first")]
    Missing,
    /// A folder does not hold what its name says. The folders have been made anew; nothing moved.
    #[error("{folder} did not hold its slots; the folders were made anew and nothing was moved")]
    Damaged {
        /// The folder.
        folder: PathBuf,
    },
    /// nginx's workers cannot look into the folders, so everything would go to blue.
    #[error("nginx's user {user} cannot see {path}")]
    Invisible {
        /// The workers' user.
        user: String,
        /// What it cannot see.
        path: PathBuf,
    },
    /// The operating system refused.
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// Makes the share folders and, where there is no link yet, points it at nothing for green.
pub fn build(host: &HostRoot, service: &ServiceName) -> Result<(), ShareError> {
    files::make_state(host, service)?;
    let _lock = lock(host, service)?;
    let shares = host.shares(service);
    if !shares.is_dir() {
        let beside = build_beside(host, service)?;
        fs::rename(&beside, &shares)?;
        files::sync_parent(&shares)?;
    }
    if fs::symlink_metadata(host.live(service)).is_err() {
        files::replace_link(&host.live(service), &target(SharePercent::NONE))?;
    }
    Ok(())
}

/// Returns green's share as the link says it; `None` without a link or with a strange one.
pub fn read(host: &HostRoot, service: &ServiceName) -> Option<SharePercent> {
    let target = fs::read_link(host.live(service)).ok()?;
    let digits = target.to_str()?.strip_prefix("shares/w").filter(|d| d.len() == 3)?;
    SharePercent::new(digits.parse().ok()?)
}

/// Puts green's share in force. The folder is counted first; the rename is the moment of the shift,
/// and it is durable when this returns.
pub fn swap(
    host: &HostRoot,
    service: &ServiceName,
    green: SharePercent,
) -> Result<Swapped, ShareError> {
    if !host.shares(service).is_dir() {
        return Err(ShareError::Missing);
    }
    let _lock = lock(host, service)?;
    let folder = host.service_state(service).join(target(green));
    if !is_whole(&folder, green) {
        rebuild(host, service)?;
        return Err(ShareError::Damaged { folder });
    }
    let from = read(host, service);
    if from == Some(green) {
        files::sync_parent(&host.live(service))?;
        return Ok(Swapped::Unchanged);
    }
    files::replace_link(&host.live(service), &target(green))?;
    Ok(Swapped::Moved { from })
}

/// Makes sure that nginx's workers can see a slot, by looking as their user does. Only root can
/// look as somebody else; without root the workers are the caller's own.
pub fn check_visible(
    host: &HostRoot,
    service: &ServiceName,
    worker: Option<(&str, u32, u32)>,
) -> Result<(), ShareError> {
    let Some((user, uid, gid)) = worker else { return Ok(()) };
    let path = host.shares(service).join("w100/s00");
    let mut look = Command::new("test");
    look.arg("-f").arg(&path).gid(gid).uid(uid).current_dir("/");
    if process::run(&mut look, LOOK_LIMIT)?.is_success() {
        return Ok(());
    }
    Err(ShareError::Invisible { user: user.to_owned(), path })
}

/// Removes the folders and the link of a service that is no longer installed.
pub fn remove(host: &HostRoot, service: &ServiceName) -> io::Result<()> {
    let gone = |result: io::Result<()>| match result {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    };
    gone(fs::remove_file(host.live(service)))?;
    gone(fs::remove_dir_all(host.shares(service)))
}

fn lock(host: &HostRoot, service: &ServiceName) -> io::Result<files::Lock> {
    files::Lock::hold(&host.service_state(service).join(".share.lock"))
}

/// Returns the link's target; relative, so that the tree may be moved or mounted elsewhere.
fn target(share: SharePercent) -> PathBuf {
    PathBuf::from(format!("shares/w{:03}", share.get()))
}

/// Returns whether a folder holds exactly the slots of its share.
fn is_whole(folder: &Path, share: SharePercent) -> bool {
    let Ok(entries) = fs::read_dir(folder) else { return false };
    let found: BTreeSet<String> =
        entries.flatten().map(|e| e.file_name().to_string_lossy().into_owned()).collect();
    let expected: BTreeSet<String> = (0..share.get()).map(|i| format!("s{i:02}")).collect();
    found == expected
}

/// Makes all folders beside the live ones, synced. The 5,050 slots are names of one empty file.
fn build_beside(host: &HostRoot, service: &ServiceName) -> io::Result<PathBuf> {
    let beside = host.service_state(service).join("shares.new");
    match fs::remove_dir_all(&beside) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    files::make_dir(&beside, 0o755)?;
    let first = beside.join("w001/s00");
    for percent in 0..=SharePercent::ALL.get() {
        let folder = beside.join(format!("w{percent:03}"));
        files::make_dir(&folder, 0o755)?;
        for i in 0..percent {
            let slot = folder.join(format!("s{i:02}"));
            // A file system that allows fewer names of one file gets files instead.
            if slot == first || fs::hard_link(&first, &slot).is_err() {
                files::write_synced(&slot, b"", 0o644)?;
            }
        }
        files::sync_dir(&folder)?;
    }
    files::sync_dir(&beside)?;
    Ok(beside)
}

/// Puts new folders in the place of damaged ones in one step, so that `live` resolves all the time.
fn rebuild(host: &HostRoot, service: &ServiceName) -> io::Result<()> {
    let beside = build_beside(host, service)?;
    renameat_with(CWD, &beside, CWD, host.shares(service), RenameFlags::EXCHANGE)?;
    files::sync_parent(&beside)?;
    fs::remove_dir_all(&beside)
}

impl ShareError {
    /// Returns the sentence for people.
    pub fn said(&self) -> Said {
        let zh = match self {
            Self::Missing => "流量份额目录不存在,请先接入该服务".to_owned(),
            Self::Damaged { folder } => {
                format!("{} 中的槽位不完整,已重建目录,流量未变动", folder.display())
            }
            Self::Invisible { user, path } => {
                format!("nginx 的运行用户 {user} 看不到 {}", path.display())
            }
            Self::Io(error) => return obstacle::said(error),
        };
        Said::new(zh, self.to_string())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    use guanka_core::name::ServiceName;
    use guanka_core::quantity::SharePercent;

    use super::{ShareError, Swapped, build, check_visible, read, swap};
    use crate::hostroot::HostRoot;

    fn service() -> ServiceName {
        ServiceName::new("shop", "prod").expect("a good name")
    }

    fn share(percent: u8) -> SharePercent {
        SharePercent::new(percent).expect("a percentage")
    }

    #[test]
    fn every_folder_holds_exactly_its_slots_and_the_link_moves_between_them() {
        let dir = tempfile::tempdir().expect("a folder");
        let host = HostRoot::new(dir.path());
        assert!(matches!(swap(&host, &service(), share(1)), Err(ShareError::Missing)));
        build(&host, &service()).expect("built");
        assert_eq!(read(&host, &service()), Some(share(0)));
        let mode = |p: std::path::PathBuf| fs::metadata(p).expect("there").mode() & 0o777;
        assert_eq!(mode(host.state()), 0o711);
        assert_eq!(mode(host.service_state(&service())), 0o711);
        assert_eq!(mode(host.shares(&service()).join("w000")), 0o755);
        fs::write(host.service_state(&service()).join(".live.new"), "").expect("a left-over");
        for percent in [0, 1, 37, 99, 100, 10] {
            swap(&host, &service(), share(percent)).expect("swapped");
            let live = fs::read_dir(host.live(&service())).expect("resolves");
            assert_eq!(live.count(), usize::from(percent));
            assert_eq!(read(&host, &service()), Some(share(percent)));
        }
        assert_eq!(swap(&host, &service(), share(10)).expect("same"), Swapped::Unchanged);
        build(&host, &service()).expect("built already");
        assert_eq!(read(&host, &service()), Some(share(10)));
    }

    #[test]
    fn a_damaged_folder_stops_the_swap_and_is_made_anew() {
        let dir = tempfile::tempdir().expect("a folder");
        let host = HostRoot::new(dir.path());
        build(&host, &service()).expect("built");
        swap(&host, &service(), share(5)).expect("swapped");
        let folder = host.shares(&service()).join("w050");
        fs::rename(folder.join("s07"), folder.join("s77")).expect("damage");
        let error = swap(&host, &service(), share(50)).expect_err("stopped");
        assert!(matches!(error, ShareError::Damaged { .. }));
        assert_eq!(read(&host, &service()), Some(share(5)));
        swap(&host, &service(), share(50)).expect("whole again");
    }

    #[test]
    #[expect(clippy::print_stderr, reason = "a skipped test says why")]
    fn a_closed_parent_is_seen_before_it_sends_everything_to_blue() {
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: only root can look as another user");
            return;
        }
        let dir = tempfile::tempdir().expect("a folder");
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o711)).expect("opened");
        let host = HostRoot::new(dir.path());
        build(&host, &service()).expect("built");
        for folder in ["var", "var/lib"] {
            let open = fs::Permissions::from_mode(0o755);
            fs::set_permissions(dir.path().join(folder), open).expect("opened");
        }
        let worker = Some(("nobody", 65534, 65534));
        check_visible(&host, &service(), worker).expect("visible");
        fs::set_permissions(host.state(), fs::Permissions::from_mode(0o700)).expect("closed");
        let error = check_visible(&host, &service(), worker).expect_err("not visible");
        assert!(matches!(error, ShareError::Invisible { .. }));
    }
}
