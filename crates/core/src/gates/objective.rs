//! An objective as a gate judges it: one proportion of requests, the limit on it, and beside it the
//! objective that was promised. Built from what `guanka.toml` declares; what cannot be judged is an
//! error of configuration before the release starts, never a pass.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::facts::declared::{GateSlo, Indicator, Limit, Slo};
use crate::name::Route;
use crate::quantity::{Millis, Proportion};
use crate::say::Said;
use crate::signals::series::Metric;

/// A limit looser than this many times the objective is worth a warning.
const LOOSE_FROM: f64 = 2.0;

/// One objective, as a proportion.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Objective {
    /// The objective's name in `guanka.toml`.
    pub slo: String,
    /// The route; `None` is all together.
    pub route: Option<Route>,
    /// What is counted at the limit.
    pub metric: Metric,
    /// The share of bad requests at which the gate decides.
    pub limit: f64,
    /// What is counted at the objective.
    pub objective_metric: Metric,
    /// The share of bad requests that was promised.
    pub objective: f64,
}

/// What is wrong with the objectives of a gate.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ObjectiveError {
    /// A gate names no objective and none is declared.
    #[error("no objective is declared, so nothing could be proven")]
    Nothing,
    /// A gate names an objective that is not declared.
    #[error("no objective is called {0:?}")]
    Unknown(String),
    /// The limit is of another kind than the objective.
    #[error("{0:?}: the limit and the objective are of two kinds")]
    Kind(String),
    /// The limit is stricter than the objective.
    #[error("{0:?}: the limit is stricter than the objective")]
    Stricter(String),
    /// A limit or quantile of 0 % or 100 %, which no number of requests can prove.
    #[error("{0:?}: a share of 0% or 100% can be neither proven nor broken")]
    Unprovable(String),
}

impl ObjectiveError {
    /// Returns the error as a sentence for people.
    pub fn said(&self) -> Said {
        let zh = match self {
            Self::Nothing => "没有声明任何目标,无从证明。".to_owned(),
            Self::Unknown(name) => format!("没有名为 {name:?} 的目标。"),
            Self::Kind(name) => format!("目标 {name:?} 的限值与目标不是同一类。"),
            Self::Stricter(name) => format!("目标 {name:?} 的限值比目标还严。"),
            Self::Unprovable(name) => format!("目标 {name:?}:0% 或 100% 既无法证明也无法推翻。"),
        };
        Said::new(zh, format!("{self}."))
    }
}

impl Objective {
    /// Builds an objective on the share of bad answers.
    pub fn on_success(slo: &str, objective: Proportion, limit: Proportion) -> Self {
        Self {
            slo: slo.to_owned(),
            route: None,
            metric: Metric::Bad,
            limit: limit.0,
            objective_metric: Metric::Bad,
            objective: rest_of(objective.0),
        }
    }

    /// Builds an objective on a latency quantile: the share of slower requests.
    pub fn on_latency(slo: &str, quantile: f64, objective: Millis, limit: Millis) -> Self {
        let share = rest_of(quantile);
        Self {
            slo: slo.to_owned(),
            route: None,
            metric: Metric::Slow(limit.0),
            limit: share,
            objective_metric: Metric::Slow(objective.0),
            objective: share,
        }
    }

    /// Puts the objective on one route.
    pub fn on(mut self, route: Option<Route>) -> Self {
        self.route = route;
        self
    }

    /// Returns how many times looser the limit is than the objective: 1.19 for 950 ms on 800 ms.
    pub fn looseness(&self) -> f64 {
        match (self.metric, self.objective_metric) {
            (Metric::Slow(limit), Metric::Slow(objective)) => limit as f64 / objective as f64,
            _ => self.limit / self.objective,
        }
    }

    /// Returns a warning when the limit is more than twice as loose as the objective.
    pub fn warning(&self) -> Option<Said> {
        let ratio = self.looseness();
        (ratio > LOOSE_FROM).then(|| {
            let slo = &self.slo;
            Said::new(
                format!("目标 {slo}:限值是目标的 {ratio:.2} 倍,过于宽松。"),
                format!("{slo}: the limit is {ratio:.2} times the objective, which is loose."),
            )
        })
    }

    fn checked(self) -> Result<Self, ObjectiveError> {
        if !is_provable(self.limit) || !is_provable(self.objective) {
            return Err(ObjectiveError::Unprovable(self.slo));
        }
        // A trifle for the rounding of 1 − 0.9995.
        if self.looseness() < 1.0 - 1e-9 {
            return Err(ObjectiveError::Stricter(self.slo));
        }
        Ok(self)
    }
}

/// Returns whether a share can be proven or broken at all: not 0 or 1, nor so close to them that no
/// service has the requests.
pub fn is_provable(share: f64) -> bool {
    (0.999e-8..=1.0 - 0.999e-8).contains(&share)
}

