//! The scan: all slices of the three dimensions, the Poisson log likelihood ratio of each against
//! one common rate, less its description length; the best is taken out and the rest scanned again.

use std::collections::{BTreeMap, BTreeSet};

use super::{Cell, PRIOR_REQUESTS, Part, Symptom};
use crate::name::{Arm, Route};
use crate::signals::window::Key;

/// How many slices are told at most.
const MOST_PICKS: usize = 3;
/// The probability of naming a slice when there is no excess anywhere.
const ALPHA: f64 = 0.05;
/// The price of each dimension beyond the first.
const DIMENSION_PRICE: f64 = 1.0;

/// One cell of route, arm and symptom.
#[derive(Clone, Debug)]
struct Leaf {
    route: Route,
    arm: Arm,
    symptom: Symptom,
    observed: u64,
    expected: f64,
}

/// All cells with their expectations.
#[derive(Clone, Debug)]
pub(super) struct Cube {
    leaves: Vec<Leaf>,
}

/// A slice that was taken.
#[derive(Clone, Debug)]
pub(super) struct Pick {
    pub(super) part: Part,
    pub(super) observed: u64,
    pub(super) expected: f64,
    pub(super) score: f64,
}

impl Cube {
    /// Lays out the cells; what a cell should have comes from the baseline of its route, drawn
    /// towards the overall rate of the symptom where the baseline is thin.
    pub(super) fn of(cells: &BTreeMap<Key, Cell>) -> Self {
        let symptoms: BTreeSet<Symptom> = cells
            .values()
            .flat_map(|cell| cell.bad.keys().chain(cell.baseline_bad.keys()))
            .copied()
            .collect();
        let mut leaves = Vec::new();
        for symptom in symptoms {
            let rate = overall_rate(cells, symptom);
            for (key, cell) in cells {
                let of = |counts: &BTreeMap<Symptom, u64>| counts.get(&symptom).copied();
                let before = of(&cell.baseline_bad).unwrap_or(0) as f64;
                let shrunk = (before + PRIOR_REQUESTS * rate)
                    / (cell.baseline_requests as f64 + PRIOR_REQUESTS);
                leaves.push(Leaf {
                    route: key.route.clone(),
                    arm: key.arm,
                    symptom,
                    observed: of(&cell.bad).unwrap_or(0),
                    expected: cell.requests as f64 * shrunk,
                });
            }
        }
        Self { leaves }
    }

    /// Returns how many more bad requests there are than expected.
    pub(super) fn excess(&self) -> f64 {
        let (observed, expected) = sums(self.leaves.iter());
        observed as f64 - expected
    }

    /// Returns the slices that explain the excess, best first.
    pub(super) fn picks(mut self) -> Vec<Pick> {
        let mut picks = Vec::new();
        while picks.len() < MOST_PICKS {
            let Some(best) = self.best() else { break };
            self.leaves.retain(|leaf| !contains(&best.part, leaf));
            picks.push(best);
        }
        picks
    }

    fn best(&self) -> Option<Pick> {
        let all = sums(self.leaves.iter());
        let sizes = self.dimension_sizes();
        let parts = self.parts();
        // As many slices are tried, so chance has as many tries: alpha is shared among them.
        let least = (parts.len() as f64 / ALPHA).ln();
        let scored = parts.into_iter().filter_map(|part| {
            let leaves: Vec<&Leaf> =
                self.leaves.iter().filter(|leaf| contains(&part, leaf)).collect();
            let is_all = leaves.len() == self.leaves.len();
            let inside = sums(leaves.into_iter());
            let ratio = likelihood_ratio(inside, all)?;
            let score = ratio - description_length(&part, sizes);
            let (observed, expected) = inside;
            let pick = Pick { part, observed, expected, score };
            (ratio >= least && score > 0.0).then_some((is_all, pick))
        });
        // What holds everything stands out from nothing: it is named where no smaller part is.
        let by_rank = |a: &(bool, Pick), b: &(bool, Pick)| {
            b.0.cmp(&a.0).then(a.1.score.total_cmp(&b.1.score))
        };
        scored.max_by(by_rank).map(|(_, pick)| pick)
    }

