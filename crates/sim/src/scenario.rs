//! What a seed means: the release and what is true of it, the hosts, and everything that will go
//! wrong. Every fourth seed is calm: nothing fails but the driver, once and shortly.

use guanka_core::facts::declared::CanaryStep;
use guanka_core::name::{Arm, Digest, ServiceName};
use guanka_core::quantity::{Millis, SharePercent};
use guanka_core::rollout::spec::{
    BakePlan, CanaryPlan, GatePlan, HostName, LoadPlan, Origin, Past, ReleaseId, Spec, Stable,
    Stage,
};

use crate::prng::Prng;

/// A gate at which a fault can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Shows {
    /// Under load.
    Load,
    /// In the bake.
    Bake,
    /// With users' requests.
    Canary,
    /// With all of them.
    Full,
}

/// What is true of the release. No gate ever contradicts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Truth {
    /// It is good.
    Good,
    /// It is bad, and that shows from here on.
    Bad(Shows),
    /// It crashes under users' requests.
    Crashes,
    /// Its evidence stays too thin from here on.
    Slow(Shows),
    /// Its data path is broken from here on.
    Silent(Shows),
}

/// What a person does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Stops it.
    Abort,
    /// Wants the old release back.
    Rollback,
    /// Hands in a newer release.
    NewRelease,
}

/// How the driver comes back after it was killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comeback {
    /// Always, after a while.
    Later,
    /// Before any lease runs out.
    Soon,
    /// Never.
    Never,
}

/// Something that goes wrong at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mishap {
    /// An agent dies for so long; the arms run on.
    AgentDies {
        /// Which host.
        host: usize,
        /// For how long.
        for_ms: u64,
    },
    /// The stable arm of a host runs but does not answer for so long.
    StableUnwell {
        /// Which host.
        host: usize,
        /// For how long.
        for_ms: u64,
    },
    /// The wall clock of the driver's machine jumps.
    ClockJumps {
        /// By so much.
        by_ms: i64,
    },
    /// The driver is stopped for so long, and another takes over meanwhile.
    DriverStalls {
        /// For how long.
        for_ms: u64,
    },
    /// The driver's machine starts again.
    Reboot,
    /// No telemetry for so long.
    TelemetryOut {
        /// For how long.
        for_ms: u64,
    },
}

/// What a seed means.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// The seed.
    pub seed: u64,
    /// Whether nothing fails but the driver.
    pub calm: bool,
    /// What is to be done.
    pub spec: Spec,
    /// What is true of the release.
    pub truth: Truth,
    /// The time to any proof.
    pub proof_ms: u64,
    /// Messages lost, in percent.
    pub drop: u64,
    /// Messages that come twice, in percent.
    pub duplicate: u64,
    /// Messages that take up to a minute, in percent.
    pub slow: u64,
    /// Commands that fail on a host, in percent.
    pub fail: u64,
    /// Load runs whose data is invalid, in percent.
    pub invalid_load: u64,
    /// The actions of the driver before which it is killed.
    pub kills: Vec<u64>,
    /// How it comes back.
    pub comeback: Comeback,
    /// What goes wrong, and when.
    pub mishaps: Vec<(u64, Mishap)>,
    /// What a person does, and when.
    pub act: Option<(u64, Act)>,
    /// From then on nothing goes wrong any more.
    pub heal_at: u64,
}

/// Returns a digest that stands for a number.
pub fn digest(number: u64) -> Digest {
    Digest::new(&format!("{number:064x}")).expect("64 hexadecimal digits")
}

/// The stable release's digest in every scenario.
pub const STABLE: u64 = 0x57ab;
/// The candidate's digest in every scenario.
pub const CANDIDATE: u64 = 0xcafe;
/// A newer release's digest.
pub const NEWER: u64 = 0xd00d;

