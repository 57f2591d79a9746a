//! A window: what one agent counted in ten seconds of event time, by route and chosen arm. Windows
//! are aligned to multiples of their length, so those of several hosts lie on each other.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::histogram::Histogram;
use super::slot::Slot;
use crate::name::{Arm, Route};
use crate::quantity::Millis;

/// The length of a window.
pub const WINDOW: Millis = Millis(10_000);

/// What counts are kept by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Key {
    /// The route.
    pub route: Route,
    /// The arm that was chosen for the request, whichever answered in the end.
    pub arm: Arm,
}

/// In which way a bad request was bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StatusClass {
    /// Below 300: bad by the business's own word.
    Success,
    /// 3xx.
    Redirect,
    /// 4xx, without 499.
    Client,
    /// 499: the client gave up.
    ClientGone,
    /// 5xx.
    Server,
    /// The first try failed, or another arm than the chosen one answered.
    FailedOver,
}

/// The counts of one key in one window.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Requests; one log line is one.
    pub requests: u64,
    /// Bad requests, each counted once.
    pub bad: u64,
    /// Requests slower than a threshold, by the threshold in milliseconds; exact.
    pub slow: BTreeMap<u64, u64>,
    /// Requests that another arm than the chosen one had to answer; these are in `bad` too.
    pub failed_over: u64,
    /// Bad requests by class; their sum is `bad`.
    pub bad_by_class: BTreeMap<StatusClass, u64>,
    /// Latencies.
    pub histogram: Histogram,
}

/// The least and the greatest slot that an arm's lines carried: enough to tell whether any line
/// contradicts the share in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotRange {
    /// The least slot.
    pub least: Slot,
    /// The greatest slot.
    pub greatest: Slot,
}

/// One window of one host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// When it begins, in milliseconds since 1970, UTC; a multiple of its length.
    pub start_ms: u64,
    /// How far the latest event lay ahead of the agent's clock, in milliseconds.
    pub ahead_ms: u64,
    /// The counts; empty when the source was up and nobody came.
    #[serde(with = "pairs")]
    pub cells: BTreeMap<Key, Counts>,
    /// The slots seen on each arm.
    pub slots: BTreeMap<Arm, SlotRange>,
    /// Requests of our own (probes, load, replay), left out of the cells.
    pub excluded: u64,
}

impl StatusClass {
    /// Returns the class of a status.
    pub const fn of(status: u16) -> Self {
        match status {
            0..=299 => Self::Success,
            300..=399 => Self::Redirect,
            499 => Self::ClientGone,
            400..=498 => Self::Client,
            _ => Self::Server,
        }
    }
}

impl Counts {
    /// Adds all counts of another.
    pub fn merge(&mut self, other: &Self) {
        self.requests += other.requests;
        self.bad += other.bad;
        self.failed_over += other.failed_over;
        for (threshold, count) in &other.slow {
            *self.slow.entry(*threshold).or_default() += count;
        }
        for (class, count) in &other.bad_by_class {
            *self.bad_by_class.entry(*class).or_default() += count;
        }
        self.histogram.merge(&other.histogram);
    }
}

impl SlotRange {
    /// Builds the range of one slot.
    pub const fn of(slot: Slot) -> Self {
        Self { least: slot, greatest: slot }
    }

    /// Widens the range by another.
    pub fn merge(&mut self, other: Self) {
        self.least = self.least.min(other.least);
        self.greatest = self.greatest.max(other.greatest);
    }
}

impl Window {
    /// Adds all that another window of the same time holds.
    pub fn merge(&mut self, other: &Self) {
        assert!(self.start_ms == other.start_ms, "only windows of the same time add up");
        self.ahead_ms = self.ahead_ms.max(other.ahead_ms);
        self.excluded += other.excluded;
        for (key, counts) in &other.cells {
            self.cells.entry(key.clone()).or_default().merge(counts);
        }
        for (arm, range) in &other.slots {
            self.slots.entry(*arm).and_modify(|own| own.merge(*range)).or_insert(*range);
        }
    }
}

/// Cells as a list of pairs: a JSON object has only strings for keys.
mod pairs {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serializer};

    use super::{Counts, Key};

    pub(super) fn serialize<S: Serializer>(
        cells: &BTreeMap<Key, Counts>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(cells)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeMap<Key, Counts>, D::Error> {
        Ok(Vec::<(Key, Counts)>::deserialize(deserializer)?.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(route: &str, bad: u64, slot: u8) -> Window {
        let key = Key { route: Route(route.to_owned()), arm: Arm::Green };
        let slow = BTreeMap::from([(950, bad)]);
        let bad_by_class = BTreeMap::from([(StatusClass::Server, bad)]);
        let counts = Counts { requests: 10, bad, slow, bad_by_class, ..Counts::default() };
        let range = SlotRange::of(Slot::new(slot).expect("a slot"));
        Window {
            start_ms: 20_000,
            cells: BTreeMap::from([(key, counts)]),
            slots: BTreeMap::from([(Arm::Green, range)]),
            ..Window::default()
        }
    }

    #[test]
    fn windows_of_two_hosts_add_up_in_any_order() {
        let (a, b) = (window("GET /a", 1, 3), window("GET /a", 2, 9));
        let (mut ab, mut ba) = (a.clone(), b.clone());
        ab.merge(&b);
        ba.merge(&a);
        assert_eq!(ab, ba);
        let counts = ab.cells.values().next().expect("one cell");
        assert_eq!((counts.requests, counts.bad, counts.slow[&950]), (20, 3, 3));
        let range = ab.slots[&Arm::Green];
        assert_eq!((range.least.get(), range.greatest.get()), (3, 9));
    }

    #[test]
    fn a_window_survives_json() {
        let window = window("POST /orders", 1, 50);
        let text = serde_json::to_string(&window).expect("a window is plain data");
        assert_eq!(serde_json::from_str::<Window>(&text).expect("its own text"), window);
    }

    #[test]
    fn a_status_has_one_class() {
        use StatusClass::{Client, ClientGone, Redirect, Server, Success};
        let classes = [200, 302, 404, 499, 500, 504].map(StatusClass::of);
        assert_eq!(classes, [Success, Redirect, Client, ClientGone, Server, Server]);
    }
}
