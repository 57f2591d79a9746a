//! Evidence: counts fetched from where they were counted and handed to the gates. Every judgement
//! is kept with the digest of its records, which the journal and the audit log name.

mod bake;
mod canary;
pub(crate) mod load;
mod windows;

use std::collections::BTreeMap;

use guanka_core::facts::declared::{Declared, GateSlo};
use guanka_core::gates::Judgement as Found;
use guanka_core::gates::evidence::{Circumstances, EvidenceRecord};
use guanka_core::gates::guard::Fault;
use guanka_core::gates::objective::{Objective, resolve};
use guanka_core::name::{Arm, Digest, Route};
use guanka_core::quantity::Rate;
use guanka_core::rollout::state::Rollout;
use guanka_core::say::Said;
use guanka_world::hash;
use guanka_world::load::LoadRun;

use super::ledger::Chapter;
use super::link::Link;
use crate::failure::Failure;
use crate::failure::codes::CONFIG;

/// What a gate found, with what it rests on.
#[derive(Clone, Debug)]
pub(crate) struct Judgement {
    pub(crate) judgement: Found,
    /// The records, one for each objective; their canonical texts are what the digest is over.
    pub(crate) records: Vec<EvidenceRecord>,
    pub(crate) digest: Digest,
    /// The parts of the traffic that explain a bad verdict.
    pub(crate) causes: Vec<guanka_core::cause::Cause>,
}

/// Judges the gates of one rollout.
#[derive(Default)]
pub(crate) struct Judge {}

impl Judge {
    /// Returns users' requests per second over the last minute, by route; `None` is all together.
    pub(crate) fn live_rates(
        &self,
        link: &mut Link,
        declared: &Declared,
    ) -> Result<BTreeMap<Option<Route>, Rate>, Failure> {
        windows::live_rates(link, &declared.service)
    }

    /// Judges a load run.
    pub(crate) fn load(
        &self,
        declared: &Declared,
        arm: Arm,
        run: (&LoadRun, Option<Fault>),
    ) -> Result<Judgement, Failure> {
        load::judge(declared, arm, run)
    }

    /// Judges a bake; nothing when its windows cannot be told yet.
    pub(crate) fn bake(
        &self,
        link: &mut Link,
        chapter: &Chapter,
        rollout: &Rollout,
        now: u64,
    ) -> Result<Option<Judgement>, Failure> {
        bake::judge(link, chapter, rollout, now)
    }

    /// Judges a canary, or the candidate at full share.
    pub(crate) fn canary(
        &self,
        link: &mut Link,
        chapter: &Chapter,
        rollout: &Rollout,
    ) -> Result<Option<Judgement>, Failure> {
        canary::judge(link, chapter, rollout)
    }
}

/// Keeps what a gate found with the digest of its records.
fn kept(found: Found, objectives: &[Objective], attempt: u64, origin: &str) -> Judgement {
    let circumstances = Circumstances {
        attempt,
        deadline_ms: None,
        latched_at_ms: None,
        origin: origin.to_owned(),
    };
    let records = EvidenceRecord::of(&found, objectives, &circumstances);
    let texts: Vec<String> = records.iter().map(EvidenceRecord::canonical_json).collect();
    let digest = hash::of_bytes(texts.join("\n").as_bytes());
    Judgement { judgement: found, records, digest, causes: Vec::new() }
}

/// Returns the objectives of a gate; a contradiction in them is the configuration's.
fn objectives(declared: &Declared, named: &[GateSlo]) -> Result<Vec<Objective>, Failure> {
    resolve(named, &declared.slos).map_err(|error| {
        let file = &declared.file;
        let doing = Said::new(
            format!("正在读取 {file} 的目标"),
            format!("reading the objectives of {file}"),
        );
        Failure::new(&CONFIG, doing, error.said())
    })
}
