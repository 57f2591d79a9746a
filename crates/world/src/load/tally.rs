//! The counters of one thread: each request enters exactly once, at the end of its life, with the
//! time since it was due.

use guanka_core::quantity::Millis;

use super::plan::{LoadPlan, SLICES_MAX};
use super::run::{ErrorKind, KindCounts, Outcome, SliceCounts};
use super::selfcheck::SelfCheck;

/// A request as it is counted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ended {
    /// Its kind's place in the plan.
    pub(super) kind: usize,
    /// When it was due, from the start.
    pub(super) due_ns: u64,
    /// When it was sent; `None` if it never was.
    pub(super) sent_ns: Option<u64>,
    /// When it ended.
    pub(super) end_ns: u64,
    /// How.
    pub(super) outcome: Outcome,
    /// Whether that is bad.
    pub(super) is_bad: bool,
}

/// The counters.
#[derive(Debug)]
pub(super) struct Tally {
    warm_up_ns: u64,
    slice_ns: u64,
    thresholds_ns: Vec<u64>,
    /// Counts by kind, without the warm-up.
    pub(super) kinds: Vec<KindCounts>,
    /// Counts by slice and kind, without the warm-up.
    pub(super) slices: Vec<Vec<SliceCounts>>,
    /// How punctual the thread was, without the warm-up.
    pub(super) self_check: SelfCheck,
    /// All that ended, the warm-up too.
    pub(super) ended: u64,
    /// All that ended badly, the warm-up too.
    pub(super) ended_badly: u64,
}

impl Tally {
    /// Builds empty counters.
    pub(super) fn new(plan: &LoadPlan) -> Self {
        let kinds = plan.requests.iter().map(|r| KindCounts::new(&r.name, &plan.thresholds));
        Self {
            warm_up_ns: nanos(plan.warm_up),
            slice_ns: nanos(plan.slice),
            thresholds_ns: plan.thresholds.iter().map(|&t| nanos(t)).collect(),
            kinds: kinds.collect(),
            slices: Vec::new(),
            self_check: SelfCheck::new(),
            ended: 0,
            ended_badly: 0,
        }
    }

    /// Counts a request that ended.
    pub(super) fn count(&mut self, ended: &Ended) {
        self.ended += 1;
        self.ended_badly += u64::from(ended.is_bad);
        let Some(since_warm_up) = ended.due_ns.checked_sub(self.warm_up_ns) else { return };
        let latency_ns = ended.end_ns.saturating_sub(ended.due_ns);
        let slice = self.slice(since_warm_up);
        let kind = &mut self.kinds[ended.kind];
        let counts = &mut self.slices[slice][ended.kind];
        kind.requests += 1;
        counts.requests += 1;
        kind.bad += u64::from(ended.is_bad);
        counts.bad += u64::from(ended.is_bad);
        let never_answered = match ended.outcome {
            Outcome::Status(status) => {
                *kind.statuses.entry(status).or_default() += 1;
                false
            }
            Outcome::Error(error) => {
                *kind.errors.entry(error).or_default() += 1;
                // Nobody knows how long these would have taken: they are over every threshold.
                matches!(error, ErrorKind::Timeout | ErrorKind::Unsent | ErrorKind::Unfinished)
            }
        };
        for (index, &threshold_ns) in self.thresholds_ns.iter().enumerate() {
            let is_over = never_answered || latency_ns > threshold_ns;
            kind.over[index].count += u64::from(is_over);
            counts.over[index] += u64::from(is_over);
            counts.not_good_within[index] += u64::from(is_over || ended.is_bad);
        }
        kind.latency.record_us(latency_ns / 1000);
        if let (Outcome::Status(_), Some(sent_ns)) = (ended.outcome, ended.sent_ns) {
            kind.naive.record_us(ended.end_ns.saturating_sub(sent_ns) / 1000);
        }
        self.self_check.requests += 1;
        if ended.outcome == Outcome::Error(ErrorKind::OutOfSockets) {
            self.self_check.out_of_sockets += 1;
        }
    }

    /// Notes how late a request left; `None` when no connection was free when it was due.
    pub(super) fn left(&mut self, due_ns: u64, late_ns: Option<u64>) {
        if due_ns >= self.warm_up_ns {
            self.self_check.lateness.record_us(late_ns.unwrap_or(0) / 1000);
            self.self_check.waited_for_busy += u64::from(late_ns.is_none());
        }
    }

    /// Notes that a request was given up before it was sent.
    pub(super) fn gave_up(&mut self, due_ns: u64, late_ns: Option<u64>) {
        self.left(due_ns, late_ns);
        if due_ns >= self.warm_up_ns {
            self.self_check.unsent += 1;
            self.self_check.unsent_while_free += u64::from(late_ns.is_some());
        }
    }

    /// Returns the place of a time's slice, which exists afterwards.
    fn slice(&mut self, since_warm_up_ns: u64) -> usize {
        let index = ((since_warm_up_ns / self.slice_ns) as usize).min(SLICES_MAX - 1);
        while self.slices.len() <= index {
            let empty = SliceCounts::new(self.thresholds_ns.len());
            self.slices.push(vec![empty; self.kinds.len()]);
        }
        index
    }
}

/// Returns a duration in nanoseconds.
pub(super) fn nanos(time: Millis) -> u64 {
    time.0.saturating_mul(1_000_000)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use guanka_core::quantity::{Millis, Rate};

    use super::{Ended, Tally};
    use crate::load::plan::LoadPlan;
    use crate::load::run::{ErrorKind, Outcome};

    const SECOND: u64 = 1_000_000_000;

    fn ended(due_ns: u64, latency_ns: u64, outcome: Outcome) -> Ended {
        let is_bad = matches!(outcome, Outcome::Error(_));
        let end_ns = due_ns + latency_ns;
        Ended { kind: 0, due_ns, sent_ns: Some(end_ns - 1000), end_ns, outcome, is_bad }
    }

    #[test]
    fn warm_up_is_cut_slices_follow_the_due_time_and_lost_requests_are_over_every_threshold() {
        let target = ([127, 0, 0, 1], 80).into();
        let mut plan = LoadPlan::new(target, "/", Rate(1.0), Some(Millis(30_000)));
        plan.warm_up = Millis(1000);
        plan.thresholds = vec![Millis(100), Millis(5000)];
        let mut tally = Tally::new(&plan);
        tally.count(&ended(0, SECOND, Outcome::Status(200)));
        tally.count(&ended(SECOND, 100_000_000, Outcome::Status(200)));
        tally.count(&ended(2 * SECOND, 100_000_001, Outcome::Status(200)));
        tally.count(&ended(11 * SECOND, 1000, Outcome::Error(ErrorKind::Timeout)));
        tally.count(&ended(12 * SECOND, 1000, Outcome::Error(ErrorKind::Reset)));
        let kind = &tally.kinds[0];
        assert_eq!((kind.requests, kind.bad), (4, 2));
        assert_eq!(kind.statuses, BTreeMap::from([(200, 2)]));
        assert_eq!((kind.over(Millis(100)), kind.over(Millis(5000))), (Some(2), Some(1)));
        assert_eq!((kind.latency.count(), kind.naive.count()), (4, 2));
        let slices: Vec<_> = tally.slices.iter().map(|s| (s[0].requests, s[0].bad)).collect();
        assert_eq!(slices, [(2, 0), (2, 2)]);
        assert_eq!(tally.slices[1][0].over, [1, 1]);
        assert_eq!(tally.slices[1][0].not_good_within, [2, 2]);
        assert_eq!(tally.ended, 5);
    }
}
