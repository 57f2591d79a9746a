//! Prefix sums over windows: the counts of any stretch of time are two look-ups. The last few
//! minutes are kept unsummed, so that late lines are cheap; later ones cost a recount and are exact
//! all the same. All counters of a key lie side by side, so a gate's objectives share memory lines.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::window::{Counts, Key, SlotRange, Window};
use crate::name::{Arm, Route};
use crate::quantity::Millis;

/// How many windows stay unsummed: five minutes of ten seconds.
const TAIL: usize = 30;
/// The longest series: 30 days of ten seconds. It bounds what a wrong clock can make us allocate.
const MAX_WINDOWS: usize = 259_200;

/// The counts that a proportion is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slice {
    /// Requests.
    pub n: u64,
    /// Bad ones of them.
    pub x: u64,
}

/// What makes a request bad in an objective.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// A bad answer.
    Bad,
    /// Slower than so many milliseconds.
    Slow(u64),
}

/// What became of a window that was handed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placed {
    /// It was counted.
    Counted,
    /// This host's window was here before; nothing was counted twice.
    Again,
    /// It lies before the start, beyond the longest series, or not on the grid.
    OffGrid,
    /// It is from a host that is not expected.
    UnknownHost,
    /// Its events lay further ahead of the agent's clock than a window is long.
    ClockWrong,
}

/// The slots that both arms' lines carried in one window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SlotsSeen {
    /// On the blue arm.
    pub blue: Option<SlotRange>,
    /// On the green arm.
    pub green: Option<SlotRange>,
}

/// All windows of a service from a start on, over all its hosts.
#[derive(Clone, Debug)]
pub struct Timeline {
    start_ms: u64,
    step: Millis,
    thresholds_ms: Vec<u64>,
    hosts: BTreeMap<String, Vec<bool>>,
    rows: BTreeMap<Key, Rows>,
    slots: Vec<SlotsSeen>,
}

/// The counters of the chosen keys, summed on demand.
#[derive(Clone, Debug)]
pub struct Selection<'a> {
    rows: Vec<&'a Rows>,
    column: usize,
}

impl Timeline {
    /// Starts empty. The start is cut down to the grid; only the thresholds named here are kept.
    pub fn new(start_ms: u64, step: Millis, hosts: &[String], thresholds_ms: &[u64]) -> Self {
        assert!(step.0 > 0, "a window has a length");
        let mut thresholds_ms = thresholds_ms.to_vec();
        thresholds_ms.sort_unstable();
        thresholds_ms.dedup();
        Self {
            start_ms: start_ms - start_ms % step.0,
            step,
            thresholds_ms,
            hosts: hosts.iter().map(|host| (host.clone(), Vec::new())).collect(),
            rows: BTreeMap::new(),
            slots: Vec::new(),
        }
    }

    /// Takes one host's window, once.
    pub fn add(&mut self, host: &str, window: &Window) -> Placed {
        let Some(index) = self.index_of(window.start_ms) else { return Placed::OffGrid };
        if window.ahead_ms > self.step.0 {
            return Placed::ClockWrong;
        }
        let Some(seen) = self.hosts.get_mut(host) else { return Placed::UnknownHost };
        if seen.len() <= index {
            seen.resize(index + 1, false);
        }
        if std::mem::replace(&mut seen[index], true) {
            return Placed::Again;
        }
        self.count(index, window);
        Placed::Counted
    }

    /// Adds lines that came after their window had been handed in.
    pub fn add_late(&mut self, host: &str, window: &Window) -> Placed {
        let Some(index) = self.index_of(window.start_ms) else { return Placed::OffGrid };
        match self.hosts.get(host) {
            None => Placed::UnknownHost,
            Some(seen) if seen.get(index) != Some(&true) => self.add(host, window),
            Some(_) => {
                self.count(index, window);
                Placed::Counted
            }
        }
    }

    /// Returns the place of a moment on the grid: the number of whole windows since the start.
    pub fn position(&self, at_ms: u64) -> usize {
        let windows = at_ms.saturating_sub(self.start_ms) / self.step.0;
        usize::try_from(windows).unwrap_or(MAX_WINDOWS).min(MAX_WINDOWS)
    }

    /// Returns the length of a window.
    pub fn step(&self) -> Millis {
        self.step
    }

    /// Returns how many windows the hosts have handed in and how many they should have.
    pub fn seen(&self, range: Range<usize>) -> (u64, u64) {
        let in_range = |seen: &Vec<bool>| {
            let end = range.end.min(seen.len());
            let part = seen.get(range.start.min(end)..end).unwrap_or_default();
            part.iter().filter(|is_there| **is_there).count() as u64
        };
        let seen = self.hosts.values().map(in_range).sum();
        (seen, (range.len() * self.hosts.len()) as u64)
    }

