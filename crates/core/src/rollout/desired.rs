//! What a host is to look like for one service: the document that a host keeps, and what of the
//! host differs from it. The document is stored before anything is done, with the epoch of the
//! driver whose word it is, so that over any restart an older driver's word is refused and what
//! was done is known.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::name::{Arm, Digest};
use crate::quantity::{Millis, SharePercent};
use crate::rollout::eject::Ejected;
use crate::rollout::share::{of_candidate, on_disk};
use crate::say::Said;

/// The version of the document's form.
pub const SCHEMA: u32 = 1;
/// The most notes that wait to be fetched; older ones give way.
pub const NOTES_MAX: usize = 64;

/// The document of one service on one host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Desired {
    /// The form's version.
    pub schema: u32,
    /// The highest epoch seen; a lower one is refused.
    pub epoch: u64,
    /// Green's share; none before the first one was ordered.
    pub green: Option<SharePercent>,
    /// The arms that are to run, each with its release.
    pub arms: BTreeMap<Arm, Digest>,
    /// The candidate that keeps its requests only as long as its driver speaks.
    pub canary: Option<CanaryLease>,
    /// The arm that was started for a rollout and that nothing has made the stable one yet.
    #[serde(default)]
    pub unproven: Option<Arm>,
    /// The arm whose requests the host has given to the other one.
    pub ejected: Option<Ejected>,
    /// What the host did by itself, until it is written into the audit log.
    pub notes: Vec<Note>,
    /// The number of the next note.
    pub next_note: u64,
}

/// A canary's lease.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CanaryLease {
    /// The candidate's arm.
    pub arm: Arm,
    /// The number of the share command whose lease it is.
    pub seq: u64,
    /// How long it holds without being renewed.
    pub ttl: Millis,
    /// It ran out, and the stable arm has every request.
    pub has_expired: bool,
}

/// Something the host did by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// Its number; numbers rise and are never used again.
    pub number: u64,
    /// What was done, as the audit log names it.
    pub action: String,
    /// Its circumstances as JSON text.
    pub detail: String,
}

/// What a driver's epoch is to the document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// The present driver's.
    Present,
    /// A newer driver's: to be stored before anything is done for it.
    Newer,
    /// An older driver's: refused.
    Older,
}

/// What a host was seen to be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Green's share as nginx reads it.
    pub green: Option<SharePercent>,
    /// The arms' links.
    pub releases: BTreeMap<Arm, Digest>,
    /// The arms that the process manager says are stopped; where it could not tell, none.
    pub stopped: Vec<Arm>,
    /// The arms that run.
    pub running: Vec<Arm>,
}

/// One difference between the document and the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "drift")]
pub enum Drift {
    /// Somebody else moved the share.
    Share {
        /// What was ordered.
        wanted: SharePercent,
        /// What nginx reads; none where it can read nothing.
        found: Option<SharePercent>,
    },
    /// An arm that is to run was stopped.
    Stopped {
        /// The arm.
        arm: Arm,
    },
    /// An arm that is to be idle runs.
    Runs {
        /// The arm.
        arm: Arm,
    },
    /// An arm's link names another release.
    Release {
        /// The arm.
        arm: Arm,
        /// What was ordered.
        wanted: Digest,
        /// What is there.
        found: Option<Digest>,
    },
}

impl Default for Desired {
    fn default() -> Self {
        Self {
            schema: SCHEMA,
            epoch: 0,
            green: None,
            arms: BTreeMap::new(),
            canary: None,
            unproven: None,
            ejected: None,
            notes: Vec::new(),
            next_note: 1,
        }
    }
}

impl Desired {
    /// Returns what an epoch is to the document.
    pub fn admission(&self, epoch: u64) -> Admission {
        match epoch.cmp(&self.epoch) {
            std::cmp::Ordering::Less => Admission::Older,
            std::cmp::Ordering::Equal => Admission::Present,
            std::cmp::Ordering::Greater => Admission::Newer,
        }
    }

    /// Adds a note of what the host did by itself.
    pub fn note(&mut self, action: &str, detail: String) {
        self.notes.push(Note { number: self.next_note, action: action.to_owned(), detail });
        self.next_note = self.next_note.saturating_add(1);
        if self.notes.len() > NOTES_MAX {
            self.notes.remove(0);
        }
    }

    /// Forgets the notes up to a number: they are in the audit log. Returns whether any went.
    pub fn forget_notes(&mut self, up_to: u64) -> bool {
        let before = self.notes.len();
        self.notes.retain(|note| note.number > up_to);
        self.notes.len() < before
    }

