//! How a rollout ended, or what it waits for, in the terms of guanka's exit codes.

use serde::{Deserialize, Serialize};

use super::state::{BlockCause, HeldReason, Rollout, State};
use crate::say::Text;

/// How a rollout ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// The release serves everywhere, or did already.
    Promoted,
    /// It waits where `--until` asked for it.
    HeldAsked,
    /// A gate refused it; no user's request was touched.
    BlockedByGate,
    /// It could not be done; no user's request was touched.
    CouldNot,
    /// It was tried and taken back; the stable release is whole.
    TakenBack,
    /// A host is unknown or partial, or there is no way back.
    NeedsHuman,
    /// Nothing is proven yet.
    NotProven,
    /// A person stopped it before any user's request was touched, or a newer one took its place.
    Cancelled,
}

impl Ending {
    /// Returns the exit code.
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Promoted | Self::HeldAsked => 0,
            Self::CouldNot | Self::Cancelled => 1,
            Self::BlockedByGate => 3,
            Self::TakenBack => 5,
            Self::NeedsHuman => 6,
            Self::NotProven => 9,
        }
    }

    /// Returns the words for it.
    pub const fn title(self) -> Text {
        match self {
            Self::Promoted => Text { zh: "已发布", en: "released" },
            Self::HeldAsked => Text { zh: "按要求暂停", en: "stopped where asked" },
            Self::BlockedByGate => Text { zh: "被关卡拦下", en: "blocked by a gate" },
            Self::CouldNot => Text { zh: "无法完成", en: "could not be done" },
            Self::TakenBack => Text { zh: "已回退", en: "taken back" },
            Self::NeedsHuman => Text { zh: "需要人工处理", en: "needs a person" },
            Self::NotProven => Text { zh: "尚未证明", en: "not proven" },
            Self::Cancelled => Text { zh: "已取消", en: "cancelled" },
        }
    }
}

impl Rollout {
    /// Returns how the rollout ended, or nothing while it still moves by itself.
    pub fn ending(&self) -> Option<Ending> {
        match &self.state {
            State::Done => Some(Ending::Promoted),
            State::Blocked { cause } => Some(blocked(cause)),
            State::RolledBack { .. } => Some(Ending::TakenBack),
            State::RollbackFailed { .. } => Some(Ending::NeedsHuman),
            State::Superseded { .. } | State::Cancelled => Some(Ending::Cancelled),
            State::Held { reason, .. } => Some(held(reason)),
            _ => None,
        }
    }
}

const fn blocked(cause: &BlockCause) -> Ending {
    match cause {
        BlockCause::Checks
        | BlockCause::Load
        | BlockCause::Bake
        | BlockCause::HardStop(_)
        | BlockCause::NotReady(_)
        | BlockCause::MarkedBad => Ending::BlockedByGate,
        BlockCause::Spec(_)
        | BlockCause::Build
        | BlockCause::OtherRelease
        | BlockCause::Stage(_) => Ending::CouldNot,
    }
}

const fn held(reason: &HeldReason) -> Ending {
    match reason {
        HeldReason::Asked(_) => Ending::HeldAsked,
        HeldReason::ChecksUnknown | HeldReason::Invalid | HeldReason::Insufficient => {
            Ending::NotProven
        }
        HeldReason::TimedOut | HeldReason::HostSilent(_) => Ending::CouldNot,
        HeldReason::HostUnknown(_) | HeldReason::NoWayBack(_) | HeldReason::NoWayBackProven => {
            Ending::NeedsHuman
        }
    }
}
