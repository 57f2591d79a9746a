//! `guanka status`: where everything is: releases, arms, shares, the rollout under way, who drives
//! it, what its gate sees. With `-w` it goes on looking.

mod picture;
mod watch;

use std::path::PathBuf;

use guanka_core::facts::declared::HostAddress;
use guanka_core::name::ServiceName;
use guanka_core::say::Said;
use guanka_world::transport::wire::{Answer, Request};
use serde_json::json;

use super::project::Project;
use crate::drive::link::{Link, unexpected};
use crate::drive::submission;
use crate::failure::codes::{NOT_THERE, USAGE};
use crate::failure::{Exit, Failure, say};
use crate::terminal::Terminal;
use picture::{Picture, Shown};

/// Which service, or every one of a host.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// This service alone, written APP.ENV.
    #[arg(value_name = "SERVICE")]
    service: Option<String>,
    /// Go on looking: drawn anew on a terminal, else a line per change; Ctrl-C ends it.
    #[arg(long, short)]
    watch: bool,
    #[command(flatten)]
    project: Project,
    /// Every service of a host's root.
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
}

/// Where to look, and for what.
struct Sight {
    link: Link,
    /// Every service of the host, or these.
    services: Option<Vec<ServiceName>>,
}

/// Shows where everything is.
pub(crate) fn run(args: &Args, terminal: &Terminal) -> Result<Exit, Failure> {
    let mut sight = sight(args, terminal)?;
    if args.watch {
        return watch::run(&mut sight, terminal);
    }
    let pictures = sight.look()?;
    if terminal.json {
        terminal.line(&as_json(&pictures));
        return Ok(Exit::Done);
    }
    for line in pictures.iter().flat_map(|picture| picture.lines(terminal, Shown::Once)) {
        terminal.line(&line);
    }
    Ok(Exit::Done)
}

fn sight(args: &Args, terminal: &Terminal) -> Result<Sight, Failure> {
    let asked = args.service.as_deref().map(named).transpose()?;
    if let Some(root) = &args.root {
        let link = Link::to(&HostAddress::Local(root.display().to_string()))?;
        return Ok(Sight { link, services: asked.map(|one| vec![one]) });
    }
    let mut project = args.project.clone();
    if let Some(service) = &asked {
        project.env.get_or_insert_with(|| service.env().to_string());
    }
    let declared = project.declared(terminal)?;
    if let Some(asked) = asked.filter(|asked| *asked != declared.service) {
        let (file, own) = (project.file().display().to_string(), &declared.service);
        return Err(Failure::new(
            &NOT_THERE,
            Said::new(format!("正在查找 {asked}"), format!("looking for {asked}")),
            Said::new(format!("{file} 声明的是 {own}"), format!("{file} declares {own}")),
        )
        .next(say(
            "换到它的项目目录,或用 --root 查看主机上的服务",
            "go to its project, or look at a host's services with --root",
        )));
    }
    let link = Link::to(submission::host(&declared)?)?;
    Ok(Sight { link, services: Some(vec![declared.service]) })
}

fn named(text: &str) -> Result<ServiceName, Failure> {
    ServiceName::try_from(text.to_owned()).map_err(|_| {
        let doing = Said::new(format!("正在读取服务名 {text}"), format!("reading {text}"));
        let why = say("不是 应用.环境 形式的服务名", "it is no service name APP.ENV");
        Failure::new(&USAGE, doing, why)
    })
}

impl Sight {
    /// Looks once.
    fn look(&mut self) -> Result<Vec<Picture>, Failure> {
        let services = match &self.services {
            Some(services) => services.clone(),
            None => match self.link.ask(&Request::Services)? {
                Answer::Services { services } => services,
                other => return Err(unexpected(&other)),
            },
        };
        let mut controller = crate::serve::Controller::find();
        let driven = controller.as_mut().map(crate::serve::Controller::list).unwrap_or_default();
        services
            .into_iter()
            .map(|service| Picture::take(&mut self.link, service, &driven))
            .collect()
    }
}

/// Returns all pictures as one JSON object.
fn as_json(pictures: &[Picture]) -> String {
    let services: Vec<_> = pictures.iter().map(Picture::as_json).collect();
    json!({ "schema": 1, "services": services }).to_string()
}
