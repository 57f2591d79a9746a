//! Where the excess of bad requests lies: every slice of route, arm, status class and slowness is
//! scored by how much better the counts are explained when it has a rate of its own, less what it
//! costs to describe it. With few bad requests the answers are candidates, not the cause.

mod scan;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::name::{Arm, Route};
use crate::say::Said;
use crate::signals::window::{Key, StatusClass};
use scan::{Cube, Pick};

/// Below this many bad requests in a slice it is a candidate at most.
pub const SURE_FROM: u64 = 8;
/// A count of baseline requests that stands for the overall rate in each cell.
const PRIOR_REQUESTS: f64 = 50.0;

/// In which way requests were bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Symptom {
    /// A bad answer of this class.
    Status(StatusClass),
    /// Slower than the threshold.
    Slow,
}

/// The counts of one route and arm, now and in the hours compared with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cell {
    /// Requests now.
    pub requests: u64,
    /// Bad ones now, by symptom.
    pub bad: BTreeMap<Symptom, u64>,
    /// Requests of the baseline on this route.
    pub baseline_requests: u64,
    /// Bad ones of the baseline on this route, by symptom.
    pub baseline_bad: BTreeMap<Symptom, u64>,
}

/// A part of all requests; `None` is "any".
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Part {
    /// The route.
    pub route: Option<Route>,
    /// The arm.
    pub arm: Option<Arm>,
    /// The symptom.
    pub symptom: Option<Symptom>,
}

/// A part with more bad requests than expected.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cause {
    /// Which part.
    pub part: Part,
    /// Bad requests in it.
    pub observed: u64,
    /// How many were expected.
    pub expected: f64,
    /// The share of the whole excess that lies in it.
    pub explained: f64,
    /// The scan's score: log likelihood ratio less description length.
    pub score: f64,
    /// Whether there are enough bad requests to speak of a cause.
    pub is_sure: bool,
    /// What it says, with its numbers.
    pub sentence: Said,
    /// What speaks against or for it on the other arm.
    pub counter_evidence: Option<Said>,
}

/// Ranks the parts that explain the excess, three at most; each next one explains what the ones
/// before it left.
pub fn rank(cells: &BTreeMap<Key, Cell>) -> Vec<Cause> {
    let cube = Cube::of(cells);
    let excess = cube.excess();
    cube.picks().into_iter().map(|pick| told(pick, excess, cells)).collect()
}

fn told(pick: Pick, excess: f64, cells: &BTreeMap<Key, Cell>) -> Cause {
    let explained = if excess > 0.0 {
        ((pick.observed as f64 - pick.expected) / excess).clamp(0.0, 1.0)
    } else {
        0.0
    };
    let is_sure = pick.observed >= SURE_FROM;
    let name = name_of(&pick.part);
    let (observed, expected) = (pick.observed, pick.expected);
    let percent = (explained * 100.0).round();
    let (zh, en) =
        if is_sure { ("原因所在", "the cause lies in") } else { ("候选", "candidate") };
    let sentence = Said::new(
        format!("{zh}:{}——{observed} 个,预期 {expected:.1} 个,占超出部分的 {percent}%。", name.zh),
        format!(
            "{en}: {}: {observed} where {expected:.1} were expected, {percent}% of the excess.",
            name.en
        ),
    );
    Cause {
        counter_evidence: counter_evidence(&pick.part, cells),
        part: pick.part,
        observed,
        expected,
        explained,
        score: pick.score,
        is_sure,
        sentence,
    }
}

/// Looks at the same route and symptom on the other arm.
fn counter_evidence(part: &Part, cells: &BTreeMap<Key, Cell>) -> Option<Said> {
    let other = part.arm?.other();
    let is_there =
        |key: &Key| key.arm == other && part.route.as_ref().is_none_or(|route| *route == key.route);
    let (mut requests, mut bad) = (0, 0);
    for (_, cell) in cells.iter().filter(|(key, _)| is_there(key)) {
        requests += cell.requests;
        let counts = |symptom: &Symptom| part.symptom.is_none_or(|wanted| wanted == *symptom);
        bad += cell.bad.iter().filter(|(symptom, _)| counts(symptom)).map(|(_, n)| n).sum::<u64>();
    }
    if requests == 0 {
        return Some(Said::new(
            format!("旁证:{other} 臂同期没有这类请求,无从对照。"),
            format!(
                "counter-evidence: {other} had no such request, so there is nothing to compare."
            ),
        ));
    }
    let share = bad as f64 / requests as f64 * 100.0;
    let is_healthy = !is_as_bad(part, cells, bad, requests);
    let (zh, en) =
        if is_healthy { ("正常", "is healthy") } else { ("同样异常", "is as bad") };
    Some(Said::new(
        format!("旁证:同样的请求在 {other} 臂{zh}({requests} 个中 {bad} 个,{share:.3}%)。"),
        format!("counter-evidence: the same on {other} {en} ({bad} of {requests}, {share:.3}%)."),
    ))
}