    /// Returns the slots that the lines carried, window by window; windows behind the last one that
    /// carried any are left out.
    pub fn slots_seen(&self, range: Range<usize>) -> &[SlotsSeen] {
        let end = range.end.min(self.slots.len());
        &self.slots[range.start.min(end)..end]
    }

    /// Chooses the counters of one arm on one route, or on all together; `None` when the metric's
    /// threshold is not kept.
    pub fn select(&self, route: Option<&Route>, arm: Arm, metric: Metric) -> Option<Selection<'_>> {
        let column = match metric {
            Metric::Bad => 1,
            Metric::Slow(ms) => 2 + self.thresholds_ms.binary_search(&ms).ok()?,
        };
        let rows = match route {
            Some(route) => self.rows.get(&Key { route: route.clone(), arm }).into_iter().collect(),
            None => self.rows.iter().filter(|(key, _)| key.arm == arm).map(|(_, r)| r).collect(),
        };
        Some(Selection { rows, column })
    }

    fn index_of(&self, start_ms: u64) -> Option<usize> {
        let offset = start_ms.checked_sub(self.start_ms)?;
        let index = usize::try_from(offset / self.step.0).ok()?;
        (offset.is_multiple_of(self.step.0) && index < MAX_WINDOWS).then_some(index)
    }

    fn count(&mut self, index: usize, window: &Window) {
        let width = 2 + self.thresholds_ms.len();
        for (key, counts) in &window.cells {
            let rows = self.rows.entry(key.clone()).or_insert_with(|| Rows::new(width));
            rows.add(index, &columns(counts, &self.thresholds_ms));
        }
        if window.slots.is_empty() {
            return;
        }
        if self.slots.len() <= index {
            self.slots.resize(index + 1, SlotsSeen::default());
        }
        for (arm, range) in &window.slots {
            let own = match arm {
                Arm::Blue => &mut self.slots[index].blue,
                Arm::Green => &mut self.slots[index].green,
            };
            match own {
                Some(known) => known.merge(*range),
                None => *own = Some(*range),
            }
        }
    }
}

impl Selection<'_> {
    /// Returns the counts of a stretch of windows.
    pub fn slice(&self, range: Range<usize>) -> Slice {
        let mut slice = Slice::default();
        for rows in &self.rows {
            let from = rows.pair_before(range.start, self.column);
            let until = rows.pair_before(range.end, self.column);
            slice.n += until.n - from.n;
            slice.x += until.x - from.x;
        }
        slice
    }

    /// Returns the counts of equal parts of a stretch; the last part may be shorter.
    pub fn slices(&self, range: Range<usize>, per_slice: usize) -> Vec<Slice> {
        let step = per_slice.max(1);
        let mut slices = vec![Slice::default(); range.len().div_ceil(step)];
        for rows in &self.rows {
            let mut from = rows.pair_before(range.start, self.column);
            for (slice, at) in slices.iter_mut().zip(range.clone().step_by(step)) {
                let until = rows.pair_before((at + step).min(range.end), self.column);
                slice.n += until.n - from.n;
                slice.x += until.x - from.x;
                from = until;
            }
        }
        slices
    }
}

/// The counters of one key, row by row: sums up to each sealed window, then raw counts.
#[derive(Clone, Debug)]
struct Rows {
    width: usize,
    /// How many windows are summed.
    sealed: usize,
    /// One row more than windows are sealed; row i holds the sums of the windows before i.
    sums: Vec<u64>,
    tail: Vec<u64>,
}

impl Rows {
    fn new(width: usize) -> Self {
        Self { width, sealed: 0, sums: vec![0; width], tail: Vec::new() }
    }

    fn add(&mut self, index: usize, values: &[u64]) {
        let sealed = self.sealed;
        if index < sealed {
            for row in self.sums[(index + 1) * self.width..].chunks_exact_mut(self.width) {
                add_row(row, values);
            }
            return;
        }
        let at = (index - sealed) * self.width;
        if self.tail.len() < at + self.width {
            self.tail.resize(at + self.width, 0);
        }
        add_row(&mut self.tail[at..at + self.width], values);
        let over = (self.tail.len() / self.width).saturating_sub(TAIL);
        for raw in self.tail.chunks_exact(self.width).take(over) {
            let last = self.sums.len() - self.width;
            self.sums.extend_from_within(last..);
            add_row(&mut self.sums[last + self.width..], raw);
        }
        self.tail.drain(..over * self.width);
        self.sealed += over;
    }

