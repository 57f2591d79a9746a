//! Answers that say no: with the reason, and what to do next.

use std::io;

use guanka_core::say::{Said, Text};
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

/// Why something was not done: whatever has both languages, so a bare text is none.
pub(super) trait Reason {
    /// Returns the sentence for people.
    fn reason(self) -> Said;
}

impl Reason for Said {
    fn reason(self) -> Said {
        self
    }
}

impl Reason for Text {
    fn reason(self) -> Said {
        self.said()
    }
}

impl Reason for &io::Error {
    fn reason(self) -> Said {
        obstacle::said(self)
    }
}

/// What is said before a service's settings came.
pub(super) const NOT_CONFIGURED: Text =
    Text { zh: "服务尚未配置", en: "the service is not configured" };

/// What is said before a service's ports are allotted.
pub(super) const NO_PORTS: Text =
    Text { zh: "服务还没有分到端口", en: "the service has no ports" };

/// What is said before a service stands behind nginx.
pub(super) const NO_SHARE: Text =
    Text { zh: "流量份额尚未安装", en: "no share is installed" };

/// Builds the answer for what went wrong under way.
pub(super) fn could_not(why: impl Reason) -> Answer {
    stopped(why.reason())
}

/// Builds the answer for a file that could not be used under way.
pub(super) fn no_file(error: &io::Error) -> Answer {
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
