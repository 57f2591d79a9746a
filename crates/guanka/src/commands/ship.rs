//! `guanka ship`: from source to all of its traffic, or back. The foreground drives; killed at any
//! moment, `guanka resume` goes on.

use guanka_core::rollout::event::Event;
use guanka_core::rollout::spec::{Past, Stage};
use guanka_core::rollout::state::Rollout;
use guanka_core::say::Said;
use guanka_world::clock;
use guanka_world::transport::wire::{Answer, Request, Taking};

use super::project::Project;
use crate::drive::central::{Central, project_folder};
use crate::drive::driver::{Driver, Waiting};
use crate::drive::install;
use crate::drive::ledger::Ledger;
use crate::drive::link::{Link, take_lease, unexpected};
use crate::drive::submission;
use crate::failure::codes::UNFINISHED;
use crate::failure::{Exit, Failure};
use crate::terminal::Terminal;

/// What to ship, and how far.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    project: Project,
    /// Stop after this step and wait: check, build, stage, load, bake or canary.
    #[arg(
        long,
        value_name = "STEP",
        value_parser = ["check", "build", "stage", "load", "bake", "canary"]
    )]
    until: Option<String>,
    /// Leave when only time is missing (the bake); `guanka resume` goes on.
    #[arg(long)]
    no_wait: bool,
    /// Ship a release that was taken back before, for this reason.
    #[arg(long, value_name = "REASON")]
    r#override: Option<String>,
}

/// Ships.
pub(crate) fn run(args: &Args, terminal: &Terminal) -> Result<Exit, Failure> {
    let since_ms = clock::now_ms();
    let declared = args.project.declared(terminal)?;
    let mut link = Link::to(submission::host(&declared)?)?;
    let project = project_folder(&args.project.project)?;
    let service = declared.service.clone();
    let epoch = lease(&mut link, &service, Taking::Free)?;
    let begun = (|| {
        let mut ledger = Ledger::read(&mut link, &service)?;
        refuse_unfinished(&ledger)?;
        install::preview(&mut link, &declared)?;
        let past = match &args.r#override {
            Some(reason) => {
                Past::Overridden { actor: guanka_world::process::who(), reason: reason.clone() }
            }
            None => Past::Clean,
        };
        let view = view(&mut link, &service)?;
        let spec = submission::spec(&declared, &project, &view, (until(args), past));
        let last = ledger.last_seq();
        let shown = project.display().to_string();
        ledger.begin(&mut link, epoch, &declared, (&shown, since_ms))?;
        let draft = Rollout::draft(spec.clone(), epoch, last);
        Ok((ledger, draft, spec))
    })();
    let (ledger, draft, spec) = match begun {
        Ok(begun) => begun,
        Err(failed) => {
            // Nothing has begun: the next one need not wait for this lease to end by itself.
            let _ = link.ask(&Request::GiveLease { service, epoch });
            return Err(failed);
        }
    };
    let central = Central::new(declared, project);
    let waiting = if args.no_wait { Waiting::Leave } else { Waiting::Stay };
    let mut driver = Driver::new(terminal, (link, ledger), epoch, draft, (central, waiting));
    let actor = guanka_world::process::who();
    driver.happen(Event::Submitted { spec: Box::new(spec), actor })?;
    driver.run()
}

/// Takes the service's lease for this process.
pub(crate) fn lease(
    link: &mut Link,
    service: &guanka_core::name::ServiceName,
    taking: Taking,
) -> Result<u64, Failure> {
    match link.ask(&take_lease(service, taking))? {
        Answer::Leased { epoch } => Ok(epoch),
        other => Err(unexpected(&other)),
    }
}

/// Returns what the host says of a service.
pub(crate) fn view(
    link: &mut Link,
    service: &guanka_core::name::ServiceName,
) -> Result<guanka_world::transport::wire::HostView, Failure> {
    match link.ask(&Request::Observe { service: service.clone() })? {
        Answer::Observed { view } => Ok(*view),
        other => Err(unexpected(&other)),
    }
}

/// Refuses to begin while an earlier rollout is unfinished: its end is a person's choice.
pub(crate) fn refuse_unfinished(ledger: &Ledger) -> Result<(), Failure> {
    let Some(chapter) = ledger.newest() else { return Ok(()) };
    let rollout = chapter.rollout(&ledger.service)?;
    if rollout.state.is_final() {
        return Ok(());
    }
    let (service, number) = (&ledger.service, chapter.number);
    let stands = guanka_core::rollout::describe::rollout(&rollout);
    Err(Failure::new(
        &UNFINISHED,
        Said::new(format!("正在发布 {service}"), format!("shipping {service}")),
        Said::new(
            format!("第 {number} 次发布尚未结束:{}", stands.zh),
            format!("rollout {number} has not ended: {}", stands.en),
        ),
    ))
}

fn until(args: &Args) -> Option<Stage> {
    match args.until.as_deref()? {
        "check" => Some(Stage::Check),
        "build" => Some(Stage::Build),
        "stage" => Some(Stage::Stage),
        "load" => Some(Stage::Load),
        "bake" => Some(Stage::Bake),
        _ => Some(Stage::Canary),
    }
}