    /// Notes that an arm is to run a release. `stable` is the stable arm, which only runs on.
    pub fn start(&mut self, arm: Arm, release: Digest, stable: Option<Arm>) {
        self.arms.insert(arm, release);
        if stable != Some(arm) {
            self.unproven = Some(arm);
        }
    }

    /// Notes that an arm is to be idle.
    pub fn stop(&mut self, arm: Arm) {
        self.arms.remove(&arm);
        self.unproven.take_if(|unproven| *unproven == arm);
    }

    /// Notes that an arm is the stable one from now on: nobody's word is needed any more for the
    /// requests that it has.
    pub fn keep(&mut self, arm: Arm) {
        self.canary = None;
        self.unproven.take_if(|unproven| *unproven == arm);
    }

    /// Returns the arm that may have no more than a driver gave it: one on a lease, and one whose
    /// lease ran out or that no gate has let through yet.
    pub fn candidate(&self) -> Option<Arm> {
        self.leased().or(self.unproven)
    }

    /// Returns the arm that a living canary's lease is on.
    pub fn leased(&self) -> Option<Arm> {
        self.canary.as_ref().filter(|canary| !canary.has_expired).map(|canary| canary.arm)
    }

    /// Takes every request from the candidate and ends its lease; none where there is no living
    /// one. Returns the arm and green's share from now on.
    pub fn give_up_canary(&mut self) -> Option<(Arm, SharePercent)> {
        let canary = self.canary.as_mut().filter(|canary| !canary.has_expired)?;
        canary.has_expired = true;
        let green = on_disk(canary.arm, SharePercent::NONE);
        let arm = canary.arm;
        self.green = Some(green);
        Some((arm, green))
    }

    /// Returns whether the host puts a difference right by itself. A release that was swapped and
    /// an arm that somebody started are for people: what runs there was not proven, and nobody's
    /// requests reach an idle arm. A candidate on a lease never gets more this way: whoever took
    /// its requests may have had a reason, and its driver, if there is one, orders and proves
    /// again.
    pub fn puts_right(&self, drift: &Drift) -> bool {
        match drift {
            Drift::Share { wanted, found } => self.leased().is_none_or(|arm| {
                found.is_some_and(|found| {
                    of_candidate(arm, *wanted).get() <= of_candidate(arm, found).get()
                })
            }),
            Drift::Stopped { .. } => true,
            Drift::Runs { .. } | Drift::Release { .. } => false,
        }
    }

    /// Returns everything in which the host differs from the document, shares first.
    pub fn drift(&self, seen: &Seen) -> Vec<Drift> {
        let mut found = Vec::new();
        if let Some(wanted) = self.green.filter(|wanted| seen.green != Some(*wanted)) {
            found.push(Drift::Share { wanted, found: seen.green });
        }
        for arm in [Arm::Blue, Arm::Green] {
            match self.arms.get(&arm) {
                Some(wanted) if seen.releases.get(&arm) != Some(wanted) => {
                    let there = seen.releases.get(&arm).cloned();
                    found.push(Drift::Release { arm, wanted: wanted.clone(), found: there });
                }
                Some(_) if seen.stopped.contains(&arm) => found.push(Drift::Stopped { arm }),
                None if seen.running.contains(&arm) => found.push(Drift::Runs { arm }),
                _ => {}
            }
        }
        found
    }
}

