//! What is looked at before any verdict: whether the data path can be believed. A fault here makes
//! the verdict invalid; it is never held against the release.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::special::chi_square_p;
use crate::name::Arm;
use crate::quantity::{Millis, SharePercent};
use crate::say::Said;
use crate::signals::series::{SlotsSeen, Timeline};

/// Below this share of the expected windows nothing is judged.
pub const LEAST_COVERAGE: f64 = 0.90;
/// Below this p-value a split of single requests is broken: guanka's cut, looked at once a segment.
pub const SPLIT_P: f64 = 0.002;

/// How much of a stretch of time was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coverage {
    /// Windows that all hosts handed in.
    pub seen: u64,
    /// Windows that they should have handed in.
    pub expected: u64,
}

/// Why nothing can be said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// Which guard speaks.
    pub guard: Guard,
    /// What it saw, in a sentence with the values.
    pub said: Said,
}

/// The guards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Guard {
    /// Windows are missing.
    Coverage,
    /// A line's arm contradicts its slot, or a split is not the configured one.
    SampleRatio,
    /// A counter or a whole source that the gate needs is not there.
    Source,
    /// The clock jumped.
    Clock,
    /// The load generator was late by its own fault.
    Generator,
    /// Load made users' own requests slow, and was stopped.
    Bystanders,
}

/// Two clocks read at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockReading {
    /// The wall clock, in milliseconds since 1970.
    pub wall_ms: u64,
    /// A clock that never jumps, in milliseconds.
    pub steady_ms: u64,
}

impl Coverage {
    /// Counts the windows of a stretch.
    pub fn of(timeline: &Timeline, range: Range<usize>) -> Self {
        let (seen, expected) = timeline.seen(range);
        Self { seen, expected }
    }

    /// Returns the share that was seen; all of nothing was.
    pub fn share(&self) -> f64 {
        if self.expected == 0 { 1.0 } else { self.seen as f64 / self.expected as f64 }
    }

    /// Returns the fault, if too little was seen.
    pub fn fault(&self) -> Option<Fault> {
        // In whole numbers, so that exactly 90 % is exactly enough.
        let is_enough = self.seen * 100 >= self.expected * (LEAST_COVERAGE * 100.0) as u64;
        (!is_enough).then(|| {
            let percent = (self.share() * 1000.0).floor() / 10.0;
            let (seen, expected) = (self.seen, self.expected);
            Fault {
                guard: Guard::Coverage,
                said: Said::new(
                    format!("应有 {expected} 个窗口,只收到 {seen} 个({percent}%),少于 90%。"),
                    format!(
                        "only {seen} of {expected} windows arrived ({percent}%), fewer than 90%."
                    ),
                ),
            }
        })
    }
}

/// Returns the fault of a source that is not there at all.
pub fn no_source(what: &str) -> Fault {
    Fault {
        guard: Guard::Source,
        said: Said::new(
            format!("缺少数据来源:{what}。"),
            format!("the source of the data is missing: {what}."),
        ),
    }
}

/// Checks the lines of one window against their slots. `in_force` holds green's shares that were in
/// force in it and, for grace, in the windows before and behind.
pub fn sticky_split(seen: SlotsSeen, in_force: &[SharePercent]) -> Option<Fault> {
    let least = in_force.iter().min()?;
    let most = in_force.iter().max()?;
    let wrong_green = seen.green.filter(|range| range.greatest.get() >= most.get());
    let wrong_blue = seen.blue.filter(|range| range.least.get() < least.get());
    let (slot, arm) = match (wrong_green, wrong_blue) {
        (Some(range), _) => (range.greatest.get(), Arm::Green),
        (None, Some(range)) => (range.least.get(), Arm::Blue),
        (None, None) => return None,
    };
    Some(Fault {
        guard: Guard::SampleRatio,
        said: Said::new(
            format!("日志中槽位 {slot} 的请求走了 {arm},与绿臂比例 {most} 矛盾:分流不可信。"),
            format!(
                "a line of slot {slot} went to {arm}, against green's share of {most}: the split \
                 cannot be believed."
            ),
        ),
    })
}

/// Returns the chi-square statistic of a split of single requests and its p-value.
pub fn split_statistic(candidate: u64, stable: u64, share: SharePercent) -> (f64, f64) {
    let all = (candidate + stable) as f64;
    let expected = all * f64::from(share.get()) / 100.0;
    let rest = all - expected;
    if expected <= 0.0 || rest <= 0.0 {
        let is_clean = if expected <= 0.0 { candidate == 0 } else { stable == 0 };
        return if is_clean { (0.0, 1.0) } else { (f64::INFINITY, 0.0) };
    }
    let away = (candidate as f64 - expected).powi(2);
    let statistic = away / expected + away / rest;
    (statistic, chi_square_p(statistic))
}

