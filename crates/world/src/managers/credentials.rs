//! Secrets that an arm is handed as files: `/etc/guanka/credentials/<service>/NAME`, put there by
//! the host's administrator. Under systemd `LoadCredential` hands them over; under Supervisor the
//! launcher does, in a folder of the arm's user's own. The program finds both the same way, below
//! `$CREDENTIALS_DIRECTORY`. None is ever in an environment, an argument or a log.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use guanka_core::name::{Arm, ServiceName};
use guanka_core::say::Said;

use super::spec::RunAs;
use crate::files;
use crate::hostroot::HostRoot;

/// systemd takes no larger credential either.
const SIZE_MAX: u64 = 1 << 20;

/// Why a secret cannot be handed over; never a word of what it holds.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    /// It is not there.
    #[error("the credential {} is not on the host", path.display())]
    Missing {
        /// The file that was looked for.
        path: PathBuf,
    },
    /// Others than its owner may read it, or it is not root's.
    #[error("{} has mode {mode:o} and owner {uid}: others may read it", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
        /// Its owner's number.
        uid: u32,
    },
    /// It is no plain file of a credential's size.
    #[error("{} is no plain file of at most {SIZE_MAX} bytes", path.display())]
    Odd {
        /// The file.
        path: PathBuf,
    },
    /// The operating system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

impl CredentialError {
    /// Returns the sentence for people, with what to do.
    pub fn said(&self) -> Said {
        match self {
            Self::Missing { path } => {
                let path = path.display();
                Said::new(
                    format!("主机上没有凭据文件 {path};请以 root 创建,权限 0600"),
                    format!("there is no credential {path}; write it as root, with mode 0600"),
                )
            }
            Self::Open { path, mode, uid } => {
                let path = path.display();
                Said::new(
                    format!("凭据文件 {path} 权限为 {mode:o}、属主 {uid},他人可读;请 chmod 600"),
                    format!(
                        "{path} has mode {mode:o} and owner {uid}: others may read it; chmod 600"
                    ),
                )
            }
            Self::Odd { path } => Said::new(
                format!("{} 不是 {SIZE_MAX} 字节以内的普通文件", path.display()),
                self.to_string(),
            ),
            Self::Io { path, source } => {
                Said::new(format!("读取 {} 失败:{source}", path.display()), self.to_string())
            }
        }
    }
}

/// Returns where a service's secret lies.
pub fn source(host: &HostRoot, service: &ServiceName, name: &str) -> PathBuf {
    host.at("/etc/guanka/credentials").join(service.to_string()).join(name)
}

/// Returns where an arm under Supervisor finds its secrets.
pub fn folder(host: &HostRoot, service: &ServiceName, arm: Arm) -> PathBuf {
    host.at("/run/guanka/credentials").join(format!("{service}-{arm}"))
}

/// Makes sure that every named secret is there, is nobody else's to read and has a size that can be
/// handed over. Reads none.
pub fn check(
    host: &HostRoot,
    service: &ServiceName,
    names: &[String],
) -> Result<(), CredentialError> {
    let own = rustix::process::geteuid().as_raw();
    for name in names {
        let path = source(host, service, name);
        let metadata = match fs::symlink_metadata(&path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(CredentialError::Missing { path });
            }
            Err(source) => return Err(CredentialError::Io { path, source }),
        };
        if !metadata.is_file() || metadata.len() > SIZE_MAX {
            return Err(CredentialError::Odd { path });
        }
        let (mode, uid) = (metadata.permissions().mode() & 0o7777, metadata.uid());
        if mode & 0o077 != 0 || (uid != 0 && uid != own) {
            return Err(CredentialError::Open { path, mode, uid });
        }
    }
    Ok(())
}

