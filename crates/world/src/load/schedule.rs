//! Due times. They follow from the rate and the seed alone and never wait for an answer; what is
//! due and not yet sent lies between the head and now, so a queue of any length takes no memory.

use super::plan::{Arrivals, LoadPlan};

/// A small generator of random numbers (SplitMix64).
#[derive(Clone, Debug)]
pub(super) struct Random(u64);

/// The due times of one thread.
#[derive(Clone, Debug)]
pub(super) struct Schedule {
    next_ns: u64,
    index: u64,
    lane: u64,
    lanes: u64,
    period_ns: f64,
    clock_ns: f64,
    random: Option<Random>,
}

/// Mixes 64 bits so that neighbours have nothing in common.
pub(super) fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Random {
    /// Begins at a seed.
    pub(super) fn new(seed: u64) -> Self {
        Self(mix(seed))
    }

    /// Returns the next 64 bits.
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(1);
        mix(self.0)
    }

    /// Returns a number from 0 up to, not including, a bound.
    pub(super) fn below(&mut self, bound: u32) -> u32 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u32
    }

    /// Returns a gap between two independent arrivals whose mean is 1.
    fn gap(&mut self) -> f64 {
        let unit = (self.next() >> 11) as f64 / (1u64 << 53) as f64;
        -(1.0 - unit).ln()
    }
}

impl Schedule {
    /// Builds the schedule of one of the plan's threads; all threads together give the plan's rate.
    pub(super) fn new(plan: &LoadPlan, lane: usize) -> Self {
        let lanes = plan.threads as f64;
        let random = match plan.arrivals {
            Arrivals::Constant => None,
            Arrivals::Poisson => Some(Random::new(plan.seed ^ mix(lane as u64 + 0x10ad))),
        };
        let mut schedule = Self {
            next_ns: (lane as f64 * 1e9 / plan.rate.0) as u64,
            index: 0,
            lane: lane as u64,
            lanes: plan.threads as u64,
            period_ns: lanes * 1e9 / plan.rate.0,
            clock_ns: 0.0,
            random,
        };
        if let Some(random) = &mut schedule.random {
            schedule.clock_ns = random.gap() * schedule.period_ns;
            schedule.next_ns = schedule.clock_ns as u64;
        }
        schedule
    }

    /// Returns the due time of the next request, in nanoseconds from the start.
    pub(super) fn due_ns(&self) -> u64 {
        self.next_ns
    }

    /// Returns the next request's number over all threads.
    pub(super) fn number(&self) -> u64 {
        self.index * self.lanes + self.lane
    }

    /// Goes on to the request after it.
    pub(super) fn advance(&mut self) {
        self.index += 1;
        match &mut self.random {
            Some(random) => {
                self.clock_ns += random.gap() * self.period_ns;
                self.next_ns = self.clock_ns as u64;
            }
            None => {
                let share = self.lane as f64 / self.lanes as f64;
                self.next_ns = ((self.index as f64 + share) * self.period_ns) as u64;
            }
        }
    }

    /// Goes on to the first request due at or after a time and returns how many were passed.
    pub(super) fn skip_to(&mut self, until_ns: u64) -> u64 {
        let before = self.index;
        if self.random.is_none() && until_ns > self.next_ns {
            // Jumps to two before the aim; rounding is left to the steps.
            let ahead = (until_ns - self.next_ns) as f64 / self.period_ns;
            self.index += (ahead as u64).saturating_sub(2);
        }
        while self.next_ns < until_ns {
            self.advance();
        }
        self.index - before
    }
}

#[cfg(test)]
mod tests {
    use guanka_core::quantity::{Millis, Rate};

    use super::Schedule;
    use crate::load::plan::{Arrivals, LoadPlan};

    fn plan(rate: f64, threads: usize, arrivals: Arrivals) -> LoadPlan {
        let target = ([127, 0, 0, 1], 80).into();
        let plan = LoadPlan::new(target, "/", Rate(rate), Some(Millis(1000)));
        LoadPlan { threads, arrivals, ..plan }
    }

    fn dues_in_a_second(plan: &LoadPlan, lane: usize) -> Vec<u64> {
        let mut schedule = Schedule::new(plan, lane);
        let mut dues = Vec::new();
        while schedule.due_ns() < 1_000_000_000 {
            dues.push(schedule.due_ns());
            schedule.advance();
        }
        dues
    }

    #[test]
    fn two_threads_interleave_to_the_plans_rate() {
        let plan = plan(1000.0, 2, Arrivals::Constant);
        let mut dues = dues_in_a_second(&plan, 0);
        dues.extend(dues_in_a_second(&plan, 1));
        dues.sort_unstable();
        assert_eq!(dues.len(), 1000);
        assert!(dues.windows(2).all(|pair| (pair[1] - pair[0]).abs_diff(1_000_000) <= 1));
    }

    #[test]
    fn independent_arrivals_have_the_rate_and_the_spread_of_users() {
        let dues = dues_in_a_second(&plan(100_000.0, 1, Arrivals::Poisson), 0);
        // Five standard deviations of a count of 100,000.
        assert!(dues.len().abs_diff(100_000) < 1600, "{}", dues.len());
        let close = dues.windows(2).filter(|pair| pair[1] - pair[0] < 10_000).count();
        let share = close as f64 / dues.len() as f64;
        assert!((share - 0.632).abs() < 0.02, "{share}");
    }

    #[test]
    fn skipping_counts_what_stepping_counts() {
        for arrivals in [Arrivals::Constant, Arrivals::Poisson] {
            let plan = plan(3000.0, 2, arrivals);
            let mut skipped = Schedule::new(&plan, 1);
            let mut counted = 0;
            for until in [1, 777_777, 500_000_000, 1_000_000_000] {
                counted += skipped.skip_to(until);
            }
            assert_eq!(counted as usize, dues_in_a_second(&plan, 1).len());
        }
    }
}
