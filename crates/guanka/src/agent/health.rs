//! How the arms do: probed at the declared interval, so that a candidate that loses its readiness
//! is known at once and not only by its statistics.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use guanka_core::name::Arm;
use guanka_world::ports::ArmPorts;
use guanka_world::probe::{self, Streak};

use super::bake::Trickle;
use super::service::{Service, Settings};
use super::stores::lock;

/// The state of a service's arms, and the traffic that the agent itself sends.
#[derive(Default)]
pub(super) struct Health {
    arms: BTreeMap<Arm, Probed>,
    pub(super) trickle: Option<Trickle>,
}

#[derive(Default)]
struct Probed {
    streak: Streak,
    asked: Option<Instant>,
    is_ready: bool,
}

impl Health {
    /// Returns whether an arm passed its last probes.
    pub(super) fn is_ready(&self, arm: Arm) -> bool {
        self.arms.get(&arm).is_some_and(|probed| probed.is_ready)
    }

    /// Begins anew with an arm that was started or stopped.
    pub(super) fn forget(&mut self, arm: Arm) {
        self.arms.remove(&arm);
    }

    fn is_due(&self, arm: Arm, every: Duration) -> bool {
        let asked = self.arms.get(&arm).and_then(|probed| probed.asked);
        asked.is_none_or(|asked| asked.elapsed() >= every)
    }
}

/// Probes the arms that are due.
pub(super) fn tick(service: &Service, settings: &Settings, ports: ArmPorts) {
    let declared = &settings.declared;
    let every = Duration::from_millis(declared.probe.every.0);
    for arm in [Arm::Blue, Arm::Green] {
        // A held port refuses at once: an idle arm costs nothing.
        if lock(&service.held).contains_key(&arm) || !lock(&service.health).is_due(arm, every) {
            continue;
        }
        let probed = probe::once(ports.of(arm), &declared.proxy.domain, &declared.probe);
        let mut health = lock(&service.health);
        let known = health.arms.entry(arm).or_default();
        known.asked = Some(Instant::now());
        known.streak.note(&probed);
        if known.streak.passes >= declared.probe.passes {
            known.is_ready = true;
        }
        if known.streak.fails >= declared.probe.fails {
            known.is_ready = false;
        }
    }
}
