//! The result of `guanka check` as JSON: wire types of their own, with a version, so that the inner
//! shapes may change.

use serde::{Deserialize, Serialize};

use crate::checks::{CheckRun, find};
use crate::facts::{Provenance, Reason, Span};
use crate::finding::{Evidence, Finding};
use crate::say::Said;

/// The version of this form.
pub const SCHEMA: u32 = 1;

/// What the run looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// guanka's own version.
    pub guanka: String,
    /// The module's folder.
    pub module: String,
    /// The host root that was looked at; `None` when no host was.
    pub host: Option<String>,
    /// The service, when guanka.toml declares one.
    pub service: Option<String>,
    /// Versions seen: `go`, `nginx`, `panel`.
    pub versions: std::collections::BTreeMap<String, String>,
    /// How long it took.
    pub duration_ms: u64,
}

/// The whole result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// `SCHEMA`.
    pub schema: u32,
    /// What the run looked at.
    pub run: About,
    /// The faults, new ones first, then the allowed ones.
    pub findings: Vec<FindingRow>,
    /// What could not be told.
    pub unknowns: Vec<UnknownRow>,
    /// The allows that stand, and remarks about those that do not.
    pub allows: Vec<AllowRow>,
    /// Counts.
    pub stats: Stats,
}

/// One fault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FindingRow {
    /// `XX034`.
    pub code: String,
    /// `keepalive-race`.
    pub name: String,
    /// `proxy`.
    pub checkpoint: String,
    /// `high`.
    pub severity: String,
    /// How bad it is as a rule.
    pub base: String,
    /// How far it can be reached, where that matters.
    pub exposure: Option<String>,
    /// `certain`.
    pub confidence: String,
    /// It blocks a release.
    pub blocks: bool,
    /// The sentence.
    pub text: Said,
    /// Every place in a text file, the first one primary.
    pub spans: Vec<SpanRow>,
    /// Every value with where it was read, files and others.
    pub facts: Vec<FactRow>,
    /// What to do.
    pub fix: FixRow,
    /// What stays the same when lines move.
    pub fingerprint: String,
    /// `new` or `allowed`.
    pub state: String,
}

/// A place in a text file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpanRow {
    /// The place.
    #[serde(flatten)]
    pub span: Span,
    /// What stands there.
    pub says: Said,
}

/// A value and where it was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FactRow {
    /// The value in words.
    pub says: Said,
    /// Where it was read.
    pub from: Provenance,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FixRow {
    /// `safe`, `risky` or `display_only`.
    pub kind: String,
    /// The advice with its values.
    pub advice: Said,
    /// Why a risky fix is risky.
    pub why_unsafe: Option<Said>,
}

/// A check that could not tell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnknownRow {
    /// The check.
    pub code: String,
    /// A release must not go forward while this is unknown.
    pub is_required: bool,
    /// What was missing.
    pub missing: Vec<MissingRow>,
}

/// A fact that was missing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MissingRow {
    /// Which.
    pub what: Said,
    /// Why.
    pub reason: Reason,
}

/// An allow of guanka.toml.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AllowRow {
    /// The check it names.
    pub check: String,
    /// Its last day.
    pub until: Option<String>,
    /// Its reason.
    pub reason: Option<String>,
    /// How many faults it holds back.
    pub findings: usize,
    /// Its last day is at most two weeks away.
    pub is_expiring: bool,
    /// Why it does nothing, when it does nothing.
    pub note: Option<Said>,
}

/// Counts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// Checks that ran.
    pub checks: usize,
    /// Faults that are not allowed.
    pub findings: usize,
    /// Of those, how many block a release.
    pub blocking: usize,
    /// Checks that could not tell.
    pub unknown: usize,
    /// Faults that are allowed.
    pub allowed: usize,
    /// Of those, by allows that end within two weeks.
    pub expiring: usize,
}

