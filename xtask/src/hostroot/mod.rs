//! A host root: a folder laid out like a host that the BaoTa panel runs, with a real nginx and a
//! real Supervisor that know nothing outside of it. Every file is guanka's own text; names,
//! markers, order and directives are the panel's.

mod daemons;
mod layout;
#[cfg(test)]
mod tests;

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

pub(crate) use daemons::{start, stop, test};
pub(crate) use layout::write_machine;

use crate::setup::{self, Tools};

/// Where what is known of a root is kept, beside the host's own files.
const RECORD: &str = ".hostroot.json";

/// The longest folder name for which Supervisor's socket fits into a socket address (107 bytes,
/// and Supervisor first binds the name with its process id behind it).
const ROOT_MAX: usize = 107 - "/var/run/supervisor.sock.4194304".len();

/// The ports on 127.0.0.1 on which a root's sites listen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ports {
    /// `shop.example.com`, and the default site.
    pub(crate) shop: u16,
    /// The old Go project `api.example.com`.
    pub(crate) api: u16,
    /// Where the old Go project would listen; nothing does.
    pub(crate) api_backend: u16,
    /// nginx's own figures.
    pub(crate) status: u16,
}

/// A root and how it is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HostRootInfo {
    /// The folder.
    pub(crate) root: PathBuf,
    /// Its ports.
    pub(crate) ports: Ports,
    /// The nginx that it runs.
    pub(crate) nginx: PathBuf,
    /// The Supervisor that it runs.
    pub(crate) supervisord: PathBuf,
    /// Supervisor's client.
    pub(crate) supervisorctl: PathBuf,
}

impl Ports {
    /// Returns four ports that nothing listens on now.
    pub(crate) fn free() -> Result<Self> {
        let sockets: Vec<TcpListener> = (0..4)
            .map(|_| TcpListener::bind(("127.0.0.1", 0)))
            .collect::<Result<_, _>>()
            .context("find free ports on 127.0.0.1")?;
        let ports: Vec<u16> = sockets
            .iter()
            .map(|socket| socket.local_addr().map(|address| address.port()))
            .collect::<Result<_, _>>()
            .context("find free ports on 127.0.0.1")?;
        Ok(Self { shop: ports[0], api: ports[1], api_backend: ports[2], status: ports[3] })
    }
}

impl HostRootInfo {
    /// Returns the address of a port of the root.
    pub(crate) fn url(port: u16) -> String {
        format!("http://127.0.0.1:{port}")
    }

    /// Reads what `create` wrote down.
    pub(crate) fn read(root: &Path) -> Result<Self> {
        let path = root.join(RECORD);
        let text = fs::read_to_string(&path)
            .with_context(|| format!("{} is no host root", root.display()))?;
        let record: Value =
            serde_json::from_str(&text).with_context(|| format!("read {}", path.display()))?;
        let port =
            |name: &str| record["ports"][name].as_u64().and_then(|port| u16::try_from(port).ok());
        let program = |name: &str| record[name].as_str().map(PathBuf::from);
        let read = || {
            Some(Self {
                root: root.to_owned(),
                ports: Ports {
                    shop: port("shop")?,
                    api: port("api")?,
                    api_backend: port("api_backend")?,
                    status: port("status")?,
                },
                nginx: program("nginx")?,
                supervisord: program("supervisord")?,
                supervisorctl: program("supervisorctl")?,
            })
        };
        read().with_context(|| format!("{} lacks something", path.display()))
    }

    fn write(&self) -> Result<()> {
        let Ports { shop, api, api_backend, status } = self.ports;
        let record = json!({
            "ports": {"shop": shop, "api": api, "api_backend": api_backend, "status": status},
            "nginx": self.nginx,
            "supervisord": self.supervisord,
            "supervisorctl": self.supervisorctl,
        });
        let path = self.root.join(RECORD);
        fs::write(&path, format!("{record:#}\n"))
            .with_context(|| format!("write {}", path.display()))
    }
}

/// Writes a host root into a new or empty folder.
pub(crate) fn create(root: &Path, tools: &Tools, ports: Ports) -> Result<HostRootInfo> {
    check_name(&std::path::absolute(root).with_context(|| format!("find {}", root.display()))?)?;
    fs::create_dir_all(root).with_context(|| format!("create {}", root.display()))?;
    let root = fs::canonicalize(root).with_context(|| format!("find {}", root.display()))?;
    check_name(&root)?;
    check_passable(&root)?;
    let mut entries = fs::read_dir(&root).with_context(|| format!("read {}", root.display()))?;
    if entries.next().is_some() {
        bail!("{} is not empty; a host root goes into a folder of its own", root.display());
    }
    let info = HostRootInfo {
        root,
        ports,
        nginx: tools.nginx.clone(),
        supervisord: tools.supervisord.clone(),
        supervisorctl: tools.supervisorctl.clone(),
    };
    layout::write(&info)?;
    info.write()?;
    Ok(info)
}

/// Refuses a folder whose name nginx, Supervisor or a shell script could read as syntax, or that is
/// too long for a socket.
fn check_name(root: &Path) -> Result<()> {
    let text = root.to_string_lossy();
    let is_plain =
        text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'.' | b'-' | b'_'));
    ensure!(is_plain, "{text:?}: a host root's path has only letters, digits, '/', '.', '-', '_'");
    ensure!(text.len() > 1, "a host root is not the machine's own root");
    ensure!(
        text.len() <= ROOT_MAX,
        "{text}: a host root's path has at most {ROOT_MAX} characters, else Supervisor's socket \
         has no room"
    );
    Ok(())
}

/// Refuses a folder that nginx's workers, who are not root, could not reach: sites and shares below
/// it would be answered with 403.
fn check_passable(root: &Path) -> Result<()> {
    if !setup::is_root() {
        return Ok(());
    }
    for folder in root.ancestors().skip(1) {
        let meta = fs::metadata(folder).with_context(|| format!("look at {}", folder.display()))?;
        ensure!(
            meta.permissions().mode() & 0o001 != 0,
            "{}: nginx's workers cannot get through {}; put the host root elsewhere, say below \
             /var/tmp",
            root.display(),
            folder.display()
        );
    }
    Ok(())
}
