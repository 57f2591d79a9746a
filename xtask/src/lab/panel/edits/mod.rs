//! What the panel does to the files of its host, one file a kind of edit: written from what the
//! panel is known to do, with its habits (text replaced by pattern, nginx killed when its pid file is
//! broken) and none of its text.

mod certificate;
mod domain;
mod https;
mod logs;
mod project;
mod reinstall;
mod rule;
mod site;
mod vhost;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::hostroot::{self, HostRootInfo};
use crate::process;

pub(super) use project::{GoProject, end, is_alive};
pub(super) use vhost::{GoSite, Rewrite};

/// What each small command here may take.
const LIMIT: Duration = Duration::from_secs(30);

/// The panel of one host root.
#[derive(Clone, Debug)]
pub(super) struct Panel {
    info: HostRootInfo,
}

impl Panel {
    /// Stands for the panel of a host.
    pub(super) fn of(info: &HostRootInfo) -> Self {
        Self { info: info.clone() }
    }

    fn at(&self, path: &str) -> PathBuf {
        self.info.root.join(path.trim_start_matches('/'))
    }

    fn vhosts(&self) -> PathBuf {
        self.at("/www/server/panel/vhost")
    }

    fn log(&self, name: &str) -> PathBuf {
        self.at("/tmp").join(format!("panel-{name}.log"))
    }

    /// Does an operation on a site as the panel does each: refused while nginx's test is red, and
    /// followed by a reload.
    fn operation(&self, act: impl FnOnce() -> Result<()>) -> Result<()> {
        hostroot::test(&self.info).context("the panel refuses: nginx -t is red")?;
        act()?;
        self.reload()
    }

    /// Reloads nginx; where its pid file is broken, every nginx process of the host is killed and
    /// one is started afresh.
    pub(super) fn reload(&self) -> Result<()> {
        let mut command = process::clean(&self.at("/etc/init.d/nginx"));
        let reloaded = process::run(command.arg("reload"), &self.log("reload"), LIMIT);
        match reloaded {
            Err(error) if format!("{error:#}").contains("nginx.pid") => self.kill_and_start(),
            other => other.map(|_| ()),
        }
    }
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("read {}", path.display()))
}

fn write(path: &Path, text: &str) -> Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
    }
    fs::write(path, text).with_context(|| format!("write {}", path.display()))
}

/// Puts a text in the first place of another; it must be there.
fn replaced(text: &str, from: &str, to: &str) -> Result<String> {
    ensure!(text.contains(from), "the panel does not find {from:?} in the site's file");
    Ok(text.replacen(from, to, 1))
}
