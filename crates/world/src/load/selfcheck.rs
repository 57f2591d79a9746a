//! Whether the generator itself was on time. Waiting for a busy connection is the server's latency;
//! lateness is only the time during which a request was due and a connection stood free.

use guanka_core::quantity::Millis;
use serde::{Deserialize, Serialize};

use super::latency::Latency;

/// How punctual the generator was.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SelfCheck {
    /// Lateness of every request; 0 for one that found no connection free when it was due.
    pub lateness: Latency,
    /// Requests that were never sent.
    pub unsent: u64,
    /// Those of them that were due while a connection stood free.
    pub unsent_while_free: u64,
    /// Requests that found no connection free when they were due.
    pub waited_for_busy: u64,
    /// The share of what free connections allowed that was sent.
    pub achieved_share: f64,
    /// Connections that were opened.
    pub opened: u64,
    /// Those of them that replaced a lost one.
    pub reconnects: u64,
    /// The share of the run in which the generator did not wait for anything.
    pub busy_share: f64,
    /// The processor time its threads took, where the kernel says it.
    pub cpu_us: Option<u64>,
    /// The share of the run its threads stood in the run queue, where the kernel says it.
    pub run_queue_share: Option<f64>,
    /// The share of the machine's time taken by the host below, where the kernel says it.
    pub steal_share: Option<f64>,
    /// Requests that failed because this machine had no socket left.
    pub out_of_sockets: u64,
    /// Requests that counted.
    pub requests: u64,
}

/// From where on a run says nothing about the server.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SelfCheckLimits {
    /// The p99 of lateness as a share of the objective.
    pub lateness_share_of_objective: f64,
    /// The p99 of lateness, whatever the objective.
    pub lateness_max: Millis,
    /// The least share of what free connections allowed.
    pub achieved_min: f64,
    /// The share of the run without waiting, above which late sending is the generator's own fault.
    pub busy_max: f64,
}

/// Why a run says nothing about the server.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "fault")]
pub enum GeneratorFault {
    /// Requests left late although connections were free.
    Late {
        /// The p99 of lateness.
        p99_us: u64,
        /// What was allowed.
        limit_us: u64,
    },
    /// Requests were not sent although connections were free.
    Behind {
        /// The share that was sent.
        achieved_share: f64,
    },
    /// The generator never rested while requests waited: answers lay unread.
    Saturated {
        /// The share of the run without waiting.
        busy_share: f64,
    },
    /// This machine ran out of sockets or ports.
    OutOfSockets {
        /// How many requests it cost.
        requests: u64,
    },
}

impl Default for SelfCheckLimits {
    /// The starting values: 5 % of the objective or 10 ms, 99 % of what was allowed.
    fn default() -> Self {
        Self {
            lateness_share_of_objective: 0.05,
            lateness_max: Millis(10),
            achieved_min: 0.99,
            busy_max: 0.98,
        }
    }
}

impl SelfCheck {
    /// Builds the record of a generator that has done nothing yet.
    pub(crate) fn new() -> Self {
        Self {
            lateness: Latency::default(),
            unsent: 0,
            unsent_while_free: 0,
            waited_for_busy: 0,
            achieved_share: 1.0,
            opened: 0,
            reconnects: 0,
            busy_share: 0.0,
            cpu_us: None,
            run_queue_share: None,
            steal_share: None,
            out_of_sockets: 0,
            requests: 0,
        }
    }

    /// Adds the record of a thread or generator that ran beside this one. Shares of the run become
    /// those of the worst of both, because one saturated thread spoils the whole.
    pub fn merge(&mut self, other: &Self) {
        self.lateness.merge(&other.lateness);
        self.unsent += other.unsent;
        self.unsent_while_free += other.unsent_while_free;
        self.waited_for_busy += other.waited_for_busy;
        self.opened += other.opened;
        self.reconnects += other.reconnects;
        self.out_of_sockets += other.out_of_sockets;
        self.requests += other.requests;
        self.busy_share = self.busy_share.max(other.busy_share);
        self.cpu_us = self.cpu_us.zip(other.cpu_us).map(|(a, b)| a + b);
        self.run_queue_share = larger(self.run_queue_share, other.run_queue_share);
        self.steal_share = larger(self.steal_share, other.steal_share);
        self.settle();
    }

