//! What a report says about one release, as data. Every renderer shows the same.

use serde::{Deserialize, Serialize};

use crate::finding::Finding;
use crate::gates::evidence::EvidenceRecord;
use crate::gates::{Judgement, ObjectiveJudgement};
use crate::name::ServiceName;
use crate::rollout::verdict::Verdict;
use crate::say::Said;

/// The version of the report's JSON.
pub const REPORT_SCHEMA: u32 = 1;

/// How a release went.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReleaseReport {
    /// `REPORT_SCHEMA`.
    pub schema: u32,
    /// The service.
    pub service: ServiceName,
    /// The rollout's number within the service, from 1.
    pub number: u64,
    /// The release's digest, once it was built.
    pub release: Option<String>,
    /// How people call it: a short commit.
    pub revision: String,
    /// How it ended, in one word for machines: `promoted`, `blocked`, `taken_back` …
    pub ended: String,
    /// How it ended, for people.
    pub ending: Said,
    /// The exit code that goes with it.
    pub exit: u8,
    /// When it began, as a date for people.
    pub began: String,
    /// The steps, in order.
    pub steps: Vec<StepReport>,
    /// Milliseconds from the commit to the first request of a user.
    pub first_traffic_ms: Option<u64>,
    /// Milliseconds from the commit to all requests.
    pub all_traffic_ms: Option<u64>,
    /// Findings of the static gate that block.
    pub findings: Vec<Finding>,
    /// What the gates found, in order; the last judgement of each.
    pub judgements: Vec<Judgement>,
    /// The records that the verdicts rest on, one for each objective: their canonical texts hash to
    /// the digest in journal and audit log, and they give the same verdict again.
    pub evidence: Vec<EvidenceRecord>,
    /// The slices of traffic that explain a bad verdict, likeliest first.
    pub causes: Vec<CauseLine>,
    /// What users' traffic saw meanwhile.
    pub traffic: Said,
    /// Requests that failed because of a switch; `None` while nothing was switched.
    pub failed_by_switch: Option<u64>,
    /// What to do next: a command.
    pub next: Said,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepReport {
    /// The step, in one word for machines: `check`, `build`, `load` …
    pub step: String,
    /// The step, for people.
    pub title: Said,
    /// How long it took.
    pub took_ms: u64,
    /// What it showed, where it is a gate.
    pub verdict: Option<Verdict>,
    /// In one sentence.
    pub says: Said,
}

/// A slice of traffic that explains a bad verdict.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CauseLine {
    /// In one sentence: route, arm, status, with counts.
    pub says: Said,
    /// The share of the excess that it explains, 0 to 1.
    pub explains: f64,
    /// What speaks for it: the same route on the other arm is healthy.
    pub counter: Option<Said>,
}

impl ReleaseReport {
    /// Returns the first 12 letters of the release's digest, as people are shown it. It is a text
    /// that came from elsewhere, so letters are counted and not bytes.
    pub fn short_release(&self) -> String {
        self.release.as_deref().map_or("–".to_owned(), |digest| digest.chars().take(12).collect())
    }

    /// Returns the objectives in the order in which a reader wants them: proven bad first.
    pub fn objectives(&self) -> Vec<(&Judgement, &ObjectiveJudgement)> {
        let mut all: Vec<_> = self
            .judgements
            .iter()
            .flat_map(|judgement| judgement.objectives.iter().map(move |o| (judgement, o)))
            .collect();
        all.sort_by_key(|(_, objective)| objective.verdict != Verdict::Bad);
        all
    }
}

/// Returns a share as a percentage with the digits that matter.
pub fn percent(share: f64) -> String {
    let percent = share * 100.0;
    match percent {
        0.0 => "0 %".to_owned(),
        p if p < 0.1 => format!("{p:.4} %"),
        p if p < 1.0 => format!("{p:.3} %"),
        p => format!("{p:.2} %"),
    }
}

/// Returns a time in seconds or minutes, as people say it.
pub fn seconds(ms: u64) -> String {
    match ms {
        0..=9_999 => format!("{:.1} s", ms as f64 / 1000.0),
        10_000..=119_999 => format!("{} s", ms / 1000),
        _ => format!("{} m {:02} s", ms / 60_000, ms / 1000 % 60),
    }
}