/// Copies an arm's secrets to where its user alone may read them; returns the folder.
pub fn hand_over(
    host: &HostRoot,
    (service, arm): (&ServiceName, Arm),
    names: &[String],
    run_as: &RunAs,
) -> Result<PathBuf, CredentialError> {
    check(host, service, names)?;
    let folder = folder(host, service, arm);
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| CredentialError::Io { path, source }
    };
    // What an earlier release was handed does not stay.
    files::remove_tree(&folder).map_err(failed(&folder))?;
    for part in [host.at("/run/guanka"), host.at("/run/guanka/credentials")] {
        files::make_dir(&part, 0o711).map_err(failed(&part))?;
    }
    files::make_dir(&folder, 0o700).map_err(failed(&folder))?;
    let give = |path: &Path, mode: u32| {
        if let RunAs::User { uid, gid, .. } = run_as {
            std::os::unix::fs::chown(path, Some(*uid), Some(*gid))?;
        }
        fs::set_permissions(path, fs::Permissions::from_mode(mode))
    };
    for name in names {
        let from = source(host, service, name);
        let bytes = files::read_bytes(&from, SIZE_MAX).map_err(failed(&from))?;
        let to = folder.join(name);
        files::replace(&to, &bytes, 0o400).map_err(failed(&to))?;
        give(&to, 0o400).map_err(failed(&to))?;
    }
    give(&folder, 0o500).map_err(failed(&folder))?;
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    use guanka_core::name::{Arm, ServiceName};

    use super::super::spec::RunAs;
    use super::{CredentialError, check, folder, hand_over, source};
    use crate::hostroot::HostRoot;

    const SECRET: &str = "correct horse";

    fn ground() -> (tempfile::TempDir, HostRoot, ServiceName) {
        let dir = tempfile::tempdir().expect("a folder");
        let host = HostRoot::new(dir.path());
        let service = ServiceName::new("shop", "prod").expect("a good name");
        let path = source(&host, &service, "db");
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(&path, SECRET).expect("written");
        set_mode(&path, 0o600);
        (dir, host, service)
    }

    fn set_mode(path: &std::path::Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("set");
    }

    #[test]
    fn a_secret_that_is_missing_or_open_to_others_is_refused_without_its_words() {
        let (_dir, host, service) = ground();
        let ask = |name: &str| check(&host, &service, &[name.to_owned()]);
        assert!(ask("db").is_ok());
        assert!(matches!(ask("other"), Err(CredentialError::Missing { .. })));
        let path = source(&host, &service, "db");
        set_mode(&path, 0o640);
        let error = ask("db").expect_err("its group may read it");
        assert!(matches!(error, CredentialError::Open { mode: 0o640, .. }), "{error}");
        let said = error.said();
        assert!(!format!("{error:?}{}{}", said.zh, said.en).contains(SECRET));
        std::os::unix::fs::symlink(&path, path.with_file_name("link")).expect("made");
        assert!(matches!(ask("link"), Err(CredentialError::Odd { .. })));
    }

    #[test]
    fn what_is_handed_over_is_one_users_alone_and_an_older_one_does_not_stay() {
        let (_dir, host, service) = ground();
        let root = rustix::process::geteuid().is_root();
        let run_as = match root {
            true => RunAs::User { name: "x".to_owned(), uid: 987, gid: 986 },
            false => RunAs::Caller,
        };
        let old = folder(&host, &service, Arm::Blue).join("old");
        fs::create_dir_all(old.parent().expect("a folder")).expect("made");
        fs::write(&old, "x").expect("written");
        let given = hand_over(&host, (&service, Arm::Blue), &["db".to_owned()], &run_as);
        let given = given.expect("handed over");
        assert!(!old.exists());
        let file = fs::metadata(given.join("db")).expect("there");
        let around = fs::metadata(&given).expect("there");
        let modes = [&file, &around].map(|m| m.permissions().mode() & 0o777);
        assert_eq!(modes, [0o400, 0o500]);
        if root {
            assert_eq!([&file, &around].map(|m| (m.uid(), m.gid())), [(987, 986); 2]);
        }
        assert_eq!(fs::read_to_string(given.join("db")).expect("readable"), SECRET);
    }
}
