//! The bench on which a check gathers what it found and what it could not tell, so that no check
//! can forget the third value.

use super::{Check, Missing, Outcome};
use crate::facts::nginx::Nginx;
use crate::facts::{Fact, Provenance, Reason};
use crate::finding::{Evidence, Finding};
use crate::say::Said;

/// What a check has gathered so far.
#[derive(Default)]
pub(super) struct Judgement {
    findings: Vec<Finding>,
    missing: Vec<Missing>,
    has_looked: bool,
}

impl Judgement {
    /// Notes that the thing the check is about is there.
    pub(super) fn looked(&mut self) {
        self.has_looked = true;
    }

    /// Adds a fault.
    pub(super) fn find(&mut self, finding: Finding) {
        self.findings.push(finding);
    }

    /// Adds a fact that was missing, once.
    pub(super) fn miss(&mut self, what: Said, reason: Reason) {
        self.missing(Missing { what, reason });
    }

    /// Adds a fact that was missing, once.
    pub(super) fn missing(&mut self, missing: Missing) {
        if !self.missing.contains(&missing) {
            self.missing.push(missing);
        }
    }

    /// Returns a fact's value, or notes that it was missing.
    pub(super) fn need<'a, T>(&mut self, fact: &'a Fact<T>, what: &Said) -> Option<&'a T> {
        match reason_of(fact) {
            None => fact.known(),
            Some(reason) => {
                self.miss(what.clone(), reason);
                None
            }
        }
    }

    /// Notes every file that nginx includes and that could not be read: what is not seen there
    /// cannot be called absent.
    pub(super) fn need_all_includes(&mut self, nginx: &Nginx) {
        for (file, reason) in &nginx.unreadable {
            self.miss(
                Said::new(format!("nginx 引入的文件 {file}"), format!("the nginx include {file}")),
                reason.clone(),
            );
        }
    }

    /// Closes the bench.
    pub(super) fn end(self) -> Outcome {
        match (self.findings.is_empty(), self.missing.is_empty()) {
            (false, true) => Outcome::Found(self.findings),
            (false, false) => Outcome::Partly(self.findings, self.missing),
            (true, false) => Outcome::Unknown(self.missing),
            (true, true) if self.has_looked => Outcome::Clean,
            (true, true) => Outcome::NotApplicable,
        }
    }
}

impl Check {
    /// Builds a finding of this check with its usual severity, confidence and advice.
    pub(super) fn finding(&self, message: Said, primary: Evidence) -> Finding {
        Finding {
            code: self.code.to_owned(),
            name: self.name.to_owned(),
            checkpoint: self.checkpoint,
            severity: self.base,
            base: self.base,
            exposure: None,
            confidence: self.confidence,
            message,
            fingerprint: fingerprint(self.code, &primary.from),
            primary,
            related: Vec::new(),
            advice: self.fix.said(),
            fix_kind: self.fix_kind,
        }
    }
}

/// Returns why a fact has no single value.
pub(super) fn reason_of<T>(fact: &Fact<T>) -> Option<Reason> {
    match fact {
        Fact::Known(_) => None,
        Fact::Unknown(reason) => Some(reason.clone()),
        Fact::Conflict(values) => {
            let places: Vec<String> = values.iter().map(|v| v.from.place()).collect();
            Some(Reason::NotThere(format!("≠: {}", places.join(", "))))
        }
    }
}

/// Returns where a fact's value comes from, or a place that stands for it.
pub(super) fn from_of<T>(fact: &Fact<T>, otherwise: &Provenance) -> Provenance {
    match fact {
        Fact::Known(sourced) => sourced.from.clone(),
        _ => fact.span().map_or_else(|| otherwise.clone(), |s| Provenance::Span(s.clone())),
    }
}

/// Returns what stays the same when lines move: the code, the file, and the line's text with its
/// white space collapsed. FNV-1a is enough: nothing here has to withstand an attack.
fn fingerprint(code: &str, from: &Provenance) -> String {
    let (file, context) = match from {
        Provenance::Span(span) => {
            (span.file.clone(), span.excerpt.split_whitespace().collect::<Vec<_>>().join(" "))
        }
        other => (other.place(), String::new()),
    };
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in format!("{code}\0{file}\0{context}").bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    format!("{hash:016x}")
}

#[cfg(test)]
mod tests {
    use super::{Judgement, fingerprint};
    use crate::checks::Outcome;
    use crate::facts::{Fact, Provenance, Reason, Span};
    use crate::say::Said;

    #[test]
    fn nothing_looked_at_is_not_clean_and_a_missing_fact_is_unknown() {
        assert_eq!(Judgement::default().end(), Outcome::NotApplicable);
        let mut looked = Judgement::default();
        looked.looked();
        assert_eq!(looked.end(), Outcome::Clean);
        let mut missing = Judgement::default();
        missing.looked();
        let fact: Fact<u8> = Fact::Unknown(Reason::NotThere("x".to_owned()));
        assert_eq!(missing.need(&fact, &Said::new("甲", "a")), None);
        assert!(matches!(missing.end(), Outcome::Unknown(m) if m.len() == 1));
    }

    #[test]
    fn a_fingerprint_survives_moved_and_indented_lines() {
        let span = |line, excerpt: &str| {
            Provenance::Span(Span {
                file: "main.go".to_owned(),
                line,
                column: 1,
                length: 1,
                excerpt: excerpt.to_owned(),
            })
        };
        let first = fingerprint("XX034", &span(3, "\tIdleTimeout:  1,"));
        assert_eq!(first, fingerprint("XX034", &span(53, "IdleTimeout: 1,")));
        assert_ne!(first, fingerprint("XX034", &span(3, "IdleTimeout: 2,")));
    }
}
