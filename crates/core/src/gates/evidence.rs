//! The evidence record: all that a verdict rests on, in one canonical text that can be hashed into
//! the audit chain and judged again. It keeps the counts themselves, not only what came of them.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::dispersion::Look;
use super::guard::{Coverage, Fault};
use super::objective::Objective;
use super::weighing::{decide, weigh};
use super::{Comparison, GateKind, Judgement, ObjectiveJudgement};
use crate::rollout::verdict::Verdict;

/// The version of the method. Any change of a formula raises it, so that an old record is never
/// judged by a new rule.
pub const METHOD: u32 = 1;

/// Where and when the evidence was collected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Circumstances {
    /// The attempt it belongs to; a retry is a new one and spends new alpha.
    pub attempt: u64,
    /// When the gate decides at the latest.
    pub deadline_ms: Option<u64>,
    /// When a proven verdict was latched.
    pub latched_at_ms: Option<u64>,
    /// What was read: log offsets, scrape set, load run.
    pub origin: String,
}

/// One objective's record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EvidenceRecord {
    /// The version of the method.
    pub method: u32,
    /// The gate.
    pub gate: GateKind,
    /// Everything found, counts included.
    pub judged: ObjectiveJudgement,
    /// How many times looser the limit is than the objective.
    pub ratio: f64,
    /// How much of the time was seen.
    pub coverage: Option<Coverage>,
    /// Windows that are missing.
    pub uncovered_windows: u64,
    /// What the guards said.
    pub faults: Vec<Fault>,
    /// Where and when.
    pub circumstances: Circumstances,
}

impl EvidenceRecord {
    /// Builds the records of a judgement, one for each objective judged.
    pub fn of(
        judgement: &Judgement,
        objectives: &[Objective],
        circumstances: &Circumstances,
    ) -> Vec<Self> {
        let record = |judged: &ObjectiveJudgement| {
            let objective = objectives.iter().find(|objective| objective.slo == judged.slo);
            Self {
                method: METHOD,
                gate: judgement.gate,
                judged: judged.clone(),
                ratio: objective.map_or(1.0, Objective::looseness),
                coverage: judgement.coverage,
                uncovered_windows: judgement.coverage.map_or(0, |c| c.expected - c.seen),
                faults: judgement.faults.clone(),
                circumstances: circumstances.clone(),
            }
        };
        judgement.objectives.iter().map(record).collect()
    }

    /// Returns the one text of this record: no spaces, keys sorted, shortest numbers.
    pub fn canonical_json(&self) -> String {
        let value = serde_json::to_value(self).expect("a record is plain data with finite numbers");
        let mut text = String::new();
        write_sorted(&value, &mut text);
        text
    }

    /// Judges the stored counts again and returns the verdict they give.
    pub fn replay(&self) -> Verdict {
        if !self.faults.is_empty() {
            return Verdict::Invalid;
        }
        let judged = &self.judged;
        let look = Look { form: judged.form, alphas: judged.alphas };
        let weighed = weigh(&judged.counts, judged.limit, look);
        let comparison = judged
            .comparison
            .as_ref()
            .map(|stored| Comparison::of(stored.segments.clone(), stored.ratio, judged.alphas.bad));
        decide(&weighed, judged.least_n, judged.passing, comparison.as_ref())
    }
}

fn write_sorted(value: &Value, text: &mut String) {
    match value {
        Value::Object(map) => {
            let mut keys: Vec<&String> = map.keys().collect();
            keys.sort();
            text.push('{');
            for (at, key) in keys.into_iter().enumerate() {
                if at > 0 {
                    text.push(',');
                }
                text.push_str(&Value::String(key.clone()).to_string());
                text.push(':');
                write_sorted(&map[key], text);
            }
            text.push('}');
        }
        Value::Array(items) => {
            text.push('[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    text.push(',');
                }
                write_sorted(item, text);
            }
            text.push(']');
        }
        plain => text.push_str(&plain.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::gates::load::{LoadRun, LoadSlice, SelfCheck, SelfCheckLimits, judge};
    use crate::name::Arm;
    use crate::quantity::Millis;

    fn records(over_950: u64) -> Vec<EvidenceRecord> {
        let objectives = [Objective::on_latency("orders", 0.95, Millis(800), Millis(950))];
        let slow = BTreeMap::from([(800, over_950 + 10), (950, over_950)]);
        let slice = LoadSlice { due: 2000, errors: 0, slow };
        let run = LoadRun { slices: vec![slice; 6], check: SelfCheck::default() };
        let judgement = judge(&objectives, Arm::Green, &run, &SelfCheckLimits::default());
        let circumstances = Circumstances {
            attempt: 1,
            deadline_ms: None,
            latched_at_ms: Some(1_700_000_000_000),
            origin: "load".to_owned(),
        };
        EvidenceRecord::of(&judgement, &objectives, &circumstances)
    }

    #[test]
    fn a_stored_record_is_judged_again_to_the_same_text_and_verdict() {
        for (over, verdict) in [(40, Verdict::Good), (96, Verdict::NotYet), (200, Verdict::Bad)] {
            let record = records(over).remove(0);
            let text = record.canonical_json();
            let stored: EvidenceRecord = serde_json::from_str(&text).expect("its own text");
            assert_eq!(stored.canonical_json(), text);
            assert_eq!((record.judged.verdict, stored.replay()), (verdict, verdict));
            assert_eq!(records(over)[0].canonical_json(), text);
        }
    }

    #[test]
    fn a_changed_count_changes_text_and_replay() {
        let mut record = records(40).remove(0);
        let text = record.canonical_json();
        record.judged.counts.iter_mut().for_each(|slice| slice.x = 300);
        assert_ne!(record.canonical_json(), text);
        assert_eq!(record.replay(), Verdict::Bad);
    }

    #[test]
    fn keys_are_sorted_at_every_depth() {
        let text = records(40)[0].canonical_json();
        assert!(text.starts_with("{\"circumstances\":{\"attempt\":1,\"deadline_ms\":null,"));
        assert!(text.contains("\"judged\":{\"alphas\":{\"bad\":0.05,\"good\":0.05},\"arm\":"));
        assert!(text.ends_with("\"method\":1,\"ratio\":1.1875,\"uncovered_windows\":0}"));
    }
}
