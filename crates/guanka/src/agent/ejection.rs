//! Taking an arm out of traffic that no longer answers its probes: a dead, a frozen, a failing one.
//! The decision is core's, the hands are the helper's.

use guanka_core::rollout::eject::{self, Move};
use guanka_world::proxy;

use super::service::Service;
use super::stores::{Agent, lock};
use super::verb::{Away, Verb};

/// Looks at the arms and has requests moved where one has stopped answering.
pub(super) fn tick(agent: &Agent, service: &Service) {
    // An effect under way changes share and arms itself.
    let Ok(_doing) = service.doing.try_lock() else { return };
    let Some(green) = proxy::share::read(&agent.host, &service.name) else { return };
    let desired = service.desired(&agent.host);
    let health = |arm| lock(&service.health).of(arm);
    let to = match eject::decide(green, health, desired.ejected, desired.candidate()) {
        None => return,
        Some(Move::Eject(ejected)) => Away::From(ejected.arm),
        Some(Move::GiveBack(ejected)) => Away::Back(ejected.arm),
        Some(Move::Forget) => Away::Forget,
    };
    // What is refused now is looked at again with the next probe.
    let _ = agent.hands.ask(&Verb::Move { service: service.name.clone(), to });
}