/// Checks a split of single requests against the configured share.
pub fn request_split(candidate: u64, stable: u64, share: SharePercent) -> Option<Fault> {
    let (_, p) = split_statistic(candidate, stable, share);
    (p < SPLIT_P).then(|| Fault {
        guard: Guard::SampleRatio,
        said: Said::new(
            format!(
                "候选臂 {candidate} 个请求、稳定臂 {stable} 个,与设定的 {share} 不符(p = {p:.2e})。"
            ),
            format!(
                "{candidate} requests on the candidate and {stable} on the stable arm do not fit \
                 the share of {share} (p = {p:.2e})."
            ),
        ),
    })
}

/// Checks that the wall clock went forward as the steady one did, within a window's length. A jump
/// neither ends a bake nor starts it anew: its windows are void.
pub fn clock(before: ClockReading, now: ClockReading, window: Millis) -> Option<Fault> {
    let wall = i128::from(now.wall_ms) - i128::from(before.wall_ms);
    let steady = i128::from(now.steady_ms) - i128::from(before.steady_ms);
    let jump_ms = wall - steady;
    (jump_ms.unsigned_abs() > u128::from(window.0)).then(|| Fault {
        guard: Guard::Clock,
        said: Said::new(
            format!("系统时钟跳变了 {:.1} 秒。", jump_ms as f64 / 1000.0),
            format!("the system clock jumped by {:.1} s.", jump_ms as f64 / 1000.0),
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signals::slot::Slot;
    use crate::signals::window::SlotRange;

    fn share(percent: u8) -> SharePercent {
        SharePercent::new(percent).expect("a percentage")
    }

    fn slots(least: u8, greatest: u8) -> Option<SlotRange> {
        let slot = |number| Slot::new(number).expect("a slot");
        Some(SlotRange { least: slot(least), greatest: slot(greatest) })
    }

    #[test]
    fn ninety_percent_of_the_windows_is_enough_and_less_is_not() {
        let fault = |seen| Coverage { seen, expected: 1000 }.fault();
        assert!(fault(900).is_none());
        assert_eq!(fault(899).expect("too few").guard, Guard::Coverage);
        assert!(Coverage { seen: 89, expected: 100 }.fault().is_some());
        assert!(Coverage { seen: 0, expected: 0 }.fault().is_none());
    }

    #[test]
    fn the_request_split_matches_the_published_vectors() {
        let (statistic, p) = split_statistic(130, 870, share(10));
        assert!((statistic - 10.0).abs() < 1e-12 && (p - 0.001_565_4).abs() < 5e-8, "{p}");
        let (statistic, p) = split_statistic(110, 890, share(10));
        assert!((statistic - 1.111).abs() < 5e-4 && (p - 0.292).abs() < 5e-4, "{p}");
        let (statistic, p) = split_statistic(140, 860, share(10));
        assert!((statistic - 17.78).abs() < 5e-3 && (p - 2.48e-5).abs() < 5e-8, "{p}");
        assert!(request_split(130, 870, share(10)).is_some());
        assert!(request_split(110, 890, share(10)).is_none());
        assert!(request_split(1, 999, share(0)).is_some());
        assert!(request_split(0, 1000, share(0)).is_none());
    }

    #[test]
    fn with_sticky_keys_one_contradicting_line_is_enough_and_uneven_counts_are_none() {
        let fine = SlotsSeen { green: slots(0, 9), blue: slots(10, 99) };
        assert_eq!(sticky_split(fine, &[share(10)]), None);
        let green_50 = SlotsSeen { green: slots(0, 50), ..fine };
        assert_eq!(
            sticky_split(green_50, &[share(10)]).expect("a fault").guard,
            Guard::SampleRatio
        );
        let blue_9 = SlotsSeen { blue: slots(9, 99), ..fine };
        assert!(sticky_split(blue_9, &[share(10)]).is_some());
        // Within a window of a shift from 10 to 60 both shares are right.
        assert_eq!(sticky_split(green_50, &[share(10), share(60)]), None);
    }

    #[test]
    fn a_clock_that_jumps_three_days_is_noticed_either_way() {
        let window = Millis(10_000);
        let before = ClockReading { wall_ms: 1_000_000_000, steady_ms: 5000 };
        let later = |wall_ms| ClockReading { wall_ms, steady_ms: 15_000 };
        assert!(clock(before, later(1_000_010_500), window).is_none());
        assert!(clock(before, later(1_259_210_000), window).is_some());
        assert!(clock(before, later(740_810_000), window).is_some());
    }
}
