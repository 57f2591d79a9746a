//! Running every check over the facts and laying the allows of guanka.toml over what they found.
//! What is allowed stays in the result; what expired comes back and says so.

use serde::Serialize;

use super::{ALL, Check, Missing, Outcome};
use crate::facts::Facts;
use crate::facts::declared::Allow;
use crate::finding::{Exposure, Finding};
use crate::say::Said;

/// How many days before its last day an allow begins to warn.
const WARN_DAYS: i64 = 14;

/// The result of one run of the checks.
pub struct CheckRun {
    /// Every check and what it said, sorted by code.
    pub results: Vec<(&'static Check, Outcome)>,
    /// The faults that are not allowed: worst first, then exposure, file and line.
    pub findings: Vec<Finding>,
    /// What could not be told.
    pub unknowns: Vec<Unknown>,
    /// The faults that guanka.toml allows.
    pub allowed: Vec<Allowed>,
    /// What is to be said about the allows themselves.
    pub notes: Vec<Note>,
}

/// A check that could not tell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unknown {
    /// The check's code.
    pub code: &'static str,
    /// A release must not go forward while this is unknown.
    pub is_required: bool,
    /// What was missing.
    pub missing: Vec<Missing>,
}

/// A fault that is allowed, and by what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Allowed {
    /// The fault.
    pub finding: Finding,
    /// The entry that allows it.
    pub allow: Allow,
    /// Its last day is at most two weeks away.
    pub is_expiring: bool,
}

/// A remark about an allow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Note {
    /// The check that the entry names.
    pub check: String,
    /// The remark.
    pub says: Said,
}

/// How a run ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// No fault blocks and every required check could tell: exit 0.
    Clean,
    /// A fault blocks: exit 3.
    Blocked,
    /// Nothing blocks, and a required check could not tell: exit 9.
    NotProven,
}

/// Runs every check. `today` is a date like `2026-11-24`.
pub fn run_all(facts: &Facts, allows: &[Allow], today: &str) -> CheckRun {
    let results: Vec<_> = ALL.iter().map(|check| (*check, (check.run)(facts))).collect();
    let mut run =
        CheckRun { results, findings: vec![], unknowns: vec![], allowed: vec![], notes: vec![] };
    let mut valid = Vec::new();
    for allow in allows {
        match standing(allow, today) {
            Standing::Valid { is_expiring } => valid.push((allow, is_expiring)),
            Standing::Void(says) => run.notes.push(Note { check: allow.check.clone(), says }),
        }
    }
    for (check, outcome) in &run.results {
        let (found, missing): (&[Finding], &[Missing]) = match outcome {
            Outcome::Found(found) => (found, &[]),
            Outcome::Partly(found, missing) => (found, missing),
            Outcome::Unknown(missing) => (&[], missing),
            Outcome::Clean | Outcome::NotApplicable => (&[], &[]),
        };
        let allow = valid.iter().find(|(a, _)| a.check == check.code || a.check == check.name);
        for finding in found.iter().cloned() {
            match allow {
                Some((allow, is_expiring)) => run.allowed.push(Allowed {
                    finding,
                    allow: (*allow).clone(),
                    is_expiring: *is_expiring,
                }),
                None => run.findings.push(finding),
            }
        }
        if !missing.is_empty() {
            run.unknowns.push(Unknown {
                code: check.code,
                is_required: check.is_required,
                missing: missing.to_vec(),
            });
        }
    }
    run.findings.sort_by_key(order);
    run
}

impl CheckRun {
    /// Returns how many faults block a release.
    pub fn blocking(&self) -> usize {
        self.findings.iter().filter(|f| f.blocks()).count()
    }

    /// Returns how many allows end within two weeks.
    pub fn expiring(&self) -> usize {
        self.allowed.iter().filter(|a| a.is_expiring).count()
    }

    /// Returns how the run ends. Unknown never counts as passed.
    pub fn ending(&self) -> Ending {
        if self.blocking() > 0 {
            Ending::Blocked
        } else if self.unknowns.iter().any(|u| u.is_required) {
            Ending::NotProven
        } else {
            Ending::Clean
        }
    }
}

/// What an allow is worth today.
enum Standing {
    Valid { is_expiring: bool },
    Void(Said),
}

fn standing(allow: &Allow, today: &str) -> Standing {
    let Allow { check, until, reason } = allow;
    if super::find(check).is_none() {
        return Standing::Void(Said::new(
            format!("允许条目 {check}:没有这个检查,条目无效"),
            format!("allow {check}: there is no such check; the entry does nothing"),
        ));
    }
    if reason.trim().is_empty() {
        return Standing::Void(Said::new(
            format!("允许条目 {check}:没有写原因,条目无效"),
            format!("allow {check}: no reason is given; the entry does nothing"),
        ));
    }
    let (Some(last), Some(now)) = (day_number(until), day_number(today)) else {
        return Standing::Void(Said::new(
            format!("允许条目 {check}:{until} 不是日期(应为 2027-03-01),条目无效"),
            format!("allow {check}: {until} is no date (like 2027-03-01); the entry does nothing"),
        ));
    };
    if now > last {
        return Standing::Void(Said::new(
            format!("允许条目 {check} 已于 {until} 到期,问题重新报告"),
            format!("allow {check} expired on {until}; its findings are back"),
        ));
    }
    Standing::Valid { is_expiring: last - now <= WARN_DAYS }
}

