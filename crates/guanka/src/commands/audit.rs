//! `guanka audit verify`: whether the audit log and every journal are whole.

use std::path::PathBuf;

use guanka_core::facts::declared::HostAddress;
use guanka_core::say::Said;
use guanka_world::transport::wire::{Answer, Request};
use serde_json::json;

use crate::drive::link::{Link, unexpected};
use crate::failure::{Exit, Failure};
use crate::terminal::Terminal;

/// What to do with the log.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    /// Check the hash chains of the audit log and of every journal.
    Verify(Where),
    /// Print the entries, oldest first.
    Show(Where),
}

/// Which host's log.
#[derive(clap::Args)]
struct Where {
    /// The host's root.
    #[arg(long, value_name = "DIR", default_value = "/")]
    root: PathBuf,
}

/// Verifies or shows.
pub(crate) fn run(args: &Args, terminal: &Terminal) -> Result<Exit, Failure> {
    match &args.what {
        What::Verify(place) => verify(place, terminal),
        What::Show(place) => show(place, terminal),
    }
}

fn verify(place: &Where, terminal: &Terminal) -> Result<Exit, Failure> {
    let mut link = Link::to(&HostAddress::Local(place.root.display().to_string()))?;
    let (audit, head, journals) = match link.ask(&Request::Verify)? {
        Answer::Verified { audit, head, journals } => (audit, head, journals),
        other => return Err(unexpected(&other)),
    };
    if terminal.json {
        let object = json!({ "schema": 1, "audit": audit, "head": head, "journals": journals });
        terminal.line(&object.to_string());
        return Ok(Exit::Done);
    }
    let short: String = head.chars().take(12).collect();
    let text = Said::new(
        format!("审计日志完整:{audit} 条,链尾 {short}"),
        format!("the audit log is whole: {audit} entries, head {short}"),
    );
    terminal.line(terminal.said(&text));
    for (service, count) in journals {
        let text = Said::new(
            format!("{service} 的发布日志完整:{count} 条"),
            format!("the journal of {service} is whole: {count} records"),
        );
        terminal.line(terminal.said(&text));
    }
    Ok(Exit::Done)
}

fn show(place: &Where, terminal: &Terminal) -> Result<Exit, Failure> {
    let mut link = Link::to(&HostAddress::Local(place.root.display().to_string()))?;
    for entry in link.audit_log()? {
        if terminal.json {
            terminal.line(&serde_json::to_string(&entry).unwrap_or_default());
        } else {
            let at = guanka_world::clock::rfc3339(entry.at_ms);
            terminal.line(&format!("{} {at} {} {}", entry.number, entry.service, entry.record));
        }
    }
    Ok(Exit::Done)
}
