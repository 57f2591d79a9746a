//! What a driver tells while it works, as data: the same whether the driver sits in the terminal
//! that shows it or in a controller that somebody else follows.

use guanka_core::facts::Span;
use guanka_core::gates::Judgement;
use guanka_core::report::release::ReleaseReport;
use guanka_core::say::Said;
use serde::{Deserialize, Serialize};

use crate::failure::codes::{AGENT, ALL};
use crate::failure::{ErrorCode, Failure};

/// One thing told.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "told", content = "with")]
pub(crate) enum Told {
    /// The rollout has moved.
    Moved {
        /// The code of the state before.
        before: String,
        /// The code of the state now.
        state: String,
        /// How long the one before took.
        took_ms: u64,
        /// In a sentence.
        says: Said,
    },
    /// Something beside the steps.
    Line {
        /// What kind: `state`, `needs`, `note`.
        event: String,
        /// The code of a state, or the kind again.
        state: String,
        /// In a sentence.
        says: Said,
    },
    /// How far a long effect is.
    Working {
        /// In a sentence.
        says: Said,
    },
    /// What a gate sees now.
    Judged {
        /// What it found.
        judgement: Box<Judgement>,
    },
    /// Something failed, which the rollout itself has taken in.
    Failed {
        /// What.
        failure: ToldFailure,
    },
    /// The report of the end.
    Reported {
        /// The report.
        report: Box<ReleaseReport>,
    },
}

/// A failure on its way to another process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ToldFailure {
    code: String,
    doing: Said,
    why: Said,
    next: Said,
    span: Option<Span>,
}

/// Who is told.
pub(crate) trait Ear: Send + Sync {
    /// Takes in one thing; it never waits for anybody.
    fn hear(&self, told: Told);
}

/// Nobody: what is told is told again by whoever drives next.
pub(crate) struct Deaf;

impl Ear for Deaf {
    fn hear(&self, _told: Told) {}
}

impl Told {
    /// Returns whether a newer one of its kind makes it worthless.
    pub(crate) const fn is_passing(&self) -> bool {
        matches!(self, Self::Working { .. } | Self::Judged { .. })
    }
}

impl From<&Failure> for ToldFailure {
    fn from(failure: &Failure) -> Self {
        Self {
            code: failure.kind.code.to_owned(),
            doing: failure.doing.clone(),
            why: failure.why.clone(),
            next: failure.next.clone(),
            span: failure.span.clone(),
        }
    }
}

impl From<ToldFailure> for Failure {
    fn from(told: ToldFailure) -> Self {
        // Both sides speak one protocol, so the code is known; whatever it is, the words stand.
        let known = ALL.iter().copied().find(|kind| kind.code == told.code);
        let kind: &'static ErrorCode = known.unwrap_or(&AGENT);
        let failed = Self::new(kind, told.doing, told.why).next(told.next);
        match told.span {
            Some(span) => failed.at(span),
            None => failed,
        }
    }
}

#[cfg(test)]
mod tests {
    use guanka_core::say::Said;

    use super::{Told, ToldFailure};
    use crate::failure::codes::{ALL, LOCKED};
    use crate::failure::{Exit, Failure};

    #[test]
    fn every_failure_keeps_its_code_its_exit_and_its_words_over_the_wire() {
        for kind in ALL {
            let words = |text: &str| Said::new(format!("{text} 中"), text);
            let failed = Failure::new(kind, words("doing"), words("why")).next(words("next"));
            let told = Told::Failed { failure: ToldFailure::from(&failed) };
            let text = serde_json::to_string(&told).expect("written");
            let Ok(Told::Failed { failure }) = serde_json::from_str(&text) else {
                panic!("{text} does not read back");
            };
            let back = Failure::from(failure);
            assert_eq!(back.kind.code, kind.code);
            assert_eq!(back.kind.exit, kind.exit);
            assert_eq!((back.why, back.next), (words("why"), words("next")));
        }
        assert_eq!(LOCKED.exit, Exit::Locked);
    }
}
