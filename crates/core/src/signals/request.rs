//! From log lines to counts: which arm a request speaks for, whether it was bad, whether it was
//! ours.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::route::RouteTable;
use super::slot::Slot;
use super::window::{Counts, Key, SlotRange, StatusClass, WINDOW, Window};
use crate::facts::declared::BadWhen;
use crate::name::{Arm, Route};

/// One line of the access log: one request of a user, however often nginx tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// When it was logged, milliseconds since 1970.
    pub at_ms: u64,
    /// The arm that was chosen.
    pub arm: Option<Arm>,
    /// The slot of its key.
    pub slot: Option<Slot>,
    /// The method.
    pub method: String,
    /// The path.
    pub path: String,
    /// What the client got.
    pub status: u16,
    /// From the first byte read to the last byte written.
    pub latency_ms: u64,
    /// The address of the first try; the arm that served, if there was only one.
    pub first_address: Option<String>,
    /// The status of the first try.
    pub first_status: Option<u16>,
    /// How many servers were tried.
    pub tries: u32,
    /// The nonce it carried, if any. Only one of ours means anything.
    pub nonce: Option<String>,
}

/// How the lines of one service are counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counting {
    /// The routes.
    pub routes: RouteTable,
    /// The thresholds with an exact counter, in milliseconds.
    pub thresholds_ms: Vec<u64>,
    /// What is bad, by route; no route means every one.
    pub bad_when: Vec<(Option<Route>, Vec<BadWhen>)>,
    /// The address of each arm, `127.0.0.1:18001`.
    pub addresses: BTreeMap<Arm, String>,
}

impl Counting {
    /// Adds a line to the window it belongs to. Lines without an arm did not come through guanka's
    /// location and are evidence for nothing.
    pub fn count(
        &self,
        line: &LogLine,
        ours: &BTreeSet<String>,
        now_ms: u64,
        windows: &mut BTreeMap<u64, Window>,
    ) {
        let Some(arm) = line.arm else { return };
        let start_ms = line.at_ms - line.at_ms % WINDOW.0;
        let window =
            windows.entry(start_ms).or_insert_with(|| Window { start_ms, ..Window::default() });
        window.ahead_ms = window.ahead_ms.max(line.at_ms.saturating_sub(now_ms));
        if line.nonce.as_ref().is_some_and(|nonce| ours.contains(nonce)) {
            window.excluded += 1;
            return;
        }
        if let Some(slot) = line.slot {
            let range = SlotRange::of(slot);
            window.slots.entry(arm).and_modify(|seen| seen.merge(range)).or_insert(range);
        }
        let route = self.routes.find(&line.method, &line.path);
        let is_failed_over = self.is_failed_over(line, arm);
        let class = self.bad_class(line, &route, is_failed_over);
        if line.status == 499 && class.is_none() {
            // The client left before it had waited for long: it says nothing about the program.
            window.excluded += 1;
            return;
        }
        let counts = window.cells.entry(Key { route, arm }).or_default();
        self.add(counts, line, class, is_failed_over);
    }

    fn add(&self, counts: &mut Counts, line: &LogLine, class: Option<StatusClass>, over: bool) {
        counts.requests += 1;
        counts.histogram.record_us(line.latency_ms.saturating_mul(1000));
        for threshold in &self.thresholds_ms {
            if line.latency_ms > *threshold {
                *counts.slow.entry(*threshold).or_default() += 1;
            }
        }
        if let Some(class) = class {
            counts.bad += 1;
            *counts.bad_by_class.entry(class).or_default() += 1;
        }
        counts.failed_over += u64::from(over);
    }

    /// Returns whether the chosen arm could not answer: another one did, or the first try failed.
    fn is_failed_over(&self, line: &LogLine, arm: Arm) -> bool {
        let other = self.addresses.get(&arm).zip(line.first_address.as_ref());
        let by_other = other.is_some_and(|(own, first)| own != first);
        by_other || line.tries > 1
    }

