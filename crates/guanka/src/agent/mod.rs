//! The agent on a host: keeps leases, journal and audit log, performs effects by their key, follows
//! the access log into windows, and takes a candidate out of traffic when its driver falls silent.

pub(crate) mod adoption;
mod answer;
mod arms;
mod bake;
mod effects;
mod ejection;
mod health;
mod jobs;
mod lease;
mod load;
mod output;
pub(crate) mod preview;
mod reconcile;
mod rotation;
mod service;
mod share;
mod stores;
mod traffic;
mod watch;

use std::sync::Arc;

use guanka_core::say::Said;
use guanka_world::hostroot::HostRoot;
use guanka_world::managers::own_unit;
use guanka_world::transport::server::Server;

pub(crate) use answer::own_name;

use crate::failure::codes::AGENT;
use crate::failure::{Failure, because};
use stores::Agent;

/// Runs the agent of a root folder until it is ended from outside.
pub(crate) fn serve(host: HostRoot) -> Result<(), Failure> {
    let shown = host.root().display().to_string();
    let failed = move |error: &dyn std::error::Error| {
        let doing = Said::new(
            format!("正在启动 {shown} 的 agent"),
            format!("starting the agent of {shown}"),
        );
        Failure::new(&AGENT, doing, because(error))
    };
    // The socket comes first: it is what makes sure that there is one agent of a root only.
    let server = Server::bind(&host.agent_socket()).map_err(|error| failed(&error))?;
    own_unit::give_socket(&host, &host.agent_socket()).map_err(|error| failed(&error))?;
    let agent = Arc::new(Agent::open(host).map_err(|error| failed(&error))?);
    agent.recover();
    watch::start(&agent);
    let asked = Arc::clone(&agent);
    server
        .serve(Arc::new(move |request, session| answer::answer(&asked, request, session)))
        .map_err(|error| failed(&error))
}
