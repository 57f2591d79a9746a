//! The file systems that machines boot from: Debian with systemd, nginx, Supervisor and sshd, made
//! once and kept below the build's folder. Nobody boots it itself; each machine has an overlay.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::process;
use crate::setup;

/// What a machine has beside Debian's smallest set.
const PACKAGES: &str = "systemd,systemd-sysv,dbus,nginx-light,supervisor,openssh-server,logrotate,\
                        iproute2,curl,ca-certificates,procps,sudo,passwd";
/// Which Debian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Suite {
    /// What panel hosts commonly run.
    Bookworm,
    /// The newest of everything that Debian has.
    Sid,
}

impl Suite {
    const fn name(self) -> &'static str {
        match self {
            Self::Bookworm => "bookworm",
            Self::Sid => "sid",
        }
    }

    const fn folder(self) -> &'static str {
        match self {
            Self::Bookworm => "rootfs",
            Self::Sid => "rootfs-sid",
        }
    }
}

/// Fetching and unpacking over a slow line, on a busy machine.
const BUILD_LIMIT: Duration = Duration::from_secs(900);
/// What machines need on the machine that runs them.
const PROGRAMS: &[(&str, &str)] = &[
    ("mmdebstrap", "mmdebstrap"),
    ("systemd-nspawn", "systemd-container"),
    ("ip", "iproute2"),
    ("ssh", "openssh-client"),
    ("nsenter", "util-linux"),
];

/// Returns the file system, made where it is not there yet.
pub(crate) fn ensure(repository: &Path, suite: Suite) -> Result<PathBuf> {
    setup::ensure_programs(PROGRAMS)?;
    let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    let folder = repository.join(target).join("lab");
    let (name, at) = (suite.name(), suite.folder());
    let (root, made_of) = (folder.join(at), folder.join(format!("{at}.made-of")));
    let wanted = format!("{name} {PACKAGES}\n");
    if root.is_dir() && fs::read_to_string(&made_of).is_ok_and(|found| found == wanted) {
        return Ok(root);
    }
    eprintln!("lab: making a Debian {name} with systemd, some 40 s and 300 MB");
    fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
    if root.exists() {
        fs::remove_dir_all(&root).with_context(|| format!("remove {}", root.display()))?;
    }
    let mut command = process::clean(Path::new("mmdebstrap"));
    setup::inherit_proxies(&mut command);
    command.args(["--variant=minbase", "--dpkgopt=force-unsafe-io"]);
    if suite == Suite::Sid {
        // A mirror that stands still for some weeks is as good here; what it signed is still asked.
        command.arg("--aptopt=Acquire::Check-Valid-Until \"false\"");
    }
    command.arg(format!("--include={PACKAGES}")).arg(name).arg(&root);
    process::run(&mut command, &folder.join(format!("{at}.log")), BUILD_LIMIT)?;
    fs::write(&made_of, wanted).with_context(|| format!("write {}", made_of.display()))?;
    Ok(root)
}
