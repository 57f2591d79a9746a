//! One simulated host: its agent, its two arms and green's share on its disk. The agent keeps what
//! the rules ask of it durably, so it survives its own death; the arms run on without it.

use std::collections::{BTreeMap, BTreeSet};

use guanka_core::name::Arm;
use guanka_core::quantity::SharePercent;
use guanka_core::rollout::effect::{Action, Effect, Hold, Key, Lane};
use guanka_core::rollout::event::{Event, Fault, StopReason};
use guanka_core::rollout::share;
use guanka_core::rollout::spec::HostName;
use guanka_core::say::Said;

use crate::plant::Plant;
use crate::scenario::{CANDIDATE, STABLE, digest};

/// What an arm does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArmState {
    /// Nothing.
    Stopped,
    /// It starts.
    Starting,
    /// It answered its readiness probes.
    Ready,
    /// It crashes again and again.
    Crashed,
}

/// A canary lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The share command it belongs to.
    pub seq: u64,
    /// When it ends.
    pub until: u64,
    /// The candidate's arm.
    pub candidate: Arm,
}

/// What a command leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// An answer at once.
    Answer(Event),
    /// An arm is ready after so long, and then this is the answer.
    Later(u64, Arm, Event),
    /// Nothing: refused, or still being done.
    Nothing,
    /// A higher epoch has the right.
    Fenced,
}

/// Whether a command works on its host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Luck {
    /// It does.
    Works,
    /// It fails, this once.
    Fails,
}

/// What a command meets when it arrives.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// The true time.
    pub now: u64,
    /// Whether it works.
    pub luck: Luck,
    /// How long an arm takes to become ready.
    pub start_ms: u64,
    /// The planted bug.
    pub plant: Option<Plant>,
}

/// One host.
#[derive(Clone, Debug)]
pub struct Host {
    /// Its name.
    pub name: HostName,
    /// Until when its agent is dead.
    pub down_until: u64,
    /// Until when its stable arm does not answer.
    pub unwell_until: u64,
    /// The highest epoch it stored.
    pub epoch: u64,
    /// The highest number in each lane.
    floors: BTreeMap<Lane, u64>,
    /// The answers it gave.
    answers: BTreeMap<Key, Event>,
    /// What it is doing; lost when the agent dies.
    pub doing: BTreeSet<Key>,
    /// Green's share on disk; nothing before a service's first release.
    pub green: Option<SharePercent>,
    /// The canary lease.
    pub lease: Option<Lease>,
    /// The lease that ran out, until another share is commanded.
    pub expired: Option<u64>,
    /// Blue and green.
    pub arms: [ArmState; 2],
    /// How often an arm was started: a repeat must not start it again.
    pub starts: u32,
    /// Whether the candidate is the stable arm for good.
    pub kept: bool,
}

/// Returns where an arm stands in `arms`.
pub const fn index(arm: Arm) -> usize {
    match arm {
        Arm::Blue => 0,
        Arm::Green => 1,
    }
}

impl Host {
    /// Returns a host that serves from its stable arm, if there is one.
    pub fn new(name: HostName, stable: Option<Arm>) -> Self {
        let mut arms = [ArmState::Stopped; 2];
        if let Some(arm) = stable {
            arms[index(arm)] = ArmState::Ready;
        }
        Self {
            name,
            down_until: 0,
            unwell_until: 0,
            epoch: 0,
            floors: BTreeMap::new(),
            answers: BTreeMap::new(),
            doing: BTreeSet::new(),
            green: stable.map(|arm| share::on_disk(arm.other(), SharePercent::NONE)),
            lease: None,
            expired: None,
            arms,
            starts: 0,
            kept: false,
        }
    }

    /// Performs a command, or answers as it answered before.
    pub fn perform(&mut self, effect: &Effect, moment: &Moment) -> Outcome {
        if effect.epoch < self.epoch && moment.plant != Some(Plant::LowerEpochAccepted) {
            return Outcome::Fenced;
        }
        self.epoch = self.epoch.max(effect.epoch);
        if let Action::RenewCanaryLease { ttl, .. } = &effect.action {
            if let Some(lease) = &mut self.lease
                && effect.key.seq >= lease.seq
                && moment.now < lease.until
            {
                lease.until = moment.now + ttl.0;
            }
            return Outcome::Nothing;
        }
        if let Some(answer) = self.answers.get(&effect.key)
            && moment.plant != Some(Plant::RepeatActsAgain)
        {
            return Outcome::Answer(answer.clone());
        }
        let floor = self.floors.entry(effect.key.kind.lane()).or_default();
        if effect.key.seq < *floor && moment.plant != Some(Plant::StaleCommandAccepted) {
            return Outcome::Nothing;
        }
        *floor = (*floor).max(effect.key.seq);
        if self.doing.contains(&effect.key) {
            return Outcome::Nothing;
        }
        let outcome = self.act(effect, moment);
        match &outcome {
            Outcome::Answer(event) => self.remember(&effect.key, event),
            Outcome::Later(..) => {
                self.doing.insert(effect.key.clone());
            }
            Outcome::Nothing | Outcome::Fenced => {}
        }
        outcome
    }

