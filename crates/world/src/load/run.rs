//! What a load run found out: exact counts per kind of request, slices of them over time, latencies
//! for display, and the generator's own record of how punctual it was. No verdict.

use std::collections::BTreeMap;

use guanka_core::quantity::{Millis, Rate};
use serde::{Deserialize, Serialize};

use super::latency::Latency;
use super::selfcheck::SelfCheck;

/// How a request failed without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// Nobody listens.
    Refused,
    /// The connection could not be made for another reason.
    NoConnection,
    /// This machine had no socket or port left: the generator's fault.
    OutOfSockets,
    /// The peer broke the connection off.
    Reset,
    /// A connection used before was closed before the first byte: the race every client with kept
    /// connections has when a server restarts.
    EofReused,
    /// A fresh connection was closed before the first byte.
    EofFresh,
    /// The answer stopped in the middle.
    Truncated,
    /// What came was not an HTTP/1.1 answer.
    BadFraming,
    /// No whole answer within the time limit.
    Timeout,
    /// No connection became free in time.
    Unsent,
    /// No whole answer by the end of the run.
    Unfinished,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// With an answer of this status.
    Status(u16),
    /// Without one.
    Error(ErrorKind),
}

/// The exact number of requests slower than a threshold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Over {
    /// The threshold.
    pub threshold: Millis,
    /// How many requests were slower, or never answered.
    pub count: u64,
}

/// What became of the requests of one kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KindCounts {
    /// The kind's name.
    pub name: String,
    /// How many were due.
    pub requests: u64,
    /// How many failed or had a bad status.
    pub bad: u64,
    /// Answers by status.
    pub statuses: BTreeMap<u16, u64>,
    /// Failures by kind.
    pub errors: BTreeMap<ErrorKind, u64>,
    /// What was slower than each threshold, from the due time.
    pub over: Vec<Over>,
    /// Latencies from the due time; failures are in it with at least the time that had passed.
    pub latency: Latency,
    /// Latencies from sending to receiving, as naive tools count; answers only.
    pub naive: Latency,
}

/// The counts of one kind in one slice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SliceCounts {
    /// How many were due in the slice.
    pub requests: u64,
    /// How many of them were bad.
    pub bad: u64,
    /// How many of them were slower than each threshold, in the order of the thresholds.
    pub over: Vec<u64>,
    /// How many of them had no good answer within each threshold: the slow and the bad.
    pub not_good_within: Vec<u64>,
}

/// A run's result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LoadRun {
    /// The generator, for the evidence record.
    pub generator: String,
    /// The rate that was asked for.
    pub rate: Rate,
    /// How long requests counted.
    pub measured: Millis,
    /// How long requests were sent before.
    pub warm_up: Millis,
    /// How many connections were held.
    pub connections: usize,
    /// Whether it was stopped before its end.
    pub stopped_early: bool,
    /// The thresholds that were counted.
    pub thresholds: Vec<Millis>,
    /// The counts of each kind, in the plan's order.
    pub kinds: Vec<KindCounts>,
    /// The length of a slice.
    pub slice: Millis,
    /// The slices; in each, the kinds in the plan's order. A request belongs to its due time.
    pub slices: Vec<Vec<SliceCounts>>,
    /// How punctual the generator was.
    pub self_check: SelfCheck,
}

/// Two runs that cannot be added up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the two runs differ in their kinds of requests, thresholds or slices")]
pub struct MergeError;

impl KindCounts {
    /// Builds empty counts.
    pub fn new(name: &str, thresholds: &[Millis]) -> Self {
        let over = thresholds.iter().map(|&threshold| Over { threshold, count: 0 }).collect();
        Self {
            name: name.to_owned(),
            requests: 0,
            bad: 0,
            statuses: BTreeMap::new(),
            errors: BTreeMap::new(),
            over,
            latency: Latency::default(),
            naive: Latency::default(),
        }
    }

    /// Adds the counts of another set with the same thresholds.
    pub fn merge(&mut self, other: &Self) {
        self.requests += other.requests;
        self.bad += other.bad;
        for (status, count) in &other.statuses {
            *self.statuses.entry(*status).or_default() += count;
        }
        for (kind, count) in &other.errors {
            *self.errors.entry(*kind).or_default() += count;
        }
        for (mine, theirs) in self.over.iter_mut().zip(&other.over) {
            mine.count += theirs.count;
        }
        self.latency.merge(&other.latency);
        self.naive.merge(&other.naive);
    }

    /// Returns how many requests were slower than one of the thresholds.
    pub fn over(&self, threshold: Millis) -> Option<u64> {
        self.over.iter().find(|over| over.threshold == threshold).map(|over| over.count)
    }

    /// Returns the share of bad requests; 0 of nothing.
    pub fn bad_share(&self) -> f64 {
        if self.requests == 0 { 0.0 } else { self.bad as f64 / self.requests as f64 }
    }
}

impl SliceCounts {
    /// Builds empty counts for so many thresholds.
    pub(super) fn new(thresholds: usize) -> Self {
        let zeros = vec![0; thresholds];
        Self { requests: 0, bad: 0, over: zeros.clone(), not_good_within: zeros }
    }

    /// Adds the counts of another slice with the same thresholds.
    pub fn merge(&mut self, other: &Self) {
        self.requests += other.requests;
        self.bad += other.bad;
        for (mine, theirs) in self.over.iter_mut().zip(&other.over) {
            *mine += theirs;
        }
        for (mine, theirs) in self.not_good_within.iter_mut().zip(&other.not_good_within) {
            *mine += theirs;
        }
    }
}

impl LoadRun {
    /// Returns the counts of all kinds together.
    pub fn total(&self) -> KindCounts {
        let mut total = KindCounts::new("total", &self.thresholds);
        self.kinds.iter().for_each(|kind| total.merge(kind));
        total
    }

    /// Returns, slice by slice, the counts of all kinds together.
    pub fn total_slices(&self) -> Vec<SliceCounts> {
        let sum = |kinds: &Vec<SliceCounts>| {
            let mut total = SliceCounts::new(self.thresholds.len());
            kinds.iter().for_each(|kind| total.merge(kind));
            total
        };
        self.slices.iter().map(sum).collect()
    }

    /// Adds a run of the same shape that ran beside this one: nothing is rounded or averaged.
    pub fn merge(&mut self, other: &Self) -> Result<(), MergeError> {
        let names = |run: &Self| run.kinds.iter().map(|k| k.name.clone()).collect::<Vec<_>>();
        let is_alike = names(self) == names(other)
            && self.thresholds == other.thresholds
            && self.slice == other.slice;
        if !is_alike {
            return Err(MergeError);
        }
        self.rate = Rate(self.rate.0 + other.rate.0);
        self.measured = self.measured.max(other.measured);
        self.warm_up = self.warm_up.max(other.warm_up);
        self.connections += other.connections;
        self.stopped_early |= other.stopped_early;
        self.kinds.iter_mut().zip(&other.kinds).for_each(|(mine, theirs)| mine.merge(theirs));
        merge_slices(&mut self.slices, &other.slices);
        self.self_check.merge(&other.self_check);
        Ok(())
    }
}

/// Adds slices to slices; the longer list gives the length.
fn merge_slices(mine: &mut Vec<Vec<SliceCounts>>, theirs: &[Vec<SliceCounts>]) {
    for (index, kinds) in theirs.iter().enumerate() {
        match mine.get_mut(index) {
            Some(slice) => slice.iter_mut().zip(kinds).for_each(|(a, b)| a.merge(b)),
            None => mine.push(kinds.clone()),
        }
    }
}
