//! What the driver does again and again while a state lasts: which gate to judge, which canary
//! leases to renew, when to look next. It follows from the state and the time, so nothing of it
//! lives in a timer, and a restart loses nothing.

use super::effect::{Action, CANARY_LEASE, Effect, Key, Kind};
use super::event::Event;
use super::host::{Exposure, Keeping};
use super::state::{BakeWindow, HeldReason, Rollout, State};
use super::verdict::Verdict;
use crate::quantity::SharePercent;

/// A judgement that says the same as the last is written down again after this time, so that a
/// gate that still sees is told from one that does not.
const REPEAT_MS: u64 = 60_000;

/// A gate to be judged now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judge {
    /// The bake; answer `BakeJudged`.
    Bake,
    /// A canary step; answer `CanaryJudged`.
    Canary {
        /// The step, from 0.
        step: usize,
        /// The attempt.
        attempt: u32,
    },
    /// The full share; answer `SettleJudged`.
    Settle {
        /// The attempt.
        attempt: u32,
    },
}

/// What the driver does while the state lasts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wants {
    /// The gate to judge. An event that is no news (`is_news`) need not be written.
    pub judge: Option<Judge>,
    /// The leases to renew, every `RENEW_EVERY`. A renewal is no journal event and is not kept
    /// for a repeat; a host renews only a lease that still runs.
    pub renew: Vec<Effect>,
    /// When the next move is due: at that time the driver writes a `Tick`.
    pub next: Option<u64>,
}

/// Returns what the driver does at a steady time.
pub fn wants(rollout: &Rollout, now: u64) -> Wants {
    let next = next(rollout);
    // What is due is written before any lease is renewed: a driver that is behind extends nothing.
    let behind = next.is_some_and(|next| next <= now);
    let renew = if behind { Vec::new() } else { renewals(rollout) };
    Wants { judge: judge(rollout), renew, next }
}

/// Returns whether an event changes anything; only a repeated judgement does not.
pub fn is_news(rollout: &Rollout, now: u64, event: &Event) -> bool {
    let verdict = match event {
        Event::BakeJudged { verdict, .. }
        | Event::CanaryJudged { verdict, .. }
        | Event::SettleJudged { verdict, .. } => *verdict,
        _ => return true,
    };
    let decides = match rollout.state {
        State::Baking { until } => now >= until && verdict != Verdict::Invalid,
        _ => verdict == Verdict::Bad,
    };
    let canary = rollout.spec.gates.canary.as_ref();
    // Four looks fit into the grace, so one lost look never makes a seeing gate blind.
    let repeat = canary.map_or(REPEAT_MS, |canary| REPEAT_MS.min(canary.invalid_grace.0 / 4));
    let repeated = matches!(
        rollout.last_verdict,
        Some((last, at)) if last == verdict && now < at.saturating_add(repeat)
    );
    decides || !repeated
}

fn judge(rollout: &Rollout) -> Option<Judge> {
    let attempt = rollout.attempt;
    match &rollout.state {
        State::Baking { .. } if rollout.bake == BakeWindow::Counting => Some(Judge::Bake),
        _ if rollout.spec.gates.canary.is_none() => None,
        State::Canary { step, .. } => Some(Judge::Canary { step: *step, attempt }),
        State::Promoting { .. } | State::Settling { .. } => Some(Judge::Settle { attempt }),
        State::Held { reason: HeldReason::Asked(_), .. } if rollout.is_watching() => {
            let step = rollout.spec.steps().len().saturating_sub(1);
            Some(Judge::Canary { step, attempt })
        }
        _ => None,
    }
}

fn renewals(rollout: &Rollout) -> Vec<Effect> {
    let runs = rollout.is_watching() || rollout.state == State::Keeping;
    if !runs || rollout.spec.is_first() {
        return Vec::new();
    }
    rollout
        .hosts
        .iter()
        .filter(|(_, host)| {
            host.exposure == Exposure::Possible
                && host.commanded > SharePercent::NONE
                && host.keeping == Keeping::Leased
        })
        .map(|(name, host)| Effect {
            key: Key {
                release: rollout.release().release.clone(),
                seq: host.share_seq,
                host: Some(name.clone()),
                kind: Kind::Renew,
            },
            epoch: rollout.epoch,
            action: Action::RenewCanaryLease { host: name.clone(), ttl: CANARY_LEASE },
        })
        .collect()
}

fn next(rollout: &Rollout) -> Option<u64> {
    let end = match &rollout.state {
        State::Canary { step, since: Some(since), proof: Some(_) } => {
            let hold = rollout.spec.steps().get(*step).map_or(0, |step| step.hold.0);
            Some(since.saturating_add(hold))
        }
        State::Settling { until, proof } if proof.is_some() || is_unjudged(rollout) => Some(*until),
        _ => None,
    };
    [end, rollout.deadline, rollout.blind_at()].into_iter().flatten().min()
}

fn is_unjudged(rollout: &Rollout) -> bool {
    rollout.spec.gates.canary.is_none() || rollout.spec.is_first()
}