impl Drift {
    /// Returns the sentence for people.
    pub fn said(&self) -> Said {
        let percent = |share: &Option<SharePercent>| match share {
            Some(share) => share.to_string(),
            None => "?".to_owned(),
        };
        match self {
            Self::Share { wanted, found } => Said::new(
                format!("green 的份额应为 {wanted},主机上是 {}", percent(found)),
                format!("green's share should be {wanted} and is {}", percent(found)),
            ),
            Self::Stopped { arm } => Said::new(
                format!("{arm} 应当运行,但被停止了"),
                format!("{arm} should run and was stopped"),
            ),
            Self::Runs { arm } => Said::new(
                format!("{arm} 应当空闲,但有程序在运行"),
                format!("{arm} should be idle and runs"),
            ),
            Self::Release { arm, wanted, found } => {
                let there = found.as_ref().map_or("?", Digest::short);
                Said::new(
                    format!("{arm} 应指向发布 {},实际是 {there}", wanted.short()),
                    format!("{arm} should be release {} and is {there}", wanted.short()),
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{Admission, CanaryLease, Desired, Drift, NOTES_MAX, Seen, on_disk};
    use crate::name::{Arm, Digest};
    use crate::quantity::{Millis, SharePercent};

    fn digest(letter: char) -> Digest {
        Digest::new(&letter.to_string().repeat(64)).expect("a digest")
    }

    fn share(percent: u8) -> SharePercent {
        SharePercent::new(percent).expect("a share")
    }

    #[test]
    fn an_older_epoch_is_refused_whatever_was_done_since() {
        let desired = Desired { epoch: 7, ..Desired::default() };
        let told = [6, 7, 8].map(|epoch| desired.admission(epoch));
        assert_eq!(told, [Admission::Older, Admission::Present, Admission::Newer]);
    }

    #[test]
    fn a_canary_is_given_up_once_and_the_stable_arm_has_everything() {
        for (arm, green) in [(Arm::Green, SharePercent::NONE), (Arm::Blue, SharePercent::ALL)] {
            let canary =
                CanaryLease { arm, seq: 4, ttl: Millis::from_secs(30), has_expired: false };
            let mut desired =
                Desired { green: Some(share(10)), canary: Some(canary), ..Desired::default() };
            assert_eq!(desired.leased(), Some(arm));
            assert_eq!(desired.give_up_canary(), Some((arm, green)));
            assert_eq!(desired.green, Some(green));
            assert_eq!((desired.leased(), desired.give_up_canary()), (None, None));
        }
    }

    #[test]
    fn every_difference_is_told_and_only_those() {
        let desired = Desired {
            green: Some(share(0)),
            arms: BTreeMap::from([(Arm::Blue, digest('a'))]),
            ..Desired::default()
        };
        let as_wanted = Seen {
            green: Some(share(0)),
            releases: BTreeMap::from([(Arm::Blue, digest('a')), (Arm::Green, digest('b'))]),
            stopped: vec![Arm::Green],
            running: vec![Arm::Blue],
        };
        assert_eq!(desired.drift(&as_wanted), []);
        let moved = Seen { green: Some(share(100)), ..as_wanted.clone() };
        let told = Drift::Share { wanted: share(0), found: Some(share(100)) };
        assert_eq!(desired.drift(&moved), [told]);
        let stopped = Seen { stopped: vec![Arm::Blue, Arm::Green], ..as_wanted.clone() };
        assert_eq!(desired.drift(&stopped), [Drift::Stopped { arm: Arm::Blue }]);
        let runs = Seen { running: vec![Arm::Blue, Arm::Green], ..as_wanted.clone() };
        assert_eq!(desired.drift(&runs), [Drift::Runs { arm: Arm::Green }]);
        let swapped = Seen { releases: BTreeMap::from([(Arm::Blue, digest('c'))]), ..as_wanted };
        let [drift] = desired.drift(&swapped).try_into().expect("one");
        assert!(matches!(&drift, Drift::Release { arm: Arm::Blue, .. }));
        assert!(!desired.puts_right(&drift), "what runs there was not proven");
    }

    #[test]
    fn a_candidate_on_a_lease_loses_what_it_got_by_hand_and_never_gets_back_what_it_lost() {
        for arm in [Arm::Green, Arm::Blue] {
            let canary =
                CanaryLease { arm, seq: 4, ttl: Millis::from_secs(30), has_expired: false };
            let wanted = on_disk(arm, share(10));
            let leased =
                Desired { green: Some(wanted), canary: Some(canary), ..Desired::default() };
            let found =
                |percent| Drift::Share { wanted, found: Some(on_disk(arm, share(percent))) };
            let told = [0, 9, 11, 100].map(|percent| leased.puts_right(&found(percent)));
            assert_eq!(told, [false, false, true, true], "{arm}");
            assert!(!leased.puts_right(&Drift::Share { wanted, found: None }));
            let lasting = Desired { canary: None, ..leased };
            assert!(lasting.puts_right(&found(0)) && lasting.puts_right(&found(100)));
        }
    }

    #[test]
    fn what_cannot_be_told_of_an_arm_is_no_difference() {
        let arms = BTreeMap::from([(Arm::Blue, digest('a'))]);
        let desired = Desired { arms: arms.clone(), ..Desired::default() };
        let seen = Seen { releases: arms, ..Seen::default() };
        assert_eq!(desired.drift(&seen), []);
    }

    #[test]
    fn notes_wait_until_they_are_fetched_and_their_numbers_rise() {
        let mut desired = Desired::default();
        for n in 0..NOTES_MAX + 3 {
            desired.note("did", n.to_string());
        }
        assert_eq!(desired.notes.len(), NOTES_MAX);
        assert_eq!(desired.notes.first().map(|note| note.number), Some(4));
        assert!(desired.forget_notes(60));
        assert!(!desired.forget_notes(60));
        assert_eq!(desired.notes.first().map(|note| note.number), Some(61));
    }
}