/// Returns whether the other arm's share is at least half of the part's own.
fn is_as_bad(part: &Part, cells: &BTreeMap<Key, Cell>, bad: u64, requests: u64) -> bool {
    let (mut own_requests, mut own_bad) = (0, 0);
    for (key, cell) in cells {
        let is_own = Some(key.arm) == part.arm
            && part.route.as_ref().is_none_or(|route| *route == key.route);
        if is_own {
            own_requests += cell.requests;
            let counts = |symptom: &Symptom| part.symptom.is_none_or(|wanted| wanted == *symptom);
            let all = cell.bad.iter().filter(|(symptom, _)| counts(symptom));
            own_bad += all.map(|(_, n)| n).sum::<u64>();
        }
    }
    let own_share = own_bad as f64 / own_requests.max(1) as f64;
    bad as f64 / requests as f64 >= 0.5 * own_share
}

fn name_of(part: &Part) -> Said {
    let (mut zh, mut en) = (Vec::new(), Vec::new());
    if let Some(route) = &part.route {
        zh.push(format!("路由 {route}"));
        en.push(format!("route {route}"));
    }
    if let Some(arm) = part.arm {
        zh.push(format!("{arm} 臂"));
        en.push(format!("the {arm} arm"));
    }
    if let Some(symptom) = part.symptom {
        let (symptom_zh, symptom_en) = symptom_name(symptom);
        zh.push(symptom_zh.to_owned());
        en.push(symptom_en.to_owned());
    }
    Said::new(zh.join(" × "), en.join(" × "))
}