/// Builds the objectives that a gate judges: those it names, else all that are declared, each with
/// its own limit or, lacking one, the objective itself.
pub fn resolve(
    named: &[GateSlo],
    slos: &BTreeMap<String, Slo>,
) -> Result<Vec<Objective>, ObjectiveError> {
    let all: Vec<Objective> = if named.is_empty() {
        slos.iter().map(|(name, slo)| one(name, slo, slo.limit)).collect::<Result<_, _>>()?
    } else {
        let find = |gate: &GateSlo| match slos.get(&gate.name) {
            Some(slo) => one(&gate.name, slo, Some(gate.limit)),
            None => Err(ObjectiveError::Unknown(gate.name.clone())),
        };
        named.iter().map(find).collect::<Result<_, _>>()?
    };
    if all.is_empty() { Err(ObjectiveError::Nothing) } else { Ok(all) }
}

/// Returns all latency thresholds that these objectives need exact counters for.
pub fn thresholds_ms(objectives: &[Objective]) -> Vec<u64> {
    let slow = |metric: Metric| match metric {
        Metric::Slow(ms) => Some(ms),
        Metric::Bad => None,
    };
    let both = |o: &Objective| [slow(o.metric), slow(o.objective_metric)];
    let mut all: Vec<u64> = objectives.iter().flat_map(both).flatten().collect();
    all.sort_unstable();
    all.dedup();
    all
}

fn one(name: &str, slo: &Slo, limit: Option<Limit>) -> Result<Objective, ObjectiveError> {
    let objective = match (slo.indicator, limit) {
        (Indicator::Success { objective }, None) => {
            Objective::on_success(name, objective, Proportion(rest_of(objective.0)))
        }
        (Indicator::Success { objective }, Some(Limit::BadShare(limit))) => {
            Objective::on_success(name, objective, limit)
        }
        (Indicator::Latency { quantile, objective }, None) => {
            Objective::on_latency(name, quantile, objective, objective)
        }
        (Indicator::Latency { quantile, objective }, Some(Limit::Latency(limit))) => {
            Objective::on_latency(name, quantile, objective, limit)
        }
        _ => return Err(ObjectiveError::Kind(name.to_owned())),
    };
    objective.on(slo.route.clone()).checked()
}

/// Returns 1 − share without the rounding that binary fractions leave: 0.0005 for 0.9995.
fn rest_of(share: f64) -> f64 {
    ((1.0 - share) * 1e12).round() / 1e12
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slo(indicator: Indicator, limit: Option<Limit>) -> BTreeMap<String, Slo> {
        let window = Millis::from_secs(86_400);
        let slo = Slo { indicator, route: None, bad_when: Vec::new(), limit, window };
        BTreeMap::from([("x".to_owned(), slo)])
    }

    fn latency(limit_ms: u64) -> BTreeMap<String, Slo> {
        let indicator = Indicator::Latency { quantile: 0.95, objective: Millis(800) };
        slo(indicator, Some(Limit::Latency(Millis(limit_ms))))
    }

    fn success(limit: f64) -> BTreeMap<String, Slo> {
        let indicator = Indicator::Success { objective: Proportion(0.9995) };
        slo(indicator, Some(Limit::BadShare(Proportion(limit))))
    }

    #[test]
    fn the_articles_two_limits_are_a_fifth_looser_than_its_objectives() {
        let ratio = |slos| format!("{:.2}", resolve(&[], &slos).expect("fine")[0].looseness());
        assert_eq!(ratio(latency(950)), "1.19");
        assert_eq!(ratio(success(0.0006)), "1.20");
    }

    #[test]
    fn a_limit_stricter_than_the_objective_is_an_error_and_a_loose_one_a_warning() {
        let stricter = Err(ObjectiveError::Stricter("x".to_owned()));
        assert_eq!(resolve(&[], &latency(799)), stricter);
        assert_eq!(resolve(&[], &success(0.0004)), stricter);
        let loose = resolve(&[], &success(0.00101)).expect("allowed");
        assert!(loose[0].warning().expect("loose").en.contains("2.02 times"));
        assert_eq!(resolve(&[], &success(0.001)).expect("allowed")[0].warning(), None);
    }

    #[test]
    fn what_cannot_be_judged_is_refused_before_the_release() {
        let named = |limit| [GateSlo { name: "x".to_owned(), limit }];
        let share = named(Limit::BadShare(Proportion(0.01)));
        assert_eq!(resolve(&[], &BTreeMap::new()), Err(ObjectiveError::Nothing));
        let unknown = Err(ObjectiveError::Unknown("x".to_owned()));
        assert_eq!(resolve(&share, &BTreeMap::new()), unknown);
        assert_eq!(resolve(&share, &latency(950)), Err(ObjectiveError::Kind("x".to_owned())));
        let whole = slo(Indicator::Success { objective: Proportion(1.0) }, None);
        assert_eq!(resolve(&[], &whole), Err(ObjectiveError::Unprovable("x".to_owned())));
    }

    #[test]
    fn an_objective_without_a_limit_is_its_own_limit() {
        let slos = slo(Indicator::Latency { quantile: 0.95, objective: Millis(800) }, None);
        let objective = &resolve(&[], &slos).expect("fine")[0];
        assert_eq!((objective.metric, objective.limit), (Metric::Slow(800), 0.05));
        assert_eq!(thresholds_ms(&resolve(&[], &latency(950)).expect("fine")), [800, 950]);
    }
}