/// Returns what a seed means.
pub fn scenario(seed: u64) -> Scenario {
    let mut prng = Prng::new(seed);
    let calm = seed.is_multiple_of(4);
    let mut spec = spec(&mut prng);
    if !calm && prng.percent(10) {
        let stages = [Stage::Check, Stage::Stage, Stage::Load, Stage::Bake, Stage::Canary];
        spec.until = Some(stages[prng.below(5) as usize]);
    }
    let truth = truth(&mut prng);
    let hosts = spec.hosts.len();
    let rough = |value: u64| if calm { 0 } else { value };
    let mut scenario = Scenario {
        seed,
        calm,
        spec,
        truth,
        proof_ms: prng.between(5_000, 40_000),
        drop: rough(prng.below(20)),
        duplicate: rough(prng.below(15)),
        slow: rough(if prng.percent(25) { prng.between(20, 50) } else { prng.below(8) }),
        fail: rough(prng.between(2, 10)),
        invalid_load: rough(prng.below(30)),
        kills: Vec::new(),
        comeback: Comeback::Soon,
        mishaps: Vec::new(),
        act: None,
        heal_at: if calm { 0 } else { 600_000 },
    };
    if calm {
        scenario.kills = vec![prng.between(1, 120)];
    } else {
        go_wrong(&mut prng, &mut scenario, hosts);
    }
    scenario
}

fn go_wrong(prng: &mut Prng, scenario: &mut Scenario, hosts: usize) {
    scenario.comeback = if prng.percent(12) { Comeback::Never } else { Comeback::Later };
    for _ in 0..prng.between(0, 4) {
        scenario.kills.push(prng.between(1, 220));
    }
    for _ in 0..prng.below(4) {
        let at = prng.between(1_000, scenario.heal_at);
        let mishap = match prng.below(8) {
            0 | 1 => Mishap::AgentDies {
                host: prng.below(hosts as u64) as usize,
                for_ms: prng.between(500, 120_000),
            },
            2 => {
                Mishap::ClockJumps { by_ms: if prng.percent(50) { 1 } else { -1 } * 72 * 3_600_000 }
            }
            3 | 6 => Mishap::DriverStalls { for_ms: prng.between(35_000, 150_000) },
            4 => Mishap::Reboot,
            5 => Mishap::StableUnwell {
                host: prng.below(hosts as u64) as usize,
                for_ms: prng.between(5_000, 240_000),
            },
            _ => Mishap::TelemetryOut { for_ms: prng.between(10_000, 300_000) },
        };
        scenario.mishaps.push((at, mishap));
    }
    if prng.percent(15) {
        let act = [Act::Abort, Act::Rollback, Act::NewRelease][prng.below(3) as usize];
        scenario.act = Some((prng.between(1_000, scenario.heal_at), act));
    }
}

fn truth(prng: &mut Prng) -> Truth {
    let shows = [Shows::Load, Shows::Bake, Shows::Canary, Shows::Full][prng.below(4) as usize];
    match prng.below(100) {
        0..55 => Truth::Good,
        55..75 => Truth::Bad(shows),
        75..82 => Truth::Crashes,
        82..91 => Truth::Slow(shows.max(Shows::Bake)),
        _ => Truth::Silent(shows),
    }
}

fn spec(prng: &mut Prng) -> Spec {
    let hosts = prng.between(1, 4);
    let candidate = if prng.percent(50) { Arm::Green } else { Arm::Blue };
    let first = prng.percent(8);
    let steps: &[u8] =
        [&[10, 100][..], &[10, 50, 100], &[5, 25, 100], &[20]][prng.below(4) as usize];
    let canary = CanaryPlan {
        steps: steps
            .iter()
            .map(|percent| CanaryStep {
                share: SharePercent::new(*percent).expect("at most 100"),
                hold: Millis(prng.between(10_000, 30_000)),
            })
            .collect(),
        deadline: Millis(300_000),
        invalid_grace: Millis(120_000),
        settle: Millis(prng.between(20_000, 40_000)),
    };
    Spec {
        service: ServiceName::new("shop", "prod").expect("a good name"),
        release: ReleaseId {
            release: digest(CANDIDATE),
            artifact: digest(1),
            config: digest(2),
            revision: "cafe123".to_owned(),
        },
        origin: Origin::Source,
        hosts: (1..=hosts).map(|n| HostName(format!("root@10.0.0.{n}"))).collect(),
        candidate: if first { Arm::Blue } else { candidate },
        stable: (!first).then(|| Stable { release: digest(STABLE), arm: candidate.other() }),
        gates: GatePlan {
            load: prng.percent(70).then_some(LoadPlan { retries: 2 }),
            bake: prng
                .percent(60)
                .then(|| BakePlan { duration: Millis(prng.between(60_000, 180_000)) }),
            canary: prng.percent(95).then_some(canary),
            settle: None,
        },
        until: None,
        past: Past::Clean,
    }
}
