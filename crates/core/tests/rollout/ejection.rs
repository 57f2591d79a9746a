//! What a host does by itself about arms that stop answering, over whole lives with chance: drivers
//! start candidates, give them shares, keep or stop them, die; arms fall silent and come back. Told
//! from the document alone, as the host tells it.

use guanka_core::name::{Arm, Digest};
use guanka_core::quantity::{Millis, SharePercent};
use guanka_core::rollout::desired::{CanaryLease, Desired};
use guanka_core::rollout::eject::{Ejected, Health, Move, all_to, decide};
use guanka_core::rollout::share::{of_candidate, on_disk};

use crate::play::{digest, share};

const READY: Health = Health { is_ready: true, is_failing: false };
const FAILING: Health = Health { is_ready: false, is_failing: true };

/// A host: its document, and how its arms do.
struct Host {
    desired: Desired,
    stable: Arm,
    health: [Health; 2],
    /// What a driver gave the candidate last.
    given: SharePercent,
}

/// Numbers with chance from a seed.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
        (self.0 >> 33) % end
    }
}

impl Host {
    fn new() -> Self {
        let mut desired = Desired { green: Some(SharePercent::NONE), ..Desired::default() };
        desired.start(Arm::Blue, digest("a"), None);
        desired.keep(Arm::Blue);
        let health = [READY, Health::default()];
        Self { desired, stable: Arm::Blue, health, given: SharePercent::NONE }
    }

    fn green(&self) -> SharePercent {
        self.desired.green.expect("ordered from the start")
    }

    fn of(&self, arm: Arm) -> Health {
        self.health[usize::from(arm == Arm::Green)]
    }

    fn becomes(&mut self, arm: Arm, health: Health) {
        // An idle arm is asked by nobody.
        if self.desired.arms.contains_key(&arm) {
            self.health[usize::from(arm == Arm::Green)] = health;
        }
    }

    /// One thing that a driver does, where it fits.
    fn driven(&mut self, chance: &mut Chance) {
        let idle = self.stable.other();
        let runs = self.desired.arms.contains_key(&idle);
        let release: Digest = digest(if chance.below(2) == 0 { "b" } else { "c" });
        match chance.below(5) {
            0 if !runs => {
                self.desired.start(idle, release, Some(self.stable));
                self.becomes(idle, READY);
                self.given = SharePercent::NONE;
            }
            1 | 2 if self.desired.unproven == Some(idle) => self.gives(idle, chance),
            3 if self.green() == all_to(idle) && self.given == SharePercent::ALL => {
                self.desired.keep(idle);
                self.stable = idle;
                self.given = SharePercent::NONE;
            }
            4 if runs && self.green() == all_to(self.stable) => {
                self.desired.stop(idle);
                self.health[usize::from(idle == Arm::Green)] = Health::default();
            }
            _ => {}
        }
    }

    fn gives(&mut self, candidate: Arm, chance: &mut Chance) {
        self.given = share([0, 1, 10, 50, 100][chance.below(5) as usize]);
        let ttl = Millis::from_secs(30);
        let lease = CanaryLease { arm: candidate, seq: 1, ttl, has_expired: false };
        self.desired.canary = (self.given != SharePercent::NONE).then_some(lease);
        self.desired.ejected = None;
        self.desired.green = Some(on_disk(candidate, self.given));
    }

    /// What the host does by itself, as its helper does it.
    fn looks(&mut self) {
        let candidate = self.desired.candidate();
        match decide(self.green(), |arm| self.of(arm), self.desired.ejected, candidate) {
            Some(Move::Eject(Ejected { arm, .. })) if self.desired.leased() == Some(arm) => {
                self.desired.give_up_canary();
            }
            Some(Move::Eject(ejected)) => {
                self.desired.ejected = Some(ejected);
                self.desired.green = Some(all_to(ejected.arm.other()));
            }
            Some(Move::GiveBack(ejected)) => {
                self.desired.ejected = None;
                self.desired.green = Some(ejected.before);
            }
            Some(Move::Forget) => self.desired.ejected = None,
            None => {}
        }
    }

    fn share_of(&self, arm: Arm) -> SharePercent {
        of_candidate(arm, self.green())
    }
}

#[test]
fn a_candidate_never_gets_more_than_its_driver_gave_whatever_falls_silent() {
    let (mut kept_still, mut moved) = (0, 0);
    for seed in 0..2_000 {
        let (mut host, mut chance) = (Host::new(), Chance(seed));
        for step in 0..80 {
            match chance.below(6) {
                0 | 1 => host.driven(&mut chance),
                2 => drop(host.desired.give_up_canary()),
                n => {
                    let arm = if n % 2 == 0 { Arm::Blue } else { Arm::Green };
                    host.becomes(arm, if chance.below(2) == 0 { READY } else { FAILING });
                }
            }
            let before = host.green();
            host.looks();
            let place = format!("seed {seed}, step {step}");
            if let Some(candidate) = host.desired.unproven {
                let (has, given) = (host.share_of(candidate), host.given);
                assert!(has.get() <= given.get(), "{place}: {candidate} has {has} of {given}");
            }
            for arm in [Arm::Blue, Arm::Green] {
                let other = arm.other();
                if host.of(arm) != FAILING || host.of(other) != READY {
                    continue;
                }
                if host.desired.unproven == Some(other) {
                    kept_still += 1;
                    assert!(host.green() == before || host.desired.ejected.is_none(), "{place}");
                } else {
                    assert_eq!(host.share_of(arm), SharePercent::NONE, "{place}: {arm} is silent");
                    moved += u32::from(host.green() != before);
                }
            }
            let all_silent = [Arm::Blue, Arm::Green].iter().all(|arm| host.of(*arm) == FAILING);
            assert!(!all_silent || host.green() == before, "{place}: nothing is better");
        }
    }
    assert!(kept_still > 1000 && moved > 1000, "{kept_still} and {moved}: too little happened");
}

#[test]
fn a_stable_arm_that_freezes_alone_keeps_its_share_in_every_part_of_a_rollout() {
    let mut host = Host::new();
    host.desired.start(Arm::Green, digest("b"), Some(Arm::Blue));
    host.becomes(Arm::Green, READY);
    host.becomes(Arm::Blue, FAILING);
    host.looks();
    assert_eq!(host.green(), SharePercent::NONE, "before the canary: no gate has let it through");
    let lease = |has_expired| {
        Some(CanaryLease { arm: Arm::Green, seq: 1, ttl: Millis::from_secs(30), has_expired })
    };
    (host.desired.green, host.desired.canary) = (Some(share(10)), lease(false));
    host.looks();
    assert_eq!(host.green(), share(10), "in the canary");
    (host.desired.green, host.desired.canary) = (Some(SharePercent::NONE), lease(true));
    host.looks();
    assert_eq!(host.green(), SharePercent::NONE, "once its lease has run out");
    // Made stable, it takes what the other one cannot answer.
    host.desired.keep(Arm::Green);
    host.desired.green = Some(share(50));
    host.looks();
    assert_eq!((host.green(), host.desired.ejected.is_some()), (SharePercent::ALL, true));
}
