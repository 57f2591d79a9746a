//! Answers that say no: with the reason, and what to do next.

use guanka_core::say::Said;
use guanka_world::obstacle;
use guanka_world::transport::wire::{Answer, FailedKind};

/// Builds the answer for a driver whose epoch is not the present one.
pub(super) fn fenced(epoch: u64) -> Answer {
    Answer::Failed {
        kind: FailedKind::Fenced,
        why: Said::new(
            format!("纪元 {epoch} 已不是当前租约:另有驱动者接手"),
            format!("epoch {epoch} is not the present lease's: another driver has taken over"),
        ),
        next: Said::new("用 `guanka status` 查看谁在发布", "see who ships with `guanka status`"),
    }
}

/// Builds the answer for what went wrong under way.
pub(super) fn could_not(why: &str) -> Answer {
    stopped(Said::new(why, why))
}

/// Builds the answer for a file that could not be used under way.
pub(super) fn no_file(error: &std::io::Error) -> Answer {
    stopped(obstacle::said(error))
}

/// Builds the answer for what went wrong under way, in both languages.
pub(super) fn stopped(why: Said) -> Answer {
    Answer::Failed {
        kind: FailedKind::CouldNot,
        why,
        next: Said::new(
            "改正后用 `guanka resume` 继续",
            "put it right, then go on with `guanka resume`",
        ),
    }
}

/// Builds the answer for what was not begun.
pub(super) fn refused(why: Said) -> Answer {
    Answer::Failed {
        kind: FailedKind::CouldNot,
        why,
        next: Said::new(
            "什么也没有改动;修好后再试",
            "nothing was changed; put it right and try again",
        ),
    }
}
