//! Time to proof, told before anything starts: how many requests each objective needs at the least,
//! and how long that takes at the rate that is known.

use guanka_core::facts::declared::{Declared, GateSlo, Indicator, Limit};
use guanka_core::gates::GateKind;
use guanka_core::gates::proof::{NeededRequests, rough, time_for};
use guanka_core::quantity::{Proportion, Rate};
use guanka_core::say::Said;

/// Says for each objective of a gate what it needs. `traffic` is users' requests per second on the
/// objective's route, where somebody knows it.
pub(crate) fn gate(
    declared: &Declared,
    gate: GateKind,
    traffic: &dyn Fn(&GateSlo) -> Option<Rate>,
) -> Vec<Said> {
    let gates = &declared.gates;
    let own = |rate: Rate, requests: usize| Rate(rate.0 / requests.max(1) as f64);
    let (slos, fixed, share) = match gate {
        GateKind::Load => match &gates.load {
            Some(load) => (&load.slos, Some(own(load.rate, load.requests.len())), 1.0),
            None => return Vec::new(),
        },
        GateKind::Bake => match &gates.bake {
            Some(bake) => (&bake.slos, Some(own(bake.rate, bake.requests.len())), 1.0),
            None => return Vec::new(),
        },
        GateKind::Canary => match &gates.canary {
            Some(canary) => {
                let first = canary.steps.first().map_or(10, |step| step.share.get());
                (&canary.slos, None, f64::from(first) / 100.0)
            }
            None => return Vec::new(),
        },
    };
    let rate = |slo: &GateSlo| fixed.or_else(|| traffic(slo)).map(|rate| Rate(rate.0 * share));
    slos.iter().filter_map(|slo| line(declared, gate, slo, rate(slo))).collect()
}

fn line(declared: &Declared, gate: GateKind, slo: &GateSlo, rate: Option<Rate>) -> Option<Said> {
    let known = declared.slos.get(&slo.name)?;
    let limit = match (slo.limit, known.indicator) {
        (Limit::BadShare(share), _) => share,
        (Limit::Latency(_), Indicator::Latency { quantile, .. }) => Proportion(1.0 - quantile),
        (Limit::Latency(_), Indicator::Success { .. }) => return None,
    };
    let needed = NeededRequests::of(limit);
    // A canary is looked at as often as one likes; load and bake are decided once.
    let n = match gate {
        GateKind::Canary => needed.anytime_zero,
        GateKind::Load | GateKind::Bake => needed.fixed_zero,
    };
    let route = known.route.as_ref().map_or("*", |route| route.0.as_str());
    let time = rate.filter(|rate| rate.0 > 0.0).map(|rate| rough(time_for(n, rate)));
    let (zh, en) = match time {
        Some(time) => (format!(",约 {}", time.zh), format!(", about {}", time.en)),
        None => (String::new(), String::new()),
    };
    let (title, slo) = (gate.title(), &slo.name);
    Some(Said::new(
        format!("{} · {slo}({route},限 {limit}):零失败也至少要 {n} 个请求{zh}", title.zh),
        format!(
            "{} · {slo} ({route}, limit {limit}): at least {n} requests without a failure{en}",
            title.en
        ),
    ))
}
