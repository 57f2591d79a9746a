//! What the gates see. A verdict never contradicts the truth; it may be missing, late or invalid.

use guanka_core::rollout::verdict::Verdict;

use crate::scenario::{Shows, Truth};

/// A gate, as the checkers count its proofs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Gate {
    /// The load gate.
    Load,
    /// The bake.
    Bake,
    /// A canary step.
    Canary(usize),
    /// The full share.
    Settle,
}

impl Gate {
    const fn shows(self) -> Shows {
        match self {
            Self::Load => Shows::Load,
            Self::Bake => Shows::Bake,
            Self::Canary(_) => Shows::Canary,
            Self::Settle => Shows::Full,
        }
    }
}

/// Returns what a gate says after it has watched for so long.
pub fn verdict(truth: Truth, gate: Gate, watched_ms: u64, proof_ms: u64) -> Verdict {
    let proven = watched_ms >= proof_ms || gate == Gate::Load;
    let said = |verdict| if proven { verdict } else { Verdict::NotYet };
    match truth {
        Truth::Good => said(Verdict::Good),
        Truth::Bad(from) if gate.shows() >= from => said(Verdict::Bad),
        // Whether it serves or crashes is not this gate's evidence, and no proof either.
        Truth::Crashes if gate.shows() >= Shows::Canary => Verdict::NotYet,
        Truth::Slow(from) if gate.shows() >= from => Verdict::NotYet,
        Truth::Silent(from) if gate.shows() >= from => Verdict::Invalid,
        _ => said(Verdict::Good),
    }
}