    /// Computes the achieved share from the counts.
    pub(super) fn settle(&mut self) {
        let sent = self.requests - self.unsent;
        let allowed = sent + self.unsent_while_free;
        self.achieved_share = if allowed == 0 { 1.0 } else { sent as f64 / allowed as f64 };
    }

    /// Returns why the run says nothing about the server; nothing if it does.
    pub fn faults(
        &self,
        objective: Option<Millis>,
        limits: &SelfCheckLimits,
    ) -> Vec<GeneratorFault> {
        let mut faults = Vec::new();
        let of_objective = objective.map_or(f64::INFINITY, |objective| {
            objective.0 as f64 * 1000.0 * limits.lateness_share_of_objective
        });
        let limit_us = of_objective.min(limits.lateness_max.0 as f64 * 1000.0) as u64;
        let p99_us = self.lateness.quantile_us(0.99);
        if p99_us > limit_us {
            faults.push(GeneratorFault::Late { p99_us, limit_us });
        }
        if self.achieved_share < limits.achieved_min {
            faults.push(GeneratorFault::Behind { achieved_share: self.achieved_share });
        }
        // One request in a hundred that waited is what the lateness rule forgives as well.
        let has_waited = self.waited_for_busy * 100 > self.requests;
        if has_waited && self.busy_share > limits.busy_max {
            faults.push(GeneratorFault::Saturated { busy_share: self.busy_share });
        }
        if self.out_of_sockets > 0 {
            faults.push(GeneratorFault::OutOfSockets { requests: self.out_of_sockets });
        }
        faults
    }
}

/// Returns the larger of two shares of which either may be unknown.
fn larger(a: Option<f64>, b: Option<f64>) -> Option<f64> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.max(b)),
        (known, None) | (None, known) => known,
    }
}

#[cfg(test)]
mod tests {
    use guanka_core::quantity::Millis;

    use super::{GeneratorFault, SelfCheck, SelfCheckLimits};

    fn punctual(requests: u64) -> SelfCheck {
        let mut check = SelfCheck { requests, ..SelfCheck::new() };
        (0..requests).for_each(|_| check.lateness.record_us(60));
        check
    }

    #[test]
    fn two_in_a_hundred_late_void_a_run_and_one_in_two_hundred_does_not() {
        let limits = SelfCheckLimits::default();
        for (late, is_void) in [(20, true), (5, false)] {
            let mut check = punctual(1000 - late);
            (0..late).for_each(|_| check.lateness.record_us(300_000));
            assert_eq!(!check.faults(None, &limits).is_empty(), is_void);
        }
    }

    #[test]
    fn a_tight_objective_asks_for_a_more_punctual_generator() {
        let mut check = punctual(10);
        (0..90).for_each(|_| check.lateness.record_us(3000));
        let limits = SelfCheckLimits::default();
        assert_eq!(check.faults(Some(Millis(800)), &limits), []);
        let faults = check.faults(Some(Millis(20)), &limits);
        assert!(matches!(faults[..], [GeneratorFault::Late { limit_us: 1000, .. }]));
    }

    #[test]
    fn requests_left_unsent_while_connections_were_free_void_a_run() {
        let mut check = SelfCheck { unsent: 40, unsent_while_free: 15, ..punctual(1000) };
        check.settle();
        let faults = check.faults(None, &SelfCheckLimits::default());
        assert!(matches!(faults[..], [GeneratorFault::Behind { .. }]));
        let mut busy = SelfCheck { unsent: 40, unsent_while_free: 0, ..punctual(1000) };
        busy.settle();
        assert_eq!(busy.faults(None, &SelfCheckLimits::default()), []);
    }

    #[test]
    fn a_generator_that_never_rests_while_requests_wait_voids_the_run() {
        let waiting = SelfCheck { waited_for_busy: 500, busy_share: 0.995, ..punctual(1000) };
        let resting = SelfCheck { busy_share: 0.6, ..waiting.clone() };
        let limits = SelfCheckLimits::default();
        assert_eq!(waiting.faults(None, &limits).len(), 1);
        assert_eq!(resting.faults(None, &limits), []);
    }
}