    /// Returns the sums of requests and of a column over the windows before a place.
    fn pair_before(&self, index: usize, column: usize) -> Slice {
        let sealed = self.sealed;
        let row = index.min(sealed) * self.width;
        let mut sum = Slice { n: self.sums[row], x: self.sums[row + column] };
        if index <= sealed {
            return sum;
        }
        for raw in self.tail.chunks_exact(self.width).take(index - sealed) {
            sum.n += raw[0];
            sum.x += raw[column];
        }
        sum
    }
}

fn columns(counts: &Counts, thresholds_ms: &[u64]) -> Vec<u64> {
    let slow = thresholds_ms.iter().map(|ms| counts.slow.get(ms).copied().unwrap_or(0));
    [counts.requests, counts.bad].into_iter().chain(slow).collect()
}

fn add_row(row: &mut [u64], values: &[u64]) {
    for (sum, value) in row.iter_mut().zip(values) {
        *sum += value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(index: u64, requests: u64, bad: u64, slow: u64) -> Window {
        let key = Key { route: Route("GET /".to_owned()), arm: Arm::Green };
        let slow = BTreeMap::from([(950, slow)]);
        let counts = Counts { requests, bad, slow, ..Counts::default() };
        let cells = BTreeMap::from([(key, counts)]);
        Window { start_ms: 1_000_000 + index * 10_000, cells, ..Window::default() }
    }

    fn timeline(hosts: &[&str]) -> Timeline {
        let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
        Timeline::new(1_000_003, Millis(10_000), &hosts, &[950])
    }

    #[test]
    fn any_stretch_equals_a_full_recount_whatever_the_order_of_arrival() {
        arbtest::arbtest(|u| {
            let mut timeline = timeline(&["a"]);
            let mut plain = vec![Slice::default(); 120];
            for _ in 0..u.int_in_range(1..=80)? {
                let index = u.int_in_range(0..=119_u64)?;
                let (n, x) = (u.int_in_range(0..=9)?, u.int_in_range(0..=9)?);
                timeline.add_late("a", &window(index, n, 0, x));
                plain[index as usize].n += n;
                plain[index as usize].x += x;
            }
            let from = u.int_in_range(0..=120_usize)?;
            let until = u.int_in_range(from..=120)?;
            let route = Route("GET /".to_owned());
            let selection = timeline.select(Some(&route), Arm::Green, Metric::Slow(950));
            let selection = selection.expect("950 ms is kept");
            let per_slice = u.int_in_range(1..=50)?;
            let parts = selection.slices(from..until, per_slice);
            let one_by_one: Vec<Slice> = (from..until)
                .step_by(per_slice)
                .map(|at| selection.slice(at..(at + per_slice).min(until)))
                .collect();
            assert_eq!(parts, one_by_one);
            let got = selection.slice(from..until);
            let sum = |part: fn(&Slice) -> u64| plain[from..until].iter().map(part).sum::<u64>();
            assert_eq!(got, Slice { n: sum(|s| s.n), x: sum(|s| s.x) });
            Ok(())
        })
        .budget_ms(300);
    }

    #[test]
    fn a_window_counts_once_and_hosts_add_up() {
        let mut timeline = timeline(&["a", "b"]);
        assert_eq!(timeline.add("a", &window(0, 5, 1, 0)), Placed::Counted);
        assert_eq!(timeline.add("a", &window(0, 5, 1, 0)), Placed::Again);
        assert_eq!(timeline.add("b", &window(0, 7, 0, 0)), Placed::Counted);
        assert_eq!(timeline.add("c", &window(0, 7, 0, 0)), Placed::UnknownHost);
        let all = timeline.select(None, Arm::Green, Metric::Bad).expect("always kept");
        assert_eq!(all.slice(0..1), Slice { n: 12, x: 1 });
        assert_eq!(timeline.seen(0..10), (2, 20));
    }

    #[test]
    fn windows_off_the_grid_or_from_a_wrong_clock_are_not_counted() {
        let mut timeline = timeline(&["a"]);
        let mut wrong = window(3, 5, 0, 0);
        wrong.start_ms += 1;
        assert_eq!(timeline.add("a", &wrong), Placed::OffGrid);
        wrong.start_ms = 990_000;
        assert_eq!(timeline.add("a", &wrong), Placed::OffGrid);
        wrong.start_ms = u64::MAX - u64::MAX % 10_000;
        assert_eq!(timeline.add("a", &wrong), Placed::OffGrid);
        let ahead = Window { ahead_ms: 10_001, ..window(0, 5, 0, 0) };
        assert_eq!(timeline.add("a", &ahead), Placed::ClockWrong);
        assert_eq!(timeline.seen(0..5), (0, 5));
    }

    #[test]
    fn a_threshold_that_is_not_kept_cannot_be_asked_for() {
        let timeline = timeline(&["a"]);
        assert!(timeline.select(None, Arm::Green, Metric::Slow(800)).is_none());
    }
}
