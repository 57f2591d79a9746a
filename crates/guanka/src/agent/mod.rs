//! The agent on a host, in two processes. The worker here keeps leases, journal and audit log,
//! performs effects by their key, probes the arms and follows the access log into windows; what
//! needs root it has done by the helper, verb by verb.

pub(crate) mod adoption;
mod answer;
mod arms;
mod bake;
mod effects;
mod ejection;
mod hands;
mod health;
mod helper;
mod jobs;
mod lease;
mod liveness;
mod load;
mod opening;
pub(crate) mod preview;
mod refusal;
mod service;
mod share;
mod stores;
mod traffic;
mod verb;
mod watch;

use std::io;
use std::sync::Arc;

use guanka_core::say::Said;
use guanka_world::hostroot::HostRoot;
use guanka_world::managers::own_unit;
use guanka_world::process;
use guanka_world::transport::server::{Server, Session};

pub(crate) use answer::own_name;

use crate::failure::codes::AGENT;
use crate::failure::{Failure, because};
use hands::Hands;
use opening::Opening;
use stores::Agent;

/// Which half of the agent a process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Half {
    /// The helper, which starts the worker and keeps it.
    Both,
    /// The helper alone: the system's manager starts the worker.
    Helper,
    /// The worker.
    Worker,
}

/// Runs the agent of a root folder, or one half of it, until it is ended from outside.
pub(crate) fn serve(host: HostRoot, half: Half) -> Result<(), Failure> {
    let shown = host.root().display().to_string();
    let failed = move |error: &io::Error| {
        let doing = Said::new(
            format!("正在启动 {shown} 的 agent"),
            format!("starting the agent of {shown}"),
        );
        Failure::new(&AGENT, doing, because(error))
    };
    match half {
        Half::Both => helper::serve(host, helper::Worker::Started).map_err(|error| failed(&error)),
        Half::Helper => helper::serve(host, helper::Worker::ByUnit).map_err(|error| failed(&error)),
        Half::Worker => work(host).map_err(|error| failed(&error)),
    }
}

fn work(host: HostRoot) -> io::Result<()> {
    // A helper that is killed takes the worker along that it started; systemd's does not end.
    process::end_with_parent()?;
    // The socket comes first: it is what makes sure that there is one worker of a root only.
    let server = Server::bind(&host.agent_socket())?;
    own_unit::give_socket(&host, &host.agent_socket())?;
    let hands = Hands::find(host.helper_socket())?;
    let agent = Opening::begin(move || {
        let agent = Arc::new(Agent::open(host.clone(), hands.clone())?);
        hands::watch(&agent);
        watch::start(&agent);
        Ok(agent)
    });
    server.serve(Arc::new(move |request, session: &mut Session<'_>| match agent.get() {
        Ok(agent) => answer::answer(&agent, request, session),
        Err(why) => refusal::refused(why),
    }))
}