    /// Returns whether it answered a command already.
    pub fn has_answered(&self, key: &Key) -> bool {
        self.answers.contains_key(key)
    }

    /// Keeps an answer for a repeat of its command.
    pub fn remember(&mut self, key: &Key, answer: &Event) {
        self.doing.remove(key);
        self.answers.insert(key.clone(), answer.clone());
    }

    fn act(&mut self, effect: &Effect, moment: &Moment) -> Outcome {
        let (host, seq) = (self.name.clone(), effect.key.seq);
        let fault = Fault::Other(Said::new("磁盘已满", "disk full"));
        match &effect.action {
            Action::StageRelease { .. } if moment.luck == Luck::Fails => {
                Outcome::Answer(Event::StageFailed { host, seq, fault })
            }
            Action::StageRelease { .. } => Outcome::Answer(Event::StageDone { host, seq }),
            Action::StartArm { arm, .. } => self.start(*arm, seq, moment),
            Action::BeginBake { .. } => Outcome::Answer(Event::BakeBegun { host, seq }),
            Action::SetShare { candidate_arm, candidate_share, hold, .. } => {
                let result = self.set(*candidate_arm, *candidate_share, *hold, seq, moment);
                Outcome::Answer(match result {
                    Ok(proven) => {
                        let proven = Some(digest(proven));
                        Event::ShareSet { host, seq, share: *candidate_share, proven }
                    }
                    Err(fault) => Event::ShareFailed { host, seq, fault },
                })
            }
            Action::KeepCandidate { arm, .. } => {
                let full = share::on_disk(*arm, SharePercent::ALL);
                let serves = if self.green == Some(full) { CANDIDATE } else { STABLE };
                if serves == CANDIDATE {
                    self.kept = true;
                    self.lease = None;
                }
                Outcome::Answer(Event::Kept { host, seq, serves: digest(serves) })
            }
            Action::StopArm { arm, .. } => {
                self.arms[index(*arm)] = ArmState::Stopped;
                Outcome::Answer(Event::ArmStopped { host, seq, arm: *arm })
            }
            _ => Outcome::Nothing,
        }
    }

    fn start(&mut self, arm: Arm, seq: u64, moment: &Moment) -> Outcome {
        let host = self.name.clone();
        let runs = self.arms[index(arm)] != ArmState::Stopped;
        if runs && moment.plant != Some(Plant::RepeatActsAgain) {
            return match self.arms[index(arm)] {
                ArmState::Ready => Outcome::Answer(Event::ArmReady { host, seq }),
                ArmState::Crashed => {
                    Outcome::Answer(Event::ArmFailed { host, seq, fault: Fault::NotReady })
                }
                _ => Outcome::Later(1_000, arm, Event::ArmReady { host, seq }),
            };
        }
        if moment.luck == Luck::Fails {
            return Outcome::Answer(Event::ArmFailed { host, seq, fault: Fault::NotReady });
        }
        self.arms[index(arm)] = ArmState::Starting;
        self.starts += 1;
        Outcome::Later(moment.start_ms, arm, Event::ArmReady { host, seq })
    }

    /// Sets a share and proves it; returns the release that answered.
    fn set(
        &mut self,
        arm: Arm,
        wanted: SharePercent,
        hold: Hold,
        seq: u64,
        moment: &Moment,
    ) -> Result<u64, Fault> {
        if moment.luck == Luck::Fails {
            return Err(Fault::NotProven);
        }
        if wanted > SharePercent::NONE && self.arms[index(arm)] != ArmState::Ready {
            return Err(Fault::NotReady);
        }
        let stable =
            self.arms[index(arm.other())] == ArmState::Ready && moment.now >= self.unwell_until;
        if wanted == SharePercent::NONE && !stable {
            return Err(Fault::StableNotReady);
        }
        let green = match moment.plant {
            Some(Plant::WrongShareDirection) => share::on_disk(Arm::Green, wanted),
            _ => share::on_disk(arm, wanted),
        };
        self.green = Some(green);
        self.expired = None;
        self.kept = false;
        self.lease = match hold {
            Hold::Leased(ttl) => Some(Lease { seq, until: moment.now + ttl.0, candidate: arm }),
            Hold::Lasting => None,
        };
        Ok(if wanted == SharePercent::NONE { STABLE } else { CANDIDATE })
    }

    /// Lets a lease run out; the candidate keeps its requests where the stable arm cannot serve.
    pub fn expire(&mut self, now: u64, plant: Option<Plant>) {
        let Some(lease) = self.lease else { return };
        let stable = self.arms[index(lease.candidate.other())];
        let unwell = stable != ArmState::Ready || now < self.unwell_until;
        if now < lease.until || plant == Some(Plant::LeaseIgnored) || unwell {
            return;
        }
        self.green = Some(share::on_disk(lease.candidate, SharePercent::NONE));
        self.lease = None;
        self.expired = Some(lease.seq);
    }

    /// Returns what the agent sees of the candidate.
    pub fn hard_stop(&self, candidate: Arm) -> Option<StopReason> {
        (self.arms[index(candidate)] == ArmState::Crashed).then_some(StopReason::CrashLoop)
    }
}
