//! How the arms do: probed at the declared interval, so that a candidate that loses its readiness
//! is known at once and not only by its statistics.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use guanka_core::facts::declared::Probe;
use guanka_core::name::Arm;
use guanka_core::rollout::eject;
use guanka_world::ports::ArmPorts;
use guanka_world::probe::{self, Streak};

use super::bake::Trickle;
use super::ejection;
use super::service::{Service, Settings};
use super::stores::{Agent, lock};

/// The most questions to one arm that may be open: a time limit of many intervals must not pile
/// threads up.
const OPEN_MAX: u32 = 8;

/// The state of a service's arms, and the traffic that the agent itself sends.
#[derive(Default)]
pub(super) struct Health {
    arms: BTreeMap<Arm, Probed>,
    pub(super) trickle: Option<Trickle>,
}

#[derive(Default)]
struct Probed {
    /// Raised when the arm begins anew: an answer to a question from before says nothing of it.
    generation: u64,
    streak: Streak,
    /// When the last question was put, answered or not.
    asked: Option<Instant>,
    /// Questions that are still open.
    open: u32,
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
    /// so that of two arms that stop answering together neither gets the other's requests, and as
    /// failing only while it did not, so that of two that answer again together none loses its own.
    pub(super) fn of(&self, arm: Arm) -> eject::Health {
        let last_passed = self.arms.get(&arm).is_some_and(|probed| probed.streak.fails == 0);
        eject::Health {
            is_ready: self.is_ready(arm) && last_passed,
            is_failing: self.is_failing(arm) && !last_passed,
        }
    }

    /// Begins anew with an arm that was started or stopped.
    pub(super) fn forget(&mut self, arm: Arm) {
        let known = self.arms.entry(arm).or_default();
        *known = Probed { generation: known.generation + 1, ..Probed::default() };
    }

    /// Returns whether a question is to be put now, and notes that it is. Questions are put at
    /// their interval whether or not the last one has been answered: a frozen program is known
    /// after interval times failures and one time limit.
    fn puts_question(&mut self, arm: Arm, every: Duration) -> Option<u64> {
        let probed = self.arms.entry(arm).or_default();
        let is_due = probed.asked.is_none_or(|asked| asked.elapsed() >= every);
        if !is_due || probed.open >= OPEN_MAX {
            return None;
        }
        probed.asked = Some(Instant::now());
        probed.open += 1;
        Some(probed.generation)
    }

    fn take_answer(&mut self, arm: Arm, generation: u64, probed: &probe::Probed, declared: &Probe) {
        let known = self.arms.entry(arm).or_default();
        if known.generation == generation {
            known.open = known.open.saturating_sub(1);
            known.note(probed, declared);
        }
    }
}

/// Probes the arms that are due.
pub(super) fn tick(
    agent: &Arc<Agent>,
    service: &Arc<Service>,
    settings: &Arc<Settings>,
    ports: ArmPorts,
) {
    let every = Duration::from_millis(settings.declared.probe.every.0);
    for arm in [Arm::Blue, Arm::Green] {
        // An idle arm's port is held: there is nobody to ask.
        if lock(&service.place).idle.contains(&arm) {
            continue;
        }
        let put = lock(&service.health).puts_question(arm, every);
        let Some(generation) = put else { continue };
        let (agent, service, settings) =
            (Arc::clone(agent), Arc::clone(service), Arc::clone(settings));
        thread::spawn(move || {
            let declared = &settings.declared;
            let probed = probe::once(ports.of(arm), &declared.proxy.domain, &declared.probe);
            lock(&service.health).take_answer(arm, generation, &probed, &declared.probe);
            ejection::tick(&agent, &service);
        });
    }
}

impl Probed {
    fn note(&mut self, probed: &probe::Probed, declared: &Probe) {
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
    use std::time::Duration;

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
    fn questions_left_open_when_the_other_arm_begins_anew_are_still_answered() {
        let declared = declared();
        let failed = Probed::Status { found: 503, expected: 200 };
        let mut health = Health::default();
        for _ in 0..20 {
            let put = health.puts_question(Arm::Blue, Duration::ZERO).expect("none is left open");
            let late = health.puts_question(Arm::Green, Duration::ZERO).expect("none is left open");
            health.forget(Arm::Green);
            health.take_answer(Arm::Green, late, &failed, &declared);
            health.take_answer(Arm::Blue, put, &failed, &declared);
        }
        assert!(health.is_failing(Arm::Blue));
        assert!(!health.is_failing(Arm::Green), "those answers were about the program before");
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

    #[test]
    fn an_arm_that_has_just_answered_again_loses_nothing() {
        let passed = Probed::Passed { elapsed: Millis(1) };
        let failed = Probed::Status { found: 503, expected: 200 };
        let mut health = Health::default();
        let declared = declared();
        let mut note = |probed: &Probed| {
            health.arms.entry(Arm::Blue).or_default().note(probed, &declared);
            (health.is_failing(Arm::Blue), health.of(Arm::Blue).is_failing)
        };
        assert_eq!([note(&failed), note(&failed)], [(false, false), (true, true)]);
        assert_eq!(note(&passed), (true, false), "the other arm may have answered a moment before");
        assert_eq!(note(&failed), (true, true));
    }
}
