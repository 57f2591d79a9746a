//! `guanka report`: how a release went, as text, JSON, Markdown or one HTML page.

use std::path::PathBuf;

use guanka_core::report::release::ReleaseReport;
use guanka_core::report::{html, markdown};
use guanka_core::say::Said;
use guanka_world::files;
use guanka_world::transport::wire::{Answer, Request};

use super::project::Project;
use crate::drive::link::{Link, unexpected};
use crate::drive::submission;
use crate::failure::codes::FILE;
use crate::failure::{Exit, Failure, because};
use crate::terminal::Terminal;

/// Which report, and in which form.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The rollout's number; the newest without it.
    number: Option<u64>,
    #[command(flatten)]
    project: Project,
    /// Write one self-contained page to this file.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Print Markdown.
    #[arg(long)]
    markdown: bool,
}

/// Shows or writes the report.
pub(crate) fn run(args: &Args, terminal: &Terminal) -> Result<Exit, Failure> {
    let declared = args.project.declared(terminal)?;
    let mut link = Link::to(submission::host(&declared)?)?;
    let request = Request::ReadReport { service: declared.service, number: args.number };
    let text = match link.ask(&request)? {
        Answer::Report { report, .. } => report,
        other => return Err(unexpected(&other)),
    };
    let report: ReleaseReport = serde_json::from_str(&text).map_err(|error| {
        let doing = Said::new("正在读取报告", "reading the report");
        Failure::new(&FILE, doing, because(&error))
    })?;
    if let Some(path) = &args.html {
        let page = html::render(&report, terminal.lang);
        files::replace(path, page.as_bytes(), 0o644).map_err(|error| {
            let shown = path.display();
            let doing = Said::new(format!("正在写入 {shown}"), format!("writing {shown}"));
            Failure::new(&FILE, doing, because(&error))
        })?;
        terminal.note(&path.display().to_string());
    }
    if args.markdown {
        terminal.line(&markdown::render(&report, terminal.lang));
    } else if args.html.is_none() {
        crate::drive::report::show(terminal, &report);
    }
    Ok(Exit::Done)
}