/// Returns the number of days since 1970-01-01, by the civil calendar.
fn day_number(date: &str) -> Option<i64> {
    let mut parts = date.split('-');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || year.len() != 4 || month.len() != 2 || day.len() != 2 {
        return None;
    }
    let (year, month, day): (i64, i64, i64) =
        (year.parse().ok()?, month.parse().ok()?, day.parse().ok()?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // Years begin in March here, so that the leap day is a year's last.
    let shifted = if month <= 2 { year - 1 } else { year };
    let era = shifted.div_euclid(400);
    let year_of_era = shifted.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some(era * 146_097 + day_of_era - 719_468)
}

fn order(finding: &Finding) -> (std::cmp::Reverse<u8>, std::cmp::Reverse<u8>, String, u32, String) {
    let exposure = finding.exposure.map_or(0, Exposure::rank);
    let (file, line) = match finding.span() {
        Some(span) => (span.file.clone(), span.line),
        None => (finding.place(), 0),
    };
    let severity = std::cmp::Reverse(finding.severity as u8);
    (severity, std::cmp::Reverse(exposure), file, line, finding.code.clone())
}

#[cfg(test)]
mod tests {
    use super::{Ending, day_number, run_all};
    use crate::checks::ALL;
    use crate::facts::declared::Allow;
    use crate::facts::gosource::{ErrorFate, GoListen, GoMain, GoSource};
    use crate::facts::{Fact, Facts, Reason, Span};

    fn span(line: u32) -> Span {
        Span { file: "main.go".to_owned(), line, column: 1, length: 1, excerpt: String::new() }
    }

    /// A program that catches no signal and ends when it cannot listen.
    fn without_signals() -> Facts {
        let listen = GoListen {
            folder: ".".to_owned(),
            span: span(9),
            call: "http.ListenAndServe".to_owned(),
            addr: Fact::Unknown(Reason::NotConstant { what: "$PORT".to_owned(), span: span(9) }),
            addr_from: vec!["$PORT".to_owned()],
            port_from: Vec::new(),
            server: None,
            handler: None,
            error: ErrorFate::EndsProgram,
        };
        let source = GoSource {
            mains: vec![GoMain { folder: ".".to_owned(), span: span(3) }],
            listens: vec![listen],
            ..GoSource::default()
        };
        Facts { source: Some(source), ..Facts::default() }
    }

    fn allow(check: &str, until: &str, reason: &str) -> Allow {
        Allow { check: check.to_owned(), until: until.to_owned(), reason: reason.to_owned() }
    }

    #[test]
    fn an_allow_holds_until_its_last_day_and_then_the_finding_is_back() {
        let facts = without_signals();
        let run = |allow: Allow, today: &str| run_all(&facts, &[allow], today);
        assert_eq!(run_all(&facts, &[], "2026-11-24").ending(), Ending::Blocked);
        let by_name = allow("sigterm-unhandled", "2026-11-30", "a batch job");
        let held = run(by_name.clone(), "2026-11-30");
        assert_eq!((held.allowed.len(), held.expiring(), held.blocking()), (1, 1, 0));
        let after = run(by_name, "2026-12-01");
        assert_eq!((after.allowed.len(), after.blocking(), after.notes.len()), (0, 1, 1));
        assert!(after.notes[0].says.en.contains("expired on 2026-11-30"));
        assert_eq!(run(allow("GO040", "2027-11-30", "x"), "2026-11-24").expiring(), 0);
    }

    #[test]
    fn an_allow_without_reason_date_or_check_does_nothing_and_says_so() {
        let facts = without_signals();
        for entry in [
            allow("GO040", "2027-01-01", " "),
            allow("GO040", "soon", "x"),
            allow("GO999", "2027-01-01", "x"),
        ] {
            let run = run_all(&facts, &[entry], "2026-11-24");
            assert_eq!((run.allowed.len(), run.notes.len()), (0, 1));
        }
    }

    #[test]
    fn a_required_unknown_alone_is_not_proven() {
        let mut facts = without_signals();
        if let Some(source) = &mut facts.source {
            source.listens[0].error = ErrorFate::Unclear("run()".to_owned());
        }
        let entry = allow("GO040", "2027-01-01", "x");
        let run = run_all(&facts, &[entry], "2026-11-24");
        assert_eq!(run.ending(), Ending::NotProven);
        assert!(run.unknowns.iter().any(|u| u.code == "GO045"));
        assert_eq!(run_all(&Facts::default(), &[], "2026-11-24").ending(), Ending::Clean);
    }

    #[test]
    fn days_are_counted_over_leap_years() {
        assert_eq!(day_number("1970-01-01"), Some(0));
        assert_eq!(day_number("2000-03-01"), Some(11_017));
        assert_eq!(day_number("2027-03-01"), Some(20_878));
        assert_eq!(day_number("2027-3-1"), None);
        assert_eq!(day_number("2027-13-01"), None);
    }

    #[test]
    fn checks_are_sorted_complete_and_have_all_kinds_of_examples() {
        use crate::checks::Expect;
        let codes: Vec<_> = ALL.iter().map(|c| c.code).collect();
        assert!(codes.is_sorted(), "{codes:?}");
        for check in ALL {
            let texts = [check.title, check.why, check.fix];
            assert!(texts.iter().all(|t| !t.zh.is_empty() && !t.en.is_empty()), "{}", check.code);
            assert_eq!(check.article.zh.is_empty(), check.article.en.is_empty(), "{}", check.code);
            let is_risky = check.fix_kind == crate::finding::FixKind::Risky;
            assert_eq!(is_risky, !check.why_risky.zh.is_empty(), "{}", check.code);
            for kind in [Expect::Bad, Expect::Good, Expect::NearMiss] {
                let has = check.examples.iter().any(|e| e.expect == kind);
                assert!(has, "{} has no {kind:?} example", check.code);
            }
        }
    }
}
