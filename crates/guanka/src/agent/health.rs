//! How the arms do: probed at the declared interval, so that a candidate that loses its readiness
//! is known at once and not only by its statistics.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use guanka_core::facts::declared::Probe;
use guanka_core::name::Arm;
use guanka_core::rollout::eject;
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
    answers: Answers,
}

/// What an arm's last probes say of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Answers {
    /// Too few since the agent, or the arm, was started.
    #[default]
    Unknown,
    Ready,
    Failing,
}

impl Health {
    /// Returns whether an arm passed its last probes.
    pub(super) fn is_ready(&self, arm: Arm) -> bool {
        self.arms.get(&arm).is_some_and(|probed| probed.answers == Answers::Ready)
    }

    /// Returns whether an arm failed its last probes. That is more than not to have passed them: an
    /// agent that was started anew has asked nobody yet.
    pub(super) fn is_failing(&self, arm: Arm) -> bool {
        self.arms.get(&arm).is_some_and(|probed| probed.answers == Answers::Failing)
    }

    /// Returns what may be moved by: an arm counts as ready only while its very last probe passed,
    /// so that of two arms that stop answering together neither gets the other's requests.
    pub(super) fn of(&self, arm: Arm) -> eject::Health {
        let last_passed = self.arms.get(&arm).is_some_and(|probed| probed.streak.fails == 0);
        eject::Health {
            is_ready: self.is_ready(arm) && last_passed,
            is_failing: self.is_failing(arm),
        }
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
        lock(&service.health).arms.entry(arm).or_default().note(&probed, &declared.probe);
    }
}

impl Probed {
    fn note(&mut self, probed: &probe::Probed, declared: &Probe) {
        self.asked = Some(Instant::now());
        self.streak.note(probed);
        if self.streak.passes >= declared.passes {
            self.answers = Answers::Ready;
        }
        if self.streak.fails >= declared.fails {
            self.answers = Answers::Failing;
        }
    }
}

#[cfg(test)]
mod tests {
    use guanka_core::facts::declared::Probe;
    use guanka_core::name::Arm;
    use guanka_core::quantity::Millis;
    use guanka_world::probe::Probed;

    use super::Health;

    fn declared() -> Probe {
        Probe {
            path: "/healthz".to_owned(),
            method: "GET".to_owned(),
            expect: 200,
            every: Millis(1000),
            fails: 2,
            passes: 2,
            timeout: Millis(1000),
        }
    }

    #[test]
    fn an_arm_that_a_new_agent_has_not_probed_enough_is_neither_ready_nor_failing() {
        let declared = declared();
        let passed = Probed::Passed { elapsed: Millis(1) };
        let failed = Probed::Status { found: 503, expected: 200 };
        let mut health = Health::default();
        let mut told = vec![(health.is_ready(Arm::Blue), health.is_failing(Arm::Blue))];
        for probed in [&passed, &passed, &failed, &failed] {
            health.arms.entry(Arm::Blue).or_default().note(probed, &declared);
            told.push((health.is_ready(Arm::Blue), health.is_failing(Arm::Blue)));
        }
        let (unknown, ready, failing) = ((false, false), (true, false), (false, true));
        assert_eq!(told, [unknown, unknown, ready, ready, failing]);
    }

    #[test]
    fn an_arm_whose_last_probe_failed_gets_nobody_elses_requests() {
        let passed = Probed::Passed { elapsed: Millis(1) };
        let failed = Probed::Status { found: 503, expected: 200 };
        let mut health = Health::default();
        let declared = declared();
        let mut note = |probed: &Probed| {
            health.arms.entry(Arm::Blue).or_default().note(probed, &declared);
            (health.is_ready(Arm::Blue), health.of(Arm::Blue).is_ready)
        };
        assert_eq!(note(&passed), (false, false));
        assert_eq!(note(&passed), (true, true));
        assert_eq!(note(&failed), (true, false), "not failing yet, and nothing to rely on");
    }
}
