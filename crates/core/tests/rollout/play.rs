//! A rollout being played in tests: a spec with every gate, and hosts that answer well.

use guanka_core::facts::declared::CanaryStep;
use guanka_core::name::{Arm, Digest, ServiceName};
use guanka_core::quantity::{Millis, SharePercent};
use guanka_core::rollout::audit::{Actor, Topic};
use guanka_core::rollout::clock::Reading;
use guanka_core::rollout::effect::{Action, Effect, outstanding};
use guanka_core::rollout::event::{CheckResult, Chore, Event};
use guanka_core::rollout::journal::{Record, SCHEMA, fold};
use guanka_core::rollout::spec::{
    BakePlan, CanaryPlan, GatePlan, HostName, LoadPlan, Origin, Past, ReleaseId, Spec, Stable,
};
use guanka_core::rollout::state::{Rollout, State};
use guanka_core::rollout::step::step;
use guanka_core::rollout::verdict::Verdict;

const START: u64 = 1_000_000;

pub(crate) fn digest(letter: &str) -> Digest {
    Digest::new(&letter.repeat(64)).expect("64 hexadecimal digits")
}

pub(crate) fn share(percent: u8) -> SharePercent {
    SharePercent::new(percent).expect("at most 100")
}

pub(crate) fn host(n: u8) -> HostName {
    HostName(format!("host{n}"))
}

/// Two hosts, every gate, 10 % and 50 % for ten seconds each, then everything.
pub(crate) fn spec() -> Spec {
    let hold = Millis::from_secs(10);
    Spec {
        service: ServiceName::new("shop", "prod").expect("a good name"),
        release: ReleaseId {
            release: digest("c"),
            artifact: digest("a"),
            config: digest("b"),
            revision: "7f3c1d2".to_owned(),
        },
        origin: Origin::Source,
        hosts: vec![host(1), host(2)],
        candidate: Arm::Green,
        stable: Some(Stable { release: digest("5"), arm: Arm::Blue }),
        gates: GatePlan {
            load: Some(LoadPlan { retries: 2 }),
            bake: Some(BakePlan { duration: Millis::from_secs(3600) }),
            canary: Some(CanaryPlan {
                steps: vec![
                    CanaryStep { share: share(10), hold },
                    CanaryStep { share: share(50), hold },
                    CanaryStep { share: share(100), hold },
                ],
                deadline: Millis::from_secs(600),
                invalid_grace: Millis::from_secs(120),
                settle: Millis::from_secs(30),
            }),
            settle: None,
        },
        until: None,
        past: Past::Clean,
    }
}

/// A rollout being played, with its journal.
pub(crate) struct Play {
    pub(crate) rollout: Rollout,
    pub(crate) now: u64,
    pub(crate) records: Vec<Record>,
    pub(crate) topics: Vec<(Actor, Topic)>,
}

impl Play {
    pub(crate) fn of(spec: Spec) -> Self {
        let mut play = Self {
            rollout: Rollout::draft(spec.clone(), 1, 0),
            now: START,
            records: Vec::new(),
            topics: Vec::new(),
        };
        play.play(Event::Submitted { spec: Box::new(spec), actor: "dev".to_owned() });
        play
    }

    pub(crate) fn play(&mut self, event: Event) -> Vec<Effect> {
        let step = step(&self.rollout, self.now, &event);
        let clock = Reading { wall_ms: self.now, boot: "b".to_owned(), since_boot_ms: self.now };
        let seq = step.rollout.seq;
        self.records.push(Record { schema: SCHEMA, seq, epoch: 1, at: self.now, clock, event });
        self.topics.extend(step.audit.into_iter().map(|entry| (entry.actor, entry.topic)));
        self.rollout = step.rollout;
        assert_eq!(fold(&self.records).as_ref(), Ok(&self.rollout), "the fold is the state");
        step.effects
    }

    /// Answers what hosts are asked, well, until nothing new is asked of them.
    pub(crate) fn answer(&mut self) {
        for _ in 0..40 {
            let before = outstanding(&self.rollout);
            for answer in before.iter().filter_map(good_answer) {
                self.play(answer);
            }
            if before == outstanding(&self.rollout) {
                return;
            }
        }
    }

    pub(crate) fn load(&mut self, attempt: u32, verdict: Verdict) {
        self.play(Event::LoadJudged { attempt, verdict, evidence: digest("e") });
    }

    pub(crate) fn canary(&mut self, step: usize, verdict: Verdict) {
        let attempt = self.rollout.attempt;
        self.play(Event::CanaryJudged { step, attempt, verdict, evidence: digest("e") });
    }

    pub(crate) fn settle(&mut self, verdict: Verdict) {
        let attempt = self.rollout.attempt;
        self.play(Event::SettleJudged { attempt, verdict, evidence: digest("e") });
    }

    pub(crate) fn later(&mut self, seconds: u64) -> Vec<Effect> {
        self.now += seconds * 1000;
        self.play(Event::Tick)
    }

    pub(crate) fn staged(spec: Spec) -> Self {
        let release = spec.release.clone();
        let mut play = Self::of(spec);
        play.play(Event::ChecksDone { result: CheckResult::Passed, evidence: None });
        play.play(Event::BuildDone { release, past: Past::Clean });
        play.answer();
        play
    }

    pub(crate) fn baking(spec: Spec) -> Self {
        let mut play = Self::staged(spec);
        play.load(1, Verdict::Good);
        play.answer();
        play
    }

    /// Every host has 10 %.
    pub(crate) fn canarying(spec: Spec) -> Self {
        let mut play = Self::baking(spec);
        play.later(3600);
        play.play(Event::BakeJudged { verdict: Verdict::Good, evidence: digest("e") });
        play.answer();
        assert!(matches!(play.rollout.state, State::Canary { step: 0, since: Some(_), .. }));
        play
    }

    /// Every host has everything.
    pub(crate) fn settling(spec: Spec) -> Self {
        let mut play = Self::canarying(spec);
        for step in 0..2 {
            play.canary(step, Verdict::Good);
            play.later(10);
            play.answer();
        }
        assert!(matches!(play.rollout.state, State::Settling { .. }), "{:?}", play.rollout.state);
        play
    }

    pub(crate) fn asks(&self, wanted: impl Fn(&Action) -> bool) -> usize {
        outstanding(&self.rollout).iter().filter(|effect| wanted(&effect.action)).count()
    }
}

pub(crate) fn good_answer(effect: &Effect) -> Option<Event> {
    let seq = effect.key.seq;
    Some(match effect.action.clone() {
        Action::StageRelease { host } => Event::StageDone { host, seq },
        Action::StartArm { host, .. } => Event::ArmReady { host, seq },
        Action::BeginBake { host } => Event::BakeBegun { host, seq },
        Action::SetShare { host, candidate_share, .. } => {
            Event::ShareSet { host, seq, share: candidate_share, proven: Some(digest("c")) }
        }
        Action::KeepCandidate { host, .. } => Event::Kept { host, seq, serves: digest("c") },
        Action::StopArm { host, arm } => Event::ArmStopped { host, seq, arm },
        Action::MarkBad => Event::ChoreDone { chore: Chore::MarkBad, seq },
        Action::WriteReport => Event::ChoreDone { chore: Chore::Report, seq },
        Action::ReleaseServiceLease => Event::ChoreDone { chore: Chore::ServiceLease, seq },
        _ => return None,
    })
}

pub(crate) fn is_stop(action: &Action) -> bool {
    matches!(action, Action::StopArm { .. })
}

pub(crate) fn is_share(action: &Action) -> bool {
    matches!(action, Action::SetShare { .. })
}