const fn symptom_name(symptom: Symptom) -> (&'static str, &'static str) {
    match symptom {
        Symptom::Slow => ("慢请求", "slow requests"),
        Symptom::Status(StatusClass::Success) => ("业务失败(2xx)", "business errors (2xx)"),
        Symptom::Status(StatusClass::Redirect) => ("3xx", "3xx"),
        Symptom::Status(StatusClass::Client) => ("4xx", "4xx"),
        Symptom::Status(StatusClass::ClientGone) => ("客户端放弃(499)", "client gone (499)"),
        Symptom::Status(StatusClass::Server) => ("5xx", "5xx"),
        Symptom::Status(StatusClass::FailedOver) => ("转移到另一臂", "failed over"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cells(rows: &[(&str, Arm, u64, u64)]) -> BTreeMap<Key, Cell> {
        let server = Symptom::Status(StatusClass::Server);
        let cell = |(route, arm, requests, bad): &(&str, Arm, u64, u64)| {
            let key = Key { route: Route((*route).to_owned()), arm: *arm };
            let cell = Cell {
                requests: *requests,
                bad: BTreeMap::from([(server, *bad)]),
                baseline_requests: 100_000,
                baseline_bad: BTreeMap::from([(server, 50), (Symptom::Slow, 1000)]),
            };
            (key, cell)
        };
        rows.iter().map(cell).collect()
    }

    #[test]
    fn one_route_on_the_candidate_is_found_with_its_counter_evidence() {
        let mut cells = cells(&[
            ("GET /a", Arm::Blue, 9000, 5),
            ("GET /a", Arm::Green, 1000, 1),
            ("POST /b", Arm::Blue, 4500, 2),
            ("POST /b", Arm::Green, 500, 25),
            ("GET /c", Arm::Blue, 1800, 1),
            ("GET /c", Arm::Green, 200, 0),
        ]);
        for cell in cells.values_mut() {
            cell.bad.insert(Symptom::Slow, cell.requests / 100);
        }
        let causes = rank(&cells);
        let first = &causes[0];
        assert_eq!(first.part.route, Some(Route("POST /b".to_owned())));
        assert_eq!(first.part.arm, Some(Arm::Green));
        assert!(first.is_sure && first.explained > 0.9, "{first:?}");
        assert!(first.sentence.zh.contains("原因所在") && first.sentence.zh.contains("25"));
        let counter = first.counter_evidence.as_ref().expect("the other arm had requests");
        assert!(counter.zh.contains("blue 臂正常"), "{}", counter.zh);
    }

    #[test]
    fn a_route_that_is_bad_on_both_arms_is_not_blamed_on_one() {
        let causes = rank(&cells(&[
            ("GET /a", Arm::Blue, 9000, 5),
            ("GET /a", Arm::Green, 1000, 0),
            ("POST /b", Arm::Blue, 4500, 225),
            ("POST /b", Arm::Green, 500, 25),
        ]));
        assert_eq!(causes[0].part.route, Some(Route("POST /b".to_owned())));
        assert_eq!(causes[0].part.arm, None);
        assert_eq!(causes[0].counter_evidence, None);
    }

    #[test]
    fn an_arm_that_is_bad_on_every_route_is_named_as_the_arm() {
        let causes = rank(&cells(&[
            ("GET /a", Arm::Blue, 9000, 4),
            ("GET /a", Arm::Green, 1000, 50),
            ("POST /b", Arm::Blue, 4500, 2),
            ("POST /b", Arm::Green, 500, 25),
            ("GET /c", Arm::Blue, 1800, 1),
            ("GET /c", Arm::Green, 200, 10),
        ]));
        assert_eq!(causes[0].part.arm, Some(Arm::Green));
        assert_eq!(causes[0].part.route, None);
    }

    #[test]
    fn slowness_is_found_as_a_symptom_of_its_own() {
        let mut cells = cells(&[
            ("GET /a", Arm::Blue, 9000, 5),
            ("GET /a", Arm::Green, 1000, 0),
            ("POST /b", Arm::Blue, 4500, 2),
            ("POST /b", Arm::Green, 500, 0),
        ]);
        for (key, cell) in &mut cells {
            let is_slow = key.arm == Arm::Green && key.route.0 == "GET /a";
            cell.bad.insert(Symptom::Slow, cell.requests / if is_slow { 8 } else { 100 });
        }
        let first = &rank(&cells)[0];
        assert_eq!(first.part.symptom, Some(Symptom::Slow));
        assert_eq!(first.part.route, Some(Route("GET /a".to_owned())));
    }

    #[test]
    fn few_bad_requests_give_candidates_only() {
        let causes = rank(&cells(&[
            ("GET /a", Arm::Blue, 9000, 4),
            ("GET /a", Arm::Green, 1000, 0),
            ("POST /b", Arm::Blue, 4500, 2),
            ("POST /b", Arm::Green, 500, 6),
        ]));
        assert!(!causes[0].is_sure);
        assert!(causes[0].sentence.zh.starts_with("候选"), "{}", causes[0].sentence.zh);
    }

    #[test]
    fn without_an_excess_nothing_is_blamed() {
        assert_eq!(rank(&BTreeMap::new()), []);
        assert_eq!(rank(&cells(&[("GET /a", Arm::Green, 10_000, 5)])), []);
        assert_eq!(rank(&cells(&[("GET /a", Arm::Green, 10_000, 0)])), []);
    }

    #[test]
    fn seven_errors_on_one_route_of_the_candidate_are_named_beside_a_clean_stable_arm() {
        let server = Symptom::Status(StatusClass::Server);
        let rows = [
            ("GET /products", Arm::Blue, 211, 0),
            ("GET /products", Arm::Green, 1900, 0),
            ("POST /orders", Arm::Blue, 211, 7),
            ("POST /orders", Arm::Green, 1900, 0),
        ];
        let cells: BTreeMap<Key, Cell> = rows
            .iter()
            .map(|(route, arm, requests, bad)| {
                let cell = Cell {
                    requests: *requests,
                    bad: if *bad > 0 { BTreeMap::from([(server, *bad)]) } else { BTreeMap::new() },
                    baseline_requests: 1900,
                    baseline_bad: BTreeMap::new(),
                };
                (Key { route: Route((*route).to_owned()), arm: *arm }, cell)
            })
            .collect();
        let first = &rank(&cells)[0];
        assert_eq!(first.part.route, Some(Route("POST /orders".to_owned())), "{first:?}");
        assert_eq!(first.part.arm, Some(Arm::Blue));
    }

    #[test]
    fn a_part_that_is_everything_is_named_only_where_no_smaller_one_stands_out() {
        let cell = |bad: u64| Cell {
            requests: 680,
            bad: BTreeMap::from([(Symptom::Slow, bad)]),
            baseline_requests: 680,
            baseline_bad: BTreeMap::from([(Symptom::Slow, 34)]),
        };
        let key = |route: &str| Key { route: Route(route.to_owned()), arm: Arm::Blue };
        let one = BTreeMap::from([(key("GET /a"), cell(0)), (key("POST /b"), cell(298))]);
        assert_eq!(rank(&one)[0].part.route, Some(Route("POST /b".to_owned())));
        let both = BTreeMap::from([(key("GET /a"), cell(298)), (key("POST /b"), cell(298))]);
        assert_eq!(rank(&both)[0].part.route, None, "every route is as slow");
    }
}
