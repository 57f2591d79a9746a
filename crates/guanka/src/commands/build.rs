//! `guanka build`: the release alone, verified, in a folder; same source, same digest.

use std::path::PathBuf;

use guanka_world::build;
use serde_json::json;

use super::project::Project;
use crate::drive::central::{failed_build, project_folder};
use crate::failure::{Exit, Failure};
use crate::terminal::Terminal;

/// What to build, and where to.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    project: Project,
    /// The target, linux/amd64 or linux/arm64; this machine's by default.
    #[arg(long, value_name = "TARGET")]
    target: Option<String>,
    /// Where releases are put; .guanka/build in the project by default.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// Builds.
pub(crate) fn run(args: &Args, terminal: &Terminal) -> Result<Exit, Failure> {
    let declared = args.project.declared(terminal)?;
    let project = project_folder(&args.project.project)?;
    let own = format!("linux/{}", build::host_arch());
    let target = args.target.clone().unwrap_or(own);
    let work = args.out.clone().unwrap_or_else(|| project.join(".guanka/build"));
    let built = build::build(&project, &declared, &target, &work)
        .map_err(|error| failed_build(&project, &error))?;
    let manifest = &built.manifest;
    if terminal.json {
        let object = json!({
            "schema": 1,
            "release": built.release,
            "artifact": manifest.artifact,
            "config": manifest.config,
            "target": manifest.target,
            "go": built.go,
            "revision": built.revision,
            "folder": built.folder,
            "files": manifest.files,
        });
        terminal.line(&object.to_string());
        return Ok(Exit::Done);
    }
    let row = |name: &str, value: &str| terminal.line(&format!("{name:<10}{value}"));
    row("release", built.release.as_str());
    row("artifact", manifest.artifact.as_str());
    row("config", manifest.config.as_str());
    row("target", &manifest.target);
    row("go", &built.go);
    row("folder", &built.folder.display().to_string());
    Ok(Exit::Done)
}
