//! `guanka exec`: what the process manager starts. It becomes the arm's program and is never called
//! by people.

use std::path::PathBuf;

use guanka_core::name::{Arm, ServiceName};
use guanka_core::say::Said;
use guanka_world::adoption::become_program;
use guanka_world::hostroot::HostRoot;
use guanka_world::managers::launch::{LaunchError, become_arm};

use crate::failure::{ErrorCode, Exit, Failure, because};
use crate::terminal::Terminal;

/// Which arm to become.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The host's root folder.
    #[arg(long, default_value = "/")]
    root: PathBuf,
    /// The service, `<app>.<env>`.
    #[arg(long)]
    service: String,
    /// `blue` or `green`.
    #[arg(long, required_unless_present = "returned")]
    arm: Option<String>,
    /// The adopted program in an arm's place, as it was before.
    #[arg(long, conflicts_with = "arm")]
    returned: bool,
}

/// Becomes the arm's program; returns only when that failed.
pub(crate) fn run(args: &Args, _terminal: &Terminal) -> Result<Exit, Failure> {
    let service = ServiceName::try_from(args.service.clone()).map_err(|e| usage(args, &e))?;
    if !args.root.is_absolute() {
        let why = Said::new("--root 必须是绝对路径", "--root must be an absolute path");
        return Err(Failure::new(&crate::failure::USAGE, doing(args), why));
    }
    let host = HostRoot::new(&args.root);
    if args.returned {
        let error = become_program(&host, &service);
        return Err(Failure::new(&crate::failure::START, doing(args), because(&error)));
    }
    let arm = args.arm.as_deref().and_then(Arm::parse).ok_or_else(|| {
        let why = Said::new("臂只有 blue 和 green", "the arms are blue and green");
        Failure::new(&crate::failure::USAGE, doing(args), why)
    })?;
    let error = become_arm(&host, &service, arm);
    Err(Failure::new(kind(&error), doing(args), error.said()))
}

fn kind(error: &LaunchError) -> &'static ErrorCode {
    match error {
        LaunchError::Spec { .. } | LaunchError::Exec { .. } | LaunchError::Credential(_) => {
            &crate::failure::FILE
        }
        LaunchError::Value { .. } | LaunchError::Limit { .. } | LaunchError::User(_) => {
            &crate::failure::START
        }
    }
}

fn usage(args: &Args, error: &(dyn std::error::Error + 'static)) -> Failure {
    Failure::new(&crate::failure::USAGE, doing(args), because(error))
}

fn doing(args: &Args) -> Said {
    let Args { service, arm, .. } = args;
    let Some(arm) = arm else {
        return Said::new(
            format!("重新启动 {service} 接管来的程序"),
            format!("starting the program again that {service} had adopted"),
        );
    };
    Said::new(format!("启动 {service} 的 {arm} 臂"), format!("starting {service}'s {arm} arm"))
}