    fn parts(&self) -> BTreeSet<Part> {
        let mut parts = BTreeSet::new();
        for leaf in &self.leaves {
            // Each bit chooses one dimension; the part of none is everything and explains nothing.
            for mask in 1..8_u8 {
                parts.insert(Part {
                    route: (mask & 1 != 0).then(|| leaf.route.clone()),
                    arm: (mask & 2 != 0).then_some(leaf.arm),
                    symptom: (mask & 4 != 0).then_some(leaf.symptom),
                });
            }
        }
        parts
    }

    fn dimension_sizes(&self) -> [usize; 3] {
        let routes: BTreeSet<&Route> = self.leaves.iter().map(|leaf| &leaf.route).collect();
        let arms: BTreeSet<Arm> = self.leaves.iter().map(|leaf| leaf.arm).collect();
        let symptoms: BTreeSet<Symptom> = self.leaves.iter().map(|leaf| leaf.symptom).collect();
        [routes.len(), arms.len(), symptoms.len()]
    }
}

fn overall_rate(cells: &BTreeMap<Key, Cell>, symptom: Symptom) -> f64 {
    let bad = cells.values().filter_map(|cell| cell.baseline_bad.get(&symptom)).sum::<u64>();
    let requests: u64 = cells.values().map(|cell| cell.baseline_requests).sum();
    // Half a bad request keeps the expectation above zero where the baseline has none.
    (bad as f64 + 0.5) / (requests as f64 + 1.0)
}

fn contains(part: &Part, leaf: &Leaf) -> bool {
    part.route.as_ref().is_none_or(|route| *route == leaf.route)
        && part.arm.is_none_or(|arm| arm == leaf.arm)
        && part.symptom.is_none_or(|symptom| symptom == leaf.symptom)
}

fn sums<'a>(leaves: impl Iterator<Item = &'a Leaf>) -> (u64, f64) {
    leaves.fold((0, 0.0), |(observed, expected), leaf| {
        (observed + leaf.observed, expected + leaf.expected)
    })
}

/// Returns the scan's log likelihood ratio; `None` where the rate inside is not the higher one. A
/// part must stand out both against the rest and against its own expectation: when another symptom
/// becomes rarer, nothing else has become worse.
fn likelihood_ratio(inside: (u64, f64), all: (u64, f64)) -> Option<f64> {
    let outside = (all.0 - inside.0, all.1 - inside.1);
    let (k_in, k_out, k) = (inside.0 as f64, outside.0 as f64, all.0 as f64);
    if inside.0 == 0 || inside.1 <= 0.0 || k_in <= inside.1 {
        return None;
    }
    let by_itself = k_in * (k_in / inside.1).ln() - (k_in - inside.1);
    if outside.1 <= 1e-9 {
        return Some(by_itself);
    }
    let is_higher = k_in / inside.1 > k_out / outside.1;
    let term = |k: f64, mu: f64| if k > 0.0 { k * (k / mu).ln() } else { 0.0 };
    let by_the_rest = term(k_in, inside.1) + term(k_out, outside.1) - term(k, all.1);
    is_higher.then_some(by_itself.min(by_the_rest))
}

fn description_length(part: &Part, sizes: [usize; 3]) -> f64 {
    let used = [part.route.is_some(), part.arm.is_some(), part.symptom.is_some()];
    let dimensions = used.iter().filter(|is_used| **is_used).count();
    let names: f64 =
        used.iter().zip(sizes).filter(|(is_used, _)| **is_used).map(|(_, n)| (n as f64).ln()).sum();
    names + DIMENSION_PRICE * (dimensions.max(1) - 1) as f64
}
