//! The project a command is about: its folder, its guanka.toml, the service asked for.

use std::path::{Path, PathBuf};

use guanka_core::facts::declared::Declared;
use guanka_core::plan::fit::fit;
use guanka_core::say::Said;
use guanka_parse::manifest::{self, ManifestFile};
use guanka_world::collect::gomodule;

use crate::failure::codes::{CONFIG, FILE};
use crate::failure::{Failure, because};
use crate::terminal::{Terminal, failure};

/// Where the project is and which of its services is meant.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Project {
    /// The project's folder; it holds guanka.toml and go.mod.
    #[arg(long, short = 'C', value_name = "DIR", default_value = ".")]
    pub(crate) project: PathBuf,
    /// The environment; needed when guanka.toml has several.
    #[arg(long, short, value_name = "ENV")]
    pub(crate) env: Option<String>,
}

impl Project {
    /// Returns the path of guanka.toml.
    pub(crate) fn file(&self) -> PathBuf {
        self.project.join("guanka.toml")
    }

    /// Reads the declaration; every problem but the last is shown as it is found, the last one is
    /// the failure.
    pub(crate) fn declared(&self, terminal: &Terminal) -> Result<Declared, Failure> {
        self.try_declared(terminal)?.ok_or_else(|| {
            let path = self.file().display().to_string();
            Failure::new(
                &FILE,
                Said::new(format!("正在读取 {path}"), format!("reading {path}")),
                Said::new("文件不存在", "there is no such file"),
            )
            .next(Said::new("先运行 `guanka init`", "run `guanka init` first"))
        })
    }

    /// Reads the declaration if the file is there.
    pub(crate) fn try_declared(&self, terminal: &Terminal) -> Result<Option<Declared>, Failure> {
        let path = self.file();
        let text = match read_text(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                let shown = path.display().to_string();
                let doing = Said::new(format!("正在读取 {shown}"), format!("reading {shown}"));
                return Err(Failure::new(&FILE, doing, because(&error)));
            }
        };
        let shown = path.strip_prefix("./").unwrap_or(&path).display().to_string();
        let file = manifest::read(&shown, &text, self.env.as_deref());
        let mut declared = accepted(terminal, &shown, file)?;
        // What the source says of the proxy is laid under what is written; without a source only
        // the latter counts.
        fit(&mut declared, &gomodule::read(&self.project).0);
        Ok(Some(declared))
    }
}

/// Turns the problems of a file into failures: one is returned, those before it are shown.
fn accepted(terminal: &Terminal, shown: &str, file: ManifestFile) -> Result<Declared, Failure> {
    let mut failures: Vec<Failure> = file
        .problems
        .into_iter()
        .map(|problem| {
            let doing = Said::new(format!("正在读取 {shown}"), format!("reading {shown}"));
            Failure::new(&CONFIG, doing, problem.what).next(problem.next).at(problem.span)
        })
        .collect();
    match (failures.pop(), file.declared) {
        (None, Some(declared)) => Ok(declared),
        (Some(last), _) => {
            if !terminal.json {
                for failed in &failures {
                    failure::show(terminal, failed);
                }
            }
            Err(last)
        }
        (None, None) => Err(Failure::new(
            &CONFIG,
            Said::new(format!("正在读取 {shown}"), format!("reading {shown}")),
            Said::new("文件里没有可用的服务", "the file declares no service"),
        )),
    }
}

/// Reads a text file of at most a megabyte: a larger guanka.toml is a mistake.
fn read_text(path: &Path) -> std::io::Result<String> {
    guanka_world::files::read_text(path, 1 << 20)
}