    fn bad_class(&self, line: &LogLine, route: &Route, over: bool) -> Option<StatusClass> {
        if over {
            return Some(StatusClass::FailedOver);
        }
        if line.status == 499 {
            let longest = self.thresholds_ms.iter().max().copied().unwrap_or(u64::MAX);
            return (line.latency_ms > longest).then_some(StatusClass::ClientGone);
        }
        let mut rules = self
            .bad_when
            .iter()
            .filter(|(only, _)| only.as_ref().is_none_or(|only| only == route))
            .flat_map(|(_, when)| when)
            .peekable();
        let is_bad = if rules.peek().is_none() {
            line.status >= 500
        } else {
            rules.any(|when| match when {
                BadWhen::StatusAtLeast(least) => line.status >= *least,
                BadWhen::StatusIs(status) => line.status == *status,
            })
        };
        is_bad.then(|| StatusClass::of(line.status))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::{Counting, LogLine};
    use crate::name::{Arm, Route};
    use crate::signals::route::RouteTable;
    use crate::signals::window::{Counts, Key, StatusClass, Window};

    fn counting() -> Counting {
        Counting {
            routes: RouteTable::new(["POST /orders"]),
            thresholds_ms: vec![95],
            bad_when: Vec::new(),
            addresses: BTreeMap::from([
                (Arm::Blue, "127.0.0.1:18001".to_owned()),
                (Arm::Green, "127.0.0.1:18002".to_owned()),
            ]),
        }
    }

    fn line() -> LogLine {
        LogLine {
            at_ms: 25_000,
            arm: Some(Arm::Green),
            slot: None,
            method: "POST".to_owned(),
            path: "/orders".to_owned(),
            status: 200,
            latency_ms: 10,
            first_address: Some("127.0.0.1:18002".to_owned()),
            first_status: Some(200),
            tries: 1,
            nonce: None,
        }
    }

    fn counted(line: &LogLine) -> (Counts, Window) {
        let mut windows = BTreeMap::new();
        let ours = BTreeSet::from(["secret".to_owned()]);
        counting().count(line, &ours, 25_000, &mut windows);
        let window = windows.remove(&20_000).expect("the window of 20 s");
        let key = Key { route: Route("POST /orders".to_owned()), arm: Arm::Green };
        (window.cells.get(&key).cloned().unwrap_or_default(), window)
    }

    #[test]
    fn a_failed_first_try_is_bad_for_the_chosen_arm_whatever_the_client_saw() {
        let retried = LogLine { tries: 2, first_status: Some(502), ..line() };
        let (counts, window) = counted(&retried);
        assert_eq!((counts.requests, counts.bad, counts.failed_over), (1, 1, 1));
        assert_eq!(counts.bad_by_class[&StatusClass::FailedOver], 1);
        assert_eq!(window.cells.len(), 1, "and no evidence for the other arm");
    }

    #[test]
    fn an_answer_from_the_other_arm_with_a_single_200_is_failed_over() {
        let marked_down = LogLine { first_address: Some("127.0.0.1:18001".to_owned()), ..line() };
        assert_eq!(counted(&marked_down).0.failed_over, 1);
    }

    #[test]
    fn our_own_requests_are_told_by_our_nonce_only() {
        let ours = LogLine { nonce: Some("secret".to_owned()), ..line() };
        assert_eq!((counted(&ours).0.requests, counted(&ours).1.excluded), (0, 1));
        let forged = LogLine { nonce: Some("guess".to_owned()), ..line() };
        assert_eq!(counted(&forged).0.requests, 1);
    }

    #[test]
    fn slow_is_exact_and_a_client_that_left_early_says_nothing() {
        assert_eq!(counted(&LogLine { latency_ms: 95, ..line() }).0.slow.get(&95), None);
        assert_eq!(counted(&LogLine { latency_ms: 96, ..line() }).0.slow[&95], 1);
        assert_eq!(counted(&LogLine { status: 499, ..line() }).0.requests, 0);
        let waited = LogLine { status: 499, latency_ms: 5000, ..line() };
        assert_eq!(counted(&waited).0.bad_by_class[&StatusClass::ClientGone], 1);
    }
}