/// Builds the report of a run.
pub fn report(run: &CheckRun, about: About) -> Report {
    let fresh = run.findings.iter().map(|f| finding_row(f, "new"));
    let allowed = run.allowed.iter().map(|a| finding_row(&a.finding, "allowed"));
    let missing =
        |m: &crate::checks::Missing| MissingRow { what: m.what.clone(), reason: m.reason.clone() };
    let unknowns = run.unknowns.iter().map(|u| UnknownRow {
        code: u.code.to_owned(),
        is_required: u.is_required,
        missing: u.missing.iter().map(missing).collect(),
    });
    Report {
        schema: SCHEMA,
        run: about,
        findings: fresh.chain(allowed).collect(),
        unknowns: unknowns.collect(),
        allows: allow_rows(run),
        stats: Stats {
            checks: run.results.len(),
            findings: run.findings.len(),
            blocking: run.blocking(),
            unknown: run.unknowns.len(),
            allowed: run.allowed.len(),
            expiring: run.expiring(),
        },
    }
}

fn allow_rows(run: &CheckRun) -> Vec<AllowRow> {
    let mut rows: Vec<AllowRow> = Vec::new();
    for allowed in &run.allowed {
        let allow = &allowed.allow;
        let same = |row: &&mut AllowRow| {
            row.check == allow.check && row.until.as_ref() == Some(&allow.until)
        };
        if let Some(row) = rows.iter_mut().find(same) {
            row.findings += 1;
            continue;
        }
        rows.push(AllowRow {
            check: allow.check.clone(),
            until: Some(allow.until.clone()),
            reason: Some(allow.reason.clone()),
            findings: 1,
            is_expiring: allowed.is_expiring,
            note: None,
        });
    }
    rows.extend(run.notes.iter().map(|note| AllowRow {
        check: note.check.clone(),
        until: None,
        reason: None,
        findings: 0,
        is_expiring: false,
        note: Some(note.says.clone()),
    }));
    rows
}

fn finding_row(finding: &Finding, state: &str) -> FindingRow {
    let evidence = || std::iter::once(&finding.primary).chain(&finding.related);
    let span_row = |e: &Evidence| match &e.from {
        Provenance::Span(span) => Some(SpanRow { span: span.clone(), says: e.says.clone() }),
        _ => None,
    };
    let why = find(&finding.code).map(|c| c.why_risky).filter(|text| !text.en.is_empty());
    FindingRow {
        code: finding.code.clone(),
        name: finding.name.clone(),
        checkpoint: word(&finding.checkpoint),
        severity: word(&finding.severity),
        base: word(&finding.base),
        exposure: finding.exposure.as_ref().map(word),
        confidence: word(&finding.confidence),
        blocks: finding.blocks(),
        text: finding.message.clone(),
        spans: evidence().filter_map(span_row).collect(),
        facts: evidence().map(|e| FactRow { says: e.says.clone(), from: e.from.clone() }).collect(),
        fix: FixRow {
            kind: word(&finding.fix_kind),
            advice: finding.advice.clone(),
            why_unsafe: why.map(|text| text.said()),
        },
        fingerprint: finding.fingerprint.clone(),
        state: state.to_owned(),
    }
}

/// Returns the wire word of a fieldless enum.
fn word<T: Serialize>(value: &T) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(text)) => text,
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::{About, Report, report};
    use crate::checks::run_all;
    use crate::facts::Facts;
    use crate::facts::supervisor::Program;

    #[test]
    fn a_report_carries_every_part_of_a_finding_and_reads_back() {
        let program = Program {
            name: "shop".to_owned(),
            span: crate::facts::Span {
                file: "shop.ini".to_owned(),
                line: 1,
                column: 1,
                length: 14,
                excerpt: "[program:shop]".to_owned(),
            },
            options: std::collections::BTreeMap::new(),
        };
        let facts = Facts { supervisor: vec![program], ..Facts::default() };
        let made = report(&run_all(&facts, &[], "2026-11-24"), About::default());
        let text = serde_json::to_string(&made).expect("strings and numbers only");
        let read: Report = serde_json::from_str(&text).expect("its own form");
        assert_eq!(read, made);
        let row = &read.findings[0];
        assert_eq!((row.code.as_str(), row.severity.as_str()), ("SY007", "high"));
        assert_eq!((row.spans[0].span.line, row.fix.kind.as_str()), (1, "risky"));
        assert!(row.fix.why_unsafe.is_some() && row.blocks && row.state == "new");
        assert_eq!((read.schema, read.stats.blocking), (1, 1));
    }
}
